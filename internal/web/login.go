package web

import (
	"errors"
	"net/http"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

func (s *Web) showLogin(w http.ResponseWriter, r *http.Request) error {
	z, _, here, err := s.at(w, r, oauth.StepLogin)
	if err != nil || !here {
		return err
	}
	s.pages.login(w, r, loginPage{
		Status: http.StatusOK, Action: s.pageOf(z, "/login"), Client: clientOf(z), Login: z.Request.Asked.LoginHint,
	})
	return nil
}

// login proves who the person is.
func (s *Web) login(w http.ResponseWriter, r *http.Request) error {
	z, err := s.waiting(r)
	if err != nil {
		return err
	}
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	if f.Get("decision") == "cancel" {
		s.send(w, r, z.Cancel())
		return nil
	}
	in, err := s.Accounts.SignIn(r.Context(), account.Attempt{
		Login:     f.Get("login"),
		Password:  model.Secret(f.Get("password")),
		Remember:  f.Get("remember") != "",
		UserAgent: r.UserAgent(),
		Address:   s.Address(r),
		Replace:   s.cookies.session(r),
	})
	if err != nil {
		return s.loginFailed(w, r, z, err)
	}
	s.cookies.setSession(w, in.Cookie, in.Session)
	s.keepState(w, r, &in.Session)
	if err := s.Authority.Authenticated(r.Context(), &z, in.Session); err != nil {
		return err
	}
	redirect(w, r, s.pageOf(z, ""))
	return nil
}

func (s *Web) loginFailed(w http.ResponseWriter, r *http.Request, z oauth.Authorization, err error) error {
	page := loginPage{
		Status: http.StatusUnprocessableEntity, Action: s.pageOf(z, "/login"), Client: clientOf(z),
		Login: r.PostForm.Get("login"), Remember: r.PostForm.Get("remember") != "",
	}
	switch {
	case errors.Is(err, account.ErrCredentials):
		page.Error = s.pages.text(r, "login.error.credentials")
	case errors.Is(err, account.ErrLocked):
		page.Status, page.Error = http.StatusForbidden, s.pages.text(r, "login.error.locked")
	case errors.Is(err, account.ErrBusy):
		w.Header().Set("Retry-After", "5")
		page.Status, page.Error = http.StatusServiceUnavailable, s.pages.text(r, "login.error.busy")
	default:
		return err
	}
	s.Logger.InfoContext(r.Context(), "sign-in failed", "error", err, "client", z.Client.ID, "request", s.RequestID(r))
	s.pages.login(w, r, page)
	return nil
}
