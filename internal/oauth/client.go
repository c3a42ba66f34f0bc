package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwk"
)

// client is a client together with what is needed to recognise it.
type client struct {
	model.Client
	secrets []model.ClientSecret
	keys    jwk.Source // nil: it has none

	registration model.Registration // of a client that no operator registered
	logo         model.Logo         // without its body; zero: none is kept
}

// clientLife is how long a client may be served from memory: a change made by
// another node or by the command takes effect within it.
const clientLife = time.Second

// clientsKept bounds the memory of the cache; beyond it, it starts anew.
const clientsKept = 10_000

// clientCache keeps clients for clientLife. Key sets are kept longer, for as
// long as the client's own settings stand, because they have a cache of their
// own.
type clientCache struct {
	load func(ctx context.Context, id model.ClientID, old *client) (*client, error)
	now  func() time.Time

	mu      sync.RWMutex
	entries map[model.ClientID]cachedClient
}

type cachedClient struct {
	*client
	until time.Time
}

func (c *clientCache) find(ctx context.Context, id model.ClientID) (*client, error) {
	now := c.now()
	c.mu.RLock()
	e, ok := c.entries[id]
	c.mu.RUnlock()
	if ok && now.Before(e.until) {
		return e.client, nil
	}
	found, err := c.load(ctx, id, e.client)
	if err != nil {
		c.forget(id)
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil || len(c.entries) >= clientsKept {
		c.entries = make(map[model.ClientID]cachedClient)
	}
	c.entries[id] = cachedClient{found, now.Add(clientLife)}
	return found, nil
}

func (c *clientCache) forget(id model.ClientID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, id)
}

// client returns an enabled client; store.ErrNotFound where there is none, and
// an *Error where it is one whose metadata document cannot be had.
func (a *Authority) client(ctx context.Context, id model.ClientID) (*client, error) {
	if documentID(string(id)) {
		if err := a.discover(ctx, id); err != nil {
			return nil, err
		}
	}
	c, err := a.clients.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if c.Disabled {
		return nil, store.ErrNotFound
	}
	return c, nil
}

// readRegistration reads what only some clients have.
func readRegistration(tx *store.Tx, c *client) (err error) {
	if c.Origin != model.OriginOperator {
		if c.registration, err = tx.Registration(c.ID); err != nil {
			return err
		}
	}
	if c.LogoURI == "" {
		return nil
	}
	logo, err := tx.LogoOf(c.ID)
	switch {
	case errors.Is(err, store.ErrNotFound): // to be fetched yet
		return nil
	case err == nil && logo.URI == c.LogoURI: // not one that the client had before
		c.logo = logo
	}
	return err
}

func (a *Authority) loadClient(ctx context.Context, id model.ClientID, old *client) (*client, error) {
	c := &client{}
	err := a.Store.View(ctx, func(tx *store.Tx) (err error) {
		if c.Client, err = tx.Client(id); err != nil {
			return err
		}
		if c.secrets, err = tx.ClientSecrets(id); err != nil {
			return err
		}
		return readRegistration(tx, c)
	})
	if err != nil {
		return nil, err
	}
	if old != nil && old.JWKSURI == c.JWKSURI && string(old.JWKS) == string(c.JWKS) {
		c.keys = old.keys
		return c, nil
	}
	c.keys, err = a.clientKeys(c.ClientSettings)
	return c, err
}

func (a *Authority) clientKeys(s model.ClientSettings) (jwk.Source, error) {
	switch {
	case len(s.JWKS) > 0:
		return jwk.ParseSet(s.JWKS)
	case s.JWKSURI != "":
		return jwk.NewRemote(jwk.RemoteConfig{URL: s.JWKSURI, Client: a.Fetch, Now: a.Now})
	}
	return nil, nil
}

// maxSecrets is how many live secrets a client may have, so that one can be
// replaced without a gap.
const maxSecrets = 2

// ErrTooManySecrets is returned by AddSecret when the client has two live ones.
var ErrTooManySecrets = errors.New("the client has two live secrets already: remove one first")

// ErrNoSecret is returned where a secret is added to a client that does not use one.
var ErrNoSecret = errors.New("the client does not authenticate with a secret")

