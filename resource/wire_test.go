package resource

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// wire carries requests to a handler without a network, as a proxy that can fail
// would: so that tests have a clock of their own.
type wire struct {
	handler http.Handler

	mu      sync.Mutex
	down    bool // nobody answers
	buffers bool // nothing is passed on before an answer is whole
	stalled bool // what is written is held back
	open    []*tube
}

func (n *wire) set(change func(*wire)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

// cutAll ends every connection, as when a cable is cut.
func (n *wire) cutAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range n.open {
		t.close(errors.New("connection reset"))
	}
	n.open = nil
}

// stall holds back what is written, or lets all of it go at once.
func (n *wire) stall(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stalled = on
	for _, t := range n.open {
		t.hold(on)
	}
}

func (n *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	if n.down {
		n.mu.Unlock()
		return nil, errors.New("connection refused")
	}
	t, handler, buffers := newTube(n.stalled), n.handler, n.buffers
	n.open = append(n.open, t)
	n.mu.Unlock()

	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(ctx, func() { t.close(context.Cause(ctx)) })
	w := &answering{tube: t, header: http.Header{}, began: make(chan struct{})}
	go func() {
		defer cancel()
		handler.ServeHTTP(w, r.Clone(ctx))
		w.WriteHeader(http.StatusOK)
		t.end()
	}()
	t.cancel = func() { stop(); cancel() }
	if buffers {
		select {
		case <-t.ended:
		case <-r.Context().Done():
			return nil, context.Cause(r.Context())
		}
	}
	select {
	case <-w.began:
	case <-r.Context().Done():
		return nil, context.Cause(r.Context())
	}
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Header: w.header, Body: t,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: -1,
	}, nil
}

// answering is the server's end of a wire.
type answering struct {
	tube   *tube
	header http.Header
	once   sync.Once
	status int
	began  chan struct{}
}

func (w *answering) Header() http.Header { return w.header }
func (w *answering) Flush()              {}
func (w *answering) WriteHeader(status int) {
	w.once.Do(func() { w.status = status; close(w.began) })
}
func (w *answering) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.tube.write(b)
}

// tube holds what was written until it is read, as sockets do.
type tube struct {
	mu     sync.Mutex
	more   *sync.Cond
	buffer bytes.Buffer
	held   bool
	err    error
	ended  chan struct{}
	cancel func()
}

func newTube(held bool) *tube {
	t := &tube{held: held, ended: make(chan struct{})}
	t.more = sync.NewCond(&t.mu)
	return t
}

func (t *tube) write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return 0, t.err
	}
	t.buffer.Write(b)
	t.more.Broadcast()
	return len(b), nil
}

func (t *tube) hold(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = on
	t.more.Broadcast()
}

func (t *tube) end() {
	t.close(io.EOF)
	close(t.ended)
}

func (t *tube) close(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil || t.err == io.EOF && t.held { // what is held back has not ended
		t.err = err
	}
	t.more.Broadcast()
}

func (t *tube) Read(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.err == nil && (t.held || t.buffer.Len() == 0) || t.err == io.EOF && t.held {
		t.more.Wait()
	}
	if t.buffer.Len() > 0 && (t.err == nil || t.err == io.EOF) {
		return t.buffer.Read(b)
	}
	return 0, t.err
}

func (t *tube) Close() error {
	t.close(errors.New("closed"))
	t.cancel()
	return nil
}
