package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
)

// Step is what an authorization request needs next.
type Step int

const (
	StepRefuse  Step = iota // tell the client why not
	StepCreate              // the person asked for a new account
	StepSelect              // the person must say which of their accounts it is for
	StepLogin               // the person must prove who they are
	StepFactor              // the person must add a factor to those of their session
	StepConsent             // the person must agree
	StepIssue               // nothing: a code can be issued
)

// Situation is all that the next step depends on.
type Situation struct {
	Now     int64
	Client  model.Client
	Request model.Request
	Session *model.Session // whose account it would be for (see Pick); nil: nobody's
	Stands  Standing       // what the session is worth to the client
	Ladder  []string       // the acr that there are, the weakest first
	Consent []string       // the scopes that this person allowed this client before
	Claims  []string       // the claims that they allowed it one by one
	Others  []Situation    // the same for the other people at this browser; told of a silent request only
}

// Next decides the next step. It is a pure function: the same situation has the
// same answer wherever and however often it is asked. The *Error comes with
// StepRefuse and with nothing else.
func Next(s Situation) (Step, *Error) {
	var step Step
	var e *Error
	switch {
	case s.anotherPerson():
		// OpenID Connect Core §3.1.2.2: never an answer about somebody else. A
		// third sign-in page would not explain itself.
		return StepRefuse, fail(LoginRequired, "The person is another one than was asked for")
	case s.signedIn() && s.unreachable():
		return StepRefuse, errUnmetACR()
	case s.asks("create") && !s.signedIn():
		return StepCreate, nil // Initiating User Registration §4.1: also for who is signed in
	case s.asks("select_account") && s.live() && !s.bound():
		return StepSelect, nil // OpenID Connect Core §3.1.2.1
	case s.needsLogin():
		step, e = StepLogin, fail(LoginRequired, "The person must sign in")
	case s.needsFactor():
		step, e = StepFactor, fail(LoginRequired, "The person must prove more than they have")
	case s.needsConsent():
		step, e = StepConsent, fail(ConsentRequired, "The person must agree")
	default:
		return StepIssue, nil
	}
	if !s.asks("none") {
		return step, nil
	}
	// OpenID Connect Core §3.1.2.6: no page is allowed, so the client is told
	// what it would have been for.
	if slices.ContainsFunc(s.Others, func(o Situation) bool { step, _ := Next(o); return step == StepIssue }) {
		e = fail(AccountSelectionRequired, "The person must say which account it is for")
	}
	return StepRefuse, e
}

func (s Situation) asks(prompt string) bool { return slices.Contains(s.Request.Asked.Prompt, prompt) }

func (s Situation) live() bool { return s.Session != nil && s.Session.Live(s.Now) }

// bound reports whether it was decided that the request is for this session.
func (s Situation) bound() bool { return s.Session != nil && s.Request.Chosen == s.Session.ID }

// signedIn reports whether the session was begun, or begun anew, for this very
// request.
func (s Situation) signedIn() bool { return s.bound() && s.Request.SessionID == s.Session.ID }

// anotherPerson reports whether somebody else signed in for this very request, or
// was chosen for it, than its id_token_hint names.
func (s Situation) anotherPerson() bool {
	asked := s.Request.Asked.Subject
	return s.bound() && asked != "" && asked != s.Session.UserID
}

func (s Situation) needsLogin() bool {
	asked := s.Request.Asked
	if !s.live() || s.Request.Chosen != "" && !s.bound() {
		return true
	}
	if asked.Subject != "" && asked.Subject != s.Session.UserID {
		return true // OpenID Connect Core §3.1.2.1, id_token_hint: another person
	}
	if s.Stands.ACR == "" {
		return true // they have proven nothing that the client takes, for this request either
	}
	if s.signedIn() {
		return false
	}
	if s.unreachable() {
		return true // somebody else may prove more
	}
	// Both times are cut to the second, so "not older than" is taken strictly;
	// a max_age of 0 asks for a new sign-in, like prompt=login.
	stale := asked.MaxAge != nil && s.Now-s.Session.AuthTime >= *asked.MaxAge
	return s.asks("login") || stale // OpenID Connect Core §3.1.2.1
}

// required are the acr of which one must be reached, by the request and by the
// client's registration.
func (s Situation) required() (sets [][]string) {
	if asked := s.Request.Asked.ACRRequired; len(asked) > 0 {
		sets = append(sets, asked)
	}
	if own := s.Client.RequiredACR; own != "" {
		sets = append(sets, []string{own})
	}
	return sets
}

// meets reports whether an acr is as good as one of each set.
func (s Situation) meets(acr string, sets [][]string) bool {
	for _, asked := range sets {
		if !slices.ContainsFunc(asked, func(one string) bool { return ladder(s.Ladder).reaches(acr, one) }) {
			return false
		}
	}
	return true
}

// unreachable reports whether the person of the session can never prove what is
// required.
func (s Situation) unreachable() bool { return !s.meets(s.Stands.Best, s.required()) }

