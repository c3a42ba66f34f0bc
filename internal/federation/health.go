package federation

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// A provider that does not answer is left alone: after failuresFree failures in a row
// nobody is sent there for shortestPause, which doubles with each further one up to
// longestPause. Then one may try, and whether that works decides for all.
const (
	failuresFree  = 3
	shortestPause = 10     // seconds
	longestPause  = 5 * 60 // seconds
	wellEvery     = 60     // seconds: that it works is written down so often
	maxProblem    = maxReason
)

// paused reports whether nobody is to be sent to a provider now.
func (f *Federation) paused(h model.Health) bool {
	now := f.unix()
	return h.Failures >= failuresFree && now < h.RetryAt && h.RetryAt <= now+longestPause
}

// pause is how long it is after the nth failure in a row, in seconds.
func pause(n int64) int64 { return min(int64(shortestPause)<<min(n-failuresFree, 16), longestPause) }

// call takes one of the places for those who wait for a provider, or refuses. Its
// release gives it back.
func (f *Federation) call(e *entry) (release func(), err error) {
	select {
	case e.calls <- struct{}{}:
		return func() { <-e.calls }, nil
	default:
		return nil, refuse(Unavailable, "too many are waiting for it")
	}
}

// admit refuses whoever would go to a provider that does not work, but for one after
// each pause.
func (f *Federation) admit(ctx context.Context, e *entry) error {
	if e.Health.Failures < failuresFree {
		return nil
	}
	now := f.unix()
	err := f.Store.Upkeep(ctx, func(tx *store.Tx) error {
		u, err := tx.Upstream(e.ID)
		if err != nil || u.Health.Failures < failuresFree {
			return err
		}
		if u.Health.RetryAt > now+longestPause { // the clock was put back
			return nil
		}
		return tx.PauseUpstream(e.ID, now, now+pause(u.Health.Failures))
	})
	if errors.Is(err, store.ErrNotFound) {
		return refuse(Unavailable, "it does not work: "+e.Health.Problem)
	}
	return err
}

// fared notes how a call of a provider went: what it answered, even no, is an answer.
func (f *Federation) fared(ctx context.Context, e *entry, err error) {
	ctx = context.WithoutCancel(ctx)
	var r *Refusal
	switch said := errors.As(err, &r); {
	case said && r.hearsay:
		return // anybody can make that up
	case said && r.Code == Unavailable:
		f.failed(ctx, e, r.Reason)
		return
	}
	now := f.unix()
	if e.Health.Failures == 0 && now-e.Health.WorkedAt < wellEvery && e.Health.WorkedAt <= now {
		return
	}
	if err := f.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.HealUpstream(e.ID, now) }); err != nil {
		f.Logger.WarnContext(ctx, "it was not noted that an identity provider works", "upstream", e.ID, "error", err)
		return
	}
	if e.Health.Failures >= failuresFree {
		f.Logger.InfoContext(ctx, "an identity provider works again", "upstream", e.ID)
	}
	f.LookAgain()
}

func (f *Federation) failed(ctx context.Context, e *entry, problem string) {
	now := f.unix()
	var n int64
	err := f.Store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.FailUpstream(e.ID, now, problem[:min(len(problem), maxProblem)])
		if err != nil || n < failuresFree {
			return err
		}
		if err = tx.PauseUpstream(e.ID, now, now+pause(n)); errors.Is(err, store.ErrNotFound) {
			err = nil // it has a pause already
		}
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		f.Logger.WarnContext(ctx, "it was not noted that an identity provider fails", "upstream", e.ID, "error", err)
	}
	if n == failuresFree {
		f.Logger.ErrorContext(ctx, "an identity provider does not work and is left alone for a while", "upstream", e.ID, "problem", problem)
	}
	f.LookAgain()
}
