package store

import "github.com/ostiary/ostiary/internal/model"

// noticeLife is how long, in seconds, it is tried to deliver a notice.
const noticeLife = 24 * 60 * 60

const noticeColumns = `sequence, kind, destination, user_id, session_id, cause, at, attempts, next_at, expires_at`

func scanNotice(row scanner) (n model.Notice, err error) {
	err = row.Scan(&n.Sequence, (*string)(&n.Kind), &n.Destination, (*string)(&n.UserID), (*string)(&n.SessionID),
		(*string)(&n.Cause), &n.At, &n.Attempts, &n.NextAt, &n.ExpiresAt)
	return n, err
}

// tellLogout puts into the outbox, for each client that took part in the
// sessions that where selects and asks to be told, that they are over. The
// arguments of where begin at $5.
func (tx *Tx) tellLogout(e Ending, where string, args ...any) error {
	n, err := tx.exec(`INSERT INTO outbox (kind, destination, user_id, session_id, cause, at, attempts, next_at, expires_at)
		SELECT CAST($1 AS TEXT), p.client_id, s.user_id, s.id, CAST($2 AS TEXT), CAST($3 AS BIGINT), 0, CAST($3 AS BIGINT), CAST($4 AS BIGINT)
		FROM sessions s
		JOIN participants p ON p.session_id = s.id
		JOIN clients c ON c.id = p.client_id
		WHERE c.told = 1 AND c.disabled = 0 AND `+where,
		append([]any{string(model.NoticeLogout), string(e.Cause), e.At, e.At + noticeLife}, args...)...)
	if n > 0 {
		tx.queued = true
	}
	return err
}

// Notices lists the outbox from the entry that follows after.
func (tx *Tx) Notices(after int64, limit int) ([]model.Notice, error) {
	return many(tx, scanNotice, `SELECT `+noticeColumns+` FROM outbox
		WHERE sequence > $1 ORDER BY sequence LIMIT $2`, after, page(limit))
}

// Due is what is to be done at a time. What waits for longer than until Latest is due as
// well: nothing is put off for so long, so the clock was ahead when it was.
type Due struct{ Now, Latest int64 }

// DueDestinations lists to whom something is to be delivered, whoever waits longest
// first.
func (tx *Tx) DueDestinations(due Due) ([]string, error) {
	return many(tx, scanString, `SELECT destination FROM outbox WHERE next_at <= $1 OR next_at > $2
		GROUP BY destination ORDER BY min(next_at), destination LIMIT $3`, due.Now, due.Latest, page(0))
}

// ClaimNotices takes at most limit notices that are due for a destination, the
// oldest ones, and counts an attempt for each. Nobody else is given them before
// the time until: of many nodes, one delivers.
func (tx *Tx) ClaimNotices(destination string, due Due, until int64, limit int) ([]model.Notice, error) {
	return changeMany(tx, scanNotice, `UPDATE outbox SET attempts = attempts + 1, next_at = $4
		WHERE (next_at <= $2 OR next_at > $3) AND sequence IN (
			SELECT sequence FROM outbox WHERE destination = $1 AND (next_at <= $2 OR next_at > $3) ORDER BY sequence LIMIT $5)
		RETURNING `+noticeColumns, destination, due.Now, due.Latest, until, page(limit))
}

// RetryNotice lets a notice wait for its next attempt. It fails with ErrNotFound.
func (tx *Tx) RetryNotice(sequence, at int64) error {
	return tx.must(`UPDATE outbox SET next_at = $2 WHERE sequence = $1`, sequence, at)
}

// PostponeNotices lets everything wait that is due for a destination.
func (tx *Tx) PostponeNotices(destination string, due Due, until int64) error {
	_, err := tx.exec(`UPDATE outbox SET next_at = $4 WHERE destination = $1 AND (next_at <= $2 OR next_at > $3)`,
		destination, due.Now, due.Latest, until)
	return err
}

// DeleteNotice removes a notice that needs no further attempt. It fails with
// ErrNotFound.
func (tx *Tx) DeleteNotice(sequence int64) error {
	return tx.must(`DELETE FROM outbox WHERE sequence = $1`, sequence)
}
