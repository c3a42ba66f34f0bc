package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// authorize takes an authorization request, RFC 6749 §3.1.
func (s *Web) authorize(w http.ResponseWriter, r *http.Request) error {
	f, err := form(r)
	if err != nil {
		return err
	}
	wishesOf(r).asked = strings.Fields(f.Get("ui_locales")) // for an error as well
	z, err := s.Authority.Begin(r.Context(), f)
	if err != nil {
		return err
	}
	wishesOf(r).asked = z.Request.Asked.UILocales
	s.wear(r, z.Client)
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
	v, err := s.arrive(r, z)
	if err != nil {
		return err
	}
	s.keepState(w, r, v.accounts)
	if v.proving() {
		return s.prove(w, r, v)
	}
	switch v.step {
	case oauth.StepCreate:
		return s.sendTo(w, r, z, "/create")
	case oauth.StepSelect:
		return s.sendTo(w, r, z, "/select")
	case oauth.StepConsent:
		// What this person is shown, nobody else in this browser agrees to.
		if err := s.Authority.Choose(r.Context(), &z, v.who.Session); err != nil {
			return err
		}
		return s.sendTo(w, r, z, "/consent")
	case oauth.StepIssue:
		answer, err := s.Authority.Issue(r.Context(), z, v.who.Session, s.Address(r))
		if err != nil {
			return err
		}
		s.send(w, r, answer)
	default:
		return s.decline(w, r, z, v.refusal)
	}
	return nil
}

// decline tells whoever asked that it cannot be: the client, or the person where no
// client asks. Their page would only ask again.
func (s *Web) decline(w http.ResponseWriter, r *http.Request, z oauth.Authorization, e *oauth.Error) error {
	if z.Own() {
		return e
	}
	if err := s.Authority.RefuseDevice(r.Context(), z, s.Address(r)); err != nil {
		return err
	}
	s.send(w, r, z.Refuse(e))
	return nil
}

// cancel tells whoever asked that the person said no.
func (s *Web) cancel(w http.ResponseWriter, r *http.Request, z oauth.Authorization) error {
	if err := s.Authority.RefuseDevice(r.Context(), z, s.Address(r)); err != nil {
		return err
	}
	s.send(w, r, z.Cancel())
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
	browser, err := s.Authority.Keep(r.Context(), z, s.Address(r))
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
	z, err := s.Authority.Resume(r.Context(), model.RequestID(r.PathValue("id")), s.cookies.interaction(r))
	wishesOf(r).asked = z.Request.Asked.UILocales
	s.wear(r, z.Client)
	return z, err
}

// answered is waiting for what the form of a page sends, unless that is to cancel.
func (s *Web) answered(w http.ResponseWriter, r *http.Request) (z oauth.Authorization, f url.Values, here bool, err error) {
	if z, err = s.waiting(r); err != nil {
		return z, nil, false, err
	}
	if f, err = pageForm(r); err != nil {
		return z, nil, false, err
	}
	if f.Get("decision") == "cancel" {
		return z, f, false, s.cancel(w, r, z)
	}
	return z, f, true, nil
}

// at finds the request that a page belongs to, if one of the page's steps is its
// next one. Otherwise it sends the browser to the dispatcher and reports false.
func (s *Web) at(w http.ResponseWriter, r *http.Request, steps ...oauth.Step) (v visit, here bool, err error) {
	z, err := s.waiting(r)
	if err != nil {
		return v, false, err
	}
	if v, err = s.arrive(r, z); err != nil {
		return v, false, err
	}
	if !slices.Contains(steps, v.step) {
		redirect(w, r, s.pageOf(z, ""))
		return v, false, nil
	}
	return v, true, nil
}

func clientOf(z oauth.Authorization) clientView {
	v := viewOf(z.Client)
	v.Logo = z.Logo
	if u, err := url.Parse(z.Request.Asked.RedirectURI); err == nil {
		v.Host = u.Hostname()
	}
	return v
}

// viewOf is what there is to show of a client itself.
func viewOf(c model.Client) clientView {
	v := clientView{
		Name: c.Name, URI: c.URI, Policy: c.PolicyURI, Terms: c.TermsURI,
		Stranger: c.Origin != model.OriginOperator,
	}
	if c.Origin == model.OriginDocument {
		v.Site = hostOf(string(c.ID))
	}
	switch {
	case v.Name == "" && v.Site != "":
		v.Name = v.Site
	case v.Name == "":
		v.Name = string(c.ID)
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
