package jws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

func TestSignAndVerify(t *testing.T) {
	for _, row := range jwa.Signatures() {
		k := key(row.Name)
		token := must(jws.Sign([]byte("payload"), k, jws.SignOptions{Type: "example+jws", ContentType: "text/plain", Header: map[string]any{"x": []int{1}}}))
		m, err := jws.Verify(ctx, token, k, jws.VerifyOptions{Algorithms: []jwa.Algorithm{row.Name}})
		if err != nil {
			t.Errorf("%s: %v", row.Name, err)
			continue
		}
		h := m.Header
		if h.Algorithm != row.Name || h.KeyID != k.ID() || h.Type != "example+jws" || h.ContentType != "text/plain" || string(m.Payload) != "payload" {
			t.Errorf("%s: %+v", row.Name, m)
		}
		if x, ok := h.Member("x"); !ok || string(x) != "[1]" {
			t.Errorf("%s: member x is %s", row.Name, x)
		}
		if x, ok := h.Member("X"); ok {
			t.Errorf("%s: member X is %s", row.Name, x)
		}
		if text := must(json.Marshal(h)); !json.Valid(text) || !strings.HasPrefix(string(text), `{"alg":"`+string(row.Name)+`","typ":`) {
			t.Errorf("%s: %s", row.Name, text)
		}
	}
}

func TestSignOptions(t *testing.T) {
	rs, public := key(jwa.RS256), must(key(jwa.RS256).Public())
	unbound := must(jwk.New(make([]byte, 64), jwk.Params{}))
	enc := must(jwk.New(must(jwk.Generate(jwa.RS256)).PublicKey(), jwk.Params{Use: jwk.UseEncryption}))
	for _, row := range []struct {
		name string
		key  *jwk.Key
		o    jws.SignOptions
		want error
	}{
		{"good", rs, jws.SignOptions{}, nil},
		{"the key's algorithm", rs, jws.SignOptions{Algorithm: jwa.RS256}, nil},
		{"one of an unbound key's", unbound, jws.SignOptions{Algorithm: jwa.HS512}, nil},
		{"crit", rs, jws.SignOptions{Critical: []string{"x"}, Header: map[string]any{"x": 1}}, nil},
		{"another algorithm", rs, jws.SignOptions{Algorithm: jwa.PS256}, jws.ErrKey},
		{"another family", rs, jws.SignOptions{Algorithm: jwa.HS256}, jws.ErrKey},
		{"none", rs, jws.SignOptions{Algorithm: "none"}, jws.ErrKey},
		{"no key", nil, jws.SignOptions{}, jws.ErrKey},
		{"public key", public, jws.SignOptions{}, jws.ErrKey},
		{"key for encryption", enc, jws.SignOptions{}, jws.ErrKey},
		{"alg in Header", rs, jws.SignOptions{Header: map[string]any{"alg": "none"}}, jws.ErrOptions},
		{"kid in Header", rs, jws.SignOptions{Header: map[string]any{"kid": "x"}}, jws.ErrOptions},
		{"typ in Header", rs, jws.SignOptions{Header: map[string]any{"typ": "x"}}, jws.ErrOptions},
		{"crit in Header", rs, jws.SignOptions{Header: map[string]any{"crit": []string{"x"}}}, jws.ErrOptions},
		{"b64 in Header", rs, jws.SignOptions{Header: map[string]any{"b64": false}}, jws.ErrOptions},
		{"crit without its member", rs, jws.SignOptions{Critical: []string{"x"}}, jws.ErrOptions},
		{"empty crit", rs, jws.SignOptions{Critical: []string{}}, jws.ErrOptions},
		{"registered crit", rs, jws.SignOptions{Critical: []string{"typ"}, Type: "x"}, jws.ErrOptions},
		{"a value that is no JSON", rs, jws.SignOptions{Header: map[string]any{"x": func() {}}}, jws.ErrOptions},
		{"a value with a member twice", rs, jws.SignOptions{Header: map[string]any{"x": json.RawMessage(`{"a":1,"a":2}`)}}, jws.ErrOptions},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := jws.NewSigner(row.key, row.o)
			if !errors.Is(err, row.want) || (s == nil) != (row.want != nil) {
				t.Errorf("got %v", err)
			}
			if s == nil {
				return
			}
			token := must(s.Sign(nil))
			m, err := jws.Verify(ctx, token, row.key, jws.VerifyOptions{Critical: row.o.Critical})
			if err != nil || len(m.Payload) != 0 || fmt.Sprint(m.Header) != fmt.Sprint(s.Header()) {
				t.Error(m, err)
			}
		})
	}
}

