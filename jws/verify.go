package jws

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

const (
	// DefaultMaxSize is how long a message may be unless MaxSize says otherwise.
	DefaultMaxSize = 64 << 10

	// maxCandidates is how many keys are tried for a message that names none.
	// Each costs a verification.
	maxCandidates = 16

	// maxSignature is the longest signature in base64url: RSA with 8192 bits.
	maxSignature = 1366

	// maxSeenHeader is the longest header that a verifier remembers.
	maxSeenHeader = 2 << 10

	// maxKeptBuffer is the largest buffer that is kept for the next message.
	maxKeptBuffer = 128 << 10
)

// VerifyOptions says what a verifier accepts. The zero value accepts every
// algorithm that the keys permit, no extension, and messages of up to 64 KiB.
type VerifyOptions struct {
	// Algorithms are those accepted. Nil means those that the key found for the
	// message permits, by its "alg" or else by its type, curve and size: the
	// header cannot move a key to another family. A list that is empty and not
	// nil is an error.
	Algorithms []jwa.Algorithm

	// Critical names the extensions that the caller understands and will act
	// upon when the header marks them critical, RFC 7515 §4.1.11.
	Critical []string

	// Unencoded accepts payloads that are signed as they are, RFC 7797: "b64" is
	// then understood.
	Unencoded bool

	// InsecureUnprotected accepts messages in JSON whose "alg" is in the
	// unprotected header. Whoever passes a message on can change it there.
	InsecureUnprotected bool

	// MaxSize is the greatest length of a message in bytes. 0 means 64 KiB.
	MaxSize int
}

// A Verifier verifies messages. It is built once and is safe for concurrent use.
type Verifier struct {
	keys    jwk.Source
	options VerifyOptions

	// last is the header of a message that was verified. One issuer writes
	// the same header for weeks, and then it is read and checked once.
	last atomic.Pointer[seenHeader]
}

type seenHeader struct {
	encoded string
	header  Header
}

// NewVerifier makes a verifier. It returns ErrOptions if there are no keys, if
// Algorithms is empty and not nil or names one that cannot be computed, or if
// Critical names what RFC 7797 has decode differently ("b64").
func NewVerifier(keys jwk.Source, o VerifyOptions) (*Verifier, error) {
	if keys == nil {
		return nil, fmt.Errorf("%w: no source of keys", ErrOptions)
	}
	if o.Algorithms != nil && len(o.Algorithms) == 0 {
		return nil, fmt.Errorf("%w: %w: an empty list accepts nothing", ErrOptions, ErrAlgorithm)
	}
	for _, alg := range o.Algorithms {
		if err := alg.Check(); err != nil {
			return nil, fmt.Errorf("%w: %w: %w", ErrOptions, ErrAlgorithm, err)
		}
	}
	// RFC 7797 §6: whoever says "b64" must decode differently, which this
	// serialization does not.
	if slices.Contains(o.Critical, "b64") {
		return nil, fmt.Errorf("%w: b64 has the option Unencoded", ErrOptions)
	}
	if o.MaxSize < 0 {
		return nil, fmt.Errorf("%w: MaxSize is negative", ErrOptions)
	}
	if o.MaxSize == 0 {
		o.MaxSize = DefaultMaxSize
	}
	o.Algorithms, o.Critical = slices.Clone(o.Algorithms), slices.Clone(o.Critical)
	if o.Unencoded {
		o.Critical = append(o.Critical, "b64")
	}
	return &Verifier{keys: keys, options: o}, nil
}

// Verify verifies one message; see [Verifier.Verify] for the errors, to which
// ErrOptions is added. Whoever verifies more than one should keep a [Verifier].
func Verify(ctx context.Context, message string, keys jwk.Source, o VerifyOptions) (Message, error) {
	v, err := NewVerifier(keys, o)
	if err != nil {
		return Message{}, err
	}
	return v.Verify(ctx, message)
}

