package store

import (
	"errors"

	"github.com/ostiary/ostiary/internal/model"
)

const revocationColumns = `sequence, kind, value, cut_off, cause, at, drop_at`

func scanRevocation(row scanner) (r model.Revocation, err error) {
	err = row.Scan(&r.Sequence, (*string)(&r.Kind), &r.Value, &r.CutOff, (*string)(&r.Cause), &r.At, &r.DropAt)
	return r, err
}

// Revocations lists the log from the entry that follows after. A reader that
// remembers the last sequence it saw misses nothing.
func (tx *Tx) Revocations(after int64, limit int) ([]model.Revocation, error) {
	return many(tx, scanRevocation, `SELECT `+revocationColumns+` FROM revocations
		WHERE sequence > $1 ORDER BY sequence LIMIT $2`, after, page(limit))
}

// revoke adds an entry to the log.
//
// PostgreSQL gives out sequence numbers at once and shows rows at commit, so
// entry 7 could appear after a reader has gone past 8, and be missed. Writers
// of the log therefore take their turn before they take a number, and keep it
// until they have committed: what a reader sees is always a beginning of the
// log. SQLite has one writer at a time anyway.
func (tx *Tx) revoke(kind model.Kind, value string, cutOff int64, e Ending) error {
	if value == "" && kind != model.KindAll {
		return errors.New("store: a revocation names what it puts out")
	}
	if turn := tx.dialect.inOrder(); turn != "" {
		if _, err := tx.exec(turn); err != nil {
			return err
		}
	}
	_, err := tx.exec(`INSERT INTO revocations (kind, value, cut_off, cause, at, drop_at)
		VALUES ($1, $2, $3, $4, $5, $6)`, string(kind), value, cutOff, string(e.Cause), e.At, e.DropAt)
	return err
}

// TokenRef is what a token says about itself. What it does not say is empty.
type TokenRef struct {
	JTI       string
	SessionID model.SessionID
	GrantID   model.GrantID
	UserID    model.UserID
	ClientID  model.ClientID
	IssuedAt  int64
}

// TokenEnded reports whether the log puts a token out, and why: the latest
// entry tells.
func (tx *Tx) TokenEnded(t TokenRef) (model.Cause, bool, error) {
	cause, err := one(tx, scanString, `SELECT cause FROM revocations
		WHERE kind = 'session' AND value = $1
		OR kind = 'grant' AND value = $2
		OR kind = 'token' AND value = $3
		OR kind = 'subject' AND value = $4 AND cut_off >= $6
		OR kind = 'client' AND value = $5 AND cut_off >= $6
		OR kind = 'all' AND value = '' AND cut_off >= $6
		ORDER BY sequence + 0 DESC LIMIT 1`, // + 0: else a planner may walk the log backwards
		string(t.SessionID), string(t.GrantID), t.JTI, string(t.UserID), string(t.ClientID), t.IssuedAt)
	if errors.Is(err, ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	return model.Cause(cause), true, nil
}
