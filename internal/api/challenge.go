package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// authorize is the authorization challenge endpoint, draft-ietf-oauth-first-party-apps-04
// §5. It is the dispatcher of a sign-in without pages: each call brings one more
// proof, and is answered with a code or with what is still missing.
func (s *API) authorize(w http.ResponseWriter, r *http.Request) error {
	call, err := s.call(r)
	if err != nil {
		return err
	}
	z, err := s.Authority.Challenge(r.Context(), call)
	if err != nil {
		return err
	}
	var who *oauth.Visitor
	if z.Session != nil {
		who = &oauth.Visitor{Session: *z.Session}
	}
	step, e := s.Authority.Next(r.Context(), z.Authorization, who)
	var code model.Secret
	switch {
	case step == oauth.StepCreate:
		return z.Elsewhere(step)
	case z.Collected.Password != "":
		code, err = s.signIn(r, z)
	case step == oauth.StepIssue:
		code, err = s.Authority.IssueChallenge(r.Context(), z, *z.Session, false)
	case step == oauth.StepLogin:
		err = s.Authority.Insufficient(r.Context(), z, "The person must sign in: send their username and password")
	case step == oauth.StepRefuse:
		err = e
	default:
		err = z.Elsewhere(step)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Code string `json:"authorization_code"` // draft §5.2.1
	}{code.Reveal()})
}

// signIn takes a password. Nothing begins by it before it is known that nothing
// else is missing: a further proof would be asked for between Prove and Enter, with
// the first one kept in the auth session.
func (s *API) signIn(r *http.Request, z oauth.Challenge) (model.Secret, error) {
	ctx := r.Context()
	proof, err := s.Accounts.Prove(ctx, attempt(r, z))
	if err != nil {
		return "", s.unproven(ctx, z, err)
	}
	switch step, e := s.Authority.NextFor(ctx, z, proof.Session); {
	case step == oauth.StepRefuse:
		return "", e
	case step != oauth.StepIssue:
		return "", z.Elsewhere(step)
	}
	in, err := s.Accounts.Enter(ctx, proof)
	if err != nil {
		return "", s.unproven(ctx, z, err)
	}
	return s.Authority.IssueChallenge(ctx, z, in.Session, true)
}

// attempt is what the client has collected, for the book about people. Whoever is
// named wins over whom the auth session is about.
func attempt(r *http.Request, z oauth.Challenge) account.Attempt {
	c := z.Collected
	t := account.Attempt{Login: c.Username, Password: c.Password, Remember: c.Remember == "true", UserAgent: c.UserAgent, Address: c.Address}
	if t.UserAgent == "" {
		t.UserAgent = r.UserAgent()
	}
	if t.Login == "" {
		t.User = z.Person
	}
	if z.Session != nil {
		t.Session = z.Session.ID
		t.Remember = t.Remember || c.Remember == "" && z.Session.Remember
	}
	return t
}

// unproven says in the terms of the draft why a password did not do.
func (s *API) unproven(ctx context.Context, z oauth.Challenge, err error) error {
	var tooSoon account.ErrTooSoon
	switch {
	case errors.Is(err, account.ErrCredentials):
		// §5.2.2.1; the log tells no more either: what is typed as a login may be a
		// password.
		return s.Authority.Insufficient(ctx, z, "The username or the password is wrong")
	case errors.Is(err, account.ErrFactor):
		return z.Elsewhere(oauth.StepFactor)
	case errors.Is(err, account.ErrLocked):
		return &oauth.Error{Code: oauth.AccessDenied, Description: "The account is locked"}
	case errors.Is(err, account.ErrElsewhere): // §9.2: by its own assessment of risk
		return &oauth.Error{Code: oauth.RedirectToWeb, Description: "Too many wrong passwords from everywhere: the person must sign in with a browser"}
	case errors.As(err, &tooSoon):
		return &oauth.Error{Code: oauth.TooManyRequests, Description: "Too many wrong passwords: try again later", RetryAfter: tooSoon.Wait}
	}
	return err // account.ErrBusy has a status of its own
}
