package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Caller is who calls an endpoint of this server with an access token.
type Caller struct {
	TokenID   string
	ExpiresAt int64 // of the token
	Client    model.ClientID
	User      model.UserID // who uses the client; empty: it acts for itself
}

// Actor is the caller for the audit log: the person, where there is one.
func (c Caller) Actor(address string) model.Actor {
	if c.User != "" {
		return model.Actor{Kind: model.ActorUser, ID: string(c.User), Address: address}
	}
	return model.Actor{Kind: model.ActorClient, ID: string(c.Client), Address: address}
}

// Authorize lets a caller use an endpoint of this server that wants a scope: with a
// live access token for this server, of a client that may still have the scope, and
// that acts for itself or for an administrator.
//
// Errors: *Error with InvalidToken or InsufficientScope (RFC 6750 §3.1).
func (a *Authority) Authorize(ctx context.Context, token, scope string) (Caller, error) {
	b, err := a.accessToken(ctx, token)
	if errors.Is(err, errDead) {
		return Caller{}, errNotAlive(err)
	}
	if err != nil {
		return Caller{}, inner(err)
	}
	if !slices.Contains(b.Audience, a.Issuer) {
		return Caller{}, fail(InvalidToken, "The access token is for another audience") // RFC 9068 §4
	}
	c, err := a.Registrar.Client(ctx, model.ClientID(b.ClientID))
	if errors.Is(err, store.ErrNotFound) {
		return Caller{}, errNotAlive(err)
	}
	if err != nil {
		return Caller{}, inner(err)
	}
	// What an operator has taken from the client is gone from its tokens, too.
	if !slices.Contains(strings.Fields(b.Scope), scope) || !slices.Contains(c.Scopes, scope) {
		return Caller{}, &Error{Code: InsufficientScope, Description: "The scope " + scope + " is required", Scope: scope}
	}
	if b.user != "" {
		if e := a.administrator(ctx, b.user); e != nil {
			return Caller{}, e
		}
	}
	return Caller{TokenID: b.ID, ExpiresAt: b.ExpiresAt, Client: c.ID, User: b.user}, nil
}

// administrator refuses everybody else: a person may do through a client what they
// may do, and no more.
func (a *Authority) administrator(ctx context.Context, id model.UserID) error {
	var u model.User
	var gone *Error
	err := a.view(ctx, func(tx *store.Tx) error {
		u, gone = person(tx, id)
		return nil
	})
	switch {
	case err != nil:
		return err
	case gone != nil:
		return errNotAlive(gone)
	case !u.Admin:
		return &Error{Code: InsufficientScope, Description: "The access token is of a person who is no administrator"}
	}
	return nil
}
