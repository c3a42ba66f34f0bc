package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"golang.org/x/sync/semaphore"
)

// postgres is the dialect of a PostgreSQL server, which several nodes share.
type postgres struct {
	db      *sql.DB
	config  *pgx.ConnConfig // of a connection beside the pool
	where   string          // host, port and database, for messages
	size    int64           // of the pool
	writers *semaphore.Weighted
}

// SQLSTATE codes, PostgreSQL manual, appendix A.
const (
	codeUnique        = "23505"
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeLockTimeout   = "55P03"
	codeCanceled      = "57014"
	codePassword      = "28P01"
	codeAuthorization = "28000"
	codeNoDatabase    = "3D000"
	codeNoPrivilege   = "42501"
	codeDiskFull      = "53100"
	codeConnections   = "53300"
)

const (
	// maxAttempts and maxPause bound how often, and after how long at most, a
	// transaction that lost against others runs again. After politeAttempts it
	// runs while no other transaction of this node writes: PostgreSQL watches
	// what was read by whole pages of an index, so in a small table everybody
	// is in everybody's way, and luck alone would leave somebody behind.
	maxAttempts    = 16
	politeAttempts = 3
	maxPause       = 64 * time.Millisecond
)

// respellPostgres puts the types of the migrations into PostgreSQL's words. The
// "C" collation compares bytes: it is faster, orders as SQLite does, and its
// indexes survive an upgrade of the system's locales. That a table is its key is
// SQLite's to know.
var respellPostgres = strings.NewReplacer(" TEXT", ` TEXT COLLATE "C"`, " WITHOUT ROWID", "")

// Advisory locks, second key; the first is the schema.
const (
	lockMigration  = 0x6f737401 // "ost" and a number
	lockRevocation = 0x6f737402
)

func openPostgres(ctx context.Context, address string) (*postgres, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		// The cause is left out: it may repeat the address and its password.
		return nil, fmt.Errorf("%w: it has to look like postgres://user:password@host:5432/database", ErrAddress)
	}
	p := &postgres{
		where: fmt.Sprintf("%s, database %q, user %q",
			net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))), config.Database, config.User),
		size: int64(min(max(8, 4*runtime.GOMAXPROCS(0)), 32)),
	}
	p.writers = semaphore.NewWeighted(p.size)
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	setDefault(config, "application_name", "ostiary")
	// What a client was told is done is on the disk, whatever the server's
	// default is.
	setDefault(config, "synchronous_commit", "on")
	if err := p.migrate(ctx, config.Copy()); err != nil {
		return nil, p.explain(err)
	}
	setDefault(config, "statement_timeout", "15s")
	setDefault(config, "lock_timeout", "5s")
	setDefault(config, "idle_in_transaction_session_timeout", "30s")
	// Every statement has its index. A sequential scan, which looks cheaper in a
	// small table, counts as having read all of it, and then every write there
	// is a conflict (PostgreSQL manual, §13.2.3).
	setDefault(config, "enable_seqscan", "off")
	// The few statements that do read a whole table (EndAll) look enormously dear
	// for that, and dear statements are compiled first, which takes longer than
	// they do.
	setDefault(config, "jit", "off")
	p.config = config
	p.db = stdlib.OpenDB(*config)
	p.db.SetMaxOpenConns(int(p.size))
	p.db.SetMaxIdleConns(int(p.size))
	p.db.SetConnMaxIdleTime(5 * time.Minute)
	p.db.SetConnMaxLifetime(time.Hour)
	return p, nil
}

// setDefault sets a run-time parameter that the address does not set.
func setDefault(config *pgx.ConnConfig, name, value string) {
	if config.RuntimeParams[name] == "" {
		config.RuntimeParams = maps.Clone(config.RuntimeParams)
		config.RuntimeParams[name] = value
	}
}

// migrate lets one node after the other look at the schema, so that several can
// start at once. It runs without the time limits of everyday statements.
func (p *postgres) migrate(ctx context.Context, config *pgx.ConnConfig) error {
	db := stdlib.OpenDB(*config)
	defer db.Close()
	turn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer turn.Close() // the lock ends with the connection
	const lock = `SELECT pg_advisory_lock(hashtext(current_schema()), $1)`
	if _, err := turn.ExecContext(ctx, lock, lockMigration); err != nil {
		return err
	}
	return migrate(ctx, goose.DialectPostgres, db, respellPostgres)
}

func (p *postgres) run(ctx context.Context, m mode, fn func(querier) error) error {
	options := &sql.TxOptions{Isolation: sql.LevelSerializable}
	switch m {
	case snapshot:
		options = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	case tidy:
		options = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	pause := time.Millisecond
	for attempt := 1; ; attempt++ {
		weight := int64(1)
		if attempt > politeAttempts {
			weight = p.size
		}
		err := p.attempt(ctx, options, weight, fn)
		if err == nil || !p.again(err) {
			return err
		}
		if attempt == maxAttempts {
			return fmt.Errorf("%w: others were faster %d times (%w)", ErrBusy, attempt, err)
		}
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, maxPause)
	}
}

func (p *postgres) attempt(ctx context.Context, options *sql.TxOptions, weight int64, fn func(querier) error) error {
	if !options.ReadOnly {
		if err := p.writers.Acquire(ctx, weight); err != nil {
			return err
		}
		defer p.writers.Release(weight)
	}
	tx, err := p.db.BeginTx(ctx, options)
	if err != nil {
		return p.explain(err)
	}
	defer tx.Rollback() // does nothing after a commit
	if err := fn(standard{tx}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
			return ctx.Err() // which has rolled it back
		}
		return p.explain(err)
	}
	return nil
}

func (p *postgres) explain(err error) error {
	if connect, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return p.explainConnect(connect)
	}
	failure, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	switch failure.Code {
	case codeUnique:
		return fmt.Errorf("%w (%w)", ErrConflict, err)
	case codeLockTimeout, codeCanceled:
		return fmt.Errorf("%w (%w)", ErrBusy, err)
	case codeDiskFull:
		return fmt.Errorf("store: the disk of PostgreSQL at %s is full: make room (%w)", p.where, err)
	case codeNoPrivilege:
		return fmt.Errorf("store: PostgreSQL at %s does not permit this: let the user own the database (%w)", p.where, err)
	}
	return fmt.Errorf("store: %w", err)
}

func (p *postgres) explainConnect(cause *pgconn.ConnectError) error {
	err := oneLine{cause}
	if failure, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch failure.Code {
		case codePassword, codeAuthorization:
			return fmt.Errorf("store: PostgreSQL at %s refuses this user: correct the user or the password in the address of the database (%w)", p.where, err)
		case codeNoDatabase:
			return fmt.Errorf("store: PostgreSQL at %s has no such database: make it with createdb, or correct the address (%w)", p.where, err)
		case codeConnections:
			return fmt.Errorf("%w: PostgreSQL at %s has no connection left: raise its max_connections (%w)", ErrBusy, p.where, err)
		}
	}
	return fmt.Errorf("store: PostgreSQL at %s does not answer: start it, or correct the address of the database (%w)", p.where, err)
}

func (p *postgres) again(err error) bool {
	failure, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (failure.Code == codeSerialization || failure.Code == codeDeadlock)
}

func (p *postgres) close() error { return p.db.Close() }

// oneLine is an error whose message has several lines, told in one.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }

func (e oneLine) Unwrap() error { return e.error }
