package jwe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

const (
	// DefaultMaxSize is how long a message may be unless MaxSize says otherwise.
	DefaultMaxSize = 64 << 10

	// maxCandidates is how many keys are tried for one message that does not
	// name its own. Each costs a decryption.
	maxCandidates = 16
)

// DecryptOptions says what a decrypter accepts. The zero value accepts every
// algorithm that the keys permit, no extension, no compression, one recipient, no
// unprotected header, and messages of up to 64 KiB.
type DecryptOptions struct {
	// Algorithms are the key management algorithms accepted. Nil means those
	// that the key found for the message permits, by its "alg" or else by its
	// type, curve and size: the header cannot move a key to another family. A list
	// that is empty and not nil is an error.
	Algorithms []jwa.Algorithm

	// Encryptions are the content encryption algorithms accepted. Nil means all
	// of package jwa, each of which authenticates. A list that is empty and not
	// nil is an error.
	Encryptions []jwa.Encryption

	// Critical names the extensions that the caller understands and will act
	// upon when the header marks them critical, RFC 7516 §4.1.13.
	Critical []string

	// Decompress accepts messages that were compressed before they were
	// encrypted ("zip"). Otherwise they are refused: how long they are says
	// something of what is in them (RFC 8725 §3.6).
	Decompress bool

	// MaxDecompressed is the greatest length in bytes of what a compressed
	// message expands to. 0 means 256 KiB. Beyond 16 KiB it may not be more than a
	// hundred times as long as the compressed text either.
	MaxDecompressed int

	// MaxIterations is the greatest number of iterations ("p2c") that the
	// messages' senders may ask of PBES2, all keys that are tried together. 0 means
	// a million, and more is an error. Fewer than a thousand are never accepted.
	MaxIterations int

	// MaxRecipients is how many recipients a message in general JSON
	// serialization may have, 0 meaning one and 100 being the most. Which of them
	// the key belongs to is told in the Message.
	MaxRecipients int

	// UnprotectedHeader accepts members of the header outside the protected
	// part: "unprotected" and "header" in JSON serialization. Anybody can change
	// them on the way. Messages to several recipients do not do without.
	UnprotectedHeader bool

	// MaxSize is the greatest length of a message in bytes. 0 means 64 KiB.
	MaxSize int
}

// A Decrypter decrypts messages. It is built once and is safe for concurrent
// use.
type Decrypter struct {
	keys     jwk.Source
	options  DecryptOptions
	fallback [maxCEK]byte // random; see unseal
	routes   cache[pair, *route]
	headers  cache[string, knownHeader] // those of messages that decrypted, as they were sent
}

// NewDecrypter makes a decrypter. It returns ErrOptions if there are no keys, if
// a list of algorithms is empty and not nil or names one that is not offered, or if
// a limit is out of its range.
func NewDecrypter(keys jwk.Source, o DecryptOptions) (*Decrypter, error) {
	if keys == nil {
		return nil, fmt.Errorf("%w: no source of keys", ErrOptions)
	}
	if o.Algorithms != nil && len(o.Algorithms) == 0 || o.Encryptions != nil && len(o.Encryptions) == 0 {
		return nil, fmt.Errorf("%w: an empty list of algorithms accepts nothing", ErrOptions)
	}
	for _, alg := range o.Algorithms {
		if _, err := rowOf(alg); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrOptions, err)
		}
	}
	for _, enc := range o.Encryptions {
		if _, ok := enc.Content(); !ok {
			return nil, fmt.Errorf("%w: unknown content encryption %.40q", ErrOptions, string(enc))
		}
	}
	for _, limit := range []struct {
		name          string
		value         *int
		standard, max int
	}{
		{"MaxSize", &o.MaxSize, DefaultMaxSize, 1 << 30},
		{"MaxDecompressed", &o.MaxDecompressed, DefaultMaxDecompressed, 1 << 30},
		{"MaxIterations", &o.MaxIterations, DefaultMaxIterations, 1 << 30},
		{"MaxRecipients", &o.MaxRecipients, 1, maxRecipients},
	} {
		if *limit.value < 0 || *limit.value > limit.max {
			return nil, fmt.Errorf("%w: %s is %d; it may be from 1 to %d", ErrOptions, limit.name, *limit.value, limit.max)
		}
		if *limit.value == 0 {
			*limit.value = limit.standard
		}
	}
	o.Algorithms, o.Encryptions, o.Critical = slices.Clone(o.Algorithms), slices.Clone(o.Encryptions), slices.Clone(o.Critical)
	d := &Decrypter{keys: keys, options: o}
	random(d.fallback[:])
	return d, nil
}

// rowOf returns the row of a key management algorithm, or an error that says
// why there is none.
func rowOf(alg jwa.Algorithm) (jwa.KeyManagement, error) {
	row, ok := alg.KeyManagement()
	switch {
	case ok:
		return row, nil
	case row.Unsupported != "":
		return row, fmt.Errorf("%w: %s: %s", ErrAlgorithm, alg, row.Unsupported)
	}
	return row, fmt.Errorf("%w: unknown key management %.40q", ErrAlgorithm, string(alg))
}

