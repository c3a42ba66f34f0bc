package registration

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
)

// ResponseTypes are the supported values of "response_type", their words in one
// order: code, the implicit ones (OpenID Connect Core §3.2) and the hybrid ones
// (§3.3). An access token alone ("token") is not among them: RFC 9700 §2.1.2.
var ResponseTypes = []string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"}

// ResponseType puts the words of a response type into the order above: RFC 6749
// §3.1.1, "the order of values does not matter". It returns "" for what is not
// supported.
func ResponseType(text string) string {
	words := strings.Fields(text)
	slices.Sort(words) // code, id_token, token
	if text = strings.Join(words, " "); slices.Contains(ResponseTypes, text) {
		return text
	}
	return ""
}

// checkResponseTypes holds a client's response types to its grant types, RFC
// 7591 §2.1.
func checkResponseTypes(s model.ClientSettings) error {
	for _, t := range s.ResponseTypes {
		if !slices.Contains(ResponseTypes, t) {
			return invalid("response_types", "%q is none of %s", t, strings.Join(ResponseTypes, ", "))
		}
		if strings.HasPrefix(t, "code") && !slices.Contains(s.GrantTypes, model.GrantAuthorizationCode) {
			return invalid("grant_types", "the response type %q needs authorization_code", t)
		}
		if t != "code" && !slices.Contains(s.GrantTypes, model.GrantImplicit) {
			return invalid("grant_types", "the response type %q needs implicit", t)
		}
	}
	if len(s.ResponseTypes) > 0 && len(s.RedirectURIs) == 0 {
		return invalid("redirect_uris", "%s needs at least one", fmt.Sprintf("the response type %q", s.ResponseTypes[0]))
	}
	return nil
}
