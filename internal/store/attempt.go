package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
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
	// firstBreak and longestBreak are the pauses after which a transaction is tried
	// on a new connection whose connection was lost.
	firstBreak   = 5 * time.Millisecond
	longestBreak = 200 * time.Millisecond
	// shortWait is how long a connection may take while the database is known to
	// be away.
	shortWait = time.Second
)

// run runs a transaction until it is committed, until it fails by itself, or until
// its time is over. One whose connection was lost before its commit was sent has
// certainly not happened, and runs again on another connection; one that was lost
// after that may have happened, and fails with ErrDoubt.
func (p *postgres) run(ctx context.Context, m mode, fn func(querier) error) error {
	start, pause, rest := time.Now(), time.Millisecond, firstBreak
	t := try{mode: m, weight: 1}
	for conflicts := 0; ; {
		if conflicts >= politeAttempts {
			t.weight = p.size
		}
		err := p.attempt(ctx, &t, fn)
		switch {
		case err == nil:
			return nil
		case conflict(err):
			if conflicts++; conflicts == maxAttempts {
				return fmt.Errorf("%w: others were faster %d times (%w)", ErrBusy, conflicts, err)
			}
			err = sleep(ctx, rand.N(pause))
			pause = min(2*pause, maxPause)
		case t.wide && unknown(err) && !p.lockless.Swap(true):
			err = nil // a cluster that is like PostgreSQL: it has to have luck
		case lost(err) && !errors.Is(err, ErrDoubt):
			if p.lostAt.CompareAndSwap(nil, &start); p.away() || time.Since(start) > p.wait {
				return err
			}
			err = sleep(ctx, rand.N(rest))
			rest = min(2*rest, longestBreak)
		}
		if err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// away reports whether the database has been lost for longer than a failover may
// take. Then nobody waits for it any more: each asks once, and is told at once.
func (p *postgres) away() bool {
	at := p.lostAt.Load()
	return at != nil && time.Since(*at) > p.wait
}

// try is how a transaction is tried.
type try struct {
	mode   mode
	weight int64 // among those of this node that write
	wide   bool  // as was seen when it was tried before: see holdWide
}

// attempt runs a transaction once, and notes whether it is a wide one.
func (p *postgres) attempt(ctx context.Context, t *try, fn func(querier) error) error {
	patience := p.wait
	if p.away() {
		patience = min(patience, shortWait)
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if t.mode == question {
		return fn(inquirer{&p.questions, wait, patience})
	}
	if !t.mode.reads() {
		if p.writers.Acquire(wait, t.weight) != nil {
			return p.waited(ctx, patience, noConnection)
		}
		defer p.writers.Release(t.weight)
	}
	c, err := p.take(wait)
	if err != nil {
		if wait.Err() != nil {
			return p.waited(ctx, patience, noConnection)
		}
		return p.explain(err)
	}
	defer p.give(c)
	c.begin(t.mode, t.wide && !p.lockless.Load())
	err = fn(c)
	t.wide = t.wide || c.isWide
	if err != nil {
		c.broken = lost(err)
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // and nothing has happened
	}
	return p.commit(c, t.mode)
}

// give brings a connection back. One on which the server has answered tells that the
// database is there.
func (p *postgres) give(c *pgConn) {
	if c.heard && p.lostAt.Load() != nil {
		p.lostAt.Store(nil)
	}
	c.give()
}

// noConnection and noTurn say what somebody has waited for in vain: the database does
// not answer, or too many want something of it.
const (
	noConnection = "had no connection free"
	noTurn       = "was being asked by others"
)

// waited is the error of whoever got no turn or no connection in time.
func (p *postgres) waited(ctx context.Context, patience time.Duration, what string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("%w: PostgreSQL at %s %s for %v", ErrBusy, p.where, what, patience)
}

// commit ends a transaction. Where the answer is lost, it may have happened. (What
// pgconn.SafeToRetry says does not count: it is true as well where the connection was
// closed after the commit was sent.)
func (p *postgres) commit(c *pgConn, m mode) error {
	if c.pg.IsClosed() {
		return p.explain(pgconn.ErrConnClosed) // and nothing was sent
	}
	if err := c.ready(); err != nil { // nor here
		c.broken = lost(err)
		return p.explain(err)
	}
	err := c.commit()
	if err == nil {
		return nil
	}
	failure, told := errors.AsType[*pgconn.PgError](err)
	switch {
	case errors.Is(err, errUndone), told && failure.SeverityUnlocalized == "ERROR": // and not FATAL, which can come after it
		return p.explain(err)
	case m.reads(): // there is nothing to be in doubt of
		return p.explain(err)
	}
	c.broken = true
	return fmt.Errorf("%w: PostgreSQL at %s has gone (%w)", ErrDoubt, p.where, oneLine{err})
}

// unknown reports whether the database does not know a statement.
func unknown(err error) bool {
	failure, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (failure.Code == codeSyntax || failure.Code == codeUnsupported)
}

// conflict reports whether a transaction failed only because of others.
func conflict(err error) bool {
	failure, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (failure.Code == codeSerialization || failure.Code == codeDeadlock)
}

// lost reports whether a connection is gone, or leads to a server that takes no
// writes any more: what was begun on it is undone.
func lost(err error) bool {
	if failure, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch failure.Code {
		case codeShutdown, codeCrash, codeStarting, codeReadOnly, codeIdle:
			return true
		}
		return strings.HasPrefix(failure.Code, classConnection)
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	for _, gone := range []error{driver.ErrBadConn, pgconn.ErrConnClosed, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return pgconn.SafeToRetry(err)
}

func (p *postgres) again(err error) bool { return conflict(err) || lost(err) }
