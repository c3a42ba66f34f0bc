package resource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// FeedConfig says whose revocation feed is followed, and as whom.
type FeedConfig struct {
	Issuer string // required, as in Config

	// A client of the issuer with the scope ostiary:feed and this API among its
	// resources. Policy Introspect needs it.
	ClientID     string
	ClientSecret string
	// Token returns an access token with the scope ostiary:feed; in place of the
	// client.
	Token func(ctx context.Context) (string, error)

	URL string // of the feed; default: what the issuer's metadata say

	// MaxLag is how long the feed may go without proof that nothing is missing
	// before it counts as stale. Default 10 s, at least 5 s.
	MaxLag time.Duration
	// MaxEntries bounds the memory: beyond it the feed counts as stale. Default
	// 4 million, which take 120 MiB or so.
	MaxEntries int

	// OnState is told when the feed becomes ready, stale or current, changes its
	// mode, or meets another error. It is called by one goroutine at a time,
	// within a second.
	OnState func(FeedState)

	HTTP   *http.Client     // default: one of its own
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: none
}

const (
	defaultMaxLag     = 10 * time.Second
	leastMaxLag       = 5 * time.Second
	defaultMaxEntries = 4_000_000

	// dropMargin is how long entries are kept beyond their time: a clock that is
	// set back by less does not bring a token back to life.
	dropMargin = 5 * time.Minute

	sweepEvery = 30 * time.Second
	stateEvery = time.Second

	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	refusedPause = 30 * time.Second // where only an operator can help
	longestRetry = time.Minute      // that a Retry-After can ask for
	lasting      = 5 * time.Second  // what held so long did not fail

	// pollFor is how long a feed polls that could not stream before it tries
	// again: the proxy that holds the stream back may be gone.
	pollFor = 5 * time.Minute
)

// Feed holds what an issuer has revoked, and follows what it revokes: a session
// that is ended there is refused here within a second, without a request. Give
// it to the Config of any number of guards, and run it. It is safe for use by
// several goroutines.
type Feed struct {
	config FeedConfig
	party  *party
	table  *table
	now    func() time.Time
	log    *slog.Logger

	running atomic.Bool
	ready   chan struct{} // closed when all that was revoked is known
	proof   atomic.Pointer[time.Time]
	full    atomic.Bool
	counts  counts
	asking  asking

	mu     sync.Mutex
	told   FeedState // what the fields say that are not counted elsewhere
	server time.Time // the issuer's clock, as it last told it
	change chan struct{}

	// Of the goroutine that follows.
	position position
	seenLog  string
	logs     int64
	polling  time.Time // until when, rather than stream
}

// position is up to where a log is known.
type position struct {
	log      string // "": nothing of any
	sequence int64
}

// NewFeed checks c and returns a feed that follows nothing yet. It does no I/O.
func NewFeed(c FeedConfig) (*Feed, error) {
	f, err := newFeed(c)
	if err != nil {
		return nil, fmt.Errorf("resource: feed: %w", err)
	}
	return f, nil
}

func newFeed(c FeedConfig) (*Feed, error) {
	if err := checkURL(c.Issuer); err != nil || strings.Contains(c.Issuer, "?") {
		return nil, fmt.Errorf("Issuer %q must be an https URL without query and fragment, or http on this machine only", c.Issuer)
	}
	if c.URL != "" && (checkURL(c.URL) != nil || strings.HasPrefix(c.Issuer, "https:") && !strings.HasPrefix(c.URL, "https:")) {
		return nil, fmt.Errorf("URL %q must be https, or http on this machine only where the issuer is", c.URL)
	}
	switch {
	case c.Token != nil && (c.ClientID != "" || c.ClientSecret != ""):
		return nil, errors.New("either ClientID and ClientSecret or Token, not both")
	case c.Token == nil && (c.ClientID == "" || c.ClientSecret == ""):
		return nil, errors.New("ClientID and ClientSecret are required, or Token: of a client with the scope " + feedScope)
	case c.MaxLag < 0 || c.MaxLag > 0 && c.MaxLag < leastMaxLag:
		return nil, fmt.Errorf("MaxLag must be %s at least: the issuer shows every two seconds that it is there", leastMaxLag)
	case c.MaxEntries < 0:
		return nil, errors.New("MaxEntries must not be negative")
	}
	if c.MaxLag == 0 {
		c.MaxLag = defaultMaxLag
	}
	if c.MaxEntries == 0 {
		c.MaxEntries = defaultMaxEntries
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Feed{
		config: c, party: newParty(c), table: newTable(c.MaxEntries), now: c.Now, log: c.Logger,
		ready: make(chan struct{}), change: make(chan struct{}, 1), asking: newAsking(),
	}
	began := c.Now()
	f.proof.Store(&began)
	return f, nil
}

// Run follows the feed until ctx is done, and then returns nil. It reconnects by
// itself after whatever goes wrong. It returns an error only if it runs already.
func (f *Feed) Run(ctx context.Context) error {
	if !f.running.CompareAndSwap(false, true) {
		return errors.New("resource: feed: it is being followed already")
	}
	defer f.running.Store(false)
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() { f.watch(ctx) })

	failed := 0
	for ctx.Err() == nil {
		began := f.now()
		held, err := f.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		if held && elapsed(began, f.now()) >= lasting {
			failed = 0
		}
		failed++
		if !errors.Is(err, errPlanned) {
			f.log.WarnContext(ctx, "The revocation feed was lost.", "issuer", f.config.Issuer, "error", err, "again", failed)
		}
		f.disconnected(err)
		f.party.after(err)
		sleep(ctx, pauseAfter(err, failed))
		f.counts.reconnects.Add(1)
	}
	f.disconnected(nil)
	return nil
}

