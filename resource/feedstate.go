package resource

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

// FeedState is how a feed is.
type FeedState struct {
	Issuer   string
	Ready    bool          // all that was revoked before is known
	Stale    bool          // policies apply: not ready, or Lag is beyond MaxLag
	Lag      time.Duration // since nothing was missing for certain
	Entries  int           // in memory
	Log      string        // which log is followed
	Sequence int64         // up to where it is known
	Mode     string        // "stream", "poll", or "" while there is no connection
	Err      error         // the last that went wrong, until the feed is current again
}

// counts is what only ever grows.
type counts struct {
	reconnects     atomic.Uint64
	refused        [kinds]atomic.Uint64
	stale          atomic.Uint64 // answered 503
	introspections [3]atomic.Uint64
}

// State tells how the feed is now.
func (f *Feed) State() FeedState {
	f.mu.Lock()
	s := f.told
	f.mu.Unlock()
	s.Issuer, s.Stale = f.config.Issuer, f.stale()
	s.Lag, s.Entries = f.lag(), int(f.table.live.Load())
	return s
}

func (f *Feed) lag() time.Duration { return elapsed(*f.proof.Load(), f.now()) }

// stale reports whether something may have been revoked that is not known here.
func (f *Feed) stale() bool {
	select {
	case <-f.ready:
		return f.full.Load() || f.lag() > f.config.MaxLag
	default:
		return true
	}
}

// Ready waits until all is known that was revoked before, or ctx is done. It
// does not follow the feed: Run does.
func (f *Feed) Ready(ctx context.Context) error {
	select {
	case <-f.ready:
		return nil
	case <-ctx.Done():
		err := context.Cause(ctx)
		if last := f.State().Err; last != nil {
			err = fmt.Errorf("%w: %w", err, last)
		}
		return fmt.Errorf("resource: feed: not ready: %w", err)
	}
}

// watch drops entries whose time is over and tells OnState of what changes.
func (f *Feed) watch(ctx context.Context) {
	sweep, tick := time.NewTicker(sweepEvery), time.NewTicker(stateEvery)
	defer sweep.Stop()
	defer tick.Stop()
	// What of a state is worth telling.
	type gist struct {
		ready, stale   bool
		mode, log, err string
	}
	var last gist
	for {
		if tell := f.config.OnState; tell != nil {
			s := f.State()
			now := gist{s.Ready, s.Stale, s.Mode, s.Log, ""}
			if s.Err != nil {
				now.err = s.Err.Error()
			}
			if now != last {
				last = now
				tell(s)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			f.table.sweep(f.dropTime())
		case <-tick.C:
		case <-f.change:
		}
	}
}

// WriteMetrics writes the feed's metrics in the text format of Prometheus. For
// several feeds on one page there is the function of this name.
func (f *Feed) WriteMetrics(w io.Writer) { WriteMetrics(w, f) }

// WriteMetrics writes the metrics of feeds, each under its issuer's name, in the
// text format of Prometheus. What goes wrong in writing is for w to know.
func WriteMetrics(w io.Writer, feeds ...*Feed) {
	states := make([]FeedState, len(feeds))
	for i, f := range feeds {
		states[i] = f.State()
	}
	for _, m := range metrics {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", m.name, m.help, m.name, m.kind)
		for i, f := range feeds {
			m.write(func(labels string, value float64) {
				fmt.Fprintf(w, "%s{issuer=\"%s\"%s} %v\n", m.name, escapeLabel(f.config.Issuer), labels, value)
			}, f, states[i])
		}
	}
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace

type sample func(labels string, value float64)

var metrics = []struct {
	name, kind, help string
	write            func(sample, *Feed, FeedState)
}{
	{"ostiary_feed_lag_seconds", "gauge", "Time since nothing was missing for certain.", func(put sample, _ *Feed, s FeedState) {
		put("", s.Lag.Seconds())
	}},
	{"ostiary_feed_stale", "gauge", "1 while the policies for a stale feed apply.", func(put sample, _ *Feed, s FeedState) {
		put("", float64(bit(s.Stale)))
	}},
	{"ostiary_feed_mode", "gauge", "1 for how the feed is followed now.", func(put sample, _ *Feed, s FeedState) {
		for _, mode := range []string{modeStream, modePoll} {
			put(`,mode="`+mode+`"`, float64(bit(s.Mode == mode)))
		}
	}},
	{"ostiary_feed_entries", "gauge", "Revoked things in memory.", func(put sample, _ *Feed, s FeedState) {
		put("", float64(s.Entries))
	}},
	{"ostiary_feed_sequence", "gauge", "The number up to which the log is known.", func(put sample, _ *Feed, s FeedState) {
		put("", float64(s.Sequence))
	}},
	{"ostiary_feed_reconnects_total", "counter", "Connections after the first.", func(put sample, f *Feed, _ FeedState) {
		put("", float64(f.counts.reconnects.Load()))
	}},
	{"ostiary_feed_refusals_total", "counter", "Requests refused, by what was revoked; stale: answered 503.", func(put sample, f *Feed, _ FeedState) {
		for k := range kinds {
			put(`,kind="`+k.String()+`"`, float64(f.counts.refused[k].Load()))
		}
		put(`,kind="stale"`, float64(f.counts.stale.Load()))
	}},
	{"ostiary_feed_introspections_total", "counter", "Tokens that the issuer was asked about.", func(put sample, f *Feed, _ FeedState) {
		for i, result := range []string{"active", "inactive", "failed"} {
			put(`,result="`+result+`"`, float64(f.counts.introspections[i].Load()))
		}
	}},
}
