package store

import (
	"context"
	"slices"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

// Ending is why and when something is ended. At is read in the transaction, after
// something else was read in it: before that it has no place among the others yet,
// and a token that was issued meanwhile would say that it is younger. (Of those that
// have a grant; see deepen for the others.)
type Ending struct {
	Cause  model.Cause
	At     int64
	DropAt int64 // when the last token that it concerns is dead
}

// NewEnding says that something ends now, and for how long that must be
// remembered: until no access token can be alive.
func NewEnding(cause model.Cause, now int64) Ending {
	return Ending{Cause: cause, At: now, DropAt: now + int64((model.MaxAccessLife+model.Leeway)/time.Second)}
}

// The methods here are the only ones that end anything. Each writes the ended
// columns, which the server reads, the revocation log, which the APIs read, and
// the outbox, from which the applications are told, in the same transaction: there
// is no way to do one without the others.

// EndSession ends a session and those of its grants that do not outlive it, and what
// its person has asked for and not confirmed yet: it may have been in this session. It
// fails with ErrNotFound if there is no such session or it was ended before; a
// session that has expired can still be ended, because tokens may name it.
func (tx *Tx) EndSession(id model.SessionID, e Ending) error {
	err := tx.must(`UPDATE sessions SET ended_at = $2, due_at = 0 WHERE id = $1 AND ended_at = 0`, string(id), e.At)
	if err != nil {
		return err
	}
	_, err = tx.exec(`DELETE FROM confirmations WHERE purpose = $2 AND user_id IN (SELECT user_id FROM sessions WHERE id = $1)`, string(id), model.ConfirmMail)
	if err != nil {
		return err
	}
	return tx.endedSession(id, e)
}

// ExpireSession is EndSession for a session that is over by itself at e.At. It
// fails with ErrNotFound, too, if the session was used meanwhile and goes on.
func (tx *Tx) ExpireSession(id model.SessionID, e Ending) error {
	err := tx.must(`UPDATE sessions SET ended_at = $2, due_at = 0
		WHERE id = $1 AND ended_at = 0 AND (idle_at <= $2 OR expires_at <= $2)`, string(id), e.At)
	if err != nil {
		return err
	}
	return tx.endedSession(id, e)
}

// endedSession does what follows from the end of a session.
func (tx *Tx) endedSession(id model.SessionID, e Ending) error {
	_, err := tx.exec(`UPDATE grants SET ended_at = $2, end_cause = $3
		WHERE session_id = $1 AND ended_at = 0 AND offline = 0`, string(id), e.At, string(e.Cause))
	if err != nil {
		return err
	}
	if err := tx.tellLogout(e, `s.id = $5`, string(id)); err != nil {
		return err
	}
	if err := tx.tellRevoked(e, `s.id = $5`, string(id)); err != nil {
		return err
	}
	// A token of a grant that outlives the session does not name it ("sid").
	to, err := tx.reachOf(`session_id = $1 AND offline = 0`, string(id))
	if err != nil {
		return err
	}
	return tx.revoke(model.Revocation{Kind: model.KindSession, Value: string(id), Audiences: to.audiences()}, e)
}

// EndGrant ends a grant and all that was issued from it. It fails with
// ErrNotFound if there is no such grant or it was ended before.
func (tx *Tx) EndGrant(id model.GrantID, e Ending) error {
	err := tx.must(`UPDATE grants SET ended_at = $2, end_cause = $3 WHERE id = $1 AND ended_at = 0`,
		string(id), e.At, string(e.Cause))
	if err != nil {
		return err
	}
	to, err := tx.reachOf(`id = $1`, string(id))
	if err != nil {
		return err
	}
	return tx.revoke(model.Revocation{Kind: model.KindGrant, Value: string(id), Audiences: to.audiences()}, e)
}

// EndUser ends all sessions and grants of a person and puts out their tokens
// issued up to e.At. It fails with ErrNotFound if there is no such person.
func (tx *Tx) EndUser(id model.UserID, e Ending) error {
	if _, err := one(tx, scanInt, `SELECT 1 FROM users WHERE id = $1`, string(id)); err != nil {
		return err
	}
	if err := tx.tellLogout(e, `s.user_id = $5 AND s.ended_at = 0`, string(id)); err != nil {
		return err
	}
	if err := tx.tellRevoked(e, `s.user_id = $5 AND s.ended_at = 0`, string(id)); err != nil {
		return err
	}
	last, err := tx.lastIssued(e, `user_id = $2`, string(id))
	if err != nil {
		return err
	}
	_, err = tx.exec(`UPDATE sessions SET ended_at = $2, due_at = 0 WHERE user_id = $1 AND ended_at = 0`, string(id), e.At)
	if err != nil {
		return err
	}
	_, err = tx.exec(`UPDATE grants SET ended_at = $2, end_cause = $3 WHERE user_id = $1 AND ended_at = 0`,
		string(id), e.At, string(e.Cause))
	if err != nil {
		return err
	}
	if err := tx.DropHalves(id); err != nil {
		return err
	}
	to, err := tx.reachOf(`user_id = $1`, string(id))
	if err != nil {
		return err
	}
	return tx.revoke(model.Revocation{
		Kind: model.KindSubject, Value: string(id), CutOff: last, Audiences: to.audiences(), Subjects: to.subjects(id),
	}, e.upTo(last))
}

// DropHalves removes what a person has begun and not brought to its end: what is
// half proven on the way to a session, and an address that was asked for and is not
// confirmed. Whoever is put out cannot go on with either.
func (tx *Tx) DropHalves(id model.UserID) error {
	if err := tx.DeleteSignIns(id); err != nil {
		return err
	}
	return tx.DropConfirmations(id, model.ConfirmMail)
}

// EndClient ends all grants of a client and puts out its tokens issued up to
// e.At. It fails with ErrNotFound if there is no such client.
func (tx *Tx) EndClient(id model.ClientID, e Ending) error {
	if _, err := one(tx, scanInt, `SELECT 1 FROM clients WHERE id = $1`, string(id)); err != nil {
		return err
	}
	tx.q.wide()
	last, err := tx.lastIssued(e, `client_id = $2`, string(id))
	if err != nil {
		return err
	}
	_, err = tx.exec(`UPDATE grants SET ended_at = $2, end_cause = $3 WHERE client_id = $1 AND ended_at = 0`,
		string(id), e.At, string(e.Cause))
	if err != nil {
		return err
	}
	return tx.cut(cut{model.Revocation{Kind: model.KindClient, Value: string(id), CutOff: last}, e.upTo(last)})
}

// EndAll ends every session and every grant and puts out every token issued up
// to e.At: for the day when a key has leaked.
func (tx *Tx) EndAll(e Ending) error {
	tx.q.wide()
	if err := tx.tellLogout(e, `s.ended_at = 0`); err != nil {
		return err
	}
	if err := tx.tellRevoked(e, `s.ended_at = 0`); err != nil {
		return err
	}
	if _, err := tx.exec(`UPDATE sessions SET ended_at = $1, due_at = 0 WHERE ended_at = 0`, e.At); err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM sign_ins`); err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM confirmations WHERE purpose = $1`, model.ConfirmMail); err != nil {
		return err
	}
	last, err := tx.lastIssued(e, `user_id <> ''`)
	if err != nil {
		return err
	}
	_, err = tx.exec(`UPDATE grants SET ended_at = $1, end_cause = $2 WHERE ended_at = 0`, e.At, string(e.Cause))
	if err != nil {
		return err
	}
	return tx.cut(cut{model.Revocation{Kind: model.KindAll, CutOff: last}, e.upTo(last)})
}

