package oauth

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// codePrefix makes a leaked code recognisable to scanners.
const codePrefix = "ost_ac_"

// afterIssue is how long a finished request stays: the second click of a
// double click finds it still there and gets a code too, a reload tomorrow
// does not.
const afterIssue = 30 // seconds

// Issue gives the person behind the session's answer to the client: a grant,
// and a code that stands for it. It asks Next once more, on the stored facts.
//
// Errors: *Error; with a way back where the client is to be told.
func (a *Authority) Issue(ctx context.Context, z Authorization, session model.Session, address string) (Answer, error) {
	step, e := a.Next(ctx, z, &session)
	if step != StepIssue {
		if e == nil {
			e = fail(InteractionRequired, "The request is not ready yet")
		}
		e.To = &z.way
		return Answer{}, e
	}
	secret := model.NewSecret(codePrefix)
	grant, code := a.newGrant(z, session), a.newCode(z, secret)
	code.GrantID = grant.ID
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		// The session may have been ended since the browser asked.
		now, err := tx.Session(session.ID)
		if err != nil || !now.Live(a.unix()) {
			return errors.Join(errSessionOver, err)
		}
		if err := tx.InsertGrant(grant); err != nil {
			return err
		}
		if err := tx.InsertCode(code); err != nil {
			return err
		}
		if z.stored {
			done := z.Request
			done.ExpiresAt = min(done.ExpiresAt, a.unix()+afterIssue)
			if err := tx.UpdateRequest(done); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		return tx.Record(model.Event{
			Actor:  model.Actor{Kind: model.ActorUser, ID: string(session.UserID), Address: address},
			Action: "grant.create", UserID: session.UserID, ClientID: z.Client.ID,
			Detail: "grant=" + string(grant.ID) + " scope=" + joinScope(grant.Scope),
		})
	})
	if errors.Is(err, errSessionOver) {
		e := fail(LoginRequired, "The session has ended")
		e.To, e.cause = &z.way, err
		return Answer{}, e
	}
	if err != nil {
		e := inner(err).(*Error)
		e.To = &z.way
		return Answer{}, e
	}
	return z.way.answer(url.Values{"code": {secret.Reveal()}}), nil
}

var errSessionOver = errors.New("the session is over")

func (a *Authority) newGrant(z Authorization, session model.Session) model.Grant {
	now := a.unix()
	return model.Grant{
		ID:        model.GrantID(model.NewID()),
		UserID:    session.UserID,
		ClientID:  z.Client.ID,
		SessionID: session.ID,
		Scope:     z.Request.Asked.Scope,
		Audience:  a.audience(z.Client, z.Request.Asked.Scope),
		Nonce:     z.Request.Asked.Nonce,
		AuthTime:  session.AuthTime,
		ACR:       session.ACR,
		AMR:       session.AMR,
		Offline:   slices.Contains(z.Request.Asked.Scope, ScopeOffline),
		CreatedAt: now,
		ExpiresAt: now + seconds(a.CodeLife), // until the code is redeemed
	}
}

// grantEnd is when a grant whose code has just been redeemed ends by itself:
// with its refresh tokens, or with its one access token, and not after its
// session unless it is to outlive it.
func (a *Authority) grantEnd(c *client, g model.Grant, session model.Session) int64 {
	life := a.accessLife(c)
	if slices.Contains(c.GrantTypes, model.GrantRefreshToken) {
		life = seconds(a.RefreshLife)
		if c.RefreshLife > 0 {
			life = c.RefreshLife
		}
	}
	if g.Offline {
		return a.unix() + life
	}
	return min(a.unix()+life, session.ExpiresAt)
}

// audience says for whom the access tokens of a client are, RFC 9068 §3: its
// APIs, and this server itself where there is something to ask it (userinfo).
func (a *Authority) audience(c model.Client, scope []string) []string {
	aud := slices.Clone(c.Audiences)
	if len(aud) == 0 || slices.Contains(scope, ScopeOpenID) {
		aud = append(aud, a.Issuer)
	}
	return unique(aud)
}

func (a *Authority) newCode(z Authorization, secret model.Secret) model.Code {
	asked, now := z.Request.Asked, a.unix()
	return model.Code{
		Hash:          secret.Hash(),
		ClientID:      z.Client.ID,
		RedirectURI:   asked.RedirectURI,
		RedirectSent:  asked.RedirectSent,
		CodeChallenge: asked.CodeChallenge,
		CreatedAt:     now,
		ExpiresAt:     now + seconds(a.CodeLife),
	}
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
