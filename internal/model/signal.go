package model

// The types of security events that the server sends or acts on.
const (
	EventVerification  = "https://schemas.openid.net/secevent/ssf/event-type/verification"   // OpenID Shared Signals Framework §8.1.4.1
	EventStreamUpdated = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated" // OpenID Shared Signals Framework §8.1.5

	EventSessionRevoked    = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"     // CAEP 1.0 §3.1
	EventTokenClaimsChange = "https://schemas.openid.net/secevent/caep/event-type/token-claims-change" // CAEP 1.0 §3.2
	EventCredentialChange  = "https://schemas.openid.net/secevent/caep/event-type/credential-change"   // CAEP 1.0 §3.3

	EventAccountPurged        = "https://schemas.openid.net/secevent/risc/event-type/account-purged"        // RISC 1.0 §2.2
	EventAccountDisabled      = "https://schemas.openid.net/secevent/risc/event-type/account-disabled"      // RISC 1.0 §2.3
	EventAccountEnabled       = "https://schemas.openid.net/secevent/risc/event-type/account-enabled"       // RISC 1.0 §2.4
	EventIdentifierChanged    = "https://schemas.openid.net/secevent/risc/event-type/identifier-changed"    // RISC 1.0 §2.5
	EventCredentialCompromise = "https://schemas.openid.net/secevent/risc/event-type/credential-compromise" // RISC 1.0 §2.7
	EventSessionsRevoked      = "https://schemas.openid.net/secevent/risc/event-type/sessions-revoked"      // RISC 1.0 §2.11
)

// The types of credentials that change, CAEP 1.0 §3.3.1.
const (
	CredentialPassword = "password"
	CredentialApp      = "app"
	CredentialPlatform = "fido2-platform"
	CredentialRoaming  = "fido2-roaming"

	// CredentialFederated is an account elsewhere. It is none of the standard's types,
	// which may be added to.
	CredentialFederated = "federated"
)

// Signal is a fact that the receiver of a stream is to be told. It waits there,
// where the transaction put it that made it true, until the receiver has it or it
// has expired. It becomes a security event token when it is sent.
type Signal struct {
	Sequence    int64
	ID          string // "jti": the same however often it is sent
	StreamID    StreamID
	Transaction string // "txn": what one cause brought about has one
	Type        string
	UserID      UserID    // empty: it is about the stream itself
	SessionID   SessionID // empty: not about one session
	Cause       Cause
	Detail      SignalDetail
	At          int64
	ExpiresAt   int64
}

// SignalDetail is what else there is to say, by the type of the event.
type SignalDetail struct {
	State          string `json:"state,omitempty"`             // of a verification
	Status         string `json:"status,omitempty"`            // of a stream, after its update
	Reason         string `json:"reason,omitempty"`            // of that status, or why an account was disabled
	ChangeType     string `json:"change_type,omitempty"`       // of a credential
	CredentialType string `json:"credential_type,omitempty"`   // empty: CredentialPassword
	Initiator      string `json:"initiating_entity,omitempty"` // CAEP 1.0 §2; empty: the cause tells
	Email          string `json:"email,omitempty"`             // the identifier that has changed, before
	NewValue       string `json:"new-value,omitempty"`         // and after
}
