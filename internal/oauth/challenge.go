package oauth

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
)

// Challenge is an authorization request without a browser, draft-ietf-oauth-first-party-apps-04
// §5.1: the client asks its person itself.
type Challenge struct {
	Authorization
	Collected Collected
	Person    model.UserID   // whom the auth session is about; empty: it may be anybody
	Session   *model.Session // that the auth session stands for; nil: none that lives

	auth model.AuthSession // as it is stored; zero: there is none yet
}

// Collected is what the client has asked of its person: this server's profile of
// the draft's §5.3.
type Collected struct {
	Username  string
	Password  model.Secret
	Remember  string // "true", "false", or empty
	Address   string // of the person's machine
	UserAgent string // likewise
}

// challengeChecks is the authorization challenge endpoint: what a request must
// satisfy there, in this order. Of the rows of the authorization endpoint those are
// missing that are about a way back through a browser (draft §4.1: what has no
// meaning here is ours to handle; it is ignored).
var challengeChecks = []check{
	{"request, request_uri", checkRequestObject},    // OpenID Connect Core §6, RFC 9101 §6
	{"each parameter once", checkParams},            // RFC 6749 §3.1
	{"registration", checkRegistration},             // OpenID Connect Core §7.2.1
	{"response_type", checkChallengeType},           // draft §5.1
	{"the client's types", checkTypeAllowed},        // RFC 6749 §4.1.2.1
	{"redirect_uri", checkChallengeRedirect},        // draft §6
	{"scope", checkScope},                           // RFC 6749 §3.3
	{"resource", checkResources},                    // RFC 8707 §2.1
	{"code_challenge", checkChallenge},              // RFC 7636 §4.3, §4.4.1
	{"code_challenge, always", checkChallengeThere}, // draft §5.2.2.1.1
	{"nonce", checkNonce},                           // OpenID Connect Core §3.1.2.1
	{"prompt", checkPrompt},                         // OpenID Connect Core §3.1.2.1
	{"max_age", checkMaxAge},                        // OpenID Connect Core §3.1.2.1
	{"acr_values", checkACRValues},                  // OpenID Connect Core §3.1.2.1
	{"hints", checkHints},                           // OpenID Connect Core §3.1.2.1
	{"claims", checkClaims},                         // OpenID Connect Core §5.5
}

// checkChallengeType: draft §5.1, response_type "MUST contain the value of code".
func checkChallengeType(d *draft) *Error {
	if e := checkResponseType(d); e != nil {
		return e
	}
	if d.asked.ResponseType != "code" {
		return fail(UnsupportedResponseType, "The response_type must be code here")
	}
	return nil
}

// checkChallengeRedirect: draft §6, there is no redirect_uri. Who sends one all the
// same has to repeat it when the code is redeemed (RFC 6749 §4.1.3).
func checkChallengeRedirect(d *draft) *Error {
	if !d.params.has("redirect_uri") {
		return nil
	}
	return checkRedirect(d)
}

// checkChallengeThere asks for a code_challenge of confidential clients as well,
// where the draft recommends it: what is sent here is worth more than elsewhere.
func checkChallengeThere(d *draft) *Error {
	if d.asked.CodeChallenge == "" {
		return fail(InvalidRequest, "The parameter code_challenge is missing")
	}
	return nil
}

// Challenge authenticates the client and checks its request, or finds the one that
// its auth session holds. Nothing is stored, and nobody is signed in.
//
// Errors: *Error.
func (a *Authority) Challenge(ctx context.Context, call Call) (Challenge, error) {
	ctx, span := trace.Start(ctx, "oauth.Challenge")
	defer span.End()
	p, e := parse(call.Form)
	if e != nil {
		return Challenge{}, e
	}
	auth, err := a.authSession(ctx, p)
	if err != nil {
		return Challenge{}, err
	}
	if !p.has("client_id") && auth.ID != "" {
		p["client_id"] = string(auth.ClientID) // draft §5.1
	}
	// Draft §4.1: where the token endpoint asks for authentication, so does this one.
	c, e := a.authenticate(ctx, call, PathChallenge, p)
	if e != nil {
		return Challenge{}, e
	}
	switch {
	case !c.Challenge || c.Origin != model.OriginOperator: // draft §5, §9.1
		return Challenge{}, fail(UnauthorizedClient, "The client may not ask people for their password itself")
	case auth.ID != "" && auth.ClientID != c.ID:
		return Challenge{}, errAuthSession(errors.New("it belongs to another client"))
	}
	asked, e := a.challengeAsked(ctx, call, c, p, auth)
	if e != nil {
		return Challenge{}, e
	}
	z := Challenge{
		Authorization: Authorization{Request: model.Request{ClientID: c.ID, CreatedAt: a.unix(), Asked: asked}, Client: c.Client},
		Collected:     collected(c, call, p),
		auth:          auth,
	}
	if err := a.recall(ctx, &z); err != nil {
		return Challenge{}, err
	}
	return z, nil
}

