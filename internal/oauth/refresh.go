package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
)

// A refresh token says which grant it belongs to and which generation of that
// grant's family it is, under a MAC:
//
//	ost_rt_ <grant> . <generation> . base64url(HMAC-SHA256(key, grant ‖ salt ‖ generation))
//
// The key is derived from the server's master key and the salt is the grant's
// own. So no token is stored, not even as a hash; a family is one row however
// often it is renewed; and the successor of a token can be handed out again
// when the answer that carried it was lost (Replay, below).
const refreshPrefix = "ost_rt_"

// maxReplays bounds how often one token is handed its successor again. It is more
// than any number of tabs, threads and workers that share one token. Beyond it
// nothing ends: who asks once more inside the window learns nothing that the others
// were not told, and a family that ended by being asked for too often would let
// anybody who saw an old token sign its owner out. What it bounds is how many
// access tokens, and lines of the audit log, one used token can cause.
const maxReplays = 256

// seenEvery is how often, at most, the use of a refresh token is noted as use
// of the session, in seconds.
const seenEvery = 60

type refreshToken struct {
	grant      model.GrantID
	generation int64
	mac        string
}

func parseRefresh(s string) (refreshToken, bool) {
	s, ok := strings.CutPrefix(s, refreshPrefix)
	part := strings.Split(s, ".")
	if !ok || len(part) != 3 || len(part[0]) > 64 {
		return refreshToken{}, false
	}
	n, err := strconv.ParseInt(part[1], 36, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 36) != part[1] {
		return refreshToken{}, false
	}
	return refreshToken{model.GrantID(part[0]), n, part[2]}, true
}

