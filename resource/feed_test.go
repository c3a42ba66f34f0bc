package resource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// soon is how long news may take, without a network.
const soon = 100 * time.Millisecond

func TestFeed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t)
		defer h.stop()
		h.end("session", "before")
		h.knows(t, "before")
		s := h.feed.State()
		if !s.Ready || s.Stale || s.Mode != "stream" || s.Err != nil || s.Log != feedLog || s.Sequence != 1 || s.Entries != 1 || s.Issuer != feedIssuer {
			t.Errorf("state %+v", s)
		}
		h.end("session", "after")
		h.want(t, "the session has ended", soon, func() bool { return h.holds("after") })
		if !h.holds("before") || h.holds("other") {
			t.Error("the snapshot is missing, or more than it is there")
		}
		for range 100 {
			time.Sleep(300 * time.Millisecond)
			if s := h.feed.State(); s.Stale || s.Lag > 2100*time.Millisecond || s.Sequence != 2 {
				t.Fatalf("state %+v", s)
			}
		}
		if streams, polls, tokens := h.used(); streams != 1 || polls != 0 || tokens != 1 {
			t.Errorf("%d streams, %d polls, %d tokens", streams, polls, tokens)
		}
	})
}

// A stream ends with its token; the next begins where it stopped, and nobody
// notices.
func TestFeedRenewsItsToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t, func(h *feedHouse, _ *FeedConfig) { h.tokenLife = time.Minute })
		defer h.stop()
		h.waitReady(t)
		for i := range 600 {
			h.end("session", sid(i))
			h.want(t, "the session has ended", 500*time.Millisecond, func() bool { return h.holds(sid(i)) })
			if s := h.feed.State(); s.Stale || s.Err != nil || s.Mode != "stream" {
				t.Fatalf("state %+v", s)
			}
			time.Sleep(time.Second)
		}
		if streams, _, tokens := h.used(); tokens < 10 || tokens > 14 || streams > 14 {
			t.Errorf("%d tokens, %d streams in ten minutes", tokens, streams)
		}
		for _, asked := range h.askedFor()[1:] {
			if !strings.HasPrefix(asked, feedLog+":") || asked == feedLog+":0" {
				t.Errorf("asked for %q", asked)
			}
		}
		h.stop() // so that nobody writes them any more
		for _, s := range h.states[1:] {
			if s.Stale || s.Mode != "stream" && s.Ready {
				t.Errorf("told of %+v", s)
			}
		}
	})
}

// A cut connection is there again in a moment, from where it was cut.
func TestFeedIsCut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t)
		defer h.stop()
		h.end("session", "s1")
		h.knows(t, "s1")
		h.wire.cutAll()
		h.end("session", "s2")
		took := h.want(t, "resumed", time.Second, func() bool { return h.holds("s2") })
		if asked := h.askedFor(); !slices.Equal(asked, []string{":", feedLog + ":1"}) {
			t.Errorf("asked for %q", asked)
		}
		if s := h.feed.State(); s.Stale || s.Err != nil {
			t.Errorf("after %s: %+v", took, s)
		}
	})
}

// While nobody answers, the feed knows what it knew, and is stale after MaxLag;
// the pauses grow to some seconds and no further.
func TestFeedIsDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t)
		defer h.stop()
		h.end("session", "s1")
		h.knows(t, "s1")
		h.wire.set(func(n *wire) { n.down = true })
		h.wire.cutAll()
		h.end("session", "s2", func(e *sent) { e.DropAt += 7200 })
		time.Sleep(7 * time.Second)
		if s := h.feed.State(); s.Stale || s.Mode != "" || s.Err == nil {
			t.Errorf("before MaxLag: %+v", s)
		}
		time.Sleep(5 * time.Second)
		if s := h.feed.State(); !s.Stale || s.Lag < 10*time.Second || s.Err == nil || !strings.Contains(s.Err.Error(), "connection refused") {
			t.Errorf("after MaxLag: %+v", s)
		}
		before := h.feed.counts.reconnects.Load()
		time.Sleep(time.Hour)
		if n := h.feed.counts.reconnects.Load() - before; n < 3600/5 || n > 3600*2/5+1 {
			t.Errorf("tried %d times in an hour", n)
		}
		if !h.holds("s1") {
			t.Error("what was known is forgotten")
		}
		h.wire.set(func(n *wire) { n.down = false })
		h.want(t, "back", longestPause+time.Second, func() bool { return h.holds("s2") && !h.feed.stale() })
		if !h.holds("s1") {
			t.Error("what was known is forgotten")
		}
	})
}

// A connection that says nothing any more is dead, however open it is.
func TestFeedFallsSilent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t)
		defer h.stop()
		h.waitReady(t)
		time.Sleep(10 * time.Second)
		h.wire.stall(true)
		h.end("session", "s1")
		time.Sleep(3 * time.Second)
		h.wire.set(func(n *wire) { n.stalled = false }) // for new connections only
		took := h.want(t, "reconnected", 6*time.Second, func() bool { return h.holds("s1") })
		if s := h.feed.State(); s.Stale || s.Mode != "stream" {
			t.Errorf("after %s: %+v", took, s)
		}
	})
}

// A node that has lost its database beats no more: it does not know.
func TestFeedWithoutBeats(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t)
		defer h.stop()
		h.waitReady(t)
		time.Sleep(5 * time.Second)
		h.set(func(s *feedServer) { s.silent = true; s.feedFails = 503; s.retryAfter = "2" })
		time.Sleep(15 * time.Second)
		if s := h.feed.State(); !s.Stale || s.Err == nil || !strings.Contains(s.Err.Error(), "503") {
			t.Errorf("state %+v", s)
		}
		h.set(func(s *feedServer) { s.silent = false; s.feedFails = 0 })
		h.want(t, "current", longestPause+3*time.Second, func() bool { return !h.feed.stale() })
	})
}

// Behind a proxy that keeps answers until they are whole, the feed polls; when
// the proxy is gone, it streams again.
func TestFeedBehindABufferingProxy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t, func(h *feedHouse, _ *FeedConfig) { h.wire.buffers = true })
		defer h.stop()
		for i := range 250 { // several pages
			h.end("session", sid(i))
		}
		h.knows(t, sid(249))
		if s := h.feed.State(); s.Mode != "poll" || s.Stale || s.Entries != 250 {
			t.Fatalf("state %+v", s)
		}
		for i := range 20 { // not yet five minutes
			h.end("session", fmt.Sprint("p", i))
			h.want(t, "told", soon, func() bool { return h.holds(fmt.Sprint("p", i)) })
			time.Sleep(7 * time.Second)
		}
		_, began, _ := h.used()
		time.Sleep(20 * time.Second)
		if _, n, _ := h.used(); n-began < 9 || n-began > 12 {
			t.Errorf("%d polls in 20 seconds", n-began)
		}
		// Through an attempt to stream, which fails.
		for range 600 {
			time.Sleep(time.Second)
			if s := h.feed.State(); s.Stale || s.Lag > 8*time.Second {
				t.Fatalf("state %+v", s)
			}
		}
		if streams, _, _ := h.used(); streams < 2 {
			t.Error("streaming was not tried again")
		}
		h.wire.set(func(n *wire) { n.buffers = false })
		h.want(t, "streaming", 7*time.Minute, func() bool { return h.feed.State().Mode == "stream" })
		h.end("session", "last")
		h.want(t, "told", soon, func() bool { return h.holds("last") && !h.feed.stale() })
	})
}

// A server that does not wait is not asked without a pause.
func TestFeedPollsWithoutHaste(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t, func(h *feedHouse, _ *FeedConfig) { h.wire.buffers, h.noWait = true, true })
		defer h.stop()
		h.waitReady(t)
		_, began, _ := h.used()
		time.Sleep(time.Minute)
		if _, n, _ := h.used(); n-began < 50 || n-began > 61 {
			t.Errorf("%d polls in a minute", n-began)
		}
	})
}

// After a sleep of the machine the first checks know that they do not know, also
// when the connection looks alive and is full of old beats.
func TestFeedAfterSleep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t)
		defer h.stop()
		h.waitReady(t)
		time.Sleep(10 * time.Second)
		h.wire.stall(true) // nobody reads what comes
		time.Sleep(4 * time.Second)
		h.sleepFor(time.Hour)
		h.end("session", "s1")
		if s := h.feed.State(); !s.Stale || s.Lag < time.Hour {
			t.Fatalf("awake: %+v", s)
		}
		h.wire.stall(false)
		for !h.holds("s1") {
			if !h.feed.stale() {
				t.Fatal("current before the end of the session is known")
			}
			time.Sleep(time.Millisecond)
		}
		h.want(t, "current", 6*time.Second, func() bool { return !h.feed.stale() })
	})
}

