package model

// PasskeyID names a passkey; what the authenticator calls it is its Credential.
type PasskeyID string

// Passkey is a public key credential of a person, WebAuthn Level 3 §4.
type Passkey struct {
	ID         PasskeyID `json:"id"`
	UserID     UserID    `json:"user_id"`
	Credential string    `json:"credential"`      // its ID at the authenticator, base64url; unique
	PublicKey  []byte    `json:"-"`               // COSE_Key
	Counter    uint32    `json:"counter"`         // signatures, as last told; 0: not counted
	Eligible   bool      `json:"backup_eligible"` // its key may be at several devices
	BackedUp   bool      `json:"backed_up"`
	AAGUID     string    `json:"aaguid,omitempty"` // model of the authenticator as a UUID; empty: it does not tell
	Transports []string  `json:"transports,omitempty"`
	Name       string    `json:"name"` // that its person gave it; empty: none
	CreatedAt  int64     `json:"created_at"`
	UsedAt     int64     `json:"used_at,omitempty"`
}
