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
		return setupError(err)
	}
	s.pages.setup(w, r, setupPage{Status: http.StatusOK, Action: s.base + "/setup", Token: token})
	return nil
}

// setup creates the first account, an administrator.
func (s *Web) setup(w http.ResponseWriter, r *http.Request) error {
	f, err := form(r)
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
			Login: f.Get("login"), Name: f.Get("name"), Email: f.Get("email"), Error: wrong.Error(),
		})
		return nil
	}
	if err != nil {
		return setupError(err)
	}
	s.pages.setupDone(w, r, setupDonePage{Login: f.Get("login")})
	return nil
}

func setupError(err error) error {
	switch {
	case errors.Is(err, account.ErrAlreadySetUp):
		return &oauth.Error{Code: oauth.InvalidRequest, Description: "This installation has its first account already"}
	case errors.Is(err, account.ErrSetupLink):
		return &oauth.Error{Code: oauth.InvalidRequest, Description: "This link was used already or has expired: start the server again for a new one"}
	}
	return err
}
