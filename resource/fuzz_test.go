package resource_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/jwa"
)

// Whatever stands in the header or the query, the answer is a clean refusal
// whose challenge is one line of printable ASCII.
func FuzzCredentials(f *testing.F) {
	for _, seed := range [][2]string{
		{"Bearer a.b.c", ""}, {"bearer  a", "access_token=x"}, {"Bearer", "%"}, {"DPoP x", "a;b"}, {"\x00", "&&"}, {"Basic ", "%61ccess_token"},
	} {
		f.Add(seed[0], seed[1])
	}
	h := newGuard(f, generate(f, jwa.ES256)).RequireFunc(fine, "orders:read")
	f.Fuzz(func(t *testing.T, header, query string) {
		r := bearer("")
		r.Header["Authorization"] = []string{header}
		r.URL.RawQuery = query
		s := serve(t, h, r)
		if s.status != http.StatusUnauthorized && s.status != http.StatusBadRequest {
			t.Fatalf("%d", s.status)
		}
		odd := func(c rune) bool { return c < ' ' || c > '~' || c == '\\' }
		if !strings.HasPrefix(s.challenge, challenge) || strings.ContainsFunc(s.challenge, odd) || strings.Count(s.challenge, `"`)%2 != 0 {
			t.Fatalf("challenge is %q", s.challenge)
		}
	})
}
