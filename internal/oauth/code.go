package oauth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"slices"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
)

// errCode is the one answer to every code that is not good, so that nothing can
// be learned by trying.
func errCode(cause error) *Error {
	return &Error{Code: InvalidGrant, Description: "The code is not valid, was used already, or has expired", cause: cause}
}

// redeemCode exchanges a code, RFC 6749 §4.1.3. The code is used up by the
// first client that authenticates and presents it, whatever else may be wrong:
// a verifier cannot be guessed twice (RFC 9700 §4.5).
func (a *Authority) redeemCode(ctx context.Context, c *registration.Client, p params) (issuance, *Error) {
	if !p.has("code") {
		return issuance{}, fail(InvalidRequest, "The parameter code is missing")
	}
	hash := codeHash(model.Secret(p.get("code")))
	auth := model.NewSecret(authSessionPrefix)
	var out issuance
	var refused *Error
	err := a.Store.Redeem(ctx, func(tx *store.Tx) error {
		out, refused = issuance{}, nil
		code, held, err := tx.RedeemCode(hash, a.unix())
		if errors.Is(err, store.ErrNotFound) {
			refused = errCode(err)
			return a.replayed(tx, c, hash)
		}
		if err != nil {
			return err
		}
		grant := held.Grant
		at, e := a.issuedAt(grant.NotBefore)
		if e != nil {
			return e // which leaves the code unused
		}
		session, user, e := a.checkCode(tx, c, code, held, p)
		if e == nil {
			out, e, err = a.firstIssue(tx, c, p, redeemed{grant, session, user, at})
		}
		if e != nil {
			refused = e
			return a.endGrant(tx, c, grant.ID, model.CausePolicy, "grant.refuse")
		}
		if err != nil {
			return err
		}
		if code.AuthSession != "" { // draft-ietf-oauth-first-party-apps-04 §6.1
			out.auth = auth
			if err := tx.RotateAuthSession(code.AuthSession, auth.Hash()); errors.Is(err, store.ErrNotFound) {
				out.auth = "" // swept
			} else if err != nil {
				return err
			}
		}
		return tx.Record(model.Event{
			Actor:  model.Actor{Kind: model.ActorClient, ID: string(c.ID), Address: c.Address},
			Action: "code.redeem", UserID: grant.UserID, ClientID: c.ID, Detail: "grant=" + string(grant.ID),
		})
	})
	if err != nil {
		return issuance{}, inner(err).(*Error)
	}
	return out, refused
}

// redeemed is a grant whose code has just been used up, and was good.
type redeemed struct {
	grant   model.Grant
	session model.Session
	user    model.User
	at      int64
}

// firstIssue is what such a grant gives, from now until its session or its refresh
// tokens end.
func (a *Authority) firstIssue(tx *store.Tx, c *registration.Client, p params, r redeemed) (out issuance, e *Error, err error) {
	aud, e := a.target(p.all("resource"), r.grant.Scope, r.grant.Audience) // RFC 8707 §2.2
	if e != nil {
		return issuance{}, e, nil
	}
	end := a.grantEnd(c, r.grant, r.session)
	out = issuance{
		client: c, grant: r.grant, scope: r.grant.Scope, audience: aud, idToken: slices.Contains(r.grant.Scope, ScopeOpenID),
		at: r.at, user: r.user,
	}
	if slices.Contains(c.GrantTypes, model.GrantRefreshToken) {
		out.refresh, err = a.startRefresh(tx, c, &out.grant, end)
	} else {
		out.grant.ExpiresAt, err = end, tx.ExtendGrant(r.grant.ID, end)
	}
	return out, nil, err
}

// checkCode holds a code that has just been used up to what it was issued for,
// and returns the session that it came from, and its person. The session must be
// live: the code is a minute old at most, whether or not the grant is to outlive
// it.
func (a *Authority) checkCode(tx *store.Tx, c *registration.Client, code model.Code, h store.Holding, p params) (model.Session, model.User, *Error) {
	uri := p.get("redirect_uri")
	switch {
	case code.ClientID != c.ID:
		return model.Session{}, model.User{}, errCode(errors.New("the code was issued to another client")) // RFC 6749 §4.1.3
	case (code.RedirectSent || uri != "") && uri != code.RedirectURI:
		return model.Session{}, model.User{}, errCode(errors.New("the redirect_uri differs")) // RFC 6749 §4.1.3
	case !h.Grant.Live(a.unix()):
		return model.Session{}, model.User{}, errCode(errors.New("the grant has ended"))
	}
	if e := checkVerifier(code.CodeChallenge, p.get("code_verifier")); e != nil {
		return model.Session{}, model.User{}, e
	}
	if !h.Session.Live(a.unix()) {
		return model.Session{}, model.User{}, errCode(errSessionOver)
	}
	user, e := holder(tx, c, h)
	return h.Session, user, e
}

// checkVerifier proves that who redeems the code also asked for it, RFC 7636
// §4.6. A verifier without a challenge is refused too: somebody took the
// challenge out of the request on its way (RFC 9700 §4.8.2).
func checkVerifier(challenge, verifier string) *Error {
	switch {
	case challenge == "" && verifier == "":
		return nil
	case challenge == "":
		return errCode(errors.New("a code_verifier without a code_challenge"))
	case verifier == "":
		return errCode(errors.New("the code_verifier is missing"))
	case len(verifier) < 43 || len(verifier) > 128 || !unreserved(verifier):
		return errCode(errors.New("the code_verifier is not one by RFC 7636 §4.1"))
	}
	sum := sha256.Sum256([]byte(verifier))
	if !same(base64.RawURLEncoding.EncodeToString(sum[:]), challenge) {
		return errCode(errors.New("the code_verifier does not fit the code_challenge"))
	}
	return nil
}

// replayed ends everything that a code brought, when the code comes a second
// time: one of the two who presented it stole it (RFC 6749 §4.1.2). Only the
// client that it was issued to can cause this, so nobody else can sign a
// person out with an old code.
func (a *Authority) replayed(tx *store.Tx, c *registration.Client, hash string) error {
	code, err := tx.Code(hash)
	if errors.Is(err, store.ErrNotFound) || err == nil && (code.UsedAt == 0 || code.ClientID != c.ID) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.endGrant(tx, c, code.GrantID, model.CauseReuseDetected, "code.replay")
}

// endGrant ends a grant and says so in the audit log; one that has ended
// already stays as it is.
func (a *Authority) endGrant(tx *store.Tx, c *registration.Client, id model.GrantID, cause model.Cause, action string) error {
	g, err := tx.Grant(id)
	if err == nil {
		err = tx.EndGrant(id, a.ending(cause))
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return tx.Record(model.Event{
		Actor:  model.Actor{Kind: model.ActorClient, ID: string(c.ID), Address: c.Address},
		Action: action, UserID: g.UserID, ClientID: c.ID, Detail: "grant=" + string(id) + " cause=" + string(cause),
	})
}

// same compares two strings in constant time.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
