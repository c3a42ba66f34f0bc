package guard_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/guard"
	"github.com/ostiary/ostiary/internal/servertest"
)

func TestProxy(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		s := newSite(t, h, rules)
		h.User("alice", "correct horse battery")
		access, _ := s.person("alice")

		// Who calls is told; what the client claims about that is not.
		a := s.ask("GET", "/orders/7?a=1&b=2;c=3", access,
			"X-Auth-Subject", "root", "X_Auth_Subject", "root", "X-Auth_scope", "admin", "X.Auth.Client", "root", "X-Auth-Roles", "admin",
			"X-Auth-Claim-Nothing", "something", "X-Original-Url", "/admin", "X-Rewrite-Url", "/admin", "X-Forwarded-For", "10.0.0.1", "X-Forwarded-Host", "evil.example",
			"X_Forwarded_For", "10.0.0.1", "Forwarded", "for=10.0.0.1", "X-Real-Ip", "10.0.0.1", "X-Forwarded-Prefix", "/x")
		if a.StatusCode != http.StatusOK || a.text != "GET /orders/7?a=1&b=2;c=3 " {
			t.Fatalf("%d %s", a.StatusCode, a.text)
		}
		r := s.reached()
		claims := unverified(t, access)
		for name, want := range map[string]string{
			"X-Auth-Subject": claims["sub"].(string), "X-Auth-Client": "app", "X-Auth-Scope": "openid orders:read", "X-Auth-Session": claims["sid"].(string),
			"X-Auth-Claim-Amr": `["pwd"]`, "X-Auth-Claim-Acr": `"urn:ostiary:acr:password"`, "X-Auth-Claim-Nothing": "",
			"X-Auth-Roles": "", "X-Original-Url": "", "X-Rewrite-Url": "", "Authorization": "", "X-Forwarded-For": "127.0.0.1",
			"X-Forwarded-Host": strings.TrimPrefix(s.URL, "http://"), "X-Forwarded-Proto": "http", "Forwarded": "", "X-Real-Ip": "", "X-Forwarded-Prefix": "",
		} {
			if got := strings.Join(r.Header.Values(name), "|"); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		for name := range r.Header {
			if strings.Contains(name, "_") || strings.Contains(name, ".") {
				t.Errorf("%s reached the API", name)
			}
		}

		// A program has no session, and a body passes.
		req, _ := http.NewRequest("POST", s.URL+"/orders/", strings.NewReader("one more"))
		req.Header.Set("Authorization", "Bearer "+s.token("orders:write"))
		if a := s.do(req); a.text != "POST /orders/ one more" {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
		if r := s.reached(); r.Header.Get("X-Auth-Subject") != "app" || r.Header.Get("X-Auth-Session") != "" || len(r.Header["X-Auth-Claim-Amr"]) != 0 {
			t.Errorf("a program: %v", r.Header)
		}

		// What everybody may see has nobody's name, and a token is not looked at.
		if a := s.ask("GET", "/status", "nonsense", "X-Auth-Subject", "root"); a.StatusCode != http.StatusOK {
			t.Errorf("public: %d", a.StatusCode)
		}
		if r := s.reached(); len(r.Header["X-Auth-Subject"]) != 0 || r.Header.Get("Authorization") != "Bearer nonsense" {
			t.Errorf("public: %v", r.Header)
		}

		// The API's own answers pass as they are.
		if a := s.ask("GET", "/orders/teapot", access); a.StatusCode != http.StatusTeapot || a.Header.Get("WWW-Authenticate") != "Own" || a.text != "the API's own\n" {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
		s.reached()

		// RFC 9110 §7.6.1: what Connection names goes before what the guard says.
		if a := s.ask("GET", "/orders/7", access, "Connection", "X-Auth-Subject"); a.StatusCode != http.StatusOK {
			t.Errorf("%d", a.StatusCode)
		}
		if r := s.reached(); r.Header.Get("X-Auth-Subject") != claims["sub"] {
			t.Errorf("Connection took the subject away: %v", r.Header)
		}
	})
}

// DESIGN: each status as package resource has it, and nothing of it reaches the API.
func TestRefusals(t *testing.T) {
	s := newSite(t, servertest.Start(t), rules)
	s.User("alice", "correct horse battery")
	access, _ := s.person("alice")
	const begin = `Bearer realm="https://api.example", resource_metadata="https://api.example/.well-known/oauth-protected-resource"`
	for _, row := range []refusal{
		{"no credentials", "GET", "/orders/", "", 401, begin, "An access token is needed"},
		{"malformed", "GET", "/orders/", "two tokens", 400, begin + `, error="invalid_request", error_description="The Authorization header does not hold one bearer token"`, ""},
		{"in the query", "GET", "/orders/?access_token=x", access, 400, begin + `, error="invalid_request", error_description="The access token must be sent in the Authorization header and nowhere else"`, ""},
		{"no access token", "GET", "/orders/", "a.b.c", 401, begin + `, error="invalid_token", error_description="The access token is malformed"`, ""},
		{"scope missing", "POST", "/orders/", access, 403, begin + `, error="insufficient_scope", error_description="The access token lacks a scope", scope="orders:write"`, ""},
		{"sign-in too weak", "GET", "/strong", access, 401, begin + `, error="insufficient_user_authentication", error_description="A stronger authentication is required", acr_values="urn:example:gold"`, ""},
		{"no rule", "GET", "/nowhere", access, 403, "", "No rule lets this request through."},
		{"no rule, no token", "GET", "/nowhere", "", 403, "", "No rule lets this request through."},
		{"dots with a parameter", "GET", "/orders/..;/", access, 400, begin + `, error="invalid_request", error_description="The path must hold no dot segment"`, ""},
		{"dot segments", "GET", "/status/../orders/", access, 400, begin + `, error="invalid_request", error_description="The path must hold no dot segment"`, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.check(t, s.ask(row.method, s.URL+row.path, row.token))
			s.nothingReached(row.name)
		})
	}
	t.Run("a method in a header", func(t *testing.T) {
		a := s.ask("GET", "/orders/", access, "X-Http-Method-Override", "post")
		refusal{"", "", "", "", 400, begin + `, error="invalid_request", error_description="The request can be read in two ways that have different rules"`, ""}.check(t, a)
	})
	t.Run("sent twice", func(t *testing.T) {
		a := s.ask("GET", "/orders/", access, "Authorization", "Bearer x")
		refusal{"", "", "", "", 400, begin + `, error="invalid_request", error_description="The Authorization header was sent twice"`, ""}.check(t, a)
	})
	t.Run("RFC 9110 §9.3.6: CONNECT", func(t *testing.T) {
		if status := raw(t, s.URL, "CONNECT /orders/ HTTP/1.1\r\nHost: x\r\n\r\n"); status != 400 {
			t.Errorf("%d", status)
		}
		if status := raw(t, s.URL, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"); status != 400 && status != 200 {
			t.Errorf("OPTIONS *: %d", status)
		}
		s.nothingReached("no path")
	})
	s.Clock.Move(10 * time.Minute)
	fresh := s.token("orders:read")
	for _, row := range []refusal{
		{"expired", "GET", "/orders/", access, 401, begin + `, error="invalid_token", error_description="The access token expired"`, ""},
		{"sign-in too old", "GET", "/payments", fresh, 401, begin + `, error="insufficient_user_authentication", error_description="A more recent authentication is required", max_age="300"`, ""},
	} {
		t.Run(row.name, func(t *testing.T) { row.check(t, s.ask(row.method, row.path, row.token)) })
	}
	s.nothingReached("refused")

	metrics := s.get(s.Health + "/metrics").text
	for _, line := range []string{`ostiary_guard_decisions_total{mode="proxy",status="401"} 5`, `ostiary_guard_decisions_total{mode="proxy",status="403"} 3`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %s in\n%s", line, metrics)
		}
	}
}

