package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
)

// UserInfo is what the userinfo endpoint answers: claims in JSON, or for a client
// that is registered for it a JWT of them.
type UserInfo struct {
	Claims map[string]any
	JWT    string // empty: in JSON
}

// UserInfo tells whoever asks at an address what the scopes of an access token allow
// about its person, and what its grant was asked for one by one, OpenID Connect Core
// §5.3.
//
// Errors: *Error with InvalidToken or InsufficientScope (RFC 6750 §3.1), or
// TooManyRequests.
func (a *Authority) UserInfo(ctx context.Context, token, address string) (UserInfo, error) {
	ctx, span := trace.Start(ctx, "oauth.UserInfo")
	defer span.End()
	claims, err := a.accessTokenOf(ctx, token)
	if errors.Is(err, errDead) {
		return UserInfo{}, errNotAlive(err)
	}
	if err != nil {
		return UserInfo{}, inner(err)
	}
	if !slices.Contains(claims.Audience, a.Issuer) {
		return UserInfo{}, fail(InvalidToken, "The access token is for another audience") // RFC 9068 §4
	}
	scope := strings.Fields(claims.Scope)
	if !slices.Contains(scope, ScopeOpenID) {
		return UserInfo{}, &Error{Code: InsufficientScope, Description: "The scope openid is required", Scope: ScopeOpenID} // OpenID Connect Core §5.3.1
	}
	c, err := a.Registrar.Client(ctx, model.ClientID(claims.ClientID))
	if errors.Is(err, store.ErrNotFound) {
		return UserInfo{}, errNotAlive(err)
	}
	if err != nil {
		return UserInfo{}, inner(err)
	}
	if err := a.admitUser(claims.user, c.ID, address); err != nil {
		return UserInfo{}, err
	}
	if claims.grant.ID == "" {
		return UserInfo{}, errNotAlive(errors.New("the token is of no person"))
	}
	if gone := mayHold(claims.person.Status); gone != nil {
		return UserInfo{}, &Error{Code: InvalidToken, Description: gone.Description, cause: gone}
	}
	told := Claims(c.Client, claims.person, scope, claims.grant.Claims.UserInfo)
	told["sub"] = claims.Subject // §5.3.2: the one of the ID token
	return a.dress(ctx, c, told)
}

func errNotAlive(cause error) *Error {
	return &Error{Code: InvalidToken, Description: "The access token expired, was revoked, or is not valid", cause: cause}
}

// dress gives an answer of userinfo the form that its client is registered for:
// JSON, signed, encrypted, or signed and then encrypted (OpenID Connect Core
// §5.3.2).
//
// A signed answer cannot pass for an ID token or an access token: its "typ" is its
// own, and for those who do not look at that, it does not say when it expires,
// which both of the others must (RFC 8725 §3.11, §3.12).
func (a *Authority) dress(ctx context.Context, c *registration.Client, told map[string]any) (UserInfo, error) {
	if c.UserInfoAlgorithm == "" && c.UserInfoEncryption == "" {
		return UserInfo{Claims: told}, nil
	}
	told = maps.Clone(told)
	told["iss"], told["aud"] = a.Issuer, string(c.ID)
	var out UserInfo
	var err error
	if c.UserInfoAlgorithm != "" {
		if out.JWT, err = a.Keys.Sign(jwa.Algorithm(c.UserInfoAlgorithm), userInfoType, told); err != nil {
			return UserInfo{}, inner(err)
		}
	}
	if c.UserInfoEncryption == "" {
		return out, nil
	}
	to, e := a.recipient(ctx, c, c.UserInfoEncryption, c.UserInfoContent)
	if e != nil {
		return UserInfo{}, e
	}
	if out.JWT != "" {
		out.JWT, err = to.seal(out.JWT)
	} else {
		out.JWT, err = to.sealClaims(told)
	}
	if err != nil {
		return UserInfo{}, inner(err)
	}
	return out, nil
}

// sealClaims encrypts claims that nobody signed: that they came from here, the
// connection over which they were asked for has to prove.
func (r recipient) sealClaims(told map[string]any) (string, error) {
	text, err := json.Marshal(told)
	if err != nil {
		return "", err
	}
	return r.encrypt(text, jwe.EncryptOptions{Type: userInfoType})
}
