package server_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// nodes starts servers on one PostgreSQL database. Each is reached at its own
// address; the issuer is that of the first.
func nodes(t *testing.T, n int) []*servertest.House {
	t.Helper()
	database, master := storetest.PostgresURL(t), model.NewSecret("")
	var all []*servertest.House
	for i := range n {
		h := servertest.Start(t, func(c *server.Config) {
			c.Database, c.MasterKey = database, master
			if i > 0 {
				c.Issuer = all[0].Issuer
			}
		})
		there := *h
		there.Issuer = "http://" + h.Addr().String()
		all = append(all, &there)
		if i == 0 {
			there.Issuer = h.Issuer
		}
	}
	return all
}

// TestFeedNodes: what one node ends reaches those who follow at another one, at once.
func TestFeedNodes(t *testing.T) {
	house := nodes(t, 2)
	token := follower(t, house[0], "orders", orders)
	there := following(t, house[1].Issuer, token)
	var slowest time.Duration
	for i := range 20 {
		name := fmt.Sprint("t", i)
		start := time.Now()
		revokeTokens(t, house[0], []string{orders}, name)
		if got := there.entries()[0]; got.Value != name {
			t.Fatalf("%v, want %s", got, name)
		}
		slowest = max(slowest, time.Since(start))
	}
	if slowest > 5*time.Second { // as a rule it is some milliseconds
		t.Errorf("it took up to %v", slowest)
	}
	// A place at one node is a place at the other.
	log := poll(t, house[0], token, "").Log
	if p := poll(t, house[1], token, "?after=19&log="+log); !p.Resumed || texts(p.Entries) != "token t19 policy" {
		t.Errorf("%+v", p)
	}
}

// TestFeedUnheard: what was written and not told, by another process beside SQLite
// or because a notification was lost, is found all the same, within a second.
func TestFeedUnheard(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		s := following(t, h.Issuer, follower(t, h, "orders", orders))
		driver, name := "pgx", h.Config.Database
		if name == "" {
			driver, name = "sqlite", "file:"+h.Config.Data+"/ostiary.db?_pragma=busy_timeout(10000)"
		}
		db, err := sql.Open(driver, name)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for range 3 {
			if _, err := db.ExecContext(t.Context(), `INSERT INTO revocations (kind, value, cut_off, cause, at, drop_at)
				VALUES ('token', 'unheard', 0, 'policy', 1, 9999999999)`); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if got := texts(s.entries()); got != "token unheard policy" { // for everybody, like all that was written before 0008
				t.Error(got)
			}
			if took := time.Since(start); took > 5*time.Second { // half a second, on a machine that has time
				t.Errorf("it took %v", took)
			}
		}
	})
}

// TestFeedShutdown: a server that stops does not wait for those who follow, and
// sends away who comes.
func TestFeedShutdown(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		token := follower(t, h, "orders", orders)
		s := following(t, h.Issuer, token)
		log := poll(t, h, token, "").Log
		waiting := make(chan int, 1)
		go func() {
			res, err := http.DefaultClient.Do(feedRequest(t, h.Issuer, token, "?wait=25&after=0&log="+log))
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
			waiting <- res.StatusCode
		}()
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		h.Restart()
		if took := time.Since(start); took > 8*time.Second {
			t.Errorf("it took %v", took)
		}
		if reason := s.ended(); reason != `{"reason":"stopping"}` {
			t.Error(reason)
		}
		if got := <-waiting; got != http.StatusServiceUnavailable {
			t.Errorf("who waited was told %d", got)
		}
		// The log is the same one, and the reader goes on in it.
		if p := poll(t, h, token, "?after=0&log="+log); !p.Resumed || p.Log != log {
			t.Errorf("%+v", p)
		}
		h.Feed.Stop()
		if a := servertest.Do(t, feedRequest(t, h.Issuer, token, "")); a.Status != 503 || a.Header.Get("Retry-After") == "" {
			t.Errorf("%d %s", a.Status, a.Text)
		}
	})
}

