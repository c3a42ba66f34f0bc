package upstream_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/upstream"
	"github.com/ostiary/ostiary/jwt"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// troubled is a provider on loopback, each of whose doors can be put out of order.
type troubled struct {
	*httptest.Server
	mu      sync.Mutex
	trouble map[string]http.HandlerFunc // by path
	sent    atomic.Int64                // bytes of endless answers
	nonce   string
	issuer  string
}

func newTroubled(t *testing.T) *troubled {
	rsaKeys() // takes longer to make than anything here may
	p := &troubled{trouble: map[string]http.HandlerFunc{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		trouble, nonce, issuer := p.trouble[r.URL.Path], p.nonce, p.issuer
		p.mu.Unlock()
		if trouble != nil {
			trouble(w, r)
			return
		}
		now := time.Now().Unix()
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			write(w, 200, map[string]any{
				"issuer": issuer, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
				"jwks_uri": p.URL + "/jwks", "userinfo_endpoint": p.URL + "/userinfo",
			})
		case "/jwks":
			write(w, 200, keySet(t, nil, rsaKeys()[0]))
		case "/token":
			write(w, 200, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": sign(t, rsaKeys()[0], map[string]any{
				"iss": p.URL, "aud": "us", "sub": "person-1", "nonce": nonce, "iat": now, "exp": now + 60,
			}, jwt.SignOptions{Algorithm: "RS256"})})
		default:
			write(w, 200, `{"sub":"person-1","id":1}`)
		}
	}))
	p.issuer = p.URL
	t.Cleanup(p.Close)
	return p
}

func (p *troubled) at(path string, trouble http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trouble = map[string]http.HandlerFunc{path: trouble}
}

func (p *troubled) open(t *testing.T, kind string, c *http.Client) upstream.Visitor {
	t.Helper()
	connection := `{"issuer":"` + p.URL + `","client_id":"us"}`
	if kind == "oauth2" {
		connection = `{"authorization_endpoint":"` + p.URL + `/authorize","token_endpoint":"` + p.URL + `/token","userinfo_endpoint":"` + p.URL + `/userinfo","subject":"id","client_id":"us"}`
	}
	v, err := upstream.Open(upstream.Config{ID: "them", Kind: kind, Connection: []byte(connection), Secrets: map[string]model.Secret{}, Callback: callback, Client: c, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return v.(upstream.Visitor)
}

// visit walks there and back; an error of either way counts.
func (p *troubled) visit(t *testing.T, v upstream.Visitor) error {
	t.Helper()
	d, err := v.Begin(t.Context(), upstream.Wish{State: oneState})
	if err != nil {
		return err
	}
	p.mu.Lock()
	_, after, _ := strings.Cut(d.Address, "nonce=")
	p.nonce, _, _ = strings.Cut(after, "&")
	p.mu.Unlock()
	_, err = v.Finish(t.Context(), d.Kept, back("GET", "code", "c", "state", oneState))
	return err
}

// pack compresses an answer, as Content-Encoding: gzip says.
func pack(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	z.Close()
	return b.Bytes()
}

// TestTrouble: a provider that is down, hangs, answers without end or leads elsewhere costs
// a bounded time and a bounded number of bytes, and says so. The good twin of each row is
// the walk at the end, through the same door.
func TestTrouble(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("somebody was led inside")
		write(w, 200, `{}`)
	}))
	defer inside.Close()
	p := newTroubled(t)
	// Packed beforehand: that takes longer than the patience that is tried here.
	packed := pack(`{"a":"` + strings.Repeat("x", 50<<20) + `","sub":"person-1","id":1}`)
	faults := map[string]http.HandlerFunc{
		"hangs": func(_ http.ResponseWriter, r *http.Request) { r.ParseForm(); <-r.Context().Done() },
		"50 MB": func(w http.ResponseWriter, r *http.Request) {
			r.ParseForm()
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(`{"a":"`))
			for range 50 << 10 {
				n, err := w.Write([]byte(strings.Repeat("x", 1<<10)))
				if p.sent.Add(int64(n)); err != nil {
					return
				}
			}
		},
		"50 MB, packed into 50 KB": func(w http.ResponseWriter, r *http.Request) {
			r.ParseForm()
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(packed)
		},
		"drips": func(w http.ResponseWriter, r *http.Request) {
			r.ParseForm()
			for r.Context().Err() == nil {
				w.Write([]byte(" "))
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		},
		"is down":             func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusBadGateway) },
		"leads inside":        http.RedirectHandler(inside.URL, http.StatusFound).ServeHTTP,
		"leads inside by 307": http.RedirectHandler(inside.URL, http.StatusTemporaryRedirect).ServeHTTP,
		"leads to itself":     func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
		"hangs up": func(w http.ResponseWriter, _ *http.Request) {
			if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
				c.Close()
			}
		},
		"answers with a page": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte("<p>Sign in to the Wi-Fi</p>"))
		},
		"answers with a bomb": func(w http.ResponseWriter, _ *http.Request) { write(w, 200, strings.Repeat(`{"a":[`, 20_000)) },
	}
	for kind, doors := range map[string][]string{
		"oidc": {"/.well-known/openid-configuration", "/token", "/jwks", "/userinfo"}, "oauth2": {"/token", "/userinfo"},
	} {
		for _, door := range doors {
			for name, fault := range faults {
				c := fetch.New(fetch.Config{Allow: loopback, Timeout: 500 * time.Millisecond})
				v := p.open(t, kind, c)
				p.at(door, fault)
				p.sent.Store(0)
				start := time.Now()
				err := p.visit(t, v)
				what := kind + " " + door + " " + name
				e, ok := errors.AsType[*upstream.Error](err)
				if !ok || e.Code != upstream.Unavailable && e.Code != upstream.Misconfigured || e.Hearsay {
					t.Errorf("%s: %v", what, err)
				}
				if kind == "oauth2" && door == "/userinfo" && strings.HasPrefix(name, "50 MB") && !strings.Contains(e.Reason, "1 MiB") {
					t.Errorf("%s: %v", what, err)
				}
				if took := time.Since(start); took > 3*time.Second {
					t.Errorf("%s: it took %v", what, took)
				}
				if sent := p.sent.Load(); sent > 8<<20 { // buffers of the kernel on both sides included
					t.Errorf("%s: %d bytes were taken", what, sent)
				}
				if door == "/.well-known/openid-configuration" || door == "/jwks" {
					if err := v.Probe(t.Context()); err == nil {
						t.Errorf("%s: the probe finds nothing", what)
					}
				}
				p.at("", nil)
				v = p.open(t, kind, c)
				if err := errors.Join(v.Probe(t.Context()), p.visit(t, v)); err != nil {
					t.Errorf("%s: and afterwards: %v", what, err)
				}
				c.CloseIdleConnections()
			}
		}
	}
}

