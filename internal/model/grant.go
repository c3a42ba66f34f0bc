package model

// Grant is one authorization that a person gave a client: the root of a code,
// of the tokens that the code was exchanged for, and of the family of refresh
// tokens that renews them. Ending it ends them all.
type Grant struct {
	ID        GrantID
	UserID    UserID
	Subject   string // how a pairwise client knows the person; empty: by UserID
	ClientID  ClientID
	SessionID SessionID
	Scope     []string
	Audience  []string
	Claims    ClaimsRequest // told beside what the scopes tell
	Nonce     string
	AuthTime  int64
	ACR       string
	AMR       []string
	Offline   bool // outlives its session: offline_access was granted
	CreatedAt int64
	NotBefore int64 // no token of it says that it was issued earlier: else a cut-off would put it out
	ExpiresAt int64 // nothing issued from it lives longer
	EndedAt   int64
	EndCause  Cause

	// The family of refresh tokens. A token is (grant, generation) under a
	// MAC, so no token is stored: the generation counts, and Salt separates.
	Salt       string // base64url of 16 bytes; empty: no refresh token was issued
	Generation int64  // of the one live token
	RotatedAt  int64  // when Generation last rose
	Replays    int64  // how often the predecessor was handed its successor again
	IdleAt     int64  // an unused refresh token dies then
}

// Live reports whether the grant stands at the time now.
func (g Grant) Live(now int64) bool { return g.EndedAt == 0 && now < g.ExpiresAt }

// Code is an authorization code, stored as a hash and redeemed once.
type Code struct {
	Hash          string // of its text, behind the Slot that the text names
	GrantID       GrantID
	ClientID      ClientID
	RedirectURI   string
	RedirectSent  bool // the token request must repeat it, RFC 6749 §4.1.3
	CodeChallenge string
	CreatedAt     int64
	ExpiresAt     int64
	UsedAt        int64
	AuthSession   string // ID of the one under which it was issued; empty: in a browser
}
