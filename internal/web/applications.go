package web

import (
	"net/http"

	"github.com/ostiary/ostiary/internal/model"
)

// applicationsPage lists which applications may have something of a person. It posts
// withdraw, the client_id of one of them.
type applicationsPage struct {
	shell
	Action       string
	Applications []applicationView
}

func (applicationsPage) view() string { return "applications" }

// applicationView is what one application may have.
type applicationView struct {
	Client      clientView
	ID          string
	May         []scopeView
	Since, Last moment
	Own         bool // it belongs to the installation, and asks nobody
	Live        bool // it holds something now
}

func (s *Web) showApplications(w http.ResponseWriter, r *http.Request, me visitor) error {
	list, err := s.Authority.Accesses(r.Context(), me.UserID)
	if err != nil {
		return err
	}
	page := applicationsPage{shell: s.shell(r, me), Action: s.base + "/account/applications"}
	for _, a := range list {
		c := viewOf(a.Client)
		c.Logo = a.Logo
		page.Applications = append(page.Applications, applicationView{
			Client: c, ID: string(a.Client.ID), May: append(s.pages.scopes(r, a.Scope), s.pages.claims(r, a.Claims)...),
			Since: s.moment(r, me, a.Since), Last: s.moment(r, me, a.LastUsed), Own: a.Client.FirstParty, Live: a.Live,
		})
	}
	page.Notice = notice(r, map[string]string{"withdrawn": s.pages.text(r, "account.applications.withdrawn")})
	s.pages.self(w, r, page.Status(), page)
	return nil
}

// withdraw takes back what an application was allowed, and what it holds.
func (s *Web) withdraw(w http.ResponseWriter, r *http.Request, me visitor) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	if err := s.Authority.Withdraw(r.Context(), s.actor(r, me.UserID), me.UserID, model.ClientID(f.Get("withdraw"))); err != nil {
		return err
	}
	s.done(w, r, "/account/applications", "withdrawn")
	return nil
}
