package model

import (
	"encoding/json"
	"strings"
)

// UpstreamID names an identity provider: 1 to 40 of a to z, 0 to 9 and "-". It
// stands in the addresses that are registered there, so it never changes.
type UpstreamID string

// Valid reports whether an identity provider can have this ID.
func (id UpstreamID) Valid() bool {
	const maxLength, allowed = 40, "abcdefghijklmnopqrstuvwxyz0123456789-"
	return id != "" && len(id) <= maxLength && id[0] != '-' && strings.Trim(string(id), allowed) == ""
}

// Upstream is an identity provider whose people may sign in here.
type Upstream struct {
	ID        UpstreamID `json:"id"`
	CreatedAt int64      `json:"created_at"`
	UpdatedAt int64      `json:"updated_at"`
	Disabled  bool       `json:"disabled,omitempty"`
	Sealed    string     `json:"-"` // its secrets; empty: it has none
	Health    Health     `json:"health,omitzero"`
	UpstreamSettings
}

// UpstreamSettings is what an operator says about an identity provider. Its secrets
// are not among it: they are sealed.
type UpstreamSettings struct {
	// Kind is how it is spoken to: "oidc", "oauth2", "saml", "ldap", or one of the
	// presets "google", "github", "microsoft", "apple", "facebook", "x".
	Kind     string `json:"kind"`
	Name     string `json:"name"`               // on the button
	Position int64  `json:"position,omitempty"` // of the button, lowest first

	// Connection is what the connector of the kind has to know, under the names that
	// its own documents use; upstream checks it.
	Connection json.RawMessage `json:"connection"`

	// Domains are those of the mail addresses whose people belong there.
	Domains []string `json:"domains,omitempty"`
	Default bool     `json:"default,omitempty"` // it is gone to without a question
	Hidden  bool     `json:"hidden,omitempty"`  // no button: by a hint or a domain alone

	// SignUp makes an account for whoever is not known yet.
	SignUp bool `json:"sign_up,omitempty"`
	// LinkByMail connects somebody new with the account that has the same address,
	// when both sides have made sure of it. Without it they sign in there first.
	LinkByMail bool `json:"link_by_mail,omitempty"`
	// TrustMail takes the provider's word where it says nothing of email_verified.
	TrustMail bool `json:"trust_mail,omitempty"`
	// TrustACR takes the provider's word for a second factor ("amr", RFC 8176, or ACR).
	TrustACR []string `json:"trust_acr,omitempty"`

	Mapping []Mapping `json:"mapping,omitempty"` // nil: that of the kind
	// KeepTokens keeps the provider's tokens, sealed, for the applications' sake.
	KeepTokens bool `json:"keep_tokens,omitempty"`
}

// Mapping makes one claim of ours of what a provider tells.
type Mapping struct {
	Claim string `json:"claim"`           // of ours, such as "name", or "groups"
	From  string `json:"from,omitempty"`  // a member of what they tell, "a.b" one within
	Value string `json:"value,omitempty"` // a fixed text instead
	// Map translates values; what it does not have is left out. nil: they are taken
	// as they are.
	Map map[string]string `json:"map,omitempty"`
	// Keep leaves what the person has: it is set when the account is made alone.
	Keep bool `json:"keep,omitempty"`
}

// IdentityID names an identity; what the provider calls it is its Subject.
type IdentityID string

// Identity is a person as a provider knows them. What a provider says under one
// Subject is one person's for ever (OpenID Connect Core §5.7).
type Identity struct {
	ID         IdentityID `json:"id"`
	UpstreamID UpstreamID `json:"upstream"`
	Issuer     string     `json:"issuer"` // that said so; another one is another person
	Subject    string     `json:"subject"`
	UserID     UserID     `json:"user_id"`
	Name       string     `json:"name,omitempty"`   // by which the person would know it: a mail address, a login
	Groups     []string   `json:"groups,omitempty"` // of ours in which they are by its word
	CreatedAt  int64      `json:"created_at"`
	UsedAt     int64      `json:"used_at,omitempty"`
	Tokens     string     `json:"-"` // sealed; empty: none are kept
}

// What a visit is for.
const (
	VisitSignIn  = "sign-in"
	VisitConnect = "connect" // an identity for somebody who is signed in
	VisitLeave   = "leave"   // to sign out there as well
)

// Visit is a browser that has gone to a provider, from which it is to come back.
type Visit struct {
	StateHash   string // Secret.Hash of what comes back with the answer
	BrowserHash string // Secret.Hash of the cookie of the browser that went
	UpstreamID  UpstreamID
	Holder      string // under which is noted what was proven
	Purpose     string
	UserID      UserID    // who connects; empty: nobody
	SessionID   SessionID // of theirs, in which they do
	Kept        string    // what its connector has to know; sealed
	Answer      string    // that came without the cookie; sealed; empty: none did
	ExpiresAt   int64
}

// Stranger is somebody of whom a provider has told, and who is not known here yet.
type Stranger struct {
	Holder     string
	UpstreamID UpstreamID
	UserID     UserID // whose account has their address; empty: nobody's
	Content    string // who they are over there; sealed
	ExpiresAt  int64
}

// Stay is a session at a provider. Those of ours that stand on it end with it.
type Stay struct {
	ID         string
	UpstreamID UpstreamID
	Holder     string    // of the sign-in that tells of it
	SessionID  SessionID // of ours; empty: none has begun yet
	Issuer     string
	Subject    string
	Session    string // what the provider calls it; empty: it does not tell
	Hint       string // with what it is ended there; sealed; empty: with nothing
	ExpiresAt  int64
}

// Health is how a provider fares.
type Health struct {
	Failures     int64  `json:"failures,omitempty"`      // in a row
	FailingSince int64  `json:"failing_since,omitempty"` // 0: it does not
	RetryAt      int64  `json:"retry_at,omitempty"`      // nobody is sent there until then, and one then
	Problem      string `json:"problem,omitempty"`       // what went wrong last
	WorkedAt     int64  `json:"worked_at,omitempty"`     // when it last did; written now and then
}
