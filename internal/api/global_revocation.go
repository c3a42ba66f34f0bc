package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/signal"
)

// revokeAll is the global token revocation endpoint,
// draft-parecki-oauth-global-token-revocation-06 §3: all that one person has here
// ends, and they have to sign in anew.
func (s *API) revokeAll(w http.ResponseWriter, r *http.Request, c model.Client) error {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/json") { // §3.1
		return signal.ErrInvalid{Reason: "The Content-Type must be application/json"}
	}
	var body map[string]json.RawMessage
	if err := readObject(r, &body); err != nil {
		return err
	}
	var id model.SubjectID
	if len(body) != 1 || json.Unmarshal(body["sub_id"], &id) != nil { // §3.2: "a single property sub_id"
		return signal.ErrInvalid{Reason: "The body must hold sub_id alone, a subject identifier"}
	}
	user, err := s.Accounts.Identify(r.Context(), s.Authority.Issuer, id)
	if err == nil {
		err = s.Accounts.SignOutEverywhere(r.Context(), s.clientActor(r, c), user.ID)
	}
	switch {
	case errors.Is(err, account.ErrSubject): // §3.4.2: 400
		return signal.ErrInvalid{Reason: "The format of sub_id must be iss_sub with our issuer, opaque, email or account"}
	case errors.Is(err, account.ErrNoUser): // §3.4.2: 404
		s.refused(r, http.StatusNotFound, err)
		writeError(w, http.StatusNotFound, oauth.InvalidRequest, "There is no such user")
		return nil
	case err != nil:
		return err
	}
	w.WriteHeader(http.StatusNoContent) // §3.4.1
	return nil
}
