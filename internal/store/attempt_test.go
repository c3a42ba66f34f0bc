package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// behind opens a store on PostgreSQL behind a proxy.
func behind(t *testing.T, c store.Config) (*store.Store, *storetest.Proxy) {
	t.Helper()
	u, err := url.Parse(storetest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("application_name", "test-"+rand.Text()) // to tell its connections by
	u.RawQuery = q.Encode()
	p := storetest.NewProxy(t, u.String())
	c.URL = p.URL
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	eventually(t, func() error { return s.Upkeep(t.Context(), put("warm")) }) // a busy machine may not connect in time
	return s, p
}

// patient is a store that waits as long as a busy machine takes.
var patient = store.Config{Wait: time.Minute}

const commit, begin = "COMMIT\x00", "BEGIN ISOLATION LEVEL SERIALIZABLE"

// A transaction whose connection is lost before the commit runs again, and is done once.
func TestLostBeforeCommit(t *testing.T) {
	for _, row := range []struct {
		name string
		lose func(t *testing.T, p *storetest.Proxy)
		runs int32 // of the function
	}{
		{"at its beginning", func(_ *testing.T, p *storetest.Proxy) { p.Once(3, begin, storetest.Cut) }, 4},
		{"in its midst", func(_ *testing.T, p *storetest.Proxy) { p.Once(2, "INSERT INTO settings", storetest.Cut) }, 3},
		{"in its midst, after the statement was run", func(_ *testing.T, p *storetest.Proxy) { p.Once(2, "INSERT INTO settings", storetest.Swallow) }, 3},
		{"25006: the server takes no writes any more", func(_ *testing.T, p *storetest.Proxy) {
			first := true
			p.Rule(func(sent []byte) storetest.Fate {
				if i := bytes.Index(sent, []byte(begin)); i >= 0 && first {
					first = false
					copy(sent[i:], "BEGIN READ ONLY                   ")
				}
				return storetest.Pass
			})
		}, 2},
		{"57P01: the server stops", func(t *testing.T, p *storetest.Proxy) {
			first := true
			p.Rule(func(sent []byte) storetest.Fate {
				if first && bytes.Contains(sent, []byte("INSERT INTO settings")) {
					first = false
					end(t, p.URL)
				}
				return storetest.Pass
			})
		}, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, p := behind(t, patient)
			row.lose(t, p)
			var runs atomic.Int32
			upkeep(t, s, func(tx *store.Tx) error {
				runs.Add(1)
				if _, err := tx.CountUsers(); err != nil { // the transaction has begun before it writes
					return err
				}
				return errors.Join(tx.InsertSetting("a", "1"), tx.Record(event))
			})
			equal(t, runs.Load(), row.runs)
			equal(t, setting(t, s, "a"), "1")
		})
	}
}

