package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwa"
)

// Tick does what is due: it reloads, publishes successors ahead of their time,
// sets the end of keys that no longer sign and deletes those whose end has
// come. The server calls it every few seconds, on each node; it writes only
// when something is due, and two nodes do nothing twice.
func (r *Ring) Tick(ctx context.Context) error {
	if err := r.Reload(ctx); err != nil {
		return err
	}
	if err := r.fill(ctx); err != nil {
		return err
	}
	if err := r.publishAhead(ctx); err != nil {
		return err
	}
	return r.retire(ctx)
}

// Rotate replaces the signing key of every algorithm, for actor.
//
// Immediately is for a key that others may have got hold of: the new one signs
// from this moment, before verifiers have seen it, and a successor that waits
// already is deleted, for it may be known as well. What the old key signed stays
// valid until its end, or until Drop.
//
// Otherwise a successor is published now and signs after Config.Ahead; if one
// waits already, nothing changes. Of two nodes that rotate at once, one does.
func (r *Ring) Rotate(ctx context.Context, actor model.Actor, immediately bool) error {
	if err := r.Reload(ctx); err != nil {
		return err
	}
	if immediately {
		return r.replace(ctx, actor)
	}
	return r.add(ctx, actor, r.algorithms, func(line []model.SigningKey, now int64) (int64, bool) {
		return now + r.ahead, len(line) == 0 || line[len(line)-1].ActiveAt <= now
	})
}

// Drop deletes a key that does not sign, before its time and on the spot:
// everything that it signed stops being valid here now, and at verifiers when
// their copy of the set grows old. It returns ErrNoKey, and ErrInUse for the key
// that signs.
func (r *Ring) Drop(ctx context.Context, actor model.Actor, id model.KeyID) error {
	return r.change(ctx, func(tx *change) error {
		rows, err := tx.SigningKeys()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(rows, func(k model.SigningKey) bool { return k.ID == id })
		if i < 0 {
			return fmt.Errorf("%w %s", ErrNoKey, id)
		}
		if active(line(rows, rows[i].Algorithm), r.unix()) == id {
			return ErrInUse
		}
		if err := tx.DeleteSigningKey(id); err != nil {
			return err
		}
		return tx.record(event(actor, "key.drop", rows[i], "before its time"))
	})
}

// fill makes a first key for each algorithm that has none.
func (r *Ring) fill(ctx context.Context) error {
	var missing []jwa.Algorithm
	for _, alg := range r.algorithms {
		if _, ok := r.current.Load().signer(alg, r.unix()); !ok {
			missing = append(missing, alg)
		}
	}
	return r.add(ctx, system, missing, func(line []model.SigningKey, now int64) (int64, bool) {
		return now, len(line) == 0
	})
}

// publishAhead makes the successors that are due.
func (r *Ring) publishAhead(ctx context.Context) error {
	due := func(line []model.SigningKey, now int64) (int64, bool) {
		if len(line) == 0 {
			return 0, false
		}
		last := line[len(line)-1]
		over := last.ActiveAt + r.rotate
		// After a long stop the old key signs on for Ahead: nobody may meet a
		// key that was never published.
		return max(over, now+r.ahead), over-r.ahead <= now
	}
	var algorithms []jwa.Algorithm
	rows, now := r.current.Load().rows(), r.unix()
	for _, alg := range r.algorithms {
		if _, ok := due(line(rows, string(alg)), now); ok {
			algorithms = append(algorithms, alg)
		}
	}
	return r.add(ctx, system, algorithms, due)
}

// add makes a key for each of the algorithms. The keys are made before the
// transaction, because an RSA key takes a good part of a second; in it, wanted
// decides once more, with the keys that sign or will, oldest first, whether
// and from when the key is of use. So of two nodes one adds a key, and the
// other throws its own away.
func (r *Ring) add(ctx context.Context, actor model.Actor, algorithms []jwa.Algorithm, wanted func(line []model.SigningKey, now int64) (activeAt int64, ok bool)) error {
	if len(algorithms) == 0 {
		return nil
	}
	fresh, err := r.generate(algorithms)
	if err != nil {
		return err
	}
	return r.change(ctx, func(tx *change) error {
		rows, err := tx.SigningKeys()
		if err != nil {
			return err
		}
		now := r.unix()
		for _, k := range fresh {
			at, ok := wanted(line(rows, k.Algorithm), now)
			if !ok {
				continue
			}
			k.CreatedAt, k.ActiveAt = now, at
			if err := tx.InsertSigningKey(k); err != nil {
				return err
			}
			if err := tx.record(event(actor, "key.create", k, "signs from "+moment(at))); err != nil {
				return err
			}
		}
		return nil
	})
}

// replace puts a new key in the place of each that signs, at once.
func (r *Ring) replace(ctx context.Context, actor model.Actor) error {
	seen := r.current.Load().rows()
	fresh, err := r.generate(r.algorithms)
	if err != nil {
		return err
	}
	return r.change(ctx, func(tx *change) error {
		rows, err := tx.SigningKeys()
		if err != nil {
			return err
		}
		for _, k := range fresh {
			if err := r.replaceOne(tx, actor, k, replacing{line(rows, k.Algorithm), seen}); err != nil {
				return err
			}
		}
		return nil
	})
}

// replacing is what a key takes the place of.
type replacing struct {
	line []model.SigningKey // the keys of its algorithm that sign or will
	seen []model.SigningKey // all keys when it was asked for
}

