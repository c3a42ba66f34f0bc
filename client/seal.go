package client

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// A sealed value names its purpose and its owner in the associated data, so that
// a value sealed for one use, cookie or client never opens as another.
const (
	sealSession = "session"
	sealAttempt = "attempt"
	sealNotice  = "notice"
)

// errSeal says nothing on purpose: a forger learns no more than "no".
var errSeal = errors.New("client: the sealed value is not ours")

const minSessionKey = 32 // bytes

// seal encrypts with AES-256-GCM under the first key and opens under any.
type seal struct{ keys []cipher.AEAD }

func newSeal(keys [][]byte) (*seal, error) {
	s := &seal{}
	for i, key := range keys {
		if len(key) < minSessionKey {
			return nil, fmt.Errorf("client: session key %d has %d bytes, at least %d random ones are needed", i+1, len(key), minSessionKey)
		}
		derived, err := hkdf.Key(sha256.New, key, nil, "ostiary client cookies v1", 32)
		if err != nil {
			return nil, fmt.Errorf("client: session key %d: %w", i+1, err)
		}
		block, err := aes.NewCipher(derived)
		if err != nil {
			return nil, fmt.Errorf("client: session key %d: %w", i+1, err)
		}
		// Nonces are 96 random bits, which is sound for 2^32 values under one
		// key: 136 a second for a year, after which keys should have rotated.
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("client: session key %d: %w", i+1, err)
		}
		s.keys = append(s.keys, aead)
	}
	if len(s.keys) == 0 {
		return nil, errors.New("client: no session key")
	}
	return s, nil
}

// close seals data for one purpose and owner, as base64url.
func (s *seal) close(data []byte, purpose, owner string) string {
	return base64.RawURLEncoding.EncodeToString(s.keys[0].Seal(nil, nil, data, bound(purpose, owner)))
}

// open returns what close sealed, and whether an older key sealed it.
func (s *seal) open(value, purpose, owner string) (data []byte, old bool, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil {
		return nil, false, errSeal
	}
	for i, key := range s.keys {
		if data, err := key.Open(nil, nil, raw, bound(purpose, owner)); err == nil {
			return data, i > 0, nil
		}
	}
	return nil, false, errSeal
}

func bound(purpose, owner string) []byte { return []byte(purpose + "\x00" + owner) }
