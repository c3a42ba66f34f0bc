package jwe

import (
	"encoding/base64"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// EncryptOptions are what a header says beside the name of the key. All may be
// left out.
type EncryptOptions struct {
	// Algorithm is the "alg" member. "" means the key's own: the one that it is
	// bound to, or the default of its type (A128KW, A192KW or A256KW by the size of
	// the secret, RSA-OAEP-256, ECDH-ES).
	Algorithm jwa.Algorithm

	// Encryption is the "enc" member. "" means A256GCM, and under "dir" what fits
	// the secret.
	Encryption jwa.Encryption

	// Type is the "typ" member, RFC 7516 §4.1.11; "" leaves it out.
	Type string

	// ContentType is the "cty" member, RFC 7516 §4.1.12; "" leaves it out. An
	// encrypted JWT has "JWT" here (RFC 7519 §5.2).
	ContentType string

	// Header has further members of the protected header, which must not be those
	// that this package writes by itself. Values are marshalled by encoding/json.
	Header map[string]any

	// Critical is the "crit" member: names of members of Header that a recipient
	// must understand, RFC 7516 §4.1.13.
	Critical []string

	// PartyU and PartyV are the "apu" and "apv" members, RFC 7518 §4.6.1: who
	// the two sides of a key agreement are. Only ECDH-ES has them; recipients of
	// a group that use something else go without.
	PartyU, PartyV []byte

	// Iterations is the "p2c" member, RFC 7518 §4.8.1.2, of PBES2. 0 means 600000
	// for SHA-256 and 310000 for SHA-384 and SHA-512; fewer than 1000 and more than
	// ten million are refused. Only PBES2 has them.
	Iterations int

	// Compress compresses the plaintext ("zip"). Do not, if somebody else has a
	// say in a part of it: the length of the message then gives away the rest
	// (RFC 8725 §3.6). Decrypters refuse such messages unless told otherwise.
	Compress bool

	// UnprotectedHeader has members that all can change on the way, for the JSON
	// serialization only: "unprotected", RFC 7516 §7.2.1. Decrypters refuse such
	// messages unless told otherwise.
	UnprotectedHeader map[string]any
}

// maxGCM is how many messages AES-GCM may encrypt under one key with random IVs,
// RFC 7518 §8.4 and NIST SP 800-38D §8.3.
const maxGCM = 1 << 32

// An Encrypter encrypts messages to one key, or each to the same several keys. It
// is built once and is safe for concurrent use.
type Encrypter struct {
	content    jwa.ContentEncryption
	senders    []*sender
	compress   bool
	shared     []byte // the shared unprotected header; nil if there is none
	protected  []byte // the protected header without its closing brace
	encoded    string // the whole protected header, encoded, if it is the same for all messages
	encrypted  atomic.Uint64
	exhaustion uint64 // how many messages the secret of "dir" may encrypt; 0 if any number
}

// NewEncrypter makes an encrypter to one key. It returns ErrKey if the key cannot
// be encrypted to or is not for the algorithms, and ErrOptions if the options are at
// fault.
//
// A secret that encrypts the messages themselves ("dir") with AES-GCM, or that
// wraps keys with AES-GCM, serves for 2^32 messages, all encrypters taken together.
// One encrypter counts its own and then returns ErrExhausted.
func NewEncrypter(key *jwk.Key, o EncryptOptions) (*Encrypter, error) {
	s, enc, err := newSender(key, o, false)
	if err != nil {
		return nil, err
	}
	return newEncrypter([]*sender{s}, enc, o)
}

// NewGroupEncrypter makes an encrypter to several keys, each of which decrypts the
// message. It encrypts in general JSON serialization only. The protected header then
// says nothing of the keys; what it says of each lies beside it, unprotected. "dir"
// and ECDH-ES without key wrapping are for one recipient only.
//
// The errors are those of [NewEncrypter].
func NewGroupEncrypter(keys []*jwk.Key, o EncryptOptions) (*Encrypter, error) {
	if len(keys) == 1 {
		return NewEncrypter(keys[0], o)
	}
	if len(keys) == 0 || len(keys) > maxRecipients {
		return nil, fmt.Errorf("%w: %d recipients; there may be 1 to %d", ErrOptions, len(keys), maxRecipients)
	}
	var senders []*sender
	var common jwa.Encryption
	for _, key := range keys {
		s, enc, err := newSender(key, o, true)
		if err != nil {
			return nil, err
		}
		senders, common = append(senders, s), enc
	}
	return newEncrypter(senders, common, o)
}

func newEncrypter(senders []*sender, enc jwa.Encryption, o EncryptOptions) (*Encrypter, error) {
	content, _ := enc.Content()
	e := &Encrypter{content: content, senders: senders, compress: o.Compress}
	first := senders[0]
	if first.row.Mode == jwa.Direct && content.Hash == 0 {
		e.exhaustion = maxGCM
	}
	var err error
	if e.shared, err = marshalShared(o.UnprotectedHeader); err != nil {
		return nil, err
	}
	open := []byte(`{`)
	if len(senders) == 1 {
		open = append(open, first.members...)
	}
	if e.protected, err = appendHeader(open, enc, o); err != nil {
		return nil, err
	}
	for _, s := range senders {
		if err := e.check(s, o.Critical); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrOptions, err)
		}
	}
	if len(senders) > 1 || first.constant() {
		e.encoded = base64.RawURLEncoding.EncodeToString(append(slices.Clone(e.protected), '}'))
	}
	return e, nil
}

