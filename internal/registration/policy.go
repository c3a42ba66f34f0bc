package registration

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
	ModeOff   = "off"
	ModeToken = "token" // whoever holds an initial access token, RFC 7591 §3
	ModeOpen  = "open"
)

// Policy says who may register clients beside the operator, and what such
// a client can be. The zero value lets nobody.
type Policy struct {
	Mode      string // ModeOff (also ""), ModeToken or ModeOpen
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
func (p *Policy) Check() error {
	switch p.Mode {
	case "":
		p.Mode = ModeOff
	case ModeOff, ModeToken, ModeOpen:
	default:
		return fmt.Errorf("registration must be off, token or open, not %q", p.Mode)
	}
	for _, host := range p.RedirectHosts {
		if err := CheckRedirectHost(host); err != nil {
			return err
		}
	}
	if len(p.Scopes) == 0 {
		p.Scopes = slices.DeleteFunc(slices.Clone(StandardScopes), func(s string) bool { return s == "groups" })
	}
	if i := slices.IndexFunc(p.Scopes, func(s string) bool { return !ScopeToken(s) }); i >= 0 {
		return fmt.Errorf("registration-scopes: %q is not the name of a scope", p.Scopes[i])
	}
	if i := slices.IndexFunc(p.Scopes, ReservedScope); i >= 0 {
		return fmt.Errorf("registration-scopes: %q is for the operator to give: use ostiary client update CLIENT --scope %s", p.Scopes[i], p.Scopes[i])
	}
	if i := slices.IndexFunc(p.Audiences, func(s string) bool { return s == "" || !text(s, MaxURI) }); i >= 0 || len(p.Audiences) > maxList {
		return errors.New("registration-audiences: each must be the address of an API")
	}
	if len(p.AuthMethods) == 0 {
		p.AuthMethods = AuthMethods
	}
	if unknown := missing(AuthMethods, p.AuthMethods); unknown != "" {
		return fmt.Errorf("%q is not a way for a client to prove itself: write some of %s", unknown, strings.Join(AuthMethods, ", "))
	}
	if p.PerHour == 0 {
		p.PerHour = 100
	}
	if p.Unused == 0 {
		p.Unused = 30 * 24 * time.Hour
	}
	if p.PerHour < 0 || p.SecretLife < 0 || p.Unused < time.Hour {
		return errors.New("registration-unused: an application that nobody uses must be kept for an hour or more")
	}
	return nil
}

// CheckRedirectHost says whether a host may stand in Policy.RedirectHosts.
// "shop.example.com" is that host alone, "*.example.com" every host below
// example.com, not itself; "com.example.app:" is the private scheme of a native
// application.
func CheckRedirectHost(host string) error {
	name := host
	if scheme, ok := strings.CutSuffix(host, ":"); ok {
		// Parse makes a scheme lower case.
		if u, err := url.Parse(host + "/"); err != nil || u.Scheme != scheme || !strings.Contains(scheme, ".") {
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
func (p *Policy) allowsRedirect(uri string) bool {
	if len(p.RedirectHosts) == 0 {
		return true
	}
	u, err := url.Parse(uri)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	if host == "" {
		return slices.Contains(p.RedirectHosts, strings.ToLower(u.Scheme)+":")
	}
	return slices.ContainsFunc(p.RedirectHosts, func(allowed string) bool {
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
func (r *Registrar) admit(s model.ClientSettings) (model.ClientSettings, error) {
	s = registrationDefaults(s)
	p := &r.Policy
	for _, g := range s.GrantTypes {
		if !slices.Contains(registrableGrants, g) {
			return s, invalid("grant_types", "a client can register for %s", strings.Join(registrableGrants, ", "))
		}
	}
	if !slices.Contains(p.AuthMethods, s.AuthMethod) {
		return s, invalid("token_endpoint_auth_method", "it must be one of %s", strings.Join(p.AuthMethods, ", "))
	}
	// RFC 7591 §2: without a scope the server chooses; §3.2.1: it may replace
	// what was asked for, and the answer says by what.
	asked := s.Scopes
	if s.Scopes = p.Scopes; len(asked) > 0 {
		s.Scopes = slices.DeleteFunc(asked, func(s string) bool { return !slices.Contains(p.Scopes, s) })
	}
	s.Scopes = slices.DeleteFunc(slices.Clone(s.Scopes), ReservedScope) // whatever the policy says
	s.Audiences = p.Audiences
	if len(s.Scopes) == 0 {
		return s, invalid("scope", "a client can register for %s", strings.Join(p.Scopes, " "))
	}
	for name, list := range map[string][]string{"redirect_uris": s.RedirectURIs, "post_logout_redirect_uris": s.PostLogoutRedirectURIs} {
		for _, uri := range list {
			if !p.allowsRedirect(uri) {
				return s, invalid(name, "its host is not one that a client can register here")
			}
		}
	}
	return s, r.checkStranger(s)
}

// checkStranger holds a client that no operator knows to what the specification
// asks of addresses, where an operator may know better.
func (r *Registrar) checkStranger(s model.ClientSettings) error {
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
	if s.InitiateURI != "" && !Loopback(r.Issuer) && !strings.HasPrefix(s.InitiateURI, "https:") {
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
	case err != nil || u.Host == "" || u.User != nil || !text(s.InitiateURI, MaxURI) || strings.Contains(s.InitiateURI, "#"):
		return invalid("initiate_login_uri", "it must be a URL without a user name and a fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return invalid("initiate_login_uri", "it must be an https URL")
	}
	return nil
}
