package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	driversqlite "modernc.org/sqlite"
)

// raw is one connection to a database, for what looks at it as a whole: it knows no
// nouns, migrates nothing by itself, and has no time limits but those of its context.
type raw struct {
	kind     string // "sqlite" or "postgres"
	where    string // for messages; holds no password
	path     string // of SQLite's file
	address  string // of PostgreSQL
	db       *sql.DB
	conn     *sql.Conn
	spelling spelling
	explain  func(error) error
}

// spelling is what has to be asked of the two databases in different ways.
type spelling struct {
	tables, columns, needs string
	identity               string // the last number that was given to the table $1, by its column $2
}

var spellingSQLite = spelling{
	tables: `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name <> '` + schemaTable + `' ORDER BY name`,
	columns: `SELECT c.name, c.type, c.pk = 1 AND t.sql LIKE '%AUTOINCREMENT%'
		FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name = $1 ORDER BY c.cid`,
	needs:    `SELECT DISTINCT "table" FROM pragma_foreign_key_list($1)`,
	identity: `SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = $1 AND $2 <> ''), 0)`,
}

var spellingPostgres = spelling{
	tables: `SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND relname NOT IN ('` + schemaTable + `', 'ostiary_turns') ORDER BY relname`,
	columns: `SELECT a.attname, format_type(a.atttypid, NULL), a.attidentity <> '' FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
	needs: `SELECT DISTINCT f.relname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid
		WHERE k.contype = 'f' AND c.relnamespace = current_schema()::regnamespace AND c.relname = $1`,
	// NULL until the first number was given.
	identity: `SELECT COALESCE(pg_sequence_last_value(pg_get_serial_sequence($1, $2)::regclass), 0)`,
}

// kindOf returns what kind of database an address is of, and where it lies.
func kindOf(address string) (kind, rest string, err error) {
	scheme, rest, _ := strings.Cut(address, ":")
	switch {
	case scheme == "sqlite" && rest != "" && !strings.HasPrefix(rest, ":memory:") && !strings.HasPrefix(rest, "file:"):
		rest, err = filepath.Abs(rest)
		return "sqlite", rest, err
	case scheme == "postgres", scheme == "postgresql":
		return "postgres", address, nil
	}
	return "", "", fmt.Errorf(`%w: it has to be "sqlite:PATH" or "postgres://user:password@host:port/database"`, ErrAddress)
}

// Where says in words which database an address is of, without the password.
func Where(address string) string {
	kind, rest, err := kindOf(address)
	if err != nil {
		return "the database"
	}
	if kind == "sqlite" {
		return rest
	}
	p, _, err := parsePostgres(rest)
	if err != nil {
		return "PostgreSQL"
	}
	return "PostgreSQL at " + p.where
}

func parsePostgres(address string) (*postgres, *pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		// The cause is left out: it may repeat the address and its password.
		return nil, nil, fmt.Errorf("%w: it has to look like postgres://user:password@host:5432/database", ErrAddress)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	return &postgres{where: fmt.Sprintf("%s, database %q, user %q",
		net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))), config.Database, config.User)}, config, nil
}

// openRaw connects to a database that is there. If alone is set, it is to be the only
// one that uses it.
func openRaw(ctx context.Context, address string, alone bool) (*raw, error) {
	kind, rest, err := kindOf(address)
	if err != nil {
		return nil, err
	}
	if kind == "postgres" {
		return openRawPostgres(ctx, rest)
	}
	if _, err := os.Stat(rest); err != nil {
		return nil, fmt.Errorf("store: there is no database at %s", rest)
	}
	// In this mode the first thing done is to lock the file, which fails while
	// anybody else has it open, idle or not: a server has, all the time.
	mode := "normal"
	if alone {
		mode = "exclusive"
	}
	r, err := openRawSQLite(ctx, rest, "busy_timeout=5000", "locking_mode="+mode, "foreign_keys=ON", "temp_store=MEMORY", "synchronous=FULL")
	if err != nil {
		return nil, err
	}
	var id int
	if err := r.conn.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return nil, errors.Join(r.explain(err), r.close())
	}
	if id != applicationID {
		return nil, errors.Join(fmt.Errorf("%w: the file %s is not a database of Ostiary's", ErrCorrupt, rest), r.close())
	}
	return r, nil
}

func openRawSQLite(ctx context.Context, path string, pragmas ...string) (*raw, error) {
	name := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	if !strings.HasPrefix(name.Path, "/") {
		name.Path = "/" + name.Path
	}
	connector, err := driversqlite.NewConnector(name.String())
	if err != nil {
		return nil, err
	}
	d := &sqlite{path: path}
	return connectRaw(ctx, &raw{kind: "sqlite", where: path, path: path, db: sql.OpenDB(connector), spelling: spellingSQLite, explain: d.explain})
}

func openRawPostgres(ctx context.Context, address string) (*raw, error) {
	p, config, err := parsePostgres(address)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"application_name": "ostiary carry", "synchronous_commit": "on", "lock_timeout": "10s", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0",
	} {
		setDefault(config, name, value)
	}
	return connectRaw(ctx, &raw{kind: "postgres", address: address, where: "PostgreSQL at " + p.where, db: stdlib.OpenDB(*config), spelling: spellingPostgres, explain: func(err error) error {
		if err == nil {
			return nil
		}
		return p.explain(err)
	}})
}

func connectRaw(ctx context.Context, r *raw) (_ *raw, err error) {
	r.db.SetMaxOpenConns(2) // migrations have one of their own
	if r.conn, err = r.db.Conn(ctx); err != nil {
		return nil, errors.Join(r.explain(err), r.db.Close())
	}
	return r, nil
}

func (r *raw) exec(ctx context.Context, statement string, args ...any) error {
	_, err := r.conn.ExecContext(ctx, statement, args...)
	return r.explain(err)
}

// again makes another connection to the same PostgreSQL.
func (r *raw) again(ctx context.Context) (*raw, error) { return openRawPostgres(ctx, r.address) }

func (r *raw) close() error {
	// Not back to the pool, with a transaction that may be open.
	r.conn.Raw(func(any) error { return errDiscard })
	return r.db.Close()
}

// schema returns the version of the schema, or ErrNotFound if there is none.
func (r *raw) schema(ctx context.Context) (version int64, err error) {
	there := `SELECT count(*) FROM sqlite_schema WHERE name = '` + schemaTable + `'`
	if r.kind == "postgres" {
		there = `SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = '` + schemaTable + `'`
	}
	var n int
	if err := r.conn.QueryRowContext(ctx, there).Scan(&n); err != nil {
		return 0, r.explain(err)
	}
	if n == 0 {
		return 0, ErrNotFound
	}
	err = r.conn.QueryRowContext(ctx, schemaVersion).Scan(&version)
	return version, r.explain(err)
}

// setting returns the value of a setting, empty if there is none.
func (r *raw) setting(ctx context.Context, name string) (value string, err error) {
	err = r.conn.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = $1`, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, r.explain(err)
}

// makeSQLite makes a new file with the schema of a version.
func makeSQLite(ctx context.Context, path string, version int64) (_ *raw, err error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("store: there is a file %s already", path)
	}
	if err := makeFile(path); err != nil {
		return nil, err
	}
	// Whatever fails, the file is thrown away: nothing has to be undone in it.
	r, err := openRawSQLite(ctx, path, "journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF", "temp_store=MEMORY", "cache_size=-64000")
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	err = r.exec(ctx, fmt.Sprintf(`PRAGMA application_id = %d`, applicationID))
	if err == nil {
		err = r.explain(schema{goose.DialectSQLite3, r.db, respellSQLite, nil}.migrateTo(ctx, version))
	}
	if err != nil {
		return nil, errors.Join(err, r.close(), os.Remove(path))
	}
	return r, nil
}
