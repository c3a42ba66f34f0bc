package jwe_test

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
)

// crafted is a message put together by hand, as somebody would who wants to break
// in. The content is sealed correctly for whatever the header says.
type crafted struct {
	header                         string // JSON text, or anything
	encrypted, iv, ciphertext, tag []byte
}

var encode = base64.RawURLEncoding.EncodeToString

func (c crafted) compact() string {
	return encode([]byte(c.header)) + "." + encode(c.encrypted) + "." + encode(c.iv) + "." + encode(c.ciphertext) + "." + encode(c.tag)
}

// flattened returns the message in JSON serialization with further members.
func (c crafted) flattened(more string) []byte {
	return fmt.Appendf(nil, `{"protected":%q,"encrypted_key":%q,"iv":%q,"ciphertext":%q,"tag":%q%s}`,
		encode([]byte(c.header)), encode(c.encrypted), encode(c.iv), encode(c.ciphertext), encode(c.tag), more)
}

// craft seals a plaintext with AES-GCM under a content encryption key.
func craft(cek []byte, header, plaintext string) crafted {
	return seal(newGCM(cek), header, plaintext)
}

func seal(aead cipher.AEAD, header, plaintext string) crafted {
	iv := randomBytes(aead.NonceSize())
	sealed := aead.Seal(nil, iv, []byte(plaintext), []byte(encode([]byte(header))))
	tag := len(sealed) - 16
	return crafted{header: header, iv: iv, ciphertext: sealed[:tag], tag: sealed[tag:]}
}

// craftWrapped does the same for a fresh key that it wraps with AES Key Wrap.
func craftWrapped(kek []byte, header, plaintext string) crafted {
	cek := randomBytes(32)
	c := craft(cek, header, plaintext)
	c.encrypted = plainWrap(must(aes.NewCipher(kek)), cek)
	return c
}

// secret32 is a secret for A256KW, A256GCMKW and "dir" with A256GCM.
var secret32 = randomBytes(32)

func bound(material any, alg jwa.Algorithm) *jwk.Key {
	return must(jwk.New(material, jwk.Params{Algorithm: alg}))
}

const dirHeader = `{"alg":"dir","enc":"A256GCM"}`

func accepts(t *testing.T, name, message string, keys jwk.Source, o jwe.DecryptOptions) jwe.Message {
	t.Helper()
	tally.accepted++
	m, err := jwe.Decrypt(background, message, keys, o)
	if err != nil {
		t.Errorf("%s: refused: %v", name, err)
	}
	return m
}

func refuses(t *testing.T, name, message string, keys jwk.Source, o jwe.DecryptOptions, want error) {
	t.Helper()
	m, err := jwe.Decrypt(background, message, keys, o)
	refused(t, name, m, err, want)
}

func acceptsJSON(t *testing.T, name string, message []byte, keys jwk.Source, o jwe.DecryptOptions) jwe.Message {
	t.Helper()
	tally.accepted++
	m, err := jwe.DecryptJSON(background, message, keys, o)
	if err != nil {
		t.Errorf("%s: refused: %v", name, err)
	}
	return m
}

func refusesJSON(t *testing.T, name string, message []byte, keys jwk.Source, o jwe.DecryptOptions, want error) {
	t.Helper()
	m, err := jwe.DecryptJSON(background, message, keys, o)
	refused(t, name, m, err, want)
}

func refused(t *testing.T, name string, m jwe.Message, err, want error) {
	t.Helper()
	tally.refused++
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", name, err, want)
	}
	if m.Plaintext != nil || m.Key != nil || m.Header.Algorithm != "" || m.AdditionalData != nil {
		t.Errorf("%s: something was returned: %+v", name, m)
	}
}

func compress(plaintext []byte) string {
	var out bytes.Buffer
	w := must(flate.NewWriter(&out, flate.BestCompression))
	must(w.Write(plaintext))
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.String()
}
