package store

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"
)

func testConn(t *testing.T) *conn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	if err := makeFile(path); err != nil {
		t.Fatal(err)
	}
	c, err := openConn(path, pragmas)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	for _, query := range []string{
		`CREATE TABLE parents (id TEXT PRIMARY KEY)`,
		`CREATE TABLE children (id TEXT PRIMARY KEY, parent TEXT REFERENCES parents DEFERRABLE INITIALLY DEFERRED, size BIGINT CHECK (size < 10))`,
	} {
		if err := c.run(query); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// ask returns the rows of a query of one text.
func (c *conn) ask(query string, args ...any) (list []string, err error) {
	found, err := c.query(context.Background(), query, args)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		var one string
		if err := found.Scan(&one); err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, found.Err()
}

func TestParameters(t *testing.T) {
	c := testConn(t)
	long := strings.Repeat("ї", 100_000)
	for _, row := range []struct {
		query string
		args  []any
		want  string
	}{
		{`SELECT $1 || ' ' || $2`, []any{"a", "b"}, "a b"},
		{`SELECT $2 || ' ' || $1 || ' ' || $2`, []any{"a", "b"}, "b a b"}, // in SQLite "$2" is a name, and comes first here
		{`SELECT '<' || $1 || '>'`, []any{""}, "<>"},                      // and not NULL
		{`SELECT $1`, []any{long}, long},
		{`SELECT $1`, []any{"short again"}, "short again"},
		{`SELECT $1 + $2`, []any{int64(1) << 40, 2}, "1099511627778"},
		{`SELECT typeof($1)`, []any{int64(1)}, "integer"},
		{`SELECT typeof($1)`, []any{"1"}, "text"},
		{`SELECT 'none'`, nil, "none"},
	} {
		if got, err := c.ask(row.query, row.args...); err != nil || len(got) != 1 || got[0] != row.want {
			t.Errorf("%s %.20v: %.20v, %v", row.query, row.args, got, err)
		}
	}
	for query, args := range map[string][]any{
		`SELECT $1 || $2`: {"a"},
		`SELECT ?`:        {"a"},
		`SELECT :a`:       {"a"},
		`SELECT $1`:       {1.5},
		`SELECT $1 `:      {[]byte("a")},
		`SELECT $1  `:     {nil},
		`SELECT $1   `:    {struct{}{}},
		`SELEC 1`:         nil,
		`SELECT NULL`:     nil,
	} {
		if got, err := c.ask(query, args...); err == nil {
			t.Errorf("%q %v: %v", query, args, got)
		}
	}
	var n int64
	var text string
	found, err := c.query(t.Context(), `SELECT 'x', 5`, nil)
	if err != nil || !found.Next() {
		t.Fatal(err)
	}
	for name, dest := range map[string][]any{"a text as a number": {&n, &n}, "too few": {&text}, "too many": {&text, &n, &n}, "an unknown kind": {&text, new(float64)}} {
		if found.Scan(dest...) == nil {
			t.Errorf("%s was read", name)
		}
	}
	if err := found.Scan(&text, &n); err != nil || text != "x" || n != 5 {
		t.Error(text, n, err)
	}
	if _, err := c.query(t.Context(), `SELECT 'x', 5`, nil); err == nil {
		t.Error("a statement was begun twice")
	}
	if found.Close() != nil || found.Next() {
		t.Error("rows that are closed go on")
	}
}

func TestFailures(t *testing.T) {
	c := testConn(t)
	run := func(query string, args ...any) error {
		_, err := c.exec(t.Context(), query, args)
		return err
	}
	code := func(err error) int {
		failure, ok := errors.AsType[coded](err)
		if !ok {
			return 0
		}
		return failure.Code()
	}
	const insert = `INSERT INTO children (id, parent, size) VALUES ($1, $2, $3) RETURNING id`
	if err := run(`INSERT INTO parents (id) VALUES ($1)`, "p"); err != nil {
		t.Fatal(err)
	}
	if n, err := c.exec(t.Context(), insert, []any{"c", "p", int64(1)}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if got := code(run(insert, "c", "p", int64(1))); got != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
		t.Errorf("a key twice: %d", got)
	}
	if got := code(run(insert, "d", "p", int64(11))); got != sqlite3.SQLITE_CONSTRAINT_CHECK {
		t.Errorf("a check: %d", got)
	}
	// A deferred constraint fails at the end of the statement, after its row was read.
	found, err := c.query(t.Context(), insert, []any{"e", "nobody", int64(1)})
	if err != nil || !found.Next() {
		t.Fatal(err)
	}
	if got := code(found.Close()); got != sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY || found.Err() == nil {
		t.Errorf("a failure at the end: %d", got)
	}
	if list, err := c.ask(`SELECT id FROM children ORDER BY id`); err != nil || len(list) != 1 || list[0] != "c" {
		t.Error(list, err)
	}
	// Read in part, a change is whole.
	found, err = c.query(t.Context(), insert, []any{"f", "p", int64(1)})
	if err != nil || !found.Next() || found.Close() != nil {
		t.Fatal(err)
	}
	if list, err := c.ask(`SELECT id FROM children ORDER BY id`); err != nil || len(list) != 2 {
		t.Error(list, err)
	}
	c.Close()
	c.Close()
	if err := run(insert, "g", "p", int64(1)); !errors.Is(err, errConnClosed) {
		t.Error(err)
	}
}

// A connection with which the file was looked through keeps as much of it in memory from
// then on as any other.
func TestLookThroughKeepsCache(t *testing.T) {
	c := testConn(t)
	before, err := c.number(`PRAGMA cache_size`)
	if err != nil || before != -8000 {
		t.Fatal(before, err)
	}
	if err := (&sqlite{closed: make(chan struct{})}).lookThrough(c); err != nil {
		t.Fatal(err)
	}
	if after, err := c.number(`PRAGMA cache_size`); err != nil || after != before {
		t.Errorf("the cache has the size %d after %d, %v", after, before, err)
	}
}
