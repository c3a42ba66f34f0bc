package store

import "github.com/ostiary/ostiary/internal/model"

const streamColumns = `id, client_id, method, endpoint, sealed, requested, delivered, description, status, reason,
	verified_at, created_at, updated_at, next_at, attempts, failing_since`

func scanStream(row scanner) (s model.Stream, err error) {
	err = row.Scan((*string)(&s.ID), (*string)(&s.ClientID), &s.Method, &s.Endpoint, &s.Authorization, (*list)(&s.Requested), (*list)(&s.Delivered),
		&s.Description, (*string)(&s.Status), &s.Reason, &s.VerifiedAt, &s.CreatedAt, &s.UpdatedAt, &s.NextAt, &s.Attempts, &s.FailingSince)
	return s, err
}

// InsertStream adds a stream of a client that exists, unless that has max of them
// already: then it fails with ErrConflict.
func (tx *Tx) InsertStream(s model.Stream, max int64) error {
	return tx.insert(`INSERT INTO streams (`+streamColumns+`)
		SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS TEXT), CAST($7 AS TEXT), CAST($8 AS TEXT),
			CAST($9 AS TEXT), CAST($10 AS TEXT), 0, CAST($11 AS BIGINT), CAST($12 AS BIGINT), 0, 0, 0
		WHERE (SELECT count(*) FROM streams WHERE client_id = $2) < $13`,
		string(s.ID), string(s.ClientID), s.Method, s.Endpoint, s.Authorization, list(s.Requested).text(), list(s.Delivered).text(), s.Description,
		string(s.Status), s.Reason, s.CreatedAt, s.UpdatedAt, max)
}

// Stream returns a stream, or ErrNotFound.
func (tx *Tx) Stream(id model.StreamID) (model.Stream, error) {
	return one(tx, scanStream, `SELECT `+streamColumns+` FROM streams WHERE id = $1`, string(id))
}

// StreamsOf lists the streams of a client, the oldest first.
func (tx *Tx) StreamsOf(client model.ClientID) ([]model.Stream, error) {
	return many(tx, scanStream, `SELECT `+streamColumns+` FROM streams WHERE client_id = $1 ORDER BY created_at, id LIMIT $2`,
		string(client), page(0))
}

// UpdateStream writes what was agreed, and lets what waits be sent at once. It
// fails with ErrNotFound.
func (tx *Tx) UpdateStream(s model.Stream) error {
	err := tx.must(`UPDATE streams SET method = $2, endpoint = $3, sealed = $4, requested = $5, delivered = $6, description = $7, updated_at = $8,
		next_at = 0, attempts = 0, failing_since = 0 WHERE id = $1`,
		string(s.ID), s.Method, s.Endpoint, s.Authorization, list(s.Requested).text(), list(s.Delivered).text(), s.Description, s.UpdatedAt)
	tx.queued = tx.queued || err == nil
	return err
}

// SetStreamStatus writes whether a stream goes on, and why, and lets what may be
// sent be sent at once. Of one that is disabled it forgets what waits. It fails
// with ErrNotFound.
func (tx *Tx) SetStreamStatus(id model.StreamID, status model.StreamStatus, reason string, now int64) error {
	err := tx.must(`UPDATE streams SET status = $2, reason = $3, updated_at = $4, next_at = 0, attempts = 0, failing_since = 0 WHERE id = $1`,
		string(id), string(status), reason, now)
	if err != nil {
		return err
	}
	if status == model.StreamDisabled {
		if _, err := tx.exec(`DELETE FROM signals WHERE stream_id = $1`, string(id)); err != nil {
			return err
		}
	}
	tx.queued = true
	return nil
}

// DeleteStream removes a stream with what waits in it. It fails with ErrNotFound.
func (tx *Tx) DeleteStream(id model.StreamID) error {
	return tx.must(`DELETE FROM streams WHERE id = $1`, string(id))
}

// AskVerification notes that a verification was asked for, or fails with
// ErrConflict if one was after the time since: of many who try at the same time,
// one succeeds.
func (tx *Tx) AskVerification(id model.StreamID, since, now int64) error {
	n, err := tx.exec(`UPDATE streams SET verified_at = $3 WHERE id = $1 AND verified_at <= $2`, string(id), since, now)
	if err == nil && n == 0 {
		err = ErrConflict
	}
	return err
}

// ExcludeSubject keeps from a stream what is about a person. Once is enough.
func (tx *Tx) ExcludeSubject(id model.StreamID, user model.UserID) error {
	_, err := tx.exec(`INSERT INTO stream_exclusions (stream_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, string(id), string(user))
	return err
}

// IncludeSubject undoes ExcludeSubject.
func (tx *Tx) IncludeSubject(id model.StreamID, user model.UserID) error {
	_, err := tx.exec(`DELETE FROM stream_exclusions WHERE stream_id = $1 AND user_id = $2`, string(id), string(user))
	return err
}

// DueStreams lists the streams to whose receivers something is to be pushed, whoever
// waits longest first.
func (tx *Tx) DueStreams(due Due) ([]model.StreamID, error) {
	return many(tx, func(row scanner) (id model.StreamID, err error) {
		err = row.Scan((*string)(&id))
		return id, err
	}, `SELECT t.id FROM streams t JOIN clients c ON c.id = t.client_id
		WHERE t.method = '`+model.DeliverPush+`' AND t.status <> 'disabled' AND c.disabled = 0 AND (t.next_at <= $1 OR t.next_at > $2)
			AND EXISTS (SELECT 1 FROM signals g WHERE g.stream_id = t.id AND g.expires_at > $1 AND (t.status = 'enabled' OR g.type = '`+model.EventStreamUpdated+`'))
		ORDER BY t.next_at, t.id LIMIT $3`, due.Now, due.Latest, page(0))
}

// ClaimStream makes a stream the caller's to push, until the time until: nobody
// else is given it before, so that what waits in it stays in order. It fails with
// ErrNotFound if it is somebody else's, or not to be pushed now.
func (tx *Tx) ClaimStream(id model.StreamID, due Due, until int64) (model.Stream, error) {
	return change(tx, scanStream, `UPDATE streams SET next_at = $4
		WHERE id = $1 AND (next_at <= $2 OR next_at > $3) AND method = '`+model.DeliverPush+`' AND status <> 'disabled' RETURNING `+streamColumns,
		string(id), due.Now, due.Latest, until)
}

// ReleaseStream says when a stream that was claimed until then is due again, and
// how it went. One that was changed or taken over meanwhile stays as it is.
func (tx *Tx) ReleaseStream(s model.Stream, until int64) error {
	_, err := tx.exec(`UPDATE streams SET next_at = $3, attempts = $4, failing_since = $5 WHERE id = $1 AND next_at = $2`,
		string(s.ID), until, s.NextAt, s.Attempts, s.FailingSince)
	return err
}

// FullStreams lists the streams that are not disabled and in which more than max
// events wait.
func (tx *Tx) FullStreams(max int64) ([]model.Stream, error) {
	return many(tx, scanStream, `SELECT `+streamColumns+` FROM streams
		WHERE status <> 'disabled' AND id IN (SELECT stream_id FROM signals GROUP BY stream_id HAVING count(*) > $1) ORDER BY id LIMIT $2`, max, page(0))
}
