package jwk

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/ostiary/ostiary/jwa"
)

// wire is a key as JSON: RFC 7517 §4, RFC 7518 §6, RFC 8037 §2.
type wire struct {
	Type       jwa.KeyType   `json:"kty"`
	ID         string        `json:"kid,omitempty"`
	Algorithm  jwa.Algorithm `json:"alg,omitempty"`
	Use        string        `json:"use,omitempty"`
	Operations []string      `json:"key_ops,omitzero"` // an empty list permits nothing
	Curve      jwa.Curve     `json:"crv,omitempty"`
	X          string        `json:"x,omitempty"`
	Y          string        `json:"y,omitempty"`
	N          string        `json:"n,omitempty"`
	E          string        `json:"e,omitempty"`
	D          string        `json:"d,omitempty"`
	P          string        `json:"p,omitempty"`
	Q          string        `json:"q,omitempty"`
	DP         string        `json:"dp,omitempty"`
	DQ         string        `json:"dq,omitempty"`
	QI         string        `json:"qi,omitempty"`
	K          string        `json:"k,omitempty"`
	Chain      []string      `json:"x5c,omitempty"`
	ChainHash  string        `json:"x5t#S256,omitempty"`
	By         string        `json:"issuer,omitempty"`
}

var encode = base64.RawURLEncoding.EncodeToString

// MarshalJSON returns the public half as a JSON Web Key. It returns ErrPrivate
// for a symmetric key, which has nothing to publish.
func (k *Key) MarshalJSON() ([]byte, error) {
	if k.public == nil {
		return nil, fmt.Errorf("%w: a symmetric key has no public half", ErrPrivate)
	}
	w := k.publicWire()
	if k.Private() {
		w.Operations = publicOperations(k.ops)
	}
	return json.Marshal(w)
}

// MarshalPrivateJSON returns the whole key as a JSON Web Key, private members
// included. It returns ErrPrivate for a public key, and ErrUnsupported for a
// crypto.Signer that keeps its private half to itself.
func (k *Key) MarshalPrivateJSON() ([]byte, error) {
	w := k.publicWire()
	if k.exchanger != nil {
		return k.marshalExchanger(w)
	}
	switch signer := k.signer.(type) {
	case *rsa.PrivateKey:
		if len(signer.Primes) != 2 {
			return nil, fmt.Errorf("%w: an RSA private key without two primes", ErrUnsupported)
		}
		signer.Precompute() // does nothing if it was done, as in every parsed or generated key
		w.D, w.P, w.Q = encodeInt(signer.D), encodeInt(signer.Primes[0]), encodeInt(signer.Primes[1])
		pre := &signer.Precomputed
		w.DP, w.DQ, w.QI = encodeInt(pre.Dp), encodeInt(pre.Dq), encodeInt(pre.Qinv)
	case *ecdsa.PrivateKey:
		d, err := signer.Bytes()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		w.D = encode(d)
	case ed25519.PrivateKey:
		w.D = encode(signer.Seed())
	case nil:
		if k.secret == nil {
			return nil, fmt.Errorf("%w: a public key has no private half", ErrPrivate)
		}
		w.K = encode(k.secret)
	default:
		return nil, fmt.Errorf("%w: the signer %T does not give its private key away", ErrUnsupported, signer)
	}
	return json.Marshal(w)
}

func (k *Key) publicWire() wire {
	w := wire{Type: k.kind, ID: k.id, Algorithm: k.alg, Use: k.use, Operations: k.ops, Curve: k.curve, Chain: k.encodedChain(), ChainHash: k.CertificateThumbprint(), By: k.by}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		w.N, w.E = encodeInt(public.N), encodeInt(big.NewInt(int64(public.E)))
	case *ecdsa.PublicKey:
		x, y := coordinates(public)
		w.X, w.Y = encode(x), encode(y)
	case ed25519.PublicKey:
		w.X = encode(public)
	case *ecdh.PublicKey:
		w.X = encode(public.Bytes())
	}
	return w
}

func encodeInt(n *big.Int) string { return encode(n.Bytes()) }

// coordinates returns x and y at full length. The key is on its curve, or it
// would not have been made.
func coordinates(public *ecdsa.PublicKey) (x, y []byte) {
	point, err := public.Bytes() // uncompressed: a 4, x, y
	if err != nil {
		return nil, nil
	}
	size := (len(point) - 1) / 2
	return point[1 : 1+size], point[1+size:]
}

// Thumbprint returns the SHA-256 thumbprint of the key in base64url, RFC 7638:
// a name that follows from the key alone, the same for both halves. That of a
// symmetric key is a hash of the secret; keep it to yourself (§7).
func (k *Key) Thumbprint() string {
	w := k.publicWire()
	var canonical string
	// RFC 7638 §3.2: the required members only, in lexicographic order, no space.
	switch k.kind {
	case jwa.RSA:
		canonical = fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, w.E, w.N)
	case jwa.EC:
		canonical = fmt.Sprintf(`{"crv":%q,"kty":"EC","x":%q,"y":%q}`, w.Curve, w.X, w.Y)
	case jwa.OKP: // RFC 8037 §2
		canonical = fmt.Sprintf(`{"crv":%q,"kty":"OKP","x":%q}`, w.Curve, w.X)
	default:
		canonical = fmt.Sprintf(`{"k":%q,"kty":"oct"}`, encode(k.secret))
	}
	sum := sha256.Sum256([]byte(canonical))
	return encode(sum[:])
}
