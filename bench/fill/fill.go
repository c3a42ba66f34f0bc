// Package fill makes a database large: it takes one person, with their session and what
// they gave an application, and makes as many more of them as one likes, each with
// identifiers of their own. What a column means it need not know, and a column that is
// new is copied like the others.
package fill

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Config says what is made.
type Config struct {
	Database string // "sqlite:PATH", which no server has open, or "postgres://…"
	Sessions int    // how many; there is a person for each four of them
	Grants   int    // how many, spread over the sessions; each has a live refresh token and the code that it came by
	Over     bool   // half of the sessions were ended two days ago, and half are over by themselves and nobody has ended them
	Progress func(table string, done, of int)
}

// Made is how many rows were made of each table.
type Made map[string]int

// filler works on one database.
type filler struct {
	Config
	db       *sql.DB
	postgres bool
	made     Made
	now      int64
}

// Fill does it. There has to be one session at least, with a grant and a code: the
// latest is copied.
func Fill(ctx context.Context, c Config) (_ Made, err error) {
	if c.Progress == nil {
		c.Progress = func(string, int, int) {}
	}
	f := &filler{Config: c, made: Made{}, now: time.Now().Unix()}
	if path, ok := strings.CutPrefix(c.Database, "sqlite:"); ok {
		f.db, err = sql.Open("sqlite", path+"?_pragma=synchronous(off)&_pragma=cache_size(-200000)&_pragma=temp_store(memory)")
	} else {
		f.postgres = true
		f.db, err = sql.Open("pgx", c.Database)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.db.Close()) }()
	f.db.SetMaxOpenConns(1)
	people := identifiers((c.Sessions + 3) / 4)
	sessions := identifiers(c.Sessions)
	grants := identifiers(c.Grants)
	for i := range grants {
		grants[i] = f.slot(i) + grants[i]
	}
	for _, one := range []struct {
		table string
		rows  int
		own   func(i int) map[string]any
	}{
		{"users", len(people), func(i int) map[string]any {
			return map[string]any{"id": people[i], "login": "person-" + people[i], "email": people[i] + "@example.com", "admin": int64(0)}
		}},
		{"sessions", len(sessions), func(i int) map[string]any {
			own := map[string]any{"id": sessions[i], "user_id": people[i/4], "cookie_hash": secret()}
			f.endSession(i, own)
			return own
		}},
		{"grants", len(grants), func(i int) map[string]any {
			s := int(int64(i) * int64(c.Sessions) / int64(c.Grants))
			own := map[string]any{"id": grants[i], "user_id": people[s/4], "session_id": sessions[s], "salt": identifier()}
			f.endGrant(s, own)
			return own
		}},
		{"codes", len(grants), func(i int) map[string]any {
			return map[string]any{"hash": f.slot(i) + secret(), "grant_id": grants[i], "used_at": f.now}
		}},
		{"participants", len(sessions), func(i int) map[string]any { return map[string]any{"session_id": sessions[i]} }},
	} {
		if err := f.copies(ctx, one.table, one.rows, one.own); err != nil {
			return nil, fmt.Errorf("%s: %w", one.table, err)
		}
	}
	return f.made, f.settle(ctx)
}

const day = 24 * 60 * 60

// endSession makes a session one that lives for days, or one that is over.
func (f *filler) endSession(i int, own map[string]any) {
	live := f.now + 10*day
	own["idle_at"], own["expires_at"], own["due_at"] = live, live, live
	if f.Over {
		past := f.now - 2*day
		own["idle_at"], own["expires_at"], own["due_at"] = past, past, past
		if i%2 == 0 {
			own["ended_at"], own["due_at"] = past, int64(0)
		}
	}
}

func (f *filler) endGrant(session int, own map[string]any) {
	if f.Over {
		own["expires_at"], own["idle_at"] = f.now-2*day, f.now-2*day
		if session%2 == 0 {
			own["ended_at"], own["end_cause"] = f.now-2*day, "expired"
		}
	}
}

// slot is what the server puts before the keys of grants and codes, which tells when they
// were made: these were over the last ten days, one after another.
func (f *filler) slot(i int) string {
	made := f.now - int64(f.Grants-i)*10*day/int64(f.Grants)
	n := made >> 10
	return base64.RawURLEncoding.EncodeToString([]byte{byte(n >> 16), byte(n >> 8), byte(n)})
}

// identifiers makes identifiers as the server does, in order, so that a database that
// keeps its rows in that order takes them fast.
func identifiers(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = identifier()
	}
	slices.Sort(all)
	return all
}

