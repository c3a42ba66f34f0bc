package signal

import (
	"context"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// clockMargin is for how long, in seconds, an entry is in snapshots beyond its time: that
// is by the clock of the node that wrote it, and the clocks of this one and of the
// reader, by which tokens are dead there, may differ.
const clockMargin = 5 * 60

// Tail is the place of one reader in the log. It is used by one goroutine.
type Tail struct {
	// Log is the name of the log, Resumed whether it goes on where the reader was.
	Log     string
	Resumed bool

	// Ahead lets the next page of a snapshot be read while one is used: for a reader
	// who goes through all of it.
	Ahead bool

	feed *Feed
	at   int64     // all up to here was read
	upTo int64     // of a snapshot that is under way; 0: there is none
	next chan page // of the snapshot; nil: nobody reads it yet
}

type page struct {
	entries []model.Revocation
	err     error
}

// Tail returns a place in the log: behind the entry after of that log, or at the
// beginning of a snapshot for a reader who was never here, or was in another one.
// In a snapshot, what can concern no live token is left out.
func (f *Feed) Tail(log string, after int64) *Tail {
	s := f.State()
	t := &Tail{Log: s.Log, feed: f}
	if log == s.Log && log != "" && 0 <= after && after <= s.End {
		t.Resumed, t.at = true, after
	} else {
		t.upTo = s.End
	}
	return t
}

// At is the sequence up to which all was read.
func (t *Tail) At() int64 { return t.at }

// Next returns the entries that follow, and none if all that is known was read.
func (t *Tail) Next(ctx context.Context) ([]model.Revocation, error) {
	if t.at < t.upTo {
		page, err := t.snapshot(ctx)
		if err != nil || len(page) > 0 {
			return page, err
		}
		t.at = t.upTo
	}
	page, err := t.feed.Since(ctx, t.at)
	if len(page) > 0 {
		t.at = page[len(page)-1].Sequence
	}
	return page, err
}

// snapshot returns the next page of a snapshot.
func (t *Tail) snapshot(ctx context.Context) ([]model.Revocation, error) {
	var p page
	if t.next != nil {
		p = <-t.next
		t.next = nil
	} else {
		p = t.live(ctx, t.at)
	}
	if len(p.entries) == 0 {
		return nil, p.err
	}
	t.at = p.entries[len(p.entries)-1].Sequence
	if after := t.at; t.Ahead && after < t.upTo {
		next := make(chan page, 1) // of room for it, if nobody wants it any more
		t.next = next
		go func() { next <- t.live(ctx, after) }()
	}
	return p.entries, nil
}

func (t *Tail) live(ctx context.Context, after int64) (p page) {
	p.err = t.feed.Store.View(ctx, func(tx *store.Tx) (err error) {
		p.entries, err = tx.LiveRevocations(after, t.upTo, t.feed.Now().Unix()-clockMargin, 0)
		return err
	})
	return p
}

// Back puts the place before entries that were read and could not be used yet.
func (t *Tail) Back(to int64) { t.at, t.next = to, nil }
