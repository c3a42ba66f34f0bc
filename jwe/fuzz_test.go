package jwe_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"errors"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
)

// fuzzKeys answers for every identifier with keys of all kinds but RSA, which
// would only slow it down.
func fuzzKeys() (jwk.Source, []*jwk.Key) {
	keys := []*jwk.Key{
		must(jwk.New(bytes.Repeat([]byte{1}, 32), jwk.Params{})), must(jwk.New(bytes.Repeat([]byte{2}, 16), jwk.Params{})),
		must(jwk.New(bytes.Repeat([]byte{3}, 64), jwk.Params{})), must(jwk.New(ecMaterial, jwk.Params{})), must(jwk.New(xMaterial, jwk.Params{})),
		must(jwk.New([]byte("password"), jwk.Params{Algorithm: jwa.PBES2HS256A128KW})),
	}
	return jwk.SourceFunc(func(context.Context, string) ([]*jwk.Key, error) { return keys, nil }), keys
}

var fuzzOptions = jwe.DecryptOptions{
	UnprotectedHeader: true, MaxRecipients: 4, Decompress: true, MaxIterations: 2000, Critical: []string{"x"},
}

// sentinels are all that may be wrong with a message.
var sentinels = []error{
	jwe.ErrMalformed, jwe.ErrCritical, jwe.ErrAlgorithm, jwe.ErrCompression, jwe.ErrRecipients, jwe.ErrUnprotected, jwe.ErrKey, jwe.ErrTooCostly, jwe.ErrDecryption,
}

func checkFuzzed(t *testing.T, m jwe.Message, err error) {
	t.Helper()
	if err == nil {
		if m.Key == nil || m.Header.Algorithm == "" || m.Header.Encryption == "" {
			t.Fatalf("decrypted to %+v", m)
		}
		return
	}
	if m.Plaintext != nil || m.Key != nil || m.Header.Algorithm != "" {
		t.Fatalf("refused with %v, and yet %+v", err, m)
	}
	for _, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			return
		}
	}
	t.Fatalf("an error of no kind: %v", err)
}

func FuzzDecrypt(f *testing.F) {
	source, keys := fuzzKeys()
	for _, key := range keys {
		for _, alg := range key.KeyManagement() {
			o := jwe.EncryptOptions{Algorithm: alg, Compress: alg == jwa.Dir}
			if key.Algorithm() != "" {
				o.Iterations = 1000
			}
			f.Add(must(jwe.Encrypt([]byte("text"), key, o)))
		}
	}
	f.Add("....")
	d := must(jwe.NewDecrypter(source, fuzzOptions))
	f.Fuzz(func(t *testing.T, message string) {
		m, err := d.Decrypt(background, message)
		checkFuzzed(t, m, err)
		if err == nil {
			again, err := d.Decrypt(background, message)
			if err != nil || !bytes.Equal(again.Plaintext, m.Plaintext) {
				t.Fatalf("the second time %q, %v", again.Plaintext, err)
			}
		}
		h, err := jwe.DecodeUnverified(message)
		if err == nil && m.Key != nil && h.Algorithm != m.Header.Algorithm {
			t.Fatalf("%+v is read as %+v", m.Header, h)
		}
	})
}

func FuzzDecryptJSON(f *testing.F) {
	source, keys := fuzzKeys()
	o := jwe.EncryptOptions{Iterations: 1000, UnprotectedHeader: map[string]any{"y": 1}, Header: map[string]any{"x": 1}, Critical: []string{"x"}}
	f.Add(must(jwe.EncryptJSON([]byte("text"), []byte("data"), []*jwk.Key{keys[0], keys[1], keys[3], keys[5]}, o)))
	f.Add(must(jwe.EncryptJSON([]byte("text"), nil, keys[4:5], jwe.EncryptOptions{})))
	f.Add([]byte(`{"ciphertext":"AAAA","recipients":[{}]}`))
	f.Add([]byte(`{"protected":"e30","unprotected":{"alg":"dir"},"header":{"enc":"A256GCM"},"iv":"AAAA","ciphertext":"","tag":"AAAA"}`))
	d := must(jwe.NewDecrypter(source, fuzzOptions))
	f.Fuzz(func(t *testing.T, message []byte) {
		m, err := d.DecryptJSON(background, message)
		checkFuzzed(t, m, err)
	})
}

// FuzzRoundTrip encrypts whatever it gets and expects the same back.
func FuzzRoundTrip(f *testing.F) {
	_, keys := fuzzKeys()
	f.Add([]byte("text"), []byte("data"), uint8(0), true)
	f.Add([]byte{}, []byte{}, uint8(4), false)
	f.Fuzz(func(t *testing.T, text, data []byte, which uint8, zip bool) {
		key := keys[int(which)%len(keys)]
		o := jwe.EncryptOptions{Compress: zip, Header: map[string]any{"x": data}}
		if key.Algorithm() != "" {
			o.Iterations = 1000
		}
		d := must(jwe.NewDecrypter(key, jwe.DecryptOptions{Decompress: true, MaxSize: 1 << 24, MaxDecompressed: 1 << 24}))
		m, err := d.DecryptJSON(background, must(jwe.EncryptJSON(text, data, []*jwk.Key{key}, o)))
		if errors.Is(err, jwe.ErrCompression) && len(text) > 16<<10 { // it may shrink to less than a hundredth
			return
		}
		if err != nil || !bytes.Equal(m.Plaintext, text) || !bytes.Equal(m.AdditionalData, data) {
			t.Fatalf("%q and %q became %q and %q, %v", text, data, m.Plaintext, m.AdditionalData, err)
		}
	})
}

// FuzzKeyWrap compares with RFC 3394 written down a second time, through the
// package's own door.
func FuzzKeyWrap(f *testing.F) {
	f.Add(make([]byte, 32), make([]byte, 32), uint16(0))
	f.Fuzz(func(t *testing.T, kek, cek []byte, flip uint16) {
		if len(kek) != 32 || len(cek) != 32 {
			return
		}
		key := bound(kek, jwa.A256KW)
		c := craft(cek, `{"alg":"A256KW","enc":"A256GCM"}`, "text")
		c.encrypted = plainWrap(must(aes.NewCipher(kek)), cek)
		accepts(t, "good twin", c.compact(), key, jwe.DecryptOptions{})
		c.encrypted[int(flip/8)%len(c.encrypted)] ^= 1 << (flip % 8)
		refuses(t, "one bit changed", c.compact(), key, jwe.DecryptOptions{}, jwe.ErrDecryption)
	})
}
