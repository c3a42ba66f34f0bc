package jwt

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/strictjson"
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

	// Header has further members of the header. "alg", "kid", "typ" and "crit"
	// are not among them: they follow from the key and the options.
	Header map[string]any

	ExpiresIn time.Duration // sets "exp", counted from "iat"; 0 sets none
	NotBefore time.Duration // sets "nbf", counted from "iat"; 0 sets none
	Issuer    string        // sets "iss", unless it is ""
	Subject   string        // sets "sub", unless it is ""
	ID        string        // sets "jti", unless it is ""
	Audience  []string      // sets "aud", unless it is empty

	// NoTimestamp leaves "iat" out, and takes it out if the claims have one.
	// Otherwise "iat" is what the claims say, or else the present time.
	NoTimestamp bool

	Now func() time.Time // the clock; nil means time.Now
}

// A Signer signs tokens with one key and one set of options. It is built once and
// is safe for concurrent use.
type Signer struct {
	signatures *jws.Signer
	options    SignOptions
	fixed      []fixedClaim // Issuer, Subject, ID and Audience
	room       int          // in bytes, for all that is added to the claims
}

// NewSigner makes a signer. It returns ErrKey if the key cannot sign or does not do
// the algorithm, and ErrOptions for options that make no sense.
func NewSigner(key *jwk.Key, o SignOptions) (*Signer, error) {
	if o.Type == "" {
		o.Type = "JWT" // RFC 7519 §5.1
	}
	if o.ExpiresIn < 0 {
		return nil, invalid(ErrOptions, "ExpiresIn must not be negative")
	}
	if key == nil {
		return nil, invalid(ErrKey, "secretOrPrivateKey must have a value")
	}
	signatures, err := jws.NewSigner(key, jws.SignOptions{Algorithm: o.Algorithm, Type: o.Type, Header: o.Header})
	if err != nil {
		return nil, fromSignature(err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Signer{signatures: signatures, options: o}
	if err := s.fix(); err != nil {
		return nil, err
	}
	return s, nil
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
func (s *Signer) Sign(claims any) (string, error) {
	text, err := marshalClaims(claims)
	if err != nil {
		return "", err
	}
	payload, err := s.complete(text)
	if err != nil {
		return "", err
	}
	token, err := s.signatures.Sign(payload)
	if err != nil {
		return "", fromSignature(err)
	}
	return token, nil
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

// marshalClaims turns the claims into JSON text that begins and ends with a brace.
func marshalClaims(claims any) (string, error) {
	switch c := claims.(type) {
	case nil:
		return "{}", nil
	case json.RawMessage:
		return string(bytes.TrimSpace(c)), nil
	case []byte:
		return string(bytes.TrimSpace(c)), nil
	}
	e := encoders.Get().(*encoder)
	e.buffer.Reset()
	if err := e.json.Encode(claims); err != nil {
		// The encoder is dropped: it keeps errors of its writer, and should
		// not be asked whether this was one.
		return "", &JSONWebTokenError{Message: "the payload cannot be written as JSON", Kind: ErrClaims, Cause: err}
	}
	text := string(bytes.TrimSpace(e.buffer.Bytes()))
	if e.buffer.Cap() <= maxKeptPayload {
		encoders.Put(e)
	}
	return text, nil
}

// complete adds the claims of the options to the claims of the caller, and
// refuses those that would then be there twice.
func (s *Signer) complete(text string) ([]byte, error) {
	registered, err := scanClaims(text, nil)
	if errors.Is(err, ErrMalformed) {
		return nil, &JSONWebTokenError{Message: "the payload must be a JSON object", Kind: ErrClaims, Cause: err}
	}
	if err != nil {
		return nil, err
	}
	o := &s.options
	now := o.Now()
	if registered.has(claimIssuedAt) {
		now = registered.issuedAt
	}
	p := payload{present: registered.present, text: make([]byte, 0, len(text)+s.room)}
	if o.NoTimestamp && registered.has(claimIssuedAt) {
		p.text = appendWithout(p.text, text, "iat")
	} else {
		p.text = append(p.text, text[:len(text)-1]...)
	}
	if !o.NoTimestamp && !registered.has(claimIssuedAt) {
		p.date(claimIssuedAt, "iat", "", now)
	}
	if o.ExpiresIn != 0 {
		p.date(claimExpiresAt, "exp", "expiresIn", now.Add(o.ExpiresIn))
	}
	if o.NotBefore != 0 {
		p.date(claimNotBefore, "nbf", "notBefore", now.Add(o.NotBefore))
	}
	for _, fixed := range s.fixed {
		if p.begin(fixed.claim, fixed.name, fixed.option) {
			p.text = append(p.text, fixed.value...)
		}
	}
	return append(p.text, '}'), p.err
}

// fixedClaim is a claim that is the same in every token of a signer.
type fixedClaim struct {
	claim        int
	name, option string // the option in the words of jsonwebtoken
	value        []byte // as JSON
}

// fix encodes the claims of the options once for all tokens.
func (s *Signer) fix() error {
	o := &s.options
	for _, c := range []struct {
		claim        int
		name, option string
		set          bool
		value        any
	}{
		{claimAudience, "aud", "audience", len(o.Audience) != 0, Audience(o.Audience)},
		{claimIssuer, "iss", "issuer", o.Issuer != "", o.Issuer},
		{claimSubject, "sub", "subject", o.Subject != "", o.Subject},
		{claimID, "jti", "jwtid", o.ID != "", o.ID},
	} {
		if !c.set {
			continue
		}
		value, err := json.Marshal(c.value)
		if err != nil {
			return &JSONWebTokenError{Message: "jwt options invalid", Kind: ErrOptions, Cause: err}
		}
		s.fixed = append(s.fixed, fixedClaim{c.claim, c.name, c.option, value})
		s.room += len(value) + 8
	}
	s.room += 64 // for the dates
	return nil
}

// payload is a JSON object that is still open.
type payload struct {
	text    []byte
	present int
	err     error
}

func (p *payload) date(claim int, name, option string, t time.Time) {
	if p.begin(claim, name, option) {
		p.text = strconv.AppendInt(p.text, t.Unix(), 10)
	}
}

// begin writes the name of a claim, unless the caller's claims have it too.
func (p *payload) begin(claim int, name, option string) bool {
	if p.present&claim != 0 {
		if p.err == nil {
			words := `Bad "options.%s" option. The payload already has an "%s" property.`
			if claim == claimExpiresAt || claim == claimNotBefore { // so it is in jsonwebtoken
				words = `Bad "options.%s" option the payload already has an "%s" property.`
			}
			p.err = invalid(ErrClaims, words, option, name)
		}
		return false
	}
	if len(bytes.TrimRight(p.text, " \t\r\n")) > 1 {
		p.text = append(p.text, ',')
	}
	p.text = append(append(p.text, '"'), name...)
	p.text = append(p.text, `":`...)
	return true
}

// appendWithout appends an object that has been validated, but for one member,
// and leaves it open.
func appendWithout(dst []byte, text, name string) []byte {
	dst = append(dst, '{')
	s := strictjson.New(text)
	for s.Next() {
		if s.Name() == name {
			continue
		}
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		start, end := s.Span()
		dst = append(dst, text[start:end]...)
	}
	return dst
}
