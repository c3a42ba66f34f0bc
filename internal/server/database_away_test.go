package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/ostiary/ostiary/resource"
)

// TestDatabaseAway: while PostgreSQL is away, tokens that were issued are verified as
// ever, and whoever wants something that needs it is told so at once, in their own
// words. When it is back, nothing has to be done, and nothing is half done.
func TestDatabaseAway(t *testing.T) {
	proxy := storetest.NewProxy(t, storetest.PostgresURL(t))
	h := servertest.Start(t, func(c *server.Config) { c.Database, c.DatabaseWait = proxy.URL, 3*time.Second })
	h.User("olena", "correct horse battery")
	c, secret := h.Client("shop", web)
	machine, machineSecret := h.Client("machine", model.ClientSettings{
		GrantTypes: []string{"client_credentials"}, Scopes: []string{"ostiary:users", "ostiary:sessions"}, AuthMethod: "client_secret_basic",
	})
	b := h.Browser()
	orders := servertest.AuthorizePath(c, "scope", "openid orders:write")
	old := h.Redeem(c, secret, b.SignIn(orders, "olena", "correct horse battery"))
	code := b.Get(orders).Left
	admin := h.Call("/token", machine, machineSecret, url.Values{"grant_type": {"client_credentials"}})
	if old.String("refresh_token") == "" || admin.String("access_token") == "" {
		t.Fatal(old.Text, admin.Text)
	}
	guarded := guardedBy(t, h, web.Audiences[0])
	if got := guarded(old.String("access_token")); got != http.StatusOK {
		t.Fatal(got)
	}

	proxy.Close()
	ask := func(method, path, token string, form url.Values) servertest.Answer {
		t.Helper()
		req, err := http.NewRequest(method, h.Issuer+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		if form != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		start := time.Now()
		a := servertest.Do(t, req)
		// The wait of three seconds, and what a busy machine adds. Without bounds it
		// would be for ever.
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s %s took %v", method, path, took)
		}
		return a
	}
	t.Run("what is in memory goes on", func(t *testing.T) {
		for path, want := range map[string]int{
			"/healthz": 200, "/readyz": 503, "/jwks": 200, "/.well-known/openid-configuration": 200, "/.well-known/oauth-authorization-server": 200,
		} {
			if a := ask("GET", path, "", nil); a.Status != want {
				t.Errorf("%s answers %d %s", path, a.Status, a.Text)
			}
		}
	})
	t.Run("tokens are verified at APIs", func(t *testing.T) {
		for token, want := range map[string]int{old.String("access_token"): 200, old.String("access_token") + "x": 401} {
			if got := guarded(token); got != want {
				t.Errorf("%d, want %d", got, want)
			}
		}
	})
	t.Run("programs are told to come again (RFC 6749 §5.2)", func(t *testing.T) {
		for name, a := range map[string]servertest.Answer{
			"client credentials": h.Call("/token", machine, machineSecret, url.Values{"grant_type": {"client_credentials"}}),
			"refresh":            renew(h, c, secret, old.String("refresh_token")),
			"code":               h.Redeem(c, secret, code),
			"introspection":      h.Call("/introspect", c, secret, url.Values{"token": {old.String("access_token")}}),
			"revocation":         h.Call("/revoke", c, secret, url.Values{"token": {old.String("refresh_token")}}),
			"userinfo":           ask("GET", "/userinfo", old.String("access_token"), nil),
			"administration":     ask("GET", "/api/users", admin.String("access_token"), nil),
		} {
			if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || a.String("error") != "temporarily_unavailable" {
				t.Errorf("%s: %d %v %s", name, a.Status, a.Header, a.Text)
			}
		}
	})
	t.Run("people are told to come again (RFC 6749 §4.1.2.1)", func(t *testing.T) {
		for _, path := range []string{orders, "/account", "/account/sessions"} {
			p := b.Get(path)
			if p.Status != http.StatusServiceUnavailable || p.Header.Get("Retry-After") == "" || !strings.Contains(p.Body, "cannot reach its database") {
				t.Errorf("%s: %d %s", path, p.Status, p.Body)
			}
		}
	})
	t.Run("no route says that it has failed", func(t *testing.T) {
		routes, err := h.Routes()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes {
			path := strings.NewReplacer("{$}", "", "{", "", "}", "", "...", "").Replace(r.Path)
			var a servertest.Answer
			if r.Program {
				a = ask(r.Method, path, admin.String("access_token"), nil)
			} else {
				req, err := http.NewRequest(r.Method, h.Issuer+path, strings.NewReader("a=b"))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				req.Header.Set("Origin", h.Issuer)
				p := b.Do(req)
				a.Status, a.Text = p.Status, p.Body
			}
			if a.Status == http.StatusInternalServerError {
				t.Errorf("%s %s: %d %s", r.Method, path, a.Status, a.Text)
			}
		}
	})

	proxy.Open(t)
	for until := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if a := ask("GET", "/readyz", "", nil); a.Status == http.StatusOK {
			break
		} else if time.Now().After(until) {
			t.Fatal("it does not recover by itself")
		}
	}
	t.Run("nothing is half done", func(t *testing.T) {
		if a := h.Redeem(c, secret, code); a.Status != http.StatusOK {
			t.Errorf("the code: %d %s", a.Status, a.Text)
		}
		a := renew(h, c, secret, old.String("refresh_token"))
		if a.Status != http.StatusOK {
			t.Fatalf("the refresh token: %d %s", a.Status, a.Text)
		}
		if a := ask("GET", "/userinfo", a.String("access_token"), nil); a.Status != http.StatusOK {
			t.Errorf("userinfo: %d %s", a.Status, a.Text)
		}
		if p := b.Get("/account"); p.Status != http.StatusOK {
			t.Errorf("the account: %d %s", p.Status, p.Body)
		}
	})
}

// guardedBy is an API that verifies tokens of a house, whose keys it has fetched. It
// says with which status it answers.
func guardedBy(t *testing.T, h *servertest.House, audience string) func(token string) int {
	t.Helper()
	guard, err := resource.New(resource.Config{Issuer: h.Issuer, Audience: audience, Now: h.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	api := guard.Require("orders:write")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return func(token string) int {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		seen := httptest.NewRecorder()
		api.ServeHTTP(seen, req)
		return seen.Code
	}
}