// TestInternal: attack row O30. A provider that an operator did not say to be in our own
// network is not reached there, whichever way its address is given.
func TestInternal(t *testing.T) {
	p := newTroubled(t)
	for _, kind := range []string{"oidc", "oauth2"} {
		guarded := p.open(t, kind, fetch.New(fetch.Config{}))
		if err := p.visit(t, guarded); !errors.Is(err, fetch.ErrInternal) {
			t.Errorf("%s: %v", kind, err)
		}
		if err := guarded.Probe(t.Context()); !errors.Is(err, fetch.ErrInternal) {
			t.Errorf("%s, by a probe: %v", kind, err)
		}
		if err := p.visit(t, p.open(t, kind, fetch.New(fetch.Config{Allow: loopback}))); err != nil {
			t.Errorf("%s, the good twin: %v", kind, err)
		}
	}
}

// TestIssuerChanges: OpenID Connect Discovery §4.3. Whoever takes over a provider's address
// and names another issuer is not believed, not even for as long as the last document
// would serve on; one that is only down for a while is.
func TestIssuerChanges(t *testing.T) {
	w := newWorld(t)
	o := w.op()
	v := w.openOIDC("")
	if _, err := o.visit(v, goodClaims()); err != nil {
		t.Fatal(err)
	}
	w.move(2 * time.Hour)
	w.on("GET op.example/.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusBadGateway) })
	if _, err := o.visit(v, goodClaims()); err != nil {
		t.Errorf("down for a while: %v", err)
	}
	refused(t, "a probe of it", v.Probe(t.Context()), upstream.Unavailable, "502")
	w.move(2 * time.Hour)
	other := w.openID("https://op.example", "op.example/.well-known/openid-configuration", "https://op.example/authorize", "op.example/token", "op.example/jwks")
	other.metadata["issuer"] = "https://evil.example"
	_, err := v.Begin(t.Context(), upstream.Wish{State: oneState})
	refused(t, "another issuer", err, upstream.Untrusted, "another issuer")
	refused(t, "a probe of it", v.Probe(t.Context()), upstream.Untrusted, "another issuer")
	for _, near := range []string{"https://op.example/", "https://OP.example", "http://op.example", ""} {
		other.metadata["issuer"] = near
		_, err := w.openOIDC("").Begin(t.Context(), upstream.Wish{State: oneState})
		refused(t, "nearly the same: "+near, err, upstream.Untrusted, "another issuer")
	}
	other.metadata["issuer"] = "https://op.example"
	for _, member := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint"} {
		before := other.metadata[member]
		for _, bad := range []string{"http://op.example/x", "javascript:alert(1)", "https://op.example/x#f", "//op.example/x"} {
			other.metadata[member] = bad
			_, err := w.openOIDC("").Begin(t.Context(), upstream.Wish{State: oneState})
			refused(t, member+" "+bad, err, upstream.Unavailable, member)
		}
		if other.metadata[member] = before; before == nil {
			delete(other.metadata, member)
		}
	}
	if _, err := w.openOIDC("").Begin(t.Context(), upstream.Wish{State: oneState}); err != nil {
		t.Errorf("the good twin: %v", err)
	}
}
