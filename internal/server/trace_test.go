package server_test

import (
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/ostiary/ostiary/internal/trace"
)

// tracing is a collector that speaks OTLP over HTTP.
type tracing struct {
	*httptest.Server
	mu      sync.Mutex
	refuse  int // how many requests are put off
	spans   map[string]*wire.Span
	service string
	wrong   []string
}

func newTracing(t *testing.T) *tracing {
	c := &tracing{spans: map[string]*wire.Span{}}
	c.Server = httptest.NewServer(http.HandlerFunc(c.take))
	t.Cleanup(c.Close)
	return c
}

func (c *tracing) take(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse > 0 {
		c.refuse--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	fail := func(what string) {
		c.wrong = append(c.wrong, what)
		w.WriteHeader(http.StatusBadRequest)
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("Authorization") != "Bearer of-the-collector" {
		fail(r.Method + " " + r.URL.Path)
		return
	}
	body, err := gzip.NewReader(r.Body)
	if err != nil {
		fail(err.Error())
		return
	}
	text, err := io.ReadAll(body)
	if err != nil {
		fail(err.Error())
		return
	}
	var said collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(text, &said); err != nil {
		fail(err.Error())
		return
	}
	for _, resource := range said.ResourceSpans {
		for _, a := range resource.Resource.Attributes {
			if a.Key == "service.name" {
				c.service = a.Value.GetStringValue()
			}
		}
		for _, some := range resource.ScopeSpans {
			for _, s := range some.Spans {
				c.spans[hex.EncodeToString(s.SpanId)] = s
			}
		}
	}
}

// chain returns the names of a span and of those around it, from the outside in, and
// the trace; empty where there is no such span with a whole chain yet.
func (c *tracing) chain(name, outermost string) (names, trace string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name != name {
			continue
		}
		names, at := s.Name, s
		for len(at.ParentSpanId) > 0 {
			up := c.spans[hex.EncodeToString(at.ParentSpanId)]
			if up == nil || string(up.TraceId) != string(s.TraceId) {
				break
			}
			names, at = up.Name+" > "+names, up
		}
		if strings.HasPrefix(names, outermost) {
			return names, hex.EncodeToString(s.TraceId)
		}
	}
	return "", ""
}

// everything is all that is told, in one text.
func (c *tracing) everything() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all strings.Builder
	for _, s := range c.spans {
		all.WriteString(s.Name + " " + s.TraceState + " " + s.Status.GetMessage() + "\n")
		for _, a := range s.Attributes {
			all.WriteString(a.Key + "=" + a.Value.String() + "\n")
		}
		for _, e := range s.Events {
			all.WriteString(e.Name + e.String() + "\n")
		}
	}
	return all.String()
}

func traced(c *tracing) servertest.Option {
	return func(s *server.Config) {
		s.Trace.Endpoint, s.Trace.Headers = c.URL+"/v1/traces", map[string]string{"Authorization": "Bearer of-the-collector"}
	}
}

// TestTraces: a trace leads from the request over the rule and the transaction to the
// statement, and nothing in it is secret.
func TestTraces(t *testing.T) {
	for name, more := range map[string]servertest.Option{
		"sqlite":   func(*server.Config) {},
		"postgres": func(s *server.Config) { s.Database = storetest.PostgresURL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			c, hook := newTracing(t), httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			defer hook.Close()
			c.refuse = 1 // the first batch is sent again
			h := servertest.Start(t, more, traced(c), func(s *server.Config) {
				s.AuditWebhook, s.AuditSecret = hook.URL+"/the-path-of-the-webhook", "a secret of a webhook that is long enough"
			})
			secrets := visitEverything(t, h)
			for _, want := range []struct{ span, outermost, chain string }{
				{"UPDATE codes", "POST /token", "POST /token > oauth.Token > store.redeem > UPDATE codes"},
				{"INSERT codes", "GET /", " > oauth.Issue > store.update > INSERT codes"},
				{"account.Prove", "POST /", "POST /interaction/{id}/login > account.Prove"},
				{"oauth.UserInfo", "GET /userinfo", "GET /userinfo > oauth.UserInfo"},
				{"oauth.Introspect", "POST /introspect", "POST /introspect > oauth.Introspect"},
				{"POST", "audit.Stream", "audit.Stream > POST"},
			} {
				var chain, id string
				until(t, "there is a trace to "+want.span, func() bool {
					chain, id = c.chain(want.span, want.outermost)
					return chain != ""
				})
				if !strings.HasSuffix(chain, want.chain) {
					t.Errorf("the trace is %s, want %s", chain, want.chain)
				}
				if request := strings.Contains(want.outermost, " "); request != strings.Contains(h.Log.String(), `"trace":"`+id+`"`) {
					t.Errorf("the log and the trace %s of %s: want it named there: %t", id, want.outermost, request)
				}
			}
			h.Stop() // which sends the rest
			text := c.everything()
			for what, secret := range secrets {
				for _, form := range []string{secret, url.QueryEscape(secret)} {
					if form == "" || strings.Contains(text, form) {
						t.Errorf("the spans tell the %s: %q", what, form)
					}
				}
			}
			for _, key := range []string{"http.request.method=", "http.route=", "db.collection.name=", "server.address="} {
				if !strings.Contains(text, key) {
					t.Errorf("no span has %s", key)
				}
			}
			if c.service != "ostiary" || c.wrong != nil {
				t.Errorf("the service is %q; what was wrong: %q", c.service, c.wrong)
			}
		})
	}
}

