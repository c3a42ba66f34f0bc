package oauth

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

// Who may register clients.
const (
	RegistrationOff   = "off"
	RegistrationToken = "token" // whoever holds an initial access token, RFC 7591 §3
	RegistrationOpen  = "open"
)

// Registration says who may register clients beside the operator, and what such
// a client can be. The zero value lets nobody.
type Registration struct {
	Mode      string // RegistrationOff (also ""), RegistrationToken or RegistrationOpen
	Documents bool   // the address of a metadata document is taken for a client_id

	RedirectHosts []string                 // to which codes may go, see CheckRedirectHost; empty: any
	Scopes        []string                 // that may be asked for; empty: the standard ones but groups
	Audiences     []string                 // the APIs that their access tokens are for; empty: the issuer's own
	AuthMethods   []string                 // empty: all of AuthMethods
	PerHour       int                      // registrations from one address (of IPv6, one /64); 100
	SecretLife    time.Duration            // 0: secrets do not expire
	Unused        time.Duration            // a client that nobody uses is removed after this; 30 days
	Statements    map[string]StatementKeys // who may vouch for software, by "iss"
}

// registrableGrants are the grants of clients that no operator registered: with
// a person who agrees in each of them. A client that acts for itself
// (client_credentials) would be a stranger with tokens.
var registrableGrants = []string{model.GrantAuthorizationCode, model.GrantImplicit, model.GrantRefreshToken}

// Check completes a policy, or says which setting is wrong.
func (r *Registration) Check() error {
	switch r.Mode {
	case "":
		r.Mode = RegistrationOff
	case RegistrationOff, RegistrationToken, RegistrationOpen:
	default:
		return fmt.Errorf("registration must be off, token or open, not %q", r.Mode)
	}
	for _, host := range r.RedirectHosts {
		if err := CheckRedirectHost(host); err != nil {
			return err
		}
	}
	if len(r.Scopes) == 0 {
		r.Scopes = without(StandardScopes, []string{"groups"})
	}
	if i := slices.IndexFunc(r.Scopes, func(s string) bool { return !scopeToken(s) }); i >= 0 {
		return fmt.Errorf("registration-scopes: %q is not the name of a scope", r.Scopes[i])
	}
	if i := slices.IndexFunc(r.Scopes, ReservedScope); i >= 0 {
		return fmt.Errorf("registration-scopes: %q is for the operator to give: use ostiary client update CLIENT --scope %s", r.Scopes[i], r.Scopes[i])
	}
	if i := slices.IndexFunc(r.Audiences, func(s string) bool { return s == "" || len(s) > 2048 || !clean(s) }); i >= 0 || len(r.Audiences) > maxList {
		return errors.New("registration-audiences: each must be the address of an API")
	}
	if len(r.AuthMethods) == 0 {
		r.AuthMethods = AuthMethods
	}
	if unknown := without(r.AuthMethods, AuthMethods); len(unknown) > 0 {
		return fmt.Errorf("%q is not a way for a client to prove itself: write some of %s", unknown[0], strings.Join(AuthMethods, ", "))
	}
	if r.PerHour == 0 {
		r.PerHour = 100
	}
	if r.Unused == 0 {
		r.Unused = 30 * 24 * time.Hour
	}
	if r.PerHour < 0 || r.SecretLife < 0 || r.Unused < time.Hour {
		return errors.New("registration-unused: an application that nobody uses must be kept for an hour or more")
	}
	return nil
}

// CheckRedirectHost says whether a host may stand in Registration.RedirectHosts.
// "shop.example.com" is that host alone, "*.example.com" every host below
// example.com, not itself; "com.example.app:" is the private scheme of a native
// application.
func CheckRedirectHost(host string) error {
	name := host
	if scheme, ok := strings.CutSuffix(host, ":"); ok {
		if !strings.Contains(scheme, ".") || !unreserved(scheme) || scheme != strings.ToLower(scheme) {
			return fmt.Errorf("%q is not a private scheme: write one such as com.example.app:", host)
		}
		return nil
	}
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		// A whole top-level domain belongs to nobody who could be trusted.
		if name = rest; !strings.Contains(name, ".") {
			return fmt.Errorf("%q is too wide: write one such as *.example.com", host)
		}
	}
	if u, err := url.Parse("https://" + name + "/"); err != nil || name == "" || u.Host != name || u.Hostname() != strings.Trim(name, "[]") || name != strings.ToLower(name) || strings.ContainsAny(name, "*@ ") {
		return fmt.Errorf("%q is not a host: write one such as shop.example.com or *.example.com, in lower case", host)
	}
	return nil
}

// allowsRedirect reports whether the policy lets a code go to an address.
func (r *Registration) allowsRedirect(uri string) bool {
	if len(r.RedirectHosts) == 0 {
		return true
	}
	u, err := url.Parse(uri)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	if host == "" {
		return slices.Contains(r.RedirectHosts, strings.ToLower(u.Scheme)+":")
	}
	return slices.ContainsFunc(r.RedirectHosts, func(allowed string) bool {
		if below, ok := strings.CutPrefix(allowed, "*"); ok { // ".example.com"
			return strings.HasSuffix(host, below) && len(host) > len(below)
		}
		return strings.Trim(allowed, "[]") == host
	})
}

