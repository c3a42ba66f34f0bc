package web

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/oauth"
)

// logout takes a request to sign out, OpenID Connect RP-Initiated Logout §2.
// Without proof that it is about this session, the person is asked: else any
// site could sign anybody out.
func (s *Web) logout(w http.ResponseWriter, r *http.Request) error {
	f, err := form(r)
	if err != nil {
		return err
	}
	l, err := s.Authority.BeginLogout(r.Context(), f)
	if err != nil {
		return err
	}
	if r.Method == http.MethodPost {
		// The session cookie does not come with a post from another site.
		redirect(w, r, s.base+oauth.PathLogout+"?"+f.Encode())
		return nil
	}
	who, err := s.session(r)
	if err != nil {
		return err
	}
	if who != nil && !l.Confirmed(who.Session) {
		var hidden []hiddenField
		for _, name := range logoutFields {
			if v := f.Get(name); v != "" {
				hidden = append(hidden, hiddenField{Name: name, Value: v})
			}
		}
		s.pages.signOut(w, r, signOutPage{
			Action: s.base + "/logout/confirm", Client: clientView{Name: l.Client.Name, URI: l.Client.URI}, User: userOf(who.User), Hidden: hidden,
		})
		return nil
	}
	return s.signOut(w, r, l, who)
}

// logoutFields are the parameters that the confirmation page carries along;
// they are checked anew when they come back.
var logoutFields = []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state"}

func (s *Web) confirmLogout(w http.ResponseWriter, r *http.Request) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	keep := url.Values{}
	for _, name := range logoutFields {
		if f.Has(name) {
			keep[name] = f[name]
		}
	}
	l, err := s.Authority.BeginLogout(r.Context(), keep)
	if err != nil {
		return err
	}
	if f.Get("decision") == "cancel" {
		redirect(w, r, s.base+"/")
		return nil
	}
	who, err := s.session(r)
	if err != nil {
		return err
	}
	return s.signOut(w, r, l, who)
}

func (s *Web) signOut(w http.ResponseWriter, r *http.Request, l oauth.Logout, who *signedIn) error {
	if who != nil {
		err := s.Accounts.SignOut(r.Context(), s.actor(r, who.UserID), who.ID)
		if err != nil && !errors.Is(err, account.ErrNoSession) {
			return err
		}
	}
	s.cookies.dropSession(w)
	if back := l.Back(); back != "" {
		redirect(w, r, back)
		return nil
	}
	redirect(w, r, s.base+"/signed-out")
	return nil
}

func (s *Web) signedOut(w http.ResponseWriter, r *http.Request) error {
	s.pages.signedOut(w, r, signedOutPage{})
	return nil
}
