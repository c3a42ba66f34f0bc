package oauth

import (
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
)

// The scopes with a meaning of their own.
const (
	ScopeOpenID  = "openid"         // OpenID Connect Core §3.1.2.1
	ScopeOffline = "offline_access" // OpenID Connect Core §11
)

// The scopes by which this server itself is asked for things that only programs of
// the operator may do. An operator gives them to a client; nobody registers for one.
const (
	ScopeFeed      = "ostiary:feed"      // to follow the revocation feed
	ScopeSessions  = "ostiary:sessions"  // to list and end sessions
	ScopeUsers     = "ostiary:users"     // to list people, to lock, unlock and sign them out
	ScopeUpstreams = "ostiary:upstreams" // to set up identity providers
	ScopeRevoke    = "ostiary:revoke"    // to put somebody out everywhere
	ScopeSSFRead   = "ssf.read"          // CAEP Interoperability Profile §2.7.2
	ScopeSSF       = "ssf.manage"        // likewise
)

// own reports whether a scope is for what this server itself is asked.
func own(s string) bool { return s == ScopeOpenID || registration.ReservedScope(s) }

// claimsOf lists the claims that each standard scope asks for, OpenID Connect
// Core §5.4; "groups" is a custom that many applications follow.
var claimsOf = map[string][]string{
	"profile": {"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile",
		"picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at"},
	"email":   {"email", "email_verified"},
	"address": {"address"},
	"phone":   {"phone_number", "phone_number_verified"},
	"groups":  {"groups"},
}

// StandardClaims lists the claims about a person that the server knows, in the
// order of the scopes that tell them.
func StandardClaims() []string {
	var all []string
	for _, s := range registration.StandardScopes {
		all = append(all, claimsOf[s]...)
	}
	return all
}

// allowScope returns the first of the scopes asked that the client is not
// registered for.
func allowScope(c model.Client, asked []string) *Error {
	for _, s := range asked {
		if !registration.ScopeToken(s) {
			return fail(InvalidScope, "The scope is malformed") // RFC 6749 §3.3
		}
		if !slices.Contains(c.Scopes, s) {
			return fail(InvalidScope, "The client may not ask for the scope %s", plain(s))
		}
	}
	return nil
}

// without returns what of list is not in taken.
func without(list, taken []string) []string {
	var rest []string
	for _, s := range list {
		if !slices.Contains(taken, s) {
			rest = append(rest, s)
		}
	}
	return rest
}

func joinScope(scope []string) string { return strings.Join(scope, " ") }

// Claims returns what scopes tell about a person, and what is wanted one by one,
// by claim name with the JSON type of OpenID Connect Core §5.1; what is empty is
// left out (§5.3.2), and so is what has none of the values that are wanted. Who
// they are ("sub") depends on who asks, and is not among them; so do the name and the
// meaning of groups.
func Claims(c model.Client, u model.User, scope []string, wanted model.WantedClaims) map[string]any {
	p := u.Profile
	all := map[string]any{
		"name": p.Name, "family_name": p.FamilyName, "given_name": p.GivenName, "middle_name": p.MiddleName,
		"nickname": p.Nickname, "preferred_username": p.PreferredUsername, "profile": p.Page, "picture": p.Picture,
		"website": p.Website, "gender": p.Gender, "birthdate": p.Birthdate, "zoneinfo": p.Zoneinfo, "locale": p.Locale,
		"updated_at": u.UpdatedAt,
		"email":      p.Email, "phone_number": p.PhoneNumber,
	}
	if p.Email != "" {
		all["email_verified"] = p.EmailVerified
	}
	if p.PhoneNumber != "" {
		all["phone_number_verified"] = p.PhoneNumberVerified
	}
	if p.Address != nil {
		all["address"] = p.Address
	}
	if groups := groupsFor(c, u); len(groups) > 0 {
		all[scopeGroups] = groups
	}
	told := map[string]any{}
	for _, s := range scope {
		for _, name := range claimsOf[s] {
			if v, ok := all[name]; ok && v != "" {
				told[name] = v
			}
		}
	}
	for name, values := range wanted {
		if v, ok := all[name]; ok && v != "" && acceptable(v, values) {
			told[name] = v
		}
	}
	if groups, ok := told[scopeGroups]; ok && groupsClaim(c) != scopeGroups {
		delete(told, scopeGroups)
		told[groupsClaim(c)] = groups
	}
	return told
}