// CreateClient registers a client, under the given id if there is one. The
// secret is returned once, and empty for a client that needs none.
//
// Errors: *InvalidClientError, store.ErrConflict where the id is taken.
func (a *Authority) CreateClient(ctx context.Context, by model.Actor, s model.ClientSettings, id model.ClientID) (model.Client, model.Secret, error) {
	c, err := a.createClient(ctx, birth{by: by, settings: s, id: id, action: "client.create"})
	return c.Client, c.secret, err
}

// birth is a client that is about to be registered, by whichever door.
type birth struct {
	by         model.Actor
	settings   model.ClientSettings
	id         model.ClientID // empty: random
	origin     model.Origin
	action     string // of the event
	secretLife int64  // seconds; 0: its secret does not expire

	// also runs in the same transaction; nil: nothing does. It returns the
	// event's detail.
	also func(tx *store.Tx, c model.Client) (detail string, err error)
}

// born is a client with the secret that is told once.
type born struct {
	model.Client
	secret          model.Secret // empty: it needs none, or it is not told again
	secretExpiresAt int64
}

func (a *Authority) createClient(ctx context.Context, b birth) (born, error) {
	s := withDefaults(b.settings)
	if err := checkClient(s); err != nil {
		return born{}, err
	}
	id := b.id
	if id == "" {
		id = model.ClientID(model.NewID())
	}
	if !clientIDSyntax(string(id)) {
		return born{}, invalid("client_id", "it must be 1 to 256 printable characters without a space, quote, colon or backslash")
	}
	now := a.unix()
	c := born{Client: model.Client{ID: id, CreatedAt: now, UpdatedAt: now, Origin: b.origin, ClientSettings: s}}
	var secret model.ClientSecret
	if usesSecret(s.AuthMethod) {
		c.secret, c.secretExpiresAt = model.NewSecret(secretPrefix), a.secretEnd(b.secretLife)
		secret = a.newSecret(c.ID, c.secret)
		secret.ExpiresAt = c.secretExpiresAt
	}
	err := a.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if err := tx.InsertClient(c.Client); err != nil {
			return err
		}
		if c.secret != "" {
			if err := tx.InsertClientSecret(secret); err != nil {
				return err
			}
		}
		event := model.Event{Actor: b.by, Action: b.action, ClientID: c.ID}
		if b.also != nil {
			if event.Detail, err = b.also(tx, c.Client); err != nil {
				return err
			}
		}
		return tx.Record(event)
	})
	if err != nil {
		return born{}, err
	}
	return c, nil
}

