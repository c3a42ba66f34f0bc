package server_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestAuthorizeBadInput sends what no client should send. Until client and
// redirect URI are known to be good the answer is a page, then a redirect (RFC
// 6749 §4.1.2.1); nothing is stored. Attack rows O1, O3, O5, O7, O9, O10, O15 and O33.
func TestAuthorizeBadInput(t *testing.T) {
	h := servertest.Start(t)
	c, _ := h.Client("shop", web)
	public, _ := h.Client("spa", spa())
	two := web
	two.RedirectURIs = []string{"http://127.0.0.1:1/a", "http://127.0.0.1:1/b"}
	h.Client("two", two)
	other := web
	other.RedirectURIs = []string{"http://127.0.0.1:1/other"}
	h.Client("other", other)

	path := func(c model.Client, extra ...string) string { return servertest.AuthorizePath(c, extra...) }
	long := strings.Repeat("x", 5000)
	const page = "page"
	for _, row := range []struct {
		name string
		path string
		want string // page, or the error code at the client
	}{
		// client_id, RFC 6749 §2.2
		{"client_id missing", path(c, "client_id", ""), page},
		{"client_id unknown", path(c, "client_id", "nobody"), page},
		{"client_id twice", path(c) + "&client_id=other", page},
		{"client_id long", path(c, "client_id", long), page},
		{"client_id with a zero byte", path(c, "client_id", "shop\x00"), page},
		{"client_id in another case", path(c, "client_id", "SHOP"), page},

		// redirect_uri, RFC 6749 §3.1.2.3, RFC 9700 §2.1 and §4.1
		{"redirect_uri of another client", path(c, "redirect_uri", "http://127.0.0.1:1/other"), page},
		{"redirect_uri longer by a path", path(c, "redirect_uri", c.RedirectURIs[0]+"/x"), page},
		{"redirect_uri longer by a host", path(c, "redirect_uri", c.RedirectURIs[0]+".evil.example"), page},
		{"redirect_uri with a query", path(c, "redirect_uri", c.RedirectURIs[0]+"?a=b"), page},
		{"redirect_uri with a fragment", path(c, "redirect_uri", c.RedirectURIs[0]+"#x"), page},
		{"redirect_uri in another case", path(c, "redirect_uri", "http://127.0.0.1:1/Callback"), page},
		{"redirect_uri with dots", path(c, "redirect_uri", "http://127.0.0.1:1/x/../callback"), page},
		{"redirect_uri with encoded dots", path(c, "redirect_uri", "http://127.0.0.1:1/%2e%2e/callback"), page},
		{"redirect_uri with a user", path(c, "redirect_uri", "http://127.0.0.1:1@evil.example/callback"), page},
		{"redirect_uri with a backslash", path(c, "redirect_uri", `http://127.0.0.1:1\@evil.example/callback`), page},
		{"redirect_uri on another port of a web client", path(c, "redirect_uri", "http://127.0.0.1:2/callback"), page},
		{"redirect_uri as javascript", path(c, "redirect_uri", "javascript:alert(1)"), page},
		{"redirect_uri with CR LF", path(c, "redirect_uri", c.RedirectURIs[0]+"\r\nX: y"), page},
		{"redirect_uri long", path(c, "redirect_uri", "http://127.0.0.1:1/"+long), page},
		{"redirect_uri twice", path(c) + "&redirect_uri=http://evil.example", page},
		{"redirect_uri missing, two registered (RFC 6749 §3.1.2.3)", path(model.Client{ID: "two", ClientSettings: two}, "redirect_uri", ""), page},
		{"redirect_uri missing with openid (OpenID Connect Core §3.1.2.1)", path(c, "redirect_uri", ""), "invalid_request"},
		{"bad client and evil address", path(c, "client_id", "nobody", "redirect_uri", "https://evil.example"), page},
		{"bad response_type and evil address", path(c, "response_type", "x", "redirect_uri", "https://evil.example"), page},
		{"broken escaping", path(c) + "&x=%zz", page},

		// the others, RFC 6749 §4.1.2.1
		{"response_type missing", path(c, "response_type", ""), "invalid_request"},
		{"response_type unknown", path(c, "response_type", "cheese"), "unsupported_response_type"},
		{"response_type in another case", path(c, "response_type", "Code"), "unsupported_response_type"},
		{"response_type twice", path(c) + "&response_type=code", "invalid_request"},
		{"response_mode unknown", path(c, "response_mode", "carrier_pigeon"), "invalid_request"},
		{"scope missing", path(c, "scope", ""), "invalid_scope"},
		{"scope twice", path(c) + "&scope=openid", "invalid_request"},
		{"scope not registered", path(c, "scope", "openid admin"), "invalid_scope"},
		{"scope with a quote", path(c, "scope", `openid "`), "invalid_scope"},
		{"scope long", path(c, "scope", long), "invalid_request"},
		{"state twice", path(c) + "&state=b", "invalid_request"},
		{"state with a zero byte", path(c, "state", "a\x00"), "invalid_request"},
		{"state not UTF-8", path(c, "state", "") + "&state=%ff", "invalid_request"},
		{"nonce long", path(c, "nonce", long), "invalid_request"},
		{"code_challenge missing, public client (RFC 7636 §4.4.1)", path(public, "code_challenge", "", "code_challenge_method", ""), "invalid_request"},
		{"code_challenge_method missing means plain (RFC 7636 §4.3)", path(public, "code_challenge_method", ""), "invalid_request"},
		{"code_challenge_method plain", path(public, "code_challenge_method", "plain"), "invalid_request"},
		{"code_challenge_method alone", path(c, "code_challenge", ""), "invalid_request"},
		{"code_challenge short", path(c, "code_challenge", "abc"), "invalid_request"},
		{"code_challenge with odd characters", path(c, "code_challenge", strings.Repeat("+", 43)), "invalid_request"},
		{"prompt unknown", path(c, "prompt", "dance"), "invalid_request"},
		{"prompt none with another (OpenID Connect Core §3.1.2.1)", path(c, "prompt", "none login"), "invalid_request"},
		{"max_age negative", path(c, "max_age", "-1"), "invalid_request"},
		{"max_age no number", path(c, "max_age", "soon"), "invalid_request"},
		{"max_age huge", path(c, "max_age", "99999999999"), "invalid_request"},
		{"id_token_hint forged", path(c, "id_token_hint", "eyJhbGciOiJub25lIn0.e30."), "invalid_request"},
		{"request of a client without keys (OpenID Connect Core §3.1.2.6)", path(c, "request", "x.y.z"), "invalid_request_object"},
		{"request_uri not registered (OpenID Connect Core §3.1.2.6)", path(c, "request_uri", "https://x.example/r"), "invalid_request_uri"},
		{"registration (OpenID Connect Core §7.2.1)", path(c, "registration", "{}"), "registration_not_supported"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := h.Browser().Get(row.path)
			if row.want == page {
				if p.Left != nil || p.Status != http.StatusBadRequest || !strings.Contains(p.Body, "This request is not valid") {
					t.Fatalf("want a page, got %d %v", p.Status, p.Left)
				}
				return
			}
			if p.Left == nil {
				t.Fatalf("want a redirect, got %d %s", p.Status, p.Body)
			}
			q := p.Left.Query()
			if q.Get("error") != row.want || q.Get("iss") != h.Issuer || q.Get("code") != "" || p.Status != http.StatusSeeOther {
				t.Errorf("want %s, got %d %s", row.want, p.Status, p.Left)
			}
			if strings.ContainsAny(q.Get("error_description"), "\"\\\r\n") { // RFC 6749 §4.1.2.1
				t.Errorf("error_description %q", q.Get("error_description"))
			}
			if !strings.HasPrefix(row.name, "state") && q.Get("state") != "the-state" {
				t.Errorf("state %q", q.Get("state"))
			}
		})
	}
	if n := requests(t, h); n != 0 {
		t.Errorf("%d requests were stored, want none", n)
	}
	if strings.Contains(h.Log.String(), "panic") {
		t.Error("something panicked")
	}
	if p := h.Browser().Get(path(c)); p.Status != http.StatusOK {
		t.Errorf("the good twin: %d", p.Status)
	}
	if n := requests(t, h); n != 1 {
		t.Errorf("%d requests were stored, want the good twin's", n)
	}
}

