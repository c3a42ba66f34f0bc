package jwe

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"slices"

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

// A pair of algorithms is one for the key and one for the content.
type pair struct {
	alg jwa.Algorithm
	enc jwa.Encryption
}

// A route is a pair of algorithms that a decrypter accepts, with the secrets that
// have served for it.
type route struct {
	row     jwa.KeyManagement
	content jwa.ContentEncryption
	ready   cache[*jwk.Key, schedule]
}

const (
	maxRoutes = 128 // more than there are pairs
	maxReady  = 64
)

// route returns the route of a pair of algorithms of which that for the content has
// been accepted.
func (d *Decrypter) route(alg jwa.Algorithm, content jwa.ContentEncryption) (*route, error) {
	if r, ok := d.routes.load(pair{alg, content.Name}); ok {
		return r, nil
	}
	if allowed := d.options.Algorithms; allowed != nil && !slices.Contains(allowed, alg) {
		return nil, fmt.Errorf("%w: %.40q", ErrAlgorithm, string(alg))
	}
	row, err := rowOf(alg)
	if err != nil {
		return nil, err
	}
	r := &route{row: row, content: content}
	d.routes.add(pair{row.Name, content.Name}, r, maxRoutes)
	return r, nil
}

// fits reports whether a key does both algorithms. One that has served does: keys
// are immutable.
func (r *route) fits(key *jwk.Key) bool {
	_, served := r.ready.load(key)
	return served || key.Encrypts(r.row.Name, r.content.Name)
}

// schedule returns the schedule of a key that fits, for decryption. The key is asked
// for its secret the first time, and refuses if it is not for that.
func (r *route) schedule(key *jwk.Key) (schedule, error) {
	if s, ok := r.ready.load(key); ok {
		return s, nil
	}
	secret, err := key.Secret(r.row.Name, jwk.ToDecrypt)
	if err != nil {
		return schedule{}, err
	}
	defer clear(secret)
	s, err := newSchedule(r.row, r.content, secret)
	if err != nil {
		return s, err
	}
	r.ready.add(key, s, maxReady)
	return s, nil
}
