package resource_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/resource"
)

// authorizationServer publishes metadata and keys, and can be told to lie.
type authorizationServer struct {
	*httptest.Server
	key    *jwk.Key
	down   atomic.Bool
	asked  atomic.Int64
	path   string // of the issuer
	well   string // where the document is
	change func(map[string]any)
}

func newServer(t *testing.T) *authorizationServer {
	t.Helper()
	s := &authorizationServer{key: generate(t, jwa.ES256), well: "/.well-known/openid-configuration"}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case s.down.Load():
			http.Error(w, "down", http.StatusBadGateway)
		case r.URL.Path == s.well:
			s.asked.Add(1)
			m := map[string]any{"issuer": s.URL + s.path, "jwks_uri": s.URL + "/jwks"}
			if s.change != nil {
				s.change(m)
			}
			json.NewEncoder(w).Encode(m)
		case r.URL.Path == "/jwks":
			json.NewEncoder(w).Encode(map[string]any{"keys": []*jwk.Key{s.key}})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *authorizationServer) guard(t *testing.T, clock func() time.Time) http.Handler {
	t.Helper()
	g := newGuard(t, nil, func(c *resource.Config) { c.Issuer, c.Now = s.URL+s.path, clock })
	return g.RequireFunc(fine)
}

func (s *authorizationServer) token(t *testing.T) string {
	return sign(t, s.key, "at+jwt", claims(with("iss", s.URL+s.path)))
}

// A document of another issuer is not believed (attack row P22).
func TestDiscovery(t *testing.T) {
	for _, row := range []struct {
		name   string
		lie    func(*authorizationServer)
		status int
	}{
		{"OpenID Connect Discovery §4: good", func(*authorizationServer) {}, http.StatusNoContent},
		{"OpenID Connect Discovery §4: an issuer with a path", func(s *authorizationServer) {
			s.path, s.well = "/tenant", "/tenant/.well-known/openid-configuration"
		}, http.StatusNoContent},
		{"RFC 8414 §3: OAuth metadata only", func(s *authorizationServer) { s.well = "/.well-known/oauth-authorization-server" }, http.StatusNoContent},
		{"RFC 8414 §3.1: the path is inserted", func(s *authorizationServer) {
			s.path, s.well = "/tenant", "/.well-known/oauth-authorization-server/tenant"
		}, http.StatusNoContent},
		{"OpenID Connect Discovery §4.3: another issuer", func(s *authorizationServer) {
			s.change = func(m map[string]any) { m["issuer"] = "https://evil.example" }
		}, http.StatusServiceUnavailable},
		{"jwks_uri is http on another machine", func(s *authorizationServer) {
			s.change = func(m map[string]any) { m["jwks_uri"] = "http://evil.example/jwks" }
		}, http.StatusServiceUnavailable},
		{"jwks_uri is missing", func(s *authorizationServer) {
			s.change = func(m map[string]any) { delete(m, "jwks_uri") }
		}, http.StatusServiceUnavailable},
		{"more than fits", func(s *authorizationServer) {
			s.change = func(m map[string]any) { m["x"] = strings.Repeat("x", 300<<10) }
		}, http.StatusServiceUnavailable},
		{"no document", func(s *authorizationServer) { s.well = "/nowhere" }, http.StatusServiceUnavailable},
		{"down", func(s *authorizationServer) { s.down.Store(true) }, http.StatusServiceUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newServer(t)
			row.lie(s)
			got := serve(t, s.guard(t, clock), bearer(s.token(t)))
			if got.status != row.status {
				t.Fatalf("%+v", got)
			}
			if row.status == http.StatusServiceUnavailable && (got.challenge != "" || got.header.Get("Retry-After") != "2" || got.body["error"] != "temporarily_unavailable") {
				t.Errorf("a fault of our own: %+v", got)
			}
		})
	}
}

// An https issuer must not lead to http, not even on this machine.
func TestDiscoveryNoDowngrade(t *testing.T) {
	var s *httptest.Server
	s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"issuer": s.URL, "jwks_uri": "http://127.0.0.1:1/jwks"})
	}))
	defer s.Close()
	g := newGuard(t, nil, func(c *resource.Config) { c.Issuer, c.HTTP = s.URL, s.Client() })
	_, err := g.Verify(t.Context(), sign(t, generate(t, jwa.ES256), "at+jwt", claims()))
	if !errors.Is(err, jwk.ErrUnavailable) || !strings.Contains(err.Error(), "must be https") {
		t.Errorf("error is %v", err)
	}
}

func TestDiscoveryIsKept(t *testing.T) {
	s := newServer(t)
	s.down.Store(true)
	var offset atomic.Int64
	h := s.guard(t, func() time.Time { return now.Add(time.Duration(offset.Load())) })
	token := s.token(t)
	if got := serve(t, h, bearer(token)); got.status != http.StatusServiceUnavailable {
		t.Fatalf("%+v", got)
	}
	s.down.Store(false)
	if got := serve(t, h, bearer(token)); got.status != http.StatusServiceUnavailable {
		t.Errorf("asked again at once: %+v", got)
	}
	offset.Store(int64(3 * time.Second))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := serve(t, h, bearer(token)); got.status != http.StatusNoContent {
				t.Errorf("%+v", got)
			}
		})
	}
	wg.Wait()
	if n := s.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want 1", n)
	}
	// An API goes on through an outage of its authorization server.
	s.down.Store(true)
	if got := serve(t, h, bearer(token)); got.status != http.StatusNoContent {
		t.Errorf("%+v", got)
	}
}

// A source that fails in its own way is no fault of the token either.
func TestKeysUnavailable(t *testing.T) {
	g := newGuard(t, broken{})
	s := serve(t, g.RequireFunc(fine), bearer(sign(t, generate(t, jwa.ES256), "at+jwt", claims())))
	if s.status != http.StatusServiceUnavailable || s.challenge != "" || s.header.Get("Retry-After") == "" {
		t.Errorf("%+v", s)
	}
}

type broken struct{}

func (broken) Find(context.Context, string) ([]*jwk.Key, error) {
	return nil, errors.New("disk on fire")
}
