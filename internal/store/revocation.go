package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ostiary/ostiary/internal/model"
)

const revocationColumns = `sequence, kind, value, cut_off, cause, at, drop_at, audiences, subjects`

func scanRevocation(row scanner) (r model.Revocation, err error) {
	err = row.Scan(&r.Sequence, (*string)(&r.Kind), &r.Value, &r.CutOff, (*string)(&r.Cause), &r.At, &r.DropAt,
		(*list)(&r.Audiences), (*names)(&r.Subjects))
	return r, err
}

// names is a column that holds lists of names as a JSON object; nil is the empty
// text.
type names map[string][]string

func (n names) text() (string, error) {
	if n == nil {
		return "", nil
	}
	return document{n}.text()
}

// Scan implements sql.Scanner.
func (n *names) Scan(src any) error {
	text, ok := src.(string)
	switch {
	case !ok:
		return fmt.Errorf("names are stored as text, not %T", src)
	case text == "":
		*n = nil
		return nil
	}
	return json.Unmarshal([]byte(text), (*map[string][]string)(n))
}

// Revocations lists the log from the entry that follows after. A reader that
// remembers the last sequence it saw misses nothing.
func (tx *Tx) Revocations(after int64, limit int) ([]model.Revocation, error) {
	return many(tx, scanRevocation, `SELECT `+revocationColumns+` FROM revocations
		WHERE sequence > $1 ORDER BY sequence LIMIT $2`, after, page(limit))
}

// CutOff returns the latest time up to which tokens of a person at a client were
// put out together, 0 if none were. It is read in a View: in a serializable
// transaction it would be in the way of everybody who ends something.
func (tx *Tx) CutOff(user model.UserID, client model.ClientID) (int64, error) {
	return one(tx, scanInt, `SELECT COALESCE(MAX(cut_off), 0) FROM revocations
		WHERE kind = 'subject' AND value = $1
		OR kind = 'client' AND value = $2
		OR kind = 'all' AND value = ''`, string(user), string(client))
}

// revoke adds an entry to the log, and lets everybody who follows it know.
//
// PostgreSQL gives out sequence numbers at once and shows rows at commit, so
// entry 7 could appear after a reader has gone past 8, and be missed. Writers
// of the log therefore take their turn before they take a number, and keep it
// until they have committed: what a reader sees is always a beginning of the
// log. SQLite has one writer at a time anyway.
func (tx *Tx) revoke(r model.Revocation, e Ending) error {
	if r.Value == "" && r.Kind != model.KindAll {
		return errors.New("store: a revocation names what it puts out")
	}
	subjects, err := names(r.Subjects).text()
	if err != nil {
		return err
	}
	if turn := tx.dialect.inOrder(); turn != "" {
		if _, err := tx.exec(turn); err != nil {
			return err
		}
	}
	_, err = tx.exec(`INSERT INTO revocations (kind, value, cut_off, cause, at, drop_at, audiences, subjects)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, string(r.Kind), r.Value, r.CutOff, string(e.Cause), e.At, e.DropAt,
		list(r.Audiences).text(), subjects)
	tx.logged = err == nil
	return err
}

// reach is whom tokens can be for, and how those know a person: names ("sub") by
// audience ("aud"). Under "" is what tokens say whose audience is not known: they
// can be for anybody.
type reach map[string]map[string]bool

// reachOf looks at the grants that where selects, live or not: a token outlives
// its grant.
func (tx *Tx) reachOf(where string, args ...any) (reach, error) {
	r := reach{}
	_, err := many(tx, func(row scanner) (_ struct{}, err error) {
		var audience list
		var subject, user string
		if err := row.Scan(&audience, &subject, &user); err != nil {
			return struct{}{}, err
		}
		if subject == "" {
			subject = user
		}
		if audience == nil {
			audience = list{""}
		}
		for _, a := range audience {
			if r[a] == nil {
				r[a] = map[string]bool{}
			}
			r[a][subject] = true
		}
		return struct{}{}, nil
	}, `SELECT DISTINCT audience, subject, user_id FROM grants WHERE `+where, args...)
	return r, err
}

func (r reach) audiences() []string {
	if r[""] != nil {
		return nil
	}
	return slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(r))))
}

// subjects returns nil where everybody knows the person by the account.
func (r reach) subjects(user model.UserID) map[string][]string {
	all, public := map[string][]string{}, true
	for audience, set := range r {
		all[audience] = slices.Sorted(maps.Keys(set))
		public = public && len(set) == 1 && set[string(user)]
	}
	if public {
		return nil
	}
	return all
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
