package api

import "net/http"

// token is the token endpoint, RFC 6749 §3.2.
func (s *API) token(w http.ResponseWriter, r *http.Request) error {
	call, err := s.call(r)
	if err != nil {
		return err
	}
	tokens, err := s.Authority.Token(r.Context(), call)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, tokens)
}

// introspect is the introspection endpoint, RFC 7662 §2.
func (s *API) introspect(w http.ResponseWriter, r *http.Request) error {
	call, err := s.call(r)
	if err != nil {
		return err
	}
	answer, err := s.Authority.Introspect(r.Context(), call)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// revoke is the revocation endpoint, RFC 7009 §2.
func (s *API) revoke(w http.ResponseWriter, r *http.Request) error {
	call, err := s.call(r)
	if err != nil {
		return err
	}
	if err := s.Authority.Revoke(r.Context(), call); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct{}{})
}
