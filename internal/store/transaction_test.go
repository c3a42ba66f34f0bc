package store_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

func setting(t *testing.T, s *store.Store, name string) string {
	t.Helper()
	return read(t, s, func(tx *store.Tx) (string, error) {
		value, err := tx.Setting(name)
		if errors.Is(err, store.ErrNotFound) {
			return "", nil
		}
		return value, err
	})
}

func put(name string) func(*store.Tx) error {
	return func(tx *store.Tx) error { return tx.PutSetting(name, "1") }
}

func TestAudited(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for _, row := range []struct {
			name string
			fn   func(*store.Tx) error
			want error
		}{
			{"changes and records nothing", put("a"), store.ErrUnaudited},
			{"changes and records", func(tx *store.Tx) error { return errors.Join(tx.PutSetting("b", "1"), tx.Record(event)) }, nil},
			{"records first", func(tx *store.Tx) error { return errors.Join(tx.Record(event), tx.PutSetting("c", "1")) }, nil},
			{"reads only", func(tx *store.Tx) error { _, err := tx.CountUsers(); return err }, nil},
			{"finds nothing to change", func(tx *store.Tx) error {
				if err := tx.DeleteRequest("none"); !errors.Is(err, store.ErrNotFound) {
					return errors.New("deleted")
				}
				_, _, err := tx.RedeemCode("none", 1)
				if !errors.Is(err, store.ErrNotFound) {
					return errors.New("redeemed")
				}
				return nil
			}, nil},
			{"fails before it records", func(tx *store.Tx) error {
				return errors.Join(tx.PutSetting("d", "1"), store.ErrNotFound)
			}, store.ErrNotFound},
		} {
			t.Run(row.name, func(t *testing.T) {
				if err := s.Update(t.Context(), row.fn); !errors.Is(err, row.want) {
					t.Errorf("got error %v, want %v", err, row.want)
				}
			})
		}
		for name, want := range map[string]string{"a": "", "b": "1", "c": "1", "d": ""} {
			equal(t, setting(t, s, name), want)
		}
	})
}

func TestViewCannotWrite(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		people(t, s)
		before := living(t, s)
		for name, write := range map[string]func(*store.Tx) error{
			"insert": func(tx *store.Tx) error { return tx.InsertUser(model.User{ID: "x", Login: "x"}) },
			"update": func(tx *store.Tx) error { return tx.SetPassword("ann", "x", 1) },
			"delete": func(tx *store.Tx) error { return tx.DeleteUser("ann") },
			"upsert": put("a"),
			"record": func(tx *store.Tx) error { return tx.Record(event) },
			"end":    func(tx *store.Tx) error { return tx.EndUser("ann", store.Ending{At: 1}) },
			"redeem": func(tx *store.Tx) error { _, _, err := tx.RedeemCode("x", 1); return err },
		} {
			if err := s.View(t.Context(), write); !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("%s: got error %v, want %v", name, err, store.ErrReadOnly)
			}
		}
		equal(t, living(t, s), before)
	})
}

func TestViewIsOneState(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		upkeep(t, s, func(tx *store.Tx) error { return tx.PutSetting("a", "old") })
		view(t, s, func(tx *store.Tx) error {
			for range 2 {
				value, err := tx.Setting("a")
				if err != nil || value != "old" {
					t.Errorf("got %q, %v", value, err)
				}
				written := make(chan error)
				go func() { // a writer does not wait for a reader
					written <- s.Upkeep(context.Background(), func(tx *store.Tx) error { return tx.PutSetting("a", "new") })
				}()
				if err := <-written; err != nil {
					t.Error(err)
				}
			}
			return nil
		})
		equal(t, setting(t, s, "a"), "new")
	})
}

// A statement that failed undoes the transaction on either database, even if
// the function has overlooked it.
func TestOverlookedFailure(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error {
			if err := tx.PutSetting("a", "1"); err != nil {
				return err
			}
			if err := tx.UpdateUser(model.User{ID: "ann", Login: "bob"}); err == nil {
				t.Error("no conflict")
			}
			if err := tx.PutSetting("b", "1"); !errors.Is(err, store.ErrConflict) {
				t.Errorf("after a failure: got error %v", err)
			}
			return nil
		})
		equal(t, setting(t, s, "a"), "")
	})
}

func TestTxAfterItsEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var kept *store.Tx
		for _, run := range []func(context.Context, func(*store.Tx) error) error{s.View, s.Update, s.Upkeep} {
			if err := run(t.Context(), func(tx *store.Tx) error { kept = tx; return nil }); err != nil {
				t.Fatal(err)
			}
			if _, err := kept.CountUsers(); !errors.Is(err, store.ErrClosed) {
				t.Errorf("got error %v, want %v", err, store.ErrClosed)
			}
		}
	})
}

func TestPanicUndoes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		thrown := errors.New("thrown")
		for name, run := range map[string]func(context.Context, func(*store.Tx) error) error{"update": s.Update, "view": s.View} {
			func() {
				defer func() {
					if r := recover(); r != thrown {
						t.Errorf("%s: recovered %v", name, r)
					}
				}()
				run(t.Context(), func(tx *store.Tx) error {
					tx.PutSetting("a", "1")
					panic(thrown)
				})
			}()
		}
		left := make(chan struct{})
		go func() {
			defer close(left)
			s.Upkeep(context.Background(), func(tx *store.Tx) error {
				tx.PutSetting("a", "1")
				runtime.Goexit() // what t.FailNow does
				return nil
			})
		}()
		<-left
		equal(t, setting(t, s, "a"), "")
		upkeep(t, s, put("a"))
		equal(t, setting(t, s, "a"), "1")
	})
}

// held runs fn while another transaction is at work, so that those that fn
// starts wait together.
func held(t *testing.T, s *store.Store, fn func()) {
	t.Helper()
	begun, free, done := make(chan struct{}), make(chan struct{}), make(chan error)
	var once sync.Once // the transaction may run twice
	go func() {
		done <- s.Upkeep(context.Background(), func(tx *store.Tx) error {
			err := tx.PutSetting("holder", "1")
			once.Do(func() { close(begun) })
			<-free
			return err
		})
	}()
	<-begun
	fn()
	close(free)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNeighbours(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		const n = 40
		stop := errors.New("stop")
		var all sync.WaitGroup
		held(t, s, func() {
			for i := range n {
				all.Go(func() {
					defer func() { recover() }()
					err := s.Upkeep(context.Background(), func(tx *store.Tx) error {
						if err := tx.PutSetting(number("n", i), "1"); err != nil {
							return err
						}
						switch i % 4 {
						case 1:
							return stop
						case 2:
							panic(stop)
						case 3: // fails in the database
							return tx.UpdateUser(model.User{ID: "ann", Login: "bob"})
						}
						return nil
					})
					if want := []error{nil, stop, nil, store.ErrConflict}[i%4]; !errors.Is(err, want) {
						t.Errorf("%d: got error %v, want %v", i, err, want)
					}
				})
			}
			time.Sleep(20 * time.Millisecond) // so that they stand in the queue
		})
		all.Wait()
		for i := range n {
			want := ""
			if i%4 == 0 {
				want = "1"
			}
			if got := setting(t, s, number("n", i)); got != want {
				t.Errorf("%d left %q, want %q", i, got, want)
			}
		}
	})
}

func TestCancelledBeforeItsTurn(t *testing.T) {
	s := storetest.SQLite(t) // PostgreSQL has no turns
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error)
	held(t, s, func() {
		go func() { results <- s.Upkeep(ctx, put("cancelled")) }()
		time.Sleep(10 * time.Millisecond)
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) { // at once, not when it is its turn
			t.Errorf("got error %v", err)
		}
		go func() { results <- s.Upkeep(t.Context(), put("next")) }()
		time.Sleep(10 * time.Millisecond)
	})
	if err := <-results; err != nil {
		t.Error(err)
	}
	equal(t, setting(t, s, "cancelled"), "")
	equal(t, setting(t, s, "next"), "1")
}

// Whoever is cancelled at any moment leaves no batch without its commit.
func TestCancelledAtAnyMoment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var kept sync.Map
		race(t, 16, nil, func(i int) error {
			for n := range 30 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n*i)*20*time.Microsecond)
				name := number(number("n", i), n)
				if err := s.Upkeep(ctx, put(name)); err == nil {
					kept.Store(name, true)
				}
				cancel()
			}
			return nil
		})
		// PostgreSQL still closes the connections that were cut off, and may let a
		// new one wait on a busy machine.
		err := s.Upkeep(t.Context(), put("last"))
		for deadline := time.Now().Add(time.Minute); err != nil && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			err = s.Upkeep(t.Context(), put("last"))
		}
		if err != nil {
			t.Fatal(err)
		}
		kept.Range(func(name, _ any) bool {
			equal(t, setting(t, s, name.(string)), "1")
			return true
		})
	})
}

