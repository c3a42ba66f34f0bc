package web

import (
	"errors"
	"net/http"
	"slices"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// proving reports whether somebody is on the way to a session: they have to be, or
// they have begun.
func (v visit) proving() bool {
	return v.step == oauth.StepLogin || v.step == oauth.StepFactor || v.progress.Begun && v.step != oauth.StepRefuse
}

// prove is the dispatcher's way to a session: it sends the browser to the page that
// asks for what is missing, and begins the session when nothing is.
func (s *Web) prove(w http.ResponseWriter, r *http.Request, v visit) error {
	if !v.z.Stored() && v.step == oauth.StepLogin {
		return s.sendTo(w, r, v.z, "/login")
	}
	switch v.progress.Missing {
	case account.First:
		return s.sendTo(w, r, v.z, "/login")
	case account.Second:
		return s.sendTo(w, r, v.z, "/factor")
	case account.Enrol:
		return s.sendTo(w, r, v.z, "/enrol")
	case account.Never:
		s.send(w, r, v.z.Unmet())
		return nil
	}
	if !v.z.Stored() {
		if err := s.keep(w, r, &v.z); err != nil {
			return err
		}
	}
	in, err := s.Accounts.Finish(r.Context(), holder(v.z), s.wanted(r, v), s.attempt(r))
	if errors.Is(err, account.ErrFactor) || errors.Is(err, account.ErrCredentials) || errors.Is(err, account.ErrLocked) {
		// Something has changed since the page before: begin anew, and say nothing to
		// who may be somebody else by now.
		if err := s.Accounts.Abandon(r.Context(), holder(v.z)); err != nil {
			return err
		}
		redirect(w, r, s.pageOf(v.z, "/login"))
		return nil
	}
	if err != nil {
		return err
	}
	s.enter(w, r, in)
	if err := s.Authority.Authenticated(r.Context(), &v.z, in.Session); err != nil {
		return err
	}
	redirect(w, r, s.pageOf(v.z, ""))
	return nil
}

// atProof is at, for a page that asks for what is missing on the way to a session.
func (s *Web) atProof(w http.ResponseWriter, r *http.Request, missing account.Lack) (v visit, here bool, err error) {
	z, err := s.waiting(r)
	if err != nil {
		return v, false, err
	}
	if v, err = s.arrive(r, z); err != nil {
		return v, false, err
	}
	if !v.proving() || v.progress.Missing != missing {
		redirect(w, r, s.pageOf(z, ""))
		return v, false, nil
	}
	return v, true, nil
}

// showFactor asks for a further factor.
func (s *Web) showFactor(w http.ResponseWriter, r *http.Request) error {
	v, here, err := s.atProof(w, r, account.Second)
	if err != nil || !here {
		return err
	}
	s.pages.factor(w, r, s.factorPage(r, v))
	return nil
}

func (s *Web) factor(w http.ResponseWriter, r *http.Request) error {
	v, here, err := s.atProof(w, r, account.Second)
	if err != nil || !here {
		return err
	}
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	if f.Get("decision") == "cancel" {
		s.send(w, r, v.z.Cancel())
		return nil
	}
	redirect(w, r, s.pageOf(v.z, "/factor"))
	return nil
}

func (s *Web) factorPage(r *http.Request, v visit) factorPage {
	page := factorPage{Action: s.pageOf(v.z, "/factor"), Client: clientOf(v.z)}
	if s.offersPasskey(v) && slices.Contains(v.progress.Methods, model.MethodPasskey) {
		page.Passkey = &passkeyView{Action: s.pageOf(v.z, "/factor/passkey"), Main: true}
	}
	return page
}

// showEnrol lets a person set up a factor that they have to have from now on.
func (s *Web) showEnrol(w http.ResponseWriter, r *http.Request) error {
	v, here, err := s.atProof(w, r, account.Enrol)
	if err != nil || !here {
		return err
	}
	s.pages.enrol(w, r, s.enrolPage(v))
	return nil
}

func (s *Web) enrolPage(v visit) enrolPage {
	page := enrolPage{Action: s.pageOf(v.z, "/enrol"), Client: clientOf(v.z)}
	if slices.Contains(v.progress.Methods, model.MethodPasskey) {
		page.Passkey = &passkeyView{Action: s.pageOf(v.z, "/enrol/passkey"), New: true, Main: true}
	}
	return page
}

func (s *Web) enrol(w http.ResponseWriter, r *http.Request) error {
	v, here, err := s.atProof(w, r, account.Enrol)
	if err != nil || !here {
		return err
	}
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	if f.Get("decision") == "cancel" {
		s.send(w, r, v.z.Cancel())
		return nil
	}
	redirect(w, r, s.pageOf(v.z, "/enrol"))
	return nil
}