func TestVerifyOptions(t *testing.T) {
	hs := key(jwa.HS256)
	token := must(jws.Sign([]byte("x"), hs, jws.SignOptions{}))
	accepts(t, "the algorithm", token, hs, jws.VerifyOptions{Algorithms: []jwa.Algorithm{jwa.RS256, jwa.HS256}})
	refuses(t, "another", token, hs, jws.VerifyOptions{Algorithms: []jwa.Algorithm{jwa.HS384}}, jws.ErrAlgorithm)
	refuses(t, "an empty list", token, hs, jws.VerifyOptions{Algorithms: []jwa.Algorithm{}}, jws.ErrOptions)
	refuses(t, "an unknown one", token, hs, jws.VerifyOptions{Algorithms: []jwa.Algorithm{jwa.HS256, "HS1"}}, jws.ErrOptions)
	refuses(t, "an unsupported one", token, hs, jws.VerifyOptions{Algorithms: []jwa.Algorithm{jwa.HS256, jwa.ES256K}}, jws.ErrOptions)
	accepts(t, "exactly as long", token, hs, jws.VerifyOptions{MaxSize: len(token)})
	refuses(t, "one byte longer", token, hs, jws.VerifyOptions{MaxSize: len(token) - 1}, jws.ErrTooLong)
	refuses(t, "negative", token, hs, jws.VerifyOptions{MaxSize: -1}, jws.ErrOptions)
	long := must(jws.Sign(make([]byte, 64<<10), hs, jws.SignOptions{}))
	refuses(t, "64 KiB", long, hs, jws.VerifyOptions{}, jws.ErrMalformed)
	accepts(t, "64 KiB if asked for", long, hs, jws.VerifyOptions{MaxSize: 128 << 10})
}

// A caller's list may change after the verifier was made; the verifier does not.
func TestVerifierOwnsItsOptions(t *testing.T) {
	hs := key(jwa.HS256)
	list := []jwa.Algorithm{jwa.HS384}
	v := must(jws.NewVerifier(hs, jws.VerifyOptions{Algorithms: list}))
	list[0] = jwa.HS256
	if _, err := v.Verify(ctx, must(jws.Sign(nil, hs, jws.SignOptions{}))); !errors.Is(err, jws.ErrAlgorithm) {
		t.Error(err)
	}
}

// What a verifier remembers of one message must not help another.
func TestRememberedHeader(t *testing.T) {
	hs, other := key(jwa.HS256), must(jwk.Generate(jwa.HS256))
	v := must(jws.NewVerifier(hs, jws.VerifyOptions{Critical: []string{"x"}}))
	header := `{"alg":"HS256","crit":["x"],"x":1}`
	for range 3 {
		m, err := v.Verify(ctx, forge(hs, header, "a"))
		if err != nil || string(m.Payload) != "a" || len(m.Header.Critical) != 1 {
			t.Fatal(m, err)
		}
		m.Header.Critical[0] = "spoilt"
		if _, err := v.Verify(ctx, forge(other, header, "a")); !errors.Is(err, jws.ErrSignature) {
			t.Error("same header, another key:", err)
		}
		if _, err := v.Verify(ctx, forge(hs, `{"alg":"HS256","crit":["y"],"y":1}`, "a")); !errors.Is(err, jws.ErrCritical) {
			t.Error("another header:", err)
		}
	}
	if m, err := v.Verify(ctx, forge(hs, header, "a")); err != nil || m.Header.Critical[0] != "x" {
		t.Error(m, err)
	}
}

