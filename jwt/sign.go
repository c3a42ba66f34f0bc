package jwt

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// SignOptions says what is added to the claims and to the header. A claim that
// is given here must not be in the claims as well, but for "iat".
type SignOptions struct {
	// Algorithm is the "alg" of the header. "" means the key's own.
	Algorithm jwa.Algorithm

	// Type is the "typ" of the header. "" means "JWT".
	Type string

	// KeyID is the "kid" of the header. "" means that of the key, if it has one.
	KeyID string

	// Header has further members of the header. "alg", "kid", "typ" and "crit"
	// are not among them: they follow from the key and the options.
	Header map[string]any

	// ExpiresIn sets "exp" and NotBefore sets "nbf", counted from "iat"; 0 sets
	// none. ParseDuration reads "2 days".
	ExpiresIn, NotBefore time.Duration

	Issuer   string   // sets "iss", unless it is ""
	Subject  string   // sets "sub", unless it is ""
	ID       string   // sets "jti", unless it is ""
	Audience []string // sets "aud", unless it is empty

	// NoTimestamp leaves "iat" out, and takes it out if the claims have one.
	// Otherwise "iat" is what the claims say, or else the present time.
	NoTimestamp bool

	// MutatePayload writes what was added into the claims of the caller as well,
	// which must be a map[string]any or a pointer to a struct.
	MutatePayload bool

	// InsecureKeySizes signs with an RSA key of less than 2048 bits, made with
	// jwk.Params.InsecureSize.
	InsecureKeySizes bool

	Now func() time.Time // the clock; nil means time.Now
}

// A Signer signs tokens with one key and one set of options. It is built once and
// is safe for concurrent use.
type Signer struct {
	signatures *jws.Signer
	key        *jwk.Key
	options    SignOptions
	fixed      []fixedClaim // Issuer, Subject, ID and Audience
	textType   string       // the "typ" of a token that is not one of claims
}

// NewSigner makes a signer. It returns ErrKey if the key cannot sign or does not do
// the algorithm, and ErrOptions for options that make no sense.
func NewSigner(key *jwk.Key, o SignOptions) (*Signer, error) {
	textType := o.Type
	if o.Type == "" {
		o.Type = "JWT" // RFC 7519 §5.1
	}
	if o.ExpiresIn < 0 {
		return nil, invalid(ErrOptions, "ExpiresIn must not be negative")
	}
	signatures, err := o.signer(key, o.Type)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Signer{signatures: signatures, key: key, options: o, textType: textType}
	if err := s.fix(); err != nil {
		return nil, err
	}
	return s, nil
}

// minRSABits is what RSA keys sign with unless InsecureKeySizes is set, RFC 7518
// §3.3.
const minRSABits = 2048

// signer makes the signer of package jws, and says in the words of jsonwebtoken what
// is wrong with the key.
func (o *SignOptions) signer(key *jwk.Key, typ string) (*jws.Signer, error) {
	if errors.Is(o.Algorithm.Check(), jwa.ErrUnknown) && o.Algorithm != "" && o.Algorithm != unsecured {
		return nil, invalid(ErrKey, `"algorithm" must be a valid string enum value`)
	}
	if key == nil {
		return nil, invalid(ErrKey, "secretOrPrivateKey must have a value")
	}
	header, contentType := o.Header, ""
	if text, ok := header["cty"].(string); ok {
		header, contentType = maps.Clone(header), text
		delete(header, "cty")
	}
	signatures, err := jws.NewSigner(key, jws.SignOptions{Algorithm: o.Algorithm, KeyID: o.KeyID, Type: typ, ContentType: contentType, Header: header})
	var mismatch *jws.MismatchError
	if errors.As(err, &mismatch) {
		message := describeMismatch("secretOrPrivateKey", mismatch)
		if row, _ := rowOf(o.Algorithm); !key.Private() && row.KeyType == key.Type() {
			message = "secretOrPrivateKey must be an asymmetric key when using " + string(o.Algorithm)
		}
		return nil, &JSONWebTokenError{Message: message, Kind: ErrKey, Cause: err}
	}
	if err != nil {
		return nil, fromSignature(err)
	}
	if alg := signatures.Header().Algorithm; key.Type() == jwa.RSA && key.Bits() < minRSABits && !o.InsecureKeySizes {
		return nil, invalid(ErrKey, "secretOrPrivateKey has a minimum key size of 2048 bits for %s", alg)
	}
	return signatures, nil
}

