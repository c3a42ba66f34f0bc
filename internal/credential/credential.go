// Package credential owns what people prove themselves with, as cryptography
// alone: passwords and their hashes, passkeys, codes by the time, recovery codes.
//
// It never stores anything, knows no rule about when a proof is wanted, and never
// speaks HTTP. What is compared is compared in constant time, and whatever costs
// memory or much time is done in a bounded number of places at once.
package credential

import (
	"crypto/rand"
	"errors"
)

var (
	// ErrWrong says that a credential is not the right one.
	ErrWrong = errors.New("the credential is wrong")
	// ErrBusy says that too many passwords are being checked; later it works.
	ErrBusy = errors.New("too many sign-ins at once")
)

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand aborts the program instead
	return b
}
