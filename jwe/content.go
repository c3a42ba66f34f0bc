package jwe

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"hash"
	"slices"
	"sync/atomic"

	"github.com/ostiary/ostiary/jwa"
)

// maxCEK is the length of the longest content encryption key, that of
// A256CBC-HS512.
const maxCEK = 64

// newContent keys a content encryption algorithm, RFC 7518 §5. Both families are
// an AEAD as Go knows them: the tag follows the ciphertext.
func newContent(row jwa.ContentEncryption, cek []byte) (cipher.AEAD, error) {
	if row.Hash != 0 {
		return newCBC(row, cek)
	}
	block, err := aes.NewCipher(cek)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block) // 96-bit IV and 128-bit tag, RFC 7518 §5.3
}

// errAuthentication is what an AEAD of this package answers to everything that
// is wrong with a ciphertext.
var errAuthentication = errors.New("message authentication failed")

// cbc is AES in CBC mode with HMAC over what was encrypted, RFC 7518 §5.2. It is
// safe for concurrent use.
type cbc struct {
	block   cipher.Block
	tagSize int
	newHash func() hash.Hash
	macKey  [maxCEK / 2]byte
	keySize int // of macKey

	// spare is a keyed MAC that nobody uses at the moment: first, unless several
	// are needed at once. Keying one costs as much as a short message; a pool would
	// be no cheaper for the many keys that serve one message only.
	spare atomic.Pointer[cbcMAC]
	first cbcMAC
}

type cbcMAC struct {
	hash.Hash
	used bool
	sum  [sha512.Size]byte
}

func newCBC(row jwa.ContentEncryption, cek []byte) (cipher.AEAD, error) {
	// RFC 7518 §5.2.2.1: the first half authenticates, the second encrypts.
	half := row.KeySize / 2
	block, err := aes.NewCipher(cek[half:])
	if err != nil {
		return nil, err
	}
	c := &cbc{block: block, tagSize: row.TagSize, newHash: hashes[row.Hash], keySize: half}
	copy(c.macKey[:], cek[:half])
	c.first.Hash = c.newMAC()
	c.spare.Store(&c.first)
	return c, nil
}

func (c *cbc) newMAC() hash.Hash { return hmac.New(c.newHash, c.macKey[:c.keySize]) }

var hashes = map[crypto.Hash]func() hash.Hash{
	crypto.SHA256: sha256.New, crypto.SHA384: sha512.New384, crypto.SHA512: sha512.New,
}

// NonceSize returns the length of the IV.
func (c *cbc) NonceSize() int { return aes.BlockSize }

// Overhead returns by how much a ciphertext with its tag is longer than the
// plaintext, at most.
func (c *cbc) Overhead() int { return aes.BlockSize + c.tagSize }

// Seal appends the ciphertext and its tag to dst, RFC 7518 §5.2.2.1.
func (c *cbc) Seal(dst, iv, plaintext, aad []byte) []byte {
	padding := aes.BlockSize - len(plaintext)%aes.BlockSize // PKCS #7: never none
	start := len(dst)
	dst = append(slices.Grow(dst, len(plaintext)+padding+c.tagSize), plaintext...)
	for range padding {
		dst = append(dst, byte(padding))
	}
	ciphertext := dst[start:]
	cipher.NewCBCEncrypter(c.block, iv).CryptBlocks(ciphertext, ciphertext)
	mac := c.take()
	defer c.give(mac)
	return append(dst, mac.tag(iv, ciphertext, aad)[:c.tagSize]...)
}

// Open checks the tag of a ciphertext and then appends the plaintext to dst,
// RFC 7518 §5.2.2.2. Nothing is decrypted, and the padding not looked at, unless
// the whole tag is right: a padding that can be probed decrypts everything.
func (c *cbc) Open(dst, iv, sealed, aad []byte) ([]byte, error) {
	size := len(sealed) - c.tagSize
	if size < aes.BlockSize || size%aes.BlockSize != 0 {
		return nil, errAuthentication
	}
	ciphertext, tag := sealed[:size], sealed[size:]
	mac := c.take()
	defer c.give(mac)
	if subtle.ConstantTimeCompare(mac.tag(iv, ciphertext, aad)[:c.tagSize], tag) != 1 {
		return nil, errAuthentication
	}
	start := len(dst)
	dst = slices.Grow(dst, size)[:start+size]
	plaintext := dst[start:]
	cipher.NewCBCDecrypter(c.block, iv).CryptBlocks(plaintext, ciphertext)
	padding := int(plaintext[size-1])
	if padding == 0 || padding > aes.BlockSize {
		return nil, errAuthentication
	}
	for _, b := range plaintext[size-padding:] {
		if int(b) != padding {
			return nil, errAuthentication
		}
	}
	return dst[:len(dst)-padding], nil
}

// tag computes the whole MAC over AAD, IV, ciphertext and the length of the AAD
// in bits, RFC 7518 §5.2.2.1. The length has 64 bits, which no AAD overflows.
func (m *cbcMAC) tag(iv, ciphertext, aad []byte) []byte {
	m.Write(aad)
	m.Write(iv)
	m.Write(ciphertext)
	m.Write(binary.BigEndian.AppendUint64(m.sum[:0], uint64(len(aad))*8))
	return m.Sum(m.sum[:0])
}

// take returns a MAC that has seen nothing. The one that served before is reset
// here and not when it is given back: most serve once.
func (c *cbc) take() *cbcMAC {
	mac := c.spare.Swap(nil)
	switch {
	case mac == nil:
		mac = &cbcMAC{Hash: c.newMAC()}
	case mac.used:
		mac.Reset()
	}
	mac.used = true
	return mac
}

func (c *cbc) give(mac *cbcMAC) { c.spare.Store(mac) }

// random fills b with random bytes. The generator of the operating system does
// not fail; Go ends the program if it ever did.
func random(b []byte) []byte {
	_, _ = rand.Read(b)
	return b
}