// TestFeedSlow: one that does not read holds up nobody: not those who end something,
// and not the others who follow.
func TestFeedSlow(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		token := follower(t, h, "orders", orders)
		conn, err := net.Dial("tcp", h.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.(*net.TCPConn).SetReadBuffer(4096)
		fmt.Fprintf(conn, "GET /revocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nAccept: text/event-stream\r\n\r\n", token)
		if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil { // it follows, and then reads no more
			t.Fatal(err)
		}
		s := following(t, h.Issuer, token)
		filler := []string{orders, strings.Repeat("x", 2000)}
		for i := range 40 {
			names := make([]string, 400)
			for j := range names {
				names[j] = strings.Repeat("y", 500) + fmt.Sprint(i*400+j)
			}
			revokeTokens(t, h, filler, names...)
			for n := 0; n < len(names); {
				n += len(s.entries())
			}
		}
		// Nobody waits for it when the server stops, either.
		start := time.Now()
		h.Restart()
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestFeedOrder: of what many end at once, everything arrives, once, in order.
func TestFeedOrder(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		token := follower(t, h, "orders", orders)
		tails := []*stream{following(t, h.Issuer, token), following(t, h.Issuer, token)}
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() { revokeTokens(t, h, []string{orders}, fmt.Sprint("t", i)) })
		}
		all.Wait()
		for _, s := range tails {
			seen, last := map[string]bool{}, int64(0)
			for len(seen) < 100 {
				for _, e := range s.entries() {
					if e.Sequence <= last || seen[e.Value] {
						t.Fatalf("%v came after %d", e, last)
					}
					last, seen[e.Value] = e.Sequence, true
				}
			}
		}
	})
}

// TestFeedOutlivesTimeouts: the times that a request and an answer may take are not
// for those who follow.
func TestFeedOutlivesTimeouts(t *testing.T) {
	h := servertest.Start(t)
	hasty := httptest.NewUnstartedServer(h.Handler())
	hasty.Config.ReadTimeout, hasty.Config.WriteTimeout = 500*time.Millisecond, 500*time.Millisecond
	hasty.Start()
	defer hasty.Close()
	token := follower(t, h, "orders", orders)
	s := following(t, hasty.URL, token)
	start := time.Now()
	s.next("beat")
	s.next("beat")
	if time.Since(start) < 1500*time.Millisecond {
		t.Error("the beats are too fast for this test")
	}
	log := poll(t, h, token, "").Log
	res, err := http.DefaultClient.Do(feedRequest(t, hasty.URL, token, "?wait=2&after=0&log="+log))
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%v %v", res, err)
	}
	res.Body.Close()
	s.cancel()
}

// gate is the way to PostgreSQL, which can be shut.
type gate struct {
	net.Listener
	to string

	mu    sync.Mutex
	shut  bool
	conns map[net.Conn]bool
}

// newGate returns a gate and the address of the database behind it.
func newGate(t *testing.T, database string) (*gate, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	to := u.Host
	if host := q.Get("host"); host != "" {
		t.Fatalf("the tests' PostgreSQL is at %s, and this one needs it on TCP", host)
	}
	g := &gate{to: to, conns: map[net.Conn]bool{}}
	if g.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Listener.Close(); g.set(true) })
	go func() {
		for {
			in, err := g.Accept()
			if err != nil {
				return
			}
			go g.pass(in)
		}
	}()
	u.Host = g.Addr().String()
	return g, u.String()
}

func (g *gate) pass(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", g.to)
	if err != nil {
		return
	}
	defer out.Close()
	g.mu.Lock()
	if g.shut {
		g.mu.Unlock()
		return
	}
	g.conns[in], g.conns[out] = true, true
	g.mu.Unlock()
	go func() { io.Copy(out, in); out.Close() }()
	io.Copy(in, out)
}

