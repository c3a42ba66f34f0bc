package registration

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwk"
)

// Client is a client together with what is needed to recognise it.
type Client struct {
	model.Client
	Keys jwk.Source // nil: it has none

	Address string // of whoever acts as it in this call, for the audit log

	secrets      []clientSecret
	registration model.Registration // of a client that no operator registered
	logo         model.Logo         // without its body; zero: none is kept
}

// clientSecret is a secret together with the key that it is.
type clientSecret struct {
	model.ClientSecret
	key *jwk.Key // nil: the client does not sign with it
}

func (s clientSecret) live(now int64) bool { return s.ExpiresAt == 0 || s.ExpiresAt > now }

// clientLife is how long a client may be served from memory by a node that hears of no
// change: one made by another node or by the command takes effect within it.
const clientLife = time.Second

// clientsKept bounds the memory of the cache; beyond it, it starts anew.
const clientsKept = 10_000

// cache keeps clients for clientLife. Key sets are kept longer, for as
// long as the client's own settings stand, because they have a cache of their
// own.
type cache struct {
	load func(ctx context.Context, id model.ClientID, old *Client) (*Client, error)
	now  func() time.Time

	mu      sync.RWMutex
	entries map[model.ClientID]cachedClient
	age     int // how often something was heard of a change
}

type cachedClient struct {
	*Client
	until time.Time
	age   int // of the cache when it was read
}

func (c *cache) find(ctx context.Context, id model.ClientID) (*Client, error) {
	now := c.now()
	c.mu.RLock()
	e, age := c.entries[id], c.age
	c.mu.RUnlock()
	if e.Client != nil && e.age == age && now.Before(e.until) && e.until.Sub(now) <= clientLife {
		return e.Client, nil
	}
	found, err := c.load(ctx, id, e.Client)
	if err != nil {
		c.forget(id)
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil || len(c.entries) >= clientsKept {
		c.entries = make(map[model.ClientID]cachedClient)
	}
	c.entries[id] = cachedClient{found, now.Add(clientLife), age}
	return found, nil
}

func (c *cache) forget(id model.ClientID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, id)
}

// LookAgain lets every client be read again, because one has changed.
func (r *Registrar) LookAgain() {
	r.clients.mu.Lock()
	defer r.clients.mu.Unlock()
	r.clients.age++
}

// Client returns an enabled client; store.ErrNotFound where there is none, and
// an *Error where it is one whose metadata document cannot be had.
func (r *Registrar) Client(ctx context.Context, id model.ClientID) (*Client, error) {
	if documentID(string(id)) {
		if err := r.discover(ctx, id); err != nil {
			return nil, err
		}
	}
	c, err := r.clients.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if c.Disabled {
		return nil, store.ErrNotFound
	}
	return c, nil
}

