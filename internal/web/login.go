package web

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

func (s *Web) showLogin(w http.ResponseWriter, r *http.Request) error {
	steps := []oauth.Step{oauth.StepLogin, oauth.StepFactor, oauth.StepSelect, oauth.StepCreate}
	somebodyElse := r.URL.Query().Has(another)
	if somebodyElse {
		steps = append(steps, oauth.StepConsent)
	}
	v, here, err := s.at(w, r, steps...)
	if err != nil || !here {
		return err
	}
	page := s.loginPage(v)
	if !somebodyElse {
		page.Login = expected(v)
	}
	if v.progress.Begun && len(v.progress.Factors) == 0 {
		// It was right, and a policy does not take it. Only who has proven it is told.
		page.Status, page.Error, page.Field = http.StatusUnprocessableEntity, s.pages.text(r, "login.error.method"), "method"
	}
	s.pages.login(w, r, page)
	return nil
}

// loginPage is the sign-in page of a request, before anything was typed.
func (s *Web) loginPage(v visit) loginPage {
	page := loginPage{Status: http.StatusOK, Action: s.pageOf(v.z, "/login"), Client: clientOf(v.z), Display: v.z.Request.Asked.Display}
	if len(v.accounts) > 0 && v.z.Request.Asked.Subject == "" {
		page.Select = s.pageOf(v.z, "/select")
	}
	page.Without = !s.Accounts.Takes(model.MethodPassword, v.z.Client.SignInMethods)
	if s.Accounts.Takes(model.MethodMail, v.z.Client.SignInMethods) {
		page.Mail = s.pageOf(v.z, "/mail")
	}
	if s.Accounts.Mails() && !page.Without {
		page.Recover = s.base + pathRecover + "?request=" + url.QueryEscape(string(v.z.Request.ID))
	}
	if s.Authority.SignUp {
		page.Create = s.pageOf(v.z, "/create")
	}
	if s.offersPasskey(v) {
		page.Passkey = &passkeyView{Action: s.pageOf(v.z, "/passkey"), Autofill: true, Main: page.Without}
	}
	return page
}

// expected is the login of whoever shall sign in: who was chosen, or is hinted at,
// or is to prove anew that they are who they were.
func expected(v visit) string {
	asked := v.z.Request.Asked
	switch {
	case v.who == nil, asked.Subject != "" && asked.Subject != v.who.UserID:
		return asked.LoginHint
	case v.z.Request.Chosen != "", asked.Subject != "", asked.LoginHint == "":
		return v.who.User.Login
	}
	return asked.LoginHint
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
	t := s.attempt(r)
	t.Login, t.Password, t.Remember = f.Get("login"), model.Secret(f.Get("password")), f.Get("remember") != ""
	if err := s.Accounts.Password(r.Context(), holder(z), t); err != nil {
		return s.loginFailed(w, r, z, err)
	}
	redirect(w, r, s.pageOf(z, ""))
	return nil
}

// attempt is what every proof tells of the browser that it comes from.
func (s *Web) attempt(r *http.Request) account.Attempt {
	return account.Attempt{UserAgent: r.UserAgent(), Address: s.Address(r), Browser: s.cookiesOf(r), Devices: s.cookies.devices(r)}
}

func (s *Web) loginFailed(w http.ResponseWriter, r *http.Request, z oauth.Authorization, err error) error {
	v, found := s.arrive(r, z)
	if found != nil {
		return found
	}
	page := s.loginPage(v)
	page.Status, page.Login, page.Remember = http.StatusUnprocessableEntity, r.PostForm.Get("login"), r.PostForm.Get("remember") != ""
	var tooSoon account.ErrTooSoon
	fault := s.passkeyFault(r, err)
	page.Passkey.blame(s.Accounts.PasskeySite(), err)
	switch {
	case fault != "":
		page.Error, page.Field = fault, "passkey"
	case errors.Is(err, account.ErrCredentials):
		page.Error = s.pages.text(r, "login.error.credentials")
	case errors.Is(err, account.ErrLocked):
		page.Status, page.Error = http.StatusForbidden, s.pages.text(r, "login.error.locked")
	case errors.Is(err, account.ErrBusy):
		w.Header().Set("Retry-After", "5")
		page.Status, page.Error = http.StatusServiceUnavailable, s.pages.text(r, "login.error.busy")
	case errors.As(err, &tooSoon):
		page.Status, page.Error = http.StatusTooManyRequests, s.tooSoon(w, r, tooSoon)
	default:
		return err
	}
	s.Logger.InfoContext(r.Context(), "sign-in failed", "error", err, "client", z.Client.ID, "request", s.RequestID(r))
	s.pages.login(w, r, page)
	return nil
}

// tooSoon says when the next attempt may be made, to the person and their browser.
func (s *Web) tooSoon(w http.ResponseWriter, r *http.Request, e account.ErrTooSoon) string {
	w.Header().Set("Retry-After", strconv.FormatInt(e.Wait, 10))
	if e.Wait < 60 {
		return s.pages.text(r, "login.error.soon", "count", strconv.FormatInt(e.Wait, 10))
	}
	return s.pages.text(r, "login.error.later", "count", strconv.FormatInt((e.Wait+59)/60, 10))
}
