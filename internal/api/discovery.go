package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
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

// packed is the document as gzip, which has a tag of its own (RFC 9110 §8.8.3.3).
func (d document) packed() document {
	var body bytes.Buffer
	w, err := gzip.NewWriterLevel(&body, gzip.BestSpeed) // a start waits for it; the best would save 6 %
	if err == nil {
		_, err = w.Write(d.body)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // cannot be: memory takes everything
	}
	return newDocument(body.Bytes())
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
	h.Set("Content-Length", strconv.Itoa(len(d.body))) // without it, what is long goes out in chunks
	w.Write(d.body)                                    // a peer that has gone cannot be told
}

// takesGzip reports whether gzip is among the content codings that a request accepts
// (RFC 9110 §12.5.3). Who names none gets the document as it is.
func takesGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		_, q, weighed := strings.Cut(strings.ToLower(strings.TrimSpace(weight)), "q=")
		return !weighed || strings.Trim(q, "0.") != "" // "0", "0.0" … is "not acceptable"
	}
	return false
}

// discovery describes the server, OpenID Connect Discovery §4 and RFC 8414 §3.
// It is some kilobytes long, and packed it fits into one packet.
func (s *API) discovery(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Vary", "Accept-Encoding")
	if takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		s.packed().write(w, r, "application/json")
		return nil
	}
	s.metadata.write(w, r, "application/json")
	return nil
}

// keySet publishes the signing keys, RFC 7517 §5.
func (s *API) keySet(w http.ResponseWriter, r *http.Request) error {
	body, etag := s.Keys.Published()
	document{body, etag}.write(w, r, "application/jwk-set+json") // RFC 7517 §8.5.2
	return nil
}
