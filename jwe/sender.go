package jwe

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// maxIterations is the greatest number of iterations that an encrypter takes:
// several seconds of work for every reader.
const maxIterations = 10_000_000

// A sender encrypts content encryption keys to one recipient.
type sender struct {
	key        *jwk.Key
	row        jwa.KeyManagement
	schedule   schedule        // of a secret
	recipient  *ecdh.PublicKey // of a key agreement
	parties    parties
	password   []byte
	iterations int
	members    []byte        // of the header, that are the same for all messages
	wrapped    atomic.Uint64 // how many keys AES-GCM has wrapped
}

// newSender makes a sender and chooses the content encryption. Of a group, the
// recipients cannot dictate the key.
func newSender(key *jwk.Key, o EncryptOptions, group bool) (*sender, jwa.Encryption, error) {
	row, enc, err := algorithmsOf(key, o, group)
	if err != nil {
		return nil, "", err
	}
	if err := key.Permits(row.Name, jwk.ToEncrypt); err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	s := &sender{key: key, row: row}
	agrees := row.Mode == jwa.Agreement || row.Mode == jwa.AgreementWrap
	switch {
	case !agrees && !group && (o.PartyU != nil || o.PartyV != nil):
		return nil, "", fmt.Errorf("%w: %s has no parties to name", ErrOptions, row.Name)
	case row.Mode != jwa.Password && !group && o.Iterations != 0:
		return nil, "", fmt.Errorf("%w: %s has no iterations", ErrOptions, row.Name)
	}
	if err := s.prepare(enc, o); err != nil {
		return nil, "", err
	}
	s.members, err = s.marshalMembers()
	return s, enc, err
}

