package oauth

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/model"
)

// PathGlobalRevocation is where all that a person has is revoked
// (draft-parecki-oauth-global-token-revocation-06 §3.1).
const PathGlobalRevocation = "/global-token-revocation"

// Caller returns the client that asks this server itself for something, by an
// access token of its own (RFC 6749 §4.4) that permits one of the scopes: no person's
// token will do, whatever its scope. Whoever lacks them is told the first.
//
// Errors: *Error with InvalidToken or InsufficientScope.
func (a *Authority) Caller(ctx context.Context, token string, scopes ...string) (model.Client, error) {
	var first error
	for _, scope := range scopes {
		p, err := a.Permit(ctx, token, scope)
		var e *Error
		switch {
		case err == nil && p.token.GrantID != "":
			return model.Client{}, fail(InsufficientScope, "The access token is a person's: a client has to get one for itself, with client_credentials")
		case err == nil:
			return p.Client, nil
		case !errors.As(err, &e) || e.Code != InsufficientScope:
			return model.Client{}, err
		case first == nil:
			first = err
		}
	}
	return model.Client{}, first
}
