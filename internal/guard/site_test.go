package guard_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/guard"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

const audience = "https://api.example"

// site is a server, a guard and an API behind it.
type site struct {
	*servertest.House
	t      *testing.T
	api    *api
	guard  *guard.Guard
	URL    string // of the guard
	Health string // of its health and metrics
	client model.Client
	secret model.Secret
	stop   func()
}

// rules of the API of the tests.
const rules = `
rules:
  - path: /status
    public: true
  - path: /orders/
    methods: [GET]
    scopes: [orders:read]
    claims: [amr, acr, nothing]
  - path: /orders/
    methods: [POST]
    scopes: [orders:write]
  - path: /payments
    scopes: [orders:read]
    max_age: 5m
  - path: /strong
    acr: urn:example:gold
  - path: /echo
`

// api records what reaches it, and echoes.
type api struct {
	*httptest.Server
	got chan *http.Request
}

func newAPI(t *testing.T) *api {
	a := &api{got: make(chan *http.Request, 100)}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		select {
		case a.got <- r:
		default: // of many nobody looks at each
		}
		switch {
		case strings.HasSuffix(r.URL.Path, "/teapot"):
			w.Header().Set("WWW-Authenticate", "Own")
			http.Error(w, "the API's own", http.StatusTeapot)
		case r.URL.Path == "/orders/slow":
			<-r.Context().Done()
		case r.URL.Path == "/orders/stream":
			for i := range 1000 {
				if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-time.After(20 * time.Millisecond):
				case <-r.Context().Done():
					return
				}
			}
		default:
			fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

// newSite starts all three. A guard without rules has an empty text for them.
func newSite(t *testing.T, h *servertest.House, text string, change ...func(*guard.Config)) *site {
	t.Helper()
	s := &site{House: h, t: t, api: newAPI(t)}
	s.client, s.secret = h.Client("app", model.ClientSettings{
		RedirectURIs: []string{"https://app.example/callback"}, GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials"},
		Scopes:    []string{"openid", "orders:read", "orders:write", "offline_access"},
		Audiences: []string{audience}, FirstParty: true,
	})
	upstream, err := url.Parse(s.api.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := guard.Config{
		Issuer: h.Issuer, Audience: audience, Upstream: upstream, NoFeed: true, Now: h.Clock.Now,
		Listener: listener(t), MetricsListener: listener(t),
	}
	if text != "" {
		if c.Rules, err = guard.ParseRules("rules.yaml", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range change {
		f(&c)
	}
	s.run(c)
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *site) run(c guard.Config) {
	s.t.Helper()
	g, err := guard.New(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.guard, s.URL, s.Health = g, "http://"+g.Addr().String(), "http://"+c.MetricsListener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("the guard stopped with: %v", err)
		}
		s.stop = func() {}
	}
	s.eventually("the guard is ready", func() bool { return s.get(s.Health+"/readyz").StatusCode == http.StatusOK })
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (s *site) eventually(what string, is func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			s.t.Fatalf("not after 20 s: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// token is one of the client itself.
func (s *site) token(scope string) string {
	s.t.Helper()
	a := s.Call("/token", s.client, s.secret, url.Values{"grant_type": {"client_credentials"}, "scope": {scope}})
	if a.Status != http.StatusOK {
		s.t.Fatalf("no token: %d %s", a.Status, a.Text)
	}
	return a.String("access_token")
}

// person signs somebody in, and returns the tokens of the application.
func (s *site) person(login string) (access, refresh string) {
	s.t.Helper()
	at := s.Browser().SignIn(servertest.AuthorizePath(s.client, "scope", "openid orders:read"), login, "correct horse battery")
	a := s.Redeem(s.client, s.secret, at)
	if a.Status != http.StatusOK {
		s.t.Fatalf("no token: %d %s", a.Status, a.Text)
	}
	return a.String("access_token"), a.String("refresh_token")
}

// answer is what a client sees.
type answer struct {
	*http.Response
	text string
	body map[string]any
}

// ask sends a request with a token, "" for none, and headers (name, value, …).
func (s *site) ask(method, address, token string, headers ...string) answer {
	s.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = s.URL + address
	}
	req, err := http.NewRequest(method, address, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header[headers[i]] = append(req.Header[headers[i]], headers[i+1])
	}
	return s.do(req)
}

func (s *site) get(address string) answer {
	s.t.Helper()
	return s.ask(http.MethodGet, address, "")
}

func (s *site) do(req *http.Request) answer {
	s.t.Helper()
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := answer{Response: res, text: string(text)}
	_ = json.Unmarshal(text, &a.body) // where it is JSON
	return a
}

// reached returns the request that has reached the API.
func (s *site) reached() *http.Request {
	s.t.Helper()
	select {
	case r := <-s.api.got:
		return r
	default:
		s.t.Fatal("nothing reached the API")
		return nil
	}
}

func (s *site) nothingReached(what string) {
	s.t.Helper()
	if n := len(s.api.got); n != 0 {
		s.t.Fatalf("%s: %d requests reached the API", what, n)
	}
}

// refusal is a row of a table of statuses.
type refusal struct {
	name, method, path, token string
	status                    int
	challenge                 string // "": none
	detail                    string // "": what the challenge describes
}

func (row refusal) check(t *testing.T, a answer) {
	t.Helper()
	if row.detail == "" {
		_, row.detail, _ = strings.Cut(row.challenge, `error_description="`)
		row.detail, _, _ = strings.Cut(row.detail, `"`)
	}
	if a.StatusCode != row.status || a.Header.Get("WWW-Authenticate") != row.challenge {
		t.Errorf("%d %s, want %d %s", a.StatusCode, a.Header.Get("WWW-Authenticate"), row.status, row.challenge)
	}
	if a.body["detail"] != row.detail || a.Header.Get("Content-Type") != "application/problem+json" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s, want %s; %v", a.text, row.detail, a.Header)
	}
}

// raw sends what http.Client would not, and returns the status.
func raw(t *testing.T, address, text string) int {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, text)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func unverified(t *testing.T, token string) map[string]any {
	t.Helper()
	var claims map[string]any
	part := strings.Split(token, ".")[1]
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err == nil {
		err = json.Unmarshal(text, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims
}
