package api

import (
	"net/http"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

// passkeys lists the passkeys of a person.
func (s *API) passkeys(w http.ResponseWriter, r *http.Request, _ model.Actor) error {
	u, err := s.Accounts.User(r.Context(), model.UserID(r.PathValue("id")))
	if err != nil {
		return err
	}
	list, _, err := s.Accounts.Passkeys(r.Context(), u.ID)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"passkeys": append([]model.Passkey{}, list...)})
}

// removePasskey takes one passkey from a person.
func (s *API) removePasskey(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	ref := account.PasskeyRef{User: model.UserID(r.PathValue("id")), ID: model.PasskeyID(r.PathValue("passkey"))}
	return done(w, s.Accounts.RemovePasskey(r.Context(), by, ref))
}
