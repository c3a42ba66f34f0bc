package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// UserInfo tells what the scopes of an access token allow about its person, and
// what its grant was asked for one by one, OpenID Connect Core §5.3.
//
// Errors: *Error with InvalidToken or InsufficientScope (RFC 6750 §3.1).
func (a *Authority) UserInfo(ctx context.Context, token string) (map[string]any, error) {
	claims, err := a.accessToken(ctx, token)
	if errors.Is(err, errDead) {
		return nil, &Error{Code: InvalidToken, Description: "The access token expired, was revoked, or is not valid", cause: err}
	}
	if err != nil {
		return nil, inner(err)
	}
	if !slices.Contains(claims.Audience, a.Issuer) {
		return nil, fail(InvalidToken, "The access token is for another audience") // RFC 9068 §4
	}
	scope := strings.Fields(claims.Scope)
	if !slices.Contains(scope, ScopeOpenID) {
		return nil, fail(InsufficientScope, "The scope openid is required") // OpenID Connect Core §5.3.1
	}
	var grant model.Grant
	var u model.User
	var gone *Error
	err = a.view(ctx, func(tx *store.Tx) (err error) {
		grant, err = tx.Grant(model.GrantID(claims.GrantID))
		if errors.Is(err, store.ErrNotFound) {
			gone = &Error{Description: "The access token expired, was revoked, or is not valid", cause: err}
			return nil
		}
		if err != nil {
			return err
		}
		u, gone = person(tx, grant.UserID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if gone != nil {
		return nil, &Error{Code: InvalidToken, Description: gone.Description, cause: gone}
	}
	return Claims(u, scope, grant.Claims.UserInfo), nil
}
