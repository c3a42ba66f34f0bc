package oauth

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
)

// codePrefix makes a leaked code recognisable to scanners.
const codePrefix = "ost_ac_"

// afterIssue is how long a finished request stays: the second click of a
// double click finds it still there and gets a code too, a reload tomorrow
// does not.
const afterIssue = 30 // seconds

// Issue gives the person behind the session's answer to the client: a grant,
// and what its response type asks for, a code that stands for it or tokens. It
// asks Next, unless that was asked for the same answer. Whether session and client
// still stand it asks in the transaction.
//
// Errors: *Error; with a way back where the client is to be told.
func (a *Authority) Issue(ctx context.Context, z Authorization, session model.Session, address string) (Answer, error) {
	ctx, span := trace.Start(ctx, "oauth.Issue")
	defer span.End()
	now, step, e := a.decide(ctx, z, session)
	if step != StepIssue {
		if e == nil {
			e = fail(InteractionRequired, "The request is not ready yet")
		}
		if !z.Own() {
			e.To = &z.way
		}
		return Answer{}, e
	}
	if err := a.admitUser(session.UserID, z.Client.ID, address); err != nil {
		return Answer{}, err
	}
	if z.Own() {
		return a.issueOwn(ctx, z)
	}
	i, e := a.newIssue(ctx, z, session, now.Stands.ACR)
	if e == nil && asks(z.Request.Asked.ResponseType, "id_token") && z.Client.IDTokenEncryption != "" {
		e = a.findRecipient(ctx, z, &i)
	}
	if e != nil {
		e.To = &z.way
		return Answer{}, e
	}
	err := a.storeIssue(ctx, z, &i, address, nil)
	var values url.Values
	if err == nil {
		values, err = a.frontChannel(ctx, z, i) // signed after the commit
	}
	if err == nil && slices.Contains(i.grant.Scope, ScopeOpenID) {
		if state := a.sessionState(z.Client.ID, z.way.URI, session); state != "" {
			values.Set("session_state", state) // OpenID Connect Session Management §2
		}
	}
	switch {
	case errors.Is(err, errSessionOver):
		e := fail(LoginRequired, "The session has ended")
		e.To, e.cause = &z.way, err
		return Answer{}, e
	case err != nil:
		e := inner(err).(*Error)
		e.To = &z.way
		return Answer{}, e
	}
	a.Registrar.NoteUse(ctx, z.Client.ID)
	return z.way.answer(values), nil
}

// issue is what an authorization brings.
type issue struct {
	grant  model.Grant
	secret model.Secret // the code; empty: none is asked for
	code   model.Code
	at     int64      // of the tokens that are issued at once: "iat"
	user   model.User // read only where an ID token has to tell about the person
	to     recipient  // of an ID token that is encrypted
}

// findRecipient finds the key for an ID token before anything is stored.
func (a *Authority) findRecipient(ctx context.Context, z Authorization, i *issue) (e *Error) {
	c, err := a.Registrar.Client(ctx, z.Client.ID)
	if err != nil {
		return inner(err).(*Error)
	}
	i.to, e = a.recipient(ctx, c, z.Client.IDTokenEncryption, z.Client.IDTokenContent)
	return e
}

func (a *Authority) newIssue(ctx context.Context, z Authorization, session model.Session, acr string) (issue, *Error) {
	i := issue{grant: a.newGrant(z, session, acr)}
	var err error
	if i.grant.NotBefore, err = a.notBefore(ctx, session.UserID, z.Client.ID); err != nil {
		return issue{}, inner(err).(*Error)
	}
	var e *Error
	if i.at, e = a.issuedAt(i.grant.NotBefore); e != nil {
		return issue{}, e
	}
	if i.grant.Audience, e = a.target(z.Request.Asked.Resources, i.grant.Scope, a.audience(z.Client, i.grant.Scope)); e != nil {
		return issue{}, e // the client's APIs have changed since it asked
	}
	if asks(z.Request.Asked.ResponseType, "code") {
		i.secret = model.NewSecret(codePrefix + model.Slot(a.unix()))
		i.code = a.newCode(z, i.secret)
		i.code.GrantID = i.grant.ID
	}
	return i, nil
}

// storeIssue stores an issue and what is changed beside it, if anything is. It fails with
// errSessionOver.
func (a *Authority) storeIssue(ctx context.Context, z Authorization, i *issue, address string, beside func(*store.Tx) error) error {
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		if err := a.putIssue(tx, z, i, address); err != nil || beside == nil {
			return err
		}
		return beside(tx)
	})
	if !errors.Is(err, store.ErrLapsed) {
		return err
	}
	// The session has been ended since the browser asked, or the client was, whose grants
	// have ended with it.
	var session model.Session
	var enabled bool
	why := a.Store.Ask(ctx, func(tx *store.Tx) (err error) {
		session, enabled, err = tx.SessionFor(i.grant.SessionID, z.Client.ID)
		return err
	})
	switch {
	case why != nil && !errors.Is(why, store.ErrNotFound):
		return why
	case why == nil && session.Live(a.unix()) && !enabled:
		return fail(UnauthorizedClient, "No application is registered here under this client_id")
	}
	return errors.Join(errSessionOver, err, why)
}

