package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/servertest"
)

// TestLogout: OpenID Connect RP-Initiated Logout §2 and §3.
func TestLogout(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	c, secret := h.Client("shop", web)
	other := web
	other.PostLogoutRedirectURIs = []string{"http://127.0.0.1:1/other"}
	h.Client("other", other)

	signIn := func() (*servertest.Browser, string) {
		b := h.Browser()
		at := b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
		return b, h.Redeem(c, secret, at).String("id_token")
	}
	signedIn := func(b *servertest.Browser) bool {
		p := b.Get(servertest.AuthorizePath(c, "prompt", "none"))
		return p.Left.Query().Get("code") != ""
	}
	query := func(pairs ...string) string {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return "/logout?" + v.Encode()
	}
	const bye = "http://127.0.0.1:1/bye"
	state := strings.Repeat("s", 128)

	t.Run("with a hint: at once, and back with the state", func(t *testing.T) {
		b, hint := signIn()
		p := b.Get(query("id_token_hint", hint, "post_logout_redirect_uri", bye, "state", state))
		if p.Left == nil || !strings.HasPrefix(p.Left.String(), bye+"?") || p.Left.Query().Get("state") != state || signedIn(b) {
			t.Errorf("%d %v", p.Status, p.Left)
		}
	})
	t.Run("without one: asked first, then signed out", func(t *testing.T) {
		b, _ := signIn()
		p := b.Get(query("client_id", "shop", "post_logout_redirect_uri", bye))
		if p.Status != http.StatusOK || !signedIn(b) {
			t.Fatalf("%d %s", p.Status, p.Body)
		}
		if q := p.Submit("cancel"); q.Left != nil || !signedIn(b) {
			t.Error("staying signed in signed out")
		}
		if q := p.Submit("primary"); q.Left == nil || q.Left.String() != bye || signedIn(b) {
			t.Errorf("%d %v", q.Status, q.Left)
		}
	})
	t.Run("without anything", func(t *testing.T) {
		b, _ := signIn()
		p := b.Get("/logout").Submit("primary")
		if !strings.Contains(p.Body, "You are signed out") || signedIn(b) {
			t.Errorf("%d %s", p.Status, p.Body)
		}
	})
	t.Run("nobody is signed in", func(t *testing.T) {
		if p := h.Browser().Get("/logout"); !strings.Contains(p.Body, "You are signed out") {
			t.Errorf("%d %s", p.Status, p.Body)
		}
	})
	t.Run("another person's hint does not sign me out", func(t *testing.T) {
		_, hint := signIn()
		mine, _ := signIn()
		if mine.Get(query("id_token_hint", hint)); !signedIn(mine) {
			t.Error("signed out by the hint of another session")
		}
	})
	t.Run("a post from another site only asks", func(t *testing.T) {
		b, _ := signIn()
		req, _ := http.NewRequest(http.MethodPost, h.Issuer+"/logout/confirm", strings.NewReader("decision=signout"))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		if p := b.Do(req); p.Status != http.StatusForbidden || !signedIn(b) {
			t.Errorf("%d", p.Status)
		}
	})

	b, hint := signIn()
	signature := strings.LastIndexByte(hint, '.')
	for _, row := range []struct{ name, path string }{
		{"an unregistered address (§3.1)", query("id_token_hint", hint, "post_logout_redirect_uri", "https://evil.example/")},
		{"a query added (§3.1)", query("id_token_hint", hint, "post_logout_redirect_uri", bye+"?x=y")},
		{"another client's address", query("id_token_hint", hint, "post_logout_redirect_uri", "http://127.0.0.1:1/other")},
		{"an address and nobody who asks (§3)", query("post_logout_redirect_uri", bye)},
		{"hint with a foreign signature", query("id_token_hint", hint[:signature+1]+strings.Repeat("A", 342), "post_logout_redirect_uri", bye)},
		{"hint unsigned", query("id_token_hint", "eyJhbGciOiJub25lIn0"+hint[strings.IndexByte(hint, '.'):signature+1], "post_logout_redirect_uri", bye)},
		{"hint and client_id differ (§2)", query("id_token_hint", hint, "client_id", "other")},
		{"client unknown", query("client_id", "nobody")},
		{"twice", query("state", "a") + "&state=b"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := b.Get(row.path)
			if p.Left != nil || p.Status != http.StatusBadRequest || !strings.Contains(p.Body, "This request is not valid") {
				t.Errorf("%d %v", p.Status, p.Left)
			}
			if !signedIn(b) {
				t.Error("a bad request signed the person out")
			}
		})
	}
}
