package client_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/client"
)

// A document of another issuer, or one that names none, is not believed (attack row P22).
func TestMetadata(t *testing.T) {
	set := func(name string, value any) func(*fake) {
		return func(f *fake) { f.metadata = func(m map[string]any) { m[name] = value } }
	}
	cases := []struct {
		name string
		lie  func(*fake)
		want error // nil: accepted
	}{
		{"OpenID Connect Discovery §4.2: good", func(*fake) {}, nil},
		{"§4.3: another issuer", set("issuer", "https://evil.example"), client.ErrIssuer},
		{"§4.3: a slash more", func(f *fake) { set("issuer", f.URL+"/")(f) }, client.ErrIssuer},
		{"§4.3: no issuer", set("issuer", ""), client.ErrIssuer},
		{"§3: no token_endpoint", set("token_endpoint", nil), client.ErrResponse},
		{"§3: no jwks_uri", set("jwks_uri", nil), client.ErrResponse},
		{"§3: no authorization_endpoint", set("authorization_endpoint", nil), client.ErrResponse},
		{"http endpoint on another machine", set("token_endpoint", "http://evil.example/token"), client.ErrResponse},
		{"https endpoint on another machine", set("token_endpoint", "https://other.example/token"), nil},
		{"a script as endpoint", set("end_session_endpoint", "javascript:alert(1)"), client.ErrResponse},
		{"user in the URL", set("jwks_uri", "https://good@evil.example/keys"), client.ErrResponse},
		{"a member of another type", set("token_endpoint", []string{"x"}), client.ErrResponse},
		{"more than fits", set("x", strings.Repeat("x", 300<<10)), client.ErrResponse},
		{"not found", answerWith(http.StatusNotFound, ""), client.ErrResponse},
		{"a redirect is not followed", answerWith(http.StatusFound, ""), client.ErrResponse},
		{"down", func(f *fake) { f.down = true }, client.ErrUnavailable},
		{"not JSON", answerWith(http.StatusOK, "<html>"), client.ErrResponse},
	}
	for _, row := range cases {
		t.Run(row.name, func(t *testing.T) {
			f := newFake(t)
			row.lie(f)
			_, err := newClient(t, f).Metadata(t.Context())
			if row.want == nil && err != nil || !errors.Is(err, row.want) {
				t.Errorf("error is %v, want %v", err, row.want)
			}
		})
	}
}

func answerWith(status int, body string) func(*fake) {
	return func(f *fake) {
		f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			w.Write([]byte(body))
			return true
		}
	}
}

// An https issuer must not lead to http, not even on this machine.
func TestMetadataNoDowngrade(t *testing.T) {
	for endpoint, want := range map[string]error{"http://127.0.0.1:1/token": client.ErrResponse, "https://127.0.0.1:1/token": nil} {
		var s *httptest.Server
		s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusOK, map[string]string{
				"issuer": s.URL, "token_endpoint": endpoint, "authorization_endpoint": s.URL + "/authorize", "jwks_uri": s.URL + "/jwks",
			})
		}))
		defer s.Close()
		c, err := client.New(client.Config{Issuer: s.URL, ClientID: "x", RedirectURI: "https://app.example/cb", HTTP: s.Client()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Metadata(t.Context()); want == nil && err != nil || !errors.Is(err, want) {
			t.Errorf("%s: error is %v, want %v", endpoint, err, want)
		}
	}
}

