package model

// TransmitterID names one whose security events we act on.
type TransmitterID string

// What may follow from a security event.
const (
	ActEnd    = "end"    // the sessions of the person end
	ActLock   = "lock"   // the account is locked
	ActUnlock = "unlock" // the account is unlocked, if it was locked by the same transmitter's word
	ActIgnore = "ignore"
)

// How a transmitter may name people of ours.
const (
	MatchOwn    = "own"    // by what we call them: iss_sub with our issuer
	MatchLinked = "linked" // by what it calls them, where an operator has said who that is
	MatchEmail  = "email"  // by their verified address
	MatchLogin  = "login"  // by their login: as its "sub", or as an acct: URI
)

// Transmitter is somebody else's server, on whose word our people are put out
// (OpenID Shared Signals Framework). The JSON names are those of a file.
type Transmitter struct {
	ID         TransmitterID `json:"id"`
	Issuer     string        `json:"issuer"`
	SecretHash string        `json:"-"` // Secret.Hash of what a push must bring; empty: it is polled
	Sealed     string        `json:"-"` // the secret with which it is polled
	CreatedAt  int64         `json:"created_at"`
	UpdatedAt  int64         `json:"updated_at"`
	SeenAt     int64         `json:"seen_at,omitempty"` // something good came from it
	Problem    string        `json:"problem,omitempty"` // what went wrong last
	TransmitterSettings
}

// TransmitterSettings is what an operator says of a transmitter.
type TransmitterSettings struct {
	Disabled bool              `json:"disabled,omitempty"`
	JWKSURI  string            `json:"jwks_uri,omitempty"` // empty: as its configuration document says
	Audience string            `json:"audience"`           // "aud" of what is meant for us
	StreamID string            `json:"stream_id,omitempty"`
	Match    []string          `json:"match,omitempty"`  // default: own and linked
	Events   map[string]string `json:"events,omitempty"` // by the last word of a type: what follows
	MaxAge   int64             `json:"max_age,omitempty"`

	// Where it is polled, RFC 8936; none: it pushes to us, RFC 8935.
	PollURL string `json:"poll_url,omitempty"`
	// With what token: a fixed one, or one of an OAuth client of ours there.
	ClientID      string `json:"client_id,omitempty"`
	TokenEndpoint string `json:"token_endpoint,omitempty"` // empty: as its authorization server's metadata says
	Scope         string `json:"scope,omitempty"`          // default: ssf.read
}

// Polled reports whether we ask for the events, and are not sent them.
func (t Transmitter) Polled() bool { return t.PollURL != "" }
