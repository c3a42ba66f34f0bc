package store

import (
	"slices"

	"github.com/ostiary/ostiary/internal/model"
)

// signalLife is how long, in seconds, an event waits for its receiver.
const signalLife = 7 * 24 * 60 * 60

const signalColumns = `sequence, id, stream_id, txn, type, user_id, session_id, cause, detail, at, expires_at`

func scanSignal(row scanner) (g model.Signal, err error) {
	err = row.Scan(&g.Sequence, &g.ID, (*string)(&g.StreamID), &g.Transaction, &g.Type, (*string)(&g.UserID), (*string)(&g.SessionID),
		(*string)(&g.Cause), document{&g.Detail}, &g.At, &g.ExpiresAt)
	return g, err
}

// listener is a stream into which an event may go.
type listener struct {
	stream  model.StreamID
	session model.SessionID
	user    model.UserID
	types   []string
}

func scanListener(row scanner) (l listener, err error) {
	err = row.Scan((*string)(&l.stream), (*string)(&l.session), (*string)(&l.user), (*list)(&l.types))
	return l, err
}

// Known are the conditions under which a client knows the person u.id: it has a
// grant that is still stored, or their consent, or a part in a session. A receiver
// is told of nobody else.
const (
	knownByGrant   = `EXISTS (SELECT 1 FROM grants k WHERE k.user_id = $1 AND k.client_id = t.client_id)`
	knownByConsent = `EXISTS (SELECT 1 FROM consents k WHERE k.user_id = $1 AND k.client_id = t.client_id)`
	knownBySession = `EXISTS (SELECT 1 FROM sessions k JOIN participants p ON p.session_id = k.id WHERE k.user_id = $1 AND p.client_id = t.client_id)`
	known          = `(` + knownByGrant + ` OR ` + knownByConsent + ` OR ` + knownBySession + `)`
)

// Knows reports whether a client knows a person, who exists: the same question
// that Tell asks.
func (tx *Tx) Knows(client model.ClientID, user model.UserID) (bool, error) {
	n, err := one(tx, scanInt, `SELECT count(*) FROM (SELECT id AS client_id FROM clients WHERE id = $2) t WHERE `+known, string(user), string(client))
	return n > 0, err
}

// Tell puts an event about a person into the streams of all who know them and
// want events of its type. Its StreamID, ID and times are ignored but for At.
func (tx *Tx) Tell(g model.Signal) error {
	return tx.tellAll(g, `SELECT t.id, '', CAST($1 AS TEXT), t.delivered FROM streams t JOIN clients c ON c.id = t.client_id
		WHERE t.status <> 'disabled' AND c.disabled = 0 AND t.id > $2
			AND NOT EXISTS (SELECT 1 FROM stream_exclusions x WHERE x.stream_id = t.id AND x.user_id = $1)
			AND `+known+` ORDER BY t.id LIMIT $3`)
}

// TellGranted is Tell for what only those are to hear to whom the person has
// granted a scope.
func (tx *Tx) TellGranted(g model.Signal, scope string) error {
	return tx.tellAll(g, `SELECT DISTINCT t.id, '', CAST($1 AS TEXT), t.delivered FROM grants k
		JOIN streams t ON t.client_id = k.client_id JOIN clients c ON c.id = k.client_id
		WHERE k.user_id = $1 AND k.scope LIKE $4 AND t.status <> 'disabled' AND c.disabled = 0 AND t.id > $2
			AND NOT EXISTS (SELECT 1 FROM stream_exclusions x WHERE x.stream_id = t.id AND x.user_id = $1)
		ORDER BY t.id LIMIT $3`, `%"`+scope+`"%`)
}

// tellAll puts an event about a person into all streams that a query finds, which
// lists some by their ID, from the one that follows $2. Its further arguments begin
// at $4.
func (tx *Tx) tellAll(g model.Signal, query string, args ...any) error {
	for after := model.StreamID(""); ; {
		to, err := many(tx, scanListener, query, append([]any{string(g.UserID), string(after), page(0)}, args...)...)
		if err != nil {
			return err
		}
		if err := tx.tell(g, to); err != nil || len(to) < maxPage {
			return err
		}
		after = to[len(to)-1].stream
	}
}

