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

// What is sealed, and so bound into its sealing: what was stored for one
// purpose cannot be moved to the place of another.
const (
	purposeCheck      = "check"
	purposeSigningKey = "signing-key"
)

// The labels keep the uses of the master key apart: none begins with another.
const (
	labelSeal   = "ostiary/seal/v1"
	labelDerive = "ostiary/derive/v1/"
)

const sealPrefix = "v1." // names the scheme, so that there can be another

var errSealed = errors.New("cannot be opened")

// seal encrypts text with AES-256-GCM under a random nonce. A key made of
// random nonces is good for 2^32 messages; a server seals a few dozen a year.
func (m Master) seal(purpose, id string, text []byte) (string, error) {
	aead, err := m.aead()
	if err != nil {
		return "", err
	}
	return sealPrefix + base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, text, binding(purpose, id))), nil
}

func (m Master) open(purpose, id, sealed string) ([]byte, error) {
	aead, err := m.aead()
	if err != nil {
		return nil, err
	}
	encoded, ok := strings.CutPrefix(sealed, sealPrefix)
	if !ok {
		return nil, errSealed
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, errSealed
	}
	text, err := aead.Open(nil, nil, data, binding(purpose, id))
	if err != nil {
		return nil, errSealed
	}
	return text, nil
}

// binding is the additional data: purpose and identifier hold no zero byte.
func binding(purpose, id string) []byte { return []byte(purpose + "\x00" + id) }

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
