package store

import "context"

// grace is how long, in seconds, a session or grant that is over stays visible.
const grace = 24 * 60 * 60

// ahead is how far, in seconds, a clock may have been ahead before it is put right:
// what was revoked or used is remembered for so much longer than it could be used,
// so that it does not come back to life.
const ahead = 60 * 60

// dead lists what Sweep deletes: $1 is the time, $2 how many at most.
//
// Codes go with their grants, so that the replay of one is known for what it is
// as long as there is anything to revoke. A session that is over by itself stays
// until ExpireSession has ended it: its applications have to be told first.
var dead = []struct {
	query string
	grace int64
}{
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

// maxRounds bounds how many batches of a kind one call of Sweep deletes.
const maxRounds = 100

// Sweep deletes what nobody can use any more at the time now: requests, sign-ins,
// visits to identity providers with what they brought, questions to authenticators, devices, device codes, auth sessions, links, confirmations, assertions, tallies, revocations and security events when they have expired, grants (with
// their codes) a day after they are over, sessions a day after they were ended, and
// clients known by a document that nobody has to do with a day after that went
// stale. It deletes at most batch rows in one transaction, so that nobody waits for
// it long, and at most maxRounds batches of a kind; what is left waits for the next
// call. It returns how many rows it deleted. A batch outside 1 to 1,000 is 1,000.
func (s *Store) Sweep(ctx context.Context, now int64, batch int) (int, error) {
	total := 0
	size := page(batch)
	for _, d := range dead {
		n := size
		for round := 0; n == size && round < maxRounds; round++ {
			err := s.run(ctx, tidy, func(tx *Tx) (err error) {
				n, err = tx.exec(d.query, now-d.grace, size)
				return err
			})
			if err != nil {
				return total, err
			}
			total += int(n)
		}
	}
	return total, nil
}
