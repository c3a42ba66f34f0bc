package jws

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ostiary/ostiary/internal/strictjson"
)

// maxSignatures is how many signatures of one message are looked at. Each costs a
// verification.
const maxSignatures = 16

// A Signed is one signature of a message in JSON: either Err is nil, and the Message
// is what was verified, or the Message is zero.
type Signed struct {
	Message Message
	Err     error
}

// VerifyDetached verifies a message in compact serialization whose payload came by
// another way, RFC 7515 appendix F. A message that brings a payload along is refused
// with ErrMalformed: which of the two would be meant?
func (v *Verifier) VerifyDetached(ctx context.Context, message string, payload []byte) (Message, error) {
	parts, err := cut(message, v.options.MaxSize)
	if err != nil {
		return Message{}, err
	}
	if parts.second != parts.first+1 {
		return Message{}, fmt.Errorf("%w: a detached message with a payload", ErrMalformed)
	}
	p := part{protected: message[:parts.first], signature: message[parts.second+1:]}
	return v.verifyPart(ctx, p, payloadOf{raw: payload, detached: true})
}

// VerifyJSON verifies a message in JSON serialization, flattened or general, RFC 7515
// §7.2, that has exactly one signature. The errors are those of [Verifier.Verify].
// The header of the Message is the protected one.
func (v *Verifier) VerifyJSON(ctx context.Context, message []byte) (Message, error) {
	return v.verifyOnly(ctx, message, nil)
}

// VerifyJSONDetached is VerifyJSON for a message whose payload came by another way. A
// message that brings a payload along is refused with ErrMalformed.
func (v *Verifier) VerifyJSONDetached(ctx context.Context, message, payload []byte) (Message, error) {
	return v.verifyOnly(ctx, message, &payloadOf{raw: payload, detached: true})
}

func (v *Verifier) verifyOnly(ctx context.Context, message []byte, detached *payloadOf) (Message, error) {
	parts, payload, err := v.readJSON(message, detached)
	if err != nil {
		return Message{}, err
	}
	if len(parts) != 1 {
		return Message{}, fmt.Errorf("%w: %d signatures where one belongs; VerifyAll tells them apart", ErrMalformed, len(parts))
	}
	return v.verifyPart(ctx, parts[0], payload)
}

// VerifyAll verifies each signature of a message in JSON serialization by itself, at
// most 16, and says of each what became of it. The error is that of the message as a
// whole. Whether one good signature is enough, or which must be there, is for the
// caller to say; a message with no good signature at all is no error here.
func (v *Verifier) VerifyAll(ctx context.Context, message []byte) ([]Signed, error) {
	parts, payload, err := v.readJSON(message, nil)
	if err != nil {
		return nil, err
	}
	all := make([]Signed, len(parts))
	for i, p := range parts {
		all[i].Message, all[i].Err = v.verifyPart(ctx, p, payload)
	}
	// RFC 7797 §3: the payload means one thing to all who signed it.
	for i := range all {
		if all[i].Err == nil && slices.ContainsFunc(all[:i], func(o Signed) bool {
			return o.Err == nil && o.Message.Header.encoding != all[i].Message.Header.encoding
		}) {
			return nil, fmt.Errorf("%w: b64 is not the same in all signatures", ErrMalformed)
		}
	}
	return all, nil
}

// part is one signature with its headers, as they stand in a message.
type part struct {
	protected, unprotected, signature string
}

// payloadOf is the payload of a message: the text of it, or the bytes that came by
// another way.
type payloadOf struct {
	text     string
	raw      []byte
	detached bool
}

// under is the payload as it was signed under a header, and what it means.
func (p *payloadOf) under(h Header) (signed, plain []byte) {
	switch {
	case p.detached && h.encoding == unencoded:
		return p.raw, append([]byte{}, p.raw...)
	case p.detached:
		return strictURL.AppendEncode(nil, p.raw), append([]byte{}, p.raw...)
	case h.encoding == unencoded:
		return []byte(p.text), []byte(p.text)
	}
	return []byte(p.text), nil // decoded once it has been verified
}

// readJSON takes a message in JSON apart. It is strict JSON; members that it does not
// know are ignored, RFC 7515 §7.2.1, but for those of an encrypted message.
func (v *Verifier) readJSON(message []byte, detached *payloadOf) ([]part, payloadOf, error) {
	if len(message) > v.options.MaxSize {
		return nil, payloadOf{}, fmt.Errorf("%w: %d bytes; at most %d are taken", ErrTooLong, len(message), v.options.MaxSize)
	}
	var whole part
	var list, payload strictjson.Value
	encrypted := false
	own, err := readPart(string(message), &whole, func(name string, value strictjson.Value) {
		switch name {
		case "signatures":
			list = value
		case "payload":
			payload = value
		case "ciphertext", "recipients": // RFC 7516 §9: no text is both
			encrypted = true
		}
	})
	if err == nil && encrypted {
		err = fmt.Errorf("%w: an encrypted message", ErrMalformed)
	}
	if err != nil {
		return nil, payloadOf{}, err
	}
	parts := []part{whole}
	if list.Kind() != 0 {
		if own { // RFC 7515 §7.2.2
			return nil, payloadOf{}, fmt.Errorf("%w: both flattened and general", ErrMalformed)
		}
		if parts, err = readParts(list); err != nil {
			return nil, payloadOf{}, err
		}
	}
	text, ok := payload.Text()
	switch {
	case detached != nil && payload.Kind() != 0:
		return nil, payloadOf{}, fmt.Errorf("%w: a detached message with a payload", ErrMalformed)
	case detached != nil:
		return parts, *detached, nil
	case !ok:
		return nil, payloadOf{}, fmt.Errorf("%w: payload is missing, or no text", ErrMalformed)
	}
	return parts, payloadOf{text: text}, nil
}

