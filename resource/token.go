package resource

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/ostiary/jwt"
)

// AccessToken is what a verified access token says, RFC 9068 §2.2.
type AccessToken struct {
	Issuer    string
	Subject   string // who; for a client's own token the client
	ClientID  string // which application asks
	SessionID string // "sid": the session at the issuer; empty for a client's own token
	GrantID   string // "grant_id": what the person agreed to; empty if not told
	ID        string // "jti"
	Audience  []string
	Scope     []string
	IssuedAt  time.Time
	ExpiresAt time.Time
	AuthTime  time.Time // when the person signed in; zero: not told
	ACR       string    // how; empty: not told
	AMR       []string

	bound bool // by "cnf" to a key, RFC 7800
	raw   json.RawMessage
}

// Clone returns a copy that can be changed without changing t.
func (t *AccessToken) Clone() AccessToken {
	c := *t
	c.Audience, c.Scope, c.AMR = slices.Clone(t.Audience), slices.Clone(t.Scope), slices.Clone(t.AMR)
	return c
}

// Has reports whether the token has all of these scopes.
func (t *AccessToken) Has(scopes ...string) bool {
	for _, s := range scopes {
		if !slices.Contains(t.Scope, s) {
			return false
		}
	}
	return true
}

// Decode reads all claims into v, a pointer to a struct or map: for claims that
// AccessToken has no field for.
func (t *AccessToken) Decode(v any) error {
	if err := json.Unmarshal(t.raw, v); err != nil {
		return fmt.Errorf("resource: claims: %w", err)
	}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler. Names are compared exactly, which
// encoding/json does not do with the fields of a struct: a claim "SUB" of
// somebody's choosing must not become the subject.
func (t *AccessToken) UnmarshalJSON(data []byte) error {
	var claims map[string]json.RawMessage
	if err := json.Unmarshal(data, &claims); err != nil {
		return err
	}
	var (
		audience                jwt.Audience
		scope                   string // RFC 8693 §4.2
		issued, expires, signIn jwt.Time
	)
	*t = AccessToken{raw: slices.Clone(data)}
	for _, claim := range []struct {
		name string
		to   any
	}{
		{"iss", &t.Issuer}, {"sub", &t.Subject}, {"client_id", &t.ClientID}, {"sid", &t.SessionID},
		{"grant_id", &t.GrantID}, {"jti", &t.ID}, {"aud", &audience}, {"scope", &scope}, {"iat", &issued},
		{"exp", &expires}, {"auth_time", &signIn}, {"acr", &t.ACR}, {"amr", &t.AMR},
	} {
		if text, ok := claims[claim.name]; ok {
			if err := json.Unmarshal(text, claim.to); err != nil {
				return fmt.Errorf("%s: %w", claim.name, err)
			}
		}
	}
	t.Audience, t.Scope = audience, strings.Fields(scope)
	t.IssuedAt, t.ExpiresAt, t.AuthTime = issued.Time, expires.Time, signIn.Time
	_, t.bound = claims["cnf"]
	return nil
}

// missing names the first claim that RFC 9068 §2.2 requires and t has not.
func (t *AccessToken) missing() string {
	switch {
	case t.Subject == "":
		return "sub"
	case t.ClientID == "":
		return "client_id"
	case t.ID == "":
		return "jti"
	case t.IssuedAt.IsZero():
		return "iat"
	default:
		return "" // iss, aud and exp were verified
	}
}
