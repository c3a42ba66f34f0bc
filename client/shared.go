package client

import (
	"context"
	"sync"
	"time"
)

// shared lets callers that want the same thing at the same moment share one
// call, and remembers its outcome for as long as the call itself asked for.
//
// Discovery, renewal and client credentials all need exactly this: fifty
// requests that find an expired token must cause one request to the
// authorization server, and the fifty-first, a second later and still carrying
// the old cookie, must be given what the first fifty got.
type shared[V any] struct {
	now func() time.Time
	max int // outcomes remembered at most

	mu    sync.Mutex
	calls map[string]*call[V]
	queue []*call[V] // finished and remembered, oldest first
}

type call[V any] struct {
	key   string
	done  chan struct{} // closed when value and err are set
	value V
	err   error
	until time.Time // remembered so long; zero: still running
}

func newShared[V any](now func() time.Time, max int) *shared[V] {
	return &shared[V]{now: now, max: max, calls: make(map[string]*call[V])}
}

// do returns the outcome of fn for key: of a running call, of a remembered one,
// or of a new one. fn says how long its outcome, good or bad, is remembered. It
// runs detached from ctx, because one caller that gives up must not spoil the
// result of the others; it must therefore limit its own time.
func (s *shared[V]) do(ctx context.Context, key string, fn func(context.Context) (V, time.Duration, error)) (V, error) {
	s.mu.Lock()
	c, ok := s.calls[key]
	if ok && !c.until.IsZero() && !s.now().Before(c.until) {
		ok = false
	}
	if !ok {
		c = &call[V]{key: key, done: make(chan struct{})}
		s.calls[key] = c
		go s.run(context.WithoutCancel(ctx), c, fn)
	}
	s.mu.Unlock()

	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
		var zero V
		return zero, context.Cause(ctx)
	}
}

func (s *shared[V]) run(ctx context.Context, c *call[V], fn func(context.Context) (V, time.Duration, error)) {
	value, keep, err := fn(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	c.value, c.err = value, err
	c.until = s.now().Add(keep)
	if keep <= 0 {
		s.forget(c)
	} else {
		s.queue = append(s.queue, c)
	}
	for len(s.queue) > 0 && (len(s.queue) > s.max || !s.now().Before(s.queue[0].until)) {
		s.forget(s.queue[0])
		s.queue[0] = nil
		s.queue = s.queue[1:]
	}
	close(c.done)
}

// forget drops c, unless a younger call has taken its place.
func (s *shared[V]) forget(c *call[V]) {
	if s.calls[c.key] == c {
		delete(s.calls, c.key)
	}
}

// peek returns the remembered good outcome for key.
func (s *shared[V]) peek(key string) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.calls[key]
	if !ok || c.until.IsZero() || !s.now().Before(c.until) || c.err != nil {
		var zero V
		return zero, false
	}
	return c.value, true
}

// once is a bounded memory of keys that must not be used again.
type once struct {
	now func() time.Time
	max int

	mu    sync.Mutex
	until map[string]time.Time
	queue []string // oldest first
}

func newOnce(now func() time.Time, max int) *once {
	return &once{now: now, max: max, until: make(map[string]time.Time)}
}

// use marks key for the time keep and reports whether it was unmarked before.
func (o *once) use(key string, keep time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	if now.Before(o.until[key]) {
		return false
	}
	if _, stale := o.until[key]; !stale {
		o.queue = append(o.queue, key)
	}
	o.until[key] = now.Add(keep)
	for len(o.queue) > 0 && (len(o.queue) > o.max || !now.Before(o.until[o.queue[0]])) {
		delete(o.until, o.queue[0])
		o.queue = o.queue[1:]
	}
	return true
}

// used reports whether key is marked.
func (o *once) used(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now().Before(o.until[key])
}
