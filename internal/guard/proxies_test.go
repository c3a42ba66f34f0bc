package guard_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/ostiary/ostiary/internal/guard"
	"github.com/ostiary/ostiary/internal/servertest"
)

// The manual shows an API in Python, its rules, and what to write for nginx and
// Caddy. All of it is taken from there, so that it cannot rot.
func manual(t *testing.T, language string) string { return blocks(t, language)[0] }

// blocks returns all blocks of a language, in order.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "guard.md"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, found := range regexp.MustCompile("(?s)\n```"+language+"\n(.*?\n)```").FindAllSubmatch(text, -1) {
		all = append(all, string(found[1]))
	}
	if len(all) == 0 {
		t.Fatalf("docs/guard.md has no block of %s", language)
	}
	return all
}

// The addresses of the manual.
const (
	manualAPI   = "127.0.0.1:8082"
	manualGuard = "127.0.0.1:8083"
	manualFront = "127.0.0.1:8084"
)

// free returns an address that nothing listens on.
func free(t *testing.T) string {
	t.Helper()
	l := listener(t)
	defer l.Close()
	return l.Addr().String()
}

// program runs something until the test ends, and waits until it answers.
func program(t *testing.T, address, name string, arguments ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path = "/usr/sbin/" + name; exec.Command(path, "-v").Run() != nil {
			t.Fatalf("%s is missing: run make test, which installs it", name)
		}
	}
	cmd := exec.Command(path, arguments...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir = &output, &output, t.TempDir()
	cmd.Env = append(os.Environ(), "HOME="+cmd.Dir, "XDG_CONFIG_HOME="+cmd.Dir, "XDG_DATA_HOME="+cmd.Dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, output.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen on %s", name, address)
		}
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pythonAPI runs the API of the manual.
func pythonAPI(t *testing.T) string {
	t.Helper()
	address := free(t)
	_, port, _ := net.SplitHostPort(address)
	program(t, address, "python3", write(t, "api.py", strings.ReplaceAll(manual(t, "python"), "8082", port)))
	return address
}

// front is what callers of the API talk to.
type front struct {
	name  string
	asker guard.Asker // "": the guard is the proxy itself
	run   func(t *testing.T, api, guard string) (address string)
}

var fronts = []front{
	{"guard", "", nil},
	{"nginx", guard.NGINX, runNGINX},
	{"caddy", guard.Caddy, runCaddy},
}

func runNGINX(t *testing.T, api, guard string) string {
	address := free(t)
	site := strings.NewReplacer(manualAPI, api, manualGuard, guard, manualFront, address).Replace(manual(t, "nginx"))
	dir := t.TempDir()
	program(t, address, "nginx", "-e", "stderr", "-p", dir, "-c", write(t, "nginx.conf", `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
`+site+"}\n"))
	return address
}

func runCaddy(t *testing.T, api, guard string) string {
	address := free(t)
	site := strings.NewReplacer(manualAPI, api, manualGuard, guard, manualFront, address).Replace(manual(t, "caddyfile"))
	program(t, address, "caddy", "run", "--adapter", "caddyfile", "--config", write(t, "Caddyfile", "{\n\tadmin off\n\tauto_https off\n}\n"+site))
	return address
}

// TestFronts: through the guard, through nginx and through Caddy, in front of the
// same API in Python, callers see the same statuses, challenges and bodies.
func TestFronts(t *testing.T) {
	api := pythonAPI(t)
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			h := servertest.Start(t)
			l := &line{}
			s := newSite(t, h, manual(t, "yaml"), following(t, h), func(c *guard.Config) {
				c.HTTP, c.MaxLag, c.Upstream, c.Asker = l.client(), 5*time.Second, nil, f.asker
				if f.asker == "" {
					c.Upstream = &url.URL{Scheme: "http", Host: api}
				}
			})
			h.User("alice", "correct horse battery")
			h.User("bob", "correct horse battery")
			if f.run != nil {
				s.URL = "http://" + f.run(t, api, s.guard.Addr().String())
			}
			s.letThrough(t)
			s.everyStatus(t, l)
		})
	}
}

