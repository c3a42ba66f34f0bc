package model

// Subject types, OpenID Connect Core §8.
const (
	SubjectPublic   = "public"   // every client knows a person by the same "sub"
	SubjectPairwise = "pairwise" // clients of another sector know another one
)

// Subject is a person's "sub" for the clients of one sector.
type Subject struct {
	Value  string
	Sector string // a host name
	UserID UserID
}