func TestVerifyAppend(t *testing.T) {
	hs := key(jwa.HS256)
	v := must(jws.NewVerifier(hs, jws.VerifyOptions{}))
	token := must(jws.Sign([]byte("payload"), hs, jws.SignOptions{}))
	m, err := v.VerifyAppend(ctx, []byte("prefix "), token)
	if err != nil || string(m.Payload) != "prefix payload" {
		t.Error(m, err)
	}
	if m, err := v.VerifyAppend(ctx, []byte("prefix "), token[:len(token)-1]); err == nil || m.Payload != nil {
		t.Error(m, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	es, hs := key(jwa.ES256), key(jwa.HS256)
	signers := []*jws.Signer{must(jws.NewSigner(es, jws.SignOptions{})), must(jws.NewSigner(hs, jws.SignOptions{}))}
	source := jwk.SourceFunc(func(_ context.Context, kid string) ([]*jwk.Key, error) {
		if kid == es.ID() {
			return []*jwk.Key{es}, nil
		}
		return []*jwk.Key{hs}, nil
	})
	v := must(jws.NewVerifier(source, jws.VerifyOptions{}))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 40 {
				payload := fmt.Append(nil, i, " ", j)
				m, err := v.Verify(ctx, must(signers[j%2].Sign(payload)))
				if err != nil || !bytes.Equal(m.Payload, payload) {
					t.Error(m, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestDecodeUnverified(t *testing.T) {
	h, payload, err := jws.DecodeUnverified(b64(`{"alg":"none","kid":"k"}`) + "." + b64("x") + ".")
	if err != nil || h.Algorithm != "none" || h.KeyID != "k" || string(payload) != "x" {
		t.Error(h, payload, err)
	}
	for _, token := range []string{"", "..", b64(`{"alg":"none"}`), b64(`{}`) + "..", b64(`{"alg":"none"}`) + ".x=.", "x.y.z", strings.Repeat("a", 70_000) + ".."} {
		if h, payload, err := jws.DecodeUnverified(token); !errors.Is(err, jws.ErrMalformed) || payload != nil || h.Algorithm != "" {
			t.Errorf("%.20q: %v %v %v", token, h, payload, err)
		}
	}
}

// FuzzVerify: nothing panics, and whatever is accepted is the one token that the
// key has signed, or has the same signed text.
func FuzzVerify(f *testing.F) {
	hs := must(jwk.New(bytes.Repeat([]byte{1}, 32), jwk.Params{}))
	good := must(jws.Sign([]byte("payload"), hs, jws.SignOptions{Type: "JWT"}))
	f.Add(good)
	f.Add(b64(`{"alg":"none"}`) + "." + b64("x") + ".")
	f.Add(b64(`{"alg":"HS256","crit":["b64"],"b64":false}`) + ".x.")
	f.Add("..")
	f.Add(`{"payload":"","signatures":[{}]}`)
	f.Fuzz(func(t *testing.T, token string) {
		m, err := jws.Verify(ctx, token, hs, jws.VerifyOptions{})
		if err == nil && token != good {
			t.Fatalf("%s is accepted: %v", token, m)
		}
		if err != nil && (m.Payload != nil || m.Key != nil) {
			t.Fatalf("%v was returned with %v", m, err)
		}
		if _, _, err := jws.DecodeUnverified(token); err != nil && !errors.Is(err, jws.ErrMalformed) && !errors.Is(err, jws.ErrCritical) {
			t.Fatal(err)
		}
	})
}

// FuzzHeader signs what is found, so that the header is read to its end.
func FuzzHeader(f *testing.F) {
	hs := must(jwk.New(bytes.Repeat([]byte{1}, 32), jwk.Params{}))
	for _, header := range []string{`{"alg":"HS256"}`, `{"alg":"HS256","kid":"a","typ":"JWT","cty":"x","crit":["x"],"x":[{"y":null}]}`, `{"alg":"none","alg":"HS256"}`} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		m, err := jws.Verify(ctx, forge(hs, header, "x"), hs, jws.VerifyOptions{Critical: []string{"x"}})
		if err != nil {
			return
		}
		var want struct{ Alg, Kid, Typ, Cty string }
		text := must(json.Marshal(m.Header))
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if m.Header.Algorithm != jwa.HS256 {
			t.Fatalf("%s is accepted as %s", header, m.Header.Algorithm)
		}
	})
}
