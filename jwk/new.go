package jwk

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"slices"

	"github.com/ostiary/ostiary/jwa"
)

// Sizes that a key must keep to. The upper bound keeps one verification below
// a millisecond; a modulus of 16 kbit costs ten times as much.
const (
	minRSABits     = 2048
	leastRSABits   = 1024 // with InsecureSize
	maxRSABits     = 8192
	minSecretBytes = 32
	maxSecretBytes = 8192
	maxIDBytes     = 1024
)

// Params are what a key has beside its material. All may be left out.
type Params struct {
	ID        string        // "kid"
	Algorithm jwa.Algorithm // "alg": binds the key to one algorithm
	Use       string        // "use": UseSignature or UseEncryption

	// Operations are the "key_ops", RFC 7517 §4.3: "sign", "verify" and so on. Nil
	// means that the key permits all that it can do.
	Operations []string

	// InsecureSize takes keys that can be guessed or factored: a secret of any
	// length but none, RSA from 1024 bits. Old systems have such keys; nobody should
	// make a new one.
	InsecureSize bool

	// InsecureCurve lets a key on one NIST curve be used with the algorithms of
	// the others, which RFC 7518 §3.4 forbids and some old systems do.
	InsecureCurve bool
}

// New makes a key from a Go key: *rsa.PrivateKey, *rsa.PublicKey,
// *ecdsa.PrivateKey, *ecdsa.PublicKey, ed25519.PrivateKey, ed25519.PublicKey,
// *ecdh.PrivateKey, *ecdh.PublicKey, a secret as []byte, or any crypto.Signer or
// ecdh.KeyExchanger whose public key is one of these (a key in a key management
// service or a hardware module). Secrets are copied; other keys are kept and must
// not be changed afterwards.
//
// Keys must be worth something: RSA has 2048 to 8192 bits, a secret at least 32
// bytes, and at least as many as the hash of the algorithm that it is bound to.
// A secret for encryption has the size that its algorithm asks for, from 16 bytes;
// a password, which must be bound to a PBES2 algorithm, at least 8.
//
// New returns ErrInvalid, ErrWeak or ErrUnsupported.
func New(material any, p Params) (*Key, error) {
	k := &Key{id: p.ID, alg: p.Algorithm, use: p.Use, ops: slices.Clone(p.Operations), insecureSize: p.InsecureSize, insecureCurve: p.InsecureCurve}
	if err := k.setMaterial(material); err != nil {
		return nil, err
	}
	if err := k.bind(); err != nil {
		return nil, err
	}
	return k, nil
}

func (k *Key) setMaterial(material any) error {
	switch m := material.(type) {
	case nil:
		return fmt.Errorf("%w: no material", ErrInvalid)
	case []byte:
		return k.setSecret(m)
	case *rsa.PrivateKey:
		if m == nil {
			return fmt.Errorf("%w: nil RSA key", ErrInvalid)
		}
		if err := m.Validate(); err != nil {
			return fmt.Errorf("%w: the RSA private key contradicts itself", ErrInvalid)
		}
		k.signer = m
		return k.setPublic(&m.PublicKey)
	case *ecdsa.PrivateKey:
		return k.setECDSA(m)
	case ed25519.PrivateKey:
		return k.setEd25519(m)
	case pssMaterial:
		k.pss, k.pssParameters = m.restriction, m.parameters
		return k.setMaterial(m.key)
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return k.setPublic(m)
	case *ecdh.PublicKey:
		return k.setExchangePublic(m)
	case crypto.Signer:
		k.signer = m
		return k.setPublic(m.Public())
	case ecdh.KeyExchanger:
		return k.setExchanger(m)
	}
	return fmt.Errorf("%w: %T is not a key", ErrUnsupported, material)
}

func (k *Key) setSecret(secret []byte) error {
	switch {
	case len(secret) == 0:
		return fmt.Errorf("%w: an empty secret", ErrWeak)
	case len(secret) < k.leastSecret(len(secret)) && !k.insecureSize:
		return fmt.Errorf("%w: a secret of %d bytes; at least %d are needed", ErrWeak, len(secret), k.leastSecret(len(secret)))
	case len(secret) > maxSecretBytes:
		return fmt.Errorf("%w: a secret of %d bytes; at most %d are taken", ErrInvalid, len(secret), maxSecretBytes)
	}
	k.kind, k.bits, k.secret = jwa.Oct, 8*len(secret), slices.Clone(secret)
	return nil
}

func (k *Key) setECDSA(m *ecdsa.PrivateKey) error {
	if m == nil || m.Curve == nil {
		return fmt.Errorf("%w: nil EC key", ErrInvalid)
	}
	if err := k.setPublic(&m.PublicKey); err != nil {
		return err
	}
	raw, err := m.Bytes()
	if err != nil {
		return fmt.Errorf("%w: the EC private key is out of range", ErrInvalid)
	}
	derived, err := ecdsa.ParseRawPrivateKey(m.Curve, raw)
	if err != nil || !derived.PublicKey.Equal(&m.PublicKey) {
		return fmt.Errorf("%w: the private key does not belong to the public key", ErrInvalid)
	}
	k.signer = m
	return nil
}

func (k *Key) setEd25519(m ed25519.PrivateKey) error {
	if len(m) != ed25519.PrivateKeySize {
		return fmt.Errorf("%w: an Ed25519 private key of %d bytes", ErrInvalid, len(m))
	}
	if !ed25519.NewKeyFromSeed(m.Seed()).Equal(m) {
		return fmt.Errorf("%w: the private key does not belong to the public key", ErrInvalid)
	}
	k.signer = slices.Clone(m)
	return k.setPublic(k.signer.Public())
}

