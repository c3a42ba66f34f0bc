package jwa_test

import (
	"errors"
	"testing"

	"github.com/ostiary/ostiary/jwa"
)

func TestTable(t *testing.T) {
	for _, row := range []struct {
		clause string
		alg    jwa.Algorithm
		kty    jwa.KeyType
		crv    jwa.Curve
		hash   int // in bits; 0 for none
		size   int
	}{
		{"RFC 7518 §3.2", "HS256", "oct", "", 256, 32},
		{"RFC 7518 §3.2", "HS384", "oct", "", 384, 48},
		{"RFC 7518 §3.2", "HS512", "oct", "", 512, 64},
		{"RFC 7518 §3.3", "RS256", "RSA", "", 256, 0},
		{"RFC 7518 §3.3", "RS384", "RSA", "", 384, 0},
		{"RFC 7518 §3.3", "RS512", "RSA", "", 512, 0},
		{"RFC 7518 §3.5", "PS256", "RSA", "", 256, 0},
		{"RFC 7518 §3.5", "PS384", "RSA", "", 384, 0},
		{"RFC 7518 §3.5", "PS512", "RSA", "", 512, 0},
		{"RFC 7518 §3.4", "ES256", "EC", "P-256", 256, 64},
		{"RFC 7518 §3.4", "ES384", "EC", "P-384", 384, 96},
		{"RFC 7518 §3.4", "ES512", "EC", "P-521", 512, 132},
		{"RFC 8037 §3.1", "EdDSA", "OKP", "Ed25519", 0, 64},
		{"RFC 9864 §2.2", "Ed25519", "OKP", "Ed25519", 0, 64},
	} {
		s, ok := row.alg.Signature()
		if !ok || row.alg.Check() != nil {
			t.Errorf("%s: %s is unknown", row.clause, row.alg)
			continue
		}
		bits := 0
		if s.Hash != 0 {
			bits = 8 * s.Hash.Size()
		}
		if s.Name != row.alg || s.KeyType != row.kty || s.Curve != row.crv || bits != row.hash || s.Size != row.size {
			t.Errorf("%s: %+v", row.clause, s)
		}
		if s.KeyType == jwa.Oct && s.MinKeyBits != bits {
			t.Errorf("RFC 7518 §3.2: %s takes a key of %d bits", row.alg, s.MinKeyBits)
		}
		if s.KeyType == jwa.RSA && s.MinKeyBits != 2048 {
			t.Errorf("RFC 7518 §3.3: %s takes a key of %d bits", row.alg, s.MinKeyBits)
		}
	}
	if n := len(jwa.Signatures()); n != 14 {
		t.Errorf("%d algorithms are supported", n)
	}
}

func TestUnsupported(t *testing.T) {
	for _, alg := range []jwa.Algorithm{"ES256K", "Ed448", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"} {
		row, ok := alg.Signature()
		if ok || row.Name != alg || row.Unsupported == "" {
			t.Errorf("%s: %+v, %v", alg, row, ok)
		}
		if err := alg.Check(); !errors.Is(err, jwa.ErrUnsupported) {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestUnknown(t *testing.T) {
	for _, alg := range []jwa.Algorithm{"", "none", "None", "NONE", "hs256", "Hs256", "HS256 ", " HS256", "HS256\x00", "HS224", "ES521", "eddsa", "ed25519", "RSA1_5", "dir"} {
		if row, ok := alg.Signature(); ok || row != (jwa.Signature{}) {
			t.Errorf("%q has a row", alg)
		}
		if err := alg.Check(); !errors.Is(err, jwa.ErrUnknown) {
			t.Errorf("%q: %v", alg, err)
		}
	}
}