// prepare does for all messages what need be done but once.
func (s *sender) prepare(enc jwa.Encryption, o EncryptOptions) (err error) {
	switch s.row.Mode {
	case jwa.Agreement, jwa.AgreementWrap:
		s.parties = parties{slices.Clone(o.PartyU), slices.Clone(o.PartyV)}
		s.recipient, err = s.key.ExchangeKey(s.row.Name)
	case jwa.Password:
		s.iterations = o.Iterations
		if s.iterations == 0 {
			s.iterations = defaultIterations[s.row.Hash]
		}
		if s.iterations < minIterations || s.iterations > maxIterations { // RFC 7518 §4.8.1.2
			return fmt.Errorf("%w: %d iterations; there may be %d to %d", ErrOptions, s.iterations, minIterations, maxIterations)
		}
		s.password, err = s.key.Secret(s.row.Name, jwk.ToEncrypt)
	case jwa.Direct, jwa.Wrap, jwa.WrapGCM:
		var secret []byte
		if secret, err = s.key.Secret(s.row.Name, jwk.ToEncrypt); err != nil {
			break
		}
		content, _ := enc.Content()
		s.schedule, err = newSchedule(s.row, content, secret)
		clear(secret)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	return nil
}

// algorithmsOf returns the algorithms to encrypt with: those asked for if the key
// does them, or else the key's first.
func algorithmsOf(key *jwk.Key, o EncryptOptions, group bool) (row jwa.KeyManagement, enc jwa.Encryption, err error) {
	if key == nil {
		return row, "", fmt.Errorf("%w: no key to encrypt to", ErrKey)
	}
	own := key.KeyManagement()
	if group && o.Algorithm == "" {
		own = slices.DeleteFunc(own, func(alg jwa.Algorithm) bool {
			row, _ := alg.KeyManagement()
			return alone(row.Mode)
		})
	}
	alg := o.Algorithm
	switch {
	case len(own) == 0:
		return row, "", fmt.Errorf("%w: the key is not for encryption: %v", ErrKey, key)
	case alg == "":
		alg = own[0]
	case !slices.Contains(own, alg):
		return row, "", fmt.Errorf("%w: the key does not do %.40q: %v", ErrKey, string(alg), key)
	}
	if row, _ = alg.KeyManagement(); group && alone(row.Mode) {
		return row, "", fmt.Errorf("%w: %s has one recipient only", ErrOptions, alg)
	}
	encryptions := key.Encryption(alg)
	enc = o.Encryption
	switch {
	case enc == "":
		enc = encryptions[0]
	case !slices.Contains(encryptions, enc):
		return row, "", fmt.Errorf("%w: the key does not do %.40q with %.40q: %v", ErrKey, string(alg), string(enc), key)
	}
	return row, enc, nil
}

// constant reports whether the header is the same for all messages.
func (s *sender) constant() bool {
	return s.row.Mode == jwa.Direct || s.row.Mode == jwa.Wrap || s.row.Mode == jwa.OAEP
}

// An encryptedKey is a content encryption key for one recipient.
type encryptedKey struct {
	key     []byte // empty if the recipient has it already, or will agree upon it
	members []byte // of the header, that are different for each message: `,"iv":…`
}

// newKey takes a content encryption key for one message and encrypts it to all
// recipients, RFC 7516 §5.1 steps 1 to 7.
func (e *Encrypter) newKey() (aead cipher.AEAD, keys []encryptedKey, err error) {
	keys = make([]encryptedKey, len(e.senders))
	first := e.senders[0]
	if first.row.Mode == jwa.Direct {
		return first.schedule.aead, keys, nil
	}
	var buffer [maxCEK]byte
	cek := buffer[:e.content.KeySize]
	defer clear(cek)
	if first.row.Mode == jwa.Agreement {
		var agreed []byte
		agreed, keys[0].members, err = first.agree(e.content)
		copy(cek, agreed)
		clear(agreed)
	} else {
		random(cek)
		for i, s := range e.senders {
			if keys[i], err = s.encryptKey(cek, e.content); err != nil {
				break
			}
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("jwe: encrypt the key: %w", err)
	}
	aead, err = newContent(e.content, cek)
	return aead, keys, err
}

// encryptKey encrypts a content encryption key, RFC 7518 §4.
func (s *sender) encryptKey(cek []byte, content jwa.ContentEncryption) (k encryptedKey, err error) {
	var kek []byte
	switch s.row.Mode {
	case jwa.Wrap:
		k.key = wrap(s.schedule.block, cek)
		return k, nil
	case jwa.OAEP:
		k.key, err = s.key.WrapOAEP(s.row.Name, cek)
		return k, err
	case jwa.WrapGCM: // RFC 7518 §4.7
		if s.wrapped.Add(1) > maxGCM {
			return k, fmt.Errorf("%w: %d keys were wrapped with one secret", ErrExhausted, uint64(maxGCM))
		}
		iv := random(make([]byte, gcmIVSize))
		out := s.schedule.aead.Seal(nil, iv, cek, nil)
		k.key = out[:len(cek)]
		k.members = appendBytes(appendBytes(make([]byte, 0, 64), "iv", iv), "tag", out[len(cek):])
		return k, nil
	case jwa.AgreementWrap:
		kek, k.members, err = s.agree(content)
	case jwa.Password: // RFC 7518 §4.8
		salt := random(make([]byte, saltSize))
		kek, err = stretch(s.row, s.password, salt, s.iterations)
		k.members = strconv.AppendInt(append(appendBytes(nil, "p2s", salt), `,"p2c":`...), int64(s.iterations), 10)
	}
	if err != nil {
		return k, err
	}
	defer clear(kek)
	block, err := aes.NewCipher(kek)
	if err != nil {
		return k, err
	}
	k.key = wrap(block, cek)
	return k, nil
}

// agree makes an ephemeral key, derives the agreed one and returns it with the
// "epk" member, RFC 7518 §4.6.
func (s *sender) agree(content jwa.ContentEncryption) (key, member []byte, err error) {
	ephemeral, err := s.recipient.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	shared, err := ephemeral.ECDH(s.recipient)
	if err != nil { // a recipient of low order, RFC 8037 §3.2.1
		return nil, nil, err
	}
	defer clear(shared)
	return derive(shared, s.row, content, s.parties), appendEphemeral(make([]byte, 0, 160), ephemeral.PublicKey()), nil
}

// appendBytes appends a member in base64url and the comma before it.
func appendBytes(dst []byte, name string, value []byte) []byte {
	dst = append(append(append(dst, `,"`...), name...), `":"`...)
	return append(base64.RawURLEncoding.AppendEncode(dst, value), '"')
}

// marshalMembers writes the members that concern the recipient and are the same
// for all messages, without braces, "alg" first.
func (s *sender) marshalMembers() ([]byte, error) {
	raw, err := appendMember(nil, "alg", string(s.row.Name))
	if id := s.key.ID(); err == nil && id != "" {
		raw, err = appendMember(append(raw, ','), "kid", id)
	}
	if s.parties.u != nil {
		raw = appendBytes(raw, "apu", s.parties.u)
	}
	if s.parties.v != nil {
		raw = appendBytes(raw, "apv", s.parties.v)
	}
	return raw, err
}

// appendHeader writes the members that concern the message, the members of
// o.Header in the order of their names, so that equal options make equal bytes.
func appendHeader(raw []byte, enc jwa.Encryption, o EncryptOptions) ([]byte, error) {
	if len(raw) > 1 {
		raw = append(raw, ',')
	}
	raw, err := appendMember(raw, "enc", string(enc))
	if err != nil {
		return nil, err
	}
	zip := ""
	if o.Compress {
		zip = deflated
	}
	for _, m := range []struct{ name, value string }{{"zip", zip}, {"typ", o.Type}, {"cty", o.ContentType}} {
		if m.value == "" {
			continue
		}
		if raw, err = appendMember(append(raw, ','), m.name, m.value); err != nil {
			return nil, err
		}
	}
	if o.Critical != nil {
		if raw, err = appendMember(append(raw, ','), "crit", o.Critical); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Header)) {
		if slices.Contains(written, name) {
			return nil, fmt.Errorf("%w: the header member %q is not for Header", ErrOptions, name)
		}
		if raw, err = appendMember(append(raw, ','), name, o.Header[name]); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// written are the members that this package writes by itself.
var written = []string{"alg", "enc", "zip", "kid", "typ", "cty", "crit", "epk", "apu", "apv", "iv", "tag", "p2s", "p2c"}

// marshalShared writes the shared unprotected header, RFC 7516 §7.2.1; nil if it
// is empty.
func marshalShared(members map[string]any) ([]byte, error) {
	if len(members) == 0 {
		return nil, nil
	}
	for _, name := range written {
		if _, ok := members[name]; ok {
			return nil, fmt.Errorf("%w: the header member %q is not for UnprotectedHeader", ErrOptions, name)
		}
	}
	raw, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("%w: unprotected header: %w", ErrOptions, err)
	}
	return raw, nil
}

func appendMember(dst []byte, name string, value any) ([]byte, error) {
	for i, part := range []any{name, value} {
		text, err := json.Marshal(part)
		if err != nil {
			return nil, fmt.Errorf("%w: header: %w", ErrOptions, err)
		}
		if i == 1 {
			dst = append(dst, ':')
		}
		dst = append(dst, text...)
	}
	return dst, nil
}
