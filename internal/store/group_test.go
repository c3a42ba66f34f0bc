package store

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A commit that fails fails for everybody in the batch, and the next one finds
// the database as it was before.
func TestBrokenBatch(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(*Tx) error
		says  string // what each of them is told
	}{
		{"the connection is lost", func(tx *Tx) error {
			return tx.q.(*conn).Close()
		}, ""},
		{"the transaction is gone", func(tx *Tx) error {
			_, err := tx.q.exec(tx.ctx, "ROLLBACK", nil)
			return err
		}, ""},
		{"the disk is full", func(tx *Tx) error {
			if _, err := tx.q.exec(tx.ctx, "PRAGMA max_page_count = 1", nil); err != nil {
				return err
			}
			_, err := tx.exec(`INSERT INTO settings (name, value) VALUES ('big', hex(zeroblob(1000000)))`)
			return err
		}, "full"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := Open(t.Context(), Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "x.db")})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()

			var all sync.WaitGroup
			var failed atomic.Int32
			begun, free := make(chan struct{}), make(chan struct{})
			run := func(fn func(*Tx) error) {
				all.Go(func() {
					if err := s.Upkeep(context.Background(), fn); err != nil {
						failed.Add(1)
						if row.says != "" && !strings.Contains(err.Error(), row.says) {
							t.Errorf("it says %q, and nothing of %q", err, row.says)
						}
					}
				})
			}
			run(func(tx *Tx) error {
				s.dialect.(*sqlite).writer.batch.until = time.Now().Add(time.Minute) // the second is to come into it
				close(begun)
				<-free
				return tx.PutSetting("first", "1")
			})
			<-begun
			var spoiled *conn
			run(func(tx *Tx) error {
				spoiled = tx.q.(*conn)
				return row.spoil(tx)
			})
			waiting := func() bool {
				w := &s.dialect.(*sqlite).writer
				w.mu.Lock()
				defer w.mu.Unlock()
				return len(w.queue) > 0
			}
			for !waiting() {
				time.Sleep(time.Millisecond)
			}
			close(free)
			all.Wait()

			kept := func(name string) bool {
				err := s.View(t.Context(), func(tx *Tx) error {
					_, err := tx.Setting(name)
					return err
				})
				if err != nil && !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
				return err == nil
			}
			// All or nothing, and nobody is told otherwise.
			lost := failed.Load() == 2
			if lost == kept("first") {
				t.Errorf("%d failed, first is kept: %v", failed.Load(), kept("first"))
			}
			if lost && s.dialect.(*sqlite).writer.conn == spoiled {
				t.Error("the connection is used again, with what was gathered of a transaction that is undone")
			}
			if failed.Load() == 0 {
				t.Error("nobody failed")
			}
			if err := s.Upkeep(t.Context(), func(tx *Tx) error { return tx.PutSetting("next", "1") }); err != nil || !kept("next") {
				t.Errorf("the next one: %v", err)
			}
		})
	}
}

