package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// db opens a database behind the store's back.
func db(t *testing.T, address string) *sql.DB {
	t.Helper()
	driver, name := "pgx", address
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		driver, name = "sqlite", path
	}
	d, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func execAll(t *testing.T, address string, statements ...string) {
	t.Helper()
	d := db(t, address)
	defer d.Close()
	tx, err := d.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := tx.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func queryInt(t *testing.T, address, query string) (n int64) {
	t.Helper()
	d := db(t, address)
	defer d.Close()
	if err := d.QueryRow(query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// fill puts at least one row into every table: a row is made of its columns' types,
// so a table that is new gets one as well. References are to the row "x".
func fill(t *testing.T, address string) (tables []store.Table) {
	t.Helper()
	execAll(t, address, `INSERT INTO settings (name, value) VALUES ('issuer', 'https://login.example.com')`)
	s, err := store.OpenSource(t.Context(), address, false)
	if err != nil {
		t.Fatal(err)
	}
	tables = s.Tables
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var statements []string
	for _, table := range tables {
		var names, values []string
		for _, c := range table.Columns {
			names = append(names, c.Name)
			switch {
			case c.Name == table.Identity:
				values = append(values, "41")
			case c.Number:
				values = append(values, "7")
			default:
				values = append(values, `'x'`)
			}
		}
		statements = append(statements, fmt.Sprintf(`INSERT INTO %s (%s) VALUES (%s)`, table.Name, strings.Join(names, ","), strings.Join(values, ",")))
	}
	// Text that has to be escaped somewhere on the way, and numbers at their ends.
	execAll(t, address, append(statements,
		`UPDATE settings SET value = 'tab	quote" back\slash
line <é日本🙂>' WHERE name = 'x'`,
		`UPDATE users SET created_at = 9223372036854775807, updated_at = -9223372036854775807 WHERE id = 'x'`)...)
	return tables
}

func fine(context.Context, string) error { return nil }

// ways are those between the two kinds first; what waits in one way does not keep the
// others waiting.
var ways = []struct {
	name     string
	from, to func(t *testing.T) string
}{
	{"sqlite to postgres", sqliteURL, emptyPostgres},
	{"postgres to sqlite", postgresURL, newFile},
	{"sqlite to sqlite", sqliteURL, newFile},
	{"postgres to postgres", postgresURL, postgresURL},
}

func sqliteURL(t *testing.T) string     { return storetest.SQLiteURL(t) }
func postgresURL(t *testing.T) string   { return storetest.PostgresURL(t) }
func emptyPostgres(t *testing.T) string { return storetest.EmptyPostgresURL(t) }
func newFile(t *testing.T) string       { return "sqlite:" + filepath.Join(t.TempDir(), "new.db") }

func eachWay(t *testing.T, fn func(t *testing.T, from, to string))  { goWays(t, len(ways), fn) }
func bothWays(t *testing.T, fn func(t *testing.T, from, to string)) { goWays(t, 2, fn) }

func goWays(t *testing.T, n int, fn func(t *testing.T, from, to string)) {
	for _, w := range ways[:n] {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			fn(t, w.from(t), w.to(t))
		})
	}
}

// Every table moves with every row, and the numbers go on.
func TestMove(t *testing.T) {
	eachWay(t, func(t *testing.T, from, to string) {
		tables := fill(t, from)
		last := int64(0)
		moved, err := store.Move(t.Context(), store.MoveConfig{From: from, To: to, Check: fine, Now: time.Now, Progress: func(done, of int64) {
			if done < last || done > of {
				t.Errorf("%d of %d after %d", done, of, last)
			}
			last = done
		}})
		if err != nil {
			t.Fatal(err)
		}
		if len(moved.Tables) != len(tables) || len(tables) < 40 {
			t.Errorf("%d tables of %d", len(moved.Tables), len(tables))
		}
		d := db(t, to)
		for _, table := range tables {
			var rows int64
			if err := d.QueryRow("SELECT count(*) FROM " + table.Name).Scan(&rows); err != nil || rows < 1 || rows > 1 && table.Name != "settings" {
				t.Errorf("%s has %d rows: %v", table.Name, rows, err)
			}
		}
		d.Close()
		for _, f := range moved.Tables {
			if rows := queryInt(t, from, "SELECT count(*) FROM "+f.Table.Name); rows != f.Sum.Rows && f.Table.Name != "settings" || f.Sum.Rows == 0 {
				t.Errorf("%s: %d rows of %d were moved", f.Table.Name, f.Sum.Rows, rows)
			}
		}
		s := storetest.Open(t, to)
		err = s.Upkeep(t.Context(), func(tx *store.Tx) error {
			value, err := tx.Setting("x")
			if err != nil || value != "tab\tquote\" back\\slash\nline <é日本🙂>" {
				t.Errorf("%q, %v", value, err)
			}
			if err := tx.EndAll(store.NewEnding(model.CauseAdmin, future)); err != nil {
				return err
			}
			n, err := tx.LastRevocation()
			if err != nil || n != 42 {
				t.Errorf("the next entry of the revocation log is %d: %v", n, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if n := queryInt(t, to, `SELECT count(*) FROM users WHERE created_at = 9223372036854775807 AND updated_at = -9223372036854775807`); n != 1 {
			t.Error("a number has changed on the way")
		}
		if _, err := store.OpenSource(t.Context(), from, false); !errors.Is(err, store.ErrMoved) {
			t.Errorf("the old database is open: %v", err)
		}
	})
}

// Numbers go on that were given to rows which are gone.
func TestMoveNumbers(t *testing.T) {
	bothWays(t, func(t *testing.T, from, to string) {
		execAll(t, from, `INSERT INTO settings (name, value) VALUES ('issuer', 'https://login.example.com')`)
		s := storetest.Open(t, from)
		for range 3 {
			if err := s.Upkeep(t.Context(), func(tx *store.Tx) error { return tx.EndAll(store.NewEnding(model.CauseAdmin, future)) }); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		execAll(t, from, `DELETE FROM revocations`)
		if _, err := store.Move(t.Context(), store.MoveConfig{From: from, To: to, Check: fine, Now: time.Now}); err != nil {
			t.Fatal(err)
		}
		s = storetest.Open(t, to)
		err := s.Upkeep(t.Context(), func(tx *store.Tx) error {
			if err := tx.EndAll(store.NewEnding(model.CauseAdmin, future)); err != nil {
				return err
			}
			if n, err := tx.LastRevocation(); err != nil || n != 4 {
				t.Errorf("the next entry is %d: %v", n, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// A table that somebody has added by hand is not left behind unseen.
func TestMoveStrangeTable(t *testing.T) {
	bothWays(t, func(t *testing.T, from, to string) {
		fill(t, from)
		execAll(t, from, `CREATE TABLE novelty (id TEXT NOT NULL PRIMARY KEY)`)
		_, err := store.Move(t.Context(), store.MoveConfig{From: from, To: to, Check: fine, Now: time.Now})
		if err == nil || !strings.Contains(err.Error(), `the table "novelty" is not one of Ostiary's`) {
			t.Error(err)
		}
		nothingLeft(t, to)
	})
}

// nothingLeft fails if there is anything in a database.
func nothingLeft(t *testing.T, address string) {
	t.Helper()
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		left, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
		return
	}
	d := db(t, address)
	rows, err := d.Query(`SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'ostiary_schema'`)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	for _, name := range names {
		if n := queryInt(t, address, "SELECT count(*) FROM "+name); n > 0 {
			t.Errorf("%d rows are left in %s", n, name)
		}
	}
}

// Whatever fails, nothing is left in the new database, and the old one goes on.
func TestMoveFails(t *testing.T) {
	for name, c := range map[string]func(ctx context.Context, cancel func(), c *store.MoveConfig){
		"the check at the end": func(_ context.Context, _ func(), c *store.MoveConfig) {
			c.Check = func(context.Context, string) error { return errors.New("it is not sound") }
		},
		"interrupted": func(_ context.Context, cancel func(), c *store.MoveConfig) {
			c.Progress = func(done, of int64) {
				if done > 10 {
					cancel()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, from, to string) {
				fill(t, from)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				config := store.MoveConfig{From: from, To: to, Check: fine, Now: time.Now}
				c(ctx, cancel, &config)
				if _, err := store.Move(ctx, config); err == nil {
					t.Fatal("it worked")
				}
				nothingLeft(t, to)
				s := storetest.Open(t, from)
				if err := s.Upkeep(t.Context(), func(tx *store.Tx) error { return tx.PutSetting("y", "z") }); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Nobody moves what a server works on, or into what is not empty.
func TestMoveInUse(t *testing.T) {
	bothWays(t, func(t *testing.T, from, to string) {
		fill(t, from)
		running := storetest.Open(t, from)
		stop := make(chan struct{})
		done := make(chan error, 1)
		go func() { // what a server does all the time
			for n := 0; ; n++ {
				err := running.Upkeep(context.Background(), func(tx *store.Tx) error { return tx.PutSetting("n", fmt.Sprint(n)) })
				select {
				case <-stop:
					done <- err
					return
				case <-time.After(100 * time.Millisecond):
				}
				if err != nil {
					done <- err
					return
				}
			}
		}()
		for queryInt(t, from, `SELECT count(*) FROM settings WHERE name = 'n'`) == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		_, err := store.Move(t.Context(), store.MoveConfig{From: from, To: to, Check: fine, Now: time.Now})
		if !errors.Is(err, store.ErrInUse) {
			t.Error(err)
		}
		close(stop)
		if err := <-done; err != nil {
			t.Errorf("the server was disturbed: %v", err)
		}
		nothingLeft(t, to)
		running.Close()
		if _, err := store.Move(t.Context(), store.MoveConfig{From: from, To: to, Check: fine, Now: time.Now}); err != nil {
			t.Error(err)
		}
	})
	t.Run("not empty", func(t *testing.T) {
		from, sqlite, postgres := storetest.SQLiteURL(t), storetest.SQLiteURL(t), storetest.PostgresURL(t)
		fill(t, from)
		execAll(t, postgres, `INSERT INTO settings (name, value) VALUES ('issuer', 'https://other.example.com')`)
		for _, to := range []string{sqlite, postgres} {
			_, err := store.Move(t.Context(), store.MoveConfig{From: from, To: to, Check: fine, Now: time.Now})
			if !errors.Is(err, store.ErrConflict) {
				t.Error(err)
			}
		}
		if n := queryInt(t, postgres, `SELECT count(*) FROM settings WHERE value = 'https://other.example.com'`); n != 1 {
			t.Error("what was there is gone")
		}
	})
}

// A server that is started at the same moment, and sets itself up on tables that are
// found to be empty, keeps what it has written.
func TestUndoSpares(t *testing.T) {
	address := storetest.PostgresURL(t)
	other, err := db(t, address).Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(`INSERT INTO settings (name, value) VALUES ('issuer', 'https://other.example.com')`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		target, err := store.OpenTarget(t.Context(), address, newest(t))
		if err == nil {
			target.Undo(t.Context())
		}
		done <- err
	}()
	eventually(t, func() error {
		if queryInt(t, address, `SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
			WHERE c.relnamespace = current_schema()::regnamespace AND NOT l.granted`) == 0 {
			return errors.New("nobody waits")
		}
		return nil
	})
	if err := other.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
	if n := queryInt(t, address, `SELECT count(*) FROM settings WHERE name = 'issuer'`); n != 1 {
		t.Error("what was there is gone")
	}
}

// Where the answer to the last commit is lost, the old database is asked what became of
// it: nothing is taken out of the new one while the old one may say that it has moved.
func TestMoveDoubt(t *testing.T) {
	for _, row := range []struct {
		name  string
		fate  storetest.Fate
		away  bool // from then on
		want  error
		moved int64
		there bool
	}{
		{"it has happened", storetest.Swallow, false, nil, 1, true},
		{"it has not", storetest.Cut, false, store.ErrAway, 0, false},
		{"nobody can be asked", storetest.Swallow, true, store.ErrDoubt, 1, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			from, to := storetest.PostgresURL(t), newFile(t)
			fill(t, from)
			p := storetest.NewProxy(t, from)
			leaving, left := false, false
			p.Rule(func(sent []byte) storetest.Fate {
				leaving = leaving || bytes.Contains(sent, []byte("INSERT INTO settings"))
				switch {
				case left && row.away:
					return storetest.Cut
				case leaving && !left && bytes.Contains(sent, []byte(commit)):
					left = true
					return row.fate
				}
				return storetest.Pass
			})
			_, err := store.Move(t.Context(), store.MoveConfig{From: p.URL, To: to, Check: fine, Now: time.Now})
			if !errors.Is(err, row.want) {
				t.Errorf("got error %v, want %v", err, row.want)
			}
			eventually(t, func() error { // the commit that was sent is done at its own time
				if n := queryInt(t, from, `SELECT count(*) FROM settings WHERE name = 'moved'`); n != row.moved {
					return fmt.Errorf("%d notes that it has moved", n)
				}
				return nil
			})
			if _, err := os.Stat(strings.TrimPrefix(to, "sqlite:")); (err == nil) != row.there {
				t.Error(err)
			}
		})
	}
}

// What an older file of that name has left beside it is not brought into the new one.
func TestMoveBesideLog(t *testing.T) {
	from, to := storetest.PostgresURL(t), newFile(t)
	path := strings.TrimPrefix(to, "sqlite:")
	fill(t, from)
	old := storetest.Open(t, to)
	upkeep(t, old, put("old"))
	log, err := os.ReadFile(path + "-wal") // as it is left where a server is killed
	if err == nil {
		err = errors.Join(old.Close(), os.Remove(path), os.WriteFile(path+"-wal", log, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	config := store.MoveConfig{From: from, To: to, Check: fine, Now: time.Now}
	if _, err := store.Move(t.Context(), config); !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
	if err := os.Remove(path + "-wal"); err != nil {
		t.Fatal(err)
	}
	config.Check = func(context.Context, string) error { return os.WriteFile(path+"-wal", log, 0o600) } // only now
	if _, err := store.Move(t.Context(), config); !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
	if err := os.Remove(path + "-wal"); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, to)
}
