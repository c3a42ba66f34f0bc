package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

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
	accounts, err := s.accounts(r)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(accounts, func(v signedIn) bool { return l.Confirmed(v.Session) }); i >= 0 {
		return s.signOut(w, r, l, accounts[i])
	}
	if len(accounts) > 0 {
		var hidden []hiddenField
		for _, name := range logoutFields {
			if v := f.Get(name); v != "" {
				hidden = append(hidden, hiddenField{Name: name, Value: v})
			}
		}
		s.pages.signOut(w, r, signOutPage{
			Action: s.base + "/logout/confirm", Client: clientView{Name: l.Client.Name, URI: l.Client.URI}, Accounts: accountViews(accounts, accounts[0].UserID), Hidden: hidden,
		})
		return nil
	}
	return s.signOut(w, r, l)
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
	accounts, err := s.accounts(r)
	if err != nil {
		return err
	}
	return s.signOut(w, r, l, leaving(accounts, f.Get("account"))...)
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

func (s *Web) signOut(w http.ResponseWriter, r *http.Request, l oauth.Logout, who ...signedIn) error {
	for _, one := range who {
		err := s.Accounts.SignOut(r.Context(), s.actor(r, one.UserID), one.ID)
		if err != nil && !errors.Is(err, account.ErrNoSession) {
			return err
		}
		s.cookies.dropSession(w, one.UserID)
	}
	to, err := s.afterLogout(r, l)
	if err != nil {
		return err
	}
	redirect(w, r, to)
	return nil
}

// afterLogout is where the browser goes: back to the application that asked, or,
// if none did, to who is still signed in here.
func (s *Web) afterLogout(r *http.Request, l oauth.Logout) (string, error) {
	if back := l.Back(); back != "" {
		return back, nil
	}
	left, err := s.accounts(r)
	if err == nil && len(left) > 0 && l.Client.ID == "" {
		return s.base + "/", nil
	}
	return s.base + "/signed-out", err
}

func (s *Web) signedOut(w http.ResponseWriter, r *http.Request) error {
	s.pages.signedOut(w, r, signedOutPage{})
	return nil
}
