package guard_test

import (
	"net/http"
	"testing"

	"github.com/ostiary/ostiary/internal/guard"
	"github.com/ostiary/ostiary/internal/servertest"
)

// question is how a proxy asks about a request.
type question func(s *site, method, uri, token string, headers ...string) answer

// What each proxy sends, from its documentation. The first two are driven for real
// in proxies_test.go.
var questions = map[guard.Asker]question{
	// auth_request is a GET; the two headers are those of the configuration.
	guard.NGINX: func(s *site, method, uri, token string, headers ...string) answer {
		return s.ask("GET", "/verify", token, append(headers, "X-Original-Method", method, "X-Original-Uri", uri)...)
	},
	// forward_auth is a GET with the headers of the client and these two.
	guard.Caddy: forwarded,
	// ForwardAuth likewise, and with X-Forwarded-Proto, -Host and -For.
	guard.Traefik: forwarded,
	// ext_authz has the method of the client, and its path behind path_prefix.
	guard.Envoy: func(s *site, method, uri, token string, headers ...string) answer {
		return s.ask(method, "/verify"+uri, token, headers...)
	},
}

func forwarded(s *site, method, uri, token string, headers ...string) answer {
	return s.ask("GET", "/verify", token, append(headers,
		"X-Forwarded-Method", method, "X-Forwarded-Uri", uri, "X-Forwarded-Proto", "https", "X-Forwarded-Host", "api.example", "X-Forwarded-For", "192.0.2.7")...)
}

func TestVerify(t *testing.T) {
	for asker, ask := range questions {
		t.Run(string(asker), func(t *testing.T) {
			h := servertest.Start(t)
			h.User("alice", "correct horse battery")
			s := newSite(t, h, rules, func(c *guard.Config) { c.Asker, c.Upstream = asker, nil })
			access, _ := s.person("alice")
			claims := unverified(t, access)

			// Envoy: 200, and no other status of 2xx.
			a := ask(s, "GET", "/orders/7?a=1", access, "X-Auth-Subject", "root")
			if a.StatusCode != http.StatusOK || a.text != "" || a.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%d %s", a.StatusCode, a.text)
			}
			for name, want := range map[string]string{
				"X-Auth-Subject": claims["sub"].(string), "X-Auth-Client": "app", "X-Auth-Scope": "openid orders:read",
				"X-Auth-Session": claims["sid"].(string), "X-Auth-Claim-Amr": `["pwd"]`, "X-Auth-Claim-Nothing": "",
			} {
				if got := a.Header.Values(name); len(got) != 1 || got[0] != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}

			// Every header is there, so that a proxy writes it over the client's.
			for _, a := range []answer{ask(s, "POST", "/orders/", s.token("orders:write")), ask(s, "GET", "/status", "")} {
				for _, name := range []string{"X-Auth-Subject", "X-Auth-Client", "X-Auth-Scope", "X-Auth-Session", "X-Auth-Claim-Amr", "X-Auth-Claim-Acr", "X-Auth-Claim-Nothing"} {
					if len(a.Header.Values(name)) != 1 {
						t.Errorf("%d: %s is %q", a.StatusCode, name, a.Header.Values(name))
					}
				}
			}

			for _, row := range []struct {
				name, method, uri, token string
				status                   int
			}{
				{"public", "GET", "/status", "", 200},
				{"no credentials", "GET", "/orders/7", "", 401},
				{"bad token", "GET", "/orders/7", "a.b.c", 401},
				{"malformed", "GET", "/orders/7", "a b", 400},
				{"scope missing", "POST", "/orders/7", access, 403},
				{"sign-in too weak", "GET", "/strong", access, 401},
				{"no rule", "GET", "/nowhere", access, 403},
				{"no rule for the method", "DELETE", "/orders/7", access, 403},
				{"the token in the query", "GET", "/orders/7?access_token=x", access, 400},
				{"dot segments", "GET", "/status/../orders/7", access, 400},
				{"an escaped slash", "GET", "/status%2Forders", access, 400},
				{"two slashes", "GET", "//status", access, 400},
				{"a method in a header", "GET", "/orders/7", access, 200},
			} {
				if a := ask(s, row.method, row.uri, row.token); a.StatusCode != row.status {
					t.Errorf("%s: %d %s, want %d", row.name, a.StatusCode, a.text, row.status)
				}
			}
			if a := ask(s, "GET", "/orders/7", access, "X-Http-Method-Override", "POST"); a.StatusCode != 400 {
				t.Errorf("a method in a header: %d", a.StatusCode)
			}
			// Nothing else is here.
			for _, path := range []string{"/", "/orders/7", "/status", "/metrics", "/verify/refusal/x"} {
				if a := s.get(path); a.StatusCode == http.StatusOK {
					t.Errorf("%s: %d", path, a.StatusCode)
				}
			}
		})
	}
}

