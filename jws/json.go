package jws

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ostiary/ostiary/internal/strictjson"
)

// flattened is a message in JSON, RFC 7515 §7.2.2, and one of its signatures.
type flattened struct {
	Payload   *string         `json:"payload,omitempty"`
	Protected string          `json:"protected,omitempty"`
	Header    json.RawMessage `json:"header,omitempty"`
	Signature string          `json:"signature"`
}

// marshalUnprotected writes an unprotected header. RFC 7515 §7.2.1: its names are not
// in the protected one. What decides about security has no place in it at all.
func marshalUnprotected(protected Header, members map[string]any) (json.RawMessage, error) {
	if len(members) == 0 {
		return nil, nil
	}
	raw, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("%w: unprotected header: %w", ErrOptions, err)
	}
	unprotected, err := readHeader(string(raw))
	if err == nil {
		err = checkHeaders(protected, unprotected, false)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	return raw, nil
}

// checkHeaders holds the two headers of a signature against each other, RFC 7515
// §7.2.1.
func checkHeaders(protected, unprotected Header, algorithm bool) error {
	for name := range unprotected.members() {
		if _, twice := protected.Member(name); twice {
			return fmt.Errorf("%w: %.40q is in both headers", ErrMalformed, name)
		}
	}
	switch {
	case unprotected.Critical != nil || unprotected.encoding != 0: // RFC 7515 §4.1.11, RFC 7797 §3
		return fmt.Errorf("%w: crit and b64 must be protected", ErrCritical)
	case unprotected.Algorithm != "" && !algorithm:
		return fmt.Errorf("%w: alg is not protected", ErrAlgorithm)
	}
	return nil
}

// members lists the names of a header that was read before.
func (h Header) members() map[string]bool {
	names := make(map[string]bool)
	s := strictjson.New(h.raw)
	for s.Next() {
		names[s.Name()] = true
	}
	return names
}

// signed is the signature of one signer over a payload.
func (s *Signer) signed(payload []byte) (flattened, error) {
	message := append([]byte(s.prefix), s.encoded(payload)...)
	signature, err := s.key.AppendSignature(nil, s.alg, message)
	if err != nil {
		return flattened{}, fmt.Errorf("jws: %w", err)
	}
	return flattened{
		Protected: strings.TrimSuffix(s.prefix, "."), Header: s.unprotected,
		Signature: base64.RawURLEncoding.EncodeToString(signature),
	}, nil
}

// encoded is the payload as it is signed.
func (s *Signer) encoded(payload []byte) []byte {
	if s.header.encoding == unencoded {
		return payload
	}
	return base64.RawURLEncoding.AppendEncode(nil, payload)
}

// inJSON is the payload as it stands in a message in JSON: text, so an unencoded one
// must be UTF-8.
func (s *Signer) inJSON(payload []byte) (*string, error) {
	text := string(s.encoded(payload))
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("%w: an unencoded payload that is not UTF-8 must be detached", ErrOptions)
	}
	return &text, nil
}

// signOdd is Sign for the options that few need.
func (s *Signer) signOdd(payload []byte) (string, error) {
	// RFC 7797 §5.2: what a URL or a log would not leave as it is.
	if s.header.encoding == unencoded && bytes.ContainsFunc(payload, func(r rune) bool { return r < ' ' || r > '~' || r == '.' }) {
		return "", fmt.Errorf("%w: an unencoded payload in compact serialization is printable ASCII without dots", ErrOptions)
	}
	if s.unprotected != nil {
		return "", fmt.Errorf("%w: the compact serialization has no unprotected header", ErrOptions)
	}
	one, err := s.signed(payload)
	if err != nil {
		return "", err
	}
	return s.prefix + string(s.encoded(payload)) + "." + one.Signature, nil
}

// SignDetached signs a payload that travels by another way, RFC 7515 appendix F: the
// message has an empty part where the payload would be.
func (s *Signer) SignDetached(payload []byte) (string, error) {
	if s.unprotected != nil {
		return "", fmt.Errorf("%w: the compact serialization has no unprotected header", ErrOptions)
	}
	one, err := s.signed(payload)
	if err != nil {
		return "", err
	}
	return s.prefix + "." + one.Signature, nil
}

// SignJSON signs a payload and returns it in flattened JSON serialization, RFC 7515
// §7.2.2.
func (s *Signer) SignJSON(payload []byte) ([]byte, error) {
	one, err := s.signed(payload)
	if err != nil {
		return nil, err
	}
	if one.Payload, err = s.inJSON(payload); err != nil {
		return nil, err
	}
	return marshalMessage(one)
}

// SignJSONDetached is SignJSON without the payload.
func (s *Signer) SignJSONDetached(payload []byte) ([]byte, error) {
	one, err := s.signed(payload)
	if err != nil {
		return nil, err
	}
	return marshalMessage(one)
}

// SignAll signs a payload with several signers and returns it in general JSON
// serialization, RFC 7515 §7.2.1. Either all signers encode the payload or none does
// (RFC 7797 §3).
func SignAll(payload []byte, signers ...*Signer) ([]byte, error) {
	if len(signers) == 0 || len(signers) > maxSignatures {
		return nil, fmt.Errorf("%w: %d signers; from 1 to %d can sign one message", ErrOptions, len(signers), maxSignatures)
	}
	var general struct {
		Payload    *string     `json:"payload"`
		Signatures []flattened `json:"signatures"`
	}
	for _, s := range signers {
		if (s.header.encoding == unencoded) != (signers[0].header.encoding == unencoded) {
			return nil, fmt.Errorf("%w: b64 must be the same in all signatures", ErrOptions)
		}
		one, err := s.signed(payload)
		if err != nil {
			return nil, err
		}
		general.Signatures = append(general.Signatures, one)
	}
	var err error
	if general.Payload, err = signers[0].inJSON(payload); err != nil {
		return nil, err
	}
	return marshalMessage(general)
}

// marshalMessage writes JSON without the escapes for HTML.
func marshalMessage(message any) ([]byte, error) {
	var buffer bytes.Buffer
	e := json.NewEncoder(&buffer)
	e.SetEscapeHTML(false)
	if err := e.Encode(message); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	return bytes.TrimSpace(buffer.Bytes()), nil
}
