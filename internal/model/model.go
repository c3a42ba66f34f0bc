// Package model holds the nouns of Ostiary: people, sessions, clients,
// requests, grants, and the typed identifiers by which every other package
// speaks of them.
//
// It owns words only. It never does I/O, never reads a clock and never holds a
// rule; it may be imported from everywhere inside the house.
//
// Times are unix seconds unless a name says otherwise; zero means "never" or
// "not yet".
package model

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"log/slog"
)

// Identifiers are random, 128 bits or more in base64url, and never reused.
// They are public: whoever knows one can do nothing with it.
type (
	UserID    string
	SessionID string // the "sid" of tokens
	ClientID  string
	SecretID  string
	RequestID string
	GrantID   string
	KeyID     string // the "kid" of a signing key
)

// NewID returns 128 random bits as 22 characters of base64url, of which the
// first is never "-": an identifier is typed at the command, where that begins
// a flag.
func NewID() string {
	for {
		if id := random(16); id[0] != '-' {
			return id
		}
	}
}

// Slot names the 1,024 seconds in which now lies, Unix seconds, in four characters of
// base64url. A key that begins with it lies beside those of the same time: in a database
// of millions of rows, what is added changes a few pages and not one anywhere for each
// row. It is no finer than that because PostgreSQL undoes serializable transactions that
// read and add to the same page.
func Slot(now int64) string {
	n := now >> 10
	return base64.RawURLEncoding.EncodeToString([]byte{byte(n >> 16), byte(n >> 8), byte(n)})
}

// Secret is a value that must not be seen: a password, a cookie, a token. It
// prints and marshals as "[redacted]"; Reveal is the one way to its text.
type Secret string

// NewSecret returns prefix followed by 256 random bits as 43 characters of
// base64url. The prefix lets secret scanners find a leaked value ("ost_cs_",
// "ost_rt_", …).
func NewSecret(prefix string) Secret { return Secret(prefix + random(32)) }

// Reveal returns the secret's text.
func (s Secret) Reveal() string { return string(s) }

// Hash returns the SHA-256 of the secret in base64url: what is stored in its
// place. It suits random secrets of 128 bits and more, never passwords.
func (s Secret) Hash() string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Matches reports in constant time whether hash is that of the secret.
func (s Secret) Matches(hash string) bool {
	return subtle.ConstantTimeCompare([]byte(s.Hash()), []byte(hash)) == 1
}

const redacted = "[redacted]"

func (s Secret) String() string               { return redacted }
func (s Secret) GoString() string             { return redacted }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand aborts the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}
