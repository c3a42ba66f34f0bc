package jwe

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// Sizes of key wrapping with AES-GCM in bytes, RFC 7518 §4.7.1.
const (
	gcmIVSize  = 12
	gcmTagSize = 16
)

// maxEncryptedKey is the length of the longest encrypted key in bytes: one under
// RSA with 8192 bits.
const maxEncryptedKey = 1024

// wrapped is an encrypted content encryption key with all that its algorithm
// needs, of the right form and size.
type wrapped struct {
	*route
	key       []byte
	ephemeral *ecdh.PublicKey // of a key agreement
	*parameters
}

// check checks the form of the encrypted key and of the parameters that belong to
// its algorithm. Nothing here depends on a secret, so errors may tell what is wrong.
func (w *wrapped) check() (err error) {
	want := 0 // direct: RFC 7516 §5.2 step 10
	switch w.row.Mode {
	case jwa.Wrap, jwa.AgreementWrap, jwa.Password:
		want = w.content.KeySize + wrapBlock
	case jwa.WrapGCM:
		want = w.content.KeySize
	case jwa.OAEP:
		want = min(max(len(w.key), 1), maxEncryptedKey) // as long as the modulus of a key not yet known
	}
	if len(w.key) != want {
		return fmt.Errorf("%w: an encrypted key of %d bytes; %s with %s has %d", ErrMalformed, len(w.key), w.row.Name, w.content.Name, want)
	}
	switch w.row.Mode {
	case jwa.WrapGCM:
		if len(w.iv) != gcmIVSize || len(w.tag) != gcmTagSize { // RFC 7518 §4.7.1
			return fmt.Errorf("%w: header: iv of %d bytes and tag of %d; %s has %d and %d", ErrMalformed, len(w.iv), len(w.tag), w.row.Name, gcmIVSize, gcmTagSize)
		}
	case jwa.Password:
		if w.iterations == 0 || len(w.salt) < minSalt { // RFC 7518 §4.8.1
			return fmt.Errorf("%w: header: %s needs p2c and p2s of at least %d bytes", ErrMalformed, w.row.Name, minSalt)
		}
	case jwa.Agreement, jwa.AgreementWrap:
		w.ephemeral, err = readEphemeral(w.epk)
	}
	return err
}

// unseal decrypts the content encryption key with one of our keys and returns the
// content encryption under it. It fails only if our key is not fit for that. If the
// decryption fails, it returns the content encryption under a random key, with which
// the content fails too: whoever sends altered messages sees one error, after the
// same work, and learns nothing of what went wrong (RFC 7516 §11.5). The random key
// may be the same each time, for nobody knows it and nothing was ever encrypted with
// it.
func (d *Decrypter) unseal(key *jwk.Key, w *wrapped) (cipher.AEAD, error) {
	if w.row.Mode == jwa.Direct {
		s, err := w.schedule(key)
		return s.aead, err
	}
	var buffer [maxCEK]byte
	cek := buffer[:w.content.KeySize]
	ok, err := d.decryptKey(cek, key, w)
	if err != nil && !errors.Is(err, jwk.ErrDecryption) {
		return nil, err
	}
	subtle.ConstantTimeCopy(1-ok, cek, d.fallback[:len(cek)])
	aead, err := newContent(w.content, cek)
	clear(cek)
	return aead, err
}

// decryptKey writes the content encryption key to cek and returns 1, or 0 if it
// does not decrypt. The error may be jwk.ErrDecryption, which says the same.
func (d *Decrypter) decryptKey(cek []byte, key *jwk.Key, w *wrapped) (int, error) {
	switch w.row.Mode {
	case jwa.Wrap:
		s, err := w.schedule(key)
		if err != nil {
			return 0, err
		}
		return unwrap(s.block, cek, w.key), nil
	case jwa.WrapGCM:
		s, err := w.schedule(key)
		if err != nil {
			return 0, err
		}
		return openInto(cek, s.aead, w), nil
	case jwa.OAEP:
		plain, err := key.UnwrapOAEP(w.row.Name, w.key)
		return take(cek, plain), err
	case jwa.Agreement:
		plain, err := agree(key, w)
		return take(cek, plain), err
	case jwa.AgreementWrap:
		kek, err := agree(key, w)
		if err != nil {
			return 0, err
		}
		return unwrapUnder(cek, kek, w)
	case jwa.Password:
		kek, err := fromPassword(key, w)
		if err != nil {
			return 0, err
		}
		return unwrapUnder(cek, kek, w)
	}
	return 0, fmt.Errorf("%w: %s", ErrAlgorithm, w.row.Name)
}

// take moves a decrypted key to cek if it is as long as it should be.
func take(cek, plain []byte) int {
	defer clear(plain)
	if len(plain) != len(cek) {
		return 0
	}
	copy(cek, plain)
	return 1
}

// openInto decrypts a key that was wrapped with AES-GCM, RFC 7518 §4.7.
func openInto(cek []byte, aead cipher.AEAD, w *wrapped) int {
	sealed := append(append(make([]byte, 0, len(w.key)+gcmTagSize), w.key...), w.tag...)
	plain, err := aead.Open(sealed[:0], w.iv, sealed, nil)
	if err != nil {
		return 0
	}
	return take(cek, plain)
}

// unwrapUnder unwraps a key under one that was derived.
func unwrapUnder(cek, kek []byte, w *wrapped) (int, error) {
	defer clear(kek)
	block, err := aes.NewCipher(kek)
	if err != nil {
		return 0, err
	}
	return unwrap(block, cek, w.key), nil
}

// agree derives the key that the sender agreed upon with us.
func agree(key *jwk.Key, w *wrapped) ([]byte, error) {
	shared, err := key.Exchange(w.row.Name, w.ephemeral)
	if err != nil {
		return nil, err
	}
	defer clear(shared)
	return derive(shared, w.row, w.content, w.parties), nil
}

func fromPassword(key *jwk.Key, w *wrapped) ([]byte, error) {
	password, err := key.Secret(w.row.Name, jwk.ToDecrypt)
	if err != nil {
		return nil, err
	}
	defer clear(password)
	return stretch(w.row, password, w.salt, int(w.iterations))
}
