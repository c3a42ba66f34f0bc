package jwk_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

func vector(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "rfc7515-7517-7638", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// members returns a key from the vectors for a test to spoil.
func members(t testing.TB, name string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(vector(t, name), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func text(t testing.TB, m map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseVectors(t *testing.T) {
	for _, row := range []struct {
		file    string
		kty     jwa.KeyType
		private bool
		does    []jwa.Algorithm
	}{
		{"rfc7520_3.1.jwk", jwa.EC, false, []jwa.Algorithm{jwa.ES512}},
		{"rfc7520_3.2.jwk", jwa.EC, true, []jwa.Algorithm{jwa.ES512}},
		{"rfc7520_3.3.jwk", jwa.RSA, false, []jwa.Algorithm{jwa.RS256, jwa.RS384, jwa.RS512, jwa.PS256, jwa.PS384, jwa.PS512}},
		{"rfc7520_3.4.jwk", jwa.RSA, true, []jwa.Algorithm{jwa.RS256, jwa.RS384, jwa.RS512, jwa.PS256, jwa.PS384, jwa.PS512}},
		{"rfc7520_3.5.jwk", jwa.Oct, true, []jwa.Algorithm{jwa.HS256}},
		{"rfc7517_B.jwk", jwa.RSA, false, []jwa.Algorithm{jwa.RS256, jwa.RS384, jwa.RS512, jwa.PS256, jwa.PS384, jwa.PS512}},
		{"rfc7638_3.1.jwk", jwa.RSA, false, []jwa.Algorithm{jwa.RS256}},
	} {
		t.Run(row.file, func(t *testing.T) {
			k, err := jwk.Parse(vector(t, row.file))
			if err != nil {
				t.Fatal(err)
			}
			if k.Type() != row.kty || k.Private() != row.private {
				t.Errorf("got %v", k)
			}
			if got := k.Algorithms(); !equal(got, row.does) {
				t.Errorf("algorithms %v, want %v", got, row.does)
			}
		})
	}
}

// TestKeyIssuer: whose tokens a key may sign, in the key sets of Microsoft.
func TestKeyIssuer(t *testing.T) {
	m := members(t, "rfc7520_3.3.jwk")
	for _, want := range []string{"", "https://login.example/{tenantid}/v2.0"} {
		if want != "" {
			m["issuer"] = want
		}
		k, err := jwk.Parse(text(t, m))
		if err != nil || k.Issuer() != want {
			t.Errorf("issuer %q, %v; want %q", k.Issuer(), err, want)
		}
		if again := must(jwk.Parse(must(k.MarshalJSON()))); again.Issuer() != want {
			t.Errorf("written and read again: issuer %q; want %q", again.Issuer(), want)
		}
	}
	// Neither half is free to sign for others, nor with a certificate.
	private := members(t, "rfc7520_3.4.jwk")
	private["issuer"] = "https://login.example"
	k := must(jwk.Parse(text(t, private)))
	if public := must(k.Public()); public.Issuer() != k.Issuer() {
		t.Errorf("the public half: issuer %q", public.Issuer())
	}
	pair := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	var whole map[string]any
	if err := json.Unmarshal(must(must(jwk.New(pair, jwk.Params{})).MarshalPrivateJSON()), &whole); err != nil {
		t.Fatal(err)
	}
	whole["issuer"] = "https://login.example"
	if certified := must(must(jwk.Parse(text(t, whole))).WithCertificates(selfSigned(t, pair))); certified.Issuer() != "https://login.example" {
		t.Errorf("with a certificate: issuer %q", certified.Issuer())
	}
}

func equal[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestParseRefuses spoils one member of a good key at a time; the good twin is
// TestParseVectors. A nil value removes the member.
func TestParseRefuses(t *testing.T) {
	const rsaPrivate, rsaPublic, ecPrivate, ecPublic, secret = "rfc7520_3.4.jwk", "rfc7520_3.3.jwk", "rfc7520_3.2.jwk", "rfc7520_3.1.jwk", "rfc7520_3.5.jwk"
	for _, row := range []struct {
		clause, file string
		change       map[string]any
		want         error
	}{
		{"RFC 7517 §4.1: kty missing", rsaPublic, map[string]any{"kty": nil}, jwk.ErrInvalid},
		{"RFC 7517 §4.1: kty is case-sensitive", rsaPublic, map[string]any{"kty": "rsa"}, jwk.ErrUnsupported},
		{"RFC 7517 §4.1: kty of another type", ecPublic, map[string]any{"kty": "RSA"}, jwk.ErrInvalid},
		{"kty a number", rsaPublic, map[string]any{"kty": 1}, jwk.ErrInvalid},
		{"RFC 9964: kty AKP", rsaPublic, map[string]any{"kty": "AKP"}, jwk.ErrUnsupported},
		{"kid a number", rsaPublic, map[string]any{"kid": 1}, jwk.ErrInvalid},
		{"kid empty", rsaPublic, map[string]any{"kid": ""}, jwk.ErrInvalid},
		{"kid of 1 MB is too long a text", rsaPublic, map[string]any{"kid": strings.Repeat("k", 1<<20)}, jwk.ErrInvalid},
		{"kid of 2 KB", rsaPublic, map[string]any{"kid": strings.Repeat("k", 2000)}, jwk.ErrInvalid},
		{"issuer a number", rsaPublic, map[string]any{"issuer": 1}, jwk.ErrInvalid},
		{"RFC 7517 §4.2: unknown use", rsaPublic, map[string]any{"use": "both"}, jwk.ErrUnsupported},
		{"RFC 7517 §4.3: key_ops no list", rsaPublic, map[string]any{"key_ops": "verify"}, jwk.ErrInvalid},
		{"RFC 7517 §4.3: key_ops twice", rsaPublic, map[string]any{"key_ops": []string{"verify", "verify"}}, jwk.ErrInvalid},
		{"RFC 7517 §4.3: key_ops against use", rsaPublic, map[string]any{"key_ops": []string{"encrypt"}}, jwk.ErrInvalid},
		{"alg of another type", rsaPublic, map[string]any{"alg": "HS256"}, jwk.ErrInvalid},
		{"alg of another curve", ecPublic, map[string]any{"alg": "ES256"}, jwk.ErrInvalid},
		{"alg unknown", ecPublic, map[string]any{"alg": "ES521"}, jwk.ErrUnsupported},
		{"alg in another case", ecPublic, map[string]any{"alg": "es512"}, jwk.ErrUnsupported},
		{"alg none", rsaPublic, map[string]any{"alg": "none"}, jwk.ErrUnsupported},
		{"RFC 8812: alg ES256K", ecPublic, map[string]any{"alg": "ES256K"}, jwk.ErrUnsupported},
		{"RFC 7518 §6.3.1: n missing", rsaPublic, map[string]any{"n": nil}, jwk.ErrInvalid},
		{"RFC 7518 §6.3.1: e missing", rsaPublic, map[string]any{"e": nil}, jwk.ErrInvalid},
		{"n with padding", rsaPublic, map[string]any{"n": "AQAB="}, jwk.ErrInvalid},
		{"RFC 7518 §2: e with leading zeros", rsaPublic, map[string]any{"e": "AAEAAQ"}, jwk.ErrInvalid},
		{"RSA e = 1", rsaPublic, map[string]any{"e": "AQ"}, jwk.ErrWeak},
		{"RSA e = 2", rsaPublic, map[string]any{"e": "Ag"}, jwk.ErrWeak},
		{"RSA e = 0", rsaPublic, map[string]any{"e": "AA"}, jwk.ErrInvalid},
		{"RSA e of 40 bits", rsaPublic, map[string]any{"e": "gAAAAAE"}, jwk.ErrUnsupported},
		{"RFC 7518 §3.3: RSA of 1024 bits", rsaPublic, map[string]any{"n": modulus(1024)}, jwk.ErrWeak},
		{"RSA of 2047 bits", rsaPublic, map[string]any{"n": modulus(2047)}, jwk.ErrWeak},
		{"RSA of 8193 bits", rsaPublic, map[string]any{"n": modulus(8193)}, jwk.ErrUnsupported},
		{"RSA with an even modulus", rsaPublic, map[string]any{"n": encodeInt(new(big.Int).Lsh(big.NewInt(1), 2048))}, jwk.ErrInvalid},
		{"RSA d of another key", rsaPrivate, map[string]any{"d": modulus(2040)}, jwk.ErrInvalid},
		{"RSA d huge", rsaPrivate, map[string]any{"d": modulus(100_000)}, jwk.ErrInvalid},
		{"RSA p missing", rsaPrivate, map[string]any{"p": nil}, jwk.ErrInvalid},
		{"RSA p wrong", rsaPrivate, map[string]any{"p": modulus(1024)}, jwk.ErrInvalid},
		{"RSA dp wrong", rsaPrivate, map[string]any{"dp": modulus(1000)}, jwk.ErrInvalid},
		{"RSA dq wrong", rsaPrivate, map[string]any{"dq": "Ag"}, jwk.ErrInvalid},
		{"RSA qi wrong", rsaPrivate, map[string]any{"qi": "Ag"}, jwk.ErrInvalid},
		{"RSA private members without d", rsaPrivate, map[string]any{"d": nil}, jwk.ErrInvalid},
		{"RSA without primes", rsaPrivate, map[string]any{"p": nil, "q": nil}, jwk.ErrUnsupported},
		{"RFC 7518 §6.3.2.7: oth", rsaPrivate, map[string]any{"oth": []any{map[string]any{"r": "AQ"}}}, jwk.ErrUnsupported},
		{"RFC 7518 §6.2.1.1: crv missing", ecPublic, map[string]any{"crv": nil}, jwk.ErrInvalid},
		{"crv P-192", ecPublic, map[string]any{"crv": "P-192"}, jwk.ErrUnsupported},
		{"crv secp256k1", ecPublic, map[string]any{"crv": "secp256k1"}, jwk.ErrUnsupported},
		{"RFC 7518 §6.2.1.2: x short", ecPublic, map[string]any{"x": "AQ"}, jwk.ErrInvalid},
		{"RFC 7518 §6.2.1.2: x missing", ecPublic, map[string]any{"x": nil}, jwk.ErrInvalid},
		{"RFC 7518 §6.2.1.3: y missing", ecPublic, map[string]any{"y": nil}, jwk.ErrInvalid},
		{"point (0, 0)", ecPublic, map[string]any{"x": zeros(66), "y": zeros(66)}, jwk.ErrInvalid},
		{"RFC 8725 §3.4: point off the curve", ecPublic, map[string]any{"y": zeros(66)}, jwk.ErrInvalid},
		{"point of another curve", ecPublic, map[string]any{"crv": "P-256"}, jwk.ErrInvalid},
		{"EC d zero", ecPrivate, map[string]any{"d": zeros(66)}, jwk.ErrInvalid},
		{"EC d short", ecPrivate, map[string]any{"d": "AQ"}, jwk.ErrInvalid},
		{"EC d of another key", ecPrivate, map[string]any{"d": base64.RawURLEncoding.EncodeToString(append(make([]byte, 65), 7))}, jwk.ErrInvalid},
		{"k missing", secret, map[string]any{"k": nil}, jwk.ErrInvalid},
		{"k empty", secret, map[string]any{"k": ""}, jwk.ErrWeak},
		{"k a list", secret, map[string]any{"k": []int{1}}, jwk.ErrInvalid},
		{"k of 31 bytes", secret, map[string]any{"k": zeros(31)}, jwk.ErrWeak},
		{"RFC 7518 §3.2: k of 32 bytes for HS512", secret, map[string]any{"k": zeros(32), "alg": "HS512"}, jwk.ErrWeak},
		{"k in standard base64", secret, map[string]any{"k": "+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/8"}, jwk.ErrInvalid},
		{"k with a line break", secret, map[string]any{"k": zeros(32)[:20] + "\n" + zeros(32)[20:]}, jwk.ErrInvalid},
		{"k with unused bits", secret, map[string]any{"k": zeros(32)[:42] + "B"}, jwk.ErrInvalid},
		{"k of 10 KB", secret, map[string]any{"k": zeros(10_000)}, jwk.ErrInvalid},
	} {
		t.Run(row.clause, func(t *testing.T) {
			m := members(t, row.file)
			maps.Copy(m, row.change)
			maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
			k, err := jwk.Parse(text(t, m))
			if !errors.Is(err, row.want) || k != nil {
				t.Errorf("got %v, %v, want %v", k, err, row.want)
			}
		})
	}
}

// modulus returns an odd number of that many bits.
func modulus(bits int) string {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits))
	return encodeInt(n.Sub(n, big.NewInt(1)))
}

func encodeInt(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }

func zeros(n int) string { return base64.RawURLEncoding.EncodeToString(make([]byte, n)) }

func TestParseRefusesText(t *testing.T) {
	good := string(vector(t, "rfc7520_3.5.jwk"))
	if _, err := jwk.Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"nothing":            "",
		"a list":             "[" + good + "]",
		"two keys":           good + good,
		"a member twice":     strings.Replace(good, `"kty"`, `"kty":"RSA","kty"`, 1),
		"an unknown twice":   strings.Replace(good, `"kty"`, `"x-a":1,"x-a":2,"kty"`, 1),
		"names in capitals":  strings.Replace(good, `"kty"`, `"KTY"`, 1),
		"a set":              `{"keys":[` + good + `]}`,
		"not UTF-8":          strings.Replace(good, `"kty"`, "\"a\":\"\xff\",\"kty\"", 1),
		"64 KiB of anything": good + strings.Repeat(" ", 64<<10),
	} {
		if k, err := jwk.Parse([]byte(bad)); !errors.Is(err, jwk.ErrInvalid) || k != nil {
			t.Errorf("%s: got %v, %v", name, k, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"rfc7520_3.1.jwk", "rfc7520_3.2.jwk", "rfc7520_3.3.jwk", "rfc7520_3.4.jwk", "rfc7520_3.5.jwk", "rfc7517_B.jwk"} {
		f.Add(vector(f, name))
	}
	f.Add([]byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := jwk.Parse(data)
		if err != nil {
			return
		}
		roundTrip(t, k)
	})
}

// roundTrip writes a key, reads it again, and expects the same.
func roundTrip(t *testing.T, k *jwk.Key) {
	t.Helper()
	marshal := k.MarshalJSON
	if k.Private() {
		marshal = k.MarshalPrivateJSON
	}
	written, err := marshal()
	if err != nil {
		t.Fatalf("%v: %v", k, err)
	}
	again, err := jwk.Parse(written)
	if err != nil {
		t.Fatalf("%s: %v", written, err)
	}
	if again.Thumbprint() != k.Thumbprint() || again.String() != k.String() || !equal(again.Algorithms(), k.Algorithms()) {
		t.Fatalf("%v became %v", k, again)
	}
}
