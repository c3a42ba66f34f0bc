package resource_test

import (
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

// What a guarded request costs beside its handler.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range []jwa.Algorithm{jwa.ES256, jwa.RS256, jwa.EdDSA} {
		b.Run(string(alg), func(b *testing.B) {
			key := generate(b, alg)
			g := newGuard(b, key)
			token, err := jwt.Sign(claims(), key, jwt.SignOptions{Type: "at+jwt", Now: clock})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := g.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