// clientIDSyntax narrows RFC 6749 appendix A.1 by what makes an id awkward in
// a Basic header, a shell or a URL.
func clientIDSyntax(id string) bool {
	if id == "" || len(id) > limits["client_id"] {
		return false
	}
	for _, c := range []byte(id) {
		if c <= 0x20 || c > 0x7e || strings.IndexByte(`"':\`, c) >= 0 {
			return false
		}
	}
	return true
}

// secretPrefix makes a leaked client secret recognisable to scanners.
const secretPrefix = "ost_cs_"

func usesSecret(method string) bool { return method == model.AuthBasic || method == model.AuthPost }

func (a *Authority) newSecret(id model.ClientID, s model.Secret) model.ClientSecret {
	return model.ClientSecret{ID: model.SecretID(model.NewID()), ClientID: id, Hash: s.Hash(), CreatedAt: a.unix()}
}

// UpdateClient replaces the settings of a client.
//
// Errors: *InvalidClientError, store.ErrNotFound.
func (a *Authority) UpdateClient(ctx context.Context, by model.Actor, id model.ClientID, s model.ClientSettings) (model.Client, error) {
	s = withDefaults(s)
	if err := checkClient(s); err != nil {
		return model.Client{}, err
	}
	return a.changeClient(ctx, by, id, "client.update", func(c *model.Client) { c.ClientSettings = s })
}

// DisableClient makes a client unusable, or usable again. Disabling ends every
// grant and every token of it.
func (a *Authority) DisableClient(ctx context.Context, by model.Actor, id model.ClientID, disabled bool) (model.Client, error) {
	action := "client.enable"
	if disabled {
		action = "client.disable"
	}
	return a.changeClient(ctx, by, id, action, func(c *model.Client) { c.Disabled = disabled })
}

func (a *Authority) changeClient(ctx context.Context, by model.Actor, id model.ClientID, action string, change func(*model.Client)) (model.Client, error) {
	return a.alterClient(ctx, by, id, action, func(_ *store.Tx, c *model.Client) error { change(c); return nil })
}

// alterClient changes a client and what hangs on it in one transaction.
func (a *Authority) alterClient(ctx context.Context, by model.Actor, id model.ClientID, action string, change func(*store.Tx, *model.Client) error) (model.Client, error) {
	var c model.Client
	err := a.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if c, err = tx.Client(id); err != nil {
			return err
		}
		was := c.Disabled
		if err := change(tx, &c); err != nil {
			return err
		}
		c.UpdatedAt = a.unix()
		if err := tx.UpdateClient(c); err != nil {
			return err
		}
		if c.Disabled && !was {
			if err := tx.EndClient(id, a.ending(model.CauseAdmin)); err != nil {
				return err
			}
		}
		return tx.Record(model.Event{Actor: by, Action: action, ClientID: id})
	})
	a.clients.forget(id)
	return c, err
}

// DeleteClient removes a client and ends every grant and token of it.
//
// Errors: store.ErrNotFound.
func (a *Authority) DeleteClient(ctx context.Context, by model.Actor, id model.ClientID) error {
	return a.endClient(ctx, by, id, departure{cause: model.CauseAdmin, action: "client.delete"})
}

// departure is why a client is removed.
type departure struct {
	cause  model.Cause
	action string                        // of the event
	still  func(*store.Tx) (bool, error) // whether it is to go, asked in the transaction; nil: it is
}

func (a *Authority) endClient(ctx context.Context, by model.Actor, id model.ClientID, d departure) error {
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Client(id); err != nil {
			return err
		}
		if d.still != nil {
			if gone, err := d.still(tx); err != nil || !gone {
				return err
			}
		}
		if err := tx.EndClient(id, a.ending(d.cause)); err != nil {
			return err
		}
		if err := tx.DeleteClient(id); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: by, Action: d.action, ClientID: id})
	})
	a.clients.forget(id)
	return err
}

// AddSecret gives a client a further secret and returns it, once.
//
// Errors: store.ErrNotFound, ErrTooManySecrets, ErrNoSecret.
func (a *Authority) AddSecret(ctx context.Context, by model.Actor, id model.ClientID) (model.ClientSecret, model.Secret, error) {
	secret := model.NewSecret(secretPrefix)
	row := a.newSecret(id, secret)
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		c, err := tx.Client(id)
		if err != nil {
			return err
		}
		if !usesSecret(c.AuthMethod) {
			return ErrNoSecret
		}
		old, err := tx.ClientSecrets(id)
		if err != nil {
			return err
		}
		live := 0
		for _, s := range old {
			if s.ExpiresAt == 0 || s.ExpiresAt > a.unix() {
				live++
			}
		}
		if live >= maxSecrets {
			return ErrTooManySecrets
		}
		if err := tx.InsertClientSecret(row); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: by, Action: "client.add_secret", ClientID: id, Detail: "secret=" + string(row.ID)})
	})
	a.clients.forget(id)
	if err != nil {
		return model.ClientSecret{}, "", err
	}
	return row, secret, nil
}

// RemoveSecret makes a secret useless at once.
//
// Errors: store.ErrNotFound.
func (a *Authority) RemoveSecret(ctx context.Context, by model.Actor, id model.ClientID, secret model.SecretID) error {
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		all, err := tx.ClientSecrets(id)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(s model.ClientSecret) bool { return s.ID == secret }) {
			return store.ErrNotFound
		}
		if err := tx.DeleteClientSecret(secret); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: by, Action: "client.remove_secret", ClientID: id, Detail: "secret=" + string(secret)})
	})
	a.clients.forget(id)
	return err
}
