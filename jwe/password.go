package jwe

import (
	"crypto"
	"crypto/pbkdf2"
	"fmt"

	"github.com/ostiary/ostiary/jwa"
)

// Bounds of PBES2, RFC 7518 §4.8.1. Each iteration is work for us that the sender
// of a message chooses; too few make the password easy to guess.
const (
	// DefaultMaxIterations is the greatest "p2c" that a decrypter takes unless
	// MaxIterations says otherwise: a fifth of a second of work.
	DefaultMaxIterations = 1_000_000

	minIterations = 1000 // RFC 7518 §4.8.1.2
	minSalt       = 8    // bytes, RFC 7518 §4.8.1.1
	saltSize      = 16   // bytes that an encrypter takes
)

// defaultIterations is what an encrypter asks of itself and of everybody who
// guesses passwords: the counts of OWASP's Password Storage Cheat Sheet or more.
// SHA-512 is the slower of the two.
var defaultIterations = map[crypto.Hash]int{
	crypto.SHA256: 600_000,
	crypto.SHA384: 310_000,
	crypto.SHA512: 310_000,
}

// stretch derives the wrapping key from a password, RFC 7518 §4.8: PBKDF2 with
// HMAC, salted with the algorithm's name, a zero byte and the salt. The caller has
// checked the count.
func stretch(row jwa.KeyManagement, password, salt []byte, iterations int) ([]byte, error) {
	full := make([]byte, 0, len(row.Name)+1+len(salt))
	full = append(full, row.Name...)
	full = append(full, 0)
	full = append(full, salt...)
	key, err := pbkdf2.Key(hashes[row.Hash], string(password), full, iterations, row.WrapSize)
	if err != nil {
		return nil, fmt.Errorf("jwe: derive a key from a password: %w", err)
	}
	return key, nil
}