// end ends the connections of a store that are at work.
func end(t *testing.T, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	err = raw(t, os.Getenv("OSTIARY_TEST_POSTGRES")).QueryRowContext(context.Background(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE state <> 'idle' AND application_name = $1`, u.Query().Get("application_name")).Scan(&n)
	if err != nil || n == 0 {
		t.Errorf("ended %d connections: %v", n, err)
	}
}

// A commit whose answer is lost is told of as what it is, and never tried again: it
// may have happened.
func TestDoubt(t *testing.T) {
	for _, row := range []struct {
		name string
		fate storetest.Fate
		want string
	}{
		{"it has happened", storetest.Swallow, "1"},
		{"it has not", storetest.Cut, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, p := behind(t, patient)
			p.Once(1, commit, row.fate)
			var runs atomic.Int32
			fails(t, s, store.ErrDoubt, func(tx *store.Tx) error {
				runs.Add(1)
				return tx.PutSetting("a", "1")
			})
			equal(t, runs.Load(), int32(1))
			// The commit that was sent is done at its own time.
			for until := time.Now().Add(time.Minute); setting(t, s, "a") != row.want && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
			}
			equal(t, setting(t, s, "a"), row.want)
			p.Once(1, commit, row.fate)
			view(t, s, func(tx *store.Tx) error { // of which nobody is in doubt
				_, err := tx.CountUsers()
				return err
			})
		})
	}
}

// A database that is away for a moment is waited for, as in a failover.
func TestFailover(t *testing.T) {
	s, p := behind(t, patient)
	p.Close()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := s.Upkeep(context.Background(), put(number("n", i))); err != nil {
				t.Error(err)
			}
			if err := s.Ping(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	p.Open(t)
	all.Wait()
	for i := range 8 {
		equal(t, setting(t, s, number("n", i)), "1")
	}
}

// A database that stays away is waited for once; then whoever asks is told at once, and
// nothing has to be done when it is back.
func TestAway(t *testing.T) {
	s, p := behind(t, store.Config{Wait: 500 * time.Millisecond})
	p.Close()
	for range 2 {
		fails(t, s, store.ErrAway, put("a"))
		if err := s.Ping(t.Context()); !errors.Is(err, store.ErrAway) {
			t.Errorf("ping: %v", err)
		}
	}
	const asked = 100
	start := time.Now()
	for range asked {
		fails(t, s, store.ErrAway, put("a"))
	}
	// To wait each time would take fifty seconds.
	if took := time.Since(start); took > asked*100*time.Millisecond {
		t.Errorf("%d refusals took %v", asked, took)
	}
	p.Open(t)
	eventually(t, func() error { return s.Upkeep(t.Context(), put("a")) })
	upkeep(t, s, put("b"))
}

// A database that is there and says nothing any more holds up nobody for long.
func TestFrozen(t *testing.T) {
	const short = 300 * time.Millisecond
	s, p := behind(t, store.Config{Wait: short, Statement: short})
	p.Rule(func([]byte) storetest.Fate { return storetest.Hold })
	for range 3 {
		start := time.Now()
		err := s.Upkeep(t.Context(), put("a"))
		if !errors.Is(err, store.ErrAway) && !errors.Is(err, store.ErrBusy) {
			t.Errorf("got error %v", err)
		}
		// A statement, a connection, and a second for the network. Without bounds it
		// would be for ever.
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("it took %v", took)
		}
	}
	p.Rule(nil)
	eventually(t, func() error { return s.Upkeep(t.Context(), put("b")) })
	equal(t, setting(t, s, "a"), "")
}

// A commit that is not answered is given up at some time, and in doubt.
func TestFrozenCommit(t *testing.T) {
	s, p := behind(t, store.Config{Wait: time.Minute, Statement: 300 * time.Millisecond})
	p.Once(1, commit, storetest.Hold)
	fails(t, s, store.ErrDoubt, put("a"))
	equal(t, setting(t, s, "a"), "")
}

// eventually waits for something to work.
func eventually(t *testing.T, works func() error) {
	t.Helper()
	err := works()
	for until := time.Now().Add(time.Minute); err != nil && time.Now().Before(until); err = works() {
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Error(err)
	}
}

// 57P03: a server that is starting is waited for.
func TestStarting(t *testing.T) {
	p := storetest.NewProxy(t, storetest.PostgresURL(t))
	s, err := store.Open(t.Context(), store.Config{URL: p.URL, Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	upkeep(t, s, put("warm"))
	p.Starting(3)
	upkeep(t, s, put("a"))
	equal(t, setting(t, s, "a"), "1")
}

// The pool has as many connections as is said, whatever is asked of it, and whoever
// gets none in time is told.
func TestConnections(t *testing.T) {
	s, p := behind(t, store.Config{Connections: 3, Wait: 300 * time.Millisecond})
	free := make(chan struct{})
	var inside, all sync.WaitGroup
	for range 3 {
		inside.Add(1)
		all.Go(func() {
			in := sync.OnceFunc(inside.Done)
			eventually(t, func() error { // to connect may take longer than that
				return s.View(context.Background(), func(tx *store.Tx) error {
					_, err := tx.CountUsers()
					in()
					<-free
					return err
				})
			})
		})
	}
	inside.Wait()
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrBusy) {
		t.Errorf("got error %v, want %v", err, store.ErrBusy)
	}
	var n int
	u, _ := url.Parse(p.URL)
	err := raw(t, os.Getenv("OSTIARY_TEST_POSTGRES")).QueryRow(`SELECT count(*) FROM pg_stat_activity WHERE application_name = $1`, u.Query().Get("application_name")).Scan(&n)
	if err != nil || n != 3 {
		t.Errorf("%d connections, %v", n, err)
	}
	close(free)
	all.Wait()
	eventually(t, func() error { return s.Ping(t.Context()) })
}

// What goes with the commit is prepared before it, where the connection does not know it
// yet: if it is lost then, nothing was committed, and nobody is in doubt.
func TestLostBeforeCommitIsSent(t *testing.T) {
	s, p := behind(t, patient)
	furnish(t, s)
	p.Once(2, "INSERT INTO grants", storetest.Cut)
	var runs atomic.Int32
	upkeep(t, s, func(tx *store.Tx) error {
		runs.Add(1)
		return tx.InsertGrant(model.Grant{ID: "g", UserID: "ann", ClientID: "shop", ExpiresAt: future})
	})
	equal(t, runs.Load(), int32(3))
	view(t, s, func(tx *store.Tx) error {
		_, err := tx.Grant("g")
		return err
	})
}

// An address that says that statements take as long as they take is heeded: to end all
// there is after a restore takes longer than anything else.
func TestStatementWithoutLimit(t *testing.T) {
	u, err := url.Parse(storetest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("statement_timeout", "0")
	u.RawQuery = q.Encode()
	s, err := store.Open(t.Context(), store.Config{URL: u.String(), Wait: time.Minute, Statement: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// Longer than that and what the network may add.
	if done, err := store.AskText(t.Context(), s, `SELECT 'done' || CAST(pg_sleep(1.5) AS TEXT)`); err != nil || done != "done" {
		t.Errorf("%q %v", done, err)
	}
}