func (a *Authority) putIssue(tx *store.Tx, z Authorization, i *issue, address string) (err error) {
	if i.grant.Subject, err = a.subject(tx, z.Client, i.grant.UserID); err != nil {
		return err
	}
	if z.Device() {
		if err := a.letIn(tx, z, i); err != nil {
			return err
		}
	}
	if err := tx.IssueGrant(i.grant, a.unix()); err != nil {
		return err
	}
	if i.secret != "" {
		if err := tx.InsertCode(i.code); err != nil {
			return err
		}
	}
	if slices.Contains(i.grant.Scope, ScopeOpenID) {
		// OpenID Connect Back-Channel Logout §2.3: remembering logged-in RPs.
		if err := tx.TakePart(i.grant.SessionID, z.Client.ID, a.unix()); err != nil {
			return err
		}
	}
	if z.Request.Asked.ResponseType == "id_token" || i.grant.Claims.IDToken != nil || len(z.Client.GroupsIn) > 0 {
		if i.user, err = tx.User(i.grant.UserID); err != nil {
			return err
		}
	}
	if z.stored {
		done := z.Request
		done.ExpiresAt = min(done.ExpiresAt, a.unix()+afterIssue)
		if err := tx.UpdateRequest(done); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return tx.Record(model.Event{
		Actor:  model.Actor{Kind: model.ActorUser, ID: string(i.grant.UserID), Address: address},
		Action: "grant.create", UserID: i.grant.UserID, ClientID: z.Client.ID,
		Detail: "grant=" + string(i.grant.ID) + " " + detail(i.grant.Scope, z.Claims()),
	})
}

// frontChannel makes what the browser carries to the client: a code, an access
// token and an ID token, as the response type asks (OpenID Connect Core
// §3.1.2.5, §3.2.2.5, §3.3.2.5).
func (a *Authority) frontChannel(ctx context.Context, z Authorization, i issue) (url.Values, error) {
	asked, values := z.Request.Asked, url.Values{}
	if i.secret != "" {
		values.Set("code", i.secret.Reveal())
	}
	if !frontTokens(asked.ResponseType) {
		return values, nil
	}
	of := issuance{client: &registration.Client{Client: z.Client}, grant: i.grant, scope: i.grant.Scope, audience: i.grant.Audience, at: i.at, to: i.to, user: i.user}
	if err := a.await(ctx, of.at); err != nil {
		return nil, err
	}
	if asks(asked.ResponseType, "token") {
		access, expires, err := a.mintAccess(of)
		if err != nil {
			return nil, err
		}
		of.access = access
		values.Set("access_token", access)
		values.Set("token_type", "Bearer")
		values.Set("expires_in", strconv.FormatInt(expires-of.at, 10))
		values.Set("scope", joinScope(of.scope))
	}
	if asks(asked.ResponseType, "id_token") {
		of.code = i.secret.Reveal()
		if asked.ResponseType == "id_token" {
			// OpenID Connect Core §5.4: with no access token to ask userinfo
			// with, the ID token itself tells what the scopes allow.
			of.claims = Claims(z.Client, i.user, i.grant.Scope, i.grant.Claims.IDToken)
		} else if wanted := i.grant.Claims.IDToken; wanted != nil {
			of.claims = Claims(z.Client, i.user, nil, wanted)
		}
		token, err := a.mintID(of)
		if err != nil {
			return nil, err
		}
		values.Set("id_token", token)
	}
	return values, nil
}

var errSessionOver = errors.New("the session is over")

func (a *Authority) newGrant(z Authorization, session model.Session, acr string) model.Grant {
	now, life := a.unix(), seconds(a.CodeLife) // until the code is redeemed
	if asks(z.Request.Asked.ResponseType, "token") {
		life = max(life, a.accessLife(&registration.Client{Client: z.Client}))
	}
	return model.Grant{
		ID:        model.GrantID(model.Slot(now) + model.NewID()),
		UserID:    session.UserID,
		ClientID:  z.Client.ID,
		SessionID: session.ID,
		Scope:     z.Request.Asked.Scope,
		Claims:    z.Request.Asked.Claims,
		Nonce:     z.Request.Asked.Nonce,
		AuthTime:  session.AuthTime,
		ACR:       a.told(z.Request.Asked, acr),
		AMR:       session.AMR,
		Offline:   slices.Contains(z.Request.Asked.Scope, ScopeOffline) && a.outlives(z.Client),
		CreatedAt: now,
		ExpiresAt: now + life,
	}
}

// grantEnd is when a grant whose code has just been redeemed ends by itself:
// with its refresh tokens, or with its one access token, and not after its
// session unless it is to outlive it.
func (a *Authority) grantEnd(c *registration.Client, g model.Grant, session model.Session) int64 {
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

func (a *Authority) newCode(z Authorization, secret model.Secret) model.Code {
	asked, now := z.Request.Asked, a.unix()
	return model.Code{
		Hash:          codeHash(secret),
		ClientID:      z.Client.ID,
		RedirectURI:   asked.RedirectURI,
		RedirectSent:  asked.RedirectSent,
		CodeChallenge: asked.CodeChallenge,
		CreatedAt:     now,
		ExpiresAt:     now + seconds(a.CodeLife),
	}
}

// codeHash is what a code is stored by, and does not tell it: the Slot that its text
// names, and the hash of all of it. For a text that is none of ours it is something by
// which nothing is found.
func codeHash(secret model.Secret) string {
	slot := strings.TrimPrefix(secret.Reveal(), codePrefix)
	return slot[:min(len(slot), len(model.Slot(0)))] + secret.Hash()
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
