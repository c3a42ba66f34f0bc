package oauth

import (
	"context"
	"errors"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
)

// Revoke makes a token useless, RFC 7009. A refresh token takes its whole
// grant with it, access tokens included (§2.1); an auth session its session; an
// access token goes alone. Of a token that is unknown or dead nothing is said and
// nothing is done (§2.2); one of another client's is refused (§2.1).
//
// Errors: *Error.
func (a *Authority) Revoke(ctx context.Context, call Call) error {
	ctx, span := trace.Start(ctx, "oauth.Revoke")
	defer span.End()
	p, e := parse(call.Form)
	if e != nil {
		return e
	}
	c, e := a.authenticate(ctx, call, PathRevoke, p)
	if e != nil {
		return e
	}
	token := p.get("token")
	if token == "" {
		return fail(InvalidRequest, "The parameter token is missing")
	}
	if t, ok := parseRefresh(token); ok {
		return a.revokeRefresh(ctx, calling(c, call), t)
	}
	if strings.HasPrefix(token, authSessionPrefix) {
		return a.revokeAuthSession(ctx, c, call, token)
	}
	claims, err := a.accessToken(ctx, token)
	switch {
	case errors.Is(err, errDead):
		return nil
	case err != nil:
		return inner(err)
	case claims.ClientID != string(c.ID):
		return errNotYours()
	}
	return a.update(ctx, func(tx *store.Tx) error {
		end := a.ending(model.CauseRevoked)
		end.DropAt = claims.ExpiresAt + seconds(model.Leeway)
		if err := tx.RevokeToken(claims.ID, claims.Audience, end); err != nil {
			return err
		}
		return tx.Record(model.Event{
			Actor:  model.Actor{Kind: model.ActorClient, ID: string(c.ID), Address: call.Address},
			Action: "token.revoke", UserID: claims.user, ClientID: c.ID, Detail: "jti=" + claims.ID,
		})
	})
}

// errNotYours refuses to end what another client holds. That the token is good it
// tells only to somebody who has it.
func errNotYours() *Error {
	return fail(InvalidGrant, "The token was issued to another client") // RFC 7009 §2.1, RFC 6749 §5.2
}

func (a *Authority) revokeRefresh(ctx context.Context, c *registration.Client, t refreshToken) error {
	return a.update(ctx, func(tx *store.Tx) error {
		g, err := tx.Grant(t.grant)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		// Any generation will do: who holds an old one held the family.
		switch {
		case g.Salt == "" || !same(a.refreshMAC(g, t.generation), t.mac):
			return nil
		case g.ClientID != c.ID:
			return errNotYours()
		case g.EndedAt != 0:
			return nil
		}
		return a.endGrant(tx, c, g.ID, model.CauseRevoked, "grant.revoke")
	})
}
