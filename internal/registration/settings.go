package registration

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/strictjson"
	"github.com/ostiary/ostiary/jwk"
)

// withDefaults fills in what an operator left open.
func withDefaults(s model.ClientSettings) model.ClientSettings {
	if s.ApplicationType == "" {
		s.ApplicationType = "web" // OpenID Connect Dynamic Client Registration §2
	}
	if s.AuthMethod == "" {
		s.AuthMethod = model.AuthBasic // RFC 7591 §2
		if s.ApplicationType == "native" {
			s.AuthMethod = model.AuthNone // RFC 8252 §8.4
		}
	}
	if len(s.GrantTypes) == 0 {
		s.GrantTypes = []string{model.GrantAuthorizationCode, model.GrantRefreshToken}
		if len(s.RedirectURIs) == 0 {
			s.GrantTypes = []string{model.GrantClientCredentials}
		}
	}
	if len(s.ResponseTypes) == 0 && slices.Contains(s.GrantTypes, model.GrantAuthorizationCode) {
		s.ResponseTypes = []string{"code"} // RFC 7591 §2
	}
	s.ResponseTypes = slices.Clone(s.ResponseTypes)
	for i, t := range s.ResponseTypes {
		if known := ResponseType(t); known != "" {
			s.ResponseTypes[i] = known
		}
	}
	person := slices.Contains(s.GrantTypes, model.GrantAuthorizationCode) || slices.Contains(s.GrantTypes, model.GrantDeviceCode)
	if len(s.Scopes) == 0 && person {
		s.Scopes = []string{"openid", "profile", "email", "offline_access"}
	}
	return withEncryptionDefaults(s)
}

// GrantTypes are the grants that a client can be registered for.
var GrantTypes = []string{model.GrantAuthorizationCode, model.GrantImplicit, model.GrantRefreshToken, model.GrantClientCredentials, model.GrantDeviceCode}

// MaxURI bounds every address in a client's settings, in bytes.
const MaxURI = 2048

// maxList bounds every list in a client's settings.
const maxList = 100

// checkClient returns an *InvalidClientError for the first setting that is wrong.
func checkClient(s model.ClientSettings) error {
	for _, check := range []func(model.ClientSettings) error{
		checkClientTexts, checkClientURIs, checkClientGrants, checkResponseTypes, checkAuthMethod, checkClientAuthentication, checkRequestObjects,
		checkClientLives, checkGroups, checkClientAnswers, checkClientSubject, checkClientFreshness, checkClientLogin, checkClientLogout, checkClientTheme,
	} {
		if err := check(s); err != nil {
			return err
		}
	}
	return nil
}

func checkClientTexts(s model.ClientSettings) error {
	if !text(s.Name, 200) {
		return invalid("client_name", "it must be at most 200 bytes of text")
	}
	for name, uri := range map[string]string{
		"client_uri": s.URI, "logo_uri": s.LogoURI, "policy_uri": s.PolicyURI, "tos_uri": s.TermsURI,
	} {
		if u, err := url.Parse(uri); uri != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || !text(uri, MaxURI)) {
			return invalid(name, "it must be an https URL")
		}
	}
	for name, v := range map[string]string{"software_id": s.SoftwareID, "software_version": s.SoftwareVersion} {
		if !text(v, 200) {
			return invalid(name, "it must be at most 200 bytes of text")
		}
	}
	if s.ApplicationType != "web" && s.ApplicationType != "native" {
		return invalid("application_type", "it must be web or native")
	}
	lists := map[string][]string{
		"scopes": s.Scopes, "audiences": s.Audiences, "resources": s.Resources, "redirect_uris": s.RedirectURIs,
		"post_logout_redirect_uris": s.PostLogoutRedirectURIs, "grant_types": s.GrantTypes, "response_types": s.ResponseTypes,
		"contacts": s.Contacts, "request_uris": s.RequestURIs, "default_acr_values": s.DefaultACRValues, "sign_in_methods": s.SignInMethods, "identity_providers": s.IdentityProviders,
	}
	for name, list := range lists {
		if len(list) > maxList {
			return invalid(name, "at most %d are allowed", maxList)
		}
		for _, v := range list {
			if v == "" || !text(v, MaxURI) {
				return invalid(name, "each must be 1 to %d bytes of text", MaxURI)
			}
		}
	}
	for _, scope := range s.Scopes {
		if !ScopeToken(scope) {
			return invalid("scopes", "%q is not a scope name (RFC 6749 §3.3: no space, quote or backslash)", scope)
		}
	}
	return nil
}

func checkClientURIs(s model.ClientSettings) error {
	for name, list := range map[string][]string{"redirect_uris": s.RedirectURIs, "post_logout_redirect_uris": s.PostLogoutRedirectURIs} {
		for _, uri := range list {
			if err := checkRedirectURI(uri, s.ApplicationType == "native"); err != nil {
				return invalid(name, "%q: %v", uri, err)
			}
		}
	}
	if i := slices.IndexFunc(s.RedirectURIs, holdsAnswer); i >= 0 {
		return invalid("redirect_uris", "%q: its query must be well-formed and hold nothing that an answer brings, such as code or state", s.RedirectURIs[i])
	}
	if slices.Contains(s.GrantTypes, model.GrantAuthorizationCode) && len(s.RedirectURIs) == 0 {
		return invalid("redirect_uris", "the authorization_code grant needs at least one")
	}
	return nil
}

