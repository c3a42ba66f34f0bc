// Package jwk holds cryptographic keys, as JSON Web Keys (RFC 7517) and as PEM.
//
// A [Key] is immutable and knows what it may be used for: its type, curve and
// size, and the members "alg", "use" and "key_ops" if it has them, leave a list
// of algorithms, and with any other it neither signs nor verifies, encrypts nor
// decrypts. A key that is malformed, too weak or contradicts itself cannot be made
// at all.
//
// Verifiers do not take keys but a [Source]: one key, a [Set], a [Remote] set
// that is fetched and cached, or a type of your own. Printing, logging or
// marshalling a Key shows its public half only; MarshalPrivateJSON is the one
// way to its private half, and Secret to that of a symmetric key.
//
// The package uses the network in Remote only, and never because a token or a
// key says so: the members "x5u" and "jku" are not read.
package jwk

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/ostiary/ostiary/jwa"
)

// Errors that the functions of this package wrap.
var (
	// ErrInvalid: the text is no key, or the key contradicts itself.
	ErrInvalid = errors.New("jwk: invalid key")
	// ErrWeak: the key can be guessed, factored or forged with.
	ErrWeak = errors.New("jwk: weak key")
	// ErrUnsupported: a type, curve, algorithm or encoding that is not known
	// here, though it may be known elsewhere.
	ErrUnsupported = errors.New("jwk: unsupported key")
	// ErrUse: the key is not for this operation or this algorithm.
	ErrUse = errors.New("jwk: key not usable for this")
	// ErrPrivate: the operation needs the private half, and this key is
	// public; or it needs a public half, and this key is symmetric.
	ErrPrivate = errors.New("jwk: wrong half of a key")
	// ErrSignature: the signature is not one by this key over this message.
	ErrSignature = errors.New("jwk: signature does not match")
	// ErrConflict: the keys of a set contradict each other.
	ErrConflict = errors.New("jwk: conflicting keys in a set")
	// ErrNotFound: the source has no key by that identifier.
	ErrNotFound = errors.New("jwk: no such key")
	// ErrUnavailable: the source cannot tell, for it could not be reached.
	// A caller should try again later rather than refuse the token for good.
	ErrUnavailable = errors.New("jwk: key set unavailable")
)

// Values of the "use" member, RFC 7517 §4.2.
const (
	UseSignature  = "sig"
	UseEncryption = "enc"
)

// A Key is one key: public, private, or a symmetric secret. It is immutable,
// safe for concurrent use, and always handled by pointer. Keys are made by
// [New], [Generate], [Parse], [ParsePEM] and [ParseSet].
type Key struct {
	id    string
	alg   jwa.Algorithm
	use   string
	ops   []string
	by    string // "issuer"
	kind  jwa.KeyType
	curve jwa.Curve
	bits  int // of the modulus or of the secret

	public    crypto.PublicKey  // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey, *ecdh.PublicKey for X25519; nil for a secret
	signer    crypto.Signer     // nil for a public key, for a secret and for a key that only agrees upon others
	exchanger ecdh.KeyExchanger // of a private key that only agrees upon others; nil for the rest
	secret    []byte            // nil for all but a secret

	insecureSize, insecureCurve bool   // see Params
	pss                         *PSS   // of an RSA key that is for PSS only
	pssParameters               []byte // the same as it was read, in DER; nil if there are none

	chain []*x509.Certificate // of "x5c"; the first is that of this key

	usable []jwa.Signature // the algorithms it may be used with, the default first
	macs   macs

	exchange exchange // of a signer that is used for key agreement
}

// ID returns the "kid" member, RFC 7517 §4.5; "" if the key has none.
func (k *Key) ID() string { return k.id }

// Issuer returns the member "issuer", "" if the key has none. RFC 7517 does not know it;
// Microsoft's key sets say by it which issuer's tokens a key may sign, where one set has
// the keys of several.
func (k *Key) Issuer() string { return k.by }

// Algorithm returns the "alg" member, RFC 7517 §4.4; "" if the key is not bound
// to one algorithm.
func (k *Key) Algorithm() jwa.Algorithm { return k.alg }

// Algorithms returns the signature algorithms that the key may be used with:
// the one that it is bound to, or else all that its type, curve and size permit.
// The first is the one it signs with unless told otherwise. The list is empty
// for a key that is meant for encryption.
func (k *Key) Algorithms() []jwa.Algorithm {
	names := make([]jwa.Algorithm, len(k.usable))
	for i, row := range k.usable {
		names[i] = row.Name
	}
	return names
}

// Does reports whether alg is one of Algorithms.
func (k *Key) Does(alg jwa.Algorithm) bool {
	for i := range k.usable {
		if k.usable[i].Name == alg {
			return true
		}
	}
	return false
}

