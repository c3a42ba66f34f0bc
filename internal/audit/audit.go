// Package audit owns what makes the audit log show that somebody changed it.
//
// Each entry carries a mark, made when it is written: a MAC of what it says. Once
// it is committed, Seal gives it a position and a seal: a MAC of the entry and of
// the seal before. The head of the chain, under a MAC of its own, says where the
// chain begins and ends. Both keys are derived from the master key, so whoever can
// write to the database but has no master key can invent, change, move or leave out
// nothing that Verify does not find.
//
// Sealing happens after the commit, and not in the transaction that writes: there
// it would make every change wait for every other.
//
// It never decides what is recorded, and never reads a clock for an entry.
package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// batch is how many entries are sealed or swept in one transaction, so that nobody
// waits for it long.
const batch = 500

// maxTries is how often a batch gives way to others who seal or sweep at that time.
const maxTries = 50

// The labels of the two keys.
const (
	labelMark  = "audit mark"
	labelChain = "audit chain"
)

// Broken says where the log is not as it was written.
type Broken struct {
	Position int64  // of the first entry that is wrong; 0: the head of the chain is
	Reason   string // a sentence without its subject's number
}

func (b Broken) Error() string {
	if b.Position == 0 {
		return "the audit log was changed: " + b.Reason
	}
	return fmt.Sprintf("the audit log was changed: at position %d, %s", b.Position, b.Reason)
}

// Config says where the log is.
type Config struct {
	Store *store.Store
	// Derive makes keys of the master key, see keys.Ring.Derive.
	Derive func(label string) []byte
	Now    func() time.Time // nil: time.Now
	// Keep is how long entries are kept; zero: for ever.
	Keep time.Duration
	// Sealed is told of the entries that this Log has sealed, and so nobody else; nil:
	// nobody is.
	Sealed func([]model.Event)
}

// Log is the audit log. Its methods may be called from many goroutines at once.
type Log struct {
	store *store.Store
	chain []byte
	mark  []byte
	now   func() time.Time
	keep  int64 // seconds

	sealed func([]model.Event) // nil: nobody is told
}

// Check returns what makes no sense in how long entries are kept, as New does.
func (c Config) Check() error {
	if c.Keep < 0 || c.Keep > 0 && c.Keep < time.Hour {
		return fmt.Errorf("audit-retention is %v and must be never, or an hour or more", c.Keep)
	}
	return nil
}

// New returns the log in c.Store.
func New(c Config) (*Log, error) {
	if c.Store == nil || c.Derive == nil {
		return nil, errors.New("audit: Config.Store and Config.Derive must be set")
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Log{
		store: c.Store, chain: c.Derive(labelChain), mark: c.Derive(labelMark), now: c.Now, keep: int64(c.Keep / time.Second),
		sealed: c.Sealed,
	}, nil
}

// Filter narrows a listing; what is empty does not.
type Filter = store.EventFilter

// Find lists sealed entries by their position, a thousand at most.
func (l *Log) Find(ctx context.Context, f Filter) ([]model.Event, error) {
	var list []model.Event
	err := l.store.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.FindEvents(f)
		return err
	})
	return list, err
}

// Seal appends what has been committed to the chain, all of it, and returns how
// much that was. It may be called on several nodes at once: one of them does it. It
// returns a Broken if the head of the chain is gone or was changed: then nothing is
// sealed any more.
func (l *Log) Seal(ctx context.Context) (int, error) {
	// From where to look, so that what this call has sealed is not passed over again:
	// PostgreSQL keeps it in the index for a while. The next call looks at all.
	after := int64(math.MinInt64)
	return l.repeat(ctx, func(ctx context.Context) (int, error) {
		sealed, err := l.sealSome(ctx, after)
		if len(sealed) > 0 {
			after = sealed[len(sealed)-1].Sequence
		}
		return len(sealed), err
	})
}

