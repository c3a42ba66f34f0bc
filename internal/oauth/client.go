package oauth

import (
	"context"
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
	secrets []clientSecret
	keys    jwk.Source // nil: it has none
}

// clientSecret is a secret together with the key that it is.
type clientSecret struct {
	model.ClientSecret
	key *jwk.Key // nil: the client does not sign with it
}

func (s clientSecret) live(now int64) bool { return s.ExpiresAt == 0 || s.ExpiresAt > now }

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
	var secrets []model.ClientSecret
	err := a.Store.View(ctx, func(tx *store.Tx) (err error) {
		if c.Client, err = tx.Client(id); err != nil {
			return err
		}
		secrets, err = tx.ClientSecrets(id)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, row := range secrets {
		s := clientSecret{ClientSecret: row}
		if c.AuthMethod == model.AuthSecretJWT && row.Sealed != "" {
			if s.key, err = a.secretKey(row); err != nil {
				return nil, err
			}
		}
		c.secrets = append(c.secrets, s)
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
		return jwk.NewRemote(jwk.RemoteConfig{URL: s.JWKSURI, Client: a.Fetch, Now: a.Now, MinInterval: keysInterval})
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
func (a *Authority) CreateClient(ctx context.Context, by model.Actor, s model.ClientSettings, id model.ClientID) (model.Client, model.Secret, error) {
	s = withDefaults(s)
	if err := checkClient(s); err != nil {
		return model.Client{}, "", err
	}
	if err := a.checkSurroundings(ctx, model.ClientSettings{}, s); err != nil {
		return model.Client{}, "", err
	}
	if id == "" {
		id = model.ClientID(model.NewID())
	}
	if !clientIDSyntax(string(id)) {
		return model.Client{}, "", invalid("client_id", "it must be 1 to 256 printable characters without a space, quote, colon or backslash")
	}
	now := a.unix()
	c := model.Client{ID: id, CreatedAt: now, UpdatedAt: now, ClientSettings: s}
	var row model.ClientSecret
	var secret model.Secret
	if usesSecret(s.AuthMethod) {
		var err error
		if row, secret, err = a.newSecret(c); err != nil {
			return model.Client{}, "", err
		}
	}
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.InsertClient(c); err != nil {
			return err
		}
		if secret != "" {
			if err := tx.InsertClientSecret(row); err != nil {
				return err
			}
		}
		return tx.Record(model.Event{Actor: by, Action: "client.create", ClientID: c.ID})
	})
	if err != nil {
		return model.Client{}, "", err
	}
	return c, secret, nil
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

// checkSurroundings checks what the new settings of a client say about the world
// outside them.
func (a *Authority) checkSurroundings(ctx context.Context, old, s model.ClientSettings) error {
	if err := a.checkReady(s); err != nil {
		return err
	}
	return a.checkSector(ctx, old, s)
}

// UpdateClient replaces the settings of a client. If it is to know people by
// another kind of subject, what it holds of them ends: it would tell two of one
// person.
//
// Errors: *InvalidClientError, store.ErrNotFound.
func (a *Authority) UpdateClient(ctx context.Context, by model.Actor, id model.ClientID, s model.ClientSettings) (model.Client, error) {
	s = withDefaults(s)
	if err := checkClient(s); err != nil {
		return model.Client{}, err
	}
	old, err := a.stored(ctx, id)
	if err != nil {
		return model.Client{}, err
	}
	if err := a.checkSurroundings(ctx, old.ClientSettings, s); err != nil {
		return model.Client{}, err
	}
	return a.changeClient(ctx, by, id, "client.update", func(c *model.Client) error {
		if err := keepSector(c.ClientSettings, s); err != nil {
			return err
		}
		c.ClientSettings = s
		return nil
	})
}

// stored returns a client as the database has it, disabled or not.
func (a *Authority) stored(ctx context.Context, id model.ClientID) (c model.Client, err error) {
	err = a.Store.View(ctx, func(tx *store.Tx) (err error) { c, err = tx.Client(id); return err })
	return c, err
}

// DisableClient makes a client unusable, or usable again. Disabling ends every
// grant and every token of it.
func (a *Authority) DisableClient(ctx context.Context, by model.Actor, id model.ClientID, disabled bool) (model.Client, error) {
	action := "client.enable"
	if disabled {
		action = "client.disable"
	}
	return a.changeClient(ctx, by, id, action, func(c *model.Client) error {
		c.Disabled = disabled
		return nil
	})
}

func (a *Authority) changeClient(ctx context.Context, by model.Actor, id model.ClientID, action string, change func(*model.Client) error) (model.Client, error) {
	var c model.Client
	err := a.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if c, err = tx.Client(id); err != nil {
			return err
		}
		was := c
		if err := change(&c); err != nil {
			return err
		}
		c.UpdatedAt = a.unix()
		if err := tx.UpdateClient(c); err != nil {
			return err
		}
		pairwise := func(c model.Client) bool { return c.SubjectType == model.SubjectPairwise }
		if c.Disabled && !was.Disabled || pairwise(c) != pairwise(was) {
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
func (a *Authority) DeleteClient(ctx context.Context, by model.Actor, id model.ClientID) error {
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Client(id); err != nil {
			return err
		}
		if err := tx.EndClient(id, a.ending(model.CauseAdmin)); err != nil {
			return err
		}
		if err := tx.DeleteClient(id); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: by, Action: "client.delete", ClientID: id})
	})
	a.clients.forget(id)
	return err
}