// letThrough: what the guard lets through reaches the API, with what the guard
// says of the caller and nothing that the caller says.
func (s *site) letThrough(t *testing.T) {
	access, _ := s.person("alice")
	claims := unverified(t, access)
	forged := []string{
		"X-Auth-Subject", "root", "X-Auth-Session", "forged", "X_Auth_Session", "forged", "X_Auth_Subject", "root", "X-Auth_Scope", "admin",
		// The headers of other proxies, and of this one.
		"X-Original-Method", "GET", "X-Original-Uri", "/status", "X-Forwarded-Method", "GET", "X-Forwarded-Uri", "/status",
	}
	a := s.ask("GET", "/orders/7?a=1", access, forged...)
	for name, want := range map[string]any{"subject": claims["sub"], "client": "app", "scope": "openid orders:read", "session": claims["sid"]} {
		if a.body[name] != want {
			t.Errorf("the %s is %v, want %v (%d %s)", name, a.body[name], want, a.StatusCode, a.text)
		}
	}
	a = s.ask("POST", "/orders/", s.token("orders:write"), forged...)
	if a.StatusCode != http.StatusOK || a.body["subject"] != "app" || a.body["session"] != "" {
		t.Errorf("a program has no session: %d %s", a.StatusCode, a.text)
	}
	if a := s.ask("GET", "/status", "", forged...); a.StatusCode != http.StatusOK || a.body["status"] != "open" {
		t.Errorf("public: %d %s", a.StatusCode, a.text)
	}
	if a := s.ask("GET", "/orders/7", "", forged...); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the caller chose the rule: %d %s", a.StatusCode, a.text)
	}
	// RFC 9110 §7.6.1: what Connection names is taken out on the way.
	if a := s.ask("GET", "/orders/7", access, "Connection", "X-Auth-Session"); a.StatusCode == http.StatusOK && a.body["session"] != claims["sid"] {
		t.Errorf("Connection took the session away: %s", a.text)
	}
	if a := s.get("/.well-known/oauth-protected-resource"); a.body["resource"] != audience {
		t.Errorf("RFC 9728 §3: %d %s", a.StatusCode, a.text)
	}
}

