package web

import (
	"net/http"

	"github.com/ostiary/ostiary/internal/oauth"
)

// showSelect lists who is signed in at this browser. Where a person is asked for
// anything, they may come here and say that it is for another one of them.
func (s *Web) showSelect(w http.ResponseWriter, r *http.Request) error {
	v, here, err := s.at(w, r, oauth.StepSelect, oauth.StepLogin, oauth.StepFactor, oauth.StepCreate, oauth.StepConsent)
	if err != nil || !here {
		return err
	}
	if len(v.accounts) == 0 {
		redirect(w, r, s.pageOf(v.z, ""))
		return nil
	}
	who := v.accounts[0].UserID
	if v.who != nil {
		who = v.who.UserID
	}
	s.pages.selectAccount(w, r, selectPage{
		Action: s.pageOf(v.z, "/select"), Client: clientOf(v.z), Accounts: accountViews(v.accounts, who),
		Another: s.pageOf(v.z, "/login?"+another),
	})
	return nil
}

// another in a query asks for a sign-in page that nobody's name stands on.
const another = "another"

// selectAccount proves whom the request is for. It is one of those who are signed
// in here, whatever the form says.
func (s *Web) selectAccount(w http.ResponseWriter, r *http.Request) error {
	v, here, err := s.at(w, r, oauth.StepSelect, oauth.StepLogin, oauth.StepFactor, oauth.StepCreate, oauth.StepConsent)
	if err != nil || !here {
		return err
	}
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	if f.Get("decision") == "cancel" {
		return s.cancel(w, r, v.z)
	}
	// Who has been signed out meanwhile is not there: the dispatcher knows what then.
	if who := find(v.accounts, f.Get("account")); who != nil {
		if err := s.Authority.Choose(r.Context(), &v.z, who.Session); err != nil {
			return err
		}
		// What somebody has half proven here is not theirs.
		if err := s.Accounts.Abandon(r.Context(), holder(v.z)); err != nil {
			return err
		}
		s.cookies.setCurrent(w, who.Session)
	}
	redirect(w, r, s.pageOf(v.z, ""))
	return nil
}