// follow follows the feed until something happens to it. It reports whether the
// feed was current meanwhile.
func (f *Feed) follow(ctx context.Context) (held bool, err error) {
	if f.now().Before(f.polling) {
		return f.poll(ctx)
	}
	held, err = f.stream(ctx)
	if !held && errors.Is(err, errSilent) {
		// Nothing came through: a proxy keeps the stream to itself, as it may.
		f.polling = f.now().Add(pollFor + rand.N(pollFor/5))
		f.party.after(err)
		return f.poll(ctx)
	}
	return held, err
}

var (
	// errPlanned: the end of a connection that both sides knew of before.
	errPlanned = errors.New("the connection ended as planned")
	errSilent  = errors.New("nothing is heard from the feed")
	errRenew   = errors.New("the access token for it is over")
	errFull    = errors.New("more entries than MaxEntries")
	errFeed    = errors.New("the feed is not understood")
)

func misunderstood(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errFeed}, args...)...)
}

// pauseAfter is how long to wait before the next connection: longer each time,
// and for each API another time, so that a server which comes back is not
// stormed.
func pauseAfter(err error, failed int) time.Duration {
	longest := longestPause
	a, answered := errors.AsType[*answer](err)
	if answered && a.status < 500 && a.status != http.StatusTooManyRequests && failed > 1 {
		longest = refusedPause
	}
	d := min(firstPause<<min(failed-1, 16), longest)
	d = d/2 + rand.N(d/2)
	if answered && a.retryAfter > 0 {
		d += min(a.retryAfter, longestRetry)
	}
	return d
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// elapsed is the time from a to b, by the wall or by the clock that cannot be
// set, whichever says more. One stops while the machine sleeps, the other jumps
// when it is set.
func elapsed(a, b time.Time) time.Duration {
	return max(b.Sub(a), b.Round(0).Sub(a.Round(0)))
}

// logNumber tells logs apart in the order in which they were first met.
func (f *Feed) logNumber(log string) int64 {
	if f.seenLog != log {
		f.seenLog = log
		f.logs++
	}
	return f.logs
}

// add takes in an entry.
func (f *Feed) add(e entry, log int64) error {
	if e.dropAt < f.dropTime() {
		return nil
	}
	if !f.table.add(e, log) {
		f.full.Store(true)
		f.changed()
		return fmt.Errorf("%w (%d)", errFull, f.config.MaxEntries)
	}
	return nil
}

// dropTime is up to which drop_at entries may be dropped, in unix seconds. The
// issuer's clock wrote that time; ours says when tokens expire here. An entry
// goes when both agree, so that neither of them brings a token back to life when
// it is set wrong.
func (f *Feed) dropTime() int64 {
	f.mu.Lock()
	server := f.server
	f.mu.Unlock()
	now := f.now()
	if !server.IsZero() && server.Before(now) {
		now = server
	}
	return now.Add(-dropMargin).Unix()
}

// proved: at a time of our clock nothing was missing.
func (f *Feed) proved(at time.Time, mode string) {
	if old := f.proof.Load(); at.After(*old) {
		f.proof.Store(&at)
	}
	f.full.Store(false)
	f.mu.Lock()
	first := !f.told.Ready
	f.told.Ready, f.told.Mode, f.told.Err = true, mode, nil
	f.mu.Unlock()
	if first {
		close(f.ready)
	}
	f.changed()
}

// reach notes up to where a log is known.
func (f *Feed) reach(p position) {
	f.position = p
	f.mu.Lock()
	f.told.Log, f.told.Sequence = p.log, p.sequence
	f.mu.Unlock()
}

// heard notes the issuer's clock.
func (f *Feed) heard(server time.Time) {
	f.mu.Lock()
	f.server = server
	f.mu.Unlock()
}

func (f *Feed) disconnected(err error) {
	if errors.Is(err, errPlanned) { // it will be there again in a moment
		return
	}
	f.mu.Lock()
	f.told.Mode, f.told.Err = "", err
	f.mu.Unlock()
	f.changed()
}

func (f *Feed) changed() {
	select {
	case f.change <- struct{}{}:
	default:
	}
}
