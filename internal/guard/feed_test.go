package guard_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/guard"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// following has the guard follow the feed of the server, as a client of its own.
func following(t *testing.T, h *servertest.House) func(*guard.Config) {
	t.Helper()
	c, secret := h.Client("guard", model.ClientSettings{
		GrantTypes: []string{"client_credentials"}, Scopes: []string{"ostiary:feed"}, Resources: []string{audience},
	})
	return func(config *guard.Config) {
		config.NoFeed, config.ClientID, config.ClientSecret = false, string(c.ID), secret.Reveal()
	}
}

const challenge = `Bearer realm="https://api.example", resource_metadata="https://api.example/.well-known/oauth-protected-resource"`

var hasEnded = refusal{"the session has ended", "GET", "/orders/7", "", 401, challenge + `, error="invalid_token", error_description="The session has ended"`, ""}

// signOut ends the session of a token at the server.
func (s *site) signOut(token string) {
	s.t.Helper()
	id := unverified(s.t, token)["sid"].(string)
	if err := s.Accounts.SignOut(context.Background(), servertest.Operator, model.SessionID(id)); err != nil {
		s.t.Fatal(err)
	}
}

// within asks until the answer is no more 200, and holds it to the bound.
func (s *site) within(bound time.Duration, address, token string) answer {
	s.t.Helper()
	began := time.Now()
	for {
		a := s.ask("GET", address, token)
		took := time.Since(began)
		if a.StatusCode != http.StatusOK {
			if took > bound {
				s.t.Errorf("let through for %s", took)
			}
			return a
		}
		if took > 10*bound {
			s.t.Fatalf("still let through after %s", took)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Whoever is put out at the server is out at the API within a second, and sees
// what to do about it.
func TestOutAtOnce(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		s := newSite(t, h, rules, following(t, h))
		ctx := context.Background()
		alice := h.User("alice", "correct horse battery")
		access, _ := s.person("alice")
		if a := s.ask("GET", "/orders/7", access); a.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", a.StatusCode, a.text)
		}

		// Her session ends: 401, and a new sign-in helps.
		s.signOut(access)
		hasEnded.check(t, s.within(time.Second, "/orders/7", access))
		again, _ := s.person("alice")
		if a := s.ask("GET", "/orders/7", again); a.StatusCode != http.StatusOK {
			t.Errorf("after a new sign-in: %d %s", a.StatusCode, a.text)
		}

		// Her account is locked: 403, and no sign-in helps.
		if err := h.Accounts.Lock(ctx, servertest.Operator, alice.ID); err != nil {
			t.Fatal(err)
		}
		a := s.within(time.Second, "/orders/7", again)
		if a.StatusCode != http.StatusForbidden || a.Header.Get("WWW-Authenticate") != "" || a.body["type"] != "urn:ostiary:problem:account-disabled" {
			t.Errorf("%d %v %s", a.StatusCode, a.Header, a.text)
		}
	})
}

// A stream ends with the session that it was let through for; another goes on.
func TestOutOfAStream(t *testing.T) {
	h := servertest.Start(t)
	s := newSite(t, h, rules, following(t, h))
	h.User("alice", "correct horse battery")
	h.User("bob", "correct horse battery")
	ended, _ := s.person("alice")
	other, _ := s.person("bob")
	stream := func(token string) (*bufio.Scanner, func() error) {
		req, _ := http.NewRequest("GET", s.URL+"/orders/stream", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", res, err)
		}
		return bufio.NewScanner(res.Body), res.Body.Close
	}
	hers, closeHers := stream(ended)
	defer closeHers()
	his, closeHis := stream(other)
	defer closeHis()
	if !hers.Scan() || !his.Scan() {
		t.Fatal("nothing comes")
	}
	s.signOut(ended)
	began := time.Now()
	for hers.Scan() {
		if time.Since(began) > 5*time.Second {
			t.Fatal("the stream goes on")
		}
	}
	if took := time.Since(began); hers.Err() == nil || took > 2*time.Second {
		t.Errorf("it ended after %s with %v", took, hers.Err())
	}
	for range 3 {
		if !his.Scan() {
			t.Fatalf("the other stream ended: %v", his.Err())
		}
	}
}

// line is the network between a guard and its server, which can be cut.
type line struct {
	mu    sync.Mutex
	isCut bool
	open  []net.Conn
}

func (l *line) client() *http.Client {
	dialer := &net.Dialer{}
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil || l.isCut {
			return nil, errors.Join(err, errors.New("the line is cut"))
		}
		l.open = append(l.open, conn)
		return conn, nil
	}}}
}

func (l *line) cut(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = on
	for _, conn := range l.open {
		conn.Close()
	}
	l.open = nil
}

// While the feed is cut off, each path has its policy: 503 and never 401, a
// question to the server, or the signature alone.
func TestStale(t *testing.T) {
	h := servertest.Start(t)
	l := &line{}
	s := newSite(t, h, `
rules:
  - path: /deny
  - path: /introspect
    stale: introspect
  - path: /allow
    stale: allow
  - path: /status
    public: true
`, following(t, h), func(c *guard.Config) { c.HTTP, c.MaxLag = l.client(), 5*time.Second })
	h.User("alice", "correct horse battery")
	access, _ := s.person("alice")
	for _, path := range []string{"/deny", "/introspect", "/allow", "/status"} {
		if a := s.ask("GET", path, access); a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.text)
		}
	}
	l.cut(true)
	s.signOut(access)
	s.eventually("the feed is stale", func() bool { return s.ask("GET", "/deny", access).StatusCode != http.StatusOK })
	for path, want := range map[string]int{"/deny": 503, "/introspect": 503, "/allow": 200, "/status": 200} {
		a := s.ask("GET", path, access)
		if a.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", path, a.StatusCode, a.text, want)
		}
		if want == 503 && (a.Header.Get("Retry-After") == "" || a.Header.Get("WWW-Authenticate") != "" || a.body["error"] != "temporarily_unavailable") {
			t.Errorf("%s: %v %s", path, a.Header, a.text)
		}
	}
	if a := s.ask("GET", "/deny", "a.b.c"); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a bad token is one, stale or not: %d", a.StatusCode)
	}
	if text := s.get(s.Health + "/metrics").text; !strings.Contains(text, "ostiary_feed_stale{issuer=\""+h.Issuer+"\"} 1") {
		t.Errorf("the metrics do not tell of it:\n%s", text)
	}
	l.cut(false)
	s.eventually("the feed is back", func() bool { return s.ask("GET", "/deny", access).StatusCode == http.StatusUnauthorized })
	for _, path := range []string{"/deny", "/introspect", "/allow"} {
		hasEnded.check(t, s.ask("GET", path, access))
	}
}

// A guard that starts while its server is away is not ready, and refuses with 503
// until it is.
func TestStartsBeforeTheServer(t *testing.T) {
	h := servertest.Start(t)
	l := &line{isCut: true}
	s := newSite(t, h, rules, following(t, h), func(c *guard.Config) { c.HTTP = l.client() }, func(c *guard.Config) {
		time.AfterFunc(2*time.Second, func() { l.cut(false) })
	})
	// newSite waits for /readyz, which was 503 so long.
	if a := s.ask("GET", "/orders/7", s.token("orders:read")); a.StatusCode != http.StatusOK {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}