// Decrypt decrypts one message; see [Decrypter.Decrypt] for the errors, to which
// ErrOptions is added. Whoever decrypts more than one should keep a [Decrypter].
func Decrypt(ctx context.Context, message string, keys jwk.Source, o DecryptOptions) (Message, error) {
	d, err := NewDecrypter(keys, o)
	if err != nil {
		return Message{}, err
	}
	return d.Decrypt(ctx, message)
}

// Decrypt decrypts a message in compact serialization, RFC 7516 §7.1. On error
// the Message is zero, and the error wraps ErrMalformed, ErrTooLong, ErrCritical,
// ErrAlgorithm, ErrCompression, ErrKey, ErrTooCostly or ErrDecryption, or is that of
// a source of keys that could not answer (jwk.ErrUnavailable).
func (d *Decrypter) Decrypt(ctx context.Context, message string) (Message, error) {
	// Size and shape, before anything is copied or split.
	at, err := cut(message, d.options.MaxSize)
	if err != nil {
		return Message{}, err
	}
	scratch := scratches.Get().(*scratch)
	defer scratches.Put(scratch)
	// Strict base64url; then the header, which is read strictly.
	known, _ := d.headers.load(message[:at[0]])
	e, err := scratch.compact(message, at, known)
	if err != nil {
		return Message{}, err
	}
	m, err := d.open(ctx, e)
	if err == nil && known.header == nil && m.Header.recurs() && at[0] <= maxKnownHeader {
		header := m.Header
		d.headers.add(strings.Clone(message[:at[0]]), knownHeader{&header, e.recipients[0].route}, maxKnownHeaders)
	}
	return m, err
}

// A knownHeader has been read before, and its algorithms have been accepted.
type knownHeader struct {
	header *Header
	route  *route
}

// Bounds of the headers that a decrypter remembers, so that it need not read the
// same text over and over.
const (
	maxKnownHeaders = 16
	maxKnownHeader  = 512 // bytes, encoded
)

// recurs reports whether other messages may have the same header: whether none of
// its parameters is random. The list of extensions is its reader's own to change.
func (h *Header) recurs() bool {
	p := &h.parameters
	return p.epk == "" && p.iv == nil && p.salt == nil && h.Critical == nil
}

// An envelope is a message whose parts have been decoded and of which nothing
// has been believed yet.
type envelope struct {
	aad        []byte // what the tag covers beside the ciphertext, RFC 7516 §5.2 step 15
	iv         []byte
	sealed     []byte // the ciphertext, and the tag behind it
	tagSize    int
	additional []byte // the "aad" member, decoded
	recipients []recipient
	first      [1]recipient // room for the one that most messages have
}

// A recipient is one of those that the content encryption key was encrypted to.
type recipient struct {
	header *Header
	route  *route // nil until its algorithms have been accepted
	key    []byte // the encrypted key; empty if there is none
}

// open decrypts what an envelope holds.
//
// The order of the steps is the security of this package.
func (d *Decrypter) open(ctx context.Context, e *envelope) (Message, error) {
	// What concerns all recipients: extensions, content encryption, compression.
	content, err := d.admit(e)
	if err != nil {
		return Message{}, err
	}
	// The recipients in turn. Of several, those that we have no key for are not
	// meant for us, nor are those whose parameters we do not understand: another
	// recipient may have a curve that we do not know.
	a := &attempt{d: d, e: e, content: content, tries: maxCandidates, iterations: int64(d.options.MaxIterations)}
	var failure error // of the recipient that came nearest
	for i := range e.recipients {
		r := &e.recipients[i]
		plaintext, key, err := a.openFor(ctx, r)
		if err == nil {
			// Only then is anything expanded.
			if r.header.Compression != "" {
				plaintext, err = inflate(plaintext, d.options.MaxDecompressed)
			}
			if err != nil {
				return Message{}, err
			}
			return Message{Header: *r.header, Plaintext: plaintext, Key: key, AdditionalData: e.additional, Recipient: i}, nil
		}
		another := len(e.recipients) > 1 && errors.Is(err, ErrMalformed)
		if !another && !errors.Is(err, ErrKey) && !errors.Is(err, ErrAlgorithm) && !errors.Is(err, ErrDecryption) {
			return Message{}, err
		}
		if failure == nil || errors.Is(failure, ErrKey) || errors.Is(err, ErrDecryption) {
			failure = err
		}
	}
	return Message{}, failure
}

