// Package jwe encrypts bytes and decrypts them: JSON Web Encryption, RFC 7516,
// with all the algorithms of RFC 7518 but RSA1_5, in the compact and in the JSON
// serialization.
//
// A decrypter is told which algorithms it accepts and where its keys are; the
// header of a message chooses among them and nothing more. The checks are made in
// one fixed order, written down in decrypt.go. Whatever is wrong with a key or a
// text that was encrypted gives the same error after the same work.
//
// That a message decrypts says that nobody has changed it, and not who wrote it:
// anybody can encrypt to a public key. Who wants to know signs first, with package
// jws or jwt, and encrypts the result. Package jwe never takes an encrypted
// message for a signed one, and does not know what is encrypted.
package jwe

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
	// ErrMalformed: the text is no JWE, its header is not strict JSON, or a
	// parameter that the algorithms need is missing or has the wrong form.
	ErrMalformed = errors.New("jwe: malformed")
	// ErrTooLong: the text is longer than MaxSize. It wraps ErrMalformed.
	ErrTooLong = fmt.Errorf("%w: too long", ErrMalformed)
	// ErrCritical: the header marks an extension critical that is not
	// understood, or marks what cannot be one.
	ErrCritical = errors.New("jwe: critical extension not understood")
	// ErrAlgorithm: an algorithm is not among those accepted, or not one of the
	// key's.
	ErrAlgorithm = errors.New("jwe: algorithm not accepted")
	// ErrCompression: the message is compressed, and that was not asked for; or
	// what it expands to exceeds the limits.
	ErrCompression = errors.New("jwe: compression not accepted")
	// ErrTooCostly: the message asks for more work than is accepted: too many
	// iterations on a password, or too many keys to try.
	ErrTooCostly = errors.New("jwe: too much work")
	// ErrRecipients: the message has more recipients than are accepted.
	ErrRecipients = errors.New("jwe: too many recipients")
	// ErrUnprotected: the message has a header that nothing protects, and that
	// was not asked for.
	ErrUnprotected = errors.New("jwe: unprotected header not accepted")
	// ErrKey: there is no key for this message.
	ErrKey = errors.New("jwe: no key for this message")
	// ErrDecryption: the message was not encrypted to this key, or was changed.
	// Nothing tells which.
	ErrDecryption = errors.New("jwe: decryption failed")
	// ErrExhausted: one key has encrypted as many messages as AES-GCM permits.
	ErrExhausted = errors.New("jwe: key used too often")
	// ErrOptions: the options contradict themselves or the key.
	ErrOptions = errors.New("jwe: invalid options")
)

// A Message is a message that has been decrypted.
type Message struct {
	Header    Header
	Plaintext []byte
	Key       *jwk.Key // the key that it was decrypted with

	// AdditionalData is the "aad" member of a message in JSON serialization: it
	// was sent in clear and has not been changed. Nil if there was none.
	AdditionalData []byte

	// Recipient is the place of the recipient among those of the message,
	// counted from 0.
	Recipient int
}

// Header is the header of an encrypted message, RFC 7516 §4.1.
//
// All of it is protected by the message, unless DecryptOptions.UnprotectedHeader
// permits otherwise. Then everything but Critical and Compression may come from a
// part that anybody could change on the way.
type Header struct {
	Algorithm   jwa.Algorithm  // "alg": how the key was encrypted
	Encryption  jwa.Encryption // "enc": how the content was encrypted
	KeyID       string         // "kid"
	Type        string         // "typ"
	ContentType string         // "cty"
	Compression string         // "zip": "DEF" or nothing
	Critical    []string       // "crit"

	parameters parameters
	protected  string // the JSON text; "" if there is no protected header
	shared     string // the same of the shared unprotected header
	own        string // the same of the recipient's unprotected header
}

// Member returns the JSON text of any member of the protected header, and false
// if that has none by the name. Names are compared exactly.
func (h Header) Member(name string) (json.RawMessage, bool) {
	return memberOf(h.protected, name)
}

// UnprotectedMember returns the JSON text of any member of the header outside the
// protected part, and false if there is none by that name. Anybody could have put
// it there.
func (h Header) UnprotectedMember(name string) (json.RawMessage, bool) {
	if member, ok := memberOf(h.own, name); ok {
		return member, true
	}
	return memberOf(h.shared, name)
}

func memberOf(text, name string) (json.RawMessage, bool) {
	if text == "" {
		return nil, false
	}
	value, err := strictjson.Find(text, name)
	if err != nil || value.Kind() == 0 {
		return nil, false
	}
	return json.RawMessage(value.Raw()), true
}

// MarshalJSON returns the protected header as it stands in the message.
func (h Header) MarshalJSON() ([]byte, error) {
	if h.protected == "" {
		return []byte("{}"), nil
	}
	return []byte(h.protected), nil
}
