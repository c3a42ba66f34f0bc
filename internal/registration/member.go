package registration

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/strictjson"
)

// members are what a client can say about itself, by their names in the registry
// of client metadata (RFC 7591 §2, OpenID Connect Dynamic Client Registration
// §2). It is an allow-list: what an operator alone decides is not on it, and
// cannot be set by registering (model.ClientSettings tells which).
var members = map[string]func(*model.ClientSettings) any{
	"client_name":                          func(s *model.ClientSettings) any { return &s.Name },
	"client_uri":                           func(s *model.ClientSettings) any { return &s.URI },
	"logo_uri":                             func(s *model.ClientSettings) any { return &s.LogoURI },
	"policy_uri":                           func(s *model.ClientSettings) any { return &s.PolicyURI },
	"tos_uri":                              func(s *model.ClientSettings) any { return &s.TermsURI },
	"contacts":                             func(s *model.ClientSettings) any { return &s.Contacts },
	"initiate_login_uri":                   func(s *model.ClientSettings) any { return &s.InitiateURI },
	"software_id":                          func(s *model.ClientSettings) any { return &s.SoftwareID },
	"software_version":                     func(s *model.ClientSettings) any { return &s.SoftwareVersion },
	"application_type":                     func(s *model.ClientSettings) any { return &s.ApplicationType },
	"redirect_uris":                        func(s *model.ClientSettings) any { return &s.RedirectURIs },
	"post_logout_redirect_uris":            func(s *model.ClientSettings) any { return &s.PostLogoutRedirectURIs },
	"grant_types":                          func(s *model.ClientSettings) any { return &s.GrantTypes },
	"response_types":                       func(s *model.ClientSettings) any { return &s.ResponseTypes },
	"scope":                                func(s *model.ClientSettings) any { return (*scopeText)(&s.Scopes) },
	"token_endpoint_auth_method":           func(s *model.ClientSettings) any { return &s.AuthMethod },
	"token_endpoint_auth_signing_alg":      func(s *model.ClientSettings) any { return &s.AuthAlgorithm },
	"jwks":                                 func(s *model.ClientSettings) any { return &s.JWKS },
	"jwks_uri":                             func(s *model.ClientSettings) any { return &s.JWKSURI },
	"request_object_signing_alg":           func(s *model.ClientSettings) any { return &s.RequestObjectAlgorithm },
	"request_uris":                         func(s *model.ClientSettings) any { return &s.RequestURIs },
	"require_signed_request_object":        func(s *model.ClientSettings) any { return &s.RequireRequestObject },
	"default_max_age":                      func(s *model.ClientSettings) any { return &s.DefaultMaxAge },
	"require_auth_time":                    func(s *model.ClientSettings) any { return &s.RequireAuthTime },
	"default_acr_values":                   func(s *model.ClientSettings) any { return &s.DefaultACRValues },
	"subject_type":                         func(s *model.ClientSettings) any { return &s.SubjectType },
	"sector_identifier_uri":                func(s *model.ClientSettings) any { return &s.SectorURI },
	"id_token_signed_response_alg":         func(s *model.ClientSettings) any { return &s.IDTokenAlgorithm },
	"id_token_encrypted_response_alg":      func(s *model.ClientSettings) any { return &s.IDTokenEncryption },
	"id_token_encrypted_response_enc":      func(s *model.ClientSettings) any { return &s.IDTokenContent },
	"userinfo_signed_response_alg":         func(s *model.ClientSettings) any { return &s.UserInfoAlgorithm },
	"userinfo_encrypted_response_alg":      func(s *model.ClientSettings) any { return &s.UserInfoEncryption },
	"userinfo_encrypted_response_enc":      func(s *model.ClientSettings) any { return &s.UserInfoContent },
	"introspection_signed_response_alg":    func(s *model.ClientSettings) any { return &s.IntrospectionAlgorithm },
	"introspection_encrypted_response_alg": func(s *model.ClientSettings) any { return &s.IntrospectionEncryption },
	"introspection_encrypted_response_enc": func(s *model.ClientSettings) any { return &s.IntrospectionContent },
	"frontchannel_logout_uri":              func(s *model.ClientSettings) any { return &s.FrontchannelURI },
	"frontchannel_logout_session_required": func(s *model.ClientSettings) any { return &s.FrontchannelSession },
	"backchannel_logout_uri":               func(s *model.ClientSettings) any { return &s.BackchannelURI },
	"backchannel_logout_session_required":  func(s *model.ClientSettings) any { return &s.BackchannelSession },
}

// scopeText is a list of scopes that is written as one text with spaces, RFC
// 7591 §2.
type scopeText []string

