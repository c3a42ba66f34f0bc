package model

// NoticeKind says what a notice tells.
type NoticeKind string

// NoticeLogout tells a client that a session is over, OpenID Connect
// Back-Channel Logout §2.5. Its destination is a ClientID.
const NoticeLogout NoticeKind = "logout"

// Notice is a fact that somebody outside is to be told. It waits in the outbox,
// where the transaction put it that made it true, until it has been delivered or
// has expired.
type Notice struct {
	Sequence    int64
	Kind        NoticeKind
	Destination string
	UserID      UserID
	SessionID   SessionID
	Cause       Cause
	At          int64
	Attempts    int64 // begun so far
	NextAt      int64 // of the next one; while one is under way, when it counts as lost
	ExpiresAt   int64 // no attempt begins after this
}
