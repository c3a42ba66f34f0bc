package web

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/ostiary/ostiary/internal/registration"
)

// logo serves our copy of a client's picture. Its name is the hash of its
// content, so a browser may keep it for ever; and as the content is a stranger's,
// it can be nothing but a picture on a page of ours.
func (s *Web) logo(w http.ResponseWriter, r *http.Request) error {
	l, err := s.Registrar.Logo(r.Context(), r.PathValue("hash"))
	if errors.Is(err, registration.ErrNoLogo) {
		return s.notFound(w, r)
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", l.Type)
	h.Set("Content-Length", strconv.Itoa(len(l.Body)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(l.Body) // a browser that went away is nobody's error
	return nil
}