func (r *Ring) replaceOne(tx *change, actor model.Actor, k model.SigningKey, old replacing) error {
	now := r.unix()
	k.ActiveAt = now
	for _, o := range old.line {
		// A key that came since and signed from its first moment: somebody
		// else has just done what was asked for here.
		if o.ActiveAt == o.CreatedAt && !slices.ContainsFunc(old.seen, func(s model.SigningKey) bool { return s.ID == o.ID }) {
			return nil
		}
		if o.ActiveAt <= now || o.ActiveAt == o.CreatedAt {
			k.ActiveAt = max(k.ActiveAt, o.ActiveAt+1) // always the youngest
		}
	}
	k.CreatedAt = k.ActiveAt
	for _, o := range old.line {
		var err error
		if o.ActiveAt < k.ActiveAt {
			o.DropAt = k.ActiveAt + r.keep
			err = tx.UpdateSigningKey(o)
		} else { // it has signed nothing
			err = tx.DeleteSigningKey(o.ID)
		}
		if err != nil {
			return err
		}
	}
	if err := tx.InsertSigningKey(k); err != nil {
		return err
	}
	return tx.record(event(actor, "key.rotate", k, "signs at once"))
}

// retire gives keys whose successor signs their end, and deletes those at
// their end. It looks into memory first, so that a quiet Tick writes nothing.
func (r *Ring) retire(ctx context.Context) error {
	if ended, gone := r.endings(r.current.Load().rows(), r.unix()); len(ended)+len(gone) == 0 {
		return nil
	}
	return r.change(ctx, func(tx *change) error {
		rows, err := tx.SigningKeys()
		if err != nil {
			return err
		}
		ended, gone := r.endings(rows, r.unix())
		for _, k := range ended {
			if err := tx.UpdateSigningKey(k); err != nil {
				return err
			}
			if err := tx.record(event(system, "key.retire", k, "published until "+moment(k.DropAt))); err != nil {
				return err
			}
		}
		for _, k := range gone {
			if err := tx.DeleteSigningKey(k.ID); err != nil {
				return err
			}
			if err := tx.record(event(system, "key.delete", k, "nothing that it signed is alive")); err != nil {
				return err
			}
		}
		return nil
	})
}

// endings returns the keys that need an end, with it, and those at their end.
func (r *Ring) endings(rows []model.SigningKey, now int64) (ended, gone []model.SigningKey) {
	for _, k := range rows {
		if dropped(k, now) {
			gone = append(gone, k)
			continue
		}
		signing := line(rows, k.Algorithm)
		i := slices.IndexFunc(signing, func(s model.SigningKey) bool { return s.ID == k.ID })
		if i >= 0 && i+1 < len(signing) && signing[i+1].ActiveAt <= now {
			k.DropAt = signing[i+1].ActiveAt + r.keep
			ended = append(ended, k)
		}
	}
	return ended, gone
}

// change is a transaction that changes keys, and what it has recorded.
type change struct {
	*store.Tx
	events []model.Event
}

func (c *change) record(e model.Event) error {
	c.events = append(c.events, e)
	return c.Record(e)
}

// change runs fn in a transaction; then the ring knows the outcome, and the log
// tells of it.
func (r *Ring) change(ctx context.Context, fn func(*change) error) error {
	var done []model.Event
	err := r.store.Update(ctx, func(tx *store.Tx) error {
		c := &change{Tx: tx}
		err := fn(c)
		done = c.events
		return err
	})
	if err != nil {
		return err
	}
	for _, e := range done {
		r.log.InfoContext(ctx, "signing keys changed", "action", e.Action, "detail", e.Detail)
	}
	return r.Reload(ctx)
}

// generate makes and seals a key for each algorithm, all at the same time; their
// times are not set.
func (r *Ring) generate(algorithms []jwa.Algorithm) ([]model.SigningKey, error) {
	list := make([]model.SigningKey, len(algorithms))
	errs := make([]error, len(algorithms))
	var group sync.WaitGroup
	for i, alg := range algorithms {
		group.Go(func() { list[i], errs[i] = r.generateOne(alg) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return list, nil
}

func (r *Ring) generateOne(alg jwa.Algorithm) (model.SigningKey, error) {
	key, err := r.make(alg)
	if err != nil {
		return model.SigningKey{}, err
	}
	text, err := key.MarshalPrivateJSON()
	if err != nil {
		return model.SigningKey{}, err
	}
	sealed, err := r.master.seal(purposeSigningKey, key.ID(), text)
	clear(text)
	if err != nil {
		return model.SigningKey{}, err
	}
	return model.SigningKey{ID: model.KeyID(key.ID()), Algorithm: string(alg), Sealed: sealed}, nil
}

func (s *snapshot) rows() []model.SigningKey {
	rows := make([]model.SigningKey, 0, len(s.entries))
	for _, e := range s.entries {
		rows = append(rows, e.row)
	}
	return rows
}

// line returns the keys of an algorithm that sign or will, oldest first: a key
// leaves the line when its end is set.
func line(rows []model.SigningKey, algorithm string) []model.SigningKey {
	var list []model.SigningKey
	for _, k := range rows {
		if k.Algorithm == algorithm && k.DropAt == 0 {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, order)
	return list
}

// active returns the key of a line that signs at the time now, or nothing when
// the line is empty. The oldest counts even before its time: a clock that was
// set back must not leave the server without a key.
func active(line []model.SigningKey, now int64) model.KeyID {
	var id model.KeyID
	for i, k := range line {
		if i == 0 || k.ActiveAt <= now {
			id = k.ID
		}
	}
	return id
}

func event(actor model.Actor, action string, k model.SigningKey, what string) model.Event {
	return model.Event{Actor: actor, Action: action, Detail: fmt.Sprintf("%s key %s: %s", k.Algorithm, k.ID, what)}
}

func moment(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }
