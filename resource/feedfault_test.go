package resource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What a stream must not say: it is left, nothing that was known is lost, and
// the staleness grows until it says what it should again.
func TestFeedSaysNonsense(t *testing.T) {
	hello := `{"log":"log-1","sequence":1,"resumed":true,"heartbeat":2}`
	begin := "event: hello\ndata: " + hello + "\n\n"
	entries := func(list string) string { return begin + "event: entries\ndata: [" + list + "]\n\n" }
	one := func(sequence int) string {
		return fmt.Sprintf(`{"sequence":%d,"kind":"session","value":"x%d","cause":"admin","at":1,"drop_at":4000000000}`, sequence, sequence)
	}
	for _, row := range []struct{ name, text, want string }{
		{"garbage", "\x00\x01\x02\n\n\n\xff\xfe", "ended without a word"},
		{"a page", "<html><body>Please sign in</body></html>\n", "ended without a word"},
		{"garbage without end", strings.Repeat("x: y\n", 5000), "1000 lines without an event"},
		{"a line that is too long", "data: " + strings.Repeat("x", maxEvent), "a line of more than"},
		{"an event that is too long", begin + "event: entries\ndata: [" + strings.Repeat(" ", maxEvent), "a line of more than"},
		{"no hello", "event: ready\ndata: {\"sequence\":1}\n\n", "there was no hello"},
		{"hello twice", begin + begin, "there was a hello"},
		{"hello that is no JSON", "event: hello\ndata: {\n\n", "hello:"},
		{"hello without a log", "event: hello\ndata: {\"sequence\":1,\"heartbeat\":2}\n\n", "the log has no name"},
		{"a log with a name that does not end", strings.Replace(begin, "log-1", strings.Repeat("x", maxLogID+1), 1), "the log has no name"},
		{"another log is continued", strings.Replace(begin, "log-1", "log-2", 1), "another log is continued"},
		{"a log is continued that was shorter", strings.Replace(begin, `"sequence":1`, `"sequence":0`, 1), "ended before"},
		{"no heartbeat", strings.Replace(begin, `"heartbeat":2`, `"heartbeat":0`, 1), "heartbeat"},
		{"a heart that beats once in a minute", strings.Replace(begin, `"heartbeat":2`, `"heartbeat":60`, 1), "heartbeat"},
		{"entries that are none", entries(`1,2`), "not understood"},
		{"entries that are cut off", begin + "event: entries\ndata: [" + one(2) + "\n\n", "not understood"},
		{"an entry without a kind", entries(strings.Replace(one(2), `"kind":"session",`, "", 1)), "without a kind"},
		{"entries out of order", entries(one(3) + "," + one(2)), "entry 2 after 3"},
		{"entries from before", entries(one(1)), "entry 1 after 1"},
		{"too many entries", entries(strings.Repeat(one(2)+",", maxAtOnce) + one(2)), "at once"},
		{"two lines of data", begin + "event: entries\ndata: []\ndata: []\n\n", "two lines of data"},
		{"suddenly another log", begin + "event: entries\nid: log-2:2\ndata: [" + one(2) + "]\n\n", "suddenly another"},
		{"an id that is none", begin + "event: entries\nid: x\ndata: [" + one(2) + "]\n\n", "an id that is none"},
		{"an id without end", begin + "id: " + strings.Repeat("x", 200) + "\ndata: x\n\n", "an id of 200 bytes"},
		{"an id before its entries", begin + "event: entries\nid: log-1:1\ndata: [" + one(2) + "]\n\n", "the log is at 1, and was at 2"},
		{"ready without a sequence", begin + "event: ready\ndata: {}\n\n", "ready without"},
		{"ready in the past", begin + "event: ready\ndata: {\"sequence\":0}\n\n", "the log is at 0"},
		{"ready twice", begin + strings.Repeat("event: ready\ndata: {\"sequence\":1}\n\n", 2), "a second time"},
		{"a beat in the past", begin + "event: ready\ndata: {\"sequence\":1}\n\nevent: beat\ndata: {\"sequence\":0,\"at\":5}\n\n", "the log is at 0"},
		{"a beat that says nothing", begin + "event: beat\ndata: {}\n\n", "says nothing"},
		{"goodbye", begin + "event: bye\ndata: {\"reason\":\"revoked\"}\n\n", "ended the feed: revoked"},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := follow(t)
				defer h.stop()
				h.end("session", "s1")
				h.knows(t, "s1")
				h.set(func(s *feedServer) {
					s.raw = func(w io.Writer) bool { io.WriteString(w, row.text); return true }
				})
				h.wire.cutAll()
				time.Sleep(9 * time.Second)
				if s := h.feed.State(); s.Err == nil || !h.met(row.want) {
					t.Errorf("state %+v", s)
				}
				time.Sleep(5 * time.Second)
				// What calls itself ready has been so when it was asked.
				if s := h.feed.State(); !s.Stale && !strings.Contains(row.text, "event: ready\ndata: {\"sequence\":1}") {
					t.Errorf("state %+v", s)
				}
				if !h.holds("s1") {
					t.Error("what was known is lost")
				}
				h.set(func(s *feedServer) { s.raw = nil })
				h.end("session", "s2")
				h.want(t, "understood again", refusedPause, func() bool { return h.holds("s2") && !h.feed.stale() })
				if s := h.feed.State(); s.Err != nil {
					t.Errorf("state %+v", s)
				}
			})
		})
	}
}