// repeat does one batch after the other, until one is not full.
func (l *Log) repeat(ctx context.Context, some func(context.Context) (int, error)) (int, error) {
	total := 0
	for tries := 0; ; {
		n, err := some(ctx)
		total += n
		switch {
		case errors.Is(err, store.ErrConflict) && tries < maxTries:
			tries++
		case err != nil:
			return total, err
		case n < batch:
			return total, nil
		default:
			tries = 0
		}
	}
}

func (l *Log) sealSome(ctx context.Context, after int64) ([]model.Event, error) {
	var stored string
	var fresh []model.Event
	err := l.store.View(ctx, func(tx *store.Tx) (err error) {
		if fresh, err = tx.UnsealedEvents(after, batch); err != nil || len(fresh) == 0 {
			return err
		}
		stored, err = tx.Setting(headSetting)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		if err := l.begin(ctx); err != nil && !errors.Is(err, store.ErrConflict) {
			return nil, err
		}
		return nil, store.ErrConflict // with no head, and now there is one
	}
	if err != nil || len(fresh) == 0 {
		return nil, err
	}
	head, err := l.parseHead(stored)
	if err != nil {
		return nil, err
	}
	mac := newMAC(l.chain)
	for i := range fresh {
		e := &fresh[i]
		e.Position = head.End.Position + 1
		e.Seal = mac.seal(*e, head.End.Seal)
		head.End = Point{e.Position, e.Seal}
	}
	is := store.Replacement{Name: headSetting, Was: stored, Is: l.formatHead(head)}
	if err := l.store.SealEvents(ctx, is, fresh); err != nil {
		return nil, err
	}
	if l.sealed != nil {
		l.sealed(fresh)
	}
	return fresh, nil
}

// begin makes the head of the first chain. If there are sealed entries already, the
// head was taken away. Should somebody take all seals away as well, then the entry
// that begins the chain tells of it, and the time in the head. It returns
// store.ErrConflict if somebody was faster.
func (l *Log) begin(ctx context.Context) error {
	head := Head{Since: l.now().Unix()}
	err := l.store.View(ctx, func(tx *store.Tx) (err error) {
		if _, err := tx.Setting(headSetting); !errors.Is(err, store.ErrNotFound) {
			return cmp.Or(err, store.ErrConflict)
		}
		sealed, err := tx.SealedEvents(0, 1)
		if err != nil {
			return err
		}
		if len(sealed) > 0 {
			return errNoHead
		}
		head.Unmarked, err = tx.CountUnmarkedEvents()
		return err
	})
	if err != nil {
		return err
	}
	return l.store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.InsertSetting(headSetting, l.formatHead(head)); err != nil {
			return err
		}
		return tx.Record(begun(model.Actor{Kind: model.ActorSystem}, head))
	})
}

var errNoHead = Broken{Reason: "the head of the chain is missing"}

func begun(actor model.Actor, h Head) model.Event {
	return model.Event{At: h.Since, Actor: actor, Action: "audit.begin", Detail: fmt.Sprintf("earlier=%d unmarked=%d", h.Earlier, h.Unmarked)}
}

// Begin begins a new chain after all that is sealed: where the master key is another
// than before, or somebody has changed the log. What is there stays, but nothing
// vouches for it any more.
func (l *Log) Begin(ctx context.Context, actor model.Actor) error {
	_, err := l.repeat(ctx, func(ctx context.Context) (int, error) { return 0, l.beginAnew(ctx, actor) })
	return err
}

// beginAnew returns store.ErrConflict if somebody sealed or swept meanwhile. What
// takes long is read outside of the transaction that writes.
func (l *Log) beginAnew(ctx context.Context, actor model.Actor) error {
	setting := func(tx *store.Tx) (string, error) {
		text, err := tx.Setting(headSetting)
		if errors.Is(err, store.ErrNotFound) {
			return "", nil
		}
		return text, err
	}
	var was string
	head := Head{Since: l.now().Unix()}
	err := l.store.View(ctx, func(tx *store.Tx) (err error) {
		if was, err = setting(tx); err != nil {
			return err
		}
		bounds, err := tx.EventBounds(0)
		if err != nil {
			return err
		}
		unsealed, err := tx.CountUnsealedEvents()
		head.Earlier = max(bounds.Last, 0)
		head.Unmarked = head.Earlier + unsealed
		head.Begin = Point{Position: head.Earlier}
		head.End = head.Begin
		return err
	})
	if err != nil {
		return err
	}
	return l.store.Update(ctx, func(tx *store.Tx) error {
		if is, err := setting(tx); err != nil || is != was {
			return cmp.Or(err, store.ErrConflict)
		}
		if err := tx.PutSetting(headSetting, l.formatHead(head)); err != nil {
			return err
		}
		return tx.Record(begun(actor, head))
	})
}

