package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestCookiesOnHTTPS (attack row P4): on an https issuer the session's cookie is bound to this
// very host ("__Host-"), and the one of a waiting request to its own pages. The
// server stands behind a proxy that speaks TLS, so it is asked without the
// network.
func TestCookiesOnHTTPS(t *testing.T) {
	h := servertest.Start(t, func(c *server.Config) { c.Issuer = "https://login.example.com" })
	u := h.User("olena", "correct horse battery")
	c, _ := h.Client("shop", web)
	ask := func(method, path, body string, cookies ...*http.Cookie) *http.Response {
		r := httptest.NewRequest(method, "https://login.example.com"+path, strings.NewReader(body))
		if body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		}
		for _, k := range cookies {
			r.AddCookie(k)
		}
		w := httptest.NewRecorder()
		h.Handler().ServeHTTP(w, r)
		return w.Result()
	}
	begun := ask(http.MethodGet, servertest.AuthorizePath(c), "")
	page := begun.Header.Get("Location")
	waiting := only(t, begun)
	if waiting.Name != "__Secure-ostiary_interaction" || waiting.Path+"/login" != page {
		t.Errorf("cookie %s for %s", waiting, page)
	}
	form := url.Values{"login": {"olena"}, "password": {"correct horse battery"}}
	proven := func() *http.Response {
		if posted := ask(http.MethodPost, page, form.Encode(), waiting); posted.StatusCode != http.StatusSeeOther || len(posted.Cookies()) > 0 {
			t.Errorf("a password alone brings cookies: %d %v", posted.StatusCode, posted.Cookies())
		}
		return ask(http.MethodGet, waiting.Path, "", waiting)
	}
	session, current, device := three(t, proven())
	if device.Name != "__Host-ostiary_device_"+string(u.ID) || device.Path != "/" || device.Domain != "" || device.MaxAge < 300*24*3600 {
		t.Errorf("cookie %s", device)
	}
	if session.Name != "__Host-ostiary_session_"+string(u.ID) || current.Name != "__Host-ostiary_account" || current.Value != string(u.ID) {
		t.Errorf("cookies %s and %s", session, current)
	}
	for _, k := range []*http.Cookie{session, current} {
		if k.Path != "/" || k.Domain != "" || !k.Expires.IsZero() {
			t.Errorf("cookie %s", k)
		}
	}
	form.Set("remember", "1")
	kept, current, _ := three(t, proven())
	if kept.Expires.IsZero() || current.Expires.IsZero() {
		t.Errorf("a remembered session ends with the browser: %s", kept)
	}
	// OpenID Connect Session Management §3.2: for scripts, also in a frame on
	// another site, and nothing that is worth anything.
	state := only(t, ask(http.MethodGet, waiting.Path, "", waiting, kept))
	if state.Name != "__Host-ostiary_state" || state.HttpOnly || !state.Secure || state.SameSite != http.SameSiteNoneMode || state.Path != "/" || state.Expires.IsZero() {
		t.Errorf("cookie %s", state)
	}
	if strings.Contains(kept.Value, state.Value) || len(state.Value) != 22 {
		t.Errorf("the state %q is part of the session %q", state.Value, kept.Value)
	}
	for _, k := range []*http.Cookie{waiting, session, current} {
		if !k.Secure || !k.HttpOnly || k.SameSite != http.SameSiteLaxMode {
			t.Errorf("cookie %s", k)
		}
	}
	if hsts := begun.Header.Get("Strict-Transport-Security"); !strings.Contains(hsts, "max-age=") {
		t.Errorf("Strict-Transport-Security %q", hsts)
	}
	// Somebody who can set a cookie from another place sets a second one.
	twice := ask(http.MethodGet, servertest.AuthorizePath(c, "prompt", "none"), "", session, &http.Cookie{Name: session.Name, Value: "planted"})
	if to := twice.Header.Get("Location"); !strings.Contains(to, "login_required") {
		t.Errorf("two session cookies: %s", to)
	}
}

func only(t *testing.T, res *http.Response) *http.Cookie {
	t.Helper()
	if len(res.Cookies()) != 1 {
		t.Fatalf("%d %v", res.StatusCode, res.Cookies())
	}
	return res.Cookies()[0]
}

func three(t *testing.T, res *http.Response) (first, second, third *http.Cookie) {
	t.Helper()
	if len(res.Cookies()) != 3 {
		t.Fatalf("%d %v", res.StatusCode, res.Cookies())
	}
	return res.Cookies()[0], res.Cookies()[1], res.Cookies()[2]
}
