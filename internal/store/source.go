package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrInUse means that a server works on a database that has to stand still.
var ErrInUse = errors.New("store: a server is running on the database")

// ErrMoved means that all that was in a database has been moved to another one.
var ErrMoved = errors.New("store: the database has moved")

// movedSetting says where a database has moved.
const movedSetting = "moved"

// Moved returns where the database has moved, in words, or ErrNotFound.
func (tx *Tx) Moved() (string, error) { return tx.Setting(movedSetting) }

// Source is all the rows of a database, in one state of it.
type Source struct {
	Kind   string // "sqlite" or "postgres"
	Schema int64
	Tables []Table // those first to which others refer
	Issuer string
	raw    *raw
}

// issuerSetting is the setting that every database has on which a server was set up.
const issuerSetting = "issuer"

// OpenSource opens a database to be read as a whole, in the state that it has now. A
// server may go on working: it is not held up, and what it writes from now on is not
// seen. With still nobody may: it fails with ErrInUse if a server is running, and
// none can begin until Close.
//
// It fails with ErrNewerSchema, and with ErrMoved.
func OpenSource(ctx context.Context, address string, still bool) (_ *Source, err error) {
	r, err := openRaw(ctx, address, still)
	if err != nil {
		return nil, inUse(err, still)
	}
	s := &Source{Kind: r.kind, raw: r}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if err := r.hold(ctx, still); err != nil {
		return nil, inUse(err, still)
	}
	known, err := latestSchema()
	if err != nil {
		return nil, err
	}
	s.Schema, err = r.schema(ctx)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, fmt.Errorf("store: no server was set up at %s", r.where)
	case err != nil:
		return nil, err
	case s.Schema > known:
		return nil, newerSchema(s.Schema, known)
	}
	if s.Tables, err = r.describe(ctx); err != nil {
		return nil, err
	}
	if err := asMigrated(ctx, s.Tables, s.Schema); err != nil {
		return nil, err
	}
	moved, err := r.setting(ctx, movedSetting)
	if err == nil && moved != "" {
		err = fmt.Errorf("%w to %s", ErrMoved, moved)
	}
	if err != nil {
		return nil, err
	}
	s.Issuer, err = r.setting(ctx, issuerSetting)
	if err == nil && s.Issuer == "" {
		err = fmt.Errorf("store: no server was set up at %s", r.where)
	}
	return s, err
}

// inUse tells what a lock means that was not to be had.
func inUse(err error, still bool) error {
	if still && errors.Is(err, ErrBusy) {
		return fmt.Errorf("%w: stop it first, on every node (%w)", ErrInUse, err)
	}
	return err
}

// hold begins the transaction that everything is read in.
func (r *raw) hold(ctx context.Context, still bool) error {
	switch {
	case r.kind == "sqlite" && still:
		return r.exec(ctx, `BEGIN EXCLUSIVE`)
	case r.kind == "sqlite":
		if err := r.exec(ctx, `PRAGMA query_only = ON`); err != nil {
			return err
		}
		if err := r.exec(ctx, `BEGIN`); err != nil {
			return err
		}
		// The state is that of the first look.
		return r.exec(ctx, `SELECT count(*) FROM sqlite_schema`)
	case !still:
		return r.exec(ctx, `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`)
	}
	if err := r.exec(ctx, `BEGIN`); err != nil {
		return err
	}
	return r.alone(ctx)
}

// watchTime is how long a node that is running cannot be without looking into the
// settings: it follows the revocation log twice a second.
const watchTime = 3 * time.Second

