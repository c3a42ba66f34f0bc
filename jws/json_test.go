package jws_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// A vector of the RFC 7520 cookbook.
type vector struct {
	Input struct {
		Payload string
		Key     json.RawMessage
	}
	Output struct {
		Compact string
		General json.RawMessage `json:"json"`
		Flat    json.RawMessage `json:"json_flat"`
	}
}

func readVector(t *testing.T, folder, name string) vector {
	t.Helper()
	var v vector
	if err := json.Unmarshal(read(t, folder, name+".json"), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// RFC 7520 §4.1 to §4.7 in both JSON serializations.
func TestRFC7520JSON(t *testing.T) {
	for _, row := range []struct {
		name        string
		unprotected bool
	}{
		{"4_1.rsa_v15_signature", false}, {"4_2.rsa-pss_signature", false}, {"4_3.ecdsa_signature", false}, {"4_4.hmac-sha2_integrity_protection", false},
		{"4_5.signature_with_detached_content", false}, {"4_6.protecting_specific_header_fields", false}, {"4_7.protecting_content_only", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := readVector(t, "rfc7520", row.name)
			key := must(jwk.Parse(v.Input.Key))
			for _, text := range []json.RawMessage{v.Output.General, v.Output.Flat} {
				verify := func(o jws.VerifyOptions) (jws.Message, error) {
					if verifier := must(jws.NewVerifier(key, o)); strings.Contains(string(text), `"payload"`) {
						return verifier.VerifyJSON(ctx, text)
					} else {
						return verifier.VerifyJSONDetached(ctx, text, []byte(v.Input.Payload))
					}
				}
				m, err := verify(jws.VerifyOptions{InsecureUnprotected: row.unprotected})
				if err != nil || string(m.Payload) != v.Input.Payload || m.Key != key {
					t.Errorf("%s: %+v, %v", text, m, err)
				}
				// J48: what is not protected chooses no algorithm.
				if _, err := verify(jws.VerifyOptions{}); row.unprotected != errors.Is(err, jws.ErrAlgorithm) {
					t.Error(err)
				}
			}
		})
	}
	v := readVector(t, "rfc7520", "4_5.signature_with_detached_content")
	verifier := must(jws.NewVerifier(must(jwk.Parse(v.Input.Key)), jws.VerifyOptions{}))
	if m, err := verifier.VerifyDetached(ctx, v.Output.Compact, []byte(v.Input.Payload)); err != nil || string(m.Payload) != v.Input.Payload {
		t.Error(m, err)
	}
	if _, err := verifier.VerifyDetached(ctx, v.Output.Compact, []byte(v.Input.Payload+".")); !errors.Is(err, jws.ErrSignature) {
		t.Error(err)
	}
}

// RFC 7520 §4.8: three signatures, two of them by keys of one name.
func TestRFC7520MultipleSignatures(t *testing.T) {
	v := readVector(t, "rfc7520", "4_8.multiple_signatures")
	var texts []json.RawMessage
	if err := json.Unmarshal(v.Input.Key, &texts); err != nil {
		t.Fatal(err)
	}
	var keys []*jwk.Key
	for _, text := range texts {
		keys = append(keys, must(jwk.Parse(text)))
	}
	source := jwk.SourceFunc(func(_ context.Context, kid string) ([]*jwk.Key, error) {
		var found []*jwk.Key
		for _, k := range keys {
			if k.ID() == kid {
				found = append(found, k)
			}
		}
		return found, nil
	})
	all, err := must(jws.NewVerifier(source, jws.VerifyOptions{InsecureUnprotected: true})).VerifyAll(ctx, v.Output.General)
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	for i, s := range all {
		if s.Err != nil || string(s.Message.Payload) != v.Input.Payload || s.Message.Key != keys[i] {
			t.Errorf("%d: %+v", i, s)
		}
	}
	verifier := must(jws.NewVerifier(source, jws.VerifyOptions{}))
	all, err = verifier.VerifyAll(ctx, v.Output.General)
	if err != nil || all[0].Err != nil || !errors.Is(all[1].Err, jws.ErrAlgorithm) || all[2].Err != nil {
		t.Error(all, err) // the second has its alg unprotected
	}
	// J46: several are never taken for one.
	if _, err := verifier.VerifyJSON(ctx, v.Output.General); !errors.Is(err, jws.ErrMalformed) {
		t.Error(err)
	}
}

// RFC 7797 §4: the payload "$.02" signed as it is.
func TestRFC7797(t *testing.T) {
	const (
		flat     = `{"protected":"eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19","payload":"$.02","signature":"A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY"}`
		detached = "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19..A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY"
	)
	v := readVector(t, "rfc7797", "4.2.hmac-sha2_b64_false")
	key := must(jwk.Parse(v.Input.Key))
	verifier := must(jws.NewVerifier(key, jws.VerifyOptions{Unencoded: true}))
	if m, err := verifier.VerifyJSON(ctx, []byte(flat)); err != nil || string(m.Payload) != "$.02" {
		t.Error(m, err)
	}
	if m, err := verifier.VerifyDetached(ctx, detached, []byte("$.02")); err != nil || string(m.Payload) != "$.02" {
		t.Error(m, err)
	}
	// J17: refused unless asked for.
	strict := must(jws.NewVerifier(key, jws.VerifyOptions{}))
	if _, err := strict.VerifyJSON(ctx, []byte(flat)); !errors.Is(err, jws.ErrCritical) {
		t.Error(err)
	}
	if _, err := strict.VerifyDetached(ctx, detached, []byte("$.02")); !errors.Is(err, jws.ErrCritical) {
		t.Error(err)
	}
	other := readVector(t, "rfc7797", "hmac-sha2_b64_false")
	verifier = must(jws.NewVerifier(must(jwk.Parse(other.Input.Key)), jws.VerifyOptions{Unencoded: true}))
	for _, text := range []json.RawMessage{other.Output.Flat, other.Output.General} {
		if m, err := verifier.VerifyJSON(ctx, text); err != nil || string(m.Payload) != other.Input.Payload {
			t.Error(m, err)
		}
	}
	if m, err := verifier.Verify(ctx, other.Output.Compact); err != nil || string(m.Payload) != other.Input.Payload {
		t.Error(m, err)
	}
	// This file of the cookbook leaves "crit" out, which RFC 7797 §6 forbids.
	verifier = must(jws.NewVerifier(key, jws.VerifyOptions{Unencoded: true}))
	for _, text := range []json.RawMessage{v.Output.Flat, v.Output.General} {
		if _, err := verifier.VerifyJSON(ctx, text); !errors.Is(err, jws.ErrCritical) {
			t.Errorf("%s: %v", text, err)
		}
	}
	signer := must(jws.NewSigner(key, jws.SignOptions{Unencoded: true}))
	for _, payload := range []string{"", "text", "$.02 é", "\n", "a.b"} {
		if m, err := verifier.VerifyJSON(ctx, must(signer.SignJSON([]byte(payload)))); err != nil || string(m.Payload) != payload {
			t.Errorf("%q: %v %v", payload, m, err)
		}
		if m, err := verifier.VerifyDetached(ctx, must(signer.SignDetached([]byte(payload))), []byte(payload)); err != nil || string(m.Payload) != payload {
			t.Errorf("%q: %v %v", payload, m, err)
		}
	}
	if m, err := verifier.Verify(ctx, must(signer.Sign([]byte("text")))); err != nil || string(m.Payload) != "text" {
		t.Error(m, err)
	}
	for _, payload := range []string{"a.b", "é", "\n"} { // RFC 7797 §5.2
		if _, err := signer.Sign([]byte(payload)); !errors.Is(err, jws.ErrOptions) {
			t.Errorf("%q: %v", payload, err)
		}
	}
	if _, err := signer.SignJSON([]byte("\xff")); !errors.Is(err, jws.ErrOptions) {
		t.Error(err)
	}
}

func slicesRepeat(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}

func TestSignAll(t *testing.T) {
	es, ed := must(jwk.Generate(jwa.ES256)), must(jwk.Generate(jwa.EdDSA))
	set := must(jwk.NewSet(es, ed))
	a := must(jws.NewSigner(es, jws.SignOptions{Unprotected: map[string]any{"note": "<&>"}}))
	b := must(jws.NewSigner(ed, jws.SignOptions{}))
	text := must(jws.SignAll([]byte("payload"), a, b))
	all, err := must(jws.NewVerifier(set, jws.VerifyOptions{})).VerifyAll(ctx, text)
	if err != nil || len(all) != 2 || all[0].Message.Key != es || all[1].Message.Key != ed || string(all[0].Message.Unprotected) == "" {
		t.Error(string(text), all, err)
	}
	unencoded := must(jws.NewSigner(ed, jws.SignOptions{Unencoded: true}))
	for name, f := range map[string]func() error{
		"none":                   func() error { _, err := jws.SignAll(nil); return err },
		"RFC 7797 §3: both b64":  func() error { _, err := jws.SignAll(nil, a, unencoded); return err },
		"unprotected in compact": func() error { _, err := a.Sign(nil); return err },
		"unprotected alg": func() error {
			_, err := jws.NewSigner(es, jws.SignOptions{Unprotected: map[string]any{"alg": "x"}})
			return err
		},
		"kid in both": func() error {
			_, err := jws.NewSigner(es, jws.SignOptions{Unprotected: map[string]any{"kid": "x"}})
			return err
		},
		"unprotected crit": func() error {
			_, err := jws.NewSigner(es, jws.SignOptions{Unprotected: map[string]any{"crit": []string{"x"}}})
			return err
		},
		"b64 as a header member": func() error {
			_, err := jws.NewSigner(es, jws.SignOptions{Header: map[string]any{"b64": false}})
			return err
		},
		"detached but unprotected": func() error { _, err := a.SignDetached(nil); return err },
	} {
		if err := f(); !errors.Is(err, jws.ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzVerifyJSON(f *testing.F) {
	hs := must(jwk.New([]byte(strings.Repeat("k", 32)), jwk.Params{}))
	signer := must(jws.NewSigner(hs, jws.SignOptions{}))
	f.Add(must(signer.SignJSON([]byte("payload"))))
	f.Add(must(jws.SignAll([]byte("payload"), signer, signer)))
	files, _ := filepath.Glob("testdata/rfc7797/*.json")
	for _, name := range files {
		f.Add(read(f, "rfc7797", filepath.Base(name)))
	}
	verifier := must(jws.NewVerifier(hs, jws.VerifyOptions{Unencoded: true, InsecureUnprotected: true}))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := verifier.VerifyJSON(ctx, text)
		if (err == nil) != (m.Payload != nil) {
			t.Fatal(m, err)
		}
		if all, err := verifier.VerifyAll(ctx, text); err == nil && len(all) == 0 {
			t.Fatal("no signatures and no error")
		}
	})
}
