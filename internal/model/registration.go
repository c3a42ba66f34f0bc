package model

// Origin says how a client came to be known.
type Origin string

const (
	OriginOperator   Origin = ""           // an operator registered it
	OriginRegistered Origin = "registered" // it registered itself, RFC 7591
	OriginDocument   Origin = "document"   // its client_id is the address of its metadata
)

// Registration is what is known of a client that no operator registered, beside
// its settings.
type Registration struct {
	ClientID   ClientID
	TokenHash  string // Secret.Hash of its registration access token; empty: it has none
	Address    string // from which it was registered
	UsedAt     int64  // registered, or used for a token, to within a day
	FreshUntil int64  // of a document: until when it need not be fetched again
}

// RegistrationToken is an initial access token (RFC 7591 §3): it lets whoever
// holds it register clients.
type RegistrationToken struct {
	ID        string `json:"id"`
	Hash      string `json:"-"` // Secret.Hash of it
	Name      string `json:"name,omitempty"`
	Uses      int64  `json:"uses,omitempty"` // how many registrations it is good for; 0: any number
	Used      int64  `json:"used"`
	CreatedAt int64  `json:"created_at"`
	ExpiresAt int64  `json:"expires_at,omitempty"`
}

// Logo is the picture of a client as it was fetched.
type Logo struct {
	ClientID  ClientID
	URI       string // where it was fetched
	Hash      string // SHA-256 of Body in base64url
	Type      string // media type
	Body      []byte
	FetchedAt int64
}
