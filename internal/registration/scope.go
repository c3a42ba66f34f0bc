package registration

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