// challengeAsked is what the client asks for: what it says now or, where it only
// goes on (draft §5.3), what it said before.
func (a *Authority) challengeAsked(ctx context.Context, call Call, c *registration.Client, p params, auth model.AuthSession) (model.Asked, *Error) {
	anew := p.has("response_type") || p.has("request") || p.has("request_uri")
	if auth.Asked != nil && !anew {
		return *auth.Asked, nil
	}
	d := &draft{Authority: a, ctx: ctx, form: call.Form, params: p, client: c}
	for _, row := range challengeChecks {
		if e := row.run(d); e != nil {
			return model.Asked{}, e
		}
	}
	return d.asked, nil
}

// collected reads what the client has asked its person. Only a client that proves
// itself is believed where the person is: of a public one it is the address that
// the request comes from.
func collected(c *registration.Client, call Call, p params) Collected {
	out := Collected{
		Username: p.get("username"), Password: model.Secret(p.get("password")), Remember: p.get("remember"), Address: call.Address,
	}
	if !c.Public() {
		out.UserAgent = p.get("user_agent")
		if address := p.get("user_address"); address != "" {
			out.Address = address
		}
	}
	return out
}

// bind is the request for a person who has proven for it who they are.
func (z Challenge) bind(session model.Session) Authorization {
	out := z.Authorization
	out.Request.Chosen, out.Request.SessionID = session.ID, session.ID
	return out
}

// NextFor decides the next step if the person of a session has just proven, for
// this very request, who they are. The session need not have begun.
func (a *Authority) NextFor(ctx context.Context, z Challenge, session model.Session) (Step, *Error) {
	return a.Next(ctx, z.bind(session), &Visitor{Session: session})
}

// IssueChallenge gives a code to the client, bound to its code_challenge and to its
// auth session, which from then on stands for the session. proven says that the
// session was begun, or begun anew, for this very request.
//
// Errors: *Error.
func (a *Authority) IssueChallenge(ctx context.Context, z Challenge, session model.Session, proven bool) (model.Secret, error) {
	authorization := z.Authorization
	if proven {
		authorization = z.bind(session)
	}
	now, step, e := a.next(ctx, authorization, &Visitor{Session: session})
	if step != StepIssue {
		if e == nil {
			e = fail(InteractionRequired, "The request is not ready yet")
		}
		return "", e
	}
	i, e := a.newIssue(ctx, authorization, session, now.Stands.ACR)
	if e != nil {
		return "", e
	}
	// Another one takes the place of the auth session that was good until now: it is
	// worth more. Nobody holds it before the code is redeemed.
	next := model.AuthSession{
		ID: model.NewID(), Hash: model.NewSecret("").Hash(), ClientID: z.Client.ID,
		UserID: session.UserID, SessionID: session.ID, ExpiresAt: session.ExpiresAt,
	}
	i.code.AuthSession = next.ID
	err := a.storeIssue(ctx, authorization, &i, z.Collected.Address, func(tx *store.Tx) error {
		if err := tx.DeleteAuthSession(z.auth.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return tx.PutAuthSession(next)
	})
	if errors.Is(err, errSessionOver) {
		e := fail(LoginRequired, "The session has ended")
		e.cause = err
		return "", e
	}
	return i.secret, inner(err)
}

// redirectToWeb is what needs a browser, draft §5.2.2.1.1.
func redirectToWeb(why string) *Error { return fail(RedirectToWeb, "%s", why) }

// Elsewhere is the answer where only a page can go on: the client is to begin a
// new request in a browser.
func (z Challenge) Elsewhere(step Step) *Error {
	switch step {
	case StepConsent:
		return redirectToWeb("The person must be asked for consent")
	case StepCreate:
		return redirectToWeb("The person must make an account")
	case StepSelect:
		return redirectToWeb("The person must choose an account")
	case StepFactor:
		return redirectToWeb("The person must prove more than their password")
	}
	return redirectToWeb("The person must go on in a browser")
}

// checkStale holds a renewal of a client that asks its people itself to how old a
// sign-in may be for it. RFC 6749 §6 leaves that to the server; draft §3.2, §6.2:
// it is told, and can ask them at once.
func (a *Authority) checkStale(c *registration.Client, g model.Grant) *Error {
	if !c.Challenge || c.DefaultMaxAge == nil || a.unix()-g.AuthTime < *c.DefaultMaxAge {
		return nil
	}
	return fail(InsufficientAuthorization, "The sign-in is too old for this application: ask for the password again")
}

// askAgain gives the client of a grant an auth session in which its person can
// prove anew who they are. There is one for each grant, however often it is asked
// for.
func (a *Authority) askAgain(ctx context.Context, g model.Grant, e *Error) *Error {
	secret := model.NewSecret(authSessionPrefix)
	err := a.Store.Upkeep(ctx, func(tx *store.Tx) error {
		return tx.PutAuthSession(model.AuthSession{
			ID: "renewal of " + string(g.ID), Hash: secret.Hash(), ClientID: g.ClientID, UserID: g.UserID, SessionID: g.SessionID,
			ExpiresAt: a.unix() + authSessionLife,
		})
	})
	if err != nil {
		return inner(err).(*Error)
	}
	e.AuthSession = secret
	return e
}
