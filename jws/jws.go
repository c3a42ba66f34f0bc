// Package jws signs bytes and verifies signed bytes: JSON Web Signature, RFC 7515,
// in the compact and the JSON serializations, with detached and with unencoded
// payload (RFC 7797).
//
// A verifier is told which algorithms it accepts and where its keys are; the
// header of a token chooses among them and nothing more. The checks are made in
// one fixed order, written down in verify.go, and the payload is decoded after
// the signature has been verified and not before. "none" is no algorithm, keys in
// the header ("jwk", "x5c") and addresses of keys ("jku", "x5u") are ignored, and
// extensions marked critical are refused unless the caller names them.
//
// Package jws does not know what is signed; for claims, use package jwt.
package jws

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ostiary/ostiary/internal/strictjson"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// Errors that the functions of this package wrap.
var (
	// ErrMalformed: the text is no compact JWS, or its header is not strict JSON.
	ErrMalformed = errors.New("jws: malformed")
	// ErrParts: the text does not have three parts. It wraps ErrMalformed.
	ErrParts = fmt.Errorf("%w: not three parts", ErrMalformed)
	// ErrTooLong: the text is longer than MaxSize. It wraps ErrMalformed.
	ErrTooLong = fmt.Errorf("%w: too long", ErrMalformed)
	// ErrUnsigned: the signature part is empty. It wraps ErrSignature.
	ErrUnsigned = fmt.Errorf("%w: it is missing", ErrSignature)
	// ErrCritical: the header marks an extension critical that is not
	// understood, or marks what cannot be one.
	ErrCritical = errors.New("jws: critical extension not understood")
	// ErrAlgorithm: the algorithm is not among those accepted.
	ErrAlgorithm = errors.New("jws: algorithm not accepted")
	// ErrKey: there is no key for this token.
	ErrKey = errors.New("jws: no key for this token")
	// ErrSignature: the signature does not match.
	ErrSignature = errors.New("jws: invalid signature")
	// ErrOptions: the options contradict themselves or the key.
	ErrOptions = errors.New("jws: invalid options")
)

// A Message is a signed message that has been verified.
type Message struct {
	Header  Header
	Payload []byte
	Key     *jwk.Key // the key that it was verified with

	// Signature is the signature as it stands in the message, in base64url.
	Signature string

	// Unprotected is the unprotected header of a message in JSON, RFC 7515 §7.2.1, as
	// it stands there. Nobody has vouched for a byte of it.
	Unprotected json.RawMessage
}

// Header is the protected header of a signed message, RFC 7515 §4.1.
type Header struct {
	Algorithm   jwa.Algorithm // "alg"
	KeyID       string        // "kid"
	Type        string        // "typ"
	ContentType string        // "cty"
	Critical    []string      // "crit"

	raw      string // the JSON text
	encoding encoding
}

// encoding is what a header says of its payload in "b64", RFC 7797 §3.
type encoding uint8

const (
	saidEncoded encoding = iota + 1 // true, which is what no "b64" at all means
	unencoded                       // false: the payload is signed as it is
)

// Member returns the JSON text of any member of the header, and false if it has
// none by that name. Names are compared exactly.
//
// A header that was verified has not become trustworthy in all that it says:
// addresses and keys in it are still those of whoever signed.
func (h Header) Member(name string) (json.RawMessage, bool) {
	value, err := strictjson.Find(h.raw, name)
	if err != nil || value.Kind() == 0 {
		return nil, false
	}
	return json.RawMessage(value.Raw()), true
}

// MarshalJSON returns the header as it stands in the message.
func (h Header) MarshalJSON() ([]byte, error) {
	if h.raw == "" {
		return []byte("{}"), nil
	}
	return []byte(h.raw), nil
}
