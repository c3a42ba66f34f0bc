package oauth

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/model"
)

// checkHints reads who the client expects, OpenID Connect Core §3.1.2.1: a login
// to begin with, and an ID token that says who must sign in and nobody else.
func checkHints(d *draft) *Error {
	d.asked.LoginHint = d.params.get("login_hint")
	hint := d.params.get("id_token_hint")
	if hint == "" {
		return nil
	}
	claims, err := d.hint(d.ctx, hint)
	if err != nil {
		return &Error{Code: InvalidRequest, Description: "The id_token_hint is not an ID token of this server", cause: err}
	}
	// OpenID Connect Core §3.1.2.1: the hint is about a session "with the
	// Client". What another client was told about a person is none of this one's.
	if claims.Audience[0] != string(d.client.ID) {
		return fail(InvalidRequest, "The id_token_hint was issued to another client")
	}
	return d.expect(claims.Subject)
}

// expect notes that no other person than the subject will do.
func (d *draft) expect(subject string) *Error {
	person, err := d.personOf(d.ctx, d.client, subject)
	if err != nil {
		return inner(err).(*Error)
	}
	if d.asked.Subject != "" && d.asked.Subject != person {
		return fail(InvalidRequest, "The id_token_hint and the claim sub are about two people")
	}
	d.asked.Subject = person
	return nil
}

// personOf returns whom a client means by a subject. There need be no such
// person: then nobody who signs in is the one that was asked for.
func (a *Authority) personOf(_ context.Context, _ *client, subject string) (model.UserID, error) {
	return model.UserID(subject), nil
}

// hint reads an ID token of ours that a client sends back. An expired one is
// good; a forged one, or another kind of token, is not.
func (a *Authority) hint(ctx context.Context, token string) (idClaims, error) {
	t, err := a.hints.Verify(ctx, token)
	if err != nil {
		return idClaims{}, err
	}
	if t.Claims.Subject == "" || t.Claims.IssuedAt == 0 || len(t.Claims.Audience) != 1 {
		return idClaims{}, errors.New("the token names no subject, no single audience, or no time")
	}
	return t.Claims, nil
}
