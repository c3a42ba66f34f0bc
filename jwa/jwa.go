// Package jwa is the table of JSON Web Algorithms (RFC 7518, RFC 8037, RFC 9864).
//
// Everything that depends on the name of an algorithm is a column of one
// table: the key type, the curve, the hash, the length of a signature and the
// least size of a key. The packages above look a row up once and then read its
// columns; none of them compares a name. Adding an algorithm is adding a row.
//
// Names are exact and case-sensitive, as RFC 7515 §4.1.1 asks: "hs256" is not
// an algorithm. The name "none" has no row, so it can neither be looked up nor
// allowed. Package jwa holds no keys and computes nothing.
package jwa

import (
	"crypto"
	"errors"
	"fmt"
)

// An Algorithm is the name of an algorithm as it stands in the "alg" member of
// a header or of a key.
type Algorithm string

// Algorithms for signatures and message authentication codes. The Edwards
// curve algorithm has two names: the polymorphic one of RFC 8037, which most
// deployments use, and the fully specified one of RFC 9864. They make the same
// bytes, and are nevertheless two algorithms: a key that is bound to one of
// them does not verify tokens that carry the other.
const (
	HS256   Algorithm = "HS256"   // HMAC with SHA-256, RFC 7518 §3.2
	HS384   Algorithm = "HS384"   // HMAC with SHA-384
	HS512   Algorithm = "HS512"   // HMAC with SHA-512
	RS256   Algorithm = "RS256"   // RSASSA-PKCS1-v1_5 with SHA-256, RFC 7518 §3.3
	RS384   Algorithm = "RS384"   // RSASSA-PKCS1-v1_5 with SHA-384
	RS512   Algorithm = "RS512"   // RSASSA-PKCS1-v1_5 with SHA-512
	PS256   Algorithm = "PS256"   // RSASSA-PSS with SHA-256, RFC 7518 §3.5
	PS384   Algorithm = "PS384"   // RSASSA-PSS with SHA-384
	PS512   Algorithm = "PS512"   // RSASSA-PSS with SHA-512
	ES256   Algorithm = "ES256"   // ECDSA on P-256 with SHA-256, RFC 7518 §3.4
	ES384   Algorithm = "ES384"   // ECDSA on P-384 with SHA-384
	ES512   Algorithm = "ES512"   // ECDSA on P-521 with SHA-512
	EdDSA   Algorithm = "EdDSA"   // Ed25519 under its polymorphic name, RFC 8037 §3.1
	Ed25519 Algorithm = "Ed25519" // Ed25519 under its fully specified name, RFC 9864 §2.2
)

// Algorithms that have a row, so that they are recognised and refused with a
// reason, but that the standard library cannot compute.
const (
	ES256K  Algorithm = "ES256K"    // ECDSA on secp256k1, RFC 8812 §3.2
	Ed448   Algorithm = "Ed448"     // RFC 9864 §2.2
	MLDSA44 Algorithm = "ML-DSA-44" // RFC 9964
	MLDSA65 Algorithm = "ML-DSA-65" // RFC 9964
	MLDSA87 Algorithm = "ML-DSA-87" // RFC 9964
)

// A KeyType is the value of the "kty" member of a key, RFC 7518 §6.1.
type KeyType string

// Key types.
const (
	RSA KeyType = "RSA" // RFC 7518 §6.3
	EC  KeyType = "EC"  // RFC 7518 §6.2
	OKP KeyType = "OKP" // octet key pair: the Edwards and Montgomery curves, RFC 8037 §2
	Oct KeyType = "oct" // a symmetric secret, RFC 7518 §6.4
	AKP KeyType = "AKP" // algorithm key pair: ML-DSA, RFC 9964; no algorithm of this type is supported
)

// A Curve is the value of the "crv" member of a key.
type Curve string

// Curves.
const (
	P256         Curve = "P-256"
	P384         Curve = "P-384"
	P521         Curve = "P-521"
	CurveEd25519 Curve = "Ed25519"
	CurveEd448   Curve = "Ed448"
	Secp256k1    Curve = "secp256k1"
)

// A Scheme is a way to make signatures, apart from its parameters: what is left
// of an algorithm when hash and curve are columns.
type Scheme uint8

// Schemes. The zero value is none of them.
const (
	HMAC     Scheme = iota + 1 // keyed hash, RFC 2104
	PKCS1v15                   // RSASSA-PKCS1-v1_5, RFC 8017 §8.2
	PSS                        // RSASSA-PSS with a salt as long as the hash, RFC 8017 §8.1
	ECDSA                      // R and S as fixed-length integers side by side, RFC 7518 §3.4
	Edwards                    // PureEdDSA, RFC 8032 §5.1
	Lattice                    // ML-DSA, FIPS 204
)

// A Signature is one row of the table: an algorithm that signs or
// authenticates, and all there is to know of it.
type Signature struct {
	Name    Algorithm
	Scheme  Scheme
	KeyType KeyType
	Curve   Curve       // "" where the key type has none
	Hash    crypto.Hash // 0 where the scheme hashes by itself

	// Size is the length of a signature in bytes; 0 for RSA, whose
	// signatures are as long as the modulus.
	Size int

	// MinKeyBits is the least size of a key: of the modulus for RSA, of the
	// secret for HMAC (as long as the hash, RFC 7518 §3.2). 0 where the curve
	// decides.
	MinKeyBits int

	// Unsupported is "" if the algorithm can be computed, and otherwise the
	// reason why not.
	Unsupported string
}

// Errors of Check.
var (
	// ErrUnknown: the name is not that of a signature algorithm.
	ErrUnknown = errors.New("jwa: unknown algorithm")
	// ErrUnsupported: the algorithm is known, and cannot be computed here.
	ErrUnsupported = errors.New("jwa: unsupported algorithm")
)

// Signature returns the row of the algorithm. The answer is true only if the
// algorithm is known and can be computed; for one that is known and
// unsupported the row comes back with false, and for any other name a zero row.
func (a Algorithm) Signature() (Signature, bool) {
	row, ok := rows[a]
	if !ok {
		return Signature{}, false
	}
	return *row, row.Unsupported == ""
}

// Check returns nil if Signature would answer true, and otherwise an error
// that says why not: ErrUnknown or ErrUnsupported.
func (a Algorithm) Check() error {
	row, ok := rows[a]
	if !ok {
		return fmt.Errorf("%w %.64q", ErrUnknown, string(a))
	}
	if row.Unsupported != "" {
		return fmt.Errorf("%w %s: %s", ErrUnsupported, a, row.Unsupported)
	}
	return nil
}

// Signatures returns the rows of all algorithms that can be computed, in the
// order of the table.
func Signatures() []Signature {
	all := make([]Signature, 0, len(table))
	for _, row := range table {
		if row.Unsupported == "" {
			all = append(all, row)
		}
	}
	return all
}
