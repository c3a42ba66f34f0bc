package api

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// upstreamMetadata describes us for an identity provider (SAML V2.0 Metadata §4.1.1).
func (s *API) upstreamMetadata(w http.ResponseWriter, r *http.Request) error {
	body, mediaType, err := s.Federation.Describe(r.Context(), model.UpstreamID(r.PathValue("upstream")))
	var no *federation.Refusal
	if errors.Is(err, federation.ErrPlain) || errors.As(err, &no) && no.Code == federation.Unknown {
		writeError(w, http.StatusNotFound, oauth.InvalidRequest, "There is no metadata for such an identity provider")
		return nil
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "public, max-age=300")
	w.WriteHeader(http.StatusOK)
	w.Write(body) // a peer that has gone cannot be told
	return nil
}
