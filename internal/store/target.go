package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// Target is a database that is filled as a whole, or not at all. It has one user.
type Target struct {
	Tables  []Table // as this database describes them
	raw     *raw
	made    bool // there was no schema before
	done    bool // it was told to commit: the rows are ours
	over    bool // closed
	held    bool // see Hold
	inserts map[string]string
}

// OpenTarget makes the schema of a version and waits for rows. On SQLite there must
// be no file yet; on PostgreSQL there may be a schema, if no server was set up on it.
// What was made is gone after Undo.
func OpenTarget(ctx context.Context, address string, version int64) (_ *Target, err error) {
	kind, rest, err := kindOf(address)
	if err != nil {
		return nil, err
	}
	t := &Target{inserts: map[string]string{}, made: true}
	if kind == "sqlite" {
		if t.raw, err = makeSQLite(ctx, rest, version); err != nil {
			return nil, err
		}
	} else if t.raw, err = openRawPostgres(ctx, rest); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Undo(ctx))
		}
	}()
	if kind == "postgres" {
		if err := t.prepare(ctx, version); err != nil {
			return nil, err
		}
	}
	if t.Tables, err = t.raw.describe(ctx); err != nil {
		return nil, err
	}
	return t, t.begin(ctx)
}

// prepare makes the schema on PostgreSQL, unless it is there and nothing is in it.
func (t *Target) prepare(ctx context.Context, version int64) error {
	t.made = false // until it is known
	tables, err := t.raw.describe(ctx)
	if err != nil {
		return err
	}
	current, err := t.raw.schema(ctx)
	switch {
	case errors.Is(err, ErrNotFound) && len(tables) == 0:
		t.made = true
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("store: %s holds tables that are not Ostiary's, such as %s: make a new database", t.raw.where, tables[0].Name)
	case err != nil:
		return err
	case current > version:
		return fmt.Errorf("store: %s was made by a newer version of ostiary (its schema is %d, that of what comes is %d): make a new database", t.raw.where, current, version)
	}
	if err := t.raw.empty(ctx, tables); err != nil {
		return err
	}
	return t.raw.explain(schema{goose.DialectPostgres, t.raw.db, respellPostgres, nil}.migrateTo(ctx, version))
}

// empty fails if a table has rows, but for what the migrations themselves wrote down.
func (r *raw) empty(ctx context.Context, tables []Table) error {
	for _, table := range tables {
		n, err := r.count(ctx, table)
		if err == nil && n > 0 && table.Name == "settings" {
			err = r.conn.QueryRowContext(ctx, `SELECT count(*) FROM settings WHERE name <> '`+oldestSetting+`'`).Scan(&n)
		}
		if err != nil {
			return r.explain(err)
		}
		if n > 0 {
			return fmt.Errorf("%w: %s is not empty, there are %d rows in %s: make a new database", ErrConflict, r.where, n, table.Name)
		}
	}
	return nil
}

// begin keeps everybody else away until the end: a server that was started now would
// set itself up on tables that look empty.
func (t *Target) begin(ctx context.Context) error {
	if err := t.raw.exec(ctx, `BEGIN`); err != nil {
		return err
	}
	if t.raw.kind != "sqlite" {
		if err := t.raw.lock(ctx); err != nil {
			return err
		}
		if err := t.raw.empty(ctx, t.Tables); err != nil {
			return err
		}
	}
	// It comes with the other settings, of the same schema.
	return t.raw.exec(ctx, `DELETE FROM settings WHERE name = '`+oldestSetting+`'`)
}

// Expect fails unless tables that were described elsewhere are those that are here: a
// name that comes from outside is held to one of ours before it gets into SQL.
func (t *Target) Expect(tables []Table) error { return sameTables(tables, t.Tables) }

// Add adds rows to a table, whose columns are given by the source.
func (t *Target) Add(ctx context.Context, table Table, rows [][]any) error {
	if t.raw.kind == "sqlite" {
		return t.addSQLite(ctx, table, rows)
	}
	return t.raw.explain(t.raw.conn.Raw(func(driver any) error {
		_, err := driver.(*stdlib.Conn).Conn().CopyFrom(ctx, pgx.Identifier{table.Name}, table.names(), pgx.CopyFromRows(rows))
		return err
	}))
}

// insertAtOnce is how many values one statement inserts into SQLite, at most: a
// fourth of what its parameters can be.
const insertAtOnce = 8000

func (t *Target) addSQLite(ctx context.Context, table Table, rows [][]any) error {
	columns := len(table.Columns)
	for some := range slices.Chunk(rows, max(1, insertAtOnce/columns)) {
		args := make([]any, 0, len(some)*columns)
		for _, row := range some {
			args = append(args, row...)
		}
		if err := t.raw.exec(ctx, t.insert(table, len(some)), args...); err != nil {
			return err
		}
	}
	return nil
}

func (t *Target) insert(table Table, rows int) string {
	key := table.Name + " " + strconv.Itoa(rows)
	if t.inserts[key] == "" {
		one := "(?" + strings.Repeat(", ?", len(table.Columns)-1) + ")"
		t.inserts[key] = `INSERT INTO "` + table.Name + `" (` + table.quoted() + `) VALUES ` + one + strings.Repeat(", "+one, rows-1)
	}
	return t.inserts[key]
}

// Filled is what must be in a table of a Target in the end.
type Filled struct {
	Table Table
	Sum   Sum
	Last  int64 // see Source.Last
}

// Commit compares what is there with what was to be, sets the numbers that tables
// give to rows, and makes all of it durable. It calls seen with each row that it has
// read. After an error nothing is there.
func (t *Target) Commit(ctx context.Context, want []Filled, seen func()) error {
	err := t.commit(ctx, want, seen)
	if err != nil {
		return errors.Join(err, t.Undo(ctx))
	}
	return nil
}

