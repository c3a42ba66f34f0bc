package server_test

import (
	"compress/gzip"
	"io"
	"net/http"
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

// TestPackedDocument: the metadata comes as gzip to who accepts that (RFC 9110
// §12.5.3), says of what it depends on, and has another tag then (§8.8.3.3).
func TestPackedDocument(t *testing.T) {
	h := servertest.Start(t)
	plain := packedOrNot(t, h.Issuer, "", "")
	if plain.Header.Get("Content-Encoding") != "" || plain.ContentLength <= 0 || !strings.Contains(plain.Header.Get("Vary"), "Accept-Encoding") {
		t.Fatalf("without Accept-Encoding: %v", plain.Header)
	}
	want, err := io.ReadAll(plain.Body)
	if err != nil {
		t.Fatal(err)
	}
	for accepts, packed := range map[string]bool{
		"gzip": true, "deflate, GZIP;q=0.5, br": true, "gzip ; q=0.001": true,
		"br": false, "gzip;q=0": false, "gzip; Q=0.000, br": false, "xgzip": false, "*;q=0": false,
	} {
		got := packedOrNot(t, h.Issuer, accepts, "")
		var body io.Reader = got.Body
		if packed {
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatalf("%q: %v", accepts, err)
			}
		}
		text, err := io.ReadAll(body)
		if err != nil || string(text) != string(want) {
			t.Errorf("%q: %v, another document: %.80q", accepts, err, text)
		}
		if (got.Header.Get("Content-Encoding") == "gzip") != packed || (got.Header.Get("ETag") != plain.Header.Get("ETag")) != packed ||
			!strings.Contains(got.Header.Get("Vary"), "Accept-Encoding") {
			t.Errorf("%q: %v", accepts, got.Header)
		}
		if kept := packedOrNot(t, h.Issuer, accepts, got.Header.Get("ETag")); kept.StatusCode != http.StatusNotModified {
			t.Errorf("%q: %d for one that is kept", accepts, kept.StatusCode)
		}
	}
}

// packedOrNot asks for the metadata without what a Go client does by itself.
func packedOrNot(t *testing.T, issuer, accepts, tag string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, issuer+"/.well-known/openid-configuration", nil)
	if err != nil {
		t.Fatal(err)
	}
	if accepts != "" {
		r.Header.Set("Accept-Encoding", accepts)
	}
	if tag != "" {
		r.Header.Set("If-None-Match", tag)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}