func identifier() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// secret is the hash of one that nobody has.
func secret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// copies makes rows of a table like its latest one, each with some values of its own.
func (f *filler) copies(ctx context.Context, table string, n int, own func(int) map[string]any) error {
	columns, pattern, err := f.pattern(ctx, table)
	if err != nil {
		return err
	}
	place := map[string]int{}
	for i, c := range columns {
		place[c] = i
	}
	row := func(i int) ([]any, error) {
		values := slices.Clone(pattern)
		for name, v := range own(i) {
			at, ok := place[name]
			if !ok {
				return nil, fmt.Errorf("there is no column %s any more", name)
			}
			values[at] = v
		}
		if i%10_000 == 0 {
			f.Progress(table, i, n)
		}
		return values, nil
	}
	restore, err := f.dropIndexes(ctx, table)
	if err != nil {
		return err
	}
	if f.postgres {
		err = f.copyPostgres(ctx, table, columns, n, row)
	} else {
		err = f.copySQLite(ctx, table, columns, n, row)
	}
	if err != nil {
		return err
	}
	f.Progress(table, n, n)
	f.made[table] = n
	for _, index := range restore {
		if _, err := f.db.ExecContext(ctx, index); err != nil {
			return err
		}
	}
	return nil
}

// pattern is a row of a table, with the names of its columns.
func (f *filler) pattern(ctx context.Context, table string) (columns []string, values []any, err error) {
	order := map[string]string{"users": "created_at", "sessions": "created_at", "grants": "created_at", "codes": "created_at", "participants": "since"}[table]
	rows, err := f.db.QueryContext(ctx, "SELECT * FROM "+table+" ORDER BY "+order+" DESC LIMIT 1")
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	if columns, err = rows.Columns(); err != nil {
		return nil, nil, err
	}
	if !rows.Next() {
		return nil, nil, errors.Join(errors.New("there is no row to copy"), rows.Err())
	}
	values = make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	return columns, values, rows.Scan(into...)
}

// dropIndexes drops what is made anew faster than it is kept up with, and returns how.
func (f *filler) dropIndexes(ctx context.Context, table string) (restore []string, err error) {
	list := `SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = $1`
	if f.postgres {
		list = `SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename = $1
			AND indexdef NOT LIKE 'CREATE UNIQUE%'`
	}
	rows, err := f.db.QueryContext(ctx, list, table)
	if err != nil {
		return nil, err
	}
	var names []string
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			rows.Close()
			return nil, err
		}
		names, restore = append(names, name), append(restore, text)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, err := f.db.ExecContext(ctx, "DROP INDEX "+name); err != nil {
			return nil, err
		}
	}
	return restore, nil
}

// perStatement is how many rows one statement of SQLite brings.
const perStatement = 50

func (f *filler) copySQLite(ctx context.Context, table string, columns []string, n int, row func(int) ([]any, error)) error {
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after a commit
	one := "(" + strings.TrimSuffix(strings.Repeat("?,", len(columns)), ",") + ")"
	prepare := func(rows int) (*sql.Stmt, error) {
		return tx.PrepareContext(ctx, "INSERT INTO "+table+" ("+strings.Join(columns, ",")+") VALUES "+strings.TrimSuffix(strings.Repeat(one+",", rows), ","))
	}
	many, err := prepare(perStatement)
	if err != nil {
		return err
	}
	var waiting []any
	for i := range n {
		values, err := row(i)
		if err != nil {
			return err
		}
		if waiting = append(waiting, values...); len(waiting) == perStatement*len(columns) {
			if _, err := many.ExecContext(ctx, waiting...); err != nil {
				return err
			}
			waiting = waiting[:0]
		}
	}
	if len(waiting) > 0 {
		rest, err := prepare(len(waiting) / len(columns))
		if err != nil {
			return err
		}
		if _, err := rest.ExecContext(ctx, waiting...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (f *filler) copyPostgres(ctx context.Context, table string, columns []string, n int, row func(int) ([]any, error)) error {
	conn, err := f.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(driver any) error {
		_, err := driver.(*stdlib.Conn).Conn().CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromSlice(n, row))
		return err
	})
}

// settle lets the database know how large it is, as it would by itself in time.
func (f *filler) settle(ctx context.Context) error {
	statements := []string{"PRAGMA wal_checkpoint(TRUNCATE)"}
	if f.postgres {
		statements = []string{"ANALYZE", "CHECKPOINT"}
	}
	for _, s := range statements {
		if _, err := f.db.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