// readRegistration reads what only some clients have.
func readRegistration(tx *store.Tx, c *Client) (err error) {
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

func (r *Registrar) load(ctx context.Context, id model.ClientID, old *Client) (*Client, error) {
	c := &Client{}
	var secrets []model.ClientSecret
	err := r.Store.View(ctx, func(tx *store.Tx) (err error) {
		if c.Client, err = tx.Client(id); err != nil {
			return err
		}
		if secrets, err = tx.ClientSecrets(id); err != nil {
			return err
		}
		return readRegistration(tx, c)
	})
	if err != nil {
		return nil, err
	}
	for _, row := range secrets {
		s := clientSecret{ClientSecret: row}
		if c.AuthMethod == model.AuthSecretJWT && row.Sealed != "" {
			if s.key, err = r.secretKey(row); err != nil {
				return nil, err
			}
		}
		c.secrets = append(c.secrets, s)
	}
	if old != nil && old.JWKSURI == c.JWKSURI && string(old.JWKS) == string(c.JWKS) {
		c.Keys = old.Keys
		return c, nil
	}
	c.Keys, err = r.clientKeys(c.ClientSettings)
	return c, err
}

func (r *Registrar) clientKeys(s model.ClientSettings) (jwk.Source, error) {
	switch {
	case len(s.JWKS) > 0:
		return jwk.ParseSet(s.JWKS)
	case s.JWKSURI != "":
		return jwk.NewRemote(jwk.RemoteConfig{URL: s.JWKSURI, Client: r.Fetch, Now: r.Now, MinInterval: keysInterval})
	}
	return nil, nil
}

// keysInterval is the least time between two looks at a client's key set. A
// client that signs with a new key waits no longer than this, whatever unknown
// keys somebody else has named in its place a moment before; and its server is
// asked no more often.
const keysInterval = 30 * time.Second

// CreateClient registers a client, under the given id if there is one. The
// secret is returned once, and empty for a client that needs none.
//
// Errors: *InvalidClientError, store.ErrConflict where the id is taken.
func (r *Registrar) CreateClient(ctx context.Context, by model.Actor, s model.ClientSettings, id model.ClientID) (model.Client, model.Secret, error) {
	c, err := r.createClient(ctx, birth{by: by, settings: s, id: id, action: "client.create"})
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

func (r *Registrar) createClient(ctx context.Context, b birth) (born, error) {
	s, err := r.settle(ctx, model.ClientSettings{}, b.settings)
	if err != nil {
		return born{}, err
	}
	id := b.id
	if id == "" {
		id = model.ClientID(model.NewID())
	}
	if !clientIDSyntax(string(id)) {
		return born{}, invalid("client_id", clientIDReason)
	}
	now := r.unix()
	c := born{Client: model.Client{ID: id, CreatedAt: now, UpdatedAt: now, Origin: b.origin, ClientSettings: s}}
	var row model.ClientSecret
	if usesSecret(s.AuthMethod) {
		if row, c.secret, err = r.newSecret(c.Client); err != nil {
			return born{}, err
		}
		row.ExpiresAt = r.secretEnd(b.secretLife)
		c.secretExpiresAt = row.ExpiresAt
	}
	err = r.Store.Update(ctx, func(tx *store.Tx) error { return r.bear(tx, b, c.Client, row) })
	if err != nil {
		return born{}, err
	}
	return c, nil
}

// bear writes a new client, with a first secret unless row is zero.
func (r *Registrar) bear(tx *store.Tx, b birth, c model.Client, row model.ClientSecret) (err error) {
	if err := tx.InsertClient(c); err != nil {
		return err
	}
	if row.ID != "" {
		if err := tx.InsertClientSecret(row); err != nil {
			return err
		}
	}
	event := model.Event{Actor: b.by, Action: b.action, ClientID: c.ID}
	if b.also != nil {
		if event.Detail, err = b.also(tx, c); err != nil {
			return err
		}
	}
	return tx.Record(event)
}

// settle fills in what the new settings of a client leave open and checks them:
// by themselves, and by what they say about the world outside.
//
// Errors: *InvalidClientError.
func (r *Registrar) settle(ctx context.Context, old, s model.ClientSettings) (model.ClientSettings, error) {
	s = withDefaults(s)
	if err := checkClient(s); err != nil {
		return s, err
	}
	if err := r.checkReady(s); err != nil {
		return s, err
	}
	return s, r.checkSector(ctx, old, s)
}

// MaxClientID is the longest client_id, in bytes.
const MaxClientID = 256

const clientIDReason = "it must be 1 to 256 printable characters without a space, quote, colon or backslash"

// clientIDSyntax narrows RFC 6749 appendix A.1 by what makes an id awkward in
// a Basic header, a shell or a URL.
func clientIDSyntax(id string) bool {
	if id == "" || len(id) > MaxClientID {
		return false
	}
	for _, c := range []byte(id) {
		if c <= 0x20 || c > 0x7e || strings.IndexByte(`"':\`, c) >= 0 {
			return false
		}
	}
	return true
}

// UpdateClient replaces the settings of a client. If it is to know people by
// another kind of subject, what it holds of them ends: it would tell two of one
// person.
//
// Errors: *InvalidClientError, store.ErrNotFound, ErrChanged.
func (r *Registrar) UpdateClient(ctx context.Context, by model.Actor, id model.ClientID, s model.ClientSettings) (model.Client, error) {
	return r.ReviseClient(ctx, by, id, func(model.ClientSettings) (model.ClientSettings, error) { return s, nil })
}

// revisions is how often a change is thought over because others were faster.
const revisions = 10

// ReviseClient is UpdateClient with what change makes of the settings that the client
// has. Where somebody else changes them meanwhile, change is asked again, so that
// nothing of theirs is undone. Errors: also those of change; ErrChanged where others were
// faster again and again.
func (r *Registrar) ReviseClient(ctx context.Context, by model.Actor, id model.ClientID, change func(model.ClientSettings) (model.ClientSettings, error)) (model.Client, error) {
	for range revisions {
		old, err := r.stored(ctx, id)
		if err != nil {
			return model.Client{}, err
		}
		s, err := change(old.ClientSettings)
		if err == nil {
			s, err = r.settle(ctx, old.ClientSettings, s)
		}
		if err != nil {
			return model.Client{}, err
		}
		c, err := r.changeClient(ctx, by, id, "client.update", func(_ *store.Tx, c *model.Client) error {
			if !reflect.DeepEqual(c.ClientSettings, old.ClientSettings) {
				return ErrChanged
			}
			c.ClientSettings = s
			return nil
		})
		if !errors.Is(err, ErrChanged) {
			return c, err
		}
	}
	return model.Client{}, fmt.Errorf("%w, again and again: nothing was changed; try again later", ErrChanged)
}

// stored returns a client as the database has it, disabled or not.
func (r *Registrar) stored(ctx context.Context, id model.ClientID) (c model.Client, err error) {
	err = r.Store.View(ctx, func(tx *store.Tx) (err error) { c, err = tx.Client(id); return err })
	return c, err
}

// DisableClient makes a client unusable, or usable again. Disabling ends every
// grant and every token of it.
func (r *Registrar) DisableClient(ctx context.Context, by model.Actor, id model.ClientID, disabled bool) (model.Client, error) {
	action := "client.enable"
	if disabled {
		action = "client.disable"
	}
	return r.changeClient(ctx, by, id, action, func(_ *store.Tx, c *model.Client) error {
		c.Disabled = disabled
		return nil
	})
}

// changeClient changes a client and what hangs on it in one transaction.
func (r *Registrar) changeClient(ctx context.Context, by model.Actor, id model.ClientID, action string, change func(*store.Tx, *model.Client) error) (model.Client, error) {
	var c model.Client
	err := r.Store.Update(ctx, func(tx *store.Tx) error {
		was, err := tx.Client(id)
		if err != nil {
			return err
		}
		c = was
		if err := change(tx, &c); err != nil {
			return err
		}
		c.UpdatedAt = r.unix()
		return r.writeClient(tx, was, c, model.Event{Actor: by, Action: action, ClientID: id})
	})
	r.clients.forget(id)
	return c, err
}

// writeClient writes a client anew, with its event.
func (r *Registrar) writeClient(tx *store.Tx, was, c model.Client, e model.Event) error {
	if err := r.rewrite(tx, was, c); err != nil {
		return err
	}
	return tx.Record(e)
}

// rewrite writes a client anew. If it is disabled, or is to know people by another kind
// of subject, what it holds of them ends.
func (r *Registrar) rewrite(tx *store.Tx, was, c model.Client) error {
	if err := keepSector(was.ClientSettings, c.ClientSettings); err != nil {
		return err
	}
	if err := tx.UpdateClient(c); err != nil {
		return err
	}
	pairwise := func(c model.Client) bool { return c.SubjectType == model.SubjectPairwise }
	if c.Disabled && !was.Disabled || pairwise(c) != pairwise(was) {
		return tx.EndClient(c.ID, store.NewEnding(model.CauseAdmin, r.unix()))
	}
	return nil
}

// DeleteClient removes a client and ends every grant and token of it.
//
// Errors: store.ErrNotFound.
func (r *Registrar) DeleteClient(ctx context.Context, by model.Actor, id model.ClientID) error {
	return r.endClient(ctx, by, id, departure{cause: model.CauseAdmin, action: "client.delete"})
}

// departure is why a client is removed.
type departure struct {
	cause  model.Cause
	action string                        // of the event
	still  func(*store.Tx) (bool, error) // whether it is to go, asked in the transaction; nil: it is
}

func (r *Registrar) endClient(ctx context.Context, by model.Actor, id model.ClientID, d departure) error {
	err := r.Store.Update(ctx, func(tx *store.Tx) error { return r.bury(tx, by, id, d) })
	r.clients.forget(id)
	return err
}

// bury ends what a client holds, and removes it.
func (r *Registrar) bury(tx *store.Tx, by model.Actor, id model.ClientID, d departure) error {
	if _, err := tx.Client(id); err != nil {
		return err
	}
	if d.still != nil {
		if gone, err := d.still(tx); err != nil || !gone {
			return err
		}
	}
	if err := tx.EndClient(id, store.NewEnding(d.cause, r.unix())); err != nil {
		return err
	}
	if err := tx.DeleteClient(id); err != nil {
		return err
	}
	return tx.Record(model.Event{Actor: by, Action: d.action, ClientID: id})
}
