package store

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// firstSilence and longestSilence are the pauses before a lost connection is
	// made anew; they double.
	firstSilence   = 100 * time.Millisecond
	longestSilence = 10 * time.Second
	// probeEvery is how long nothing may be heard before the connection is asked
	// whether it is there: one can die without a word. probeTime is how long it
	// may take to answer.
	probeEvery = 15 * time.Second
	probeTime  = 5 * time.Second
)

// channel is the name under which the writers of the log and those who follow it
// meet, one for each schema.
const channel = `'ostiary_revoked_' || md5(current_schema())`

// tellTime is how long it may take to tell the others.
const tellTime = 2 * time.Second

// tell lets announce tell the other nodes.
func (p *postgres) tell() {
	select {
	case p.news <- struct{}{}:
	default: // it is about to
	}
}

// announce tells the other nodes what tell is called for, until the database is closed.
// It is not part of the transaction that it tells of: notifications are sent in one
// line by all who commit, and a cluster that is like PostgreSQL may know none. If one
// is lost, the others look anyway.
func (p *postgres) announce() {
	defer close(p.announced)
	for open := true; open; {
		select {
		case <-p.news:
		case <-p.closing:
			open = false
			select {
			case <-p.news:
			default:
				return
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), tellTime)
		p.pool.Exec(ctx, `SELECT pg_notify(`+channel+`, '')`)
		cancel()
	}
}

// listen calls wake when somebody, here or on another node, has added to the
// revocation log, until ctx is done. It has a connection of its own. What is said
// while there is none is lost, so it calls wake as well when there is one again.
func (p *postgres) listen(ctx context.Context, wake func()) {
	silence := firstSilence
	for ctx.Err() == nil {
		start := time.Now()
		p.hear(ctx, wake)
		if time.Since(start) > probeEvery { // it worked for a while
			silence = firstSilence
		}
		select {
		case <-ctx.Done():
		case <-time.After(silence/2 + rand.N(silence)):
		}
		silence = min(2*silence, longestSilence)
	}
}

// hear listens until the connection is lost. Why is not told: whoever needs the
// database finds out, and the log is also looked into without being woken.
func (p *postgres) hear(ctx context.Context, wake func()) {
	conn, err := pgx.ConnectConfig(ctx, p.config.Copy())
	if err != nil {
		return
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(last)
	}()
	var name string
	if err := conn.QueryRow(ctx, `SELECT `+channel).Scan(&name); err != nil {
		return
	}
	if _, err := conn.Exec(ctx, `LISTEN `+pgx.Identifier{name}.Sanitize()); err != nil {
		return
	}
	for wake(); heard(ctx, conn); {
		wake()
	}
}

// heard waits for the next notification, and reports whether there was one: if
// not, the connection is no good any more.
func heard(ctx context.Context, conn *pgx.Conn) bool {
	for ctx.Err() == nil && !conn.IsClosed() {
		quiet, cancel := context.WithTimeout(ctx, probeEvery)
		_, err := conn.WaitForNotification(quiet)
		cancel()
		if err == nil {
			return true
		}
		probe, cancel := context.WithTimeout(ctx, probeTime)
		err = conn.Ping(probe)
		cancel()
		if err != nil {
			return false
		}
	}
	return false
}
