package model

// SigningKey is a signing key of the server: published from CreatedAt, signing
// from ActiveAt until a younger one of its algorithm does, published until
// DropAt.
type SigningKey struct {
	ID        KeyID
	Algorithm string
	Sealed    string // the private JWK, encrypted under the master key
	CreatedAt int64
	ActiveAt  int64
	DropAt    int64 // 0: not yet known, because it still signs
}