// Sign makes one token; see [Signer.Sign] for the errors, to which those of
// [NewSigner] are added. Whoever signs more than one should keep a [Signer].
func Sign(claims any, key *jwk.Key, o SignOptions) (string, error) {
	s, err := NewSigner(key, o)
	if err != nil {
		return "", err
	}
	return s.Sign(claims)
}

// Sign makes a token of claims: a struct, a map, or JSON text as
// json.RawMessage or []byte; nil stands for no claims beside those of the options.
// They must be one JSON object in which no name appears twice and "exp", "nbf"
// and "iat" are numbers. It returns ErrClaims if they are not, or if the options
// set a claim that is there already, and the error of a crypto.Signer that fails.
//
// A string is signed as it is: it gets no claims, and no "typ" unless Type is set.
// Options that would add claims are then ErrOptions. To sign claims that are JSON
// text in a string, convert it to []byte.
func (s *Signer) Sign(claims any) (string, error) {
	if text, ok := claims.(string); ok {
		return s.signText(text)
	}
	buffer := payloads.Get().(*[]byte)
	defer keepPayload(buffer)
	payload, err := s.payload((*buffer)[:0], claims)
	*buffer = payload
	if err != nil {
		return "", err
	}
	token, err := s.signatures.Sign(payload)
	if err != nil {
		return "", fromSignature(err)
	}
	if s.options.MutatePayload {
		if err := mutate(claims, string(payload), s.options.NoTimestamp); err != nil {
			return "", err
		}
	}
	return token, nil
}

// signText signs a payload that is not claims.
func (s *Signer) signText(text string) (string, error) {
	if err := s.options.checkText(); err != nil {
		return "", err
	}
	signatures, err := s.options.signer(s.key, s.textType)
	if err != nil {
		return "", err
	}
	token, err := signatures.Sign([]byte(text))
	if err != nil {
		return "", fromSignature(err)
	}
	return token, nil
}

// checkText refuses the options that mean nothing for a payload that is not claims.
func (o *SignOptions) checkText() error {
	var names []string
	for _, option := range []struct {
		name string
		set  bool
	}{
		{"expiresIn", o.ExpiresIn != 0}, {"notBefore", o.NotBefore != 0}, {"noTimestamp", o.NoTimestamp},
		{"audience", len(o.Audience) != 0}, {"issuer", o.Issuer != ""}, {"subject", o.Subject != ""}, {"jwtid", o.ID != ""},
	} {
		if option.set {
			names = append(names, option.name)
		}
	}
	if names != nil {
		return invalid(ErrOptions, "invalid %s option for string payload", strings.Join(names, ","))
	}
	return nil
}

// encoders write claims, with their buffers kept for the next.
var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.json = json.NewEncoder(&e.buffer)
	e.json.SetEscapeHTML(false) // a token is not a page, and "&" is one byte
	return e
}}

type encoder struct {
	buffer bytes.Buffer
	json   *json.Encoder
}

// appendClaims appends claims as JSON text that begins and ends with a brace, if they
// are an object.
func appendClaims(dst []byte, claims any) ([]byte, error) {
	switch c := claims.(type) {
	case nil:
		return append(dst, "{}"...), nil
	case json.RawMessage:
		return append(dst, bytes.TrimSpace(c)...), nil
	case []byte:
		return append(dst, bytes.TrimSpace(c)...), nil
	}
	e := encoders.Get().(*encoder)
	e.buffer.Reset()
	if err := e.json.Encode(claims); err != nil {
		// The encoder is dropped: it keeps errors of its writer, and should
		// not be asked whether this was one.
		return dst, &JSONWebTokenError{Message: "the payload cannot be written as JSON", Kind: ErrClaims, Cause: err}
	}
	dst = append(dst, bytes.TrimSpace(e.buffer.Bytes())...)
	if e.buffer.Cap() <= maxKeptPayload {
		encoders.Put(e)
	}
	return dst, nil
}
