package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// key of the issuer of the tests.
var issuerKey = sync.OnceValue(func() *jwk.Key {
	k, err := jwk.Generate(jwa.ES256)
	if err != nil {
		panic(err)
	}
	return k
})

// guard protects an API with the feed of a house.
func (h *feedHouse) guard(t testing.TB, p Policy) *Guard {
	t.Helper()
	g, err := New(Config{Issuer: feedIssuer, Audience: "https://api.example", Keys: issuerKey(), Feed: h.feed, Stale: p, Now: h.now})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// token is a good one of now, changed.
func (h *feedHouse) mint(t testing.TB, change ...func(map[string]any)) string {
	t.Helper()
	now := h.now()
	claims := map[string]any{
		"iss": feedIssuer, "sub": "person", "aud": "https://api.example", "client_id": "shop", "jti": "j1", "sid": "s1",
		"grant_id": "g1", "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
	for _, f := range change {
		f(claims)
	}
	token, err := jwt.Sign(claims, issuerKey(), jwt.SignOptions{Type: "at+jwt", Now: h.now})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// machine makes the token one of a client for itself.
func machine(c map[string]any) {
	c["sub"] = "shop"
	delete(c, "sid")
	delete(c, "grant_id")
}

// call asks an API with a token.
func call(t testing.TB, g *Guard, token string) (*httptest.ResponseRecorder, map[string]any) {
	t.Helper()
	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	g.RequireFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }).ServeHTTP(w, r)
	body := map[string]any{}
	if w.Code != http.StatusNoContent {
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v", w.Header())
		}
	}
	return w, body
}

// The statuses of DESIGN §7: what a client is to do next.
func TestRevokedStatus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const session = `Bearer realm="https://api.example", resource_metadata="https://api.example/.well-known/oauth-protected-resource", error="invalid_token", error_description="The session has ended"`
		client := strings.Replace(session, "The session has ended", "The client was revoked", 1)
		disabled := func(e *sent) { e.Cause = "account_disabled" }
		for _, row := range []struct {
			kind, value string
			change      func(*sent)
			token       func(map[string]any)
			status      int
			challenge   string
		}{
			{"session", "s1", nil, nil, 401, session},
			{"grant", "g1", nil, nil, 401, session},
			{"token", "j1", nil, nil, 401, session},
			{"subject", "person", nil, nil, 401, session},
			{"all", "", nil, nil, 401, session},
			{"client", "shop", nil, nil, 401, client},
			{"subject", "person", disabled, nil, 403, ""},
			{"session", "s1", disabled, nil, 401, session}, // the account says it itself
			{"session", "other", nil, nil, 204, ""},
			{"subject", "other", disabled, nil, 204, ""},
			{"session", "s1", nil, machine, 204, ""},
			{"subject", "person", disabled, machine, 204, ""},
			{"client", "shop", nil, machine, 401, client},
			{"all", "", nil, machine, 401, session},
			{"token", "j1", nil, machine, 401, session},
			{"client", "shop", func(e *sent) { e.CutOff-- }, nil, 204, ""},
		} {
			h := follow(t)
			if row.change == nil {
				row.change = func(*sent) {}
			}
			if row.token == nil {
				row.token = func(map[string]any) {}
			}
			h.waitReady(t)
			g, token := h.guard(t, Deny), h.mint(t, row.token)
			if w, _ := call(t, g, token); w.Code != 204 {
				t.Errorf("%+v: before: %d", row, w.Code)
			}
			h.end(row.kind, row.value, row.change)
			h.want(t, "told", soon, func() bool { return h.feed.State().Sequence == 1 })
			w, body := call(t, g, token)
			if w.Code != row.status || w.Header().Get("WWW-Authenticate") != row.challenge || w.Header().Get("Retry-After") != "" {
				t.Errorf("%+v: %d %v", row, w.Code, w.Header())
			}
			_, err := g.Verify(t.Context(), token)
			if errors.Is(err, ErrRevoked) != (row.status != 204) || errors.Is(err, ErrAccountDisabled) != (row.status == 403) || errors.Is(err, ErrStale) {
				t.Errorf("%+v: %v", row, err)
			}
			if row.status == 403 && (body["type"] != AccountDisabled || body["title"] != "Account disabled" || body["status"] != 403.0 || body["error"] != nil) {
				t.Errorf("%v", body)
			}
			h.stop()
		}
	})
}

