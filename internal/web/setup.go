package web

import (
	"errors"
	"net/http"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// showSetup opens the one-time link that a new installation prints. Looking at
// it uses nothing up.
func (s *Web) showSetup(w http.ResponseWriter, r *http.Request) error {
	token := r.URL.Query().Get("token")
	if err := s.Accounts.CheckSetup(r.Context(), model.Secret(token)); err != nil {
		return s.setupRefused(w, r, err)
	}
	s.pages.setup(w, r, setupPage{Status: http.StatusOK, Action: s.base + "/setup", Token: token})
	return nil
}

// setup creates the first account, an administrator.
func (s *Web) setup(w http.ResponseWriter, r *http.Request) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	_, err = s.Accounts.CompleteSetup(r.Context(), model.Secret(f.Get("token")), account.NewUser{
		Login:    f.Get("login"),
		Password: model.Secret(f.Get("password")),
		Profile:  model.Profile{Name: f.Get("name"), Email: f.Get("email")},
	}, s.Address(r))
	var wrong account.ErrInvalid
	if errors.As(err, &wrong) {
		s.pages.setup(w, r, setupPage{
			Status: http.StatusUnprocessableEntity, Action: s.base + "/setup", Token: f.Get("token"),
			Login: f.Get("login"), Name: f.Get("name"), Email: f.Get("email"), Error: s.pages.flaw(r, wrong),
		})
		return nil
	}
	if err != nil {
		return s.setupRefused(w, r, err)
	}
	s.pages.setupDone(w, r, setupDonePage{Login: f.Get("login")})
	return nil
}

// setupRefused says why a link does not work, and where a new one comes from.
func (s *Web) setupRefused(w http.ResponseWriter, r *http.Request, err error) error {
	page := s.errorPage(r, oauth.InvalidRequest, "")
	page.Hint = s.pages.text(r, "setup.error.hint")
	switch {
	case errors.Is(err, account.ErrAlreadySetUp):
		page.Description, page.Hint = s.pages.text(r, "setup.error.done"), s.pages.text(r, "setup.error.done.hint")
	case errors.Is(err, account.ErrSetupLink):
		page.Description = s.pages.text(r, "setup.error.link")
	default:
		return err
	}
	s.log(r, err, oauth.InvalidRequest)
	s.pages.error(w, r, page)
	return nil
}

// setupPage makes the first account, the administrator's. It posts token,
// login, name, email and password.
type setupPage struct {
	Status             int // 0: 200
	Action             string
	Token              string // from the one-time link
	Login, Name, Email string // what was typed before
	Error              string // empty: none
}

func (p *pages) setup(w http.ResponseWriter, r *http.Request, v setupPage) {
	p.draw(w, r, drawing{view: "setup", status: statusOr(v.Status, http.StatusOK), opener: openerOwn, data: v})
}

// setupDonePage says that the first account is there.
type setupDonePage struct {
	Login  string
	SignIn string // address of a sign-in; empty: none is offered
}

func (p *pages) setupDone(w http.ResponseWriter, r *http.Request, v setupDonePage) {
	p.draw(w, r, drawing{view: "setupdone", status: http.StatusOK, opener: openerOwn, data: v})
}
