package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
)

// subject names a person for the grant of a client: "" for a public one, which
// knows the account, and otherwise the name that they have in its sector. The
// name is kept: it outlives the master key that made it, and can be followed back
// (OpenID Connect Core §8.1).
func (a *Authority) subject(tx *store.Tx, c model.Client, user model.UserID) (string, error) {
	if c.SubjectType != model.SubjectPairwise {
		return "", nil
	}
	sector, err := registration.SectorOf(c.ClientSettings)
	if err != nil {
		return "", err
	}
	known, err := tx.SubjectOf(user, sector)
	if !errors.Is(err, store.ErrNotFound) {
		return known.Value, err
	}
	fresh := model.Subject{Value: a.pairwise(sector, user), Sector: sector, UserID: user}
	// Where another request was first in this very moment, it made the same.
	if err := tx.InsertSubject(fresh); err != nil && !errors.Is(err, store.ErrConflict) {
		return "", err
	}
	return fresh.Value, nil
}

// pairwise computes the name of a person in a sector: nobody without the key can
// go back to the account, or tell that two names are of one person.
func (a *Authority) pairwise(sector string, user model.UserID) string {
	mac := hmac.New(sha256.New, a.subjectKey)
	mac.Write([]byte(sector))
	mac.Write([]byte{0}) // neither part holds a zero byte
	mac.Write([]byte(user))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Subject is how a client knows a person: the "sub" of all that it is told about
// them, also when they have just been deleted.
func (a *Authority) Subject(ctx context.Context, c model.Client, user model.UserID) (string, error) {
	if c.SubjectType != model.SubjectPairwise {
		return string(user), nil
	}
	sector, err := registration.SectorOf(c.ClientSettings)
	if err != nil {
		return "", err
	}
	var s model.Subject
	err = a.Store.View(ctx, func(tx *store.Tx) (err error) { s, err = tx.SubjectOf(user, sector); return err })
	if errors.Is(err, store.ErrNotFound) {
		return a.pairwise(sector, user), nil
	}
	return s.Value, err
}

// known returns the account behind the "sub" of an ID token of ours.
func (a *Authority) known(ctx context.Context, sub string) (model.UserID, error) {
	var s model.Subject
	err := a.Store.View(ctx, func(tx *store.Tx) (err error) { s, err = tx.Subject(sub); return err })
	if errors.Is(err, store.ErrNotFound) {
		return model.UserID(sub), nil // a public one, or nobody's any more
	}
	return s.UserID, err
}

// sub is the "sub" of what is issued to a client, and whether it is a pairwise
// one. A grant without a name never tells a pairwise client the account instead.
func (i issuance) sub() (sub string, pairwise bool, err error) {
	switch {
	case i.grant.Subject != "":
		return i.grant.Subject, true, nil
	case i.client.SubjectType == model.SubjectPairwise:
		return "", false, errors.New("oauth: the grant of a pairwise client has no subject")
	}
	return string(i.grant.UserID), false, nil
}
