package web

import (
	"net/http"

	"github.com/ostiary/ostiary/internal/oauth"
)

// home tells people who they are here.
func (s *Web) home(w http.ResponseWriter, r *http.Request) error {
	accounts, err := s.accounts(r)
	if err != nil {
		return err
	}
	page := homePage{SignIn: s.base + "/sign-in", Account: s.base + oauth.PathAccount, SignOut: s.base + "/logout/confirm", Switch: s.base + "/switch"}
	if len(accounts) > 0 {
		if _, err := s.use(r, accounts[0]); err != nil {
			return err
		}
		page.Accounts = accountViews(accounts, accounts[0].UserID)
	}
	s.pages.home(w, r, page)
	return nil
}

// switchAccount makes another one of those who are signed in here the current one.
func (s *Web) switchAccount(w http.ResponseWriter, r *http.Request) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	accounts, err := s.accounts(r)
	if err != nil {
		return err
	}
	if who := find(accounts, f.Get("account")); who != nil {
		s.cookies.setCurrent(w, who.Session)
	}
	redirect(w, r, s.base+"/")
	return nil
}

func (s *Web) notFound(w http.ResponseWriter, r *http.Request) error {
	s.pages.notFound(w, r, notFoundPage{})
	return nil
}

// homePage is the installation's front door. Its buttons post account, as the
// page before a sign-out does, or the one to switch to.
type homePage struct {
	Accounts []accountView // the current one first; empty: nobody is signed in
	SignIn   string        // address of a sign-in; empty: none is offered
	Account  string        // address of the account area; empty: none is offered
	SignOut  string        // where the sign-out buttons post to
	Switch   string        // where the others post to
}

func (p *pages) home(w http.ResponseWriter, r *http.Request, v homePage) {
	p.draw(w, r, drawing{view: "home", status: http.StatusOK, opener: openerOwn, data: v})
}

// notFoundPage answers for an address that leads nowhere.
type notFoundPage struct{}

func (p *pages) notFound(w http.ResponseWriter, r *http.Request, v notFoundPage) {
	p.draw(w, r, drawing{view: "notfound", status: http.StatusNotFound, opener: openerOwn, data: v})
}
