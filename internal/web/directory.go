package web

import (
	"errors"
	"net/http"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// directoryPage asks for login and password of an account in a directory. It posts
// login, password, remember ("1" or absent) and, from the second button,
// decision=cancel.
type directoryPage struct {
	Status     int // 0: 200
	Action     string
	Upstream   federation.Choice
	Back       string     // address of the other ways to sign in
	Client     clientView // zero: nobody sent them
	Login      string     // what was typed before
	Error      string     // empty: none
	Remember   bool
	Connecting bool // somebody who is signed in connects their account there
}

func (p *pages) directory(w http.ResponseWriter, r *http.Request, v directoryPage) {
	p.draw(w, r, drawing{view: "directory", status: statusOr(v.Status, http.StatusOK), opener: openerFlow, data: v})
}

func (s *Web) showDirectory(w http.ResponseWriter, r *http.Request) error {
	v, here, err := s.at(w, r, oauth.StepLogin, oauth.StepFactor, oauth.StepSelect, oauth.StepCreate, oauth.StepConsent)
	if err != nil || !here {
		return err
	}
	page, err := s.directoryPage(r, v.z)
	if err != nil {
		return s.upstreamFailed(w, r, federation.Outcome{Holder: holder(v.z), Upstream: page.Upstream}, err)
	}
	page.Login = v.z.Request.Asked.LoginHint
	s.pages.directory(w, r, page)
	return nil
}

func (s *Web) directoryPage(r *http.Request, z oauth.Authorization) (directoryPage, error) {
	id := model.UpstreamID(r.PathValue("upstream"))
	page := directoryPage{Upstream: federation.Choice{ID: id}, Action: s.pageOf(z, "/directory/"+string(id)), Back: s.pageOf(z, "/login?"+asIs), Client: clientOf(z)}
	c, err := s.Federation.Choice(r.Context(), id)
	if err == nil {
		page.Upstream = c
	}
	return page, err
}

// directory proves by a directory's password who somebody is.
func (s *Web) directory(w http.ResponseWriter, r *http.Request) error {
	z, _, here, err := s.answered(w, r)
	if err != nil || !here {
		return err
	}
	if !s.Accounts.Takes(model.MethodUpstream, z.Client.SignInMethods) {
		return s.notFound(w, r)
	}
	page, err := s.directoryPage(r, z)
	if err != nil {
		return s.upstreamFailed(w, r, federation.Outcome{Holder: holder(z), Upstream: page.Upstream}, err)
	}
	out, err := s.Federation.Password(r.Context(), federation.Typing{
		Upstream: page.Upstream.ID, Allowed: z.Client.IdentityProviders, Holder: holder(z), Attempt: s.typed(r),
	})
	if err != nil {
		return s.directoryFailed(w, r, page, err)
	}
	s.arrived(w, r, out)
	return nil
}

// typed is an attempt with what was typed for a directory.
func (s *Web) typed(r *http.Request) account.Attempt {
	t := s.attempt(r)
	t.Login, t.Password, t.Remember = r.PostForm.Get("login"), model.Secret(r.PostForm.Get("password")), r.PostForm.Get("remember") != ""
	return t
}

func (s *Web) directoryFailed(w http.ResponseWriter, r *http.Request, page directoryPage, err error) error {
	page.Status, page.Login, page.Remember = http.StatusUnprocessableEntity, r.PostForm.Get("login"), r.PostForm.Get("remember") != ""
	var tooSoon account.ErrTooSoon
	var no *federation.Refusal
	switch {
	case errors.Is(err, account.ErrCredentials):
		page.Error = s.pages.text(r, "login.error.credentials")
	case errors.As(err, &tooSoon):
		page.Status, page.Error = http.StatusTooManyRequests, s.tooSoon(w, r, tooSoon)
	case errors.As(err, &no):
		s.logRefusal(r, page.Upstream.ID, no)
		page.Error = s.pages.text(r, upstreamRefusals[no.Code], "upstream", tidy(page.Upstream.Name))
		if no.Code == federation.Unavailable {
			page.Status = http.StatusServiceUnavailable
		}
	default:
		return err
	}
	s.Logger.InfoContext(r.Context(), "sign-in failed", "error", err, "upstream", page.Upstream.ID, "request", s.RequestID(r))
	s.pages.directory(w, r, page)
	return nil
}