// A token of after the cut-off is let in: who was signed out signs in again.
func TestRevokedSignsInAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t)
		defer h.stop()
		h.waitReady(t)
		g := h.guard(t, Deny)
		old := h.mint(t)
		h.end("subject", "person", func(e *sent) { e.Cause = "credential_change" })
		h.want(t, "told", soon, func() bool { return h.feed.State().Sequence == 1 })
		time.Sleep(time.Second)
		if w, _ := call(t, g, old); w.Code != 401 {
			t.Errorf("the old token: %d", w.Code)
		}
		if w, _ := call(t, g, h.mint(t)); w.Code != 204 {
			t.Errorf("a new token: %d", w.Code)
		}
	})
}

// What is revoked is refused under each policy, stale or not; what is not known
// is refused, asked about, or let through.
func TestPolicies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t, func(h *feedHouse, _ *FeedConfig) { h.wire.down = true })
		defer h.stop()
		g := h.guard(t, Deny)
		denied := func(w *httptest.ResponseRecorder, body map[string]any) {
			t.Helper()
			if w.Code != 503 || w.Header().Get("Retry-After") != "2" || w.Header().Get("WWW-Authenticate") != "" || body["error"] != "temporarily_unavailable" {
				t.Errorf("%d %v %v", w.Code, w.Header(), body)
			}
		}
		// Nothing is known yet.
		denied(call(t, g, h.mint(t)))
		if w, _ := call(t, g.Stale(Allow), h.mint(t)); w.Code != 204 {
			t.Errorf("Allow: %d", w.Code)
		}
		denied(call(t, g.Stale(Introspect), h.mint(t)))

		h.wire.set(func(n *wire) { n.down = false })
		h.waitReady(t)
		dead := h.mint(t, func(c map[string]any) { c["sid"] = "s2" })
		h.end("session", "s2")
		h.want(t, "told", soon, func() bool { return h.holds("s2") })
		h.set(func(s *feedServer) { s.silent, s.feedFails = true, 503 }) // the feed alone is away
		time.Sleep(30 * time.Second)

		token := h.mint(t)
		denied(call(t, g, token))
		_, err := g.Verify(t.Context(), token)
		if !errors.Is(err, ErrStale) || errors.Is(err, ErrRevoked) {
			t.Errorf("%v", err)
		}
		for _, p := range []Policy{Deny, Introspect, Allow} {
			if w, _ := call(t, g.Stale(p), dead); w.Code != 401 {
				t.Errorf("%s: what is revoked: %d", p, w.Code)
			}
		}
		if w, _ := call(t, g.Stale(Allow), token); w.Code != 204 {
			t.Errorf("Allow: %d", w.Code)
		}
		if h.introspections != 0 {
			t.Errorf("asked %d times, by nobody who wants it", h.introspections)
		}

		asking := g.Stale(Introspect)
		if w, _ := call(t, asking, token); w.Code != 204 {
			t.Errorf("Introspect: %d", w.Code)
		}
		h.set(func(s *feedServer) { s.inactive[token] = true })
		time.Sleep(introspectAge)
		w, body := call(t, asking, token)
		if w.Code != 401 || body["detail"] != "The session has ended" {
			t.Errorf("Introspect: %d %v", w.Code, body)
		}
		_, err = asking.Verify(t.Context(), token)
		if !errors.Is(err, ErrRevoked) {
			t.Errorf("%v", err)
		}
		for name, wrong := range map[string]func(http.ResponseWriter) bool{
			"500":       func(w http.ResponseWriter) bool { w.WriteHeader(500); return true },
			"401":       func(w http.ResponseWriter) bool { w.WriteHeader(401); return true },
			"no answer": func(w http.ResponseWriter) bool { w.Write([]byte(`{}`)); return true },
			"a page":    func(w http.ResponseWriter) bool { w.Write([]byte(`<html>`)); return true },
			"no end": func(w http.ResponseWriter) bool {
				w.Write([]byte(`{"active":true,"x":"` + strings.Repeat("x", answerBytes) + `"}`))
				return true
			},
			"slow": func(w http.ResponseWriter) bool { time.Sleep(introspectTime + time.Second); return false },
		} {
			time.Sleep(introspectAge)
			h.set(func(s *feedServer) { s.introspect = wrong })
			began := time.Now()
			denied(call(t, asking, token))
			if took := time.Since(began); took > introspectTime {
				t.Errorf("%s: took %s", name, took)
			}
		}
		time.Sleep(5 * time.Second)
	})
}

