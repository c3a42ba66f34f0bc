package jwe

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// dots are where the four dots of a compact message are.
type dots [4]int

// cut finds the dots of a message, RFC 7516 §7.1, before anything is done with what
// is between them: a megabyte of dots must not become a million parts.
func cut(message string, maxSize int) (dots, error) {
	var at dots
	if len(message) > maxSize {
		return at, fmt.Errorf("%w: %d bytes; at most %d are taken", ErrTooLong, len(message), maxSize)
	}
	from, next := 0, 0
	for i := range at {
		if next = strings.IndexByte(message[from:], '.'); next < 0 {
			break
		}
		at[i] = from + next
		from = at[i] + 1
	}
	if next < 0 || strings.IndexByte(message[from:], '.') >= 0 {
		return at, fmt.Errorf("%w: %d dots where four belong", ErrMalformed, strings.Count(message, "."))
	}
	return at, nil
}

// scratch is memory that one message needs and the next can use again. It holds
// nothing that was not sent in clear or encrypted.
type scratch struct {
	message  []byte
	decoded  []byte
	envelope envelope
	header   Header
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// compact decodes the parts of a message, but for the header if that is known
// already. The envelope is valid until the scratch memory is used for another.
func (s *scratch) compact(message string, at dots, known knownHeader) (*envelope, error) {
	s.message = append(s.message[:0], message...)
	if hasLineBreak(s.message) {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, errLineBreak)
	}
	if cap(s.decoded) < len(message) {
		s.decoded = make([]byte, 0, len(message))
	}
	e := &s.envelope // every field that a compact message has is set below
	r := &e.first[0]
	r.header, r.route = known.header, known.route
	buffer := s.decoded[:0]
	var err error
	if known.header == nil {
		s.header = Header{}
		r.header = &s.header
		if err := r.header.decode(buffer, s.message[:at[0]]); err != nil {
			return nil, err
		}
	}
	e.aad = s.message[:at[0]] // RFC 7516 §5.2 step 15: as it was sent
	if r.key, buffer, err = decodePart(buffer, s.message[at[0]+1:at[1]], "encrypted key"); err != nil {
		return nil, err
	}
	if e.iv, buffer, err = decodePart(buffer, s.message[at[1]+1:at[2]], "IV"); err != nil {
		return nil, err
	}
	if e.sealed, buffer, err = decodePart(buffer, s.message[at[2]+1:at[3]], "ciphertext"); err != nil {
		return nil, err
	}
	tag, _, err := decodePart(buffer, s.message[at[3]+1:], "tag")
	if err != nil {
		return nil, err
	}
	e.tagSize = len(tag)
	e.sealed = append(e.sealed, tag...) // it lies there already
	e.recipients = e.first[:]
	return e, nil
}

// decode reads the header of a compact message.
func (h *Header) decode(buffer, encoded []byte) error {
	raw, _, err := decodePart(buffer, encoded, "header")
	if err != nil {
		return err
	}
	return h.parseProtected(string(raw))
}

// decodePart appends a decoded part of a message without line breaks to the
// buffer and returns both the part and the buffer behind it.
func decodePart(buffer, encoded []byte, name string) (part, rest []byte, err error) {
	start := len(buffer)
	buffer, err = strictURL.AppendDecode(buffer, encoded)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrMalformed, name, err)
	}
	return buffer[start:], buffer, nil
}

var strictURL = base64.RawURLEncoding.Strict()

var errLineBreak = errors.New("line break in base64url")

// appendDecoded decodes base64url as RFC 7515 §2 defines it: no padding, no
// other characters, no unused bits. Go's decoder skips line breaks even when
// strict, so they are looked for first.
func appendDecoded(dst, encoded []byte) ([]byte, error) {
	if hasLineBreak(encoded) {
		return nil, errLineBreak
	}
	return strictURL.AppendDecode(dst, encoded)
}

func hasLineBreak(text []byte) bool {
	return bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0
}

func decode(encoded string) ([]byte, error) { return appendDecoded(nil, []byte(encoded)) }

// DecodeUnverified returns the header of a message in compact serialization
// without decrypting it: nobody has vouched for a byte of it. It is for looking at
// messages, not for acting upon them. It returns ErrMalformed or ErrTooLong.
func DecodeUnverified(message string) (Header, error) {
	at, err := cut(message, DefaultMaxSize)
	if err != nil {
		return Header{}, err
	}
	e, err := new(scratch).compact(message, at, knownHeader{})
	if err != nil {
		return Header{}, err
	}
	return *e.recipients[0].header, nil
}
