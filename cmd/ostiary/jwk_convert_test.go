package main

import (
	"os"
	"testing"

	"github.com/ostiary/ostiary/jwk"
)

// TestEncodedKeepsPSS: RFC 4055 §1.2, a key that is for RSASSA-PSS only stays so in
// another form.
func TestEncodedKeepsPSS(t *testing.T) {
	for _, name := range []string{"pss-plain.private.pem", "pss-plain.public.pem", "pss-sha256.private.pem", "pss-sha256.public.pem"} {
		text, err := os.ReadFile("../../jwt/testdata/jsonwebtoken/keys/" + name)
		if err != nil {
			t.Fatal(err)
		}
		key, err := jwk.ParsePEM(text, jwk.Params{})
		if err != nil {
			t.Fatal(err)
		}
		_, der, err := encoded(key)
		if err != nil {
			t.Fatal(err)
		}
		again, err := jwk.ParseDER(der, jwk.Params{})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := again.PSS(); !ok || again.Private() != key.Private() || join(again.Algorithms()) != join(key.Algorithms()) {
			t.Errorf("%s: %v does %s", name, again, join(again.Algorithms()))
		}
	}
}