// admit completes the settings of a client that no operator registers, by the
// defaults of the specifications, and holds them to the policy.
//
// Errors: *InvalidClientError.
func (a *Authority) admit(s model.ClientSettings) (model.ClientSettings, error) {
	s = registrationDefaults(s)
	r := &a.Registration
	for _, g := range s.GrantTypes {
		if !slices.Contains(registrableGrants, g) {
			return s, invalid("grant_types", "a client can register for %s", strings.Join(registrableGrants, ", "))
		}
	}
	if !slices.Contains(r.AuthMethods, s.AuthMethod) {
		return s, invalid("token_endpoint_auth_method", "it must be one of %s", strings.Join(r.AuthMethods, ", "))
	}
	// RFC 7591 §2: without a scope the server chooses; §3.2.1: it may replace
	// what was asked for, and the answer says by what.
	asked := s.Scopes
	if s.Scopes = r.Scopes; len(asked) > 0 {
		s.Scopes = without(asked, without(asked, r.Scopes))
	}
	s.Scopes = slices.DeleteFunc(slices.Clone(s.Scopes), ReservedScope) // whatever the policy says
	s.Audiences = r.Audiences
	if len(s.Scopes) == 0 {
		return s, invalid("scope", "a client can register for %s", joinScope(r.Scopes))
	}
	for name, list := range map[string][]string{"redirect_uris": s.RedirectURIs, "post_logout_redirect_uris": s.PostLogoutRedirectURIs} {
		for _, uri := range list {
			if !r.allowsRedirect(uri) {
				return s, invalid(name, "its host is not one that a client can register here")
			}
		}
	}
	return s, a.checkStranger(s)
}

// checkStranger holds a client that no operator knows to what the specification
// asks of addresses, where an operator may know better.
func (a *Authority) checkStranger(s model.ClientSettings) error {
	if len(s.RedirectURIs) == 0 {
		return invalid("redirect_uris", "at least one is needed") // OpenID Connect Dynamic Client Registration §2
	}
	for _, uri := range s.RedirectURIs {
		// OpenID Connect Dynamic Client Registration §2, application_type: web
		// clients of the implicit grant use https and not localhost.
		if u, err := url.Parse(uri); err != nil || s.ApplicationType == "web" && slices.Contains(s.GrantTypes, model.GrantImplicit) && (u.Scheme != "https" || loopback(u.Hostname())) {
			return invalid("redirect_uris", "a web application with the implicit grant needs https addresses that are not on localhost")
		}
	}
	if s.InitiateURI != "" && !Loopback(a.Issuer) && !strings.HasPrefix(s.InitiateURI, "https:") {
		return invalid("initiate_login_uri", "it must be an https URL") // OpenID Connect Core §4
	}
	return nil
}

// registrationDefaults fills in what a registration leaves open: RFC 7591 §2 and
// OpenID Connect Dynamic Client Registration §2.
func registrationDefaults(s model.ClientSettings) model.ClientSettings {
	if s.ApplicationType == "" {
		s.ApplicationType = "web"
		// Programs on a person's machine often do not say that they are. What
		// returns to that machine alone is one, and gets the free port of RFC
		// 8252 §7.3.
		if len(s.RedirectURIs) > 0 && !slices.ContainsFunc(s.RedirectURIs, func(uri string) bool { return !onMachine(uri) }) {
			s.ApplicationType = "native"
		}
	}
	if s.AuthMethod == "" {
		s.AuthMethod = model.AuthBasic
	}
	if len(s.GrantTypes) == 0 {
		s.GrantTypes = []string{model.GrantAuthorizationCode}
	}
	if len(s.ResponseTypes) == 0 {
		s.ResponseTypes = []string{"code"}
	}
	if s.IDTokenAlgorithm == "" {
		s.IDTokenAlgorithm = "RS256"
	}
	if s.SubjectType == "" {
		s.SubjectType = "public"
	}
	return s
}

// onMachine reports whether an address leads to the machine of the person: a
// private scheme, or plain http on loopback.
func onMachine(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && (u.Scheme == "http" && loopback(u.Hostname()) || u.Host == "" && strings.Contains(u.Scheme, "."))
}

// checkClientLogin: where a client begins a sign-in for others, OpenID Connect
// Core §4.
func checkClientLogin(s model.ClientSettings) error {
	if s.InitiateURI == "" {
		return nil
	}
	u, err := url.Parse(s.InitiateURI)
	switch {
	case err != nil || u.Host == "" || u.User != nil || len(s.InitiateURI) > 2048 || !clean(s.InitiateURI) || strings.Contains(s.InitiateURI, "#"):
		return invalid("initiate_login_uri", "it must be a URL without a user name and a fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return invalid("initiate_login_uri", "it must be an https URL")
	}
	return nil
}
