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
	var hidden []hiddenField
	for _, name := range logoutFields {
		if v := f.Get(name); v != "" {
			hidden = append(hidden, hiddenField{Name: name, Value: v})
		}
	}
	if r.Method == http.MethodPost && s.cookies.session(r) == "" && !f.Has(postedAgain) {
		// The session's cookie does not come with a post from another site, but
		// with one from this page; and what was posted so as not to stand in an
		// address does not come to stand in one.
		hidden = append(hidden, hiddenField{postedAgain, "1"})
		s.pages.formPost(w, r, s.formPostPage(r, s.pages.text(r, "signout.posting"), s.base+oauth.PathLogout, hidden))
		return nil
	}
	who, err := s.session(r)
	if err != nil {
		return err
	}
	if who != nil && !l.Confirmed(who.Session) {
		s.pages.signOut(w, r, signOutPage{
			Action: s.base + "/logout/confirm", Client: clientView{Name: l.Client.Name, URI: l.Client.URI}, User: userOf(who.User), Hidden: hidden,
		})
		return nil
	}
	return s.signOut(w, r, l, who)
}

// logoutFields are the parameters that a page carries along; they are checked
// anew when they come back. The hint about the person and the one about their
// language (§2) change nothing: the page says who is signed in.
var logoutFields = []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state"}

// postedAgain marks a form that has come by way of a page of ours.
const postedAgain = "posted_again"

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
	var frames []oauth.Frame
	if who != nil {
		var err error
		if frames, err = s.Authority.FrontChannel(r.Context(), who.ID); err != nil {
			return err
		}
		err = s.Accounts.SignOut(r.Context(), s.actor(r, who.UserID), who.ID)
		if err != nil && !errors.Is(err, account.ErrNoSession) {
			return err
		}
	}
	if s.cookies.session(r) != "" {
		// Of a browser that sent none we know nothing: another site may have made
		// it post this, and must not take its session away.
		s.cookies.dropSession(w)
	}
	s.keepState(w, r, nil)
	back := l.Back()
	switch {
	case len(frames) > 0:
		// In this very answer, so that nobody can make a page with frames of
		// their choice, and a reload shows none.
		s.pages.signedOut(w, r, signedOutPage{Client: clientView{Name: l.Client.Name, URI: l.Client.URI}, Back: back, Frames: frames})
	case back != "":
		redirect(w, r, back)
	default:
		redirect(w, r, s.base+"/signed-out")
	}
	return nil
}

func (s *Web) signedOut(w http.ResponseWriter, r *http.Request) error {
	s.pages.signedOut(w, r, signedOutPage{})
	return nil
}