// Sweep deletes the entries that are older than they are kept, from the beginning
// and in order, and returns how many. An entry that is not as it was sealed is not
// deleted, nor what comes after it: it is evidence, and with another time in it
// somebody could have the whole log swept. Then it returns a Broken.
func (l *Log) Sweep(ctx context.Context) (int, error) {
	if l.keep == 0 {
		return 0, nil
	}
	return l.repeat(ctx, l.sweepSome)
}

// over is the time of the oldest entries that are kept.
func (l *Log) over() int64 { return l.now().Unix() - l.keep }

func (l *Log) sweepSome(ctx context.Context) (int, error) {
	due, err := l.due(ctx)
	if err != nil || !due {
		return 0, err
	}
	at, err := l.read(ctx, nil, batch)
	if err != nil {
		return 0, err
	}
	unsound := 0
	if at.head.Earlier > 0 {
		unsound, err = l.store.SweepUnsoundEvents(ctx, at.head.Earlier, l.over(), batch)
		if err != nil || unsound == batch {
			return unsound, err
		}
	}
	w := l.walk(at.head)
	for _, e := range at.list {
		if e.At >= l.over() {
			break
		}
		if err := w.step(e); err != nil {
			return unsound, err
		}
	}
	if w.entries == 0 {
		return unsound, nil
	}
	head := at.head
	head.Begin = w.last
	is := store.Replacement{Name: headSetting, Was: at.stored, Is: l.formatHead(head)}
	if err := l.store.SweepEvents(ctx, is, w.last.Position); err != nil {
		return unsound, err
	}
	return unsound + int(w.entries), nil
}

// due reports whether there is anything to sweep: a look at two entries, where most
// of the time there is not.
func (l *Log) due(ctx context.Context) (bool, error) {
	first, err := l.read(ctx, nil, 1)
	if err != nil {
		return false, err
	}
	due := len(first.list) > 0 && first.list[0].At < l.over()
	if due || first.head.Earlier == 0 {
		return due, nil
	}
	err = l.store.View(ctx, func(tx *store.Tx) (err error) {
		due, err = tx.UnsoundEvents(first.head.Earlier, l.over())
		return err
	})
	return due, err
}

// page is the head of the chain and a part of it, as they were at one time.
type page struct {
	head   Head
	stored string
	list   []model.Event
	bounds store.EventBounds
}

// read returns the entries that follow after, or from where the chain begins.
func (l *Log) read(ctx context.Context, after *Point, limit int) (page, error) {
	var p page
	var none bool
	err := l.store.View(ctx, func(tx *store.Tx) (err error) {
		p.stored, err = tx.Setting(headSetting)
		if none = errors.Is(err, store.ErrNotFound); none {
			p.bounds, err = tx.EventBounds(0)
			return err
		}
		if err != nil {
			return err
		}
		if p.head, err = l.parseHead(p.stored); err != nil {
			return err
		}
		from := p.head.Begin.Position
		if after != nil {
			from = max(from, after.Position)
		}
		if p.list, err = tx.SealedEvents(from, limit); err != nil || len(p.list) > 0 {
			return err
		}
		p.bounds, err = tx.EventBounds(p.head.Begin.Position)
		return err
	})
	if err == nil && none && p.bounds.Count > 0 {
		err = errNoHead
	}
	return p, err
}

// Head returns what the chain is. It is zero as long as nothing is sealed. It
// returns a Broken.
func (l *Log) Head(ctx context.Context) (Head, error) {
	p, err := l.read(ctx, nil, 1)
	return p.head, err
}
