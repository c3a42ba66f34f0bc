// Package storetest opens real databases for tests: a new SQLite file in a
// temporary folder, and a schema of a running PostgreSQL server, both without data.
//
// It never starts a server: the environment variable OSTIARY_TEST_POSTGRES says
// where one runs.
package storetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/ostiary/ostiary/internal/store"
)

// Each runs fn on SQLite and on PostgreSQL, each with a new database.
func Each(t *testing.T, fn func(t *testing.T, s *store.Store)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, Postgres(t)) })
}

// EachURL runs fn with the address of a new database of each kind, for tests
// that open it themselves, perhaps more than once.
func EachURL(t *testing.T, fn func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLiteURL(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, PostgresURL(t)) })
}

// SQLite opens a new SQLite file.
func SQLite(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, SQLiteURL(t))
}

// Postgres opens an empty schema on PostgreSQL.
func Postgres(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, PostgresURL(t))
}

// Open opens the database at an address and closes it when the test ends.
func Open(t testing.TB, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: url, Wait: time.Minute}) // as long as a busy machine takes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// SQLiteURL returns the address of a new SQLite file, which is empty of data
// and has the schema already.
func SQLiteURL(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ostiary.db")
	MakeFile(t, path)
	return "sqlite:" + path
}

// MakeFile makes such a file at a path.
func MakeFile(t testing.TB, path string) {
	t.Helper()
	content, err := emptyFile()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// emptyFile makes the schema once: many tests need it.
var emptyFile = sync.OnceValues(func() ([]byte, error) {
	folder, err := os.MkdirTemp("", "ostiary-storetest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "empty.db")
	s, err := store.Open(context.Background(), store.Config{URL: "sqlite:" + path})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil { // which leaves everything in the one file
		return nil, err
	}
	return os.ReadFile(path)
})

// PostgresURL returns the address of a schema on PostgreSQL that is empty of data
// and has its tables already: to make them takes longer than most tests. It is
// emptied when the test ends and then given to another one, and stays until the
// server goes. Without a server the test fails.
func PostgresURL(t testing.TB) string {
	t.Helper()
	var s madeSchema
	select {
	case s = <-emptied:
	default:
		s = madeSchema{address: newSchema(t, postgres(t))}
		opened, err := store.Open(context.Background(), store.Config{URL: s.address})
		if err != nil {
			t.Fatal(err)
		}
		if err := opened.Close(); err != nil {
			t.Fatal(err)
		}
		s.form = form(t, s.address)
	}
	t.Cleanup(func() {
		if form(t, s.address) != s.form { // the test was about that
			return
		}
		administer(t, s.address, emptySchema)
		select {
		case emptied <- s:
		default:
		}
	})
	return s.address
}

// madeSchema is a schema with its tables.
type madeSchema struct{ address, form string }

// emptied are those that wait for a test.
var emptied = make(chan madeSchema, 16)

// form is what tells whether a schema is still as the migrations have made it.
func form(t testing.TB, address string) (digest string) {
	t.Helper()
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.QueryRowContext(context.Background(), `SELECT md5(
		(SELECT string_agg(c.relname || ' ' || a.attname || ' ' || a.atttypid::text, ',' ORDER BY c.relname, a.attnum)
			FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = current_schema()::regnamespace AND a.attnum > 0)
		|| (SELECT string_agg(conname, ',' ORDER BY conname) FROM pg_constraint WHERE connamespace = current_schema()::regnamespace)
		|| (SELECT count(*) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace)
		|| (SELECT string_agg(version_id::text, ',' ORDER BY id) FROM ostiary_schema))`).Scan(&digest)
	if err != nil {
		t.Log(err)
	}
	return digest
}

// emptySchema takes all rows out of the current schema and begins the numbers anew.
const emptySchema = `DO $$
DECLARE name TEXT;
BEGIN
	FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename NOT LIKE 'ostiary@_%' ESCAPE '@' LOOP
		EXECUTE format('DELETE FROM %I', name);
	END LOOP;
	FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = current_schema() AND sequencename NOT LIKE 'ostiary_schema%' LOOP
		EXECUTE format('ALTER SEQUENCE %I RESTART', name);
	END LOOP;
END $$`

// EmptyPostgresURL returns the address of a new schema on PostgreSQL in which
// nothing is, which is dropped when the test ends: for tests of how a database
// begins.
func EmptyPostgresURL(t testing.TB) string {
	t.Helper()
	server := postgres(t)
	address := newSchema(t, server)
	u, _ := url.Parse(address)
	t.Cleanup(func() { administer(t, server, "DROP SCHEMA "+u.Query().Get("search_path")+" CASCADE") })
	return address
}

// NewDatabase returns the address of a database on PostgreSQL that the test may make, and
// that of the one from which it is made; it is dropped when the test ends. It is for
// programs that work on databases as a whole.
func NewDatabase(t testing.TB) (database, server string) {
	t.Helper()
	server = postgres(t)
	address, err := url.Parse(server)
	if err != nil {
		t.Fatal("OSTIARY_TEST_POSTGRES is not a URL")
	}
	name := "test_" + strings.ToLower(rand.Text())
	address.Path = "/" + name
	t.Cleanup(func() { administer(t, server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return address.String(), server
}

// postgres is the address of the server.
func postgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv("OSTIARY_TEST_POSTGRES")
	if server == "" {
		t.Fatal("PostgreSQL is not running: run make test, which starts one (or set OSTIARY_TEST_POSTGRES)")
	}
	return server
}

// newSchema makes a schema and returns its address.
func newSchema(t testing.TB, server string) string {
	t.Helper()
	address, err := url.Parse(server)
	if err != nil {
		t.Fatal("OSTIARY_TEST_POSTGRES is not a URL")
	}
	schema := "test_" + strings.ToLower(rand.Text())
	administer(t, server, "CREATE SCHEMA "+schema)
	query := address.Query()
	query.Set("search_path", schema)
	address.RawQuery = query.Encode()
	return address.String()
}

// administer runs a statement on a connection of its own: a pool that idles
// through a long test would take connections from the others.
func administer(t testing.TB, server, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		t.Errorf("%s: %v", statement, err)
	}
}
