package model

// ActorKind says what sort of party an Actor is.
type ActorKind string

const (
	ActorUser   ActorKind = "user"
	ActorClient ActorKind = "client"
	ActorSystem ActorKind = "system"   // the server itself: a schedule, a policy
	ActorShell  ActorKind = "operator" // somebody with the command on the server's machine
	ActorNobody ActorKind = "anonymous"

	ActorTransmitter ActorKind = "transmitter" // another server, whose security event we act on
	ActorUpstream    ActorKind = "upstream"    // an identity provider, whose word we take
)

// Actor is who does something: every rule that changes anything asks for one.
type Actor struct {
	Kind    ActorKind
	ID      string // UserID, ClientID, TransmitterID, UpstreamID, operating system user, or empty
	Address string // network address, if it came over one
}

// Event is one entry of the audit log, written in the same transaction as the
// change that it tells of. It never holds a secret.
type Event struct {
	Sequence int64
	At       int64
	Actor    Actor
	Action   string // "session.start", "code.issue", … : noun.verb
	UserID   UserID // whom it concerns, if somebody
	ClientID ClientID
	Detail   string // one short sentence or a few key=value pairs

	// What follows is for package audit, which shows that nothing was changed.
	Mark     string // of who wrote it
	Position int64  // in the chain, from 1; 0: not sealed yet
	Seal     string // over all of this and the Seal before
}