// A batch is bounded: the first does not wait for a queue without end.
func TestBatchIsBounded(t *testing.T) {
	s, err := Open(t.Context(), Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "x.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var all sync.WaitGroup
	var largest atomic.Int64
	for range maxBatch + 50 {
		all.Go(func() {
			err := s.Upkeep(context.Background(), func(tx *Tx) error {
				size := int64(s.dialect.(*sqlite).writer.batch.size)
				largest.Store(max(largest.Load(), size)) // one at a time has the turn
				return tx.PutSetting("x", "1")
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := largest.Load(); n < 2 || n > maxBatch {
		t.Errorf("the largest batch had %d members", n)
	}
}

// Where one of a batch fails who has changed something, it is undone and the others are
// there: they run once more, and nobody a third time. Where one has changed nothing,
// nobody runs again. The connection stays.
func TestBatchAgain(t *testing.T) {
	stop := errors.New("stop")
	for _, row := range []struct {
		name  string
		fails func(*Tx) error
		runs  int32 // of each of the others
	}{
		{"it has changed something", func(tx *Tx) error { return cmp.Or(tx.PutSetting("fails", "1"), stop) }, 2},
		{"it has changed nothing", func(tx *Tx) error { return stop }, 1},
		{"it was to change what is not there", func(tx *Tx) error {
			return cmp.Or(tx.must(`UPDATE settings SET value = '' WHERE name = 'nothing'`), stop)
		}, 1},
		{"it panics", func(tx *Tx) error {
			if err := tx.PutSetting("fails", "1"); err != nil {
				return err
			}
			panic(stop)
		}, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := Open(t.Context(), Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "x.db")})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			write(t, s, func(tx *Tx) error { return tx.PutSetting("before", "1") })
			g := &s.dialect.(*sqlite).writer
			before := g.conn

			const n = 9 // the one in the middle fails
			var all sync.WaitGroup
			var runs [n]atomic.Int32
			if err := g.take(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				all.Go(func() {
					defer func() {
						if r := recover(); r != nil && r != stop {
							panic(r)
						}
					}()
					err := s.Upkeep(context.Background(), func(tx *Tx) error {
						g.batch.until = time.Now().Add(time.Minute) // all are to come into it
						runs[i].Add(1)
						if i == n/2 {
							return row.fails(tx)
						}
						return tx.PutSetting(strconv.Itoa(i), "1")
					})
					if i != n/2 && err != nil {
						t.Errorf("number %d: %v", i, err)
					}
					if i == n/2 && err == nil {
						t.Error("the one that fails does not")
					}
				})
				for waiting := 0; waiting <= i; { // so that they stand in their order
					g.mu.Lock()
					waiting = len(g.queue)
					g.mu.Unlock()
					runtime.Gosched()
				}
			}
			g.pass()
			all.Wait()

			for i := range n {
				if ran := runs[i].Load(); ran > 2 || i < n/2 && ran != row.runs {
					t.Errorf("number %d ran %d times", i, ran)
				}
				err := s.View(t.Context(), func(tx *Tx) error { _, err := tx.Setting(strconv.Itoa(i)); return err })
				if i != n/2 && err != nil {
					t.Errorf("of number %d is left: %v", i, err)
				}
			}
			err = s.View(t.Context(), func(tx *Tx) error { _, err := tx.Setting("fails"); return err })
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("of the one that failed is left: %v", err)
			}
			if g.conn != before {
				t.Error("the connection is another one")
			}
		})
	}
}

// Whoever is inside when the store is closed gets done, also what has to be done again.
func TestCloseAwaitsWhoIsAgain(t *testing.T) {
	c := Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "x.db")}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	g := &s.dialect.(*sqlite).writer
	locked := func(is func() bool) {
		for done := false; !done; runtime.Gosched() {
			g.mu.Lock()
			done = is()
			g.mu.Unlock()
		}
	}
	if err := g.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var runs atomic.Int32
	stop := errors.New("stop")
	for i, want := range []error{nil, stop} {
		all.Go(func() {
			err := s.Upkeep(context.Background(), func(tx *Tx) error {
				g.batch.until = time.Now().Add(time.Minute)
				runs.Add(1)
				return cmp.Or(tx.PutSetting(strconv.Itoa(i), "1"), want)
			})
			if !errors.Is(err, want) {
				t.Errorf("number %d: %v", i, err)
			}
		})
		locked(func() bool { return len(g.queue) == i+1 })
	}
	all.Go(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	locked(func() bool { return g.closed })
	g.pass()
	all.Wait()
	if n := runs.Load(); n != 4 {
		t.Errorf("they ran %d times, want each twice", n)
	}
	if s, err = Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, want := range []error{nil, ErrNotFound} {
		err := s.View(t.Context(), func(tx *Tx) error { _, err := tx.Setting(strconv.Itoa(i)); return err })
		if !errors.Is(err, want) {
			t.Errorf("of number %d is left: %v", i, err)
		}
	}
}

// Who is about to come when the last of a batch is done shares its commit.
func TestBatchAwaitsWhoComes(t *testing.T) {
	s, err := Open(t.Context(), Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "x.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that the second runs when the first lets it
	for range 20 {
		var second sync.WaitGroup
		err := s.Upkeep(t.Context(), func(tx *Tx) error {
			second.Go(func() {
				err := s.Upkeep(context.Background(), func(tx *Tx) error {
					if size := s.dialect.(*sqlite).writer.batch.size; size != 2 {
						t.Errorf("the second is number %d of its batch", size)
					}
					return tx.PutSetting("second", "1")
				})
				if err != nil {
					t.Error(err)
				}
			})
			return tx.PutSetting("first", "1")
		})
		if err != nil {
			t.Fatal(err)
		}
		second.Wait()
	}
}

// What a client was told is done is on the disk, and whoever writes next waits
// for another process.
func TestPragmas(t *testing.T) {
	s, err := Open(t.Context(), Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "x.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, want := range map[string][2]string{ // of the writer, of the readers
		"journal_mode": {"wal", "wal"},
		"synchronous":  {"2", "2"}, // FULL
		"foreign_keys": {"1", "1"},
		"busy_timeout": {"10000", "10000"},
		"query_only":   {"0", "1"},
	} {
		for i, run := range []func(context.Context, func(*Tx) error) error{s.Upkeep, s.View} {
			err := run(t.Context(), func(tx *Tx) error {
				got, err := one(tx, scanString, "PRAGMA "+name)
				if got != want[i] {
					t.Errorf("%s is %q, want %q", name, got, want[i])
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
}

// Where one reads at a time, one connection is opened, and the writer's; and a file may
// be closed while it is looked through.
func TestFewConnections(t *testing.T) {
	c := Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "x.db")}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, func(tx *Tx) error { return tx.PutSetting("x", strings.Repeat("x", 4<<20)) }) // to have something to look through
	for range 20 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	defer s.Close()
	for range 10 {
		for _, run := range []func(context.Context, func(*Tx) error) error{s.Ask, s.View, s.Upkeep} {
			if err := run(t.Context(), func(tx *Tx) error { _, err := tx.Setting("x"); return err }); err != nil {
				t.Fatal(err)
			}
		}
	}
	if p := s.Pool(); p.Open != 2 || p.Busy != 0 {
		t.Errorf("%d connections are open, %d busy", p.Open, p.Busy)
	}
	if n := s.dialect.(*sqlite).readers.length(); n != 1 {
		t.Errorf("%d connections to read with", n)
	}
}
