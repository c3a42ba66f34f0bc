package web

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/federation"
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
	waits, err := s.stranger(r, v.z)
	if err != nil {
		return err
	}
	o, err := s.offer(r, v)
	if err != nil {
		return err
	}
	switch {
	case o.Go == "", waits != nil:
	case o.Directory:
		redirect(w, r, s.pageOf(v.z, "/directory/"+string(o.Go)))
		return nil
	default:
		return s.goUpstream(w, r, v, going{to: o.Go})
	}
	page := s.loginPage(v)
	s.showWays(r, v, &page, o)
	page.Error = s.refused(r)
	switch {
	case waits != nil && waits.Known:
		page.Connect = &connectsView{waits.Upstream.Kind, waits.Upstream.Name, waits.Mail}
		page.Login = waits.Mail
	case !somebodyElse:
		page.Login = expected(v)
	}
	switch {
	case page.Error != "":
		page.Field = "upstream"
	case v.progress.Begun && len(v.progress.Factors) == 0:
		// It was right, and a policy does not take it. Only who has proven it is told.
		page.Status, page.Error, page.Field = http.StatusUnprocessableEntity, s.pages.text(r, "login.error.method"), "method"
	}
	s.pages.login(w, r, page)
	return nil
}

// showWays puts the providers on a sign-in page.
func (s *Web) showWays(r *http.Request, v visit, page *loginPage, o federation.Offer) {
	page.Upstreams, page.Realms = s.upstreamViews(r, v, o), o.Realms
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
	z, f, here, err := s.answered(w, r)
	if err != nil || !here {
		return err
	}
	if f.Get("password") == "" {
		if sent, err := s.toRealm(w, r, z); sent || err != nil {
			return err
		}
	}
	t := s.attempt(r)
	t.Login, t.Password, t.Remember = f.Get("login"), model.Secret(f.Get("password")), f.Get("remember") != ""
	if err := s.Accounts.Password(r.Context(), holder(z), t); err != nil {
		return s.loginFailed(w, r, z, err)
	}
	redirect(w, r, s.pageOf(z, ""))
	return nil
}

// realm is the provider to which a typed login belongs by its domain; the zero value:
// to none.
func (s *Web) realm(r *http.Request, z oauth.Authorization) (federation.Button, error) {
	if !s.Accounts.Takes(model.MethodUpstream, z.Client.SignInMethods) {
		return federation.Button{}, nil
	}
	return s.Federation.Realm(r.Context(), federation.Asking{Allowed: z.Client.IdentityProviders, Login: r.PostForm.Get("login")})
}

// toRealm sends whoever typed a login alone where it belongs, and reports whether that
// is anywhere.
func (s *Web) toRealm(w http.ResponseWriter, r *http.Request, z oauth.Authorization) (bool, error) {
	b, err := s.realm(r, z)
	switch {
	case err != nil || b.ID == "":
		return false, err
	case b.Directory:
		redirect(w, r, s.pageOf(z, "/directory/"+string(b.ID)))
		return true, nil
	}
	v, err := s.arrive(r, z)
	if err != nil {
		return false, err
	}
	return true, s.goUpstream(w, r, v, going{to: b.ID, login: r.PostForm.Get("login"), remember: r.PostForm.Get("remember") != ""})
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
	o, found := s.offer(r, v)
	if found != nil {
		return found
	}
	page := s.loginPage(v)
	s.showWays(r, v, &page, o)
	page.Status, page.Login, page.Remember = http.StatusUnprocessableEntity, r.PostForm.Get("login"), r.PostForm.Get("remember") != ""
	var tooSoon account.ErrTooSoon
	fault := s.passkeyFault(r, err)
	page.Passkey.blame(s.Accounts.PasskeySite(), err)
	switch {
	case fault != "":
		page.Error, page.Field = fault, "passkey"
	case errors.Is(err, account.ErrCredentials):
		page.Error = s.pages.text(r, "login.error.credentials")
		if b, err := s.realm(r, z); err == nil && b.ID != "" {
			page.Error = s.pages.text(r, "login.error.realm", "upstream", tidy(b.Name))
		}
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
