package server_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwt"
)

// TestSignatures: RSA takes forty times as long as an elliptic signature, so it is made
// where a client asks for it, or the specification does in its place, and once in an
// answer. OpenID Connect Dynamic Client Registration §2: an ID token is RS256 unless
// its client says otherwise; nothing says so of an access token (RFC 9068 §4).
func TestSignatures(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	algorithms := func(a servertest.Answer) string {
		t.Helper()
		var all []string
		for _, name := range []string{"access_token", "id_token"} {
			if text := a.String(name); text != "" {
				token, err := jwt.DecodeUnverified[map[string]any](text)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, string(token.Header.Algorithm))
			}
		}
		return strings.Join(all, " ")
	}
	for id, row := range map[string]struct{ asked, want string }{
		"says-nothing": {"", "ES256 RS256"},
		"elliptic":     {"ES256", "ES256 ES256"},
		"edwards":      {"EdDSA", "ES256 EdDSA"},
		"rsa":          {"PS256", "ES256 PS256"},
	} {
		c, secret := h.Client(id, model.ClientSettings{
			RedirectURIs: []string{"http://127.0.0.1:1/cb"}, FirstParty: true, Scopes: []string{"openid", "profile", "email"}, IDTokenAlgorithm: row.asked,
		})
		first := h.Redeem(c, secret, h.Browser().SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery"))
		if got := algorithms(first); got != row.want {
			t.Errorf("%s: %q, want %q", id, got, row.want)
		}
		again := h.Call("/token", c, secret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.String("refresh_token")}})
		if got := algorithms(again); got != row.want {
			t.Errorf("%s, renewed: %q, want %q", id, got, row.want)
		}
	}
}

// TestPublicDocuments: what everybody asks for is made once, and has a strong entity
// tag by which a browser or a proxy keeps it (RFC 9110 §8.8.3, §13.1.2).
func TestPublicDocuments(t *testing.T) {
	h := servertest.Start(t)
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks"} {
		one := get(t, h.Issuer+path)
		tag := one.Header.Get("ETag")
		if one.Status != 200 || len(tag) < 18 || tag[0] != '"' || !strings.Contains(one.Header.Get("Cache-Control"), "max-age=") {
			t.Fatalf("%s: %d %v", path, one.Status, one.Header)
		}
		if two := get(t, h.Issuer+path); two.Text != one.Text || two.Header.Get("ETag") != tag {
			t.Errorf("%s: another document", path)
		}
		if kept := get(t, h.Issuer+path, "If-None-Match", tag); kept.Status != 304 || kept.Text != "" || kept.Header.Get("ETag") != tag {
			t.Errorf("%s: %d %q for one that is kept", path, kept.Status, kept.Text)
		}
		if old := get(t, h.Issuer+path, "If-None-Match", `"AAAAAAAAAAAAAAAA"`); old.Status != 200 || old.Text != one.Text {
			t.Errorf("%s: %d for one that is out of date", path, old.Status)
		}
	}
}
