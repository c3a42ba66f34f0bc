package jws

import (
	"context"
	"fmt"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// A KeyFunc finds the keys to verify with by the whole header. It is a
// [jwk.Source] for callers whose keys depend on more than "kid". The header has
// been read and not verified: it was chosen by whoever made the message. Its values
// may be compared, and nothing else. The rules of [jwk.Source] hold: return trusted
// keys, or an error that wraps jwk.ErrNotFound or jwk.ErrUnavailable.
type KeyFunc func(ctx context.Context, header Header) ([]*jwk.Key, error)

// Find calls the function with a header of which only "kid" is known.
func (f KeyFunc) Find(ctx context.Context, kid string) ([]*jwk.Key, error) {
	return f(ctx, Header{KeyID: kid})
}

var _ jwk.Source = KeyFunc(nil)

// A MismatchError is an algorithm and a key that do not go together. It wraps
// ErrAlgorithm when verifying, and ErrKey when signing.
type MismatchError struct {
	Algorithm jwa.Algorithm
	Key       *jwk.Key

	kind error
}

// Error names the algorithm and describes the key without its material.
func (e *MismatchError) Error() string {
	if e.kind == ErrKey && e.Key != nil && !e.Key.Private() {
		return fmt.Sprintf("%v: a public key cannot sign: %v", e.kind, e.Key)
	}
	return fmt.Sprintf("%v: the key does not do %.40q: %v", e.kind, string(e.Algorithm), e.Key)
}

// Unwrap returns the kind of the error.
func (e *MismatchError) Unwrap() error { return e.kind }