// What an answer to a poll must not say.
func TestFeedPollsNonsense(t *testing.T) {
	one := `{"sequence":2,"kind":"session","value":"x","cause":"admin","at":1,"drop_at":4000000000}`
	for _, row := range []struct{ name, text, want string }{
		{"garbage", "\x00", "no page"},
		{"nothing", "", "no page"},
		{"no sequence", `{"log":"log-1","entries":[]}`, "no page"},
		{"no log", `{"sequence":1,"entries":[]}`, "no name"},
		{"no entries", `{"log":"log-1","sequence":1,"resumed":true}`, "not understood"},
		{"another log is continued", `{"log":"log-2","sequence":1,"resumed":true,"entries":[]}`, "another log"},
		{"in the past", `{"log":"log-1","sequence":0,"resumed":true,"entries":[]}`, "ended before"},
		{"entries beyond its sequence", `{"log":"log-1","sequence":1,"resumed":true,"entries":[` + one + `]}`, "out of order"},
		{"entries from before", `{"log":"log-1","sequence":3,"resumed":true,"entries":[` + strings.Replace(one, ":2", ":1", 1) + `]}`, "out of order"},
		{"entries out of order", `{"log":"log-1","sequence":9,"resumed":true,"entries":[` + strings.Replace(one, ":2", ":3", 1) + `,` + one + `]}`, "out of order"},
		{"more, and nothing comes", `{"log":"log-1","sequence":1,"resumed":true,"more":true,"entries":[]}`, "nothing comes"},
		{"too long", `{"log":"` + strings.Repeat("x", pageBytes) + `"}`, "more than"},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := follow(t, func(h *feedHouse, _ *FeedConfig) { h.wire.buffers = true })
				defer h.stop()
				h.end("session", "s1")
				h.knows(t, "s1")
				right := h.wire.handler
				h.wire.set(func(n *wire) {
					n.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path != "/revocations" {
							right.ServeHTTP(w, r)
							return
						}
						w.Header().Set("Content-Type", "application/json")
						io.WriteString(w, row.text)
					})
				})
				time.Sleep(15 * time.Second)
				if s := h.feed.State(); s.Err == nil || !strings.Contains(s.Err.Error(), row.want) || !s.Stale || !h.holds("s1") {
					t.Errorf("state %+v", s)
				}
				h.wire.set(func(n *wire) { n.handler = right })
				h.end("session", "s2")
				h.want(t, "understood again", refusedPause, func() bool { return h.holds("s2") && !h.feed.stale() })
			})
		})
	}
}

