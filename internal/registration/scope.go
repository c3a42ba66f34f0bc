package registration

import "strings"

// StandardScopes are the scopes that every installation knows.
var StandardScopes = []string{"openid", "profile", "email", "address", "phone", "groups", "offline_access"}

// ScopeToken reports whether s is a scope-token of RFC 6749 §3.3.
func ScopeToken(s string) bool {
	for _, c := range []byte(s) {
		if c <= 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// ReservedScope reports whether a scope is for an operator to give: all names that
// begin like those of oauth for what this server itself is asked, also such as
// do not mean anything yet.
func ReservedScope(s string) bool {
	return strings.HasPrefix(s, "ostiary:") || strings.HasPrefix(s, "ssf.")
}