func readParts(list strictjson.Value) ([]part, error) {
	var parts []part
	var err error
	if !list.Each(func(element strictjson.Value) bool {
		var p part
		_, err = readPart(element.Raw(), &p, nil)
		parts = append(parts, p)
		return err == nil && len(parts) <= maxSignatures
	}) || len(parts) == 0 {
		if err == nil {
			err = fmt.Errorf("%w: signatures is no list of 1 to %d", ErrMalformed, maxSignatures)
		}
		return nil, err
	}
	return parts, nil
}

// readPart reads the members of one signature, hands the others to rest, and reports
// whether there were any of a signature.
func readPart(text string, p *part, rest func(name string, value strictjson.Value)) (own bool, err error) {
	s := strictjson.New(text)
	for s.Next() {
		ok, value := true, s.Value()
		switch s.Name() {
		case "protected":
			p.protected, ok = value.Text()
			own = true
		case "signature":
			p.signature, ok = value.Text()
			own = true
		case "header":
			p.unprotected, ok = value.Raw(), value.Kind() == strictjson.Object
			own = true
		default:
			if rest != nil {
				rest(s.Name(), value)
			}
		}
		if !ok && err == nil {
			err = fmt.Errorf("%w: %s is %v", ErrMalformed, s.Name(), value.Kind())
		}
	}
	if s.Err() != nil {
		return false, fmt.Errorf("%w: %w", ErrMalformed, s.Err())
	}
	return own, err
}

// verifyPart verifies one signature. The steps and their order are those of
// [Verifier.Verify].
func (v *Verifier) verifyPart(ctx context.Context, p part, payload payloadOf) (Message, error) {
	signature, long, err := decodeSignature(nil, []byte(p.signature))
	if err != nil {
		return Message{}, err
	}
	header, chosen, err := v.headers(p)
	if err != nil {
		return Message{}, err
	}
	if len(signature) == 0 && !long {
		return Message{}, ErrUnsigned
	}
	if err := v.accept(&chosen, false); err != nil {
		return Message{}, err
	}
	if long {
		return Message{}, fmt.Errorf("%w: too long", ErrSignature)
	}
	keys, err := v.candidates(ctx, &chosen)
	if err != nil {
		return Message{}, err
	}
	text, plain := payload.under(header)
	key, err := verifyWith(keys, chosen.Algorithm, slices.Concat([]byte(p.protected), []byte{'.'}, text), signature)
	if err != nil {
		return Message{}, err
	}
	if plain == nil {
		if plain, err = header.appendPayload([]byte{}, text); err != nil {
			return Message{}, err
		}
	}
	return Message{Header: chosen, Payload: plain, Key: key, Signature: p.signature, Unprotected: json.RawMessage(p.unprotected)}, nil
}

// headers reads the two headers of a signature. The first result is the protected
// one; the second is the same with the identifier of the key, and if the options
// allow it the algorithm, from the other: a wrong identifier finds no key, or one
// under which the signature does not match.
func (v *Verifier) headers(p part) (protected, chosen Header, err error) {
	raw := []byte("{}") // RFC 7515 §7.2.1: there may be none
	if p.protected != "" {
		if raw, err = appendDecoded(nil, []byte(p.protected)); err != nil {
			return Header{}, Header{}, fmt.Errorf("%w: header: %w", ErrMalformed, err)
		}
	}
	if protected, err = readHeader(string(raw)); err != nil {
		return Header{}, Header{}, err
	}
	chosen = protected
	if p.unprotected != "" {
		unprotected, err := readHeader(p.unprotected)
		if err != nil {
			return Header{}, Header{}, err
		}
		if err := checkHeaders(protected, unprotected, v.options.InsecureUnprotected); err != nil {
			return Header{}, Header{}, err
		}
		if chosen.KeyID == "" {
			chosen.KeyID = unprotected.KeyID
		}
		if chosen.Algorithm == "" {
			chosen.Algorithm = unprotected.Algorithm
		}
	}
	if chosen.Algorithm == "" {
		return Header{}, Header{}, fmt.Errorf("%w: header: alg is missing", ErrMalformed)
	}
	return protected, chosen, nil
}
