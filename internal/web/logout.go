package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

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
	wishesOf(r).asked = strings.Fields(f.Get("ui_locales"))
	l, err := s.Authority.BeginLogout(r.Context(), f)
	if err != nil {
		return err
	}
	s.wear(r, l.Client)
	var hidden []hiddenField
	for _, name := range logoutFields {
		if v := f.Get(name); v != "" {
			hidden = append(hidden, hiddenField{Name: name, Value: v})
		}
	}
	if r.Method == http.MethodPost && len(s.cookies.sessions(r)) == 0 && !f.Has(postedAgain) {
		if !strings.Contains(r.Header.Get("Accept"), "text/html") {
			// A program asks in a browser's place, and wants to know where to
			// send that.
			redirect(w, r, s.base+oauth.PathLogout+"?"+f.Encode())
			return nil
		}
		// The session's cookie does not come with a post from another site, but
		// with one from this page; and what was posted so as not to stand in an
		// address does not come to stand in one.
		hidden = append(hidden, hiddenField{postedAgain, "1"})
		s.pages.formPost(w, r, s.formPostPage(r, s.pages.text(r, "signout.posting"), s.base+oauth.PathLogout, hidden))
		return nil
	}
	accounts, err := s.accounts(r)
	if err != nil {
		return err
	}
	o := signingOut{l, f}
	if i := slices.IndexFunc(accounts, func(v signedIn) bool { return l.Confirmed(v.Session) }); i >= 0 {
		return s.signOut(w, r, o, accounts[i])
	}
	if len(accounts) > 0 {
		s.pages.signOut(w, r, signOutPage{
			Action: s.base + "/logout/confirm", Client: clientView{Name: l.Client.Name, URI: l.Client.URI}, Accounts: accountViews(accounts, accounts[0].UserID), Hidden: hidden,
		})
		return nil
	}
	return s.signOut(w, r, o)
}

// signingOut is a sign-out with the parameters that asked for it.
type signingOut struct {
	l     oauth.Logout
	asked url.Values
}

// logoutFields are the parameters that a page carries along; they are checked
// anew when they come back. The hint about the person (§2) changes nothing: the
// page says who is signed in.
var logoutFields = []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales"}

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
	wishesOf(r).asked = strings.Fields(keep.Get("ui_locales"))
	l, err := s.Authority.BeginLogout(r.Context(), keep)
	if err != nil {
		return err
	}
	s.wear(r, l.Client)
	if f.Get("decision") == "cancel" {
		redirect(w, r, s.base+"/")
		return nil
	}
	accounts, err := s.accounts(r)
	if err != nil {
		return err
	}
	return s.signOut(w, r, signingOut{l, keep}, leaving(accounts, f.Get("account"))...)
}

// everybody is what the form says in the place of one account.
const everybody = "all"

// leaving are those whom a form signs out: all, or the one that it names, if they
// are still here, or the current one where it names none.
func leaving(accounts []signedIn, which string) []signedIn {
	who := find(accounts, which)
	switch {
	case which == everybody:
		return accounts
	case which == "" && len(accounts) > 0:
		return accounts[:1]
	case who == nil:
		return nil
	}
	return []signedIn{*who}
}

func (s *Web) signOut(w http.ResponseWriter, r *http.Request, o signingOut, who ...signedIn) error {
	l := o.l
	elsewhere := s.elsewhere(w, r, o, who)
	var frames []oauth.Frame
	for _, one := range who {
		more, err := s.Authority.FrontChannel(r.Context(), one.ID)
		if err != nil {
			return err
		}
		err = s.Accounts.SignOut(r.Context(), s.actor(r, one.UserID), one.ID)
		if err != nil && !errors.Is(err, account.ErrNoSession) {
			return err
		}
		s.cookies.dropSession(w, one.UserID)
		frames = append(frames, more...)
	}
	left, err := s.accounts(r)
	if err != nil {
		return err
	}
	s.keepState(w, r, left)
	back := l.Back()
	switch {
	case len(frames) > 0, elsewhere != nil:
		// In this very answer, so that nobody can make a page with frames of
		// their choice, and a reload shows none.
		s.pages.signedOut(w, r, signedOutPage{Client: clientView{Name: l.Client.Name, URI: l.Client.URI}, Back: back, Frames: frames, Elsewhere: elsewhere})
	case back != "":
		redirect(w, r, back)
	case len(left) > 0 && l.Client.ID == "":
		redirect(w, r, s.base+"/") // to who is still signed in here
	default:
		redirect(w, r, s.base+pathSignedOut+s.inLanguage(r))
	}
	return nil
}

// inLanguage is the query with which the last page speaks as those before it did:
// there is no session any more whose person could be asked for theirs.
func (s *Web) inLanguage(r *http.Request) string {
	if w := wishesOf(r); len(w.asked) == 0 && (w.locale == nil || *w.locale == "") {
		return ""
	}
	return "?ui_locales=" + s.pages.edition(r).words.Tag
}

func (s *Web) signedOut(w http.ResponseWriter, r *http.Request) error {
	wishesOf(r).asked = strings.Fields(r.URL.Query().Get("ui_locales"))
	if l, ok := s.returned(w, r); ok && l.Back() != "" {
		redirect(w, r, l.Back())
		return nil
	}
	s.pages.signedOut(w, r, signedOutPage{})
	return nil
}
