package limit_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/limit"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// clock stands still until it is moved.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(1_800_000_000_000)
	return c
}

func (c *clock) now() time.Time       { return time.UnixMilli(c.ms.Load()) }
func (c *clock) move(d time.Duration) { c.ms.Add(d.Milliseconds()) }

func open(t testing.TB, s *store.Store, c *clock, r limit.Rates) *limit.Limits {
	t.Helper()
	l, err := limit.New(limit.Config{Store: s, Rates: r, Now: c.now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// spend asks until it is refused, and returns how often it was not.
func spend(take func() int64, most int) (n int) {
	for n < most && take() == 0 {
		n++
	}
	return n
}

func TestTake(t *testing.T) {
	c := newClock()
	l := open(t, storetest.SQLite(t), c, limit.Rates{Address: 60, Begun: 20, Client: 30, Account: 10})
	visit := func(address string) func() int64 { return func() int64 { return l.Visit(address) } }

	if n := spend(visit("192.0.2.1"), 1000); n != 60 {
		t.Errorf("an address may ask %d times at once, want a minute's worth, 60", n)
	}
	if wait := l.Visit("192.0.2.1"); wait != 1 {
		t.Errorf("wait %d s, want 1: one request runs out in a second", wait)
	}
	if n := spend(visit("192.0.2.2"), 1000); n != 60 {
		t.Errorf("another address: %d, want 60", n)
	}
	c.move(10 * time.Second)
	if n := spend(visit("192.0.2.1"), 1000); n != 10 {
		t.Errorf("after ten seconds: %d, want 10", n)
	}
	// Of IPv6 a customer has a whole /64.
	if n := spend(visit("2001:db8:1:2::1"), 30); n != 30 {
		t.Errorf("IPv6: %d, want 30", n)
	}
	if n := spend(visit("2001:db8:1:2:ffff::9"), 1000); n != 30 {
		t.Errorf("the same /64: %d, want what is left, 30", n)
	}
	for _, here := range []string{"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"} {
		if n := spend(visit(here), 1000); n != 1000 {
			t.Errorf("%s is this machine: refused after %d", here, n)
		}
	}
	// Where there is little room each counts tenfold.
	if n := spend(func() int64 { return l.Begin("192.0.2.3", true) }, 1000); n != 2 {
		t.Errorf("begun in a crowd: %d, want 2", n)
	}
	// A client that has proven who it is does not use up its address.
	for range 20 {
		if l.Visit("192.0.2.4") != 0 || l.Client("shop", "192.0.2.4") != 0 {
			t.Fatal("refused too early")
		}
	}
	if n := spend(visit("192.0.2.4"), 1000); n != 60 {
		t.Errorf("beside a client: %d, want 60", n)
	}
	if n := spend(func() int64 { return l.Client("shop", "192.0.2.5") }, 1000); n != 10 {
		t.Errorf("the client from elsewhere: %d, want what is left, 10", n)
	}
	// What somebody does through one application is not counted at another.
	for _, through := range []string{"", "shop", "notes"} {
		if n := spend(func() int64 { return l.Account("ann", "", "192.0.2.6") }, 1000); through == "" && n != 10 {
			t.Errorf("an account: %d, want 10", n)
		}
	}
	if n := spend(func() int64 { return l.Account("ann", "shop", "192.0.2.6") }, 1000); n != 10 {
		t.Errorf("the account through an application: %d, want 10", n)
	}
	counts := l.Counts()
	if len(counts) != 4 || counts[limit.Client].Admitted != 30 || counts[limit.Client].Refused != 1 {
		t.Errorf("counts: %+v", counts)
	}
	// A clock that is put back does not hold anybody up for longer than a minute.
	c.move(-time.Hour)
	if l.Visit("192.0.2.1") == 0 {
		t.Error("a clock that is put back gave a new share")
	}
	c.move(time.Minute)
	if n := spend(visit("192.0.2.1"), 1000); n < 59 {
		t.Errorf("a minute after the clock was put back: %d, want about 60", n)
	}
}

func TestOff(t *testing.T) {
	l := open(t, storetest.SQLite(t), newClock(), limit.Rates{Address: limit.Off})
	if n := spend(func() int64 { return l.Visit("192.0.2.1") }, 100_000); n != 100_000 {
		t.Errorf("refused after %d", n)
	}
	for _, r := range []limit.Rates{{Address: -2}, {Client: 10_000_001}} {
		if _, err := limit.New(limit.Config{Store: storetest.SQLite(t), Rates: r}); err == nil {
			t.Errorf("%+v was accepted", r)
		}
	}
}

// Whoever calls from ever new addresses fills no memory, and does not make the server
// forget who is held up.
func TestManyCallers(t *testing.T) {
	l := open(t, storetest.SQLite(t), newClock(), limit.Rates{Address: 60})
	busy := "198.51.100.1"
	spend(func() int64 { return l.Visit(busy) }, 1000)
	let := 0
	for i := range 300_000 {
		if l.Visit(fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff)) != 0 {
			t.Fatal("a quiet caller was refused")
		}
		if i%1000 == 0 && l.Visit(busy) == 0 {
			let++
		}
	}
	if held := l.Held(); held > 1<<16 {
		t.Errorf("%d callers are remembered, more than 65,536", held)
	}
	if let > 0 {
		t.Errorf("who is held up was forgotten, and let through %d times", let)
	}
}

// Several nodes that count together let through one share, and not one each: over
// their shares only by what each lets through before it has heard of the others.
func TestShare(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, c := t.Context(), newClock()
		const rate, nodes = 600, 3
		var all []*limit.Limits
		for range nodes {
			all = append(all, open(t, s, c, limit.Rates{Client: rate}))
		}
		share := func() {
			t.Helper()
			for range 2 { // who came first has to hear of who came last
				for _, l := range all {
					if err := l.Share(ctx); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		// A client spends a fifth at each, in ten steps.
		for range 10 {
			for _, l := range all {
				for range rate / 5 / 10 {
					if l.Client("shop", "192.0.2.1") != 0 {
						t.Fatal("refused although two fifths are left")
					}
				}
			}
			share()
		}
		if n := spend(func() int64 { return all[0].Client("shop", "192.0.2.1") }, 10*rate); n != rate*2/5 {
			t.Errorf("the first node lets through %d more, want what all together have left, %d", n, rate*2/5)
		}
		share()
		for i, l := range all {
			if l.Client("shop", "192.0.2.1") == 0 {
				t.Errorf("node %d lets through what the others have used up", i)
			}
		}
		// In the long run there is one rate: whatever they try, all nodes let
		// through what runs out.
		let := 0
		for range 60 {
			c.move(time.Second)
			for _, l := range all {
				let += spend(func() int64 { return l.Client("shop", "192.0.2.1") }, 10*rate)
			}
			share()
		}
		if most := rate + (nodes-1)*rate/60; let > most || let < rate*9/10 {
			t.Errorf("%d in a minute, want about %d and at most %d", let, rate, most)
		}
	})
}

// The bound that the manual tells: when all nodes are asked at once before any has
// heard of the others, each lets through its own share, and then nobody anything.
func TestShareBound(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newClock()
		a, b := open(t, s, c, limit.Rates{Address: 60}), open(t, s, c, limit.Rates{Address: 60})
		for _, l := range []*limit.Limits{a, b} {
			if n := spend(func() int64 { return l.Visit("192.0.2.1") }, 1000); n != 60 {
				t.Fatalf("%d, want 60", n)
			}
		}
		for _, l := range []*limit.Limits{a, b, a} {
			if err := l.Share(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		c.move(59 * time.Second)
		if a.Visit("192.0.2.1") == 0 || b.Visit("192.0.2.1") == 0 {
			t.Error("what two nodes let through at once takes two minutes to run out")
		}
		c.move(2 * time.Second)
		if a.Visit("192.0.2.1") != 0 {
			t.Error("after that it is let through again")
		}
	})
}

// Requests that are under way while a node shares, as they are when the database has
// stood still, are given back as well when it turns out who has sent them: an address
// behind which are many applications is not refused for what each has proven.
func TestGiveBackShared(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newClock()
		r := limit.Rates{Address: 60, Client: 6000}
		here, there := open(t, s, c, r), open(t, s, c, r)
		share := func() {
			t.Helper()
			for _, l := range []*limit.Limits{here, there, here} {
				if err := l.Share(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := spend(func() int64 { return here.Visit("192.0.2.1") }, 60); n != 60 {
			t.Fatalf("%d, want 60", n)
		}
		there.Visit("192.0.2.1")
		share()
		for range 60 {
			if here.Client("shop", "192.0.2.1") != 0 {
				t.Fatal("the client itself is refused")
			}
		}
		share()
		if n := spend(func() int64 { return here.Visit("192.0.2.1") }, 9); n != 9 {
			t.Errorf("%d, want 9", n)
		}
		share()
		if n := spend(func() int64 { return here.Visit("192.0.2.1") }, 1000); n < 49 || n > 51 {
			t.Errorf("here %d more are let through, want what is left, 50", n)
		}
	})
}

// Who is quiet has no row, and one that is there is swept.
func TestQuiet(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, c := t.Context(), newClock()
		l := open(t, s, c, limit.Rates{Address: 800})
		for i := range 500 {
			for range 90 {
				l.Visit(fmt.Sprintf("192.0.%d.%d", i/250, i%250))
			}
		}
		if err := l.Share(ctx); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Sweep(ctx, c.now().Add(24*time.Hour).Unix(), 0); err != nil || n.Rows != 0 {
			t.Errorf("%d rows of quiet callers, %v", n, err)
		}
		for range 100 {
			l.Visit("192.0.2.1")
		}
		if err := l.Share(ctx); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Sweep(ctx, c.now().Unix(), 0); err != nil || n.Rows != 0 {
			t.Errorf("a row that counts was swept: %d, %v", n, err)
		}
		if n, err := s.Sweep(ctx, c.now().Add(24*time.Hour).Unix(), 0); err != nil || n.Rows != 1 {
			t.Errorf("%d rows of the one busy caller, %v", n, err)
		}
		c.move(time.Hour)
		if err := l.Share(ctx); err != nil {
			t.Fatal(err)
		}
		if n := l.Held(); n != 0 {
			t.Errorf("%d callers are remembered an hour after the last request", n)
		}
	})
}

// While the database is away each node counts for itself.
func TestAway(t *testing.T) {
	c := newClock()
	s := storetest.SQLite(t)
	l := open(t, s, c, limit.Rates{Address: 60})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := spend(func() int64 { return l.Visit("192.0.2.1") }, 1000); n != 60 {
		t.Errorf("%d, want 60", n)
	}
	if err := l.Share(t.Context()); err == nil || l.Unshared() != 1 {
		t.Errorf("sharing failed, and nobody knows: %v, %d", err, l.Unshared())
	}
	c.move(30 * time.Second)
	if n := spend(func() int64 { return l.Visit("192.0.2.1") }, 1000); n != 30 {
		t.Errorf("half a minute later %d, want 30", n)
	}
}

// A clock that was an hour ahead does not hold anybody up when it is right again.
func TestClockAhead(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newClock()
		r := limit.Rates{Address: 60}
		wrong := open(t, s, c, r)
		c.move(time.Hour)
		spend(func() int64 { return wrong.Visit("192.0.2.1") }, 1000)
		if err := wrong.Share(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.move(-time.Hour)
		right := open(t, s, c, r)
		spend(func() int64 { return right.Visit("192.0.2.1") }, 30)
		if err := right.Share(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := spend(func() int64 { return right.Visit("192.0.2.1") }, 1000); n != 30 {
			t.Errorf("%d, want 30", n)
		}
	})
}

// Of many at once exactly as many are let through as there is room for.
func TestAtOnce(t *testing.T) {
	l := open(t, storetest.SQLite(t), newClock(), limit.Rates{Address: 1000})
	var let atomic.Int64
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 500 {
				if l.Visit("192.0.2.1") == 0 {
					let.Add(1)
				}
			}
		})
	}
	for range 20 {
		if err := l.Share(context.Background()); err != nil {
			t.Error(err)
		}
	}
	work.Wait()
	if let.Load() != 1000 {
		t.Errorf("%d were let through, want 1000", let.Load())
	}
}

// A caller is told of once in a minute.
func TestTold(t *testing.T) {
	var log bytes.Buffer
	c := newClock()
	l, err := limit.New(limit.Config{Store: storetest.SQLite(t), Rates: limit.Rates{Address: 10}, Now: c.now, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		l.Visit("192.0.2.1")
	}
	if n := strings.Count(log.String(), "192.0.2.1"); n == 0 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("the log: %s", log.String())
	}
	c.move(time.Minute)
	for range 100 {
		l.Visit("192.0.2.1")
	}
	if strings.Count(log.String(), "\n") != 2 {
		t.Errorf("the log a minute later: %s", log.String())
	}
}

func BenchmarkVisit(b *testing.B) {
	l, err := limit.New(limit.Config{Store: storetest.SQLite(b), Rates: limit.Rates{Address: 10_000_000}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Visit("192.0.2.1")
		}
	})
}