// visitEverything signs somebody in and uses their tokens, and returns what no span may
// hold.
func visitEverything(t *testing.T, h *servertest.House) map[string]string {
	t.Helper()
	h.User("olena", "correct horse battery")
	c, secret := h.Client("shop", web)
	b := h.Browser()
	at := b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
	a := h.Redeem(c, secret, at)
	if a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	secrets := map[string]string{
		"password": "correct horse battery", "login": "olena", "address": "olena@example.com", "client's secret": secret.Reveal(),
		"code": at.Query().Get("code"), "state": "the-state", "nonce": "the-nonce", "verifier": servertest.Verifier, "challenge": servertest.Challenge,
		"access token": a.String("access_token"), "ID token": a.String("id_token"), "refresh token": a.String("refresh_token"),
		"path of the webhook": "the-path-of-the-webhook", "secret of the webhook": "a secret of a webhook", "redirect URI": c.RedirectURIs[0],
		"header of the collector": "of-the-collector", "query": "an-invented-query", "path": "an-invented-path",
	}
	issuer, err := url.Parse(h.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range b.HTTP().Jar.Cookies(issuer) {
		if len(cookie.Value) > 8 {
			secrets["cookie "+cookie.Name] = cookie.Value
		}
	}
	if len(secrets) < 19 {
		t.Fatalf("there is no cookie among %v", secrets)
	}
	for _, path := range []string{"/userinfo?q=an-invented-query", "/an-invented-path"} {
		req, err := http.NewRequest(http.MethodGet, h.Issuer+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+a.String("access_token"))
		servertest.Do(t, req)
	}
	h.Call("/introspect", c, secret, url.Values{"token": {a.String("access_token")}})
	again := renew(h, c, secret, a.String("refresh_token"))
	secrets["next refresh token"] = again.String("refresh_token")
	h.Call("/token", c, secret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"an-invented-path"}})
	h.Call("/revoke", c, secret, url.Values{"token": {again.String("refresh_token")}})
	return secrets
}

// TestTraceParent: who calls cannot choose the trace, unless it is a proxy of ours (W3C
// Trace Context §3.2).
func TestTraceParent(t *testing.T) {
	const theirs = "4bf92f3577b34da6a3ce929d0e0e4736"
	for name, row := range map[string]struct {
		trusted []netip.Prefix
		sampled string
		want    int // spans in that trace
	}{
		"a stranger":                   {nil, "01", 0},
		"a proxy of ours":              {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "01", 1},
		"a proxy that does not record": {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "00", 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTracing(t)
			h := servertest.Start(t, traced(c), func(s *server.Config) { s.TrustedProxies = row.trusted })
			req, err := http.NewRequest(http.MethodGet, h.Issuer+"/healthz", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Traceparent", "00-"+theirs+"-00f067aa0ba902b7-"+row.sampled)
			servertest.Do(t, req)
			h.Stop()
			c.mu.Lock()
			defer c.mu.Unlock()
			got := 0
			for _, s := range c.spans {
				if hex.EncodeToString(s.TraceId) == theirs {
					got++
				}
			}
			if got != row.want {
				t.Errorf("%d spans are in the trace of the caller, want %d, of %d", got, row.want, len(c.spans))
			}
		})
	}
}

// TestTraceSample: a share of 0 records nothing, and who is off makes no span.
func TestTraceSample(t *testing.T) {
	none := 0.0
	c := newTracing(t)
	h := servertest.Start(t, traced(c), func(s *server.Config) { s.Trace.Sample = &none })
	visitEverything(t, h)
	h.Stop()
	if c.mu.Lock(); len(c.spans) != 0 {
		t.Errorf("%d spans were sent", len(c.spans))
	}
	c.mu.Unlock()
	for _, endpoint := range []string{"ftp://collector/", "127.0.0.1:4318", "http://user:password@127.0.0.1/v1/traces", "http://"} {
		_, err := server.New(t.Context(), server.Config{Data: t.TempDir(), Observation: server.Observation{Trace: trace.Config{Endpoint: endpoint}}})
		if err == nil || !strings.Contains(err.Error(), "trace-endpoint") || strings.Contains(err.Error(), "password") {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

// TestTraceCollectorAway: a collector that does not answer holds nobody up, and is told
// of once.
func TestTraceCollectorAway(t *testing.T) {
	c := newTracing(t)
	h := servertest.Start(t, traced(c))
	c.Close()
	visitEverything(t, h)
	start := time.Now()
	h.Stop()
	if took := time.Since(start); took > time.Minute {
		t.Errorf("the server took %v to stop", took)
	}
	for line := range strings.Lines(h.Log.String()) {
		var said struct{ Level string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Level == "ERROR" {
			t.Errorf("%s", line)
		}
	}
}

// TestTransactionsDocumented: docs/observe.md has every kind of transaction, as it is
// counted and as it is traced.
func TestTransactionsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/observe.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range store.Kinds() {
		for _, want := range []string{"(`" + kind + "`)", "`store." + kind + "`"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("docs/observe.md does not have %s", want)
			}
		}
	}
}