// alone locks every table on PostgreSQL until the transaction ends, and looks who
// waits for it. Locks tell it whatever a node calls itself, and through whatever
// proxy it comes; those that wait go on after this has given up.
func (r *raw) alone(ctx context.Context) error {
	if err := r.lock(ctx); err != nil {
		return err
	}
	for until := time.Now().Add(watchTime); time.Now().Before(until); {
		var waiting int
		err := r.conn.QueryRowContext(ctx, `SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
			WHERE c.relnamespace = current_schema()::regnamespace AND NOT l.granted`).Scan(&waiting)
		switch {
		case err != nil:
			return r.explain(err)
		case waiting > 0:
			return fmt.Errorf("%w: others use %s", ErrBusy, r.where)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// lock lets nobody else read or write a table until the transaction ends.
func (r *raw) lock(ctx context.Context) error {
	names, err := texts(ctx, r.conn, r.spelling.tables)
	if err != nil || len(names) == 0 {
		return r.explain(err)
	}
	return r.exec(ctx, `LOCK TABLE "`+strings.Join(names, `", "`)+`" IN ACCESS EXCLUSIVE MODE`)
}

// Close lets the database go.
func (s *Source) Close() error { return s.raw.close() }

// Count returns how many rows a table has.
func (s *Source) Count(ctx context.Context, t Table) (n int64, err error) {
	return s.raw.count(ctx, t)
}

func (r *raw) count(ctx context.Context, t Table) (n int64, err error) {
	err = r.conn.QueryRowContext(ctx, `SELECT count(*) FROM "`+t.Name+`"`).Scan(&n)
	return n, r.explain(err)
}

// Last returns the last number that a table has given to a row, 0 if none. The rows
// may be gone; the number is not given again.
func (s *Source) Last(ctx context.Context, t Table) (int64, error) { return s.raw.last(ctx, t) }

func (r *raw) last(ctx context.Context, t Table) (n int64, err error) {
	if t.Identity == "" {
		return 0, nil
	}
	if err := r.conn.QueryRowContext(ctx, r.spelling.identity, t.Name, t.Identity).Scan(&n); err != nil {
		return 0, r.explain(err)
	}
	var highest int64 // a row may have been given its number by somebody else
	err = r.conn.QueryRowContext(ctx, `SELECT COALESCE(MAX("`+t.Identity+`"), 0) FROM "`+t.Name+`"`).Scan(&highest)
	return max(n, highest), r.explain(err)
}

// Rows calls fn with the values of each row of a table, and with the same as
// AppendRow writes them. The text is fn's until it returns, the values for good.
func (s *Source) Rows(ctx context.Context, t Table, fn func(values []any, text []byte) error) error {
	return s.raw.rows(ctx, t, fn)
}

func (r *raw) rows(ctx context.Context, t Table, fn func(values []any, text []byte) error) error {
	rows, err := r.conn.QueryContext(ctx, `SELECT `+t.quoted()+` FROM "`+t.Name+`"`)
	if err != nil {
		return r.explain(err)
	}
	defer rows.Close()
	into := make([]any, len(t.Columns))
	for i, c := range t.Columns {
		if into[i] = any(new(string)); c.Number {
			into[i] = new(int64)
		}
	}
	var text []byte
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return r.explain(err)
		}
		values := make([]any, len(into))
		for i, v := range into {
			switch v := v.(type) {
			case *string:
				values[i] = storableText(*v)
			case *int64:
				values[i] = *v
			}
		}
		text = AppendRow(text[:0], values)
		if err := fn(values, text); err != nil {
			return err
		}
	}
	return r.explain(rows.Err())
}

// leave notes where the database has moved, for servers that are started on it, and
// ends the transaction. Where it cannot be noted, nothing is. It fails with ErrDoubt
// where nobody knows whether it is.
func (s *Source) leave(ctx context.Context, to string) error {
	err := s.raw.exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2)`, movedSetting, to)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // an interrupt would be told of as a failure, of a commit that may be done
	err = s.raw.exec(ctx, `COMMIT`)
	if err == nil || s.Kind == "sqlite" {
		return err
	}
	return s.left(ctx, to, err)
}

// left tells on another connection what became of a commit whose answer was lost. As
// long as the server is at it, the lock on the settings makes the question wait.
func (s *Source) left(ctx context.Context, to string, lost error) error {
	r, err := s.raw.again(ctx)
	if err == nil {
		defer r.close()
		var moved string
		if moved, err = r.setting(ctx, movedSetting); err == nil && moved != to {
			return lost
		}
	}
	if err != nil {
		return fmt.Errorf("%w: all rows have been moved, and the old database may say so or not (%w)", ErrDoubt, errors.Join(lost, err))
	}
	return nil
}
