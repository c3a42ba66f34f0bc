package api

import (
	"errors"
	"io"
	"net/http"

	"github.com/ostiary/ostiary/internal/oauth"
)

// userInfo is the userinfo endpoint, OpenID Connect Core §5.3. As a protected
// resource it refuses by RFC 6750 §3, with a challenge.
func (s *API) userInfo(w http.ResponseWriter, r *http.Request) error {
	token, e := bearer(r)
	if e != nil {
		s.challenge(w, r, e)
		return nil
	}
	info, err := s.Authority.UserInfo(r.Context(), token, s.Address(r))
	if errors.As(err, &e) && e.Code != oauth.ServerError && e.Code != oauth.TooManyRequests {
		s.challenge(w, r, e)
		return nil
	}
	if err != nil {
		return err
	}
	if info.JWT != "" {
		h := w.Header()
		h.Set("Content-Type", "application/jwt") // OpenID Connect Core §5.3.2
		h.Set("Cache-Control", "no-store")
		io.WriteString(w, info.JWT) // a peer that has gone cannot be told
		return nil
	}
	return writeJSON(w, http.StatusOK, info.Claims)
}
