package registration

import (
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
)

// maxAge bounds default_max_age, in seconds: what fits 32 bits, as in a request.
const maxAge = 1<<32 - 1

// checkClientFreshness holds what a client asks for by default to what it could
// ask for in a request. "require_auth_time" needs no check and no reader: every ID
// token says when the sign-in was.
func checkClientFreshness(s model.ClientSettings) error {
	if s.DefaultMaxAge != nil && (*s.DefaultMaxAge < 0 || *s.DefaultMaxAge > maxAge) {
		return invalid("default_max_age", "it must be between 0 and %d seconds", int64(maxAge))
	}
	for _, m := range s.SignInMethods {
		if !slices.Contains(model.Methods(), model.Method(m)) {
			return invalid("sign_in_methods", "%q is none of %v", m, model.Methods())
		}
	}
	if s.RequiredACR != "" && !slices.Contains(model.ACRs(), s.RequiredACR) {
		return invalid("required_acr", "%q is none of %v", s.RequiredACR, model.ACRs())
	}
	if s.RequiredACR != "" && len(s.SignInMethods) > 0 && !reaches(s.SignInMethods, s.RequiredACR) {
		return invalid("sign_in_methods", "nobody could prove %s, the required_acr, with %v alone", s.RequiredACR, s.SignInMethods)
	}
	// Whether there is one is not asked: it may come later, and until it does, nobody is
	// offered it.
	for _, id := range s.IdentityProviders {
		if !model.UpstreamID(id).Valid() {
			return invalid("identity_providers", "%q is no ID of an identity provider", id)
		}
	}
	if hint := s.IDPHint; hint != "" && (!model.UpstreamID(hint).Valid() || len(s.IdentityProviders) > 0 && !slices.Contains(s.IdentityProviders, hint)) {
		return invalid("idp_hint", "it must be the ID of an identity provider that the client takes")
	}
	for _, v := range s.DefaultACRValues {
		if strings.Contains(v, " ") {
			return invalid("default_acr_values", "%q holds a space", v)
		}
	}
	return nil
}

// reaches reports whether somebody who has all these methods could prove that acr.
func reaches(methods []string, acr string) bool {
	var all []model.Method
	for _, m := range methods {
		all = append(all, model.Method(m))
	}
	return slices.Index(model.ACRs(), model.BestACR(all)) >= slices.Index(model.ACRs(), acr)
}