// requests counts the requests that wait in the database file.
func requests(t *testing.T, h *servertest.House) int { return rows(t, h)["requests"] }

// TestAuthorizeLarge: a megabyte is refused by its size, wherever it stands.
func TestAuthorizeLarge(t *testing.T) {
	h := servertest.Start(t)
	c, _ := h.Client("shop", web)
	huge := strings.Repeat("x", 1<<20)
	if p := h.Browser().Get(servertest.AuthorizePath(c, "state", huge)); p.Status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("GET: %d", p.Status)
	}
	p := h.Browser().Post("/authorize", url.Values{"client_id": {"shop"}, "state": {huge}})
	if p.Status != http.StatusRequestEntityTooLarge || !strings.Contains(p.Body, "This request is not valid") {
		t.Errorf("POST: %d %s", p.Status, p.Body)
	}
}

// TestAuthorizeGood: what a client may send, and what comes of it.
func TestAuthorizeGood(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	first := web
	first.FirstParty = true
	c, secret := h.Client("shop", first)
	native := first
	native.ApplicationType, native.AuthMethod = "native", model.AuthNone
	native.RedirectURIs = []string{"http://127.0.0.1/cb", "com.example.app:/cb", "http://[::1]/cb"}
	n, _ := h.Client("native", native)
	one := first
	one.RedirectURIs = []string{"http://127.0.0.1:1/cb?keep=%2Fthis"}
	withQuery, _ := h.Client("query", one)
	b := h.Browser()
	b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")

	state := strings.Repeat("s", 128) + " +&=%/?ї"
	for _, row := range []struct {
		name, path string
		ok         func(*url.URL) bool
	}{
		{"a long odd state comes back as it was", servertest.AuthorizePath(c, "state", state), func(u *url.URL) bool { return u.Query().Get("state") == state }},
		{"no state: none comes back", servertest.AuthorizePath(c, "state", ""), func(u *url.URL) bool { return !u.Query().Has("state") }},
		{"an empty parameter counts as none (RFC 6749 §3.1)", servertest.AuthorizePath(c) + "&prompt=", func(*url.URL) bool { return true }},
		{"unknown ones are ignored (RFC 6749 §3.1)", servertest.AuthorizePath(c, "extra", "foobar", "display", "popup", "ui_locales", "se", "claims_locales", "se"), func(*url.URL) bool { return true }},
		{"scopes in another order", servertest.AuthorizePath(c, "scope", "email openid"), func(*url.URL) bool { return true }},
		{"no PKCE, confidential client", servertest.AuthorizePath(c, "code_challenge", "", "code_challenge_method", ""), func(*url.URL) bool { return true }},
		{"no redirect_uri, one registered, no openid (RFC 6749 §3.1.2.3)", servertest.AuthorizePath(c, "redirect_uri", "", "scope", "orders:write"), func(u *url.URL) bool { return u.Path == "/callback" }},
		{"any port of a native client's loopback address (RFC 8252 §7.3)", servertest.AuthorizePath(n, "redirect_uri", "http://127.0.0.1:49152/cb"), func(u *url.URL) bool { return u.Port() == "49152" }},
		{"the same with IPv6", servertest.AuthorizePath(n, "redirect_uri", "http://[::1]:49152/cb"), func(u *url.URL) bool { return u.Port() == "49152" }},
		{"a native client's own scheme (RFC 8252 §7.1)", servertest.AuthorizePath(n, "redirect_uri", "com.example.app:/cb"), func(u *url.URL) bool { return u.Scheme == "com.example.app" }},
		{"a query of the redirect URI is kept (RFC 6749 §3.1.2)", servertest.AuthorizePath(withQuery), func(u *url.URL) bool { return strings.HasPrefix(u.RawQuery, "keep=%2Fthis&") }},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := b.Get(row.path)
			if p.Left == nil || p.Left.Query().Get("code") == "" || !row.ok(p.Left) {
				t.Fatalf("%d %v %s", p.Status, p.Left, p.URL)
			}
		})
	}
	t.Run("by POST (OpenID Connect Core §3.1.2.1)", func(t *testing.T) {
		u, _ := url.Parse(servertest.AuthorizePath(c))
		p := b.Post("/authorize", u.Query())
		if p.Left == nil || h.Redeem(c, secret, p.Left).Status != http.StatusOK {
			t.Errorf("%d %s", p.Status, p.Body)
		}
	})
	t.Run("by POST from another site", func(t *testing.T) {
		u, _ := url.Parse(servertest.AuthorizePath(c))
		req, _ := http.NewRequest(http.MethodPost, h.Issuer+"/authorize", strings.NewReader(u.RawQuery))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", "https://elsewhere.example")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		if p := b.Do(req); p.Left == nil {
			t.Errorf("%d %s", p.Status, p.Body)
		}
	})
	for _, evil := range []string{
		"http://127.0.0.1:49152/other", "https://127.0.0.1:49152/cb", "http://127.0.0.1.evil.example:1/cb", "http://localhost:49152/cb",
		"http://127.0.0.1:0/cb", "http://127.0.0.1:99999/cb", "http://127.0.0.1:1@evil.example:2/cb", "http://127.0.0.1:49152/cb?x", "http://127.0.0.1:049152/cb",
		"http://127.1:49152/cb", "http://127.0.0.1:/cb", "com.example.app:/cb/x", "com.example.app://cb", "http://2130706433:49152/cb",
	} {
		t.Run("loopback trick "+evil, func(t *testing.T) { // RFC 8252 §7.3, §8.4; attack row O4
			if p := b.Get(servertest.AuthorizePath(n, "redirect_uri", evil)); p.Left != nil || p.Status != http.StatusBadRequest {
				t.Errorf("%d %v", p.Status, p.Left)
			}
		})
	}
}