// Beats that come late prove little: they tell how it was.
func TestFeedIsLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t)
		defer h.stop()
		h.waitReady(t)
		time.Sleep(10500 * time.Millisecond)
		h.wire.stall(true)
		time.Sleep(4 * time.Second)
		h.wire.stall(false)
		time.Sleep(time.Millisecond)
		if s := h.feed.State(); s.Lag > 2*time.Second {
			t.Errorf("all beats were read, and the lag is %s", s.Lag)
		}
		p := pace{}
		at := noon
		for _, row := range []struct{ sent, received, late float64 }{
			{0, 100, 0}, {2, 102, 0}, {4, 107, 3}, {6, 107.5, 1.5}, {8, 108, 0}, {10, 110, 0}, {12, 112, 0}, {14, 214, 100}, {16, 216, 100},
		} {
			seconds := func(f float64) time.Time { return at.Add(time.Duration(f * float64(time.Second))) }
			if late := p.late(seconds(row.sent), seconds(row.received)); late != time.Duration(row.late*float64(time.Second)) {
				t.Errorf("sent at %v, received at %v: late by %s, want %v", row.sent, row.received, late, row.late)
			}
		}
	})
}

// Clocks that are off by a minute, and set while the feed runs, here or there.
func TestFeedClocks(t *testing.T) {
	for _, off := range []time.Duration{time.Minute, -time.Minute} {
		for _, there := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s there=%v", off, there), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					set := func(h *feedHouse, d time.Duration) {
						if there {
							h.set(func(s *feedServer) { s.clock += d })
						} else {
							h.sleepFor(d)
						}
					}
					h := follow(t, func(h *feedHouse, _ *FeedConfig) { set(h, off) })
					defer h.stop()
					h.waitReady(t)
					for i := range 30 {
						h.end("session", sid(i))
						h.want(t, "told", soon, func() bool { return h.holds(sid(i)) })
						if h.feed.stale() {
							t.Fatalf("state %+v", h.feed.State())
						}
						time.Sleep(time.Second)
					}
					set(h, -2*off)
					time.Sleep(6 * time.Second) // until it has been noticed
					for i := range 30 {
						h.end("session", sid(100+i))
						h.want(t, "told", 5*soon, func() bool { return h.holds(sid(100 + i)) })
						if h.feed.stale() {
							t.Fatalf("state %+v", h.feed.State())
						}
						time.Sleep(time.Second)
					}
					if h.feed.table.live.Load() != 60 {
						t.Error("entries were dropped")
					}
				})
			})
		}
	}
}

// Entries go when both clocks say that their time is over, and a clock that
// jumps ahead and back takes none with it.
func TestFeedDrops(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t)
		defer h.stop()
		h.end("session", "short")
		h.end("session", "long", func(e *sent) { e.DropAt += 3600 })
		h.knows(t, "long")
		time.Sleep(10 * time.Second)
		h.sleepFor(2 * time.Hour)
		time.Sleep(time.Minute)
		h.sleepFor(-2 * time.Hour)
		if !h.holds("short") || !h.holds("long") {
			t.Error("dropped by a clock that was wrong for a minute")
		}
		time.Sleep(900*time.Second + dropMargin - 75*time.Second)
		if !h.holds("short") {
			t.Error("dropped before its time and the margin")
		}
		time.Sleep(40 * time.Second)
		if h.holds("short") || !h.holds("long") || h.feed.State().Entries != 1 {
			t.Error("not dropped")
		}
	})
}

// Another log is merged: nothing that was known is forgotten.
func TestFeedOfAnotherLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t)
		defer h.stop()
		for i := range 10 {
			h.end("session", sid(i))
		}
		h.end("subject", "p", func(e *sent) { e.Cause, e.CutOff = "account_disabled", noon.Unix() })
		h.knows(t, sid(9))
		h.want(t, "told", soon, func() bool { return h.feed.State().Sequence == 11 })
		h.set(func(s *feedServer) { s.log, s.entries = "log-2", nil }) // restored from a backup
		h.end("session", "new")
		h.end("subject", "p", func(e *sent) { e.Cause, e.CutOff = "admin", noon.Unix()-9 })
		h.wire.cutAll()
		h.want(t, "followed", time.Second, func() bool { return h.holds("new") })
		time.Sleep(time.Second)
		if s := h.feed.State(); s.Log != "log-2" || s.Sequence != 2 || s.Entries != 12 || s.Stale {
			t.Errorf("state %+v", s)
		}
		// The later log tells the cause, the greatest cut-off counts.
		if cutOff, disabled := h.feed.table.cutOff(kindSubject, "p"); disabled || cutOff != noon.Unix() {
			t.Error(cutOff, disabled)
		}
		if !h.holds(sid(3)) {
			t.Error("forgotten")
		}
	})
}

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
		{"an entry of an unknown kind", entries(strings.Replace(one(2), "session", "device", 1)), "unknown kind"},
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

