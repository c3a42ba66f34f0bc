package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
)

// packedRevocation is a row as one text, because a column costs as much to read as
// all of this, and a snapshot of the log has a million rows. The value comes last:
// of the rest, nothing holds a tab.
const packedRevocation = `sequence || '	' || cut_off || '	' || at || '	' || drop_at || '	' || kind || '	' || cause || '	' || audiences || '	' || subjects || '	' || value`

// unpack returns a scanner of packed rows that reads a list of audiences that is
// repeated once: what it returns shares it.
func unpack() func(scanner) (model.Revocation, error) {
	known := map[string]list{}
	return func(row scanner) (r model.Revocation, err error) {
		var text string
		if err := row.Scan(&text); err != nil {
			return r, err
		}
		var part [9]string
		for i := range len(part) - 1 {
			var more bool
			if part[i], text, more = strings.Cut(text, "\t"); !more {
				return r, errors.New("store: a row of the revocation log is incomplete")
			}
		}
		part[8] = text
		for i, to := range []*int64{&r.Sequence, &r.CutOff, &r.At, &r.DropAt} {
			if *to, err = strconv.ParseInt(part[i], 10, 64); err != nil {
				return r, err
			}
		}
		r.Kind, r.Cause, r.Value = model.Kind(part[4]), model.Cause(part[5]), part[8]
		audiences, ok := known[part[6]]
		if !ok {
			if err := audiences.Scan(part[6]); err != nil {
				return r, err
			}
			known[part[6]] = audiences
		}
		r.Audiences = audiences
		return r, (*names)(&r.Subjects).Scan(part[7])
	}
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

// Scan reads the text of such a column.
func (n *names) Scan(text string) error {
	if text == "" {
		*n = nil
		return nil
	}
	return json.Unmarshal([]byte(text), (*map[string][]string)(n))
}

// Revocations lists the log from the entry that follows after. A reader that
// remembers the last sequence it saw misses nothing. Nobody may change what it
// returns.
func (tx *Tx) Revocations(after int64, limit int) ([]model.Revocation, error) {
	return many(tx, unpack(), `SELECT `+packedRevocation+` FROM revocations
		WHERE sequence > $1 ORDER BY sequence LIMIT $2`, after, page(limit))
}

// maxSnapshotPage bounds a page of LiveRevocations, which is read fast.
const maxSnapshotPage = 5000

// LiveRevocations lists the part of the log that follows after, up to the entry
// upTo, and can concern a token that is alive at the time now: at most limit
// entries, or 5,000.
func (tx *Tx) LiveRevocations(after, upTo, now int64, limit int) ([]model.Revocation, error) {
	if limit < 1 || limit > maxSnapshotPage {
		limit = maxSnapshotPage
	}
	scan, list := unpack(), make([]model.Revocation, 0, limit) // to let it grow costs a third of the whole
	_, err := many(tx, func(row scanner) (_ struct{}, err error) {
		r, err := scan(row)
		list = append(list, r)
		return struct{}{}, err
	}, `SELECT `+packedRevocation+` FROM revocations
		WHERE sequence > $1 AND sequence <= $2 AND drop_at + 0 > $3 ORDER BY sequence LIMIT $4`, // + 0: else a planner may sort
		after, upTo, now, limit)
	return list, err
}

// LastRevocation returns the sequence of the last entry that is in the log, 0 if it
// is empty.
func (tx *Tx) LastRevocation() (int64, error) {
	return one(tx, scanInt, `SELECT COALESCE(MAX(sequence), 0) FROM revocations`)
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

// OwnCutOff is CutOff for the tokens that a client gets for itself. It fails with
// ErrNotFound if there is no such client or it is disabled.
func (tx *Tx) OwnCutOff(client model.ClientID) (int64, error) {
	return tx.recall(string(client), func() (int64, error) {
		return one(tx, scanInt, `SELECT COALESCE((SELECT MAX(cut_off) FROM revocations
			WHERE kind = 'client' AND value = $1 OR kind = 'all' AND value = ''), 0)
			FROM clients WHERE id = $1 AND disabled = 0`, string(client))
	})
}

// revoke adds an entry to the log, and lets everybody who follows it know.
//
// PostgreSQL gives out sequence numbers at once and shows rows at commit, so
// entry 7 could appear after a reader has gone past 8, and be missed. Writers
// of the log therefore take their turn before they take a number, and keep it
// until they have committed: what a reader sees is always a beginning of the
// log. SQLite has one writer at a time anyway. That numbers are missing between two
// entries means nothing.
func (tx *Tx) revoke(r model.Revocation, e Ending) error {
	if r.Value == "" && r.Kind != model.KindAll {
		return errors.New("store: a revocation names what it puts out")
	}
	subjects, err := names(r.Subjects).text()
	if err != nil {
		return err
	}
	if turn := tx.dialect.inOrder(); turn != "" {
		if err := tx.must(turn); err != nil {
			return fmt.Errorf("store: there is no turn for the revocation log: %w", err)
		}
	}
	_, err = tx.exec(`INSERT INTO revocations (kind, value, cut_off, cause, at, drop_at, audiences, subjects)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, string(r.Kind), r.Value, r.CutOff, string(e.Cause), e.At, e.DropAt,
		list(r.Audiences).text(), subjects)
	return tx.changes(Revocations, err)
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
	Now       int64 // seconds: the session has to be live then; 0: the token outlives it
	JTI       string
	SessionID model.SessionID
	GrantID   model.GrantID
	UserID    model.UserID
	ClientID  model.ClientID
	IssuedAt  int64
}

// tokenEnded is the expression that says what puts a token out. Its arguments are those
// of args, and the person. Which of several entries is the latest is only asked where
// there is one: most tokens live.
func tokenEnded(user string) string {
	entries := `FROM revocations
		WHERE kind = 'session' AND value = $1
		OR kind = 'grant' AND value = $2
		OR kind = 'token' AND value = $3
		OR kind = 'subject' AND value = ` + user + ` AND cut_off >= $5
		OR kind = 'client' AND value = $4 AND cut_off >= $5
		OR kind = 'all' AND value = '' AND cut_off >= $5`
	return `CASE WHEN EXISTS (SELECT 1 ` + entries + `)
		THEN (SELECT '!' || cause ` + entries + ` ORDER BY sequence + 0 DESC LIMIT 1) ` + // + 0: else a planner may walk the log backwards
		`WHEN CAST($6 AS BIGINT) = 0 OR EXISTS (SELECT 1 FROM sessions WHERE id = $1 AND ended_at = 0 AND idle_at > $6 AND expires_at > $6)
		THEN '' ELSE '!' || $7 END`
}

func (t TokenRef) args(further ...any) []any {
	return append([]any{string(t.SessionID), string(t.GrantID), t.JTI, string(t.ClientID), t.IssuedAt, t.Now, string(model.CauseExpired)}, further...)
}

// ended reads the value of tokenEnded.
func ended(value string) (model.Cause, bool) {
	cause, ended := strings.CutPrefix(value, "!")
	return model.Cause(cause), ended
}

var tokenEndedQuery = `SELECT ` + tokenEnded("$8")

// TokenEnded reports whether the log puts a token out, and why: the latest
// entry tells. A token whose session is over by itself, and not in the log yet, has
// the cause model.CauseExpired.
func (tx *Tx) TokenEnded(t TokenRef) (model.Cause, bool, error) {
	value, err := one(tx, scanString, tokenEndedQuery, t.args(string(t.UserID))...)
	cause, ended := ended(value)
	return cause, ended, err
}

// Bearing is a token's grant and whose it is, and whether the token has ended.
type Bearing struct {
	Grant model.Grant
	User  model.User
	Cause model.Cause
	Ended bool
}

var bearingQuery = `SELECT ` + grantOf + `, ` + userOf + `, ` + tokenEnded("g.user_id") + ` FROM grants g JOIN users u ON u.id = g.user_id WHERE g.id = $2`

// Bearing is TokenEnded for a token that has a grant, with what that tells: the person
// need not be known. It fails with ErrNotFound where the grant is gone.
func (tx *Tx) Bearing(t TokenRef) (Bearing, error) {
	return one(tx, func(row scanner) (b Bearing, err error) {
		var value string
		if err := sectionOf(row, grantWidth+userWidth, 1).Scan(&value); err != nil {
			return b, err
		}
		b.Cause, b.Ended = ended(value)
		if b.Grant, err = scanGrant(sectionOf(row, 0, grantWidth)); err != nil {
			return b, err
		}
		b.User, err = scanUser(sectionOf(row, grantWidth, userWidth))
		return b, err
	}, bearingQuery, t.args()...)
}