// Type returns the "kty" member, RFC 7517 §4.1.
func (k *Key) Type() jwa.KeyType { return k.kind }

// Curve returns the "crv" member; "" for RSA keys and secrets.
func (k *Key) Curve() jwa.Curve { return k.curve }

// Bits returns the size of an RSA modulus or of a secret; 0 for other keys.
func (k *Key) Bits() int { return k.bits }

// Use returns the "use" member, RFC 7517 §4.2; "" if the key has none.
func (k *Key) Use() string { return k.use }

// Operations returns the "key_ops" member, RFC 7517 §4.3; nil if the key has
// none.
func (k *Key) Operations() []string { return slices.Clone(k.ops) }

// Private reports whether the key can sign or decrypt: whether it has a private
// half or is a secret.
func (k *Key) Private() bool { return k.signer != nil || k.exchanger != nil || k.secret != nil }

// Symmetric reports whether the key is a secret, which has no public half.
func (k *Key) Symmetric() bool { return k.secret != nil }

// PublicKey returns the public half as a Go key: *rsa.PublicKey,
// *ecdsa.PublicKey, ed25519.PublicKey, or *ecdh.PublicKey for X25519; nil for a
// symmetric key. It must not be changed.
func (k *Key) PublicKey() crypto.PublicKey { return k.public }

// Public returns the public half of the key, with the same identifier, bound to
// the same algorithm. It returns ErrPrivate for a symmetric key.
func (k *Key) Public() (*Key, error) {
	if k.public == nil {
		return nil, fmt.Errorf("%w: a symmetric key has no public half", ErrPrivate)
	}
	if !k.Private() {
		return k, nil
	}
	return &Key{
		id: k.id, alg: k.alg, use: k.use, ops: publicOperations(k.ops), by: k.by,
		kind: k.kind, curve: k.curve, bits: k.bits, public: k.public, usable: k.usable,
		insecureSize: k.insecureSize, insecureCurve: k.insecureCurve, pss: k.pss, pssParameters: k.pssParameters, chain: k.chain,
	}, nil
}

// Find makes a single key a [Source]. A key without identifier answers every
// request; a key with one, only those that name it or name none.
func (k *Key) Find(_ context.Context, kid string) ([]*Key, error) {
	if k == nil {
		return nil, fmt.Errorf("%w: no key was given", ErrNotFound)
	}
	if kid != "" && k.id != "" && kid != k.id {
		return nil, fmt.Errorf("%w: %.64q is not the identifier of the one key", ErrNotFound, kid)
	}
	return []*Key{k}, nil
}

// String describes the key without its material: "EC P-256 private key
// ES256 kid=…".
func (k *Key) String() string {
	if k == nil {
		return "no key"
	}
	half := " public key"
	switch {
	case k.secret != nil:
		half = " secret [redacted]"
	case k.Private():
		half = " private key [redacted]"
	}
	text := string(k.kind)
	switch {
	case k.curve != "":
		text += " " + string(k.curve)
	case k.bits != 0:
		text += fmt.Sprintf(" %d", k.bits)
	}
	text += half
	if k.alg != "" {
		text += " " + string(k.alg)
	}
	if k.id != "" {
		text += fmt.Sprintf(" kid=%q", k.id)
	}
	return text
}

// GoString keeps %#v from printing the material.
func (k *Key) GoString() string { return "jwk.Key(" + k.String() + ")" }

// Format keeps every other verb from printing the material, %x and %d included.
func (k *Key) Format(f fmt.State, verb rune) {
	text := k.String()
	if verb == 'v' && f.Flag('#') {
		text = k.GoString()
	}
	_, _ = f.Write([]byte(text)) // a formatter has nowhere to report to
}

// LogValue describes the key to a structured log, without its material.
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// A Source finds the keys to verify with. [*Key], [*Set], [*Remote] and
// [SourceFunc] implement it.
type Source interface {
	// Find returns the keys that a token may have been signed with whose
	// header names kid, or "" if it names none. Each must be trusted: the
	// caller tries those whose algorithm is the token's. Find returns an
	// error that wraps ErrNotFound if there is no such key, and ErrUnavailable
	// if it cannot tell. It must be safe for concurrent use.
	//
	// The kid was chosen by whoever made the token. It may be compared, and
	// nothing else: it is no path, no address and no part of a query.
	Find(ctx context.Context, kid string) ([]*Key, error)
}

// SourceFunc makes a function a [Source].
type SourceFunc func(ctx context.Context, kid string) ([]*Key, error)

// Find calls the function.
func (f SourceFunc) Find(ctx context.Context, kid string) ([]*Key, error) { return f(ctx, kid) }

var (
	_ Source = (*Key)(nil)
	_ Source = (*Set)(nil)
	_ Source = (*Remote)(nil)
	_ Source = SourceFunc(nil)
)
