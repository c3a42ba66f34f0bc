package registration

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwk"
)

// maxSecrets is how many live secrets a client may have, so that one can be
// replaced without a gap.
const maxSecrets = 2

// ErrTooManySecrets is returned by AddSecret when the client has two live ones.
var ErrTooManySecrets = errors.New("the client has two live secrets already: remove one first")

// ErrNoSecret is returned where a secret is added to a client that does not use one.
var ErrNoSecret = errors.New("the client does not authenticate with a secret")

// secretPrefix makes a leaked client secret recognisable to scanners.
const secretPrefix = "ost_cs_"

// newSecret makes a secret for a client. Of most only the hash is stored. One
// that signs with its secret (client_secret_jwt) gets a secret of twice the
// length, because HS512 wants a key of 64 bytes (RFC 7518 §3.2), and the server,
// which has to compute the same signature, keeps it: sealed.
func (r *Registrar) newSecret(c model.Client) (model.ClientSecret, model.Secret, error) {
	secret := model.NewSecret(secretPrefix)
	row := model.ClientSecret{ID: model.SecretID(model.NewID()), ClientID: c.ID, CreatedAt: r.unix()}
	if c.AuthMethod == model.AuthSecretJWT {
		secret += model.NewSecret("")
		var err error
		if row.Sealed, err = r.Keys.Seal(keys.PurposeClientSecret, string(row.ID), []byte(secret.Reveal())); err != nil {
			return model.ClientSecret{}, "", err
		}
	}
	row.Hash = secret.Hash()
	return row, secret, nil
}

// secretKey opens a sealed secret: its octets are the key, OpenID Connect Core
// §10.1. One that belongs to another row does not open, and one that is not what
// its hash says was not ours to begin with.
func (r *Registrar) secretKey(row model.ClientSecret) (*jwk.Key, error) {
	text, err := r.Keys.Unseal(keys.PurposeClientSecret, string(row.ID), row.Sealed)
	if err != nil {
		return nil, fmt.Errorf("client secret %s %w", row.ID, err)
	}
	defer clear(text)
	if !model.Secret(text).Matches(row.Hash) {
		return nil, fmt.Errorf("client secret %s is another one inside", row.ID)
	}
	return jwk.New(text, jwk.Params{Use: jwk.UseSignature})
}

// AddSecret gives a client a further secret and returns it, once.
//
// Errors: store.ErrNotFound, ErrTooManySecrets, ErrNoSecret; store.ErrConflict
// where the client's method was changed in the meantime.
func (r *Registrar) AddSecret(ctx context.Context, by model.Actor, id model.ClientID) (model.ClientSecret, model.Secret, error) {
	var c model.Client
	err := r.Store.View(ctx, func(tx *store.Tx) (err error) {
		c, err = tx.Client(id)
		return err
	})
	if err != nil {
		return model.ClientSecret{}, "", err
	}
	if !usesSecret(c.AuthMethod) {
		return model.ClientSecret{}, "", ErrNoSecret
	}
	row, secret, err := r.newSecret(c)
	if err != nil {
		return model.ClientSecret{}, "", err
	}
	err = r.Store.Update(ctx, func(tx *store.Tx) error {
		if now, err := tx.Client(id); err != nil || now.AuthMethod != c.AuthMethod {
			return cmp.Or(err, store.ErrConflict) // the secret was made for another method
		}
		old, err := tx.ClientSecrets(id)
		if err != nil {
			return err
		}
		live := 0
		for _, s := range old {
			if (clientSecret{ClientSecret: s}).live(r.unix()) {
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
	r.clients.forget(id)
	if err != nil {
		return model.ClientSecret{}, "", err
	}
	return row, secret, nil
}

// RemoveSecret makes a secret useless at once.
//
// Errors: store.ErrNotFound.
func (r *Registrar) RemoveSecret(ctx context.Context, by model.Actor, id model.ClientID, secret model.SecretID) error {
	err := r.Store.Update(ctx, func(tx *store.Tx) error {
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
	r.clients.forget(id)
	return err
}

// CheckSecret holds a secret to those of the client that are live now.
func (c *Client) CheckSecret(s model.Secret, now int64) error {
	hash := []byte(s.Hash())
	ok := 0
	for _, row := range c.secrets {
		same := subtle.ConstantTimeCompare(hash, []byte(row.Hash))
		if row.live(now) {
			ok |= same
		}
	}
	if ok == 0 {
		return errors.New("wrong client secret")
	}
	return nil
}

// AssertionKeys are the keys that a client's assertions are verified with: its
// live secrets, or its public keys.
func (c *Client) AssertionKeys(now int64) (jwk.Source, error) {
	if c.AuthMethod == model.AuthPrivateKey {
		if c.Keys == nil {
			return nil, errors.New("the client has no keys")
		}
		return c.Keys, nil
	}
	var live []*jwk.Key
	for _, s := range c.secrets {
		if s.key != nil && s.live(now) {
			live = append(live, s.key)
		}
	}
	if len(live) == 0 {
		return nil, errors.New("the client has no secret that it could have signed with: give it a new one")
	}
	return jwk.NewSet(live...)
}
