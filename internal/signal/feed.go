package signal

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

const (
	// lookEvery is how often the log is looked into without being woken: a lost
	// notification, or what the command wrote into SQLite, waits no longer.
	lookEvery = 500 * time.Millisecond
	// lookTime is how long a page may take before the database counts as away.
	lookTime = 5 * time.Second
	// currentFor is how long after a successful look what is known here counts as
	// all that there is.
	currentFor = 2 * time.Second
	// kept is how many of the latest entries are kept in memory for those who
	// follow; whoever is further behind reads from the database. At most twice as
	// many are.
	kept = 8192
	// feedPage is how many entries are read at once.
	feedPage = 1000
)

// logSetting holds the name of the log.
const logSetting = store.RevocationLog

// FeedConfig says with what a Feed works; Now and Logger may be left out.
type FeedConfig struct {
	Store  *store.Store
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: slog.Default
}

// Feed follows the revocation log, once for all of those who follow it at this
// node. They never wait for each other, and it never waits for them.
type Feed struct {
	FeedConfig
	stop     sync.Once
	stopping chan struct{}
	begun    chan struct{}
	made     time.Time

	mu     sync.Mutex
	log    string             // its name; empty: it was never read
	recent []model.Revocation // the latest entries, the oldest first; each is never changed
	floor  int64              // recent has all that follows this sequence
	end    int64              // all up to here was read
	looked time.Time          // when the last successful look began
	grown  chan struct{}      // closed when there is something new
}

// NewFeed returns a Feed, which works once it is Run.
func NewFeed(c FeedConfig) (*Feed, error) {
	if c.Store == nil {
		return nil, errors.New("signal: Store is required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Feed{FeedConfig: c, stopping: make(chan struct{}), begun: make(chan struct{}), made: time.Now(), grown: make(chan struct{})}, nil
}

// Begun is closed when the log has been looked into for the first time, whatever
// came of it: whoever asks before that would be sent away for nothing.
func (f *Feed) Begun() <-chan struct{} { return f.begun }

// Run follows the log until ctx is done. It runs once.
func (f *Feed) Run(ctx context.Context) {
	poll := time.NewTicker(lookEvery)
	defer poll.Stop()
	begun := sync.OnceFunc(func() { close(f.begun) })
	defer begun()
	for away := false; ctx.Err() == nil; {
		err := f.look(ctx)
		begun()
		switch {
		case err != nil && !away && ctx.Err() == nil:
			f.Logger.ErrorContext(ctx, "the revocation log cannot be read now: those who follow it are told nothing until it can", "error", err)
		case err == nil && away:
			f.Logger.InfoContext(ctx, "the revocation log can be read again")
		}
		away = err != nil
		select {
		case <-ctx.Done():
		case <-f.Store.Changed(store.Revocations):
		case <-poll.C:
		}
	}
}

// Stop lets everybody who follows go: the node is about to stop.
func (f *Feed) Stop() { f.stop.Do(func() { close(f.stopping) }) }

// Stopping is closed by Stop.
func (f *Feed) Stopping() <-chan struct{} { return f.stopping }

// FeedState is how far a node knows the log.
type FeedState struct {
	Log     string // its name; empty: it was never read
	End     int64  // all up to this sequence is known
	Current bool   // it was all that there was, a moment ago
}

// State tells how far the log is known here.
func (f *Feed) State() FeedState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return FeedState{Log: f.log, End: f.end, Current: f.log != "" && time.Since(f.looked) < currentFor}
}

// Lag is for how long the log was not read to its end here: what was added since may
// be unknown to those who follow it at this node.
func (f *Feed) Lag() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.looked.IsZero() {
		return time.Since(f.made)
	}
	return time.Since(f.looked)
}

// Grown is closed when there is something new. Whoever waits takes it first and
// then reads, so as to miss nothing.
func (f *Feed) Grown() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.grown
}

// look reads what is new, page by page.
func (f *Feed) look(ctx context.Context) error {
	for {
		whole, err := f.page(ctx)
		if whole || err != nil {
			return err
		}
	}
}

// page reads a page of what is new, and reports whether that was all.
func (f *Feed) page(ctx context.Context) (whole bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	began, known := time.Now(), f.State()
	var log string
	var page []model.Revocation
	err = f.Store.View(ctx, func(tx *store.Tx) (err error) {
		if log, err = tx.Setting(logSetting); err == nil && log == known.Log {
			page, err = tx.Revocations(known.End, feedPage)
		}
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, f.name(ctx)
	case err != nil:
		return false, err
	case log != known.Log:
		return false, f.begin(ctx, log)
	}
	f.add(page)
	if whole = len(page) < feedPage; whole {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.looked = began
	}
	return whole, nil
}

// name gives the log a name: it is new, or a backup was restored.
func (f *Feed) name(ctx context.Context) error {
	fresh := model.NewID()
	err := f.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.InsertSetting(logSetting, fresh) })
	if errors.Is(err, store.ErrConflict) { // another node was faster
		return nil
	}
	return err
}

// begin forgets what is known, for another log.
func (f *Feed) begin(ctx context.Context, log string) error {
	var end int64
	err := f.Store.View(ctx, func(tx *store.Tx) (err error) {
		end, err = tx.LastRevocation()
		return err
	})
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log, f.recent, f.floor, f.end = log, nil, end, end
	f.wake()
	return nil
}

func (f *Feed) add(page []model.Revocation) {
	if len(page) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recent = append(f.recent, page...)
	f.end = page[len(page)-1].Sequence
	if extra := len(f.recent) - kept; extra > kept {
		f.floor = f.recent[extra-1].Sequence
		f.recent = slices.Clone(f.recent[extra:]) // so that the others can be freed
	}
	f.wake()
}

// wake is called with mu locked.
func (f *Feed) wake() {
	close(f.grown)
	f.grown = make(chan struct{})
}

func (f *Feed) read(ctx context.Context, after int64) (page []model.Revocation, err error) {
	err = f.Store.View(ctx, func(tx *store.Tx) (err error) {
		page, err = tx.Revocations(after, feedPage)
		return err
	})
	return page, err
}

// Since returns entries that follow after, up to the end that is known, as many as
// are at hand; none if there are none. Nobody may change them.
func (f *Feed) Since(ctx context.Context, after int64) ([]model.Revocation, error) {
	page, end, near := f.near(after)
	if near {
		return page, nil
	}
	page, err := f.read(ctx, after)
	if err != nil {
		return nil, err
	}
	return page[:place(page, end)], nil
}

// near is Since for those who are not far behind.
func (f *Feed) near(after int64) (page []model.Revocation, end int64, near bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if after < f.floor {
		return nil, f.end, false
	}
	first := place(f.recent, after)
	last := min(first+feedPage, len(f.recent))
	return f.recent[first:last:last], f.end, true
}

// place returns how many of the entries are not after a sequence.
func place(entries []model.Revocation, sequence int64) int {
	i, found := slices.BinarySearchFunc(entries, sequence, func(r model.Revocation, s int64) int { return cmp.Compare(r.Sequence, s) })
	if found {
		i++
	}
	return i
}
