package jwk_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// RFC 8032 §5.1.3: half of all texts are no point, and eight points have a low order.
// Whoever knows such a key signs with it.
func TestEd25519Points(t *testing.T) {
	for name, row := range map[string]struct {
		point string
		want  error
	}{
		"order 1":                 {"0100000000000000000000000000000000000000000000000000000000000000", jwk.ErrWeak},
		"order 1, x is minus 0":   {"0100000000000000000000000000000000000000000000000000000000000080", jwk.ErrWeak},
		"order 2":                 {"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", jwk.ErrWeak},
		"order 4":                 {"0000000000000000000000000000000000000000000000000000000000000000", jwk.ErrWeak},
		"order 4, the other":      {"0000000000000000000000000000000000000000000000000000000000000080", jwk.ErrWeak},
		"order 8":                 {"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", jwk.ErrWeak},
		"order 8, the second":     {"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa", jwk.ErrWeak},
		"order 8, the third":      {"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", jwk.ErrWeak},
		"order 8, the fourth":     {"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85", jwk.ErrWeak},
		"y is the prime":          {"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", jwk.ErrInvalid},
		"y is the prime and 1":    {"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", jwk.ErrInvalid},
		"no point":                {"0200000000000000000000000000000000000000000000000000000000000000", jwk.ErrInvalid},
		"good twin: the base":     {"5866666666666666666666666666666666666666666666666666666666666666", nil},
		"good twin: RFC 8037 A.2": {"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", nil},
	} {
		point := must(hex.DecodeString(row.point))
		k, err := jwk.New(ed25519.PublicKey(point), jwk.Params{})
		if !errors.Is(err, row.want) || (k == nil) != (row.want != nil) {
			t.Errorf("%s: %v, %v", name, k, err)
		}
		_, err = jwk.Parse(fmt.Appendf(nil, `{"kty":"OKP","crv":"Ed25519","x":%q}`, base64.RawURLEncoding.EncodeToString(point)))
		if !errors.Is(err, row.want) {
			t.Errorf("%s as a JWK: %v", name, err)
		}
	}
	for i := range 100 {
		seed := make([]byte, ed25519.SeedSize)
		seed[0] = byte(i)
		if _, err := jwk.New(ed25519.NewKeyFromSeed(seed), jwk.Params{Algorithm: jwa.EdDSA}); err != nil {
			t.Errorf("good twin %d: %v", i, err)
		}
	}
	points := 0
	for i := range 256 {
		point := make([]byte, ed25519.PublicKeySize)
		point[0], point[1] = byte(i), 7
		if _, err := jwk.New(ed25519.PublicKey(point), jwk.Params{}); err == nil {
			points++
		}
	}
	if points < 96 || points > 160 {
		t.Errorf("%d of 256 texts are points; half should be", points)
	}
}