func TestMetadataIsKept(t *testing.T) {
	const path = "/.well-known/openid-configuration"
	f := newFake(t)
	f.down = true
	c := newClient(t, f) // an application starts while its server is down
	ask := func() error {
		_, err := c.Metadata(t.Context())
		return err
	}
	for range 5 {
		if err := ask(); !errors.Is(err, client.ErrUnavailable) {
			t.Fatalf("error is %v", err)
		}
	}
	if n := f.count(path); n != 1 {
		t.Errorf("a server that is down was asked %d times at once", n)
	}
	f.set(func() { f.down = false })
	f.clock.advance(3 * time.Second)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := ask(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := f.count(path); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
	// The last good answer serves on through an outage.
	f.set(func() { f.down = true })
	f.clock.advance(2 * time.Hour)
	if err := ask(); err != nil {
		t.Error(err)
	}
	if n := f.count(path); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
	// But not for somebody else who has taken over the address.
	f.set(func() { f.down, f.metadata = false, func(m map[string]any) { m["issuer"] = "https://evil.example" } })
	f.clock.advance(2 * time.Hour)
	if err := ask(); !errors.Is(err, client.ErrIssuer) {
		t.Errorf("error is %v", err)
	}
}

func TestConfig(t *testing.T) {
	good := client.Config{Issuer: "https://id.example", ClientID: "app", RedirectURI: "https://app.example/cb"}
	if _, err := client.New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*client.Config){
		"no issuer":                            func(c *client.Config) { c.Issuer = "" },
		"http issuer elsewhere":                func(c *client.Config) { c.Issuer = "http://id.example" },
		"http issuer that looks like here":     func(c *client.Config) { c.Issuer = "http://localhost.evil.example" },
		"http issuer that looks like loopback": func(c *client.Config) { c.Issuer = "http://127.0.0.1.evil.example" },
		"issuer with a query":                  func(c *client.Config) { c.Issuer = "https://id.example?x" },
		"issuer with a fragment":               func(c *client.Config) { c.Issuer = "https://id.example#" },
		"no client":                            func(c *client.Config) { c.ClientID = "" },
		"http redirect URI elsewhere":          func(c *client.Config) { c.RedirectURI = "http://app.example/cb" },
		"relative redirect URI":                func(c *client.Config) { c.RedirectURI = "/cb" },
		"post-logout URI with a script":        func(c *client.Config) { c.PostLogoutRedirectURI = "javascript:alert(1)" },
		"basic without a secret":               func(c *client.Config) { c.AuthMethod = client.AuthBasic },
		"none with a secret":                   func(c *client.Config) { c.AuthMethod, c.ClientSecret = client.AuthNone, "x" },
		"unknown method":                       func(c *client.Config) { c.AuthMethod = "client_secret" },
		"a secret too short to sign":           func(c *client.Config) { c.AuthMethod, c.ClientSecret = client.AuthSecretJWT, strings.Repeat("x", 31) },
		"two secrets":                          func(c *client.Config) { c.ClientSecret, c.NewSecret = "x", func() (string, error) { return "", nil } },
		"userinfo signed with a secret":        func(c *client.Config) { c.UserinfoAlgorithm = "HS256" },
		"tenants and one issuer":               func(c *client.Config) { c.Tenants = func(string) bool { return true } },
		"a place for tenants and none":         func(c *client.Config) { c.Issuer = "https://id.example/{tenantid}" },
		"discovery by http":                    func(c *client.Config) { c.Discovery = "http://id.example/meta" },
		"private_key_jwt without a key":        func(c *client.Config) { c.AuthMethod = client.AuthPrivateKey },
		"ID tokens without a signature":        func(c *client.Config) { c.IDTokenAlgorithm = "none" },
		"ID tokens signed with a secret":       func(c *client.Config) { c.IDTokenAlgorithm = "HS256" },
		"a scope with a space":                 func(c *client.Config) { c.Scopes = []string{"openid profile"} },
		"a short session key":                  func(c *client.Config) { c.SessionKeys = [][]byte{make([]byte, 16)} },
		"a cookie name with a semicolon":       func(c *client.Config) { c.CookieName = "a;b" },
		"a cookie name with a prefix":          func(c *client.Config) { c.CookieName = "__Secure-a" },
	} {
		t.Run(name, func(t *testing.T) {
			config := good
			change(&config)
			if _, err := client.New(config); err == nil {
				t.Error("accepted")
			}
		})
	}
}
