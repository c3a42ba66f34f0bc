package api

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// pathUpstream is below which the addresses stand that are registered at identity
// providers.
const pathUpstream = "/upstream"

// upstreamLogout takes a logout token of an identity provider, OpenID Connect
// Back-Channel Logout §2.5: the sessions that stand on the one over there end.
func (s *API) upstreamLogout(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.call(r); err != nil {
		return err
	}
	answer := federation.Answer{
		Method: r.Method, Values: r.PostForm, At: s.Authority.Issuer + strings.TrimPrefix(r.URL.Path, s.Authority.BasePath()),
	}
	_, err := s.Federation.Ended(r.Context(), model.UpstreamID(r.PathValue("upstream")), answer, s.Address(r))
	if err != nil {
		return upstreamRefusal(err)
	}
	w.Header().Set("Cache-Control", "no-store") // §2.8
	w.WriteHeader(http.StatusOK)
	return nil
}

// upstreamRefusal tells a provider why we do not heed it. What is in the log need not
// be told: the provider knows what it has sent.
func upstreamRefusal(err error) error {
	var no *federation.Refusal
	if !errors.As(err, &no) {
		return err
	}
	description := "The logout token is not one of this provider's that is good here"
	switch no.Code {
	case federation.Unknown:
		description = "There is no such identity provider, or it does not tell of sign-outs"
	case federation.Stale:
		description = "The logout token was taken before"
	case federation.Unavailable, federation.Misconfigured:
		description = "The logout token could not be checked now"
	}
	// §2.8: 400 for whatever keeps it from being done
	return &refusedUpstream{&oauth.Error{Code: oauth.InvalidRequest, Description: description}, err}
}

// refusedUpstream is what a provider is told, with what the log is told.
type refusedUpstream struct {
	told  *oauth.Error
	cause error
}

func (e *refusedUpstream) Error() string { return e.cause.Error() }

func (e *refusedUpstream) Unwrap() error { return e.told }

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
