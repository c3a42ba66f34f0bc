package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
)

const (
	// streamEvery is how often it is looked for what was sealed.
	streamEvery = 500 * time.Millisecond
	// streamBatch is how many entries go out at once.
	streamBatch = 200
	// claimFor is how long an outlet is nobody else's, in seconds: longer than an
	// attempt may take.
	claimFor = 30
	// The pause after the first failure and the longest one, in seconds.
	firstPause   = 1
	longestPause = 5 * 60
)

// StreamConfig says where the log is streamed to: a file, a writer, a webhook, or some
// of these.
type StreamConfig struct {
	Log    *Log
	Issuer string // stands in each line, for who collects from several servers

	File    string       // path; empty: none
	Output  io.Writer    // nil: none
	Webhook string       // URL; empty: none
	Secret  model.Secret // signs what goes there
	Client  *http.Client // goes there

	Streamed func(outlet string, entries int) // is told of what has gone out; nil: nobody
	Failed   func(outlet string)              // is told of what has not; nil: nobody
	Logger   *slog.Logger                     // nil: slog.Default
}

// Stream sends what is sealed to outlets, each in the order of the chain and at least
// once. How far each is stands in the database, so nothing is lost when the server
// stops or is killed; and of several nodes one is at work at an outlet at a time.
type Stream struct {
	StreamConfig
	outlets []outlet
}

// outlet is a place to which lines go.
type outlet struct {
	name string
	// write returns when the lines are there, durably.
	write func(ctx context.Context, b lines) error
	close func() error
}

// lines are some entries, each in a line of JSON.
type lines struct {
	first, last int64  // positions
	seal        string // of the last
	count       int
	text        []byte
}

// NewStream returns a Stream, which works once it is Run, or nil if there is no outlet.
// Its errors are sentences that name the setting.
func NewStream(c StreamConfig) (*Stream, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	s := &Stream{StreamConfig: c}
	if c.File != "" {
		f := &file{path: c.File}
		if err := f.open(); err != nil {
			return nil, fmt.Errorf("audit-file: %w", err)
		}
		s.outlets = append(s.outlets, outlet{"file", f.write, f.close})
	}
	if c.Output != nil {
		s.outlets = append(s.outlets, outlet{"stdout", func(_ context.Context, b lines) error {
			_, err := c.Output.Write(b.text)
			return err
		}, nil})
	}
	if c.Webhook != "" {
		w, err := newWebhook(c)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.outlets = append(s.outlets, outlet{"webhook", w.write, nil})
	}
	if s.outlets == nil {
		return nil, nil
	}
	return s, nil
}

// Run streams until ctx is done and what is under way has come to an end. A nil Stream
// does nothing.
func (s *Stream) Run(ctx context.Context) {
	if s == nil {
		return
	}
	var all sync.WaitGroup
	for _, o := range s.outlets {
		all.Go(func() { s.follow(ctx, o) })
	}
	all.Wait()
	if err := s.Close(); err != nil {
		s.Logger.WarnContext(ctx, "the audit stream was not closed", "error", err)
	}
}

// Close closes what NewStream has opened, if Run was never called.
func (s *Stream) Close() (err error) {
	if s == nil {
		return nil
	}
	for _, o := range s.outlets {
		if o.close != nil {
			err = errors.Join(err, o.close())
		}
	}
	return err
}

func (s *Stream) follow(ctx context.Context, o outlet) {
	poll := time.NewTicker(streamEvery)
	defer poll.Stop()
	for ctx.Err() == nil {
		more, err := s.some(ctx, o)
		if err != nil && ctx.Err() == nil {
			s.Logger.ErrorContext(ctx, "the audit log does not reach an outlet now and will be tried again", "outlet", o.name, "error", err)
			if s.Failed != nil {
				s.Failed(o.name)
			}
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-poll.C:
		}
	}
}

// some streams some entries to an outlet, and reports whether to go on at once.
func (s *Stream) some(ctx context.Context, o outlet) (more bool, err error) {
	due, err := s.due(ctx, o.name)
	if err != nil || !due {
		return false, err
	}
	ctx, span := trace.Begin(context.WithoutCancel(ctx), "audit.Stream")
	defer span.End()
	span.Text("ostiary.outlet", o.name)
	claim, now := model.NewID(), s.unix()
	var at store.Outlet
	err = s.Log.store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		at, err = tx.ClaimOutlet(o.name, claim, store.Due{Now: now, Latest: now + claimFor + longestPause}, now+claimFor)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil // another node is at work
	}
	var list []model.Event
	if err == nil {
		list, err = s.after(ctx, at.Position, streamBatch)
	}
	if err != nil {
		return false, err // the claim lapses
	}
	failure := s.write(ctx, o, at, list)
	span.Fail(failure)
	if at.NextAt = 0; failure != nil {
		at.Attempts++
		at.NextAt = s.unix() + pauseAfter(at.Attempts)
	} else if at.Attempts = 0; len(list) > 0 {
		at.Position = list[len(list)-1].Position
	}
	err = s.Log.store.Upkeep(ctx, func(tx *store.Tx) error { return tx.AdvanceOutlet(claim, at) })
	if errors.Is(err, store.ErrNotFound) {
		err = errors.New("it took longer than half a minute, so another node has begun to send the same")
	}
	if failure == nil && err == nil && s.Streamed != nil {
		s.Streamed(o.name, len(list))
	}
	return len(list) == streamBatch, errors.Join(failure, err)
}