// admit checks what all recipients have in common, in the header of the first:
// parseParts and checkCommon have seen to it that it is in common.
func (d *Decrypter) admit(e *envelope) (jwa.ContentEncryption, error) {
	h := e.recipients[0].header
	if err := checkCritical(h, d.options.Critical); err != nil {
		return jwa.ContentEncryption{}, err
	}
	content, err := d.contentOf(&e.recipients[0])
	if err != nil {
		return content, err
	}
	switch {
	case h.Compression != "" && h.Compression != deflated: // RFC 7516 §4.1.3
		return content, fmt.Errorf("%w: %.40q", ErrCompression, h.Compression)
	case h.Compression != "" && !d.options.Decompress:
		return content, ErrCompression
	case len(e.iv) != content.IVSize: // RFC 7518 §5.2.2.1, §5.3
		return content, fmt.Errorf("%w: an IV of %d bytes; %s has %d", ErrMalformed, len(e.iv), content.Name, content.IVSize)
	case e.tagSize != content.TagSize: // RFC 7518 §5.2.2.1, §5.3: a shorter tag is easier to guess
		return content, fmt.Errorf("%w: a tag of %d bytes; %s has %d", ErrMalformed, e.tagSize, content.Name, content.TagSize)
	}
	return content, nil
}

// contentOf returns the row of the content encryption, if it is accepted.
func (d *Decrypter) contentOf(r *recipient) (jwa.ContentEncryption, error) {
	if r.route != nil {
		return r.route.content, nil
	}
	enc := r.header.Encryption
	content, ok := enc.Content()
	if !ok || d.options.Encryptions != nil && !slices.Contains(d.options.Encryptions, enc) {
		return content, fmt.Errorf("%w: content encryption %.40q", ErrAlgorithm, string(enc))
	}
	return content, nil
}

// An attempt is the decryption of one message, and what it may still cost.
type attempt struct {
	d          *Decrypter
	e          *envelope
	content    jwa.ContentEncryption
	tries      int   // keys
	iterations int64 // of PBES2
}

// openFor tries to decrypt the message as one recipient of it.
func (a *attempt) openFor(ctx context.Context, r *recipient) ([]byte, *jwk.Key, error) {
	// The key management algorithm, and what it needs.
	if r.route == nil {
		route, err := a.d.route(r.header.Algorithm, a.content)
		if err != nil {
			return nil, nil, err
		}
		r.route = route
	}
	w := wrapped{route: r.route, key: r.key, parameters: &r.header.parameters}
	if err := w.check(); err != nil {
		return nil, nil, err
	}
	// The key, by its name, and only if the algorithms are its own.
	keys, err := a.d.candidates(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	if err := a.afford(&w, len(keys)); err != nil {
		return nil, nil, err
	}
	// The content encryption key, or one as good as any other; then the content.
	failure := error(ErrDecryption)
	for _, key := range keys {
		aead, err := a.d.unseal(key, &w)
		if err != nil {
			failure = fmt.Errorf("%w: %w", ErrKey, err)
			continue
		}
		plaintext, err := aead.Open(nil, a.e.iv, a.e.sealed, a.e.aad)
		if err == nil {
			return plaintext, key, nil
		}
		failure = ErrDecryption
	}
	return nil, nil, failure
}

// afford takes what trying some keys costs off what the message may cost, before
// any of it is spent.
func (a *attempt) afford(w *wrapped, keys int) error {
	if keys > a.tries {
		return fmt.Errorf("%w: it names no key, and there are more than %d", ErrTooCostly, maxCandidates)
	}
	a.tries -= keys
	if w.row.Mode != jwa.Password {
		return nil
	}
	// RFC 8725 §3.11: the sender must not choose how long we work. The count is
	// compared before it is multiplied, which could overflow.
	if w.iterations > a.iterations || w.iterations*int64(keys) > a.iterations {
		return fmt.Errorf("%w: %d iterations (p2c) on %d keys; at most %d are done", ErrTooCostly, w.iterations, keys, a.d.options.MaxIterations)
	}
	a.iterations -= w.iterations * int64(keys)
	return nil
}

// candidates asks the source for the keys that the header may mean and keeps
// those that do its algorithms, RFC 8725 §3.1.
func (d *Decrypter) candidates(ctx context.Context, r *recipient) ([]*jwk.Key, error) {
	h := r.header
	found, err := d.keys.Find(ctx, h.KeyID)
	switch {
	case errors.Is(err, jwk.ErrNotFound):
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	case err != nil:
		return nil, fmt.Errorf("jwe: find the key: %w", err)
	}
	first := slices.IndexFunc(found, func(k *jwk.Key) bool { return k != nil })
	if first < 0 { // a source that looks in a map has a nil for what is not there
		return nil, fmt.Errorf("%w: the source found none", ErrKey)
	}
	fits := func(k *jwk.Key) bool { return k != nil && r.route.fits(k) }
	if len(found) == 1 && fits(found[0]) {
		return found, nil
	}
	fitting := slices.DeleteFunc(slices.Clone(found), func(k *jwk.Key) bool { return !fits(k) })
	if len(fitting) == 0 {
		return nil, fmt.Errorf("%w: %.40q with %.40q is not for the key: %v", ErrAlgorithm, string(h.Algorithm), string(h.Encryption), found[first])
	}
	return fitting, nil
}
