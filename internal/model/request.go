package model

// Request is an authorization request that waits for a person: what was asked,
// checked already, and what has been proven since. Each browser tab has its
// own.
type Request struct {
	ID          RequestID
	BrowserHash string   // Secret.Hash of the cookie of the browser that began it
	ClientID    ClientID // empty: it is for a page of our own, whose path is Asked.RedirectURI
	CreatedAt   int64
	ExpiresAt   int64
	Asked       Asked

	// What the pages have proven.
	SessionID SessionID // the person signed in for this very request
	Chosen    SessionID // whose account it is for, of several in this browser: they picked it, signed in, or were shown what is asked
	Approved  []string  // the scopes that the person of Chosen agreed to, and with them to the rest of what was asked
}

// Asked is the content of an authorization request, RFC 6749 §4.1.1 and OpenID
// Connect Core §3.1.2.1, after the checks.
type Asked struct {
	RedirectURI   string   `json:"redirect_uri"`
	RedirectSent  bool     `json:"redirect_sent,omitempty"` // the parameter was present, RFC 6749 §4.1.3
	ResponseType  string   `json:"response_type"`
	ResponseMode  string   `json:"response_mode,omitempty"`
	Scope         []string `json:"scope,omitempty"`
	State         string   `json:"state,omitempty"`
	Nonce         string   `json:"nonce,omitempty"`
	CodeChallenge string   `json:"code_challenge,omitempty"` // always S256
	Prompt        []string `json:"prompt,omitempty"`
	MaxAge        *int64   `json:"max_age,omitempty"` // seconds
	LoginHint     string   `json:"login_hint,omitempty"`
	ACRValues     []string `json:"acr_values,omitempty"`    // wished for
	ACRRequired   []string `json:"acr_required,omitempty"`  // one of them must be reached; empty: any
	Subject       UserID   `json:"subject,omitempty"`       // nobody else will do; from a valid id_token_hint or the claim sub
	Display       string   `json:"display,omitempty"`       // "popup" or "touch"; empty: a page
	UILocales     []string `json:"ui_locales,omitempty"`    // languages that the pages should be in, the best first
	UpstreamHint  string   `json:"upstream_hint,omitempty"` // the identity provider that the client would send the person to
	Resources     []string `json:"resources,omitempty"`     // RFC 8707; empty: all that the client may reach

	Device string `json:"device,omitempty"` // the device that asks, by DeviceCode.Hash; empty: the client in this browser

	Claims ClaimsRequest `json:"claims,omitzero"`
}

// Consent is what a person has allowed a client, once and for later.
type Consent struct {
	UserID    UserID
	ClientID  ClientID
	Scope     []string
	Claims    []string // allowed one by one, beside what the scopes tell
	GrantedAt int64
}
