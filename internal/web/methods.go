package web

import (
	"errors"
	"net/http"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

// methodsPage is where people see to how they sign in. It posts current and
// password. The sections of the other methods are templates of their own, each
// with a field here.
type methodsPage struct {
	shell
	Action  string
	Login   string // for password managers
	Has     bool   // there is a password
	Changed moment // when it was last set
	Current string // what is wrong with the present one; empty: nothing
	New     string // what is wrong with the new one; empty: nothing
	TOTP    totpSection

	Passkeys  *passkeysSection   // nil: there are none here
	Elsewhere *identitiesSection // nil: there are no identity providers
}

func (methodsPage) view() string { return "methods" }

func (s *Web) methodsPage(r *http.Request, me visitor) (page methodsPage, err error) {
	page = methodsPage{
		shell: s.shell(r, me), Action: s.base + "/account/sign-in", Login: me.User.Login,
		Has: me.User.PasswordAt != 0, Changed: s.moment(r, me, me.User.PasswordAt),
	}
	if page.TOTP, err = s.totpSection(r, me); err != nil {
		return page, err
	}
	if page.Passkeys, err = s.passkeysSection(r, me); err != nil {
		return page, err
	}
	page.Elsewhere, err = s.identitiesSection(r, me)
	return page, err
}

func (s *Web) showMethods(w http.ResponseWriter, r *http.Request, me visitor) error {
	page, err := s.methodsPage(r, me)
	if err != nil {
		return err
	}
	page.Notice = notice(r, map[string]string{"password": s.pages.text(r, "account.password.done")})
	s.pages.self(w, r, page.Status(), page)
	return nil
}

// changePassword gives a person a new password, and ends every session but this one.
func (s *Web) changePassword(w http.ResponseWriter, r *http.Request, me visitor) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	err = s.Accounts.ChangePassword(r.Context(), s.actor(r, me.UserID), me.UserID, account.NewPassword{
		Current: model.Secret(f.Get("current")), Password: model.Secret(f.Get("password")), Keep: me.ID,
		Devices: s.cookies.devices(r),
	})
	if err == nil {
		s.done(w, r, "/account/sign-in", "password")
		return nil
	}
	page, failed := s.methodsPage(r, me)
	if failed != nil {
		return failed
	}
	page.Error = s.pages.text(r, "account.password.failed")
	var wrong account.ErrInvalid
	var tooSoon account.ErrTooSoon
	status := page.Status()
	switch {
	case errors.As(err, &wrong):
		page.New = s.pages.flaw(r, wrong)
	case errors.Is(err, account.ErrCredentials):
		page.Current = s.pages.text(r, "account.password.wrong")
	case errors.As(err, &tooSoon):
		page.Error, status = s.tooSoon(w, r, tooSoon), http.StatusTooManyRequests
	case errors.Is(err, account.ErrStale):
		page.Error = s.pages.text(r, "account.password.stale")
	case errors.Is(err, account.ErrBusy):
		w.Header().Set("Retry-After", "5")
		page.Error, status = s.pages.text(r, "login.error.busy"), http.StatusServiceUnavailable
	default:
		return err
	}
	s.Logger.InfoContext(r.Context(), "password not changed", "error", err, "request", s.RequestID(r))
	s.pages.self(w, r, status, page)
	return nil
}