// Without rules every path needs a good token.
func TestWithoutRules(t *testing.T) {
	s := newSite(t, servertest.Start(t), "")
	if a := s.get("/anything"); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("%d", a.StatusCode)
	}
	s.nothingReached("without a token")
	if a := s.ask("GET", "/a//b%2Fc", s.token("orders:read")); a.text != "GET /a//b%2Fc " {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

// What the guard answers itself is not the API's, and nothing else is taken from it.
func TestOwnAnswers(t *testing.T) {
	s := newSite(t, servertest.Start(t), "rules: [{path: /, public: true}]")
	a := s.get("/.well-known/oauth-protected-resource")
	if a.StatusCode != http.StatusOK || a.body["resource"] != audience {
		t.Errorf("RFC 9728 §3: %d %s", a.StatusCode, a.text)
	}
	s.nothingReached("metadata")
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/verify", "/verify/refusal"} {
		if a := s.get(path); a.text != "GET "+path+" " {
			t.Errorf("%s did not reach the API: %s", path, a.text)
		}
	}
	if a := s.get(s.Health + "/healthz"); a.text != "ok\n" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if a := s.get(s.Health + "/orders/"); a.StatusCode != http.StatusNotFound {
		t.Errorf("the API is behind the port of the metrics: %d", a.StatusCode)
	}
}