// everyStatus walks through the table of statuses.
func (s *site) everyStatus(t *testing.T, l *line) {
	ctx := context.Background()
	alice, _ := s.person("alice")
	bob, _ := s.person("bob")
	begun, _ := s.person("bob")
	invalid := func(text string) string {
		return challenge + `, error="invalid_token", error_description="` + text + `"`
	}
	request := func(text string) string {
		return challenge + `, error="invalid_request", error_description="` + text + `"`
	}
	for _, row := range []refusal{
		{"no credentials", "GET", "/orders/7", "", 401, challenge, "An access token is needed"},
		{"malformed", "GET", "/orders/7", "two tokens", 400, request("The Authorization header does not hold one bearer token"), ""},
		{"a token in the query", "GET", "/orders/7?access_token=x", alice, 400, request("The access token must be sent in the Authorization header and nowhere else"), ""},
		{"dot segments", "GET", "/status/../orders/7", alice, 400, request("The path must hold no dot segment"), ""},
		{"an escaped slash", "GET", "/status%2Forders", alice, 400, request("The path must hold no backslash and no escaped slash"), ""},
		{"two slashes", "GET", "//orders/7", alice, 400, request("The path must hold no empty segment"), ""},
		{"bad token", "GET", "/orders/7", "a.b.c", 401, invalid("The access token is malformed"), ""},
		{"scope missing", "DELETE", "/orders/7", alice, 403, challenge + `, error="insufficient_scope", error_description="The access token lacks a scope", scope="orders:write"`, ""},
		{"no rule", "GET", "/admin", alice, 403, "", "No rule lets this request through."},
		{"no rule for the method", "PATCH", "/orders/7", alice, 403, "", "No rule lets this request through."},
	} {
		t.Run(row.name, func(t *testing.T) { row.check(t, s.ask(row.method, s.URL+row.path, row.token)) })
	}
	t.Run("the sign-in is too old", func(t *testing.T) {
		row := refusal{"", "", "", "", 401, challenge + `, error="insufficient_user_authentication", error_description="A more recent authentication is required", max_age="300"`, ""}
		row.check(t, s.ask("POST", "/payments/1", s.token("orders:write")))
	})
	t.Run("the session has ended", func(t *testing.T) {
		s.signOut(alice)
		hasEnded.check(t, s.within(time.Second, "/orders/7", alice))
	})
	t.Run("the account is locked", func(t *testing.T) {
		user, err := s.Accounts.ByLogin(ctx, "bob")
		if err == nil {
			err = s.Accounts.Lock(ctx, servertest.Operator, user.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		a := s.within(time.Second, "/orders/7", bob)
		if a.StatusCode != 403 || a.Header.Get("WWW-Authenticate") != "" || a.body["type"] != "urn:ostiary:problem:account-disabled" || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%d %v %s", a.StatusCode, a.Header, a.text)
		}
	})
	t.Run("the feed is cut off", func(t *testing.T) {
		token := s.token("orders:read")
		l.cut(true)
		defer l.cut(false)
		s.eventually("the feed is stale", func() bool { return s.ask("GET", "/orders/7", token).StatusCode != http.StatusOK })
		a := s.ask("GET", "/orders/7", token)
		if a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || a.Header.Get("WWW-Authenticate") != "" || a.body["error"] != "temporarily_unavailable" {
			t.Errorf("%d %v %s", a.StatusCode, a.Header, a.text)
		}
	})
	t.Run("expired", func(t *testing.T) {
		s.Clock.Move(10 * time.Minute)
		refusal{"", "", "", "", 401, invalid("The access token expired"), ""}.check(t, s.ask("GET", "/orders/7", begun))
	})
	t.Run("the guard is away", func(t *testing.T) {
		s.stop()
		res, err := http.DefaultTransport.RoundTrip(must(http.NewRequest("GET", s.URL+"/orders/7", nil)))
		if err != nil {
			return // the guard was the proxy itself
		}
		res.Body.Close()
		if res.StatusCode < 500 {
			t.Errorf("without the guard: %d", res.StatusCode)
		}
	})
}

func must(r *http.Request, err error) *http.Request {
	if err != nil {
		panic(fmt.Sprint("a request of the test: ", err))
	}
	return r
}

// Every file of rules in the manual is one. What it shows for Traefik and Envoy,
// which are not run here, is YAML, and agrees with the guard where both speak of
// the same thing.
func TestManual(t *testing.T) {
	rules := 0
	for _, text := range blocks(t, "yaml") {
		if strings.Contains(text, "\nrules:\n") {
			rules++
			if _, err := guard.ParseRules("docs/guard.md", []byte(text)); err != nil {
				t.Error(err)
			}
			continue
		}
		var file map[string]any
		if err := yaml.Unmarshal([]byte(text), &file); err != nil {
			t.Fatal(err)
		}
		switch {
		case file["http"] != nil:
			checkTraefik(t, file)
		case file["typed_config"] != nil:
			checkEnvoy(t, file)
		default:
			t.Errorf("whose file is this?\n%s", text)
		}
	}
	if rules < 2 {
		t.Errorf("%d files of rules", rules)
	}
}

// at goes down into a file: a name for a mapping, a number for a list.
func at(t *testing.T, in any, way ...any) any {
	t.Helper()
	for _, step := range way {
		switch v := in.(type) {
		case map[string]any:
			in = v[step.(string)]
		case []any:
			in = v[step.(int)]
		default:
			t.Fatalf("there is no %v", way)
		}
	}
	return in
}

func checkTraefik(t *testing.T, file map[string]any) {
	t.Helper()
	auth := at(t, file, "http", "middlewares", "guard", "forwardAuth").(map[string]any)
	if auth["address"] != "http://"+manualGuard+guard.VerifyPath || auth["trustForwardHeader"] != nil {
		t.Errorf("Traefik asks with %v", auth)
	}
	// What it takes out of a request before it copies what the guard says.
	taken := regexp.MustCompile(auth["authResponseHeadersRegex"].(string))
	for _, name := range []string{"X-Auth-Subject", "x-auth-session", "X_Auth_Subject", "X-Auth_Scope", "X-Auth-Claim-Acr"} {
		if !taken.MatchString(name) {
			t.Errorf("Traefik leaves %s", name)
		}
	}
	if got := fmt.Sprint(at(t, file, "http", "routers", "api", "middlewares")); got != "[guard without-token]" {
		t.Errorf("the order is %s", got)
	}
}

func checkEnvoy(t *testing.T, file map[string]any) {
	t.Helper()
	filter := at(t, file, "typed_config", "http_filters", 0, "typed_config")
	for want, way := range map[any][]any{
		guard.VerifyPath:        {"http_service", "path_prefix"},
		"http://" + manualGuard: {"http_service", "server_uri", "uri"},
		"ServiceUnavailable":    {"status_on_error", "code"},
		false:                   {"failure_mode_allow"},
		"x-auth-":               {"http_service", "authorization_response", "allowed_upstream_headers", "patterns", 0, "prefix"},
	} {
		if got := at(t, filter, way...); got != want {
			t.Errorf("%v is %v, want %v", way, got, want)
		}
	}
	if got := at(t, file, "typed_config", "common_http_protocol_options", "headers_with_underscores_action"); got != "REJECT_REQUEST" {
		t.Errorf("Envoy passes on X_Auth_Subject: %v", got)
	}
}
