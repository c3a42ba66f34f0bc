package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ostiary/ostiary/internal/model"
)

const eventColumns = `at, actor_kind, actor_id, actor_address, action, user_id, client_id, detail, mark`

const allEvent = `sequence, position, seal, ` + eventColumns

func scanEvent(row scanner) (e model.Event, err error) {
	err = row.Scan(&e.Sequence, &e.Position, &e.Seal, &e.At, (*string)(&e.Actor.Kind), &e.Actor.ID, &e.Actor.Address,
		&e.Action, (*string)(&e.UserID), (*string)(&e.ClientID), &e.Detail, &e.Mark)
	return e, err
}

// Mark says what is written beside each entry of the audit log from now on: a mark
// of who wrote it. The function is given the entry as it will be read, without its
// Sequence, and may be called inside transactions, so it is quick.
func (s *Store) Mark(mark func(model.Event) string) { s.mark.Store(&mark) }

// Record adds an entry to the audit log; a zero At becomes the present time,
// and the Sequence is given by the store.
func (tx *Tx) Record(e model.Event) error {
	if e.At == 0 {
		e.At = tx.now().Unix()
	}
	e.Mark = ""
	if tx.mark != nil {
		for _, text := range []*string{(*string)(&e.Actor.Kind), &e.Actor.ID, &e.Actor.Address, &e.Action, (*string)(&e.UserID), (*string)(&e.ClientID), &e.Detail} {
			*text = storableText(*text)
		}
		e.Mark = tx.mark(e)
	}
	err := tx.later(`INSERT INTO events (`+eventColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		e.At, string(e.Actor.Kind), e.Actor.ID, e.Actor.Address, e.Action, string(e.UserID), string(e.ClientID), e.Detail, e.Mark)
	if err == nil {
		tx.recorded = true
	}
	return err
}

// Events lists the audit log, sealed or not, from the entry that follows after.
func (tx *Tx) Events(after int64, limit int) ([]model.Event, error) {
	return many(tx, scanEvent, `SELECT `+allEvent+` FROM events
		WHERE sequence > $1 ORDER BY sequence LIMIT $2`, after, page(limit))
}

// UnsealedEvents lists entries that have no position in the chain yet, from the
// one that follows after.
func (tx *Tx) UnsealedEvents(after int64, limit int) ([]model.Event, error) {
	return many(tx, scanEvent, `SELECT `+allEvent+` FROM events
		WHERE position = 0 AND sequence > $1 ORDER BY position, sequence LIMIT $2`, after, page(limit))
}

// SealedEvents lists the chain from the position that follows after, which is 0 or
// more.
func (tx *Tx) SealedEvents(after int64, limit int) ([]model.Event, error) {
	return many(tx, scanEvent, `SELECT `+allEvent+` FROM events
		WHERE position > $1 ORDER BY position, sequence LIMIT $2`, after, page(limit))
}

// CountUnmarkedEvents returns how many entries carry no mark. It reads the whole
// log.
func (tx *Tx) CountUnmarkedEvents() (int64, error) {
	return one(tx, scanInt, `SELECT count(*) FROM events WHERE mark = ''`)
}

// EventBounds is what the positions in the chain say of the whole: the first and the
// last, and how many entries come after some position.
type EventBounds struct{ First, Last, Count int64 }

// EventBounds reads the whole log.
func (tx *Tx) EventBounds(after int64) (EventBounds, error) {
	return one(tx, func(row scanner) (b EventBounds, err error) {
		err = row.Scan(&b.First, &b.Last, &b.Count)
		return b, err
	}, `SELECT COALESCE(MIN(position), 0), COALESCE(MAX(position), 0), COALESCE(SUM(CASE WHEN position > $1 THEN 1 ELSE 0 END), 0)
		FROM events WHERE position <> 0`, after)
}

// CountUnsealedEvents returns how many entries have no position yet.
func (tx *Tx) CountUnsealedEvents() (int64, error) {
	return one(tx, scanInt, `SELECT count(*) FROM events WHERE position = 0`)
}

// EventFilter narrows a listing of the sealed entries of the audit log; what is
// empty does not.
type EventFilter struct {
	User   model.UserID
	Client model.ClientID
	Action string // or its noun alone: "session" finds "session.start"
	Actor  string // an ID, or an ActorKind
	Since  int64  // entries of that time and later
	Until  int64  // entries before that time; 0: all
	After  int64  // the position that the listing follows
	Newest bool   // the last ones, not the first, that fit
	Limit  int    // 1000 at most
}

const eventsThatFit = `SELECT ` + allEvent + ` FROM events WHERE position > $1 AND seal <> ''
	AND at >= $2 AND (at < $3 OR $3 = 0)
	AND ($4 = '' OR client_id = $4)
	AND ($5 = '' OR action = $5 OR substr(action, 1, length($5) + 1) = $5 || '.')
	AND ($6 = '' OR actor_id = $6 OR actor_kind = $6)`

const eventsOfUser = eventsThatFit + ` AND user_id = $8 AND user_id <> ''`