// needsFactor reports whether the person is signed in, and has to prove more.
func (s Situation) needsFactor() bool {
	if s.Stands.Short || !s.meets(s.Stands.ACR, s.required()) {
		return true // OpenID Connect Core §5.5.1.1
	}
	// A wish is told once (RFC 9470 §5): who has signed in for it has been asked. It is
	// no reason to refuse a client that may show no page (OpenID Connect Core §3.1.2.1,
	// acr_values: a voluntary claim); the token tells what there is.
	wished := s.Request.Asked.ACRValues
	known := slices.ContainsFunc(wished, func(one string) bool { return slices.Contains(s.Ladder, one) })
	if !known || s.signedIn() || s.asks("none") {
		return false
	}
	sets := [][]string{wished}
	return !s.meets(s.Stands.ACR, sets) && s.meets(s.Stands.Best, sets)
}

func (s Situation) needsConsent() bool {
	asked := s.Request.Asked
	approved := s.bound() && len(without(asked.Scope, s.Request.Approved)) == 0
	if approved {
		return false
	}
	if s.asks("consent") {
		return true // OpenID Connect Core §3.1.2.1: even if it was given before
	}
	if s.Client.FirstParty {
		return false
	}
	// What a scope tells that was allowed before needs no further word.
	claims := single(asked.Claims, slices.Concat(asked.Scope, s.Consent))
	return len(without(asked.Scope, s.Consent)) > 0 || len(without(claims, s.Claims)) > 0
}

// Next gathers the situation of a request and decides its next step. Who is the one
// that was picked for it, nil for nobody; others are those that the browser has beside
// them.
func (a *Authority) Next(ctx context.Context, z Authorization, who *Visitor, others ...Visitor) (Step, *Error) {
	_, step, e := a.next(ctx, z, who, others...)
	return step, e
}

// next is Next, and tells in what situation.
func (a *Authority) next(ctx context.Context, z Authorization, who *Visitor, others ...Visitor) (Situation, Step, *Error) {
	s, err := a.situation(ctx, z, who)
	if s.asks("create") && !a.SignUp { // switched off since the request was checked
		return s, StepRefuse, fail(InvalidRequest, "The prompt create is not supported")
	}
	if s.asks("none") {
		for i := 0; err == nil && i < len(others); i++ {
			var o Situation
			o, err = a.situation(ctx, z, &others[i])
			s.Others = append(s.Others, o)
		}
	}
	if err != nil {
		return s, StepRefuse, inner(err).(*Error)
	}
	step, e := Next(s)
	z.decided.note(s, step)
	return s, step, e
}

// decide is next for what is to be done at once, if it was not just asked.
func (a *Authority) decide(ctx context.Context, z Authorization, session model.Session) (Situation, Step, *Error) {
	if z.decided.stands(a.unix(), z.Request, session.ID) {
		return z.decided.situation, StepIssue, nil
	}
	return a.next(ctx, z, &Visitor{Session: session})
}

// decision is that a code can be issued for a request: whoever asks for it in the same
// moment is not made to read all of that again. It goes with the request as it was read
// for one answer, and is of the session and the request that it was made for alone.
type decision struct {
	situation Situation
	session   model.SessionID // empty: nothing was decided
	request   model.Request
}

func (d *decision) note(s Situation, step Step) {
	if d != nil && s.Session != nil && step == StepIssue {
		*d = decision{situation: s, session: s.Session.ID, request: s.Request}
	}
}

// stands reports whether what was decided is about this request and session, now.
func (d *decision) stands(now int64, r model.Request, session model.SessionID) bool {
	return d != nil && d.session != "" && d.session == session && d.situation.Now == now &&
		d.request.ID == r.ID && d.request.Chosen == r.Chosen && d.request.SessionID == r.SessionID && slices.Equal(d.request.Approved, r.Approved)
}

func (a *Authority) situation(ctx context.Context, z Authorization, who *Visitor) (Situation, error) {
	s := Situation{Now: a.unix(), Client: z.Client, Request: z.Request, Ladder: a.ACRValues}
	if who == nil {
		return s, nil
	}
	s.Session = &who.Session
	var err error
	if s.Stands, err = a.stand(ctx, *who, z.Client); err != nil || z.Client.FirstParty {
		return s, err
	}
	var consent model.Consent
	err = a.Store.Ask(ctx, func(tx *store.Tx) (err error) {
		consent, err = tx.Consent(who.UserID, z.Client.ID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	s.Consent, s.Claims = consent.Scope, consent.Claims
	return s, err
}

// Approve notes that the person behind the session agrees to what the request
// asks, for now and, as the consent of this person to this client, for later. The
// request must be bound to that session (Choose, Authenticated) since before the
// person was shown what it asks.
func (a *Authority) Approve(ctx context.Context, z *Authorization, session model.Session, address string) error {
	ctx, span := trace.Start(ctx, "oauth.Approve")
	defer span.End()
	if z.Request.Chosen != session.ID {
		return errGone()
	}
	z.Request.Approved = z.Request.Asked.Scope
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
