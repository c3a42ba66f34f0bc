package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// A Purpose says what is sealed, and is bound into the sealing: what was stored
// for one purpose cannot be moved to the place of another.
type Purpose string

// The purposes. None holds a zero byte.
const (
	PurposeClientSecret Purpose = "client-secret" // under the id of the secret
	PurposeStreamHeader Purpose = "stream-header" // under the id of the stream
	PurposeTransmitter  Purpose = "transmitter"   // under the id of the transmitter
	PurposeTOTP         Purpose = "totp"          // under the id of the app, or of the person who sets it up

	PurposeUpstream Purpose = "upstream"          // the secrets of an identity provider, under its id
	PurposeVisit    Purpose = "upstream-visit"    // what a connector has to know, and what came back; under the hash of the state
	PurposeStranger Purpose = "upstream-stranger" // under the holder
	PurposeStay     Purpose = "upstream-stay"     // under the id of the stay
	PurposeTokens   Purpose = "upstream-tokens"   // under the id of the identity

	PurposeCertificate Purpose = "certificate"  // of the server's TLS with its key, under the host
	PurposeACME        Purpose = "acme-account" // the key of an account, under the address of the authority's directory

	purposeCheck      Purpose = "check"
	purposeSigningKey Purpose = "signing-key"
)

// The labels keep the uses of the master key apart: none begins with another.
const (
	labelSeal   = "ostiary/seal/v1"
	labelDerive = "ostiary/derive/v1/"
)

const sealPrefix = "v1." // names the scheme, so that there can be another

// ErrSealed says that something sealed cannot be opened.
var ErrSealed = errors.New("cannot be opened")

// Seal encrypts what must be stored and read again, for one purpose and under
// the identifier of its row.
func (r *Ring) Seal(purpose Purpose, id string, text []byte) (string, error) {
	return r.master.seal(purpose, id, text)
}

// Unseal returns what Seal was given. It returns ErrSealed for what was sealed
// for another purpose, under another identifier or by another master key, or
// was changed since.
func (r *Ring) Unseal(purpose Purpose, id, sealed string) ([]byte, error) {
	return r.master.open(purpose, id, sealed)
}

// seal encrypts text with AES-256-GCM under a random nonce. A key used with
// random nonces is good for 2^32 messages; a server seals a few dozen keys a
// year, one secret for each client that needs it, and a few texts for each sign-in at
// an identity provider: a hundred million a year for ten years.
func (m Master) seal(purpose Purpose, id string, text []byte) (string, error) {
	aead, err := m.aead()
	if err != nil {
		return "", err
	}
	return sealPrefix + base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, text, binding(purpose, id))), nil
}

func (m Master) open(purpose Purpose, id, sealed string) ([]byte, error) {
	aead, err := m.aead()
	if err != nil {
		return nil, err
	}
	encoded, ok := strings.CutPrefix(sealed, sealPrefix)
	if !ok {
		return nil, ErrSealed
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, ErrSealed
	}
	text, err := aead.Open(nil, nil, data, binding(purpose, id))
	if err != nil {
		return nil, ErrSealed
	}
	return text, nil
}

// binding is the additional data. A purpose holds no zero byte, so it ends at
// the first one.
func binding(purpose Purpose, id string) []byte { return []byte(string(purpose) + "\x00" + id) }

func (m Master) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(m.derive(labelSeal))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// derive returns 32 bytes for one use of the master key, RFC 5869 §2. The
// master key is uniformly random, so no salt is needed (§3.1).
func (m Master) derive(label string) []byte {
	secret := m.key()
	key, err := hkdf.Key(sha256.New, secret[:], nil, label, sha256.Size)
	if err != nil { // only for more than 255 blocks, or a master key under 14 bytes
		panic(err)
	}
	return key
}