// Verify verifies a message in compact serialization and returns it decoded. On
// error the Message is zero, and the error wraps ErrMalformed (ErrParts, ErrTooLong),
// ErrCritical, ErrAlgorithm, ErrKey, ErrUnsigned or ErrSignature, or is that of a
// source of keys that could not answer (jwk.ErrUnavailable).
func (v *Verifier) Verify(ctx context.Context, message string) (Message, error) {
	return v.VerifyAppend(ctx, nil, message)
}

// VerifyAppend is like Verify and appends the payload to dst, so that a caller
// can reuse memory.
func (v *Verifier) VerifyAppend(ctx context.Context, dst []byte, message string) (Message, error) {
	var m Message
	scratch := scratches.Get().(*scratch)
	defer scratch.release()
	encoded, err := v.verify(ctx, &m, scratch, message)
	if err == nil {
		m.Payload, err = m.Header.appendPayload(dst, encoded)
	}
	if err != nil {
		return Message{}, err
	}
	return m, nil
}

// VerifyText is like Verify and returns the payload as a string, which is not checked
// to be UTF-8. It writes the rest into m, which must be zero, is zero
// again on error, and has no Payload.
func (v *Verifier) VerifyText(ctx context.Context, m *Message, message string) (string, error) {
	scratch := scratches.Get().(*scratch)
	defer scratch.release()
	encoded, err := v.verify(ctx, m, scratch, message)
	if err == nil {
		scratch.decoded, err = m.Header.appendPayload(scratch.decoded[:0], encoded)
	}
	if err != nil {
		*m = Message{}
		return "", err
	}
	return string(scratch.decoded), nil
}

// verify verifies a message and returns its payload, which is still encoded and in
// the memory of the scratch.
//
// The order of the steps is the security of this package.
func (v *Verifier) verify(ctx context.Context, m *Message, scratch *scratch, message string) ([]byte, error) {
	// Size and shape, before anything is copied or split.
	parts, err := cut(message, v.options.MaxSize)
	if err != nil {
		return nil, err
	}
	scratch.message = append(scratch.message[:0], message...)

	// Strict base64url; then the header, which is read strictly and chooses
	// nothing.
	signature, long, err := decodeSignature(scratch.signature[:0], scratch.message[parts.second+1:])
	if err != nil {
		return nil, err
	}
	seen, err := v.header(&m.Header, message[:parts.first], scratch)
	if err != nil {
		return nil, err
	}
	if len(signature) == 0 && !long {
		return nil, ErrUnsigned
	}
	if err := v.accept(&m.Header, seen); err != nil {
		return nil, err
	}
	if long {
		return nil, fmt.Errorf("%w: too long", ErrSignature)
	}

	// The key, by its name, and only if the algorithm is one of its own.
	keys, err := v.candidates(ctx, &m.Header)
	if err != nil {
		return nil, err
	}

	// The signature.
	if m.Key, err = verifyWith(keys, m.Header.Algorithm, scratch.message[:parts.second], signature); err != nil {
		return nil, err
	}
	if !seen {
		v.remember(message[:parts.first], &m.Header)
	}
	m.Signature = message[parts.second+1:]

	// Only then the payload.
	return scratch.message[parts.first+1 : parts.second], nil
}

func (h *Header) appendPayload(dst, encoded []byte) ([]byte, error) {
	if h.encoding == unencoded {
		return append(dst, encoded...), nil
	}
	payload, err := appendDecoded(dst, encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: payload: %w", ErrMalformed, err)
	}
	return payload, nil
}

// parts are where the two dots of a compact message are.
type parts struct{ first, second int }

