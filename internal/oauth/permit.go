package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Permit is an access token of ours with which this server itself is asked for
// something: whose it is and what it permits.
type Permit struct {
	Client    model.Client
	User      model.UserID // empty: the client acts for itself
	Scope     []string
	ExpiresAt int64

	token bearer
}

// Actor is who asks, for the audit log: the person, where there is one.
func (p Permit) Actor(address string) model.Actor {
	if p.User != "" {
		return model.Actor{Kind: model.ActorUser, ID: string(p.User), Address: address}
	}
	return model.Actor{Kind: model.ActorClient, ID: string(p.Client.ID), Address: address}
}

// permit reads an access token that has to permit one of some scopes here: one for
// another audience does not, though it be ours.
func (a *Authority) permit(ctx context.Context, token string, scopes ...string) (Permit, error) {
	t, err := a.accessToken(ctx, token)
	if errors.Is(err, errDead) {
		return Permit{}, errNotAlive(err)
	}
	if err != nil {
		return Permit{}, inner(err)
	}
	if !slices.Contains(t.Audience, a.Issuer) {
		return Permit{}, fail(InvalidToken, "The access token is for another audience") // RFC 9068 §4
	}
	c, err := a.Registrar.Client(ctx, model.ClientID(t.ClientID))
	if errors.Is(err, store.ErrNotFound) {
		return Permit{}, errNotAlive(err)
	}
	if err != nil {
		return Permit{}, inner(err)
	}
	p := Permit{Client: c.Client, User: t.user, Scope: strings.Fields(t.Scope), ExpiresAt: t.ExpiresAt, token: t}
	// What an operator has taken from the client, its older tokens lose as well.
	has := func(s string) bool { return slices.Contains(p.Scope, s) && slices.Contains(c.Scopes, s) }
	if !slices.ContainsFunc(scopes, has) {
		return Permit{}, &Error{Code: InsufficientScope, Description: "The scope " + scopes[0] + " is required", Scope: scopes[0]}
	}
	return p, nil
}

// PermitClient reads an access token that a client got for itself (RFC 6749 §4.4)
// with one of some scopes: no person's will do.
//
// Errors: *Error with InvalidToken or InsufficientScope (RFC 6750 §3.1).
func (a *Authority) PermitClient(ctx context.Context, token string, scopes ...string) (Permit, error) {
	p, err := a.permit(ctx, token, scopes...)
	if err == nil && p.token.GrantID != "" {
		err = fail(InsufficientScope, "The access token is a person's: a client has to get one for itself, with client_credentials")
	}
	if err != nil {
		return Permit{}, err
	}
	return p, nil
}

// PermitAdministrator reads an access token with a scope that a client got for itself
// or from an administrator: a person may do through a client what they may do, and
// no more.
//
// Errors: *Error with InvalidToken or InsufficientScope (RFC 6750 §3.1).
func (a *Authority) PermitAdministrator(ctx context.Context, token, scope string) (Permit, error) {
	p, err := a.permit(ctx, token, scope)
	if err != nil || p.token.GrantID == "" {
		return p, err
	}
	var u model.User
	var gone *Error
	err = a.view(ctx, func(tx *store.Tx) error {
		u, gone = person(tx, p.User)
		return nil
	})
	switch {
	case err != nil:
		return Permit{}, err
	case gone != nil:
		return Permit{}, errNotAlive(gone)
	case !u.Admin:
		return Permit{}, fail(InsufficientScope, "The access token is of a person who is no administrator")
	}
	return p, nil
}

// EndedBy reports whether an entry of the revocation log puts the token out.
func (p Permit) EndedBy(r model.Revocation) bool {
	t := p.token
	switch r.Kind {
	case model.KindSession:
		return r.Value == t.SessionID
	case model.KindGrant:
		return r.Value == t.GrantID
	case model.KindToken:
		return r.Value == t.ID
	case model.KindSubject:
		return r.Value == string(t.user) && t.IssuedAt <= r.CutOff
	case model.KindClient:
		return r.Value == t.ClientID && t.IssuedAt <= r.CutOff
	}
	return t.IssuedAt <= r.CutOff // all, and what this program does not know
}

// Follow lets a client follow the revocation feed. The APIs that it stands for are
// the audiences that it sees.
//
// Errors: *Error with InvalidToken, InsufficientScope, or AccessDenied for a client
// that stands for no API.
func (a *Authority) Follow(ctx context.Context, token string) (Permit, error) {
	p, err := a.PermitClient(ctx, token, ScopeFeed)
	if err == nil && len(p.Client.Resources) == 0 {
		err = fail(AccessDenied, "The client stands for no API, so nothing concerns it: an operator names one with ostiary client update %s --resource URI", plain(string(p.Client.ID)))
	}
	if err != nil {
		return Permit{}, err
	}
	return p, nil
}
