package store

import (
	"context"
	"errors"
	"time"
)

// grace is how long, in seconds, a session or grant that is over stays visible.
const grace = 24 * 60 * 60

// ahead is how far, in seconds, a clock may have been ahead before it is put right:
// what was revoked or used is remembered for so much longer than it could be used,
// so that it does not come back to life.
const ahead = 60 * 60

// deadKind is a statement that deletes some of what is dead, and how long that stays,
// in seconds.
type deadKind struct {
	query string
	grace int64
}

// dead lists what Sweep deletes: $1 is the time, $2 how many at most.
//
// Codes go with their grants, so that the replay of one is known for what it is
// as long as there is anything to revoke. A session that is over by itself stays
// until ExpireSession has ended it: its applications have to be told first.
var dead = []deadKind{
	{`DELETE FROM requests WHERE id IN (SELECT id FROM requests WHERE expires_at <= $1 LIMIT $2)`, 0},
	{`DELETE FROM auth_sessions WHERE id IN (SELECT id FROM auth_sessions WHERE expires_at <= $1 LIMIT $2)`, 0},
	{`DELETE FROM device_codes WHERE hash IN (SELECT hash FROM device_codes WHERE expires_at <= $1 LIMIT $2)`, ahead},
	{`DELETE FROM ceremonies WHERE holder IN (SELECT holder FROM ceremonies WHERE expires_at <= $1 LIMIT $2)`, 0},
	{`DELETE FROM sign_ins WHERE holder IN (SELECT holder FROM sign_ins WHERE expires_at <= $1 LIMIT $2)`, 0},
	{`DELETE FROM devices WHERE hash IN (SELECT hash FROM devices WHERE expires_at <= $1 LIMIT $2)`, 0},
	{`DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE expires_at <= $1 LIMIT $2)`, grace},
	{`DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE ended_at <> 0 AND ended_at <= $1 LIMIT $2)`, grace},
	{`DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE ended_at <> 0 AND ended_at <= $1 LIMIT $2)`, grace},
	{`DELETE FROM revocations WHERE sequence IN (SELECT sequence FROM revocations WHERE drop_at <= $1 LIMIT $2)`, ahead},
	{`DELETE FROM links WHERE hash IN (SELECT hash FROM links WHERE expires_at <= $1 LIMIT $2)`, 0},
	{`DELETE FROM confirmations WHERE id IN (SELECT id FROM confirmations WHERE expires_at <= $1 LIMIT $2)`, 0},
	{`DELETE FROM assertions WHERE (client_id, jti) IN (SELECT client_id, jti FROM assertions WHERE expires_at <= $1 LIMIT $2)`, ahead},
	{`DELETE FROM clients WHERE id IN (` + idleDocuments + ` AND r.fresh_until <= $1 LIMIT $2)`, grace},
	{`DELETE FROM signals WHERE sequence IN (SELECT sequence FROM signals WHERE expires_at <= $1 LIMIT $2)`, 0},
	{`DELETE FROM transmitter_tokens WHERE (transmitter_id, jti) IN (SELECT transmitter_id, jti FROM transmitter_tokens WHERE expires_at <= $1 LIMIT $2)`, ahead},
	{`DELETE FROM upstream_visits WHERE holder IN (SELECT holder FROM upstream_visits WHERE expires_at <= $1 LIMIT $2)`, 0},
	{`DELETE FROM upstream_strangers WHERE holder IN (SELECT holder FROM upstream_strangers WHERE expires_at <= $1 LIMIT $2)`, 0},
	{`DELETE FROM upstream_stays WHERE id IN (SELECT id FROM upstream_stays WHERE expires_at <= $1 LIMIT $2)`, 0},
	{`DELETE FROM upstream_messages WHERE (upstream_id, hash) IN (SELECT upstream_id, hash FROM upstream_messages WHERE expires_at <= $1 LIMIT $2)`, ahead},
	{`DELETE FROM tallies WHERE name IN (SELECT name FROM tallies WHERE expires_at <= $1 LIMIT $2)`, 0},
	{`DELETE FROM levels WHERE name IN (SELECT name FROM levels WHERE expires_at <= $1 LIMIT $2)`, 0},
}

// How the sweep makes way. What else writes waits while a batch is deleted and made
// durable, so a batch is as large as takes sweepTime, and after each the sweep rests for
// longer than that took. What is over lies everywhere: to make a batch durable, with
// all its indexes, takes longer than to delete it, up to durably times in all. What it
// took beyond that was the work of others who shared the commit: on a busy server they
// would else make the batches so small that more comes than is swept.
const (
	sweepTime  = 8 * time.Millisecond
	sweepRest  = 2 // times
	firstBatch = 20
	durably    = 3
)

// Swept is what a sweep has done.
type Swept struct {
	Rows    int
	Batches int
	Longest time.Duration // of a batch, with those who shared its commit: nobody waited longer for one
}

// Sweep deletes what nobody can use any more at the time now: requests, sign-ins,
// visits to identity providers with what they brought, questions to authenticators, devices, device codes, auth sessions, links, confirmations, assertions, tallies, levels, revocations and security events when they have expired, grants (with
// their codes) a day after they are over, sessions a day after they were ended, and
// clients known by a document that nobody has to do with a day after that went
// stale. Nobody waits for it long, see sweepTime. What is left when ctx is done waits
// for the next call; that it is done is no error. What cannot be deleted is no reason to
// leave all else. most bounds a batch: outside 1 to
// 1,000 it is 1,000.
func (s *Store) Sweep(ctx context.Context, now int64, most int) (Swept, error) {
	b := broom{Store: s, now: now, largest: page(most)}
	var failed error
	for _, d := range dead {
		err := b.sweep(ctx, d)
		if ctx.Err() != nil {
			return b.Swept, nil
		}
		failed = errors.Join(failed, err)
		if errors.Is(err, ErrAway) || errors.Is(err, ErrClosed) {
			break // they would all say so
		}
	}
	return b.Swept, failed
}

// broom is one sweep under way.
type broom struct {
	*Store
	Swept
	now           int64
	size, largest int64 // of a batch: the next one, and at most
}

// sweep deletes all that is dead of a kind.
func (b *broom) sweep(ctx context.Context, kind deadKind) error {
	// What another kind of row costs says nothing of this one.
	b.size = min(firstBatch, b.largest)
	for {
		var n int64
		var began time.Time // when it was its turn
		var deleting time.Duration
		err := b.run(ctx, tidy, func(tx *Tx) (err error) {
			began = time.Now()
			n, err = tx.exec(kind.query, b.now-kind.grace, b.size)
			deleting = time.Since(began)
			return err
		})
		if err != nil {
			return err
		}
		took := time.Since(began)
		b.Rows += int(n)
		b.Batches++
		b.Longest = max(b.Longest, took)
		if n < b.size {
			return nil
		}
		own := min(took, durably*deleting)
		b.size = fitting(b.size, own, b.largest)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(sweepRest * own):
		}
	}
}

// fitting is how many rows can be deleted in sweepTime, where size took so long. It
// grows slowly, and shrinks at once.
func fitting(size int64, took time.Duration, largest int64) int64 {
	fit := int64(float64(size) * float64(sweepTime) / float64(max(took, time.Microsecond)))
	return max(1, min(fit, 2*size, largest))
}
