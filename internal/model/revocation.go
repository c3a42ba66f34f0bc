package model

import "time"

// MaxAccessLife bounds the life of access tokens: a revocation must be
// remembered for as long as the longest-lived of them.
const MaxAccessLife = time.Hour

// Leeway is how far clocks may differ, in both directions, where a time that
// somebody else wrote is checked.
const Leeway = 10 * time.Second

// Kind says what a revocation puts out.
type Kind string

const (
	KindSession Kind = "session" // Value is a SessionID
	KindSubject Kind = "subject" // Value is a UserID; tokens issued at CutOff or before
	KindClient  Kind = "client"  // Value is a ClientID; tokens issued at CutOff or before
	KindGrant   Kind = "grant"   // Value is a GrantID
	KindToken   Kind = "token"   // Value is a "jti"
	KindAll     Kind = "all"     // every token issued at CutOff or before
)

// Cause says why something was ended.
type Cause string

// The causes. The revocation feed, the audit log and the member ostiary_cause of
// invalid_grant have them.
const (
	CauseSignedOut        Cause = "signed_out"        // the person signed out
	CauseAdmin            Cause = "admin"             // an operator or an administrator ended it
	CauseAccountDisabled  Cause = "account_disabled"  // the account was locked or deleted
	CauseCredentialChange Cause = "credential_change" // the password, or what else the person signs in with, was changed
	CauseReuseDetected    Cause = "reuse_detected"    // a code or a refresh token came a second time: somebody may have stolen it
	CauseRevoked          Cause = "revoked"           // by the client, RFC 7009, or by the person, who withdrew what they allowed it
	CausePolicy           Cause = "policy"            // a rule of the server
	CauseExpired          Cause = "expired"           // idle or old, by itself
	CauseSignal           Cause = "signal"            // a security event of another server
	CauseUpstream         Cause = "upstream"          // the person signed out at the identity provider by which they came
)

// Revocation is one entry of the revocation log. It is written in the same
// transaction that ends what it names.
type Revocation struct {
	Sequence int64 // rises with every entry; gaps mean nothing
	Kind     Kind
	Value    string
	CutOff   int64
	Cause    Cause
	At       int64
	DropAt   int64 // no token that it concerns can be alive after this

	// Audiences are those for whom a token can be that it puts out ("aud"); nil:
	// anybody. With none of them, no API can have seen such a token.
	Audiences []string
	// Subjects are the names ("sub") of the person by audience, of KindSubject; nil:
	// everybody knows them by Value. Those under "" are for every audience.
	Subjects map[string][]string
}
