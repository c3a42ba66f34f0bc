package jwe

import (
	"crypto/aes"
	"crypto/cipher"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// A schedule is a secret made ready for its algorithm: the block cipher of AES
// Key Wrap, the AEAD that wraps keys, or the content encryption of "dir". Making one
// costs several times as much as decrypting a short message with it.
type schedule struct {
	block cipher.Block
	aead  cipher.AEAD
}

func newSchedule(row jwa.KeyManagement, content jwa.ContentEncryption, secret []byte) (s schedule, err error) {
	if row.Mode == jwa.Direct {
		s.aead, err = newContent(content, secret)
		return s, err
	}
	if s.block, err = aes.NewCipher(secret); err != nil || row.Mode == jwa.Wrap {
		return s, err
	}
	s.aead, err = cipher.NewGCM(s.block)
	return s, err
}

// maxSchedules is how many schedules a decrypter keeps.
const maxSchedules = 64

// A scheduleKey names the schedule of a key for a pair of algorithms.
type scheduleKey struct {
	key *jwk.Key
	alg jwa.Algorithm
	enc jwa.Encryption
}

// schedule returns the schedule of a key for decryption. The key is asked for its
// secret the first time, and refuses if it is not for that; it is immutable, so the
// answer stays the same.
func (d *Decrypter) schedule(key *jwk.Key, row jwa.KeyManagement, content jwa.ContentEncryption) (schedule, error) {
	id := scheduleKey{key, row.Name, content.Name}
	if s, ok := d.schedules.load(id); ok {
		return s, nil
	}
	secret, err := key.Secret(row.Name, jwk.ToDecrypt)
	if err != nil {
		return schedule{}, err
	}
	defer clear(secret)
	s, err := newSchedule(row, content, secret)
	if err != nil {
		return s, err
	}
	d.schedules.add(id, s, maxSchedules)
	return s, nil
}
