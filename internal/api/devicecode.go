package api

import "net/http"

// authorizeDevice is the device authorization endpoint, RFC 8628 §3.1.
func (s *API) authorizeDevice(w http.ResponseWriter, r *http.Request) error {
	call, err := s.call(r)
	if err != nil {
		return err
	}
	answer, err := s.Authority.AuthorizeDevice(r.Context(), call)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}