// A client cannot choose its rule: the headers of another proxy do not count, and
// those that count are the proxy's alone.
func TestVerifyTrust(t *testing.T) {
	for asker, names := range map[guard.Asker][2]string{
		guard.NGINX:   {"X-Original-Method", "X-Original-Uri"},
		guard.Caddy:   {"X-Forwarded-Method", "X-Forwarded-Uri"},
		guard.Traefik: {"X-Forwarded-Method", "X-Forwarded-Uri"},
	} {
		t.Run(string(asker), func(t *testing.T) {
			s := newSite(t, servertest.Start(t), rules, func(c *guard.Config) { c.Asker, c.Upstream = asker, nil })
			for _, row := range []struct {
				name    string
				headers []string
			}{
				{"nothing", nil},
				{"no address", []string{names[0], "GET"}},
				{"no method", []string{names[1], "/status"}},
				{"the address twice", []string{names[0], "GET", names[1], "/status", names[1], "/orders/7"}},
				{"the method twice", []string{names[0], "GET", names[0], "POST", names[1], "/status"}},
				{"with an underscore", []string{"X_Original_Uri", "/status", "X_Forwarded_Uri", "/status", names[0], "GET"}},
				{"absolute-form", []string{names[0], "GET", names[1], "http://api.example/status"}},
				{"no path", []string{names[0], "GET", names[1], "?/status"}},
				{"two methods", []string{names[0], "GET, POST", names[1], "/status"}},
			} {
				if a := s.ask("GET", "/verify", "", row.headers...); a.StatusCode != http.StatusBadRequest {
					t.Errorf("%s: %d", row.name, a.StatusCode)
				}
			}
			for other, theirs := range map[guard.Asker][2]string{guard.NGINX: {"X-Original-Method", "X-Original-Uri"}, guard.Caddy: {"X-Forwarded-Method", "X-Forwarded-Uri"}} {
				if theirs == names {
					continue
				}
				if a := s.ask("GET", "/verify", "", names[0], "GET", names[1], "/orders/7", theirs[0], "GET", theirs[1], "/status"); a.StatusCode != http.StatusUnauthorized {
					t.Errorf("the headers of %s chose the rule: %d", other, a.StatusCode)
				}
			}
		})
	}
	t.Run("envoy", func(t *testing.T) {
		s := newSite(t, servertest.Start(t), rules, func(c *guard.Config) { c.Asker, c.Upstream = guard.Envoy, nil })
		a := s.ask("GET", "/verify/orders/7", "", "X-Original-Uri", "/status", "X-Original-Method", "GET", "X-Forwarded-Uri", "/status", "X-Envoy-Original-Path", "/status")
		if a.StatusCode != http.StatusUnauthorized {
			t.Errorf("a header chose the rule: %d", a.StatusCode)
		}
	})
}

// The second question of a proxy that cannot pass on the first answer is answered
// with the same refusal; what would be let through by then is to be tried again.
func TestRefusal(t *testing.T) {
	s := newSite(t, servertest.Start(t), rules, func(c *guard.Config) { c.Asker, c.Upstream = guard.NGINX, nil })
	token := s.token("orders:read")
	ask := func(path, uri, token string) answer {
		return s.ask("POST", path, token, "X-Original-Method", "GET", "X-Original-Uri", uri)
	}
	for _, uri := range []string{"/orders/7", "/nowhere", "/status/..;/x"} {
		first, second := ask(guard.VerifyPath, uri, ""), ask(guard.RefusalPath, uri, "")
		if first.StatusCode != second.StatusCode || first.text != second.text || first.Header.Get("WWW-Authenticate") != second.Header.Get("WWW-Authenticate") {
			t.Errorf("%s: %d %s, and then %d %s", uri, first.StatusCode, first.text, second.StatusCode, second.text)
		}
	}
	a := ask(guard.RefusalPath, "/orders/7", token)
	if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "1" || a.Header.Get("X-Auth-Subject") != "" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}

// Both at once: the paths of the questions are the guard's, the rest the API's.
func TestBoth(t *testing.T) {
	s := newSite(t, servertest.Start(t), rules, func(c *guard.Config) { c.Asker = guard.NGINX })
	if a := s.get("/status"); a.text != "GET /status " {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	s.reached()
	if a := s.ask("GET", "/verify", "", "X-Original-Method", "GET", "X-Original-Uri", "/status"); a.StatusCode != http.StatusOK {
		t.Errorf("%d", a.StatusCode)
	}
	s.nothingReached("a question")
}
