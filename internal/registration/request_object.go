package registration

import (
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/jwa"
)

// MaxRequestURI is the longest request_uri, in bytes: OpenID Connect Core §6.2,
// RFC 9101 §5.2.
const MaxRequestURI = 512

// checkRequestObjects holds what is registered about a client's request objects
// to OpenID Connect Dynamic Client Registration §2 and RFC 9101 §10.5.
func checkRequestObjects(s model.ClientSettings) error {
	if alg := jwa.Algorithm(s.RequestObjectAlgorithm); alg != "" && !slices.Contains(AssertionAlgorithms, alg) {
		return invalid("request_object_signing_alg", "it must be one of %s", join(AssertionAlgorithms))
	}
	if s.RequireRequestObject && len(s.JWKS) == 0 && s.JWKSURI == "" {
		return invalid("require_signed_request_object", "it needs jwks or jwks_uri: the client has no key to sign with")
	}
	for _, uri := range s.RequestURIs {
		u, err := url.Parse(uri)
		switch {
		case err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(uri, " \\"),
			u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
			return invalid("request_uris", "%q: it must be an https URL", uri)
		case len(uri) > MaxRequestURI:
			return invalid("request_uris", "each must be at most %d bytes long", MaxRequestURI)
		}
	}
	return nil
}
