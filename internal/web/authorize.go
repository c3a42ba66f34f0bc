package web

import (
	"net/http"
	"net/url"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// authorize takes an authorization request, RFC 6749 §3.1.
func (s *Web) authorize(w http.ResponseWriter, r *http.Request) error {
	f, err := form(r)
	if err != nil {
		return err
	}
	z, err := s.Authority.Begin(r.Context(), f)
	if err != nil {
		return err
	}
	if r.Method == http.MethodPost {
		// Posted from another site, the request carries no session cookie
		// (SameSite=Lax). The redirect that follows does.
		if err := s.keep(w, r, &z); err != nil {
			return err
		}
		redirect(w, r, s.pageOf(z, ""))
		return nil
	}
	return s.proceed(w, r, z)
}

// resume continues a waiting request: where every page sends the browser.
func (s *Web) resume(w http.ResponseWriter, r *http.Request) error {
	z, err := s.waiting(r)
	if err != nil {
		return err
	}
	return s.proceed(w, r, z)
}

// proceed is the dispatcher: it asks for the next step of a request and sends
// the browser there.
func (s *Web) proceed(w http.ResponseWriter, r *http.Request, z oauth.Authorization) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	s.keepState(w, r, who.or())
	step, e := s.Authority.Next(r.Context(), z, who.or())
	switch step {
	case oauth.StepLogin:
		return s.sendTo(w, r, z, "/login")
	case oauth.StepConsent:
		return s.sendTo(w, r, z, "/consent")
	case oauth.StepIssue:
		answer, err := s.Authority.Issue(r.Context(), z, who.Session, s.Address(r))
		if err != nil {
			return err
		}
		s.send(w, r, answer)
	default:
		s.send(w, r, z.Refuse(e))
	}
	return nil
}

func (s *Web) sendTo(w http.ResponseWriter, r *http.Request, z oauth.Authorization, page string) error {
	if !z.Stored() {
		if err := s.keep(w, r, &z); err != nil {
			return err
		}
	}
	redirect(w, r, s.pageOf(z, page))
	return nil
}

func (s *Web) keep(w http.ResponseWriter, r *http.Request, z *oauth.Authorization) error {
	browser, err := s.Authority.Keep(r.Context(), z)
	if err != nil {
		return err
	}
	s.cookies.setInteraction(w, z.Request.ID, browser, z.Request.ExpiresAt-z.Request.CreatedAt)
	return nil
}

// pageOf is the address of a page of a request, "" being the dispatcher.
func (s *Web) pageOf(z oauth.Authorization, page string) string {
	return s.base + "/interaction/" + string(z.Request.ID) + page
}

// waiting finds the request that a page belongs to.
func (s *Web) waiting(r *http.Request) (oauth.Authorization, error) {
	return s.Authority.Resume(r.Context(), model.RequestID(r.PathValue("id")), s.cookies.interaction(r))
}

// at finds the request that a page belongs to, if that page is its next step.
// Otherwise it sends the browser to the dispatcher and reports false.
func (s *Web) at(w http.ResponseWriter, r *http.Request, step oauth.Step) (z oauth.Authorization, who *signedIn, here bool, err error) {
	if z, err = s.waiting(r); err != nil {
		return z, nil, false, err
	}
	if who, err = s.session(r); err != nil {
		return z, nil, false, err
	}
	if next, _ := s.Authority.Next(r.Context(), z, who.or()); next != step {
		redirect(w, r, s.pageOf(z, ""))
		return z, who, false, nil
	}
	return z, who, true, nil
}

func clientOf(z oauth.Authorization) clientView {
	v := clientView{Name: z.Client.Name, URI: z.Client.URI}
	if v.Name == "" {
		v.Name = string(z.Client.ID)
	}
	if u, err := url.Parse(z.Request.Asked.RedirectURI); err == nil {
		v.Host = u.Hostname()
	}
	return v
}

func userOf(u model.User) userView {
	name := u.Profile.Name
	if name == "" {
		name = u.Login
	}
	return userView{Name: name, Login: u.Login, Email: u.Profile.Email, Admin: u.Admin}
}