func checkClientGrants(s model.ClientSettings) error {
	for _, g := range s.GrantTypes {
		if !slices.Contains(GrantTypes, g) {
			return invalid("grant_types", "%q is none of %s", g, strings.Join(GrantTypes, ", "))
		}
	}
	if s.AuthMethod == model.AuthNone && slices.Contains(s.GrantTypes, model.GrantClientCredentials) {
		return invalid("grant_types", "client_credentials is for confidential clients only") // RFC 6749 §4.4
	}
	if s.Challenge && !slices.Contains(s.GrantTypes, model.GrantAuthorizationCode) {
		return invalid("challenge", "what such an application is given is a code: it needs the authorization_code grant")
	}
	return nil
}

func checkClientAuthentication(s model.ClientSettings) error {
	if len(s.JWKS) > 0 && s.JWKSURI != "" {
		return invalid("jwks_uri", "jwks and jwks_uri must not both be set") // RFC 7591 §2
	}
	if s.AuthMethod == model.AuthPrivateKey && len(s.JWKS) == 0 && s.JWKSURI == "" {
		return invalid("jwks", "private_key_jwt needs jwks or jwks_uri")
	}
	if len(s.JWKS) > 0 {
		if err := checkClientKeys(s.JWKS); err != nil {
			return err
		}
	}
	if s.JWKSURI != "" {
		if u, err := url.Parse(s.JWKSURI); err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
			return invalid("jwks_uri", "it must be an https URL")
		}
	}
	return nil
}

func checkClientKeys(data json.RawMessage) error {
	// Before the set is parsed, for that holds private halves against public ones: a
	// third of a second for each of 8192 bits, of which a request has room for sixteen.
	if holdsPrivate(string(data)) {
		return invalid("jwks", "it must hold public keys only")
	}
	set, err := jwk.ParseSet(data)
	if err != nil {
		return invalid("jwks", "%v", err)
	}
	if set.Len() == 0 {
		return invalid("jwks", "it holds no key that can be used")
	}
	for _, k := range set.All() {
		if _, err := k.Public(); err != nil || k.Private() {
			return invalid("jwks", "it must hold public keys only")
		}
	}
	return nil
}

// holdsPrivate reports whether a key of a set has the member "d", RFC 7518 §6.2.2 and §6.3.2.
func holdsPrivate(set string) bool {
	private := false
	keys, _ := strictjson.Find(set, "keys") // what is wrong with the text, ParseSet says
	keys.Each(func(key strictjson.Value) bool {
		d, err := strictjson.Find(key.Raw(), "d")
		private = err == nil && d.Kind() != 0
		return !private
	})
	return private
}

func checkClientLives(s model.ClientSettings) error {
	for _, l := range []struct {
		name       string
		value, max int64
	}{
		{"access_token_life", s.AccessTokenLife, int64(model.MaxAccessLife / time.Second)},
		{"refresh_token_idle", s.RefreshIdle, 3650 * 86400},
		{"refresh_token_life", s.RefreshLife, 3650 * 86400},
	} {
		if l.value < 0 || l.value > l.max {
			return invalid(l.name, "it must be between 0 and %d seconds", l.max)
		}
	}
	if p := s.OfflinePolicy; p != "" && p != model.OfflineSurvives && p != model.OfflineEnds {
		return invalid("offline_access_policy", "it must be %s or %s", model.OfflineSurvives, model.OfflineEnds)
	}
	return nil
}

// The bounds of what a client is told of groups.
const (
	maxGroupRoles = 100
	maxGroupName  = 256 // bytes, as of a person's
)

// groupsClaims are the claims that may tell groups: those of RFC 9068 §2.2.3.1, or a
// name of the client's own that collides with no other, RFC 7519 §4.2.
var groupsClaims = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(groups|roles|entitlements|https?://[!-~]{1,200})$`)
})

// checkGroups holds what a client is told of groups to its bounds.
func checkGroups(s model.ClientSettings) error {
	switch {
	case s.GroupsClaim != "" && !groupsClaims().MatchString(s.GroupsClaim):
		return invalid("groups_claim", "it must be groups, roles, entitlements, or a URL")
	case !text(s.GroupsPrefix, maxGroupName):
		return invalid("groups_prefix", "it must have at most %d bytes, of one line", maxGroupName)
	case len(s.GroupRoles) > maxGroupRoles:
		return invalid("group_roles", "there must be at most %d", maxGroupRoles)
	}
	for _, pair := range s.GroupRoles {
		i := strings.LastIndex(pair, "=")
		if i < 1 || i == len(pair)-1 || !text(pair, 2*maxGroupName) {
			return invalid("group_roles", "each must be GROUP=ROLE, of one line and at most %d bytes, and the role without an equals sign", 2*maxGroupName)
		}
	}
	for _, in := range s.GroupsIn {
		if in != model.GroupsInID && in != model.GroupsInAccess {
			return invalid("groups_in", "each must be %s or %s", model.GroupsInID, model.GroupsInAccess)
		}
	}
	return nil
}

// text reports whether s is at most max bytes of UTF-8 without control characters.
func text(s string, max int) bool {
	return len(s) <= max && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// missing returns the first of wanted that is not in list, "" where all are.
func missing(list, wanted []string) string {
	for _, w := range wanted {
		if !slices.Contains(list, w) {
			return w
		}
	}
	return ""
}
