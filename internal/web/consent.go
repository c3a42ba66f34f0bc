package web

import (
	"net/http"

	"github.com/ostiary/ostiary/internal/oauth"
)

func (s *Web) showConsent(w http.ResponseWriter, r *http.Request) error {
	z, who, here, err := s.at(w, r, oauth.StepConsent)
	if err != nil || !here {
		return err
	}
	s.pages.consent(w, r, consentPage{
		Status: http.StatusOK, Action: s.pageOf(z, "/consent"), Client: clientOf(z),
		User: userOf(who.User), Display: z.Request.Asked.Display,
		Scopes: append(s.pages.scopes(r, z.Request.Asked.Scope), s.pages.claims(r, z.Claims())...),
	})
	return nil
}

// consent proves that the person agrees. What they agree to is the stored
// request, never a field of the form.
func (s *Web) consent(w http.ResponseWriter, r *http.Request) error {
	z, who, here, err := s.at(w, r, oauth.StepConsent)
	if err != nil || !here {
		return err
	}
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	switch f.Get("decision") {
	case "allow":
		if err := s.Authority.Approve(r.Context(), &z, who.Session, s.Address(r)); err != nil {
			return err
		}
		redirect(w, r, s.pageOf(z, ""))
	case "deny":
		s.send(w, r, z.Cancel())
	default:
		return errForm
	}
	return nil
}