// check reads the header as a recipient will.
func (e *Encrypter) check(s *sender, understood []string) error {
	own := ""
	if len(e.senders) > 1 {
		own = "{" + string(s.members) + "}"
	}
	var h Header
	if err := h.parseParts(string(e.protected)+"}", string(e.shared), own); err != nil {
		return err
	}
	return checkCritical(&h, understood)
}

// Encrypt encrypts one message; see [NewEncrypter] for the errors. Whoever
// encrypts more than one should keep an [Encrypter].
func Encrypt(plaintext []byte, key *jwk.Key, o EncryptOptions) (string, error) {
	e, err := NewEncrypter(key, o)
	if err != nil {
		return "", err
	}
	return e.Encrypt(plaintext)
}

// Encrypt encrypts a plaintext and returns it in compact serialization, RFC 7516
// §7.1. It returns ErrOptions if there is an unprotected header or more than one
// recipient, which this serialization has no room for, and ErrExhausted.
func (e *Encrypter) Encrypt(plaintext []byte) (string, error) {
	if len(e.senders) > 1 || e.shared != nil {
		return "", fmt.Errorf("%w: the compact serialization has one recipient and no unprotected header", ErrOptions)
	}
	scratch := scratches.Get().(*scratch)
	defer scratches.Put(scratch)
	s, err := e.seal(scratch, plaintext, nil)
	if err != nil {
		return "", err
	}
	message := scratch.message[:len(s.header)] // it lies there already
	for _, part := range [][]byte{s.keys[0].key, s.iv, s.ciphertext, s.tag} {
		message = base64.RawURLEncoding.AppendEncode(append(message, '.'), part)
	}
	scratch.message = message
	return string(message), nil
}

// sealed is an encrypted message that is not yet serialized.
type sealed struct {
	header              []byte // protected, encoded
	keys                []encryptedKey
	iv, ciphertext, tag []byte
}

// seal encrypts a plaintext, RFC 7516 §5.1. The result uses the scratch memory.
func (e *Encrypter) seal(scratch *scratch, plaintext, additional []byte) (s sealed, err error) {
	if e.exhaustion != 0 && e.encrypted.Add(1) > e.exhaustion {
		return s, fmt.Errorf("%w: %d messages were encrypted with one secret", ErrExhausted, e.exhaustion)
	}
	if e.compress {
		if plaintext, err = deflate(plaintext); err != nil {
			return s, err
		}
	}
	aead, keys, err := e.newKey()
	if err != nil {
		return s, err
	}
	s.keys = keys
	message := append(scratch.message[:0], e.encoded...)
	if e.encoded == "" { // only ever with one recipient
		scratch.decoded = append(append(append(scratch.decoded[:0], e.protected...), keys[0].members...), '}')
		message = base64.RawURLEncoding.AppendEncode(message, scratch.decoded)
	}
	split := len(message)
	scratch.message = appendAdditional(message, additional)
	s.header = scratch.message[:split]
	s.iv = random(make([]byte, e.content.IVSize))
	scratch.decoded = aead.Seal(scratch.decoded[:0], s.iv, plaintext, scratch.message)
	split = len(scratch.decoded) - e.content.TagSize
	s.ciphertext, s.tag = scratch.decoded[:split], scratch.decoded[split:]
	return s, nil
}

// appendAdditional appends what the tag covers beside the encoded header and the
// ciphertext, RFC 7516 §5.1 step 14.
func appendAdditional(dst, additional []byte) []byte {
	if len(additional) == 0 {
		return dst
	}
	return base64.RawURLEncoding.AppendEncode(append(dst, '.'), additional)
}