func TestCancelledContext(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, run := range []func(context.Context, func(*store.Tx) error) error{s.View, s.Update, s.Upkeep} {
			err := run(ctx, func(*store.Tx) error {
				t.Error("fn ran")
				return nil
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got error %v", err)
			}
		}
	})
}

func TestCloseWaits(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url)
		var done sync.Map
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			time.Sleep(5 * time.Millisecond)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		race(t, 16, nil, func(i int) error {
			for n := 0; ; n++ {
				name := number(number("n", i), n)
				if err := s.Upkeep(context.Background(), put(name)); err != nil {
					return nil
				}
				done.Store(name, true)
			}
		})
		<-closed
		for name, run := range map[string]func(context.Context, func(*store.Tx) error) error{"View": s.View, "Update": s.Update, "Upkeep": s.Upkeep} {
			if err := run(t.Context(), func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
				t.Errorf("%s after Close: %v", name, err)
			}
		}
		if err := s.Ping(t.Context()); !errors.Is(err, store.ErrClosed) {
			t.Errorf("Ping after Close: %v", err)
		}

		again := storetest.Open(t, url)
		done.Range(func(name, _ any) bool {
			equal(t, setting(t, again, name.(string)), "1")
			return true
		})
	})
}

// Two processes, such as the server and a command, write the same database.
func TestTwoStores(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		stores := []*store.Store{storetest.Open(t, url), storetest.Open(t, url)}
		furnish(t, stores[0])
		const writers, rounds = 8, 20
		race(t, writers, nil, func(i int) error {
			s := stores[i%2]
			for n := range rounds {
				err := s.Update(t.Context(), func(tx *store.Tx) error {
					// Read, then write: lost updates would show.
					u, err := tx.User("ann")
					if err != nil {
						return err
					}
					u.UpdatedAt++
					if err := tx.UpdateUser(u); err != nil {
						return err
					}
					if err := tx.InsertSetting(number(number("n", i), n), strings.Repeat("x", 500)); err != nil {
						return err
					}
					return tx.Record(event)
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		for _, s := range stores {
			u := read(t, s, func(tx *store.Tx) (model.User, error) { return tx.User("ann") })
			equal(t, u.UpdatedAt, int64(writers*rounds))
			equal(t, len(read(t, s, func(tx *store.Tx) ([]model.Event, error) { return tx.Events(0, 0) })), writers*rounds)
		}
	})
}

func TestPing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestAsk: one question reads what is committed, and a second one fails, so that
// nobody takes two states of the database for one.
func TestAsk(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		upkeep(t, s, func(tx *store.Tx) error { return tx.PutSetting("a", "1") })
		err := s.Ask(t.Context(), func(tx *store.Tx) error {
			v, err := tx.Setting("a")
			equal(t, v, "1")
			if err := tx.PutSetting("a", "2"); !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("written: %v", err)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Ask(t.Context(), func(tx *store.Tx) error {
			_, one := tx.Setting("a")
			_, two := tx.Setting("a")
			if one != nil || two == nil {
				t.Errorf("%v, %v", one, two)
			}
			return nil
		})
		if err == nil {
			t.Error("a second question, and no error")
		}
		equal(t, setting(t, s, "a"), "1")
	})
}

// TestLater: what is written without being asked about is there for the next statement,
// fails as its transaction does, and then undoes all of it.
func TestLater(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		people(t, s)
		upkeep(t, s, func(tx *store.Tx) error {
			if err := tx.InsertGrant(model.Grant{ID: "g", UserID: "ann", ClientID: "shop", ExpiresAt: 2000}); err != nil {
				return err
			}
			g, err := tx.Grant("g")
			equal(t, g.ExpiresAt, int64(2000))
			return err
		})
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error {
			return errors.Join(tx.PutSetting("b", "1"), tx.InsertGrant(model.Grant{ID: "g", UserID: "ann", ClientID: "shop"}))
		})
		fails(t, s, store.ErrConflict, func(tx *store.Tx) error {
			_ = tx.InsertGrant(model.Grant{ID: "g", UserID: "ann", ClientID: "shop"}) // overlooked, and told all the same
			return tx.PutSetting("b", "1")
		})
		equal(t, setting(t, s, "b"), "")
	})
}