// However many ask about a token, the issuer is asked once in a second, by few at
// a time, and about a bounded number of tokens.
func TestIntrospectIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t, func(h *feedHouse, _ *FeedConfig) { h.feedFails = 503 })
		defer h.stop()
		var mu sync.Mutex
		now, most := 0, 0
		until := time.Now().Add(time.Hour)
		h.set(func(s *feedServer) {
			s.introspect = func(http.ResponseWriter) bool {
				mu.Lock()
				if now++; time.Now().Before(until) { // those given up at the end are still at work there
					most = max(most, now)
				}
				mu.Unlock()
				time.Sleep(100 * time.Millisecond)
				mu.Lock()
				now--
				mu.Unlock()
				return false
			}
		})
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				if active, err := h.feed.introspect(t.Context(), "same"); !active || err != nil {
					t.Error(active, err)
				}
			})
		}
		wg.Wait()
		if h.introspections != 1 {
			t.Errorf("asked %d times about one token", h.introspections)
		}
		time.Sleep(introspectAge)
		if active, err := h.feed.introspect(t.Context(), "same"); !active || err != nil || h.introspections != 2 {
			t.Error(active, err, h.introspections)
		}
		var failed int
		until = time.Now().Add(introspectTime)
		for i := range introspectKept + 100 {
			wg.Go(func() {
				if _, err := h.feed.introspect(t.Context(), sid(i)); err != nil {
					mu.Lock()
					failed++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		// In two seconds sixteen at a time get twenty answers each.
		if answered := introspectKept + 100 - failed; answered < 19*introspectMost || answered > 20*introspectMost {
			t.Errorf("%d were answered", answered)
		}
		if most > introspectMost {
			t.Errorf("%d at a time", most)
		}
		if n := len(h.feed.asking.known); n > introspectKept {
			t.Errorf("%d answers are kept", n)
		}
		time.Sleep(10 * time.Second)
	})
}

func TestGuardWithFeed(t *testing.T) {
	feed := func(issuer string, own bool) *Feed {
		c := FeedConfig{Issuer: issuer, URL: issuer + "/feed"}
		if own {
			c.ClientID, c.ClientSecret = "a", "b"
		} else {
			c.Token = func(context.Context) (string, error) { return "", nil }
		}
		f, err := NewFeed(c)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, row := range []struct {
		name   string
		config Config
		good   bool
	}{
		{"good", Config{Feed: feed(feedIssuer, true), Stale: Introspect}, true},
		{"no feed, and a policy", Config{Stale: Introspect}, true},
		{"of another issuer", Config{Feed: feed("https://other.example", true)}, false},
		{"no policy", Config{Stale: 7}, false},
		{"below the policies", Config{Stale: -1}, false},
		{"introspection without a client", Config{Feed: feed(feedIssuer, false), Stale: Introspect}, false},
		{"denial without a client", Config{Feed: feed(feedIssuer, false)}, true},
		{"another issuer with a feed", Config{Others: []Issuer{{URL: "https://other.example", Keys: issuerKey(), Feed: feed("https://other.example", true)}}}, true},
		{"another issuer with the feed of this one", Config{Others: []Issuer{{URL: "https://other.example", Keys: issuerKey(), Feed: feed(feedIssuer, true)}}}, false},
	} {
		row.config.Issuer, row.config.Audience, row.config.Keys = feedIssuer, "https://api.example", issuerKey()
		if _, err := New(row.config); (err == nil) != row.good {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	g, err := New(Config{Issuer: feedIssuer, Audience: "https://api.example", Keys: issuerKey(), Feed: feed(feedIssuer, false)})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Policy{-1, 3, Introspect} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was taken", p)
				}
			}()
			g.Stale(p)
		}()
	}
}