// set shuts the gate, which ends all who are passing, or opens it.
func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for c := range g.conns {
			c.Close()
		}
		clear(g.conns)
	}
}

// TestFeedDatabaseAway: a node that cannot read its database says nothing, so that
// nobody takes its silence for "nothing has happened"; and it tells what happened
// meanwhile when it can read again.
func TestFeedDatabaseAway(t *testing.T) {
	direct := storetest.PostgresURL(t)
	g, through := newGate(t, direct)
	h := servertest.Start(t, func(c *server.Config) { c.Database, c.DatabaseWait = through, 3*time.Second })
	token := follower(t, h, "orders", orders)
	s := following(t, h.Issuer, token)
	s.next("beat")
	g.set(true)
	shut := time.Now()
	time.Sleep(3500 * time.Millisecond) // what was known counts as current for two seconds
	for len(s.messages) > 0 {
		<-s.messages
	}
	select {
	case m, ok := <-s.messages:
		t.Errorf("%v %v", m, ok)
	case <-time.After(3 * time.Second): // in which a beat would have come
	}
	if a := servertest.Do(t, feedRequest(t, h.Issuer, token, "")); a.Status != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	other := storetest.Open(t, direct)
	err := other.Upkeep(context.Background(), func(tx *store.Tx) error {
		return errors.Join(tx.RevokeToken("meanwhile", []string{orders}, store.Ending{Cause: model.CausePolicy, DropAt: 1 << 40}))
	})
	if err != nil {
		t.Fatal(err)
	}
	g.set(false)
	if got := texts(s.entries()); got != "token meanwhile policy" {
		t.Error(got)
	}
	s.next("beat")
	t.Logf("away for %v", time.Since(shut))
	eventually(t, "the operator is told", func() bool { // who follows is told first
		return strings.Contains(h.Log.String(), "the revocation log cannot be read now") && strings.Contains(h.Log.String(), "can be read again")
	})
}

// TestFeedAnotherLog: after a backup was restored, the log has another name, and who
// followed the old one is let go.
func TestFeedAnotherLog(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		token := follower(t, h, "orders", orders)
		revokeTokens(t, h, nil, "a")
		known(t, h)
		s := following(t, h.Issuer, token)
		log := poll(t, h, token, "").Log
		change(t, h, func(tx *store.Tx) error { return tx.PutSetting("revocation_log", "renamed") })
		if reason := s.ended(); reason != `{"reason":"stopping"}` {
			t.Error(reason)
		}
		if p := poll(t, h, token, "?after=1&log="+log); !strings.HasPrefix(p.Log, "renamed.") || p.Resumed || texts(p.Entries) != "token a policy" {
			t.Errorf("%+v", p)
		}
	})
}

// TestFeedClocksOfNodes: the clocks of nodes may be ten seconds apart (docs/operate.md). What
// was issued by the one that is ahead is put out by the one that is not.
func TestFeedClocksOfNodes(t *testing.T) {
	house := nodes(t, 2)
	here, ahead := house[0], house[1]
	ahead.Clock.Move(4 * time.Second)
	here.User("olena", password)
	shop, secret := here.Client("shop", with(web, func(s *model.ClientSettings) { s.Audiences = []string{orders} }))
	told := following(t, here.Issuer, follower(t, here, "orders", orders))
	claims := signedIn(t, ahead, shop, secret)
	u, err := here.Accounts.ByLogin(t.Context(), "olena")
	if err != nil {
		t.Fatal(err)
	}
	if err := here.Accounts.Lock(t.Context(), servertest.Operator, u.ID); err != nil {
		t.Fatal(err)
	}
	issued := int64(claims["iat"].(float64))
	for _, e := range told.entries() {
		if e.Kind == "subject" && e.Value == claims["sub"] && e.CutOff != nil && *e.CutOff >= issued {
			return
		}
		t.Logf("told: %s %s; the token is of %d", e.Kind, e.Value, issued)
	}
	t.Error("nothing puts out the token of a person who is locked")
}
