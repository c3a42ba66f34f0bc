package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/semaphore"
)

// postgres is the dialect of a PostgreSQL server, which several nodes share.
type postgres struct {
	pool      *pgxpool.Pool
	config    *pgx.ConnConfig // of a connection beside the pool
	where     string          // host, port and database, for messages
	size      int64           // of the pool
	wait      time.Duration   // for a turn, a connection, and a database that comes back
	statement time.Duration   // that a statement may take, and what the network adds; 0: no limit
	writers   *semaphore.Weighted
	questions questions

	lostAt   atomic.Pointer[time.Time] // since when the database is lost; nil: it is there
	lockless atomic.Bool               // it does not know holdWide

	untold                   atomic.Uint32 // news of which announce is to tell
	news, closing, announced chan struct{} // see announce
}

// SQLSTATE codes, PostgreSQL manual, appendix A.
const (
	codeUnique        = "23505"
	codeNotNull       = "23502"
	codeForeignKey    = "23503"
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
	codeSyntax        = "42601"
	codeUnsupported   = "0A000"
	codeNoTable       = "42P01"
	codeTableExists   = "42P07"
	codeTypeExists    = "42710" // that of a table which somebody else makes just now
	codeReadOnly      = "25006" // the server was turned into a standby
	codeShutdown      = "57P01"
	codeCrash         = "57P02"
	codeStarting      = "57P03"
	codeIdle          = "25P03" // the transaction stood still for too long
	classConnection   = "08"
)

// respellPostgres puts the types of the migrations into PostgreSQL's words. The
// "C" collation compares bytes: it is faster, orders as SQLite does, and its
// indexes survive an upgrade of the system's locales. That a table is its key is
// SQLite's to know.
var respellPostgres = strings.NewReplacer(" TEXT", ` TEXT COLLATE "C"`, " WITHOUT ROWID", "")

const (
	// defaultWait and defaultStatement are those of a Config that says nothing.
	// Commands have time; a server says less, because people wait for it.
	defaultWait      = 10 * time.Second
	defaultStatement = time.Minute
	// onTheWay is what the network may add to the time of a statement before it
	// counts as lost.
	onTheWay = time.Second
	// firstConnect and maxConnect bound how long a connection may take to be made,
	// where the address does not say: at the start, unless a transaction may wait
	// longer, and when somebody waits for it.
	firstConnect = 10 * time.Second
	maxConnect   = 3 * time.Second
)

func openPostgres(ctx context.Context, c Config) (*postgres, error) {
	config, err := pgx.ParseConfig(c.URL)
	if err != nil {
		// The cause is left out: it may repeat the address and its password.
		return nil, fmt.Errorf("%w: it has to look like postgres://user:password@host:5432/database", ErrAddress)
	}
	p := &postgres{
		where: fmt.Sprintf("%s, database %q, user %q",
			net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))), config.Database, config.User),
		size:      int64(cmp.Or(c.Connections, min(max(8, 4*runtime.GOMAXPROCS(0)), 32))),
		wait:      cmp.Or(c.Wait, defaultWait),
		statement: cmp.Or(c.Statement, defaultStatement),
		news:      make(chan struct{}, 1), closing: make(chan struct{}), announced: make(chan struct{}),
	}
	p.writers = semaphore.NewWeighted(p.size)
	p.questions = questions{p: p, ways: int(min(maxWays, max(1, p.size/2)))}
	free := config.ConnectTimeout == 0
	if free {
		config.ConnectTimeout = max(firstConnect, p.wait)
	}
	if config.ValidateConnect == nil {
		// Of several hosts in the address, the one that takes writes; and after a
		// failover none of those that do not any more.
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	setDefault(config, "application_name", "ostiary")
	// What a client was told is done is on the disk, whatever the server's
	// default is.
	setDefault(config, "synchronous_commit", "on")
	if err := p.migrate(ctx, config.Copy()); err != nil {
		return nil, p.explain(err)
	}
	if free {
		config.ConnectTimeout = maxConnect
	}
	setDefault(config, "statement_timeout", strconv.FormatInt(p.statement.Milliseconds(), 10))
	if p.statement = statementTime(config.RuntimeParams["statement_timeout"], p.statement); p.statement > 0 {
		p.statement += onTheWay
	}
	setDefault(config, "lock_timeout", "5s")
	// A node that stands still keeps what it has locked for no longer than this.
	setDefault(config, "idle_in_transaction_session_timeout", "5s")
	// Every statement has its index. A sequential scan, which looks cheaper in a
	// small table, counts as having read all of it, and then every write there
	// is a conflict (PostgreSQL manual, §13.2.3).
	setDefault(config, "enable_seqscan", "off")
	// The few statements that do read a whole table (EndAll) look enormously dear
	// for that, and dear statements are compiled first, which takes longer than
	// they do.
	setDefault(config, "jit", "off")
	p.config = config
	if p.pool, err = openPool(ctx, c.URL, config, p.size); err != nil {
		return nil, err
	}
	go p.announce()
	return p, nil
}

func openPool(ctx context.Context, address string, config *pgx.ConnConfig, size int64) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, ErrAddress // and not what pgx says, which may repeat the password
	}
	c.ConnConfig = config.Copy()
	c.MaxConns = int32(size)
	c.MaxConnIdleTime, c.MaxConnLifetime = 5*time.Minute, time.Hour
	return pgxpool.NewWithConfig(context.WithoutCancel(ctx), c)
}

// statementTime reads what the address says of the time of a statement, in the ways in
// which most write it: milliseconds, or a number and a unit; 0: no limit. What it does
// not understand, PostgreSQL judges.
func statementTime(text string, otherwise time.Duration) time.Duration {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return time.Duration(n) * time.Millisecond
	}
	if d, err := time.ParseDuration(strings.ReplaceAll(text, "min", "m")); err == nil && d >= 0 {
		return d
	}
	return otherwise
}

// setDefault sets a run-time parameter that the address does not set.
func setDefault(config *pgx.ConnConfig, name, value string) {
	if config.RuntimeParams[name] == "" {
		config.RuntimeParams = maps.Clone(config.RuntimeParams)
		config.RuntimeParams[name] = value
	}
}

func (p *postgres) explain(err error) error {
	if connect, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return p.explainConnect(connect)
	}
	if lost(err) {
		return fmt.Errorf("%w: PostgreSQL at %s has gone (%w)", ErrAway, p.where, oneLine{err})
	}
	failure, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	switch failure.Code {
	case codeUnique:
		return fmt.Errorf("%w (%w)", ErrConflict, err)
	case codeNotNull, codeForeignKey: // IssueGrant has found none, or whose the row is has gone
		return fmt.Errorf("%w (%w)", ErrLapsed, err)
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
			return fmt.Errorf("%w: PostgreSQL at %s refuses this user: correct the user or the password in the address of the database (%w)", ErrAway, p.where, err)
		case codeNoDatabase:
			return fmt.Errorf("%w: PostgreSQL at %s has no such database: make it with createdb, or correct the address (%w)", ErrAway, p.where, err)
		case codeConnections:
			return fmt.Errorf("%w: PostgreSQL at %s has no connection left: raise its max_connections (%w)", ErrBusy, p.where, err)
		}
	}
	return fmt.Errorf("%w: PostgreSQL at %s does not answer: start it, or correct the address of the database (%w)", ErrAway, p.where, err)
}

func (p *postgres) close() error {
	close(p.closing)
	<-p.announced
	p.pool.Close()
	return nil
}

// oneLine is an error whose message has several lines, told in one.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }

func (e oneLine) Unwrap() error { return e.error }
