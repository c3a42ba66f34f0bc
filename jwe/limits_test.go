package jwe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// RFC 7518 §8.4: 2^32 messages with one key and random IVs.
func TestExhaustion(t *testing.T) {
	for _, row := range []struct {
		alg jwa.Algorithm
		ok  bool // whether it may go on for ever
	}{
		{jwa.Algorithm(jwa.A256GCM), false}, {jwa.A128GCMKW, false}, {jwa.Algorithm(jwa.A128CBCHS256), true}, {jwa.A256KW, true},
	} {
		e := ok(NewEncrypter(ok(jwk.Generate(row.alg)), EncryptOptions{}))
		e.encrypted.Store(maxGCM - 1)
		e.senders[0].wrapped.Store(maxGCM - 1)
		if _, err := e.Encrypt([]byte("the last")); err != nil {
			t.Errorf("%s: %v", row.alg, err)
		}
		for range 2 {
			m, err := e.Encrypt([]byte("one more"))
			if row.ok != (err == nil) || !row.ok && (!errors.Is(err, ErrExhausted) || m != "") {
				t.Errorf("%s: %q, %v", row.alg, m, err)
			}
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	var c cache[int, int]
	for i := range 100 {
		c.add(i, i, 16)
		if v, found := c.load(i); !found || v != i {
			t.Fatalf("%d is %d, %v", i, v, found)
		}
		if n := len(*c.kept.Load()); n > 16 {
			t.Fatalf("%d are kept", n)
		}
	}
}

// Whoever can encrypt to us cannot make us remember what we like.
func TestHeadersAreBounded(t *testing.T) {
	key := ok(jwk.Generate(jwa.A256KW))
	d := ok(NewDecrypter(key, DecryptOptions{Critical: []string{"x"}}))
	decrypt := func(o EncryptOptions) {
		t.Helper()
		for range 2 {
			m, err := d.Decrypt(context.Background(), ok(Encrypt([]byte("text"), key, o)))
			if err != nil || m.Header.Type != o.Type || len(m.Header.Critical) != len(o.Critical) {
				t.Errorf("%+v, %v", m.Header, err)
			}
		}
	}
	for i := range 50 {
		decrypt(EncryptOptions{Type: fmt.Sprint(i)})
	}
	if n := len(*d.headers.kept.Load()); n == 0 || n > maxKnownHeaders {
		t.Errorf("%d headers are kept", n)
	}
	before := d.headers.kept.Load()
	decrypt(EncryptOptions{Type: string(bytes.Repeat([]byte("x"), 1000))})
	decrypt(EncryptOptions{Critical: []string{"x"}, Header: map[string]any{"x": 1}})
	if d.headers.kept.Load() != before {
		t.Error("a long header or one with extensions is kept")
	}
	for encoded, known := range *before {
		if want := (Header{}); known.header.parameters.epk != want.parameters.epk || len(encoded) > maxKnownHeader {
			t.Errorf("kept %q", encoded)
		}
	}
}

func FuzzInflate(f *testing.F) {
	f.Add(ok(deflate([]byte("text text text"))))
	f.Add([]byte{})
	f.Add(ok(deflate(make([]byte, 100_000))))
	f.Fuzz(func(t *testing.T, compressed []byte) {
		const limit = 50_000
		plaintext, err := inflate(compressed, limit)
		if err != nil {
			if plaintext != nil || !errors.Is(err, ErrCompression) {
				t.Fatalf("%q, %v", plaintext, err)
			}
			return
		}
		if len(plaintext) > limit || len(plaintext) > max(freeFromRatio, maxRatio*len(compressed)) {
			t.Fatalf("%d bytes became %d", len(compressed), len(plaintext))
		}
		if again, err := inflate(ok(deflate(plaintext)), limit); errors.Is(err, ErrCompression) != (again == nil) {
			t.Fatalf("%q, %v", again, err)
		}
	})
}