// cut finds the dots of a message, RFC 7515 §7.1. It counts them before it does
// anything else: a megabyte of dots must not become a million parts.
func cut(message string, maxSize int) (parts, error) {
	if len(message) > maxSize {
		return parts{}, fmt.Errorf("%w: %d bytes; at most %d are taken", ErrTooLong, len(message), maxSize)
	}
	first := strings.IndexByte(message, '.')
	second := first + 1 + strings.IndexByte(message[first+1:], '.')
	if second <= first || strings.IndexByte(message[second+1:], '.') >= 0 {
		return parts{}, fmt.Errorf("%w: %d dots where two belong", ErrParts, strings.Count(message, "."))
	}
	return parts{first: first, second: second}, nil
}

// scratch is memory that one verification needs and the next can use again.
type scratch struct {
	message   []byte
	decoded   []byte
	signature [maxSignature]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (s *scratch) release() {
	if cap(s.message) <= maxKeptBuffer {
		scratches.Put(s)
	}
}

// header reads the header of a message into h, and reports whether one with the very
// same text was accepted before.
func (v *Verifier) header(h *Header, encoded string, s *scratch) (seen bool, err error) {
	if last := v.last.Load(); last != nil && last.encoded == encoded {
		*h = last.header
		if h.Critical != nil {
			h.Critical = slices.Clone(h.Critical) // the caller owns what it gets
		}
		return true, nil
	}
	s.decoded, err = appendDecoded(s.decoded[:0], s.message[:len(encoded)])
	if err != nil {
		return false, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	*h, err = parseHeader(string(s.decoded))
	return false, err
}

// remember keeps a header that was accepted, with what the caller could change
// in it copied.
func (v *Verifier) remember(encoded string, h *Header) {
	if len(encoded) <= maxSeenHeader {
		kept := &seenHeader{encoded: strings.Clone(encoded), header: *h}
		kept.header.Critical = slices.Clone(h.Critical)
		v.last.Store(kept)
	}
}

// accept checks what a header demands and which algorithm it names.
func (v *Verifier) accept(h *Header, seen bool) error {
	if seen {
		return nil
	}
	if err := checkCritical(*h, v.options.Critical); err != nil {
		return err
	}
	if v.options.Algorithms != nil && !slices.Contains(v.options.Algorithms, h.Algorithm) {
		return fmt.Errorf("%w: %.40q", ErrAlgorithm, string(h.Algorithm))
	}
	// What no key here can do is not blamed on the key.
	if err := h.Algorithm.Check(); errors.Is(err, jwa.ErrUnsupported) {
		return fmt.Errorf("%w: %w", ErrAlgorithm, err)
	}
	return nil
}

// decodeSignature appends a decoded signature to dst. One that is longer than any that
// could be good is left as it is, which is said once it is known that the algorithm is
// one of ours.
func decodeSignature(dst, encoded []byte) (signature []byte, long bool, err error) {
	if len(encoded) > maxSignature {
		return dst, true, nil
	}
	if signature, err = appendDecoded(dst, encoded); err != nil {
		return dst, false, fmt.Errorf("%w: signature: %w", ErrMalformed, err)
	}
	return signature, false, nil
}

// candidates asks the source for the keys that the header may mean and keeps
// those that do its algorithm, RFC 8725 §3.1.
func (v *Verifier) candidates(ctx context.Context, h *Header) ([]*jwk.Key, error) {
	found, err := v.find(ctx, h)
	switch {
	case errors.Is(err, jwk.ErrNotFound):
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	case err != nil:
		return nil, fmt.Errorf("jws: find the key: %w", err)
	}
	first := slices.IndexFunc(found, func(k *jwk.Key) bool { return k != nil })
	if first < 0 { // a source that looks in a map has a nil for what is not there
		return nil, fmt.Errorf("%w: the source found none", ErrKey)
	}
	fitting := found
	if !allDo(found, h.Algorithm) {
		fitting = slices.DeleteFunc(slices.Clone(found), func(k *jwk.Key) bool { return k == nil || !k.Does(h.Algorithm) })
	}
	switch {
	case len(fitting) == 0:
		return nil, &MismatchError{Algorithm: h.Algorithm, Key: found[first], kind: ErrAlgorithm}
	case len(fitting) > maxCandidates:
		return nil, fmt.Errorf("%w: it names no key, and there are %d for %s", ErrKey, len(fitting), h.Algorithm)
	}
	return fitting, nil
}

// Trusts reports whether the key that a message was verified with is still among
// those that the source of keys returns for it. It is for callers that remember
// verified messages.
func (v *Verifier) Trusts(ctx context.Context, m *Message) bool {
	found, err := v.find(ctx, &m.Header)
	return err == nil && m.Key != nil && slices.Contains(found, m.Key)
}

func (v *Verifier) find(ctx context.Context, h *Header) ([]*jwk.Key, error) {
	if choose, ok := v.keys.(KeyFunc); ok {
		header := *h
		header.Critical = slices.Clone(h.Critical)
		return choose(ctx, header)
	}
	return v.keys.Find(ctx, h.KeyID)
}

func allDo(keys []*jwk.Key, alg jwa.Algorithm) bool {
	for _, k := range keys {
		if k == nil || !k.Does(alg) {
			return false
		}
	}
	return true
}

// verifyWith tries the keys in turn and returns the one that fits.
func verifyWith(keys []*jwk.Key, alg jwa.Algorithm, signed, signature []byte) (*jwk.Key, error) {
	var last error
	for _, k := range keys {
		err := k.Verify(alg, signed, signature)
		if err == nil {
			return k, nil
		}
		last = err
	}
	if !errors.Is(last, jwk.ErrSignature) {
		return nil, fmt.Errorf("%w: %w", ErrKey, last)
	}
	return nil, fmt.Errorf("%w: %w", ErrSignature, last)
}

var strictURL = base64.RawURLEncoding.Strict()

var errLineBreak = errors.New("line break in base64url")

// appendDecoded decodes base64url as RFC 7515 §2 defines it: no padding, no
// other characters, no unused bits. Go's decoder skips line breaks even when
// strict, which shows in the length.
func appendDecoded(dst, encoded []byte) ([]byte, error) {
	decoded, err := strictURL.AppendDecode(dst, encoded)
	if err != nil {
		return nil, err
	}
	// Whatever was skipped is missing. The length that a lost character could make
	// right is never one of base64.
	if len(encoded)%4 == 1 || len(decoded)-len(dst) != strictURL.DecodedLen(len(encoded)) {
		return nil, errLineBreak
	}
	return decoded, nil
}

// DecodeUnverified returns the header and the payload of a message in compact
// serialization without verifying anything but its form: nobody has vouched for
// a byte of it. It is for looking at tokens, not for acting upon them. It returns
// ErrMalformed or ErrTooLong.
func DecodeUnverified(message string) (Header, []byte, error) {
	return decodeUnverified(message, DefaultMaxSize)
}

// DecodeUnverified is the function of that name for messages as long as the verifier
// takes.
func (v *Verifier) DecodeUnverified(message string) (Header, []byte, error) {
	return decodeUnverified(message, v.options.MaxSize)
}

func decodeUnverified(message string, maxSize int) (Header, []byte, error) {
	parts, err := cut(message, maxSize)
	if err != nil {
		return Header{}, nil, err
	}
	raw, err := appendDecoded(nil, []byte(message[:parts.first]))
	if err != nil {
		return Header{}, nil, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	header, err := parseHeader(string(raw))
	if err != nil {
		return Header{}, nil, err
	}
	payload, err := appendDecoded(nil, []byte(message[parts.first+1:parts.second]))
	if err != nil {
		return Header{}, nil, fmt.Errorf("%w: payload: %w", ErrMalformed, err)
	}
	if _, err := appendDecoded(nil, []byte(message[parts.second+1:])); err != nil {
		return Header{}, nil, fmt.Errorf("%w: signature: %w", ErrMalformed, err)
	}
	return header, payload, nil
}