func (a *Authority) refreshMAC(g model.Grant, generation int64) string {
	mac := hmac.New(sha256.New, a.refreshKey)
	for _, part := range []string{string(g.ID), g.Salt, strconv.FormatInt(generation, 36)} {
		mac.Write([]byte(part))
		mac.Write([]byte{0}) // no part holds a zero byte
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (a *Authority) refreshSecret(g model.Grant, generation int64) model.Secret {
	return model.Secret(refreshPrefix + string(g.ID) + "." + strconv.FormatInt(generation, 36) + "." + a.refreshMAC(g, generation))
}

// startRefresh begins the family of refresh tokens of a grant, which from now on lives
// until its end.
func (a *Authority) startRefresh(tx *store.Tx, c *registration.Client, g *model.Grant, end int64) (model.Secret, error) {
	now := a.unix()
	begun, err := tx.StartRefresh(*g, model.NewID(), now, a.idleAt(c, now), end)
	if err != nil {
		return "", err
	}
	*g = begun
	return a.refreshSecret(begun, 1), nil
}

func (a *Authority) idleAt(c *registration.Client, now int64) int64 {
	if c.RefreshIdle > 0 {
		return now + c.RefreshIdle
	}
	return now + seconds(a.RefreshIdle)
}

// errRefresh is the one answer to every refresh token that this client does not
// hold, so that nothing can be learned by trying.
func errRefresh(cause error) *Error {
	return &Error{Code: InvalidGrant, Description: "The refresh token is not valid, was used already, or has expired", cause: cause}
}

// errEnded refuses a refresh token that this client does hold, and says why its
// grant has ended. The texts are fixed; a program switches on the cause.
func errEnded(why model.Cause) *Error {
	e := &Error{Code: InvalidGrant, Ended: why, Description: "The session has ended"}
	switch why {
	case model.CauseAccountDisabled:
		e.Description = "The account is locked"
	case model.CauseExpired:
		e.Description = "The session or the refresh token has expired"
	case model.CauseReuseDetected:
		e.Description = "A refresh token or a code was used twice, so everything that came from it has ended"
	case model.CauseRevoked:
		e.Description = "The application has revoked its access"
	}
	return e
}

// redeemRefresh renews, RFC 6749 §6. Every use rotates (RFC 9700 §4.14.2).
func (a *Authority) redeemRefresh(ctx context.Context, c *registration.Client, p params) (issuance, *Error) {
	if !p.has("refresh_token") {
		return issuance{}, fail(InvalidRequest, "The parameter refresh_token is missing")
	}
	t, ok := parseRefresh(p.get("refresh_token"))
	if !ok {
		return issuance{}, errRefresh(errors.New("malformed"))
	}
	var out issuance
	var refused *Error
	var stale model.Grant
	err := a.Store.Redeem(ctx, func(tx *store.Tx) error {
		out, refused = issuance{}, nil
		h, err := tx.Holding(t.grant)
		if errors.Is(err, store.ErrNotFound) {
			refused = errRefresh(err)
			return nil
		}
		if err != nil {
			return err
		}
		g := h.Grant
		renewed, session, e := a.checkRefresh(tx, c, h, t, p)
		if e != nil {
			refused, stale = e, g
			if e.Ended == model.CausePolicy && g.EndedAt == 0 {
				return a.endGrant(tx, c, g.ID, model.CausePolicy, "grant.refuse")
			}
			return nil
		}
		if renewed.at, e = a.issuedAt(g.NotBefore); e != nil {
			return e
		}
		g, refused, err = a.rotate(tx, c, g, t)
		if err != nil || refused != nil {
			return err
		}
		// Not before: a refusal changes nothing, and so there is nothing to account for.
		if err := a.touch(tx, session, a.unix()); err != nil {
			return err
		}
		out = renewed
		out.grant, out.refresh = g, a.refreshSecret(g, g.Generation)
		return tx.Record(model.Event{
			Actor:  model.Actor{Kind: model.ActorClient, ID: string(c.ID), Address: c.Address},
			Action: "grant.renew", UserID: g.UserID, ClientID: c.ID, Detail: "grant=" + string(g.ID),
		})
	})
	if err != nil {
		return issuance{}, inner(err).(*Error)
	}
	if refused != nil && refused.Code == InsufficientAuthorization {
		refused = a.askAgain(ctx, stale, refused)
	}
	return out, refused
}

// checkRefresh holds a refresh token to its grant and returns what it earns, but
// for its successor, and the session that the grant stands and falls with.
func (a *Authority) checkRefresh(tx *store.Tx, c *registration.Client, h store.Holding, t refreshToken, p params) (issuance, model.Session, *Error) {
	g, none := h.Grant, model.Session{}
	switch {
	case g.Salt == "" || !same(a.refreshMAC(g, t.generation), t.mac):
		return issuance{}, none, errRefresh(errors.New("the MAC does not fit"))
	case g.ClientID != c.ID:
		return issuance{}, none, errRefresh(errors.New("the token was issued to another client")) // RFC 6749 §6
	}
	user, e := holder(tx, c, h)
	if e != nil {
		return issuance{}, none, e
	}
	s, e := a.standing(c, h)
	if e == nil {
		e = a.checkStale(c, g)
	}
	if e != nil {
		return issuance{}, none, e
	}
	scope, e := narrow(g.Scope, p)
	if e != nil {
		return issuance{}, none, e
	}
	aud, e := a.target(p.all("resource"), scope, g.Audience) // RFC 8707 §2.2
	return issuance{client: c, scope: scope, audience: aud, idToken: slices.Contains(scope, ScopeOpenID), user: user}, s, e
}

// standing returns the session that a grant stands and falls with, a zero one where
// it outlives its session, or why the grant cannot be renewed any more. That its
// person is not locked is not asked here.
func (a *Authority) standing(c *registration.Client, h store.Holding) (model.Session, *Error) {
	now, g := a.unix(), h.Grant
	switch {
	case g.EndCause == model.CauseAccountDisabled:
		return model.Session{}, errEnded(model.CauseAdmin) // the account is open again, the grant is not
	case g.EndedAt != 0:
		return model.Session{}, errEnded(g.EndCause)
	case !g.Live(now) || g.IdleAt <= now:
		return model.Session{}, errEnded(model.CauseExpired)
	case g.Offline && a.outlives(c.Client): // as the policy is today
		return model.Session{}, nil
	}
	switch s := h.Session; {
	case s.ID == "" || s.EndedAt != 0:
		return model.Session{}, errEnded(model.CausePolicy)
	case !s.Live(now):
		return model.Session{}, errEnded(model.CauseExpired) // Expire will find it in a moment
	}
	return h.Session, nil
}

// touch counts a renewal as use of the session, if there is one, so that whoever works
// in an application all day is not signed out of it for never visiting this server.
func (a *Authority) touch(tx *store.Tx, s model.Session, now int64) error {
	if s.ID == "" || now-s.SeenAt < seenEvery {
		return nil
	}
	return tx.TouchSession(s.ID, now, min(s.IdleAt+now-s.SeenAt, s.ExpiresAt))
}

// narrow gives what was granted, or the part of it that is asked for: "The
// requested scope MUST NOT include any scope not originally granted" (RFC 6749
// §6).
func narrow(granted []string, p params) ([]string, *Error) {
	asked := p.list("scope")
	if len(asked) == 0 {
		return granted, nil
	}
	if more := without(asked, granted); len(more) > 0 {
		return nil, fail(InvalidScope, "The scope %s was not granted", plain(more[0]))
	}
	return asked, nil
}

// rotate uses a refresh token up. Racing requests and lost answers must not
// sign anybody out, and a stolen token must not live:
//
//   - the live generation rises by one;
//   - its direct predecessor, within RefreshRace and while the successor is
//     unused, is given the same successor again, a bounded number of times, and
//     beyond that told to come back with the successor;
//   - any other old one ends the family (RFC 9700 §4.14.2).
//
// That the successor is unused needs no flag: using it would have raised the
// generation once more.
func (a *Authority) rotate(tx *store.Tx, c *registration.Client, g model.Grant, t refreshToken) (model.Grant, *Error, error) {
	now := a.unix()
	next, err := tx.RotateRefresh(g, t.generation, now, a.idleAt(c, now))
	if !errors.Is(err, store.ErrNotFound) {
		return next, nil, err
	}
	if g.Generation == t.generation+1 && a.racing(g, now) {
		next, err = tx.ReplayRefresh(g.ID, g.Generation, maxReplays)
		if errors.Is(err, store.ErrNotFound) {
			return model.Grant{}, errCrowd(), nil
		}
		return next, nil, err
	}
	refused := errEnded(model.CauseReuseDetected)
	refused.cause = errors.New("an old refresh token was used again")
	return model.Grant{}, refused, a.endGrant(tx, c, g.ID, model.CauseReuseDetected, "grant.reuse")
}

// racing reports whether the last rotation is so fresh that whoever comes with the
// token before it may have come at the same time. A rotation in the future is as
// far away as one in the past: a clock that is put back opens no window.
func (a *Authority) racing(g model.Grant, now int64) bool {
	return max(now-g.RotatedAt, g.RotatedAt-now) <= seconds(a.RefreshRace)
}

func errCrowd() *Error {
	e := fail(TooManyRequests, "This refresh token was used too often at once: go on with the one that it was exchanged for")
	e.RetryAfter = 1
	return e
}
