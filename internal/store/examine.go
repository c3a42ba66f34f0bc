package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

// Examination is what can be seen of a database from outside, without changing it.
type Examination struct {
	Kind    string // "sqlite" or "postgres"
	Version string // of the database's program
	Latency time.Duration
	Ahead   time.Duration // its clock against ours; PostgreSQL

	Schema, Known int64 // of the database and of this program; a Schema of 0: there is none
	Beside        bool  // the Schema is newer, and this program may work on it all the same

	Journal string // SQLite: "wal"
	Path    string // SQLite: of the file
	Bytes   int64

	Connections, MaxConnections int64 // PostgreSQL
	Recovering                  bool  // PostgreSQL: a copy that cannot be written

	// What follows is known where the Schema is the Known one.
	Issuer, Moved string
	Restoring     bool
	Admins        int64
	Keys          []model.SigningKey // without what is sealed
	Outbox        Backlog            // logout notices
	Signals       Backlog            // security events
	Unsealed      Backlog            // entries of the audit log without a seal
	Revocations   int64
}

// latencySamples is how often a database is asked for nothing.
const latencySamples = 9

// Examine looks at a database, whose clock it compares with now. It makes none and
// migrates none.
func Examine(ctx context.Context, address string, now func() time.Time) (e Examination, err error) {
	kind, path, err := kindOf(address)
	if err != nil {
		return e, err
	}
	if e.Known, err = latestSchema(); err != nil {
		return e, err
	}
	r, err := openRaw(ctx, address, false)
	if err != nil {
		return e, err
	}
	defer r.close()
	if e.Kind = kind; kind == "sqlite" {
		e.Path = path
		if err := r.exec(ctx, `PRAGMA query_only = ON`); err != nil {
			return e, err
		}
		err = r.examineSQLite(ctx, &e)
	} else {
		err = r.examinePostgres(ctx, &e, now)
	}
	if err != nil {
		return e, err
	}
	var took []time.Duration
	for range latencySamples {
		began := time.Now()
		if err := r.exec(ctx, `SELECT 1`); err != nil {
			return e, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	e.Latency = took[len(took)/2]
	e.Schema, err = r.schema(ctx)
	if errors.Is(err, ErrNotFound) {
		return e, nil
	}
	if err == nil && e.Schema > e.Known {
		oldest, err := oldestSchema(ctx, r.db, e.Schema)
		e.Beside = err == nil && oldest <= e.Known
		return e, r.explain(err)
	}
	if err == nil && e.Schema == e.Known {
		err = r.examineRows(ctx, &e)
	}
	return e, err
}

func (r *raw) examineSQLite(ctx context.Context, e *Examination) error {
	err := r.conn.QueryRowContext(ctx, `SELECT 'SQLite ' || sqlite_version()`).Scan(&e.Version)
	if err == nil {
		err = r.conn.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&e.Journal)
	}
	for _, suffix := range []string{"", "-wal"} {
		if info, fault := os.Stat(e.Path + suffix); fault == nil {
			e.Bytes += info.Size()
		}
	}
	return r.explain(err)
}

func (r *raw) examinePostgres(ctx context.Context, e *Examination, now func() time.Time) error {
	before := now()
	var at float64
	err := r.conn.QueryRowContext(ctx, `SELECT 'PostgreSQL ' || current_setting('server_version'), extract(epoch FROM clock_timestamp())::float8,
		pg_is_in_recovery(), current_setting('max_connections')::bigint, (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
		pg_database_size(current_database())`).Scan(&e.Version, &at, &e.Recovering, &e.MaxConnections, &e.Connections, &e.Bytes)
	took := now().Sub(before)
	e.Ahead = time.UnixMilli(int64(at * 1000)).Sub(before.Add(took / 2))
	return r.explain(err)
}

func (r *raw) examineRows(ctx context.Context, e *Examination) error {
	var err error
	for name, value := range map[string]*string{issuerSetting: &e.Issuer, movedSetting: &e.Moved} {
		if *value, err = r.setting(ctx, name); err != nil {
			return err
		}
	}
	restoring, err := r.setting(ctx, restoringSetting)
	if err != nil {
		return err
	}
	e.Restoring = restoring != ""
	for _, one := range []struct {
		query string
		into  []any
	}{
		{`SELECT count(*) FROM users WHERE admin = 1 AND status <> 'locked'`, []any{&e.Admins}},
		{`SELECT count(*), COALESCE(MIN(at), 0) FROM outbox`, []any{&e.Outbox.Waiting, &e.Outbox.Oldest}},
		{`SELECT count(*), COALESCE(MIN(at), 0) FROM signals`, []any{&e.Signals.Waiting, &e.Signals.Oldest}},
		{`SELECT count(*), COALESCE(MIN(at), 0) FROM events WHERE position = 0`, []any{&e.Unsealed.Waiting, &e.Unsealed.Oldest}},
		{`SELECT count(*) FROM revocations`, []any{&e.Revocations}},
	} {
		if err := r.conn.QueryRowContext(ctx, one.query).Scan(one.into...); err != nil {
			return r.explain(err)
		}
	}
	e.Keys, err = r.examineKeys(ctx)
	return err
}

func (r *raw) examineKeys(ctx context.Context) (list []model.SigningKey, err error) {
	rows, err := r.conn.QueryContext(ctx, `SELECT id, algorithm, created_at, active_at, drop_at FROM signing_keys ORDER BY algorithm, active_at`)
	if err != nil {
		return nil, r.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var k model.SigningKey
		if err := rows.Scan((*string)(&k.ID), &k.Algorithm, &k.CreatedAt, &k.ActiveAt, &k.DropAt); err != nil {
			return nil, r.explain(err)
		}
		list = append(list, k)
	}
	return list, r.explain(rows.Err())
}

// Damage looks through all of an SQLite file and returns the first thing that is wrong
// with it, empty if nothing is. It may take long, and ends with ctx.
func Damage(ctx context.Context, address string) (found string, err error) {
	r, err := openRaw(ctx, address, false)
	if err != nil {
		return "", err
	}
	defer r.close()
	err = r.conn.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", r.explain(err)
	}
	if found == "ok" {
		return "", nil
	}
	return found, nil
}
