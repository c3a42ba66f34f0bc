package oauth

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwk"
)

// checkHints reads who the client expects, OpenID Connect Core §3.1.2.1: a login
// to begin with, and an ID token that says who must sign in and nobody else.
func checkHints(d *draft) *Error {
	d.asked.LoginHint = d.params.get("login_hint")
	hint := d.params.get("id_token_hint")
	if hint == "" {
		return nil
	}
	claims, person, err := d.hint(d.ctx, hint)
	if errors.Is(err, errNoHint) {
		return errHint(err)
	}
	if err != nil {
		return inner(err).(*Error)
	}
	// OpenID Connect Core §3.1.2.1: the hint is about a session "with the
	// Client". What another client was told about a person is none of this one's:
	// two that know a person by two subjects could otherwise find out with
	// prompt=none that both are of the same.
	if claims.Audience[0] != string(d.client.ID) {
		return fail(InvalidRequest, "The id_token_hint was issued to another client")
	}
	return d.expect(person)
}

func errHint(cause error) *Error {
	e := fail(InvalidRequest, "The id_token_hint is not an ID token of this server")
	e.cause = cause
	return e
}

// expect notes that nobody else than this person will do.
func (d *draft) expect(person model.UserID) *Error {
	if d.asked.Subject != "" && d.asked.Subject != person {
		return fail(InvalidRequest, "The id_token_hint and the claim sub are about two people")
	}
	d.asked.Subject = person
	return nil
}

// nobody is no account's identifier: none begins with a dash.
const nobody model.UserID = "-"

// personOf returns whom a client means by a subject. There need be no such
// person: then nobody who signs in is the one that was asked for. A pairwise
// client knows people by the names of its sector and means nobody by another
// one, or it could find out with prompt=none who stands behind that.
func (a *Authority) personOf(ctx context.Context, c *registration.Client, subject string) (model.UserID, error) {
	if c.SubjectType != model.SubjectPairwise {
		return model.UserID(subject), nil
	}
	sector, err := registration.SectorOf(c.ClientSettings)
	if err != nil {
		return "", err
	}
	var s model.Subject
	err = a.Store.View(ctx, func(tx *store.Tx) (err error) { s, err = tx.Subject(subject); return err })
	if errors.Is(err, store.ErrNotFound) || err == nil && s.Sector != sector {
		return nobody, nil
	}
	return s.UserID, err
}

var errNoHint = errors.New("not an ID token of ours")

// hint reads an ID token of ours that a client sends back, and finds the account
// that it is about. An expired one is good; a forged one, or another kind of
// token, is errNoHint.
func (a *Authority) hint(ctx context.Context, token string) (idClaims, model.UserID, error) {
	t, err := a.hints.Verify(ctx, token)
	if errors.Is(err, jwk.ErrUnavailable) {
		return idClaims{}, "", err
	}
	if err != nil {
		return idClaims{}, "", errors.Join(errNoHint, err)
	}
	if t.Claims.Subject == "" || t.Claims.IssuedAt == 0 || len(t.Claims.Audience) != 1 {
		return idClaims{}, "", errors.Join(errNoHint, errors.New("the token names no subject, no single audience, or no time"))
	}
	user, err := a.known(ctx, t.Claims.Subject)
	return t.Claims, user, err
}
