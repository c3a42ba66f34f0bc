package resource

import (
	"context"
	"errors"
	"fmt"
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
		h.mu.Lock()
		told := slices.Clone(h.states[1:])
		h.mu.Unlock()
		for _, s := range told {
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