// FindEvents lists sealed entries by their position.
func (tx *Tx) FindEvents(f EventFilter) ([]model.Event, error) {
	args := []any{max(f.After, 0), f.Since, f.Until, string(f.Client), f.Action, f.Actor, page(f.Limit)}
	if f.User != "" {
		args = append(args, string(f.User))
	}
	var query string
	switch {
	case f.User != "" && f.Newest:
		query = eventsOfUser + ` ORDER BY position DESC LIMIT $7`
	case f.User != "":
		query = eventsOfUser + ` ORDER BY position LIMIT $7`
	case f.Newest:
		query = eventsThatFit + ` ORDER BY position DESC, sequence DESC LIMIT $7`
	default:
		query = eventsThatFit + ` ORDER BY position, sequence LIMIT $7`
	}
	list, err := many(tx, scanEvent, query, args...)
	if f.Newest {
		slices.Reverse(list)
	}
	return list, err
}

// EventsOf lists the sealed entries that concern a person, the last first, from the
// one that comes before a position; 0: from the end. Those of some actions are left
// out.
func (tx *Tx) EventsOf(user model.UserID, before int64, limit int, but ...string) ([]model.Event, error) {
	if before <= 0 {
		before = math.MaxInt64
	}
	query := `SELECT ` + allEvent + ` FROM events
		WHERE seal <> '' AND user_id = $1 AND user_id <> '' AND position < $2`
	args := []any{string(user), before, page(limit)}
	for _, action := range but {
		args = append(args, action)
		query += ` AND action <> $` + strconv.Itoa(len(args))
	}
	return many(tx, scanEvent, query+` ORDER BY position DESC LIMIT $3`, args...)
}

// SealEvents writes the Position and the Seal of entries that have none, and
// replaces the setting, which is the head of the chain, in one transaction. It
// fails with ErrConflict if the setting is not what it was: of many who seal at
// the same time, one does.
//
// It is not serializable, like what Update does: there, to look for an entry would
// count as reading what others are writing beside it, and make them fail. That the
// setting is changed first, on a condition, is all the order that it needs.
func (s *Store) SealEvents(ctx context.Context, head Replacement, sealed []model.Event) error {
	return s.run(ctx, tidy, func(tx *Tx) error {
		if err := head.replace(tx); err != nil {
			return err
		}
		for some := range slices.Chunk(sealed, sealedAtOnce) {
			args := make([]any, 0, 3*sealedAtOnce)
			for _, e := range some {
				args = append(args, e.Sequence, e.Position, e.Seal)
			}
			for len(args) < 3*sealedAtOnce { // one text for any number: the last again
				args = append(args, args[len(args)-3:]...)
			}
			n, err := tx.exec(sealSome(), args...)
			if err == nil && n != int64(len(some)) {
				err = ErrConflict
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// sealedAtOnce is how many entries one statement seals.
const sealedAtOnce = 50

// sealSome finds each entry by its key. The first row of VALUES gives the types of
// all of them.
var sealSome = sync.OnceValue(func() string {
	var query strings.Builder
	query.WriteString(`UPDATE events SET position = v.column2, seal = v.column3
		FROM (VALUES (CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($3 AS TEXT))`)
	for i := 3; i < 3*sealedAtOnce; i += 3 {
		fmt.Fprintf(&query, ", ($%d, $%d, $%d)", i+1, i+2, i+3)
	}
	query.WriteString(`) AS v WHERE sequence = v.column1 AND position = 0`)
	return query.String()
})

// SweepEvents deletes the sealed entries up to that position and replaces the
// setting, which is the head of the chain, in one transaction. It fails with
// ErrConflict if the setting is not what it was.
func (s *Store) SweepEvents(ctx context.Context, head Replacement, upTo int64) error {
	return s.run(ctx, tidy, func(tx *Tx) error {
		if err := head.replace(tx); err != nil {
			return err
		}
		_, err := tx.exec(`DELETE FROM events WHERE position > 0 AND position <= $1`, upTo)
		return err
	})
}

// UnsoundEvents reports whether there is anything that SweepUnsoundEvents deletes.
func (tx *Tx) UnsoundEvents(upTo, before int64) (bool, error) {
	_, err := one(tx, scanInt, `SELECT sequence FROM events WHERE position > 0 AND position <= $1 AND at < $2 ORDER BY position LIMIT 1`, upTo, before)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// SweepUnsoundEvents deletes entries up to that position that are of a time before,
// limit of them at most, and returns how many.
func (s *Store) SweepUnsoundEvents(ctx context.Context, upTo, before int64, limit int) (int, error) {
	var n int64
	err := s.run(ctx, tidy, func(tx *Tx) (err error) {
		n, err = tx.exec(`DELETE FROM events WHERE sequence IN (
			SELECT sequence FROM events WHERE position > 0 AND position <= $1 AND at < $2 ORDER BY position, sequence LIMIT $3)`,
			upTo, before, page(limit))
		return err
	})
	return int(n), err
}