// Somebody else in the issuer's place, and addresses where no secret may go.
func TestFeedIsImpersonated(t *testing.T) {
	for _, row := range []struct {
		name string
		lie  func(*feedHouse)
		want string
	}{
		{"OpenID Connect Discovery §4.3: another issuer", func(h *feedHouse) {
			h.metadata = func(m map[string]any) { m["issuer"] = "https://evil.example" }
		}, "another issuer's"},
		{"no feed", func(h *feedHouse) {
			h.metadata = func(m map[string]any) { delete(m, "revocation_feed_endpoint") }
		}, "has no revocation_feed_endpoint"},
		{"the feed is http", func(h *feedHouse) {
			h.metadata = func(m map[string]any) { m["revocation_feed_endpoint"] = "http://id.example/revocations" }
		}, "revocation_feed_endpoint must be https"},
		{"the feed is http on this machine", func(h *feedHouse) {
			h.metadata = func(m map[string]any) { m["revocation_feed_endpoint"] = "http://localhost/revocations" }
		}, "revocation_feed_endpoint must be https"},
		{"the token endpoint is http", func(h *feedHouse) {
			h.metadata = func(m map[string]any) { m["token_endpoint"] = "http://id.example/token" }
		}, "token_endpoint must be https"},
		{"no token endpoint", func(h *feedHouse) {
			h.metadata = func(m map[string]any) { delete(m, "token_endpoint") }
		}, "has no token_endpoint"},
		{"a redirect", func(h *feedHouse) {
			right := h.wire.handler
			h.wire.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/revocations" {
					http.Redirect(w, r, "https://evil.example/revocations", http.StatusFound)
					return
				}
				right.ServeHTTP(w, r)
			})
		}, "answered 302"},
		{"a page in its place", func(h *feedHouse) {
			right := h.wire.handler
			h.wire.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/revocations" {
					w.Header().Set("Content-Type", "text/html")
					return
				}
				right.ServeHTTP(w, r)
			})
		}, `the answer is "text/html"`},
		{"RFC 9111 §5.1: an answer of a cache", func(h *feedHouse) {
			right := h.wire.handler
			h.wire.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Age", "7")
				right.ServeHTTP(w, r)
			})
		}, "from a cache"},
		{"a token of another type", func(h *feedHouse) {
			h.answers("/token", `{"access_token":"x","token_type":"mac","expires_in":60}`)
		}, "no bearer token"},
		{"a token without the scope", func(h *feedHouse) {
			h.answers("/token", `{"access_token":"x","token_type":"Bearer","expires_in":60,"scope":"orders:read"}`)
		}, "does not have the scope ostiary:feed"},
		{"a token that is none", func(h *feedHouse) {
			h.answers("/token", `{"access_token":"x y\nz","token_type":"Bearer","expires_in":60}`)
		}, "is not one"},
		{"a token endpoint that says no", func(h *feedHouse) { h.tokenFails = 401 }, "answered 401: temporarily_unavailable: as told by the test"},
		{"the feed says no", func(h *feedHouse) { h.feedFails = 403 }, "answered 403"},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := follow(t, func(h *feedHouse, _ *FeedConfig) { row.lie(h) })
				defer h.stop()
				time.Sleep(time.Minute)
				s := h.feed.State()
				if s.Ready || !s.Stale || s.Err == nil || !strings.Contains(s.Err.Error(), row.want) {
					t.Errorf("state %+v", s)
				}
				if strings.Contains(fmt.Sprint(s.Err), "cret") {
					t.Errorf("a secret: %v", s.Err)
				}
				if n := h.feed.counts.reconnects.Load(); n > 35 {
					t.Errorf("tried %d times in a minute", n)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := h.feed.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), row.want) {
					t.Errorf("Ready: %v", err)
				}
			})
		})
	}
}

// answers replaces an endpoint by a text.
func (h *feedHouse) answers(path, text string) {
	right := h.wire.handler
	h.wire.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path {
			io.WriteString(w, text)
			return
		}
		right.ServeHTTP(w, r)
	})
}

// RFC 9110 §10.2.3: who is told to wait waits, but not for ever.
func TestFeedRetryAfter(t *testing.T) {
	for _, row := range []struct {
		name  string
		fails func(*feedHouse)
		least time.Duration
		most  time.Duration
	}{
		{"429 with seconds", func(h *feedHouse) { h.feedFails, h.retryAfter = 429, "20" }, 20 * time.Second, 26 * time.Second},
		{"429 with a date", func(h *feedHouse) {
			h.feedFails, h.retryAfter = 429, time.Now().Add(20*time.Second).UTC().Format(http.TimeFormat)
		}, 18 * time.Second, 26 * time.Second},
		{"503 of the token endpoint", func(h *feedHouse) { h.tokenFails, h.retryAfter = 503, "20" }, 20 * time.Second, 26 * time.Second},
		{"429 with a year", func(h *feedHouse) { h.feedFails, h.retryAfter = 429, "31536000" }, time.Minute, 66 * time.Second},
		{"429 with nonsense", func(h *feedHouse) { h.feedFails, h.retryAfter = 429, "soon" }, 0, time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := follow(t, func(h *feedHouse, _ *FeedConfig) { row.fails(h) })
				defer h.stop()
				time.Sleep(50 * time.Millisecond)
				h.set(func(s *feedServer) { s.feedFails, s.tokenFails = 0, 0 })
				took := h.want(t, "ready", 2*time.Minute, func() bool { return h.feed.State().Ready })
				if took += 50 * time.Millisecond; took < row.least || took > row.most {
					t.Errorf("after %s", took)
				}
			})
		})
	}
}
