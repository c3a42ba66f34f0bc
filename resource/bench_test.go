package resource_test

import (
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
	"github.com/ostiary/ostiary/resource"
)

// What a guarded request costs beside its handler: with a token that was seen
// before, and with one that was not.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range []jwa.Algorithm{jwa.ES256, jwa.RS256, jwa.EdDSA} {
		for name, size := range map[string]int{"again": 0, "first time": -1} {
			b.Run(string(alg)+"/"+name, func(b *testing.B) {
				key := generate(b, alg)
				g := newGuard(b, key, func(c *resource.Config) { c.CacheSize = size })
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
}
