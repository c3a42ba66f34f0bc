package model

// StreamID names a stream of security events.
type StreamID string

// How the events of a stream reach its receiver, OpenID Shared Signals Framework
// §6.1.
const (
	DeliverPush = "urn:ietf:rfc:8935"
	DeliverPoll = "urn:ietf:rfc:8936"
)

// StreamStatus says what becomes of the events of a stream, OpenID Shared Signals
// Framework §8.1.2.
type StreamStatus string

const (
	StreamEnabled  StreamStatus = "enabled"
	StreamPaused   StreamStatus = "paused"   // they are held
	StreamDisabled StreamStatus = "disabled" // there are none
)

// Stream is an agreement with a client about which events it is told, and how
// (OpenID Shared Signals Framework §8.1.1).
type Stream struct {
	ID            StreamID
	ClientID      ClientID
	Method        string   // DeliverPush or DeliverPoll
	Endpoint      string   // where they are pushed to
	Authorization string   // the header for it, sealed; empty: none
	Requested     []string // types; nil: the receiver did not say
	Delivered     []string // types
	Description   string
	Status        StreamStatus
	Reason        string // of the status
	VerifiedAt    int64  // when a verification was last asked for
	CreatedAt     int64
	UpdatedAt     int64

	// The way of a pushed one.
	NextAt       int64 // of the next attempt; while one is under way, when it counts as lost
	Attempts     int64 // in vain, since the last that succeeded
	FailingSince int64 // 0: it does not
}
