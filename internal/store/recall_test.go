package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

// openTwice opens one file twice, as two processes do.
func openTwice(t *testing.T) (here, there *Store) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	for _, s := range []**Store{&here, &there} {
		var err error
		if *s, err = Open(t.Context(), Config{URL: "sqlite:" + path}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*s).Close() })
	}
	write(t, here, func(tx *Tx) error {
		return errors.Join(tx.InsertClient(model.Client{ID: "c"}), tx.InsertUser(model.User{ID: "u"}),
			tx.InsertSession(model.Session{ID: "s", UserID: "u", IdleAt: 2, ExpiresAt: 2}))
	})
	return here, there
}

func write(t *testing.T, s *Store, fn func(*Tx) error) {
	t.Helper()
	if err := s.Upkeep(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// setting changes what nothing is kept of.
func setting(tx *Tx) error { return tx.PutSetting("x", rand.Text()) }

func disable(tx *Tx) error { return tx.UpdateClient(model.Client{ID: "c", Disabled: true}) }

// What is asked for again is read again when, and only when, somebody may have changed it.
func TestRecall(t *testing.T) {
	for _, row := range []struct {
		name  string
		after func(t *testing.T, here, there *Store)
		asked bool
	}{
		{"nothing", func(*testing.T, *Store, *Store) {}, false},
		{"another change", func(t *testing.T, here, _ *Store) { write(t, here, setting); write(t, here, setting) }, false},
		{"a grant", func(t *testing.T, here, _ *Store) {
			write(t, here, func(tx *Tx) error {
				return tx.IssueGrant(model.Grant{ID: "g", UserID: "u", ClientID: "c", SessionID: "s"}, 1)
			})
		}, false},
		{"a change of a client", func(t *testing.T, here, _ *Store) { write(t, here, disable) }, true},
		{"a change of a client, and another", func(t *testing.T, here, _ *Store) { write(t, here, disable); write(t, here, setting) }, true},
		{"an ending", func(t *testing.T, here, _ *Store) {
			write(t, here, func(tx *Tx) error { return tx.EndClient("c", Ending{At: 1}) })
			write(t, here, setting)
		}, true},
		{"a change elsewhere", func(t *testing.T, _, there *Store) { write(t, there, setting) }, true},
		{"a change elsewhere, and one here", func(t *testing.T, here, there *Store) { write(t, there, disable); write(t, here, setting) }, true},
		{"a change here, and one elsewhere", func(t *testing.T, here, there *Store) { write(t, here, setting); write(t, there, disable) }, true},
		{"a change elsewhere, and one on another connection", func(t *testing.T, here, there *Store) {
			write(t, there, disable)
			here.dialect.(*sqlite).writer.drop()
			write(t, here, setting)
		}, true},
		{"a change that fails", func(t *testing.T, here, _ *Store) {
			failed := errors.New("failed")
			err := here.Upkeep(t.Context(), func(tx *Tx) error { return errors.Join(disable(tx), failed) })
			if !errors.Is(err, failed) {
				t.Error(err)
			}
			write(t, here, setting)
		}, false},
		{"many answers", func(t *testing.T, here, _ *Store) {
			for i := range maxRemembered {
				if _, err := recallNumber(here, fmt.Sprint(i), func() {}); err != nil {
					t.Fatal(err)
				}
			}
		}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			here, there := openTwice(t)
			write(t, here, setting) // a connection to write with
			for range 2 {           // the first one may find that a file is not what it was
				if _, err := recallNumber(here, "c", func() {}); err != nil {
					t.Fatal(err)
				}
			}
			row.after(t, here, there)
			asked := false
			if n, err := recallNumber(here, "c", func() { asked = true }); err != nil || n != 7 || asked != row.asked {
				t.Errorf("it is %d, %v; it was asked for: %t, want %t", n, err, asked, row.asked)
			}
		})
	}
}

// recallNumber recalls 7.
func recallNumber(s *Store, key string, asked func()) (n int64, err error) {
	err = s.Ask(context.Background(), func(tx *Tx) error {
		n, err = tx.recall(key, func() (int64, error) {
			asked()
			return one(tx, scanInt, `SELECT 7`)
		})
		return err
	})
	return n, err
}

// What fails is not kept, nor what is read in a transaction.
func TestRecallNothing(t *testing.T) {
	here, _ := openTwice(t)
	asked := 0
	for range 3 {
		err := here.Ask(t.Context(), func(tx *Tx) error {
			_, err := tx.recall("c", func() (int64, error) { asked++; return 1, ErrNotFound })
			return err
		})
		if !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if err := here.View(t.Context(), func(tx *Tx) error {
			_, err := tx.recall("c", func() (int64, error) { asked++; return 1, nil })
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	if asked != 6 {
		t.Errorf("it was asked for %d times, of 6", asked)
	}
}

// Whoever is told that a client was disabled, or put out, finds it so from then on,
// wherever that was done and whatever else is done meanwhile.
func TestRecallTrue(t *testing.T) {
	here, there := openTwice(t)
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	cutOff := func(s *Store) (cut int64, err error) {
		err = s.Ask(context.Background(), func(tx *Tx) (err error) { cut, err = tx.OwnCutOff("c"); return err })
		return cut, err
	}
	for range 2 {
		for _, s := range []*Store{here, there} {
			busy.Go(func() {
				for ctx.Err() == nil {
					if _, err := cutOff(s); err != nil && !errors.Is(err, ErrNotFound) {
						t.Error(err)
					}
				}
			})
		}
	}
	for _, s := range []*Store{here, there} {
		busy.Go(func() {
			for ctx.Err() == nil {
				if err := s.Upkeep(context.Background(), setting); err != nil {
					t.Error(err)
				}
				time.Sleep(5 * time.Millisecond) // the other one waits for the file as well
			}
		})
	}
	stores := []*Store{here, there}
	for i := range 40 {
		off, at := i%2 == 0, int64(i+1)
		by := stores[i/2%2]
		write(t, by, func(tx *Tx) error {
			return errors.Join(tx.UpdateClient(model.Client{ID: "c", Disabled: off}), tx.revoke(model.Revocation{Kind: model.KindClient, Value: "c", CutOff: at}, Ending{At: at}))
		})
		for range 3 {
			for n, s := range stores {
				cut, err := cutOff(s)
				if off && !errors.Is(err, ErrNotFound) || !off && (err != nil || cut != at) {
					t.Fatalf("change %d, asked at store %d: disabled is %t, but %d, %v", i, n, off, cut, err)
				}
			}
		}
	}
}

// Nothing in the schema changes the tables of which something is kept where a statement
// names another one: neither a foreign key nor a trigger.
func TestRememberedTables(t *testing.T) {
	s, _ := openTwice(t)
	for _, table := range remembered {
		var there, keys, triggers int
		if err := s.View(t.Context(), func(tx *Tx) error {
			_, err := one(tx, func(row scanner) (struct{}, error) { return struct{}{}, row.Scan(&there, &keys, &triggers) },
				`SELECT (SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = $1),
				(SELECT count(*) FROM pragma_foreign_key_list($1)), (SELECT count(*) FROM sqlite_schema WHERE type = 'trigger')`, table)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if there != 1 || keys != 0 || triggers != 0 {
			t.Errorf("%s: %d tables, %d foreign keys, and %d triggers in all", table, there, keys, triggers)
		}
	}
	for statement, want := range map[string]bool{
		`SELECT id FROM clients`: false, `UPDATE clients SET disabled = 1`: true, `DELETE FROM revocations`: true,
		`INSERT INTO settings (name) VALUES ($1)`: false, `WITH x AS (SELECT 1) DELETE FROM clients`: true,
		`INSERT INTO grants (id) SELECT id FROM clients`: false, `INSERT INTO clients (id) SELECT id FROM grants`: true,
	} {
		if forgets(statement) != want {
			t.Errorf("%s: %t", statement, !want)
		}
	}
}