// TestPagesAreProtected looks at the headers and the refusals that every page
// of a sign-in must have: attack rows O21, O22, O25, P15, and T23 (unknown user and
// wrong password look the same; that they cost the same is in package account).
func TestPagesAreProtected(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	c, _ := h.Client("shop", web)
	b := h.Browser()
	p := b.Get(servertest.AuthorizePath(c, "login_hint", `"><script>alert(1)</script>`))
	for name, want := range map[string]string{
		"Content-Security-Policy": "frame-ancestors 'none'", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if !strings.Contains(p.Header.Get(name), want) {
			t.Errorf("%s: %q, want %q in it", name, p.Header.Get(name), want)
		}
	}
	ours := regexp.MustCompile(`<script src="/static/passkey[^"<>]*\.js[^"<>]*" defer></script>`)
	if rest := ours.ReplaceAllLiteralString(p.Body, ""); rest == p.Body || strings.Contains(rest, "<script") {
		t.Error("login_hint was not escaped")
	}
	for _, cookie := range p.Header.Values("Set-Cookie") {
		if !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
			t.Errorf("cookie %s", cookie)
		}
	}
	t.Run("a form sent from another site", func(t *testing.T) {
		req, _ := http.NewRequest(http.MethodPost, p.URL.String(), strings.NewReader("login=olena&password=correct+horse+battery"))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		req.Header.Set("Origin", "https://elsewhere.example")
		if got := b.Do(req); got.Status != http.StatusForbidden {
			t.Errorf("%d", got.Status)
		}
	})
	t.Run("a password in the address is not taken", func(t *testing.T) {
		form := url.Values{"login": {"olena"}, "password": {"correct horse battery"}}
		if got := b.Post(p.URL.String()+"?"+form.Encode(), url.Values{}); got.Status != http.StatusUnprocessableEntity {
			t.Errorf("%d %s", got.Status, got.URL)
		}
	})
	t.Run("wrong password and unknown user look the same", func(t *testing.T) {
		wrong := p.Submit("primary", "login", "olena", "password", "wrong password here")
		unknown := p.Submit("primary", "login", "nobody", "password", "wrong password here")
		if wrong.Status != unknown.Status || strings.ReplaceAll(wrong.Body, "olena", "") != strings.ReplaceAll(unknown.Body, "nobody", "") {
			t.Errorf("%d %d", wrong.Status, unknown.Status)
		}
	})
	t.Run("a consent page cannot be skipped to", func(t *testing.T) {
		page := strings.TrimSuffix(p.URL.Path, "/login") + "/consent"
		if got := b.Post(page, url.Values{"decision": {"allow"}}); got.Left != nil || !strings.HasSuffix(got.URL.Path, "/login") {
			t.Errorf("%d %s", got.Status, got.URL)
		}
	})
	t.Run("refusing", func(t *testing.T) {
		if got := p.Submit("cancel"); got.Left == nil || got.Left.Query().Get("error") != "access_denied" {
			t.Errorf("%d %v", got.Status, got.Left)
		}
		consent := p.Submit("primary", "login", "olena", "password", "correct horse battery")
		if got := consent.Submit("cancel"); got.Left == nil || got.Left.Query().Get("error") != "access_denied" {
			t.Errorf("%d %v", got.Status, got.Left)
		}
		if got := consent.Submit("primary"); got.Left == nil || got.Left.Query().Get("code") == "" {
			t.Errorf("the good twin: %d %v", got.Status, got.Left)
		}
	})
}
