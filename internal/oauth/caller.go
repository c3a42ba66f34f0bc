package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// PathGlobalRevocation is where all that a person has is revoked
// (draft-parecki-oauth-global-token-revocation-06 §3.1).
const PathGlobalRevocation = "/global-token-revocation"

// Caller returns the client that asks this server itself for something, by an
// access token of its own (RFC 6749 §4.4) with one of the scopes: no person's token
// will do, whatever its scope.
//
// Errors: *Error, InvalidToken or InsufficientScope.
func (a *Authority) Caller(ctx context.Context, token string, scopes ...string) (model.Client, error) {
	t, err := a.accessToken(ctx, token)
	switch {
	case errors.Is(err, errDead):
		return model.Client{}, &Error{Code: InvalidToken, Description: "The access token is not valid", cause: err}
	case err != nil:
		return model.Client{}, inner(err)
	case !slices.Contains(t.Audience, a.Issuer): // RFC 9068 §4
		return model.Client{}, fail(InvalidToken, "The access token is for another server")
	case t.GrantID != "" || t.Subject != t.ClientID:
		return model.Client{}, fail(InvalidToken, "The access token is a person's: a client must ask for itself")
	}
	has := strings.Fields(t.Scope)
	if !slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(has, s) }) {
		return model.Client{}, fail(InsufficientScope, "The access token lacks the scope %s", scopes[0])
	}
	c, err := a.client(ctx, model.ClientID(t.ClientID))
	if errors.Is(err, store.ErrNotFound) {
		return model.Client{}, fail(InvalidToken, "The client is gone")
	}
	if err != nil {
		return model.Client{}, inner(err)
	}
	return c.Client, nil
}