// Beyond MaxEntries the feed does not pretend to know; when the sweep has made
// room it goes on where it stopped.
func TestFeedIsFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t, func(_ *feedHouse, c *FeedConfig) { c.MaxEntries = 10 })
		defer h.stop()
		for i := range 10 {
			h.end("session", sid(i), func(e *sent) { e.DropAt = time.Now().Unix() + 60 })
		}
		h.knows(t, sid(9))
		if h.feed.stale() {
			t.Error("not yet")
		}
		h.end("session", "one too many")
		h.want(t, "stale", soon, h.feed.stale)
		if s := h.feed.State(); !errors.Is(s.Err, errFull) && s.Err != nil || s.Entries != 10 {
			t.Errorf("state %+v", s)
		}
		time.Sleep(time.Minute)
		if s := h.feed.State(); !s.Stale || !errors.Is(s.Err, errFull) {
			t.Errorf("state %+v", s)
		}
		h.want(t, "current", 6*time.Minute, func() bool { return h.holds("one too many") && !h.feed.stale() })
	})
}

func TestFeedWithATokenOfItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		h := follow(t, func(h *feedHouse, c *FeedConfig) {
			c.ClientID, c.ClientSecret, c.URL = "", "", feedIssuer+"/revocations"
			h.metadata = func(map[string]any) { t.Error("metadata are not needed") }
			h.valid["mine"] = time.Now().Add(time.Hour)
			c.Token = func(context.Context) (string, error) {
				if calls++; calls == 1 {
					return "", errors.New("not yet")
				}
				return "mine", nil
			}
		})
		defer h.stop()
		h.waitReady(t)
		if h.tokens != 0 || calls != 2 {
			t.Errorf("%d tokens, %d calls", h.tokens, calls)
		}
	})
}

func TestFeedConfig(t *testing.T) {
	good := FeedConfig{Issuer: feedIssuer, ClientID: "api", ClientSecret: "secret"}
	for _, row := range []struct {
		name   string
		change func(*FeedConfig)
		good   bool
	}{
		{"good", func(*FeedConfig) {}, true},
		{"on this machine", func(c *FeedConfig) { c.Issuer = "http://localhost:8080" }, true},
		{"no issuer", func(c *FeedConfig) { c.Issuer = "" }, false},
		{"http", func(c *FeedConfig) { c.Issuer = "http://id.example" }, false},
		{"a query", func(c *FeedConfig) { c.Issuer += "?a" }, false},
		{"no client", func(c *FeedConfig) { c.ClientID = "" }, false},
		{"no secret", func(c *FeedConfig) { c.ClientSecret = "" }, false},
		{"client and token", func(c *FeedConfig) { c.Token = func(context.Context) (string, error) { return "", nil } }, false},
		{"another address", func(c *FeedConfig) { c.URL = "https://feed.example" }, true},
		{"an address without TLS", func(c *FeedConfig) { c.URL = "http://localhost/feed" }, false},
		{"MaxLag below what beats allow", func(c *FeedConfig) { c.MaxLag = time.Second }, false},
		{"MaxLag below zero", func(c *FeedConfig) { c.MaxLag = -time.Hour }, false},
		{"MaxEntries below zero", func(c *FeedConfig) { c.MaxEntries = -1 }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := good
			row.change(&c)
			if f, err := NewFeed(c); (err == nil) != row.good || (f == nil) == row.good {
				t.Errorf("%v", err)
			} else if err != nil && !strings.HasPrefix(err.Error(), "resource: feed: ") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestFeedRunsOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := follow(t)
		h.waitReady(t)
		if err := h.feed.Run(t.Context()); err == nil {
			t.Error("it runs twice")
		}
		h.stop()
		if s := h.feed.State(); s.Mode != "" || !s.Ready {
			t.Errorf("state %+v", s)
		}
		time.Sleep(time.Minute)
		if !h.feed.stale() {
			t.Error("current without being followed")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.feed.Run(ctx) }()
		h.want(t, "followed again", time.Second, func() bool { return !h.feed.stale() })
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestElapsed(t *testing.T) {
	a := time.Now()
	if d := elapsed(a, a.Add(time.Hour)); d != time.Hour {
		t.Error(d)
	}
	// Without the clock that cannot be set, as after a sleep in which it stood.
	if d := elapsed(a, a.Round(0).Add(time.Hour)); d != time.Hour {
		t.Error(d)
	}
	if d := elapsed(a.Round(0), a.Round(0).Add(-time.Hour)); d != -time.Hour {
		t.Error(d)
	}
}
