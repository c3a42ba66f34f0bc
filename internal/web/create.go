package web

import (
	"errors"
	"net/http"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// showCreate offers a new account where a sign-in is asked for, if strangers may
// have one; prompt=create begins here (Initiating User Registration §4.1).
func (s *Web) showCreate(w http.ResponseWriter, r *http.Request) error {
	if !s.Authority.SignUp {
		return s.notFound(w, r)
	}
	v, here, err := s.at(w, r, oauth.StepCreate, oauth.StepLogin, oauth.StepFactor, oauth.StepSelect)
	if err != nil || !here {
		return err
	}
	page := s.createPage(v.z)
	page.Login = v.z.Request.Asked.LoginHint
	s.pages.create(w, r, page)
	return nil
}

func (s *Web) createPage(z oauth.Authorization) createPage {
	return createPage{Status: http.StatusOK, Action: s.pageOf(z, "/create"), SignIn: s.pageOf(z, "/login"), Client: clientOf(z)}
}

// create makes an account and signs its person in, which is all the proof that the
// request needs.
func (s *Web) create(w http.ResponseWriter, r *http.Request) error {
	if !s.Authority.SignUp {
		return s.notFound(w, r)
	}
	z, f, here, err := s.answered(w, r)
	if err != nil || !here {
		return err
	}
	t := s.attempt(r)
	if s.Accounts.AppliesByMail(f.Get("login")) {
		return s.applyByMail(w, r, z, t)
	}
	t.Login, t.Password = f.Get("login"), model.Secret(f.Get("password"))
	if _, err := s.Accounts.SignUp(r.Context(), holder(z), f.Get("name"), t); err != nil {
		return s.createFailed(w, r, z, err)
	}
	redirect(w, r, s.pageOf(z, ""))
	return nil
}

// applyByMail makes an account when the letter to its address is answered. Whoever
// asks sees the same whether there is one already.
func (s *Web) applyByMail(w http.ResponseWriter, r *http.Request, z oauth.Authorization, t account.Attempt) error {
	t.Login, t.Password = r.PostForm.Get("login"), model.Secret(r.PostForm.Get("password"))
	if err := s.Accounts.Apply(r.Context(), r.PostForm.Get("name"), t, s.asker(w, r, holder(z))); err != nil {
		return s.createFailed(w, r, z, err)
	}
	redirect(w, r, s.pageOf(z, "/create/code"))
	return nil
}

// showCreateCode asks for the code of the letter to an applicant; after a link it goes
// on without.
func (s *Web) showCreateCode(w http.ResponseWriter, r *http.Request) error {
	return s.letterCode(w, r, model.ConfirmSignUp)
}

func (s *Web) createCode(w http.ResponseWriter, r *http.Request) error {
	return s.takeLetterCode(w, r, model.ConfirmSignUp)
}

func (s *Web) createFailed(w http.ResponseWriter, r *http.Request, z oauth.Authorization, err error) error {
	page := s.createPage(z)
	page.Status, page.Login, page.Name = http.StatusUnprocessableEntity, r.PostForm.Get("login"), r.PostForm.Get("name")
	var wrong account.ErrInvalid
	switch {
	case errors.As(err, &wrong):
		page.Wrong = fieldOf(wrong)
		page.Error = s.pages.flaw(r, wrong)
	case errors.Is(err, account.ErrLoginTaken):
		page.Wrong, page.Error = "login", s.pages.text(r, "create.error.taken")
	case errors.Is(err, account.ErrSignUpLimit):
		w.Header().Set("Retry-After", "3600")
		page.Status, page.Error = http.StatusTooManyRequests, s.pages.text(r, "create.error.limit")
	case errors.Is(err, account.ErrLetterLimit):
		page.Status, page.Error = s.tooManyLetters(w), s.pages.text(r, "verify.error.limit")
	case errors.Is(err, account.ErrSignUpOff):
		page.Status, page.Error = http.StatusForbidden, s.pages.text(r, "create.error.off")
	case errors.Is(err, account.ErrBusy):
		w.Header().Set("Retry-After", "5")
		page.Status, page.Error = http.StatusServiceUnavailable, s.pages.text(r, "login.error.busy")
	default:
		return err
	}
	s.Logger.InfoContext(r.Context(), "sign-up failed", "error", err, "client", z.Client.ID, "request", s.RequestID(r))
	s.pages.create(w, r, page)
	return nil
}

// fieldOf is the field of the form that something is wrong with: a login that is
// an e-mail address may be wrong as one.
func fieldOf(wrong account.ErrInvalid) string {
	switch wrong.Field {
	case "name", "password":
		return wrong.Field
	}
	return "login"
}