func TestSettings(t *testing.T) {
	s := newSite(t, servertest.Start(t), rules, func(c *guard.Config) {
		c.ForwardToken = true
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.Upstream.Path = "/v1/"
		c.UpstreamTimeout = 200 * time.Millisecond
	})
	token := s.token("orders:read")
	a := s.ask("GET", "/orders/1", token, "X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "api.example", "Forwarded", "for=192.0.2.7", "X-Real-Ip", "192.0.2.7")
	if a.text != "GET /v1/orders/1 " {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	r := s.reached()
	for name, want := range map[string]string{
		"Authorization": "Bearer " + token, "X-Forwarded-For": "192.0.2.7, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example",
		"Forwarded": "for=192.0.2.7", "X-Real-Ip": "192.0.2.7",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// An API that is slow or away is no fault of the token.
func TestUpstreamAway(t *testing.T) {
	s := newSite(t, servertest.Start(t), rules, func(c *guard.Config) { c.UpstreamTimeout = 200 * time.Millisecond })
	token := s.token("orders:read")
	if a := s.ask("GET", "/orders/slow", token); a.StatusCode != http.StatusGatewayTimeout || a.body["detail"] != "The API behind the guard did not answer in time." {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	s.api.Close()
	if a := s.ask("GET", "/orders/1", token); a.StatusCode != http.StatusBadGateway || a.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

// A stream passes piece by piece, and ends in order when the guard stops.
func TestStream(t *testing.T) {
	s := newSite(t, servertest.Start(t), rules)
	req, _ := http.NewRequest("GET", s.URL+"/orders/stream", nil)
	req.Header.Set("Authorization", "Bearer "+s.token("orders:read"))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || lines.Text() != "data: 0" {
		t.Fatalf("the stream begins with %q, %v", lines.Text(), lines.Err())
	}
}

// RFC 9110 §7.8: an upgraded connection passes in both directions after the same
// judgement, and ends with the session or with the guard.
func TestUpgrade(t *testing.T) {
	upgraded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			return
		}
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		rw.Flush()
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprintf(rw, "%s says %s", r.Header.Get("X-Auth-Client"), line)
			rw.Flush()
		}
	}))
	defer upgraded.Close()
	h := servertest.Start(t)
	s := newSite(t, h, "", following(t, h), func(c *guard.Config) { c.Upstream, _ = url.Parse(upgraded.URL) })
	h.User("alice", "correct horse battery")
	access, _ := s.person("alice")
	const request = "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	if status := raw(t, s.URL, request+"\r\n"); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
	// HTTP/2 would be requests that nobody judges.
	smuggle := strings.Replace(request, "Upgrade\r\nUpgrade: websocket", "Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", 1)
	if status := raw(t, s.URL, smuggle+"Authorization: Bearer "+access+"\r\n\r\n"); status != http.StatusOK {
		t.Errorf("the connection became one of HTTP/2: %d", status)
	}
	open := func(token string) (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(conn, request+"Authorization: Bearer "+token+"\r\n\r\n")
		in := bufio.NewReader(conn)
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v %v", res, err)
		}
		io.WriteString(conn, "hello\n")
		if line, err := in.ReadString('\n'); line != "app says hello\n" {
			t.Errorf("%q, %v", line, err)
		}
		return conn, in
	}
	_, hers := open(access)
	other, its := open(s.token("orders:read"))
	s.signOut(access)
	began := time.Now()
	if _, err := hers.ReadString('\n'); err == nil || time.Since(began) > 2*time.Second {
		t.Errorf("the connection outlives the session: %v after %s", err, time.Since(began))
	}
	io.WriteString(other, "still here\n")
	if line, err := its.ReadString('\n'); line != "app says still here\n" {
		t.Errorf("%q, %v", line, err)
	}
	s.stop()
	if _, err := its.ReadString('\n'); err == nil {
		t.Error("the connection outlives the guard")
	}
}