// Each issuer's tokens are asked about in its own feed, and in no other.
func TestFeedsOfSeveralIssuers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t)
		defer h.stop()
		h.waitReady(t)
		g, err := New(Config{
			Issuer: "https://other.example", Audience: "https://api.example", Keys: issuerKey(), Now: h.now,
			Others: []Issuer{{URL: feedIssuer, Keys: issuerKey(), Feed: h.feed}},
		})
		if err != nil {
			t.Fatal(err)
		}
		h.end("session", "s1")
		h.want(t, "told", soon, func() bool { return h.holds("s1") })
		if w, _ := call(t, g, h.mint(t)); w.Code != 401 {
			t.Errorf("%d", w.Code)
		}
		if w, _ := call(t, g, h.mint(t, func(c map[string]any) { c["iss"] = "https://other.example" })); w.Code != 204 {
			t.Errorf("a session of the same name elsewhere: %d", w.Code)
		}
	})
}

func TestFeedMetrics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t, func(h *feedHouse, _ *FeedConfig) { h.wire.down = true })
		defer h.stop()
		g := h.guard(t, Deny)
		call(t, g, h.mint(t)) // stale
		h.wire.set(func(n *wire) { n.down = false })
		h.waitReady(t)
		before := h.feed.counts.reconnects.Load()
		h.end("session", "s1")
		h.want(t, "told", soon, func() bool { return h.holds("s1") })
		call(t, g, h.mint(t))
		time.Sleep(time.Second)
		other, err := NewFeed(FeedConfig{Issuer: "https://other.example", ClientID: "a", ClientSecret: "b", Now: h.now})
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		WriteMetrics(&text, h.feed, other)
		for _, line := range []string{
			"# TYPE ostiary_feed_lag_seconds gauge",
			`ostiary_feed_stale{issuer="https://id.example"} 0`,
			`ostiary_feed_stale{issuer="https://other.example"} 1`,
			`ostiary_feed_mode{issuer="https://id.example",mode="stream"} 1`,
			`ostiary_feed_mode{issuer="https://id.example",mode="poll"} 0`,
			`ostiary_feed_entries{issuer="https://id.example"} 1`,
			`ostiary_feed_sequence{issuer="https://id.example"} 1`,
			fmt.Sprintf(`ostiary_feed_reconnects_total{issuer="https://id.example"} %d`, before),
			`ostiary_feed_refusals_total{issuer="https://id.example",kind="session"} 1`,
			`ostiary_feed_refusals_total{issuer="https://id.example",kind="client"} 0`,
			`ostiary_feed_refusals_total{issuer="https://id.example",kind="stale"} 1`,
			`ostiary_feed_introspections_total{issuer="https://id.example",result="failed"} 0`,
		} {
			if strings.Count("\n"+text.String(), "\n"+line+"\n") != 1 {
				t.Errorf("not there once: %s", line)
			}
		}
		if n := strings.Count(text.String(), "# TYPE ostiary_feed_lag_seconds"); n != 1 {
			t.Errorf("a metric has %d types", n)
		}
		text.Reset()
		h.feed.WriteMetrics(&text)
		if strings.Contains(text.String(), "other.example") {
			t.Error("metrics of another feed")
		}
	})
}
