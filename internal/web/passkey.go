package web

import (
	"errors"
	"net/http"
	"slices"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// passkeyPolicy is contentPolicy for pages where a script of ours asks for passkeys.
const passkeyPolicy = "; script-src 'self'; connect-src 'self'"

// passkeyView is a form whose script asks for a passkey. It posts answer, and beside
// a password remember.
type passkeyView struct {
	Action   string // its script asks at Action + "/options"
	New      bool   // a passkey shall be made
	Autofill bool   // the browser may offer it in the field of the login
	Main     bool   // there is no better button on the page
	Token    string // of the link that leads here; empty: none

	// What browsers are told of passkeys that are no use any more.
	Site     string // RP ID
	Unknown  string // a credential that nobody has
	Handle   string // a person, and all credentials of theirs
	Accepted []string
}

// policy is what a page with that form, or without one, may do beside contentPolicy.
func (v *passkeyView) policy() string {
	if v == nil {
		return ""
	}
	return passkeyPolicy
}

// offersPasskey reports whether whoever is at a page could use a passkey there.
func (s *Web) offersPasskey(v visit) bool {
	return s.Accounts.PasskeySite() != "" && (v.progress.Missing != account.First || slices.Contains(v.progress.Methods, model.MethodPasskey))
}

// askFirst says what a browser shall ask an authenticator for, to find out who
// somebody is.
func (s *Web) askFirst(w http.ResponseWriter, r *http.Request) error {
	z, err := s.waiting(r)
	if err != nil {
		return err
	}
	options, err := s.Accounts.AskPasskey(r.Context(), holder(z), "")
	return s.sendOptions(w, options, err)
}

// proveFirst takes a passkey as the proof of who somebody is.
func (s *Web) proveFirst(w http.ResponseWriter, r *http.Request) error {
	z, err := s.waiting(r)
	if err != nil {
		return err
	}
	if err := s.passkeyProof(r, z); err != nil {
		return s.loginFailed(w, r, z, err)
	}
	redirect(w, r, s.pageOf(z, ""))
	return nil
}

// passkeyProof checks the answer that a form brings.
func (s *Web) passkeyProof(r *http.Request, z oauth.Authorization) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	return s.Accounts.ProvePasskey(r.Context(), account.PasskeyAnswer{
		Holder: holder(z), Answer: []byte(f.Get("answer")), Remember: f.Get("remember") != "", Trust: f.Get("trust") != "", Address: s.Address(r),
	})
}

// askSecond asks for a passkey of whoever has given another factor.
func (s *Web) askSecond(w http.ResponseWriter, r *http.Request) error {
	v, here, err := s.atProof(w, r, account.Second)
	if err != nil || !here {
		return err
	}
	options, err := s.Accounts.AskPasskey(r.Context(), holder(v.z), v.progress.User.ID)
	return s.sendOptions(w, options, err)
}

func (s *Web) proveSecond(w http.ResponseWriter, r *http.Request) error {
	v, here, err := s.atProof(w, r, account.Second)
	if err != nil || !here {
		return err
	}
	if err := s.passkeyProof(r, v.z); err != nil {
		page := s.factorPage(v, string(model.MethodPasskey))
		page.Status, page.Error = http.StatusUnprocessableEntity, s.passkeyFault(r, err)
		switch {
		case errors.Is(err, account.ErrLocked):
			page.Status, page.Error = http.StatusForbidden, s.pages.text(r, "login.error.locked")
		case page.Error == "":
			return err
		}
		page.Passkey.blame(s.Accounts.PasskeySite(), err)
		s.logPasskey(r, v.z, err)
		s.pages.factor(w, r, page)
		return nil
	}
	redirect(w, r, s.pageOf(v.z, ""))
	return nil
}

// askEnrol asks for the passkey that somebody sets up because they have to have a
// further factor. It counts as soon as it is used, which is the next step.
func (s *Web) askEnrol(w http.ResponseWriter, r *http.Request) error {
	v, here, err := s.atProof(w, r, account.Enrol)
	if err != nil || !here {
		return err
	}
	options, err := s.Accounts.AskNewPasskey(r.Context(), holder(v.z), v.progress.User.ID)
	return s.sendOptions(w, options, err)
}

func (s *Web) enrolPasskey(w http.ResponseWriter, r *http.Request) error {
	v, f, here, err := s.posted(w, r, account.Enrol)
	if err != nil || !here {
		return err
	}
	user := v.progress.User.ID
	_, err = s.Accounts.AddPasskey(r.Context(), s.actor(r, user), account.NewPasskey{
		Holder: holder(v.z), User: user, Answer: []byte(f.Get("answer")), Session: v.within(), Signing: v.within() == "",
	})
	if errors.Is(err, account.ErrNoSession) || errors.Is(err, account.ErrFactor) { // they were put out meanwhile
		redirect(w, r, s.pageOf(v.z, ""))
		return nil
	}
	if err != nil {
		page, failed := s.enrolPage(r, v)
		if failed != nil {
			return failed
		}
		if page.Error = s.passkeyFault(r, err); page.Error == "" {
			return err
		}
		page.Status = http.StatusUnprocessableEntity
		s.logPasskey(r, v.z, err)
		s.pages.enrol(w, r, page)
		return nil
	}
	redirect(w, r, s.pageOf(v.z, ""))
	return nil
}

// blame notes on a form what the browser is to be told of the passkey that failed.
func (v *passkeyView) blame(site string, err error) {
	var unknown account.UnknownPasskey
	if v != nil && errors.As(err, &unknown) {
		v.Site, v.Unknown = site, unknown.Credential
	}
}

func (s *Web) logPasskey(r *http.Request, z oauth.Authorization, err error) {
	s.Logger.InfoContext(r.Context(), "passkey refused", "error", err, "client", z.Client.ID, "request", s.RequestID(r))
}

func (s *Web) sendOptions(w http.ResponseWriter, options []byte, err error) error {
	switch {
	case errors.Is(err, account.ErrPasskeysOff), errors.Is(err, account.ErrPasskeyUnknown), errors.Is(err, account.ErrPasskeyMany):
		return errors.Join(errForm, err)
	case err != nil:
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_, err = w.Write(options)
	return err
}
