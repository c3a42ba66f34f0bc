package jwa_test

import (
	"testing"

	"github.com/ostiary/ostiary/jwa"
)

func TestKeyManagement(t *testing.T) {
	for _, row := range []struct {
		clause   string
		alg      jwa.Algorithm
		mode     jwa.Mode
		kty      jwa.KeyType
		hash     int // in bits; 0 for none
		wrapSize int
	}{
		{"RFC 7518 §4.3", "RSA-OAEP", jwa.OAEP, "RSA", 160, 0},
		{"RFC 7518 §4.3", "RSA-OAEP-256", jwa.OAEP, "RSA", 256, 0},
		{"WebCrypto", "RSA-OAEP-384", jwa.OAEP, "RSA", 384, 0},
		{"WebCrypto", "RSA-OAEP-512", jwa.OAEP, "RSA", 512, 0},
		{"RFC 7518 §4.4", "A128KW", jwa.Wrap, "oct", 0, 16},
		{"RFC 7518 §4.4", "A192KW", jwa.Wrap, "oct", 0, 24},
		{"RFC 7518 §4.4", "A256KW", jwa.Wrap, "oct", 0, 32},
		{"RFC 7518 §4.5", "dir", jwa.Direct, "oct", 0, 0},
		{"RFC 7518 §4.6", "ECDH-ES", jwa.Agreement, "", 0, 0},
		{"RFC 7518 §4.6", "ECDH-ES+A128KW", jwa.AgreementWrap, "", 0, 16},
		{"RFC 7518 §4.6", "ECDH-ES+A192KW", jwa.AgreementWrap, "", 0, 24},
		{"RFC 7518 §4.6", "ECDH-ES+A256KW", jwa.AgreementWrap, "", 0, 32},
		{"RFC 7518 §4.7", "A128GCMKW", jwa.WrapGCM, "oct", 0, 16},
		{"RFC 7518 §4.7", "A192GCMKW", jwa.WrapGCM, "oct", 0, 24},
		{"RFC 7518 §4.7", "A256GCMKW", jwa.WrapGCM, "oct", 0, 32},
		{"RFC 7518 §4.8", "PBES2-HS256+A128KW", jwa.Password, "oct", 256, 16},
		{"RFC 7518 §4.8", "PBES2-HS384+A192KW", jwa.Password, "oct", 384, 24},
		{"RFC 7518 §4.8", "PBES2-HS512+A256KW", jwa.Password, "oct", 512, 32},
	} {
		m, ok := row.alg.KeyManagement()
		bits := 0
		if m.Hash != 0 {
			bits = 8 * m.Hash.Size()
		}
		if !ok || m.Name != row.alg || m.Mode != row.mode || m.KeyType != row.kty || bits != row.hash || m.WrapSize != row.wrapSize || m.Unsupported != "" {
			t.Errorf("%s: %s: %+v, %v", row.clause, row.alg, m, ok)
		}
		if want := m.Mode == jwa.OAEP; want != (m.MinKeyBits == 2048) { // RFC 7518 §4.3
			t.Errorf("%s: %s takes a key of %d bits", row.clause, row.alg, m.MinKeyBits)
		}
		if _, signs := row.alg.Signature(); signs {
			t.Errorf("%s is for signatures too", row.alg)
		}
	}
	if n := len(jwa.KeyManagements()); n != 18 {
		t.Errorf("%d algorithms are offered", n)
	}
	// RFC 8725 §3.2
	if m, ok := jwa.RSA15.KeyManagement(); ok || m.Name != jwa.RSA15 || m.Unsupported == "" {
		t.Errorf("RSA1_5: %+v, %v", m, ok)
	}
	for _, alg := range []jwa.Algorithm{"", "none", "DIR", "A256KW ", "RS256", "A256GCM", "RSA-OAEP-1", "ECDH-SS"} {
		if m, ok := alg.KeyManagement(); ok || m != (jwa.KeyManagement{}) {
			t.Errorf("%q has a row", alg)
		}
	}
}

func TestAccepts(t *testing.T) {
	agreement, _ := jwa.ECDHES.KeyManagement()
	wrap, _ := jwa.A256KW.KeyManagement()
	oaep, _ := jwa.RSAOAEP.KeyManagement()
	for _, row := range []struct {
		kty                   jwa.KeyType
		crv                   jwa.Curve
		agreement, wrap, oaep bool
	}{
		{"EC", "P-256", true, false, false}, {"EC", "P-384", true, false, false}, {"EC", "P-521", true, false, false},
		{"OKP", "X25519", true, false, false}, {"OKP", "Ed25519", false, false, false}, {"EC", "X25519", false, false, false},
		{"OKP", "P-256", false, false, false}, {"EC", "secp256k1", false, false, false}, {"EC", "", false, false, false},
		{"oct", "", false, true, false}, {"RSA", "", false, false, true}, {"", "", false, false, false},
	} {
		if agreement.Accepts(row.kty, row.crv) != row.agreement || wrap.Accepts(row.kty, row.crv) != row.wrap || oaep.Accepts(row.kty, row.crv) != row.oaep {
			t.Errorf("%s %s", row.kty, row.crv)
		}
	}
}

func TestContentEncryption(t *testing.T) {
	for _, row := range []struct {
		clause        string
		enc           jwa.Encryption
		hash          int // in bits; 0 for none
		key, iv, size int // in bytes
	}{
		{"RFC 7518 §5.2.3", "A128CBC-HS256", 256, 32, 16, 16},
		{"RFC 7518 §5.2.4", "A192CBC-HS384", 384, 48, 16, 24},
		{"RFC 7518 §5.2.5", "A256CBC-HS512", 512, 64, 16, 32},
		{"RFC 7518 §5.3", "A128GCM", 0, 16, 12, 16},
		{"RFC 7518 §5.3", "A192GCM", 0, 24, 12, 16},
		{"RFC 7518 §5.3", "A256GCM", 0, 32, 12, 16},
	} {
		c, ok := row.enc.Content()
		bits := 0
		if c.Hash != 0 {
			bits = 8 * c.Hash.Size()
		}
		if !ok || c.Name != row.enc || bits != row.hash || c.KeySize != row.key || c.IVSize != row.iv || c.TagSize != row.size {
			t.Errorf("%s: %s: %+v, %v", row.clause, row.enc, c, ok)
		}
	}
	if n := len(jwa.ContentEncryptions()); n != 6 {
		t.Errorf("%d algorithms are offered", n)
	}
	for _, enc := range []jwa.Encryption{"", "none", "a256gcm", "A256CBC", "A256GCMKW", "dir"} {
		if c, ok := enc.Content(); ok || c != (jwa.ContentEncryption{}) {
			t.Errorf("%q has a row", enc)
		}
	}
}