// lastIssued is the cut-off of an ending: its own time, or that of the last token of the
// grants that where selects, if that says a later one. The node that issued it may have
// a clock that is ahead of this one's, by model.Leeway at most: one that is further
// ahead would keep people out who come again. It is asked before the grants are ended.
// The arguments of where begin at $2.
func (tx *Tx) lastIssued(e Ending, where string, args ...any) (int64, error) {
	last, err := one(tx, func(row scanner) (int64, error) {
		var made, renewed, waited, redeemed int64
		err := row.Scan(&made, &renewed, &waited, &redeemed)
		return max(made, renewed, waited, redeemed), err
	}, `SELECT COALESCE(MAX(created_at), 0), COALESCE(MAX(rotated_at), 0), COALESCE(MAX(not_before), 0),
			COALESCE(MAX(CASE WHEN created_at > $1 THEN (SELECT MAX(used_at) FROM codes c WHERE c.grant_id = g.id) END), 0)
		FROM grants g WHERE ended_at = 0 AND `+where, append([]any{e.At - redeemable}, args...)...)
	if err != nil {
		return 0, err
	}
	if last <= e.At {
		return e.At, nil
	}
	// "iat" is looked up beside what is written here, perhaps in the next second.
	return min(last+1, e.At+int64(model.Leeway/time.Second)), nil
}

// redeemable is how long after a grant was made its code can be used, in seconds, with
// more than clocks may differ: codes of older ones need not be looked at.
const redeemable = 120

// upTo is an ending whose tokens are up to a time.
func (e Ending) upTo(last int64) Ending {
	e.DropAt += last - e.At
	return e
}

// cut is an entry of the log that puts out tokens which have no row, too: those that a
// client got for itself. Nothing but the log tells whoever issues one that it must not,
// and the log does so from the commit on. Until then tokens are issued that may say a
// later second than the ending, which began before.
type cut struct {
	entry  model.Revocation
	ending Ending
}

func (tx *Tx) cut(c cut) error {
	err := tx.revoke(c.entry, c.ending)
	if err == nil {
		tx.cuts = append(tx.cuts, c)
	}
	return err
}

// deepen puts out what was issued until a commit that came in a later second than its
// entries say. Nobody is told before that something has ended: if it fails, they are
// told so, and end it again. Once is enough: from the commit on, whoever asks is told.
func (s *Store) deepen(ctx context.Context, cuts []cut) error {
	now := s.now().Unix()
	cuts = slices.DeleteFunc(cuts, func(c cut) bool { return c.entry.CutOff >= now })
	if len(cuts) == 0 {
		return nil
	}
	return s.Upkeep(context.WithoutCancel(ctx), func(tx *Tx) error {
		for _, c := range cuts {
			late := now - c.entry.CutOff
			c.entry.CutOff = now
			c.ending.At, c.ending.DropAt = c.ending.At+late, c.ending.DropAt+late
			if err := tx.revoke(c.entry, c.ending); err != nil {
				return err
			}
		}
		return nil
	})
}

// RevokeToken puts out one token, which is for those audiences; nil: for anybody.
func (tx *Tx) RevokeToken(jti string, audiences []string, e Ending) error {
	return tx.revoke(model.Revocation{Kind: model.KindToken, Value: jti, Audiences: audiences}, e)
}
