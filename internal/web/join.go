package web

import (
	"errors"
	"net/http"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/oauth"
)

// joinPage shows somebody, whom a provider has made known, the account that they would
// get. It posts login, name and, from the second button, decision=cancel.
type joinPage struct {
	Status      int // 0: 200
	Action      string
	SignIn      string     // address of the sign-in page, for who has an account
	Client      clientView // zero: nobody sent them
	Upstream    federation.Choice
	There       string // by which they know their account over there; empty: it has no name
	Mail        string // of which the provider has made sure; empty: none
	Login, Name string
	Error       string // empty: none
	Wrong       string // the field that it is about; empty: none
}

func (p *pages) join(w http.ResponseWriter, r *http.Request, v joinPage) {
	p.draw(w, r, drawing{view: "join", status: statusOr(v.Status, http.StatusOK), opener: openerFlow, data: v})
}

// stranger finds who has come back from a provider and is not known here; nil: nobody.
func (s *Web) stranger(r *http.Request, z oauth.Authorization) (*federation.Stranger, error) {
	if !z.Stored() {
		return nil, nil
	}
	found, err := s.Federation.Stranger(r.Context(), holder(z))
	var no *federation.Refusal
	if errors.As(err, &no) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &found, nil
}

// newcomer is stranger for the page that makes an account. Where there is nobody who
// could get one it sends the browser to the dispatcher.
func (s *Web) newcomer(w http.ResponseWriter, r *http.Request) (v visit, n *federation.Stranger, err error) {
	v, here, err := s.at(w, r, oauth.StepLogin, oauth.StepFactor, oauth.StepSelect, oauth.StepCreate, oauth.StepConsent)
	if err != nil || !here {
		return v, nil, err
	}
	if n, err = s.stranger(r, v.z); err != nil {
		return v, nil, err
	}
	if n == nil || n.Known {
		redirect(w, r, s.pageOf(v.z, ""))
		return v, nil, nil
	}
	return v, n, nil
}

func (s *Web) showJoin(w http.ResponseWriter, r *http.Request) error {
	v, n, err := s.newcomer(w, r)
	if err != nil || n == nil {
		return err
	}
	s.pages.join(w, r, s.joinPage(v.z, *n))
	return nil
}

func (s *Web) joinPage(z oauth.Authorization, n federation.Stranger) joinPage {
	return joinPage{
		Action: s.pageOf(z, "/join"), SignIn: s.pageOf(z, "/login?"+asIs), Client: clientOf(z),
		Upstream: n.Upstream, There: n.Name, Mail: n.Mail, Login: n.Login, Name: n.Profile.Name,
	}
}

// join makes the account, of a person who has already proven who they are.
func (s *Web) join(w http.ResponseWriter, r *http.Request) error {
	v, n, err := s.newcomer(w, r)
	if err != nil || n == nil {
		return err
	}
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	if f.Get("decision") == "cancel" {
		if err := s.Federation.Forget(r.Context(), holder(v.z)); err != nil {
			return err
		}
		return s.cancel(w, r, v.z)
	}
	err = s.Federation.Join(r.Context(), federation.Joining{
		Holder: holder(v.z), Login: f.Get("login"), Name: f.Get("name"), Address: s.Address(r),
	})
	if err == nil {
		redirect(w, r, s.pageOf(v.z, ""))
		return nil
	}
	page := s.joinPage(v.z, *n)
	page.Login, page.Name = f.Get("login"), f.Get("name")
	return s.joinFailed(w, r, v, page, err)
}

func (s *Web) joinFailed(w http.ResponseWriter, r *http.Request, v visit, page joinPage, err error) error {
	page.Status = http.StatusUnprocessableEntity
	var wrong account.ErrInvalid
	switch {
	case errors.Is(err, federation.ErrNotYours):
		page.Wrong, page.Error = "login", s.pages.text(r, "join.error.address")
	case errors.As(err, &wrong):
		page.Wrong, page.Error = "login", s.pages.flaw(r, wrong)
		if wrong.Field == "name" {
			page.Wrong = "name"
		}
	case errors.Is(err, account.ErrLoginTaken):
		page.Wrong, page.Error = "login", s.pages.text(r, "join.error.taken")
	case errors.Is(err, account.ErrSignUpLimit):
		w.Header().Set("Retry-After", "3600")
		page.Status, page.Error = http.StatusTooManyRequests, s.pages.text(r, "create.error.limit")
	default:
		return s.upstreamFailed(w, r, federation.Outcome{Holder: holder(v.z), Upstream: page.Upstream}, err)
	}
	s.Logger.InfoContext(r.Context(), "sign-up failed", "error", err, "upstream", page.Upstream.ID, "request", s.RequestID(r))
	s.pages.join(w, r, page)
	return nil
}