// tellRevoked puts into the streams of all clients that took part in the sessions
// that where selects, or hold a grant from one, that these are over. The arguments
// of where begin at $5, as those of tellLogout do.
func (tx *Tx) tellRevoked(e Ending, where string, args ...any) error {
	after := listener{}
	for {
		to, err := many(tx, scanListener, `SELECT t.id, s.id, s.user_id, t.delivered FROM sessions s JOIN streams t
				ON EXISTS (SELECT 1 FROM participants p WHERE p.session_id = s.id AND p.client_id = t.client_id)
				OR EXISTS (SELECT 1 FROM grants k WHERE k.session_id = s.id AND k.client_id = t.client_id)
			JOIN clients c ON c.id = t.client_id
			WHERE t.status <> $3 AND c.disabled = 0 AND (s.id > $1 OR s.id = $1 AND t.id > $2)
				AND NOT EXISTS (SELECT 1 FROM stream_exclusions x WHERE x.stream_id = t.id AND x.user_id = s.user_id)
				AND `+where+` ORDER BY s.id, t.id LIMIT $4`,
			append([]any{string(after.session), string(after.stream), string(model.StreamDisabled), page(0)}, args...)...)
		if err != nil || len(to) == 0 {
			return err
		}
		if err := tx.tell(model.Signal{Type: model.EventSessionRevoked, Cause: e.Cause, At: e.At}, to); err != nil {
			return err
		}
		if len(to) < maxPage {
			return nil
		}
		after = to[len(to)-1]
	}
}

func (tx *Tx) tell(g model.Signal, to []listener) error {
	for _, l := range to {
		if !slices.Contains(l.types, g.Type) {
			continue
		}
		g.StreamID, g.UserID, g.SessionID = l.stream, l.user, l.session
		if err := tx.InsertSignal(g); err != nil {
			return err
		}
	}
	return nil
}

// InsertSignal adds an event to a stream that exists; its ID, its transaction and
// its expiry are given by the store.
func (tx *Tx) InsertSignal(g model.Signal) error {
	if tx.txn == "" {
		tx.txn = model.NewID()
	}
	detail, err := document{g.Detail}.text()
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO signals (id, stream_id, txn, type, user_id, session_id, cause, detail, at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, model.NewID(), string(g.StreamID), tx.txn, g.Type,
		string(g.UserID), string(g.SessionID), string(g.Cause), detail, g.At, g.At+signalLife)
	tx.queued = tx.queued || err == nil
	return err
}

// Signals lists what may be sent over a stream now, the oldest first: while it is
// paused, only that it is.
func (tx *Tx) Signals(s model.Stream, now int64, limit int) ([]model.Signal, error) {
	return many(tx, scanSignal, `SELECT `+signalColumns+` FROM signals
		WHERE stream_id = $1 AND expires_at > $2 AND (type = '`+model.EventStreamUpdated+`' OR $3 = 1) ORDER BY sequence LIMIT $4`,
		string(s.ID), now, s.Status == model.StreamEnabled, page(limit))
}

// CountSignals returns how many events wait in a stream.
func (tx *Tx) CountSignals(id model.StreamID) (int64, error) {
	return one(tx, scanInt, `SELECT count(*) FROM signals WHERE stream_id = $1`, string(id))
}

// DeleteSignal removes an event of a stream that its receiver has, or will never
// take. It fails with ErrNotFound.
func (tx *Tx) DeleteSignal(stream model.StreamID, id string) error {
	return tx.must(`DELETE FROM signals WHERE stream_id = $1 AND id = $2`, string(stream), id)
}

// TrimSignals removes the youngest events about people from a stream, so that
// keep of all are left, and returns how many it removed.
func (tx *Tx) TrimSignals(stream model.StreamID, keep int64) (int64, error) {
	return tx.exec(`DELETE FROM signals WHERE stream_id = $1 AND user_id <> '' AND sequence > (
		SELECT sequence FROM signals WHERE stream_id = $1 ORDER BY sequence LIMIT 1 OFFSET $2)`, string(stream), keep-1)
}
