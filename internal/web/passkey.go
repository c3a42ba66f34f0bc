package web

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/ostiary/ostiary/internal/account"
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

	// What browsers are told of passkeys that are no use any more.
	Site     string // RP ID
	Unknown  string // a credential that nobody has
	Handle   string // a person, and all credentials of theirs
	Accepted []string
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
	_, err = w.Write(json.RawMessage(options))
	return err
}
