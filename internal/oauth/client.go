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

// client returns an enabled client; store.ErrNotFound where there is none.
func (a *Authority) client(ctx context.Context, id model.ClientID) (*client, error) {
	c, err := a.clients.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if c.Disabled {
		return nil, store.ErrNotFound
	}
	return c, nil
}

func (a *Authority) loadClient(ctx context.Context, id model.ClientID, old *client) (*client, error) {
	c := &client{}
	err := a.Store.View(ctx, func(tx *store.Tx) (err error) {
		if c.Client, err = tx.Client(id); err != nil {
			return err
		}
		c.secrets, err = tx.ClientSecrets(id)
		return err
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
	s = withDefaults(s)
	if err := checkClient(s); err != nil {
		return model.Client{}, "", err
	}
	if id == "" {
		id = model.ClientID(model.NewID())
	}
	if !clientIDSyntax(string(id)) {
		return model.Client{}, "", invalid("client_id", clientIDReason)
	}
	now := a.unix()
	c := model.Client{ID: id, CreatedAt: now, UpdatedAt: now, ClientSettings: s}
	secret := secretFor(s)
	err := a.Store.Update(ctx, func(tx *store.Tx) error { return a.insertClient(tx, by, c, secret) })
	if err != nil {
		return model.Client{}, "", err
	}
	return c, secret, nil
}

// secretFor makes the first secret of a client, or none where it needs none.
func secretFor(s model.ClientSettings) model.Secret {
	if !usesSecret(s.AuthMethod) {
		return ""
	}
	return model.NewSecret(secretPrefix)
}

func (a *Authority) insertClient(tx *store.Tx, by model.Actor, c model.Client, secret model.Secret) error {
	if err := tx.InsertClient(c); err != nil {
		return err
	}
	if secret != "" {
		if err := tx.InsertClientSecret(a.newSecret(c.ID, secret)); err != nil {
			return err
		}
	}
	return tx.Record(model.Event{Actor: by, Action: "client.create", ClientID: c.ID})
}

const clientIDReason = "it must be 1 to 256 printable characters without a space, quote, colon or backslash"

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
	var c model.Client
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		was, err := tx.Client(id)
		if err != nil {
			return err
		}
		c = was
		change(&c)
		c.UpdatedAt = a.unix()
		return a.updateClient(tx, model.Event{Actor: by, Action: action, ClientID: id}, was, c)
	})
	a.clients.forget(id)
	return c, err
}

// updateClient writes a client anew. What it loses with that ends.
func (a *Authority) updateClient(tx *store.Tx, e model.Event, was, c model.Client) error {
	if err := tx.UpdateClient(c); err != nil {
		return err
	}
	if c.Disabled && !was.Disabled {
		if err := tx.EndClient(c.ID, a.ending(model.CauseAdmin)); err != nil {
			return err
		}
	}
	return tx.Record(e)
}

// DeleteClient removes a client and ends every grant and token of it.
func (a *Authority) DeleteClient(ctx context.Context, by model.Actor, id model.ClientID) error {
	err := a.Store.Update(ctx, func(tx *store.Tx) error { return a.deleteClient(tx, by, id) })
	a.clients.forget(id)
	return err
}

func (a *Authority) deleteClient(tx *store.Tx, by model.Actor, id model.ClientID) error {
	if err := tx.EndClient(id, a.ending(model.CauseAdmin)); err != nil {
		return err
	}
	if err := tx.DeleteClient(id); err != nil {
		return err
	}
	return tx.Record(model.Event{Actor: by, Action: "client.delete", ClientID: id})
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