// due reports whether there is anything for an outlet, to which something may go now.
func (s *Stream) due(ctx context.Context, name string) (bool, error) {
	var at store.Outlet
	err := s.Log.store.View(ctx, func(tx *store.Tx) (err error) {
		at, err = tx.Outlet(name)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = s.Log.store.Upkeep(ctx, func(tx *store.Tx) error { return tx.InsertOutlet(name) })
		if errors.Is(err, store.ErrConflict) {
			err = nil
		}
	}
	now := s.unix()
	if err != nil || at.NextAt > now && at.NextAt <= now+claimFor+longestPause {
		return false, err
	}
	list, err := s.after(ctx, at.Position, 1)
	return len(list) > 0, err
}

func (s *Stream) after(ctx context.Context, position int64, limit int) (list []model.Event, err error) {
	err = s.Log.store.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.SealedEvents(position, limit)
		return err
	})
	return list, err
}

func (s *Stream) write(ctx context.Context, o outlet, at store.Outlet, list []model.Event) error {
	if len(list) == 0 {
		return nil
	}
	b := lines{first: list[0].Position, last: list[len(list)-1].Position, seal: list[len(list)-1].Seal, count: len(list)}
	if at.Position > 0 && b.first != at.Position+1 {
		s.Logger.WarnContext(ctx, "entries of the audit log were deleted for their age before they could be streamed", "outlet", o.name, "from", at.Position+1, "to", b.first-1)
	}
	text, err := s.format(list)
	if err != nil {
		return err
	}
	b.text = text
	return o.write(ctx, b)
}

// Entry is an entry of the audit log as it is streamed, docs/audit.md. Members are
// added to it; none is taken away, and none comes to mean something else.
type Entry struct {
	Issuer   string `json:"issuer"`
	Position int64  `json:"position"`
	At       int64  `json:"at"` // unix seconds
	Actor    Actor  `json:"actor"`
	Action   string `json:"action"`
	UserID   string `json:"user_id,omitempty"`
	ClientID string `json:"client_id,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Sequence int64  `json:"sequence"`
	Mark     string `json:"mark,omitempty"`
	Seal     string `json:"seal"` // the head of the chain, when it ended here
}

// Actor is who did what an Entry tells.
type Actor struct {
	Kind    string `json:"kind"`
	ID      string `json:"id,omitempty"`
	Address string `json:"address,omitempty"`
}

func (s *Stream) format(list []model.Event) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	for _, e := range list {
		err := encoder.Encode(Entry{
			Issuer: s.Issuer, Position: e.Position, At: e.At, Actor: Actor{string(e.Actor.Kind), e.Actor.ID, e.Actor.Address}, Action: e.Action,
			UserID: string(e.UserID), ClientID: string(e.ClientID), Detail: e.Detail, Sequence: e.Sequence, Mark: e.Mark, Seal: e.Seal,
		})
		if err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// pauseAfter is how long to wait after a number of failures, in seconds: twice as long
// each time, and never just as long.
func pauseAfter(failures int64) int64 {
	most := int64(longestPause)
	if failures < 16 {
		most = min(most, firstPause<<max(failures-1, 0))
	}
	return most/2 + rand.Int64N(most/2+1) + 1
}

func (s *Stream) unix() int64 { return s.Log.now().Unix() }

// Lag is how far an outlet is behind.
type Lag struct {
	Outlet  string
	Entries int64
	Oldest  int64 // when the oldest of them was written; 0: there is none
}

// Lags tells how far the outlets are behind. A nil Stream has none.
func (s *Stream) Lags(ctx context.Context) ([]Lag, error) {
	if s == nil {
		return nil, nil
	}
	head, err := s.Log.Head(ctx)
	if err != nil && !errors.As(err, new(Broken)) {
		return nil, err
	}
	var all []Lag
	for _, o := range s.outlets {
		lag := Lag{Outlet: o.name}
		err := s.Log.store.View(ctx, func(tx *store.Tx) error {
			at, err := tx.Outlet(o.name)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			lag.Entries = max(head.End.Position-max(at.Position, head.Begin.Position), 0)
			next, err := tx.SealedEvents(at.Position, 1)
			if err == nil && len(next) > 0 {
				lag.Oldest = next[0].At
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, lag)
	}
	return all, nil
}