// setPublic checks a public key and keeps it.
func (k *Key) setPublic(public crypto.PublicKey) error {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if p == nil || p.N == nil {
			return fmt.Errorf("%w: nil RSA key", ErrInvalid)
		}
		k.kind, k.bits, k.public = jwa.RSA, p.N.BitLen(), p
		least := minRSABits
		if k.insecureSize {
			least = leastRSABits
		}
		return checkRSA(p.N, big.NewInt(int64(p.E)), least)
	case *ecdsa.PublicKey:
		if p == nil || p.Curve == nil {
			return fmt.Errorf("%w: nil EC key", ErrInvalid)
		}
		curve, ok := curveOf(p.Curve)
		if !ok {
			return fmt.Errorf("%w: curve %s", ErrUnsupported, p.Curve.Params().Name)
		}
		// Bytes fails for a point that is not on the curve, RFC 8725 §3.4.
		if _, err := p.Bytes(); err != nil {
			return fmt.Errorf("%w: the point is not on the curve", ErrInvalid)
		}
		k.kind, k.curve, k.public = jwa.EC, curve.name, p
		return nil
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return fmt.Errorf("%w: an Ed25519 public key of %d bytes", ErrInvalid, len(p))
		}
		k.kind, k.curve, k.public = jwa.OKP, jwa.CurveEd25519, slices.Clone(p)
		return checkEd25519(p)
	}
	return fmt.Errorf("%w: %T is not a key that can verify", ErrUnsupported, public)
}

// checkRSA refuses moduli and exponents that are no security, RFC 7518 §3.3.
func checkRSA(n, e *big.Int, least int) error {
	switch bits := n.BitLen(); {
	case n.Sign() <= 0 || n.Bit(0) == 0:
		return fmt.Errorf("%w: the RSA modulus is even", ErrInvalid)
	case bits < least:
		return fmt.Errorf("%w: RSA with %d bits; at least %d are needed", ErrWeak, bits, least)
	case bits > maxRSABits:
		return fmt.Errorf("%w: RSA with %d bits; at most %d are taken", ErrUnsupported, bits, maxRSABits)
	case e.Cmp(big.NewInt(1)) <= 0 || e.Bit(0) == 0:
		return fmt.Errorf("%w: the RSA exponent must be odd and above 1", ErrWeak)
	case e.BitLen() > 31:
		return fmt.Errorf("%w: an RSA exponent of %d bits", ErrUnsupported, e.BitLen())
	case fingerprintROCA(n):
		return fmt.Errorf("%w: the RSA modulus was made by a faulty generator (CVE-2017-15361)", ErrWeak)
	}
	return nil
}

// A namedCurve ties the name of RFC 7518 §6.2.1.1 to Go's curve.
type namedCurve struct {
	name  jwa.Curve
	curve elliptic.Curve
	size  int // of a coordinate and of the private key, in bytes
}

var curves = []namedCurve{
	{jwa.P256, elliptic.P256(), 32},
	{jwa.P384, elliptic.P384(), 48},
	{jwa.P521, elliptic.P521(), 66},
}

func curveOf(c elliptic.Curve) (namedCurve, bool) {
	i := slices.IndexFunc(curves, func(n namedCurve) bool { return n.curve == c })
	if i < 0 {
		return namedCurve{}, false
	}
	return curves[i], true
}

func curveNamed(name jwa.Curve) (namedCurve, bool) {
	i := slices.IndexFunc(curves, func(n namedCurve) bool { return n.name == name })
	if i < 0 {
		return namedCurve{}, false
	}
	return curves[i], true
}

// Generate makes a fresh private key or secret for an algorithm, bound to it
// and to its use, with its thumbprint as identifier, or a random one for a
// secret. RSA keys have 2048 bits:
// they live for months in a rotation, and 3072 bits would triple the cost of
// every signature. Secrets are as long as the hash, or as the algorithm wants its
// key. Keys for ECDH-ES are on P-256. The name of a content encryption is an
// algorithm too: that of a secret for "dir". It returns ErrUnsupported for an
// algorithm that cannot be computed.
func Generate(alg jwa.Algorithm) (*Key, error) {
	material, use, err := generateFor(alg)
	if err != nil {
		return nil, fmt.Errorf("jwk: generate %s: %w", alg, err)
	}
	k, err := New(material, Params{Algorithm: alg, Use: use})
	if err != nil {
		return nil, err
	}
	if k.Type() == jwa.Oct {
		// RFC 7638 §7: the thumbprint of a secret says something of the secret,
		// and a kid stands in every header.
		k.id = rand.Text()
		return k, nil
	}
	k.id = k.Thumbprint()
	return k, nil
}

func generateFor(alg jwa.Algorithm) (material any, use string, err error) {
	if encrypts(alg) {
		material, err = generateEncryption(alg)
		return material, UseEncryption, err
	}
	row, ok := alg.Signature()
	if !ok {
		return nil, "", fmt.Errorf("%w: %w", ErrUnsupported, alg.Check())
	}
	material, err = generate(row)
	return material, UseSignature, err
}

func generate(row jwa.Signature) (any, error) {
	switch row.KeyType {
	case jwa.RSA:
		return rsa.GenerateKey(rand.Reader, minRSABits)
	case jwa.EC:
		curve, ok := curveNamed(row.Curve)
		if !ok {
			return nil, ErrUnsupported
		}
		return ecdsa.GenerateKey(curve.curve, rand.Reader)
	case jwa.OKP:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	case jwa.Oct:
		secret := make([]byte, row.MinKeyBits/8)
		_, err := rand.Read(secret)
		return secret, err
	}
	return nil, ErrUnsupported
}
