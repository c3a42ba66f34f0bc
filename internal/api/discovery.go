package api

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
)

// cacheFor is how long discovery and keys may be kept by others, in seconds.
// A signing key is published far longer than this before it is used.
const cacheFor = "300"

// document is a body that does not change, with its entity tag.
type document struct {
	body []byte
	etag string
}

func newDocument(body []byte) document {
	sum := sha256.Sum256(body)
	return document{body, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

func (d document) write(w http.ResponseWriter, r *http.Request, kind string) {
	h := w.Header()
	h.Set("ETag", d.etag)
	h.Set("Cache-Control", "public, max-age="+cacheFor)
	if strings.Contains(r.Header.Get("If-None-Match"), d.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", kind)
	w.Write(d.body) // a peer that has gone cannot be told
}

// discovery describes the server, OpenID Connect Discovery §4 and RFC 8414 §3.
func (s *API) discovery(w http.ResponseWriter, r *http.Request) error {
	s.metadata.write(w, r, "application/json")
	return nil
}

// keySet publishes the signing keys, RFC 7517 §5.
func (s *API) keySet(w http.ResponseWriter, r *http.Request) error {
	body, etag := s.Keys.Published()
	document{body, etag}.write(w, r, "application/jwk-set+json") // RFC 7517 §8.5.2
	return nil
}
