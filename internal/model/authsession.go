package model

// AuthSession is what a client that signs people in without a browser holds in
// place of a cookie (draft-ietf-oauth-first-party-apps-04 §5.3.1), with what was
// proven under it so far.
type AuthSession struct {
	ID        string
	Hash      string // Secret.Hash of what the client holds
	ClientID  ClientID
	UserID    UserID    // whom it is about; empty: nobody has proven who they are yet
	SessionID SessionID // begun under it, live or not; empty: none
	Asked     *Asked    // the request that waits for its person; nil: none does
	Tries     int64     // answers since the last success that asked for more
	ExpiresAt int64
}
