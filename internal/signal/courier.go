package signal

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
)

const (
	// pollEvery is how often the outbox is looked into for what other nodes and
	// the command put there, and for what is to be tried again.
	pollEvery = time.Second
	// maxLanes is to how many destinations this node delivers at once, batch how
	// many notices to one of them.
	maxLanes = 32
	batch    = 8
	// lease is how long a claimed notice is nobody else's, in seconds: longer
	// than an attempt may take.
	lease = 60
	// The pause after the first attempt and the longest one, in seconds. It
	// doubles each time.
	firstPause   = 5
	longestPause = 60 * 60
)

// due is what is to be done at a time, of what nobody puts off for longer than that.
func due(now, longest int64) store.Due {
	return store.Due{Now: now, Latest: now + longest + int64(model.Leeway/time.Second)}
}

// Courier empties the outbox. Each destination has a lane of its own, so that one
// that does not answer delays nobody else.
type Courier struct {
	Config

	// Streams are what receivers agree with us about being told.
	Streams *Streams

	mu    sync.Mutex
	busy  map[string]bool // destinations that have a lane
	freed chan struct{}   // of room for one: a lane has ended
}

// Run delivers until ctx is done and what is under way has come to an end.
func (c *Courier) Run(ctx context.Context) {
	poll, bound := time.NewTicker(pollEvery), time.NewTicker(boundEvery)
	defer poll.Stop()
	defer bound.Stop()
	var lanes sync.WaitGroup
	defer lanes.Wait()
	for ctx.Err() == nil {
		c.dispatch(ctx, &lanes)
		c.dispatchStreams(ctx, &lanes)
		select {
		case <-ctx.Done():
		case <-c.Store.Queued():
			c.Streams.wakeAll()
		case <-c.freed:
		case <-poll.C:
		case <-bound.C:
			c.boundStreams(ctx)
		}
	}
}

// dispatch opens a lane for each destination for which something is due.
func (c *Courier) dispatch(ctx context.Context, lanes *sync.WaitGroup) {
	var waiting []string
	err := c.Store.View(ctx, func(tx *store.Tx) (err error) {
		waiting, err = tx.DueDestinations(due(c.unix(), longestPause))
		return err
	})
	if err != nil {
		c.failed(ctx, err)
		return
	}
	for _, to := range waiting {
		if !c.occupy(to) {
			continue
		}
		lanes.Go(func() {
			defer c.free(to)
			for ctx.Err() == nil && c.deliverSome(ctx, to) {
			}
		})
	}
}

// occupy reports whether a lane may be opened.
func (c *Courier) occupy(to string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[to] || len(c.busy) >= maxLanes {
		return false
	}
	c.busy[to] = true
	return true
}

func (c *Courier) free(to string) {
	c.mu.Lock()
	delete(c.busy, to)
	c.mu.Unlock()
	select {
	case c.freed <- struct{}{}:
	default: // Run is about to look anyway
	}
}

// deliverSome delivers a few notices and reports whether to go on: not if there
// are none left, and not if the destination is down, which lets all of its
// notices wait.
func (c *Courier) deliverSome(ctx context.Context, to string) bool {
	// What has been begun is brought to its end, which Config.Fetch bounds.
	ctx = context.WithoutCancel(ctx)
	now := c.unix()
	var claimed []model.Notice
	err := c.Store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		claimed, err = tx.ClaimNotices(to, due(now, longestPause), now+lease, batch)
		return err
	})
	if err != nil {
		c.failed(ctx, err)
		return false
	}
	up := make([]bool, len(claimed))
	var all sync.WaitGroup
	for i, n := range claimed {
		all.Go(func() { up[i] = c.deliver(ctx, n) })
	}
	all.Wait()
	for _, ok := range up {
		if !ok {
			return false
		}
	}
	return len(claimed) > 0
}

// The queues, as they are counted.
const (
	queueLogout = "logout"
	queueStream = "stream"
)

// Queues lists them, for whoever counts.
func Queues() []string { return []string{queueLogout, queueStream} }

// result is what came of an attempt.
type result struct {
	done   bool   // it was delivered, or there is nobody to deliver it to
	again  bool   // it may succeed later
	status int    // of the answer; 0: there was none
	reason string // why not, for the log and the audit log
	cause  error  // for the log
}

// deliver makes an attempt and writes down what came of it. It reports whether
// the destination is up.
func (c *Courier) deliver(ctx context.Context, n model.Notice) bool {
	ctx, span := trace.Begin(ctx, "signal.Deliver")
	defer span.End()
	r := result{reason: "it has expired"}
	if n.ExpiresAt > c.unix() {
		r = c.sendLogout(ctx, n)
	}
	log := c.Logger.With("kind", n.Kind, "client", n.Destination, "session", n.SessionID, "attempt", n.Attempts)
	next := c.unix() + pause(n.Attempts)
	var err error
	switch {
	case r.done:
		c.delivered(queueLogout, delivered)
		log.InfoContext(ctx, "notice delivered", "status", r.status, "reason", r.reason)
		err = c.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.DeleteNotice(n.Sequence) })
	case r.again && next < n.ExpiresAt:
		c.delivered(queueLogout, delayed)
		log.WarnContext(ctx, "notice not delivered and will be tried again", "status", r.status, "reason", r.reason, "error", r.cause, "next", next)
		err = c.postpone(ctx, n, next)
	default:
		c.delivered(queueLogout, givenUp)
		log.ErrorContext(ctx, "notice given up", "status", r.status, "reason", r.reason, "error", r.cause)
		err = c.giveUp(ctx, n, r)
	}
	if err != nil {
		c.failed(ctx, err)
		return false
	}
	return !r.again
}

func (c *Courier) postpone(ctx context.Context, n model.Notice, next int64) error {
	return c.Store.Upkeep(ctx, func(tx *store.Tx) error {
		if err := tx.RetryNotice(n.Sequence, next); err != nil {
			return err
		}
		return tx.PostponeNotices(n.Destination, due(c.unix(), longestPause), next)
	})
}

// failed logs that the database did not answer. What was claimed is due again
// when its lease is over.
func (c *Courier) failed(ctx context.Context, err error) {
	if ctx.Err() == nil {
		c.Logger.ErrorContext(ctx, "the outbox cannot be emptied now and will be tried again", "error", err)
	}
}

// pause is how long to wait after an attempt, in seconds: twice as long each
// time, and never just as long as another, so that a client that comes back is
// not met by all of its notices at once.
func pause(attempts int64) int64 {
	most := int64(longestPause)
	if attempts < 16 {
		most = min(most, firstPause<<max(attempts-1, 0))
	}
	return most/2 + rand.Int64N(most/2+1) + 1
}

func (c Config) unix() int64 { return c.Now().Unix() }
