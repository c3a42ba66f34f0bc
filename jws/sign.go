package jws

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// SignOptions are what a header says beside the name of the key. All may be
// left out.
type SignOptions struct {
	// Algorithm is the "alg" member. "" means the key's own: the one that it is
	// bound to, or the default of its type (HS256, RS256, ES256, ES384, ES512,
	// EdDSA).
	Algorithm jwa.Algorithm

	// KeyID is the "kid" member. "" means that of the key, if it has one.
	KeyID string

	// Type is the "typ" member, RFC 7515 §4.1.9; "" leaves it out.
	Type string

	// ContentType is the "cty" member, RFC 7515 §4.1.10; "" leaves it out.
	ContentType string

	// Header has further members, which must not be "alg", "kid", "typ" or "cty".
	// Values are marshalled by encoding/json.
	Header map[string]any

	// Critical is the "crit" member: names of members of Header that a
	// recipient must understand, RFC 7515 §4.1.11.
	Critical []string

	// Unencoded signs the payload as it is, RFC 7797: "b64" is false, and critical.
	// In compact serialization such a payload is printable ASCII without dots, or
	// detached.
	Unencoded bool

	// Unprotected is the unprotected header of messages in JSON, RFC 7515 §7.2.1,
	// whose members must not be in the protected header, nor change what it means.
	Unprotected map[string]any
}

// A Signer signs messages with one key and one header. It is built once and is
// safe for concurrent use.
type Signer struct {
	key    *jwk.Key
	alg    jwa.Algorithm
	prefix string // the encoded header and its dot
	header Header

	unprotected json.RawMessage
}

// NewSigner makes a signer. It returns ErrKey if the key cannot sign or is not
// for the algorithm, and ErrOptions if the options are at fault.
func NewSigner(key *jwk.Key, o SignOptions) (*Signer, error) {
	alg, err := algorithmOf(key, o.Algorithm)
	if err != nil {
		return nil, err
	}
	if o.KeyID == "" {
		o.KeyID = key.ID()
	}
	understood := o.Critical
	if o.Unencoded {
		o.Critical = append(slices.Clip(o.Critical), "b64")
		understood = o.Critical
	}
	raw, err := marshalHeader(alg, o)
	if err != nil {
		return nil, err
	}
	header, err := parseHeader(string(raw))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	if err := checkCritical(header, understood); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	unprotected, err := marshalUnprotected(header, o.Unprotected)
	if err != nil {
		return nil, err
	}
	return &Signer{key: key, alg: alg, prefix: base64.RawURLEncoding.EncodeToString(raw) + ".", header: header, unprotected: unprotected}, nil
}

// algorithmOf returns the algorithm to sign with: the one asked for if the key
// does it, or else the key's first.
func algorithmOf(key *jwk.Key, asked jwa.Algorithm) (jwa.Algorithm, error) {
	if key == nil {
		return "", fmt.Errorf("%w: no key to sign with", ErrKey)
	}
	own := key.Algorithms()
	switch {
	case !key.Private():
		return "", &MismatchError{Algorithm: asked, Key: key, kind: ErrKey}
	case asked != "" && !slices.Contains(own, asked):
		return "", &MismatchError{Algorithm: asked, Key: key, kind: ErrKey}
	case len(own) == 0:
		return "", fmt.Errorf("%w: the key is not for signatures: %v", ErrKey, key)
	case asked == "":
		return own[0], nil
	}
	return asked, nil
}

// marshalHeader writes the header, "alg" first and the members of o.Header in
// the order of their names, so that equal options make equal bytes.
func marshalHeader(alg jwa.Algorithm, o SignOptions) ([]byte, error) {
	raw := []byte(`{"alg":`)
	raw, err := appendJSON(raw, string(alg))
	if err != nil {
		return nil, err
	}
	for _, member := range []struct{ name, value string }{{"typ", o.Type}, {"cty", o.ContentType}, {"kid", o.KeyID}} {
		if member.value == "" {
			continue
		}
		raw = append(append(raw, `,"`...), member.name...)
		if raw, err = appendJSON(append(raw, `":`...), member.value); err != nil {
			return nil, err
		}
	}
	if o.Critical != nil {
		if raw, err = appendJSON(append(raw, `,"crit":`...), o.Critical); err != nil {
			return nil, err
		}
	}
	if o.Unencoded {
		raw = append(raw, `,"b64":false`...)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Header)) {
		switch name {
		case "alg", "kid", "typ", "cty", "crit":
			return nil, fmt.Errorf("%w: the header member %q has an option of its own", ErrOptions, name)
		case "b64":
			return nil, fmt.Errorf("%w: the header member b64 has the option Unencoded", ErrOptions)
		}
		if raw, err = appendJSON(append(raw, ','), name); err != nil {
			return nil, err
		}
		if raw, err = appendJSON(append(raw, ':'), o.Header[name]); err != nil {
			return nil, err
		}
	}
	return append(raw, '}'), nil
}

func appendJSON(dst []byte, value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrOptions, err)
	}
	return append(dst, text...), nil
}

// Sign signs one payload; see [NewSigner] for the errors. Whoever signs more than
// one should keep a [Signer].
func Sign(payload []byte, key *jwk.Key, o SignOptions) (string, error) {
	s, err := NewSigner(key, o)
	if err != nil {
		return "", err
	}
	return s.Sign(payload)
}

// Header returns the header that the signer writes.
func (s *Signer) Header() Header { return s.header }

// Sign signs a payload and returns it in compact serialization, RFC 7515 §7.1. It
// fails if the key does, when a crypto.Signer cannot be reached, and with ErrOptions
// if the options are not for this serialization.
func (s *Signer) Sign(payload []byte) (string, error) {
	if s.header.encoding != 0 || s.unprotected != nil {
		return s.signOdd(payload)
	}
	scratch := scratches.Get().(*scratch)
	defer scratch.release()
	message := append(scratch.message[:0], s.prefix...)
	message = base64.RawURLEncoding.AppendEncode(message, payload)
	signature, err := s.key.AppendSignature(scratch.signature[:0], s.alg, message)
	if err != nil {
		return "", fmt.Errorf("jws: %w", err)
	}
	message = base64.RawURLEncoding.AppendEncode(append(message, '.'), signature)
	scratch.message = message
	return string(message), nil
}