func (t *Target) commit(ctx context.Context, want []Filled, seen func()) error {
	var tables []Table
	for _, f := range want {
		tables = append(tables, f.Table)
	}
	if err := t.Expect(tables); err != nil {
		return err
	}
	for _, f := range want {
		sum := Sum{}
		err := t.raw.rows(ctx, f.Table, func(_ []any, text []byte) error {
			sum.Add(text)
			seen()
			return nil
		})
		if err == nil && sum != f.Sum {
			err = fmt.Errorf("store: the table %s did not arrive as it was sent: %d rows of %d, or others", f.Table.Name, sum.Rows, f.Sum.Rows)
		}
		if err == nil {
			err = t.number(ctx, f)
		}
		if err != nil {
			return err
		}
	}
	if t.raw.kind == "sqlite" {
		if err := t.references(ctx); err != nil {
			return err
		}
	}
	if t.held {
		if err := t.raw.exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, 'yes') ON CONFLICT DO NOTHING`, restoringSetting); err != nil {
			return err
		}
	}
	t.done = true // or nobody knows, when it fails
	if err := t.raw.exec(ctx, `COMMIT`); err != nil {
		return err
	}
	if t.raw.kind == "sqlite" {
		return t.settle(ctx)
	}
	return nil
}

// number lets the next row of a table have the number that it would have had.
func (t *Target) number(ctx context.Context, f Filled) error {
	switch {
	case f.Table.Identity == "" || f.Last == 0:
		return nil
	case t.raw.kind == "postgres":
		return t.raw.exec(ctx, `SELECT setval(pg_get_serial_sequence($1, $2), $3, true)`, f.Table.Name, f.Table.Identity, f.Last)
	}
	if err := t.raw.exec(ctx, `DELETE FROM sqlite_sequence WHERE name = $1`, f.Table.Name); err != nil {
		return err
	}
	return t.raw.exec(ctx, `INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)`, f.Table.Name, f.Last)
}

// references makes sure that no row of SQLite refers to one that is not there: that
// was not watched over while rows came in.
func (t *Target) references(ctx context.Context) error {
	bad, err := texts(ctx, t.raw.conn, `SELECT "table" || ' refers to a row of ' || parent || ' that is missing' FROM pragma_foreign_key_check LIMIT 1`)
	if err == nil && len(bad) > 0 {
		err = errors.New("store: " + bad[0])
	}
	return t.raw.explain(err)
}

// settle brings a file of SQLite to the disk, in the mode in which servers use it.
func (t *Target) settle(ctx context.Context) error {
	for _, pragma := range []string{`PRAGMA synchronous = FULL`, `PRAGMA journal_mode = WAL`} {
		if err := t.raw.exec(ctx, pragma); err != nil {
			return err
		}
	}
	if err := t.raw.close(); err != nil {
		return err
	}
	t.over = true
	return syncFile(t.raw.path)
}

// syncFile makes a file and its name durable.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil || runtime.GOOS == "windows" { // folders cannot be flushed there
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// logsOf are the files beside a file of SQLite whose contents are brought into it when
// it is opened, whatever file had its name when they were written.
func logsOf(path string) []string { return []string{path + "-wal", path + "-journal"} }

// Name gives a file of SQLite that nobody has open its name, durably.
func Name(from, to string) error {
	if _, err := os.Lstat(from + "-wal"); err == nil {
		return fmt.Errorf("store: %s is in use", from) // and what is in that file would be lost
	}
	for _, file := range logsOf(to) {
		if _, err := os.Lstat(file); err == nil {
			return fmt.Errorf("%w: there is a file %s, which would be taken for a part of the new one: move it away", ErrConflict, file)
		}
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncFile(to)
}

// Close ends the use of a Target after Commit.
func (t *Target) Close() error {
	if t.over {
		return nil
	}
	t.over = true
	return t.raw.close()
}

// Undo takes out all that this Target has put there, also after Commit and Close: a
// file of SQLite is removed, on PostgreSQL the tables, or their rows where the
// tables were there before.
func (t *Target) Undo(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // or an interrupt would leave everything there
	closed := t.Close()
	if t.raw.kind == "sqlite" {
		for _, more := range []string{"-wal", "-shm", "-journal"} {
			_ = os.Remove(t.raw.path + more) // as a rule there is none
		}
		return errors.Join(closed, os.Remove(t.raw.path))
	}
	if !t.done && !t.made {
		return closed // which has undone it
	}
	r, err := t.raw.again(ctx)
	if err != nil {
		return errors.Join(closed, err)
	}
	defer r.close()
	return errors.Join(closed, t.clear(ctx, r))
}

// clear takes out of PostgreSQL what is not gone with the transaction.
func (t *Target) clear(ctx context.Context, r *raw) error {
	tables, err := r.describe(ctx)
	if err != nil || len(tables) == 0 {
		return err
	}
	if err := r.exec(ctx, `BEGIN`); err != nil {
		return err
	}
	if err := r.lock(ctx); err != nil {
		return err
	}
	// Before a commit the rows are not ours: a server was started at the same moment,
	// and has set itself up on tables that were empty.
	if !t.done && r.empty(ctx, tables) != nil {
		return nil
	}
	var names []string
	for _, table := range tables {
		names = append(names, table.Name)
	}
	statement := `TRUNCATE "` + strings.Join(names, `", "`) + `" RESTART IDENTITY`
	if t.made {
		statement = `DROP TABLE IF EXISTS "` + strings.Join(names, `", "`) + `", ` + schemaTable
	}
	if err := r.exec(ctx, statement); err != nil {
		return err
	}
	return r.exec(ctx, `COMMIT`)
}
