package web

import (
	"net/http"

	"github.com/ostiary/ostiary/internal/oauth"
)

func (s *Web) showConsent(w http.ResponseWriter, r *http.Request) error {
	v, here, err := s.atConsent(w, r)
	if err != nil || !here {
		return err
	}
	s.pages.consent(w, r, consentPage{
		Status: http.StatusOK, Action: s.pageOf(v.z, "/consent"), Client: clientOf(v.z),
		Device: v.z.Device(), User: userOf(v.who.User), Switch: s.pageOf(v.z, "/select"), Display: v.z.Request.Asked.Display,
		Scopes: append(s.pages.scopes(r, v.z.Request.Asked.Scope), s.pages.claims(r, v.z.Claims())...),
	})
	return nil
}

// atConsent is at, for a page that belongs to one person: the dispatcher has
// bound the request to them, so that nobody agrees to what another one read.
func (s *Web) atConsent(w http.ResponseWriter, r *http.Request) (v visit, here bool, err error) {
	v, here, err = s.at(w, r, oauth.StepConsent)
	if here && v.z.Request.Chosen != v.who.ID {
		redirect(w, r, s.pageOf(v.z, ""))
		here = false
	}
	return v, here, err
}

// consent proves that the person agrees. What they agree to is the stored
// request, never a field of the form.
func (s *Web) consent(w http.ResponseWriter, r *http.Request) error {
	v, here, err := s.atConsent(w, r)
	if err != nil || !here {
		return err
	}
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	switch f.Get("decision") {
	case "allow":
		if err := s.Authority.Approve(r.Context(), &v.z, v.who.Session, s.Address(r)); err != nil {
			return err
		}
		redirect(w, r, s.pageOf(v.z, ""))
	case "deny":
		return s.cancel(w, r, v.z)
	default:
		return errForm
	}
	return nil
}
