package jwk

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/ostiary/ostiary/jwa"
)

// x25519Size is the length of both halves of a key on X25519, RFC 7748 §5.
const x25519Size = 32

// exchange is the private half of a key for signatures, made ready for key
// agreement when it is first used for that.
type exchange struct {
	once    sync.Once
	private ecdh.KeyExchanger
	err     error
}

// exchangeCurves ties Go's curves for key agreement to those of signatures,
// whose keys carry both.
var exchangeCurves = map[ecdh.Curve]jwa.Curve{
	ecdh.P256(): jwa.P256, ecdh.P384(): jwa.P384, ecdh.P521(): jwa.P521, ecdh.X25519(): jwa.X25519,
}

// setExchanger keeps a private key that agrees upon keys. One of crypto/ecdh on
// a NIST curve becomes a key of crypto/ecdsa, which can be written as JSON and used
// for either purpose.
func (k *Key) setExchanger(m ecdh.KeyExchanger) error {
	own, isGo := m.(*ecdh.PrivateKey)
	if isGo && own == nil {
		return fmt.Errorf("%w: nil ECDH key", ErrInvalid)
	}
	if curve, ok := curveNamed(exchangeCurves[m.Curve()]); ok && isGo {
		private, err := ecdsa.ParseRawPrivateKey(curve.curve, own.Bytes())
		if err != nil {
			return fmt.Errorf("%w: the EC private key is out of range", ErrInvalid)
		}
		return k.setECDSA(private)
	}
	k.exchanger = m
	return k.setExchangePublic(m.PublicKey())
}

func (k *Key) setExchangePublic(p *ecdh.PublicKey) error {
	if p == nil {
		return fmt.Errorf("%w: nil ECDH key", ErrInvalid)
	}
	name, ok := exchangeCurves[p.Curve()]
	if !ok {
		return fmt.Errorf("%w: curve %v", ErrUnsupported, p.Curve())
	}
	if name == jwa.X25519 {
		k.kind, k.curve, k.public = jwa.OKP, name, p
		return nil
	}
	curve, _ := curveNamed(name)
	public, err := ecdsa.ParseUncompressedPublicKey(curve.curve, p.Bytes())
	if err != nil {
		return fmt.Errorf("%w: the point is not on the curve", ErrInvalid)
	}
	return k.setPublic(public)
}

// x25519 reads RFC 8037 §2 for X25519. Every 32 bytes are a public key there
// (RFC 7748 §5); those of low order are found out when they are used.
func (m *members) x25519() (any, error) {
	x := m.bytes("x")
	if len(x) != x25519Size {
		m.fail("a public key on X25519 has %d bytes", x25519Size)
		return nil, m.err
	}
	public, err := ecdh.X25519().NewPublicKey(x)
	if err != nil || !m.has("d") {
		return public, err
	}
	d := m.bytes("d")
	if len(d) != x25519Size {
		m.fail("a private key on X25519 has %d bytes", x25519Size)
		return nil, m.err
	}
	private, err := ecdh.X25519().NewPrivateKey(d)
	if err != nil || !slices.Equal(private.PublicKey().Bytes(), x) {
		m.fail("the private key does not belong to the public key")
		return nil, m.err
	}
	return private, nil
}

// marshalExchanger writes a key that agrees upon keys and does not sign.
func (k *Key) marshalExchanger(w wire) ([]byte, error) {
	private, ok := k.exchanger.(*ecdh.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: %T does not give its private key away", ErrUnsupported, k.exchanger)
	}
	w.D = encode(private.Bytes())
	return json.Marshal(w)
}

// generateEncryption makes the material of a fresh key for an algorithm for
// encryption: a secret of the right size, RSA with 2048 bits, or a key on P-256.
func generateEncryption(alg jwa.Algorithm) (any, error) {
	if content, ok := jwa.Encryption(alg).Content(); ok {
		return randomSecret(content.KeySize)
	}
	row, _ := alg.KeyManagement()
	switch row.Mode {
	case jwa.Wrap, jwa.WrapGCM:
		return randomSecret(row.WrapSize)
	case jwa.OAEP:
		return generate(jwa.Signature{KeyType: jwa.RSA})
	case jwa.Agreement, jwa.AgreementWrap:
		return generate(jwa.Signature{KeyType: jwa.EC, Curve: jwa.P256})
	case jwa.Direct:
		return nil, fmt.Errorf("%w: %q does not say how long the secret is; name the content encryption, as in %q", ErrUnsupported, alg, jwa.A256GCM)
	case jwa.Password:
		return nil, fmt.Errorf("%w: %q takes a password, which people choose", ErrUnsupported, alg)
	}
	return nil, fmt.Errorf("%w: %s: %s", ErrUnsupported, alg, row.Unsupported)
}

func randomSecret(size int) ([]byte, error) {
	secret := make([]byte, size)
	_, err := rand.Read(secret)
	return secret, err
}
