package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Step is what an authorization request needs next.
type Step int

const (
	StepRefuse  Step = iota // tell the client why not
	StepLogin               // the person must prove who they are
	StepConsent             // the person must agree
	StepIssue               // nothing: a code can be issued
)

// Situation is all that the next step depends on.
type Situation struct {
	Now     int64
	Client  model.Client
	Request model.Request
	Session *model.Session // nil: nobody is signed in
	Consent []string       // the scopes that this person allowed this client before
	Claims  []string       // the claims that they allowed it one by one
}

// Next decides the next step. It is a pure function: the same situation has the
// same answer wherever and however often it is asked. The *Error comes with
// StepRefuse and with nothing else.
func Next(s Situation) (Step, *Error) {
	silent := slices.Contains(s.Request.Asked.Prompt, "none")
	if s.anotherPerson() {
		// OpenID Connect Core §3.1.2.2: never an answer about somebody else. A
		// third sign-in page would not explain itself.
		return StepRefuse, fail(LoginRequired, "Another person signed in than the one that was asked for")
	}
	if s.unmet() && s.Request.SessionID == s.Session.ID {
		return StepRefuse, errUnmetACR()
	}
	if s.needsLogin() {
		if silent {
			return StepRefuse, fail(LoginRequired, "The person must sign in") // OpenID Connect Core §3.1.2.6
		}
		return StepLogin, nil
	}
	if s.needsConsent() {
		if silent {
			return StepRefuse, fail(ConsentRequired, "The person must agree") // OpenID Connect Core §3.1.2.6
		}
		return StepConsent, nil
	}
	return StepIssue, nil
}

// anotherPerson reports whether the sign-in for this very request was made by
// somebody else than its id_token_hint names.
func (s Situation) anotherPerson() bool {
	asked := s.Request.Asked.Subject
	return s.Session != nil && s.Request.SessionID == s.Session.ID && asked != "" && asked != s.Session.UserID
}

func (s Situation) needsLogin() bool {
	asked := s.Request.Asked
	if s.Session == nil || !s.Session.Live(s.Now) {
		return true
	}
	if asked.Subject != "" && asked.Subject != s.Session.UserID {
		return true // OpenID Connect Core §3.1.2.1, id_token_hint: another person
	}
	if s.Request.SessionID == s.Session.ID {
		return false // they signed in for this very request
	}
	if s.unmet() {
		return true // OpenID Connect Core §5.5.1.1: another way to sign in may do
	}
	// OpenID Connect Core §3.1.2.1: prompt=login, prompt=select_account, max_age.
	// The sign-in page is also where another account is chosen.
	fresh := slices.Contains(asked.Prompt, "login") || slices.Contains(asked.Prompt, "select_account")
	// Both times are cut to the second, so "not older than" is taken strictly;
	// a max_age of 0 asks for a new sign-in, like prompt=login.
	stale := asked.MaxAge != nil && s.Now-s.Session.AuthTime >= *asked.MaxAge
	return fresh || stale
}

// unmet reports whether the person is signed in, but in none of the ways that
// are required.
func (s Situation) unmet() bool {
	required := s.Request.Asked.ACRRequired
	return s.Session != nil && len(required) > 0 && !slices.Contains(required, s.Session.ACR)
}

func (s Situation) needsConsent() bool {
	asked := s.Request.Asked
	approved := s.Request.SessionID == s.Session.ID && len(without(asked.Scope, s.Request.Approved)) == 0
	if approved {
		return false
	}
	if slices.Contains(asked.Prompt, "consent") {
		return true // OpenID Connect Core §3.1.2.1: even if it was given before
	}
	if s.Client.FirstParty {
		return false
	}
	// What a scope tells that was allowed before needs no further word.
	claims := single(asked.Claims, slices.Concat(asked.Scope, s.Consent))
	return len(without(asked.Scope, s.Consent)) > 0 || len(without(claims, s.Claims)) > 0
}

// Next gathers the situation of a request and decides its next step.
func (a *Authority) Next(ctx context.Context, z Authorization, session *model.Session) (Step, *Error) {
	s := Situation{Now: a.unix(), Client: z.Client, Request: z.Request, Session: session}
	if session != nil && !z.Client.FirstParty {
		var consent model.Consent
		err := a.Store.View(ctx, func(tx *store.Tx) (err error) {
			consent, err = tx.Consent(session.UserID, z.Client.ID)
			return err
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return StepRefuse, inner(err).(*Error)
		}
		s.Consent, s.Claims = consent.Scope, consent.Claims
	}
	return Next(s)
}

// Authenticated notes on a waiting request that its person has just signed in
// for it. What somebody else may have agreed to before is forgotten.
func (a *Authority) Authenticated(ctx context.Context, z *Authorization, session model.Session) error {
	z.Request.SessionID, z.Request.Approved = session.ID, nil
	err := a.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.UpdateRequest(z.Request) })
	if errors.Is(err, store.ErrNotFound) {
		return errGone()
	}
	return inner(err)
}

// Approve notes that the person behind the session agrees to what the request
// asks, for now and, as the consent of this person to this client, for later.
func (a *Authority) Approve(ctx context.Context, z *Authorization, session model.Session, address string) error {
	z.Request.SessionID, z.Request.Approved = session.ID, z.Request.Asked.Scope
	return a.update(ctx, func(tx *store.Tx) error {
		err := tx.UpdateRequest(z.Request)
		if errors.Is(err, store.ErrNotFound) {
			return errGone()
		}
		if err != nil {
			return err
		}
		consent, err := tx.Consent(session.UserID, z.Client.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		err = tx.PutConsent(model.Consent{
			UserID: session.UserID, ClientID: z.Client.ID, GrantedAt: a.unix(),
			Scope:  append(slices.Clone(consent.Scope), without(z.Request.Approved, consent.Scope)...),
			Claims: append(slices.Clone(consent.Claims), without(z.Claims(), consent.Claims)...),
		})
		if err != nil {
			return err
		}
		return tx.Record(model.Event{
			Actor:  model.Actor{Kind: model.ActorUser, ID: string(session.UserID), Address: address},
			Action: "consent.give", UserID: session.UserID, ClientID: z.Client.ID, Detail: detail(z.Request.Approved, z.Claims()),
		})
	})
}

// detail says in the audit log what was allowed.
func detail(scope, claims []string) string {
	if len(claims) == 0 {
		return "scope=" + joinScope(scope)
	}
	return "scope=" + joinScope(scope) + " claims=" + strings.Join(claims, " ")
}
