// Package credentialtest is a software authenticator for tests: it makes real keys,
// real CBOR and real signatures, and can be told to do each thing wrong.
//
// It is imported by tests only, and shares no code with what it tests.
package credentialtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// COSE algorithms.
const (
	ES256 = -7
	EdDSA = -8
	RS256 = -257
	ES384 = -35
)

// Authenticator holds one passkey. Its fields are what it tells; a test changes
// them to lie.
type Authenticator struct {
	Origin     string // of the page that asks
	RPID       string // empty: the one that is asked for
	AAGUID     [16]byte
	Counter    uint32 // goes up with each signature, unless Still
	Still      bool
	Verifies   bool // UV
	Absent     bool // no UP
	Eligible   bool // BE
	BackedUp   bool // BS
	Foreign    bool // crossOrigin: in a frame of another site
	Type       string
	Transports []string
	Bits       int    // of an RSA key; 0: 2048
	Handle     string // of whom it holds the passkey, base64url; "-": none is told
	ID         []byte // of the passkey

	t   testing.TB
	alg int
	key crypto.Signer
}

// New returns an authenticator that signs with one algorithm at a page of origin.
func New(t testing.TB, origin string, alg int) *Authenticator {
	return &Authenticator{Origin: origin, Verifies: true, Transports: []string{"internal", "hybrid"}, t: t, alg: alg}
}

type options struct {
	Challenge string
	RPID      string                       `json:"rpId"`
	RP        struct{ ID string }          `json:"rp"`
	User      struct{ ID string }          `json:"user"`
	Params    []struct{ Alg int }          `json:"pubKeyCredParams"`
	Allow     []struct{ ID string }        `json:"allowCredentials"`
	Exclude   []struct{ ID string }        `json:"excludeCredentials"`
	Selection struct{ ResidentKey string } `json:"authenticatorSelection"`
	UV        string                       `json:"userVerification"`
}

func (a *Authenticator) read(text []byte) (o options) {
	a.t.Helper()
	if err := json.Unmarshal(text, &o); err != nil {
		a.t.Fatalf("options %q: %v", text, err)
	}
	return o
}

// Create answers a request for a new passkey, whether it is one of its algorithms
// or not.
func (a *Authenticator) Create(text []byte) []byte {
	a.t.Helper()
	o := a.read(text)
	a.makeKey()
	if a.ID == nil {
		a.ID = random(32)
	}
	a.Handle = o.User.ID
	data := a.data(or(a.RPID, o.RP.ID), 0x40)
	data = append(data, a.AAGUID[:]...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.ID)))
	data = append(data, a.ID...)
	data = append(data, a.cose()...)
	object := slices.Concat([]byte{0xa3}, text3("fmt"), text3("none"), text3("attStmt"), []byte{0xa0}, text3("authData"), bytesOf(data))
	return a.answer(map[string]any{
		"clientDataJSON": b64(a.clientData("webauthn.create", o.Challenge)), "attestationObject": b64(object), "transports": a.Transports,
	})
}

// Get answers a request for a proof.
func (a *Authenticator) Get(text []byte) []byte {
	a.t.Helper()
	o := a.read(text)
	client, data := a.clientData("webauthn.get", o.Challenge), a.data(or(a.RPID, o.RPID), 0)
	hash := sha256.Sum256(client)
	response := map[string]any{
		"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(a.sign(slices.Concat(data, hash[:]))),
	}
	if a.Handle != "-" {
		response["userHandle"] = a.Handle
	}
	return a.answer(response)
}

func (a *Authenticator) answer(response map[string]any) []byte {
	text, err := json.Marshal(map[string]any{
		"id": b64(a.ID), "rawId": b64(a.ID), "type": "public-key", "response": response,
		"clientExtensionResults": map[string]any{}, "authenticatorAttachment": "platform",
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

func (a *Authenticator) clientData(kind, challenge string) []byte {
	text, err := json.Marshal(map[string]any{"type": or(a.Type, kind), "challenge": challenge, "origin": a.Origin, "crossOrigin": a.Foreign})
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

// data is authenticator data, WebAuthn Level 3 §6.1.
func (a *Authenticator) data(rp string, flags byte) []byte {
	for bit, set := range map[byte]bool{0x01: !a.Absent, 0x04: a.Verifies, 0x08: a.Eligible, 0x10: a.BackedUp} {
		if set {
			flags |= bit
		}
	}
	if !a.Still {
		a.Counter++
	}
	hash := sha256.Sum256([]byte(rp))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), a.Counter)
}

func (a *Authenticator) makeKey() {
	a.t.Helper()
	var err error
	switch a.alg {
	case ES256:
		a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ES384:
		a.key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case EdDSA:
		_, a.key, err = ed25519.GenerateKey(rand.Reader)
	case RS256:
		bits := a.Bits
		if bits == 0 {
			bits = 2048
		}
		a.key, err = rsa.GenerateKey(rand.Reader, bits)
	default:
		err = fmt.Errorf("no algorithm %d", a.alg)
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *Authenticator) sign(message []byte) []byte {
	a.t.Helper()
	input, hash := message, crypto.Hash(0)
	if a.alg != EdDSA {
		sum := sha256.Sum256(message)
		input, hash = sum[:], crypto.SHA256
	}
	signature, err := a.key.Sign(rand.Reader, input, hash)
	if err != nil {
		a.t.Fatal(err)
	}
	return signature
}

// cose is the public key as a COSE_Key, RFC 9052 §7, in CTAP2 canonical CBOR.
func (a *Authenticator) cose() []byte {
	alg := func(kty byte) []byte { return slices.Concat([]byte{0x01, kty, 0x03}, negative(-a.alg)) }
	switch k := a.key.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			a.t.Fatal(err)
		}
		size, curve := (len(point)-1)/2, byte(1)
		if a.alg == ES384 {
			curve = 2
		}
		return slices.Concat([]byte{0xa5}, alg(2), []byte{0x20, curve, 0x21}, bytesOf(point[1:1+size]), []byte{0x22}, bytesOf(point[1+size:]))
	case ed25519.PublicKey:
		return slices.Concat([]byte{0xa4}, alg(1), []byte{0x20, 6, 0x21}, bytesOf(k))
	case *rsa.PublicKey:
		return slices.Concat([]byte{0xa4}, alg(3), []byte{0x20}, bytesOf(k.N.Bytes()), []byte{0x21}, bytesOf([]byte{1, 0, 1}))
	}
	a.t.Fatalf("no key of type %T", a.key)
	return nil
}

// What follows writes CBOR, RFC 8949 §3.

func head(major byte, n int) []byte {
	switch {
	case n < 24:
		return []byte{major<<5 | byte(n)}
	case n < 256:
		return []byte{major<<5 | 24, byte(n)}
	}
	return binary.BigEndian.AppendUint16([]byte{major<<5 | 25}, uint16(n))
}

func negative(n int) []byte   { return head(1, n-1) } // -n
func bytesOf(b []byte) []byte { return append(head(2, len(b)), b...) }
func text3(s string) []byte   { return append(head(3, len(s)), s...) }

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func or(s, fill string) string {
	if s == "" {
		return fill
	}
	return s
}
