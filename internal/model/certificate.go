package model

// Certificate is what an authority has issued for the server's own TLS, and where the
// next one stands.
type Certificate struct {
	Host      string
	Directory string // URL of the authority that was last asked
	Sealed    string // certificates and key; empty: there is none yet
	ExpiresAt int64

	Tries   int64 // since the last that came to something
	TriedAt int64
	NextAt  int64 // when to ask for a new one

	Claim        string // of the node that asks for it now; empty: none does
	ClaimedUntil int64
	Challenge    string // the token of the authority's challenge; empty: there is none
}