// metadata are the members of a JSON object that are not null, by their names.
// RFC 7591 §2: what is not known is ignored; so are names with a language tag
// (§2.2), of which there is one page for all languages.
type metadata map[string]strictjson.Value

// readMetadata reads one JSON object, strictly: no name may come twice.
func readMetadata(text string) (metadata, *Error) {
	all := metadata{}
	s := strictjson.New(text)
	for s.Next() {
		if s.Value().Kind() != strictjson.Null { // OpenID Connect Dynamic Client Registration §2: as if it were not there
			all[s.Name()] = s.Value()
		}
	}
	if s.Err() != nil {
		e := fail(InvalidClientMetadata, "The body must be one JSON object in which no name comes twice")
		e.cause = s.Err()
		return nil, e
	}
	return all, nil
}

// text returns a member that is a text, "" where it is not there or something
// else.
func (m metadata) text(name string) string {
	s, _ := m[name].Text()
	return s
}

// fill puts what is known of m into s.
func (m metadata) fill(s *model.ClientSettings) *Error {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		v, ok := m[name]
		if !ok {
			continue
		}
		if want := take(members[name](s), v); want != "" {
			code := InvalidClientMetadata
			if name == "redirect_uris" {
				code = InvalidRedirectURI
			}
			return fail(code, "The member %s must be %s", name, want)
		}
	}
	return nil
}

// renewed is what is known of a client that no operator registered once it has said
// s about itself: all that it can say takes the place of what it had said (RFC 7592
// §2.2), and what an operator alone decides stays. Otherwise it could shake that off:
// what its people have to prove, and how long its tokens live. Trust that was put into
// it ends where it is not any more what it was.
func renewed(was, s model.ClientSettings) model.ClientSettings {
	now := was
	for _, field := range members {
		reflect.ValueOf(field(&now)).Elem().Set(reflect.ValueOf(field(&s)).Elem())
	}
	now.Statement, now.Audiences = s.Statement, s.Audiences // the policy has them
	// Nobody but an operator can have given those.
	given := slices.DeleteFunc(slices.Clone(was.Scopes), func(s string) bool { return !ReservedScope(s) })
	now.Scopes = append(slices.DeleteFunc(slices.Clone(s.Scopes), ReservedScope), given...)
	if another(was, s) {
		now.FirstParty, now.Challenge = false, false
	}
	return now
}

// another reports whether a client is not any more what people let in.
func another(was, now model.ClientSettings) bool {
	return missing(was.RedirectURIs, now.RedirectURIs) != "" || now.Name != was.Name || now.URI != was.URI || now.LogoURI != was.LogoURI
}

// take puts a value into a field, or says what it should have been.
func take(field any, v strictjson.Value) (want string) {
	ok := false
	switch f := field.(type) {
	case *string:
		*f, ok = v.Text()
		want = "a string"
	case *[]string:
		*f, ok = v.Texts()
		want = "an array of strings"
	case *scopeText:
		var text string
		text, ok = v.Text()
		words := strings.Fields(text)
		if ok = ok && len(words) <= maxList; ok {
			*f = nil
			for _, w := range words {
				if !slices.Contains(*f, w) {
					*f = append(*f, w)
				}
			}
		}
		want = "a string of scopes with spaces between them"
	case *bool:
		*f, ok = v.Bool()
		want = "true or false"
	case **int64:
		n, whole := v.Int()
		*f, ok = &n, whole && n >= 0
		want = "a number of seconds"
	case *json.RawMessage:
		*f, ok = json.RawMessage(v.Raw()), v.Kind() == strictjson.Object
		want = "an object"
	}
	if ok {
		return ""
	}
	return want
}

// describe is the reverse of fill: what a client said about itself, and what was
// made of it (RFC 7591 §3.2.1: "all registered metadata").
func describe(s model.ClientSettings) map[string]any {
	out := map[string]any{}
	for name, field := range members {
		switch f := field(&s).(type) {
		case *string:
			if *f != "" {
				out[name] = *f
			}
		case *[]string:
			if len(*f) > 0 {
				out[name] = *f
			}
		case *scopeText:
			if len(*f) > 0 {
				out[name] = strings.Join(*f, " ")
			}
		case *bool:
			if *f {
				out[name] = true
			}
		case **int64:
			if *f != nil {
				out[name] = **f
			}
		case *json.RawMessage:
			if len(*f) > 0 {
				out[name] = *f
			}
		}
	}
	if s.Statement != "" {
		out["software_statement"] = s.Statement // RFC 7591 §3.2.1: unmodified
	}
	return out
}
