package jwk_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// RFC 8037 A.6: the keys of Bob, and the thumbprint by §2.
const (
	x25519Public  = "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"
	x25519Private = "XasIfmJKikt54X-Lg4AO5m87sSkmGLb9HC-LJ_-I4Os"
)

func TestX25519(t *testing.T) {
	k, err := jwk.Parse([]byte(`{"kty":"OKP","crv":"X25519","kid":"Bob","x":"` + x25519Public + `","d":"` + x25519Private + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	if k.Type() != jwa.OKP || k.Curve() != jwa.X25519 || !k.Private() || k.Symmetric() || k.String() != `OKP X25519 private key [redacted] kid="Bob"` {
		t.Errorf("got %v", k)
	}
	if algs := k.KeyManagement(); !equal(algs, []jwa.Algorithm{jwa.ECDHES, jwa.ECDHESA128KW, jwa.ECDHESA192KW, jwa.ECDHESA256KW}) {
		t.Errorf("does %v", algs)
	}
	public := must(k.Public())
	if public.Private() || public.Thumbprint() != k.Thumbprint() || public.String() != `OKP X25519 public key kid="Bob"` {
		t.Errorf("public half %v", public)
	}
	if text := string(must(public.MarshalJSON())); strings.Contains(text, x25519Private) || !strings.Contains(text, x25519Public) {
		t.Error(text)
	}
	if text := string(must(k.MarshalJSON())); strings.Contains(text, x25519Private) {
		t.Error("MarshalJSON gives the private half away")
	}
	roundTrip(t, k)
	roundTrip(t, public)
	// It agrees upon keys, and signs nothing.
	if algs := k.Algorithms(); len(algs) != 0 {
		t.Errorf("signs with %v", algs)
	}
	if _, err := k.AppendSignature(nil, jwa.EdDSA, nil); !errors.Is(err, jwk.ErrUse) {
		t.Error(err)
	}
	if err := public.Verify(jwa.EdDSA, nil, make([]byte, 64)); !errors.Is(err, jwk.ErrUse) {
		t.Error(err)
	}
	if _, ok := k.PublicKey().(*ecdh.PublicKey); !ok {
		t.Errorf("public key %T", k.PublicKey())
	}
}

func TestX25519Refused(t *testing.T) {
	short := x25519Public[:42]
	for name, members := range map[string]string{
		"RFC 8037 §2: x missing":      `"d":"` + x25519Private + `"`,
		"RFC 8037 §2: x short":        `"x":"` + short + `"`,
		"RFC 8037 §2: d short":        `"x":"` + x25519Public + `","d":"` + short + `"`,
		"d of another key":            `"x":"` + x25519Public + `","d":"` + x25519Public + `"`,
		"RFC 7517 §4.4: alg ES256":    `"x":"` + x25519Public + `","alg":"ES256"`,
		"RFC 7517 §4.4: alg EdDSA":    `"x":"` + x25519Public + `","alg":"EdDSA"`,
		"RFC 7517 §4.4: alg RSA-OAEP": `"x":"` + x25519Public + `","alg":"RSA-OAEP"`,
		"RFC 7517 §4.4: use sig":      `"x":"` + x25519Public + `","alg":"ECDH-ES","use":"sig"`,
	} {
		if k, err := jwk.Parse([]byte(`{"kty":"OKP","crv":"X25519",` + members + `}`)); !errors.Is(err, jwk.ErrInvalid) || k != nil {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
	if k, err := jwk.Parse([]byte(`{"kty":"OKP","crv":"X448","x":"` + x25519Public + `"}`)); !errors.Is(err, jwk.ErrUnsupported) || k != nil {
		t.Errorf("X448: %v, %v", k, err)
	}
}

func TestExchangePEM(t *testing.T) {
	private := must(ecdh.X25519().GenerateKey(rand.Reader))
	for label, der := range map[string][]byte{
		"PRIVATE KEY": must(x509.MarshalPKCS8PrivateKey(private)), "PUBLIC KEY": must(x509.MarshalPKIXPublicKey(private.PublicKey())),
	} {
		k, err := jwk.ParsePEM(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}), jwk.Params{Algorithm: jwa.ECDHESA256KW})
		if err != nil || k.Curve() != jwa.X25519 || k.Private() != (label == "PRIVATE KEY") {
			t.Errorf("%s: %v, %v", label, k, err)
		}
	}
}

// Keys of crypto/ecdh on a NIST curve are EC keys like any other.
func TestExchangeKeysAreEC(t *testing.T) {
	for _, curve := range []ecdh.Curve{ecdh.P256(), ecdh.P384(), ecdh.P521()} {
		private := must(curve.GenerateKey(rand.Reader))
		k := must(jwk.New(private, jwk.Params{}))
		if k.Type() != jwa.EC || len(k.Algorithms()) != 1 {
			t.Errorf("%v: %v", curve, k)
		}
		roundTrip(t, k)
		public := must(jwk.New(private.PublicKey(), jwk.Params{}))
		if public.Thumbprint() != k.Thumbprint() || public.Private() {
			t.Errorf("%v: %v", curve, public)
		}
	}
	for name, material := range map[string]any{
		"nil private": (*ecdh.PrivateKey)(nil), "nil public": (*ecdh.PublicKey)(nil), "zero private": &ecdh.PrivateKey{},
	} {
		if k, err := jwk.New(material, jwk.Params{}); !errors.Is(err, jwk.ErrInvalid) || k != nil {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
}

// exchanger and decrypter are keys in a module that keeps them to itself.
type exchanger struct{ ecdh.KeyExchanger }

type decrypter struct {
	crypto.Signer
	crypto.Decrypter
}

func (d decrypter) Public() crypto.PublicKey { return d.Signer.Public() }

func TestOpaqueKeys(t *testing.T) {
	for _, curve := range []ecdh.Curve{ecdh.P256(), ecdh.X25519()} {
		private, peer := must(curve.GenerateKey(rand.Reader)), must(curve.GenerateKey(rand.Reader))
		k := must(jwk.New(exchanger{private}, jwk.Params{}))
		want := must(private.ECDH(peer.PublicKey()))
		if z, err := k.Exchange(jwa.ECDHES, peer.PublicKey()); err != nil || !bytes.Equal(z, want) {
			t.Errorf("%v: %x, %v", curve, z, err)
		}
		if _, err := k.MarshalPrivateJSON(); !errors.Is(err, jwk.ErrUnsupported) || !k.Private() {
			t.Errorf("%v: %v", k, err)
		}
	}
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	k := must(jwk.New(decrypter{rsaKey, rsaKey}, jwk.Params{}))
	wrapped := must(k.WrapOAEP(jwa.RSAOAEP512, []byte("a key")))
	if key, err := k.UnwrapOAEP(jwa.RSAOAEP512, wrapped); err != nil || string(key) != "a key" {
		t.Errorf("%q, %v", key, err)
	}
	signer := must(jwk.New(opaque{rsaKey}, jwk.Params{}))
	if _, err := signer.UnwrapOAEP(jwa.RSAOAEP512, wrapped); !errors.Is(err, jwk.ErrUnsupported) {
		t.Error(err)
	}
	ecKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	if _, err := must(jwk.New(opaque{ecKey}, jwk.Params{})).Exchange(jwa.ECDHES, must(ecKey.PublicKey.ECDH())); !errors.Is(err, jwk.ErrUnsupported) {
		t.Error(err)
	}
}

func TestGenerateForEncryption(t *testing.T) {
	var names []jwa.Algorithm
	for _, row := range jwa.KeyManagements() {
		names = append(names, row.Name)
	}
	for _, row := range jwa.ContentEncryptions() {
		names = append(names, jwa.Algorithm(row.Name))
	}
	for _, alg := range names {
		k, err := jwk.Generate(alg)
		if alg == jwa.Dir || strings.HasPrefix(string(alg), "PBES2") { // neither says how long a secret is
			if !errors.Is(err, jwk.ErrUnsupported) || k != nil {
				t.Errorf("%s: %v, %v", alg, k, err)
			}
			continue
		}
		if err != nil || k.Algorithm() != alg || k.Use() != jwk.UseEncryption || !named(k) || len(k.Algorithms()) != 0 {
			t.Errorf("%s: %v, %v", alg, k, err)
			continue
		}
		if algs := k.KeyManagement(); len(algs) != 1 || algs[0] != alg && algs[0] != jwa.Dir {
			t.Errorf("%s: does %v", alg, algs)
		}
		roundTrip(t, k)
	}
	if k, err := jwk.Generate(jwa.RSA15); !errors.Is(err, jwk.ErrUnsupported) || k != nil {
		t.Errorf("RSA1_5: %v, %v", k, err)
	}
}

// How long a secret must be depends on what it is for.
func TestSecretSizes(t *testing.T) {
	for _, row := range []struct {
		clause string
		size   int
		params jwk.Params
		want   error
	}{
		{"as long as an AES key", 16, jwk.Params{}, nil},
		{"as long as an AES key", 24, jwk.Params{}, nil},
		{"as long as no key", 15, jwk.Params{}, jwk.ErrWeak},
		{"as long as no key", 17, jwk.Params{}, jwk.ErrWeak},
		{"RFC 7518 §3.2", 16, jwk.Params{Use: jwk.UseSignature}, jwk.ErrWeak},
		{"RFC 7518 §3.2", 16, jwk.Params{Algorithm: jwa.HS256}, jwk.ErrWeak},
		{"use enc", 16, jwk.Params{Use: jwk.UseEncryption}, nil},
		{"use enc", 15, jwk.Params{Use: jwk.UseEncryption}, jwk.ErrWeak},
		{"RFC 7518 §4.4", 16, jwk.Params{Algorithm: jwa.A128KW}, nil},
		{"RFC 7518 §4.4", 32, jwk.Params{Algorithm: jwa.A128KW}, jwk.ErrInvalid},
		{"RFC 7518 §4.4", 16, jwk.Params{Algorithm: jwa.A256KW}, jwk.ErrInvalid},
		{"RFC 7518 §4.4", 8, jwk.Params{Algorithm: jwa.A256KW}, jwk.ErrWeak},
		{"RFC 7518 §4.5", 48, jwk.Params{Algorithm: jwa.Dir}, nil},
		{"RFC 7518 §4.5", 40, jwk.Params{Algorithm: jwa.Dir}, jwk.ErrInvalid},
		{"RFC 7518 §5.2.5", 64, jwk.Params{Algorithm: jwa.Algorithm(jwa.A256CBCHS512)}, nil},
		{"RFC 7518 §5.2.5", 32, jwk.Params{Algorithm: jwa.Algorithm(jwa.A256CBCHS512)}, jwk.ErrInvalid},
		{"RFC 7518 §4.8: a password", 8, jwk.Params{Algorithm: jwa.PBES2HS256A128KW}, nil},
		{"RFC 7518 §4.8: a password", 7, jwk.Params{Algorithm: jwa.PBES2HS256A128KW}, jwk.ErrWeak},
		{"RFC 7518 §4.8: a password", 0, jwk.Params{Algorithm: jwa.PBES2HS256A128KW}, jwk.ErrWeak},
		{"use contradicts alg", 16, jwk.Params{Algorithm: jwa.A128KW, Use: jwk.UseSignature}, jwk.ErrInvalid},
	} {
		k, err := jwk.New(make([]byte, row.size), row.params)
		if !errors.Is(err, row.want) || (k == nil) != (row.want != nil) {
			t.Errorf("%s: %d bytes, %+v: %v, %v", row.clause, row.size, row.params, k, err)
		}
		if k != nil && row.size < 32 && len(k.Algorithms()) != 0 {
			t.Errorf("%s: signs with %v", row.clause, k.Algorithms())
		}
	}
}

// RFC 7517 §4.3, and what WebCrypto writes there.
func TestEncryptionOperations(t *testing.T) {
	ecPublic := must(must(jwk.Generate(jwa.ECDHES)).Public())
	ec := strings.Replace(string(must(ecPublic.MarshalJSON())), `"use":"enc",`, "", 1)
	rsaPublic := must(must(jwk.Generate(jwa.RSAOAEP)).Public())
	rsaText := strings.Replace(string(must(rsaPublic.MarshalJSON())), `"use":"enc",`, "", 1)
	for _, row := range []struct {
		key, ops string
		alg      jwa.Algorithm
		want     error
	}{
		{ec, `[]`, jwa.ECDHES, nil},
		{ec, `["deriveKey"]`, jwa.ECDHES, nil},
		{ec, `["deriveBits"]`, jwa.ECDHES, nil},
		{ec, `["wrapKey"]`, jwa.ECDHES, jwk.ErrUse},
		{ec, `["verify"]`, jwa.ECDHES, jwk.ErrUse},
		{rsaText, `["wrapKey"]`, jwa.RSAOAEP, nil},
		{rsaText, `["encrypt"]`, jwa.RSAOAEP, nil},
		{rsaText, `[]`, jwa.RSAOAEP, jwk.ErrUse},
		{rsaText, `["unwrapKey"]`, jwa.RSAOAEP, jwk.ErrUse},
		{rsaText, `["verify"]`, jwa.RSAOAEP, jwk.ErrUse},
		{rsaText, `["wrapKey"]`, jwa.RSAOAEP256, jwk.ErrUse}, // bound to another
	} {
		k, err := jwk.Parse([]byte(withMember(row.key, `"key_ops":`+row.ops)))
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Permits(row.alg, jwk.ToEncrypt); !errors.Is(err, row.want) {
			t.Errorf("%s with %s: %v", row.alg, row.ops, err)
		}
		if err := k.Permits(row.alg, jwk.ToDecrypt); !errors.Is(err, jwk.ErrPrivate) && !errors.Is(err, jwk.ErrUse) {
			t.Errorf("a public key decrypts: %v", err)
		}
	}
}

// The material is behind gates: no key feeds the algorithm of another family.
func TestEncryptionGates(t *testing.T) {
	secret := must(jwk.Generate(jwa.A256KW))
	if s, err := secret.Secret(jwa.A256KW, jwk.ToDecrypt); err != nil || len(s) != 32 {
		t.Errorf("%d bytes, %v", len(s), err)
	}
	ec, rsaKey, signing := must(jwk.Generate(jwa.ECDHES)), must(jwk.Generate(jwa.RSAOAEP)), must(jwk.Generate(jwa.ES256))
	peer := must(ec.ExchangeKey(jwa.ECDHES))
	for name, try := range map[string]func() error{
		"secret for another algorithm": func() error { _, err := secret.Secret(jwa.A256GCMKW, jwk.ToDecrypt); return err },
		"secret of an RSA key":         func() error { _, err := rsaKey.Secret(jwa.A256KW, jwk.ToDecrypt); return err },
		"OAEP with a secret":           func() error { _, err := secret.WrapOAEP(jwa.RSAOAEP, nil); return err },
		"OAEP with an EC key":          func() error { _, err := ec.UnwrapOAEP(jwa.ECDHES, nil); return err },
		"OAEP, another hash":           func() error { _, err := rsaKey.UnwrapOAEP(jwa.RSAOAEP256, nil); return err },
		"OAEP for a key agreement":     func() error { _, err := ec.WrapOAEP(jwa.ECDHES, nil); return err },
		"agreement with a signing key": func() error { _, err := signing.Exchange(jwa.ECDHES, peer); return err },
		"agreement with an RSA key":    func() error { _, err := rsaKey.ExchangeKey(jwa.RSAOAEP); return err },
		"agreement on another curve": func() error {
			_, err := ec.Exchange(jwa.ECDHES, must(ecdh.X25519().GenerateKey(rand.Reader)).PublicKey())
			return err
		},
	} {
		if err := try(); !errors.Is(err, jwk.ErrUse) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := rsaKey.Secret(jwa.RSAOAEP, jwk.ToDecrypt); !errors.Is(err, jwk.ErrPrivate) {
		t.Error(err)
	}
	if _, err := must(ec.Public()).Exchange(jwa.ECDHES, peer); !errors.Is(err, jwk.ErrPrivate) {
		t.Error(err)
	}
	if _, err := rsaKey.UnwrapOAEP(jwa.RSAOAEP, make([]byte, 256)); err != jwk.ErrDecryption {
		t.Error(err)
	}
	low := must(ecdh.X25519().NewPublicKey(make([]byte, 32))) // RFC 8037 §3.2.1
	if _, err := must(jwk.New(must(ecdh.X25519().GenerateKey(rand.Reader)), jwk.Params{})).Exchange(jwa.ECDHES, low); err != jwk.ErrDecryption {
		t.Error(err)
	}
}

func TestEncryptionLists(t *testing.T) {
	for _, row := range []struct {
		size        int
		alg         jwa.Algorithm
		management  string
		encryptions string // under dir
	}{
		{16, "", "[A128KW A128GCMKW dir]", "[A128GCM]"},
		{24, "", "[A192KW A192GCMKW dir]", "[A192GCM]"},
		{32, "", "[A256KW A256GCMKW dir]", "[A256GCM A128CBC-HS256]"},
		{48, "", "[dir]", "[A192CBC-HS384]"},
		{64, "", "[dir]", "[A256CBC-HS512]"},
		{40, "", "[]", "[]"},
		{32, jwa.Dir, "[dir]", "[A256GCM A128CBC-HS256]"},
		{32, jwa.Algorithm(jwa.A128CBCHS256), "[dir]", "[A128CBC-HS256]"},
		{32, jwa.A256KW, "[A256KW]", "[]"},
		{32, jwa.HS256, "[]", "[]"},
		{32, jwa.PBES2HS256A128KW, "[PBES2-HS256+A128KW]", "[]"},
	} {
		k := must(jwk.New(make([]byte, row.size), jwk.Params{Algorithm: row.alg}))
		if got := fmt.Sprint(k.KeyManagement()); got != row.management {
			t.Errorf("%d bytes %s: %s", row.size, row.alg, got)
		}
		if got := fmt.Sprint(k.Encryption(jwa.Dir)); got != row.encryptions {
			t.Errorf("%d bytes %s: %s", row.size, row.alg, got)
		}
	}
	if n := len(must(jwk.Generate(jwa.RSAOAEP)).Encryption(jwa.RSAOAEP)); n != 6 {
		t.Errorf("RSA-OAEP with %d content encryptions", n)
	}
	if text := base64.RawURLEncoding.EncodeToString(make([]byte, 16)); must(jwk.Parse([]byte(`{"kty":"oct","k":"`+text+`"}`))).Bits() != 128 { // RFC 7516 A.3
		t.Error("a key of 128 bits is refused")
	}
}
