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

// channel is the name under which those who change something and those who follow it
// meet, one for each schema. Its name is that of what was told of first.
const channel = `'ostiary_revoked_' || md5(current_schema())`

// tellTime is how long it may take to tell the others.
const tellTime = 2 * time.Second

// tell lets announce tell the other nodes.
func (p *postgres) tell(n news) {
	p.untold.Or(uint32(n))
	wake(p.news)
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
		p.pool.Exec(ctx, `SELECT pg_notify(`+channel+`, $1)`, news(p.untold.Swap(0)).String())
		cancel()
	}
}

// listen calls hear with what somebody, here or on another node, has changed, until ctx
// is done. It has a connection of its own. What is said while there is none is lost, so
// anything may have changed when there is one again.
func (p *postgres) listen(ctx context.Context, hear func(news)) {
	silence := firstSilence
	for ctx.Err() == nil {
		start := time.Now()
		p.hear(ctx, hear)
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
// database finds out, and everybody also looks without being woken.
func (p *postgres) hear(ctx context.Context, hear func(news)) {
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
	for n, ok := everything, true; ok; n, ok = heard(ctx, conn) {
		hear(n)
	}
}

// heard waits for the next notification, and reports whether there was one: if
// not, the connection is no good any more.
func heard(ctx context.Context, conn *pgx.Conn) (news, bool) {
	for ctx.Err() == nil && !conn.IsClosed() {
		quiet, cancel := context.WithTimeout(ctx, probeEvery)
		said, err := conn.WaitForNotification(quiet)
		cancel()
		if err == nil {
			return newsIn(said.Payload), true
		}
		probe, cancel := context.WithTimeout(ctx, probeTime)
		err = conn.Ping(probe)
		cancel()
		if err != nil {
			return 0, false
		}
	}
	return 0, false
}
