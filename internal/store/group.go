package store

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// maxBatch and maxBatchTime bound how long the first of a batch waits for
	// the last, beyond the time of one function.
	maxBatch     = 256
	maxBatchTime = 5 * time.Millisecond
	// pauses is how often the last of a batch lets other goroutines go first before it
	// commits. A request that the network has brought meanwhile gets as far as the queue
	// in that many turns; where nobody has anything to do, they take no time.
	pauses = 3
)

// group is the one writer of an SQLite database. A durable commit costs far
// more than a small transaction, so those who come while another is at work
// share one: each runs its own function in its own goroutine while it has the
// turn, and passes the turn on; the last in the queue (or of a full batch) commits
// for all of them, when nobody else is about to come.
//
// Few functions fail after they have changed something. If one does, or panics, the
// whole transaction is undone, and its members run once more, now each inside a
// savepoint of its own: there, what fails undoes its savepoint and nothing else. Nobody
// runs a third time. A savepoint for each from the start would cost a copy of every page
// that its function is the first to touch.
type group struct {
	open    func() (*conn, error)
	explain func(error) error
	grown   chan struct{} // of room for one: told when logStep pages were written
	memory  *memory       // of those who read

	mu     sync.Mutex
	held   bool            // somebody has the turn
	queue  []chan struct{} // those who wait for it; closing a channel gives it
	closed bool
	inside sync.WaitGroup // those who have entered

	// Only whoever has the turn touches these.
	conn    *conn
	batch   *batch
	written int   // pages, since grown was told
	before  stamp // of the file, when the batch began
}

// batch is a transaction that several share.
type batch struct {
	size  int
	apart bool // whoever joins does so inside a savepoint
	until time.Time
	done  chan struct{} // closed when err is final
	err   error         // of the transaction, which nobody survives
}

var (
	// errAgain says that a batch was undone because one of its members failed.
	errAgain = errors.New("store: undone with another's change")
	// errGone says that SQLite has undone a transaction by itself.
	errGone = errors.New("store: the change was undone with another's that could not be written, as when the disk is full")
)

func (g *group) run(ctx context.Context, fn func(querier) error) error {
	if !g.enter() {
		return ErrClosed
	}
	defer g.inside.Done()
	err := g.try(ctx, fn, false)
	if err == errAgain {
		err = g.try(ctx, fn, true)
	}
	return err
}

// try fails with errAgain if fn was in a batch that was undone for one of its members,
// and has to be tried apart.
func (g *group) try(ctx context.Context, fn func(querier) error, apart bool) error {
	if err := g.take(ctx); err != nil {
		return err
	}
	b, err := g.join(apart)
	if err != nil {
		g.pass()
		return err
	}
	changes, returned := g.conn.changes(), false
	defer func() {
		if !returned { // fn panicked, or left by runtime.Goexit
			g.undo(b, changes)
			g.pass()
		}
	}()
	err = fn(g.conn)
	returned = true
	if err != nil {
		g.undo(b, changes)
	} else {
		g.keep(b)
	}
	g.pass()

	// A function that failed waits too: what it saw, and failed for, may be
	// the work of others in the batch, and be lost with them.
	<-b.done
	switch {
	case b.err == nil, b.err == errAgain && b.size == 1, b.err == errGone && err != nil:
		return err
	}
	return b.err
}

// enter reports whether one may come in, for whom close then waits until they are done.
func (g *group) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.inside.Add(1)
	}
	return !g.closed
}

// take waits for the turn.
func (g *group) take(ctx context.Context) error {
	g.mu.Lock()
	if !g.held {
		g.held = true
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	g.queue = append(g.queue, turn)
	g.mu.Unlock()

	select {
	case <-turn:
	case <-ctx.Done():
		if g.leave(turn) {
			return ctx.Err()
		}
		<-turn // it was given at the same moment, and has to be passed on
	}
	if err := ctx.Err(); err != nil {
		g.pass()
		return err
	}
	return nil
}

// leave takes a waiter out of the queue and reports whether it was there.
func (g *group) leave(turn chan struct{}) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.queue, turn)
	if i < 0 {
		return false
	}
	g.queue = slices.Delete(g.queue, i, i+1)
	return true
}

// pass gives the turn to the next in the queue, who joins the batch; if there is
// none or the batch is full or broken, it ends the batch first.
func (g *group) pass() {
	b := g.batch
	if b != nil && b.err == nil && b.size < maxBatch && g.giveSoon() {
		return
	}
	if b != nil {
		g.end(b)
	}
	g.give(true)
}

// giveSoon is give for a batch that may become larger: it is left to those who are about
// to come.
func (g *group) giveSoon() bool {
	for range pauses {
		if g.give(false) {
			return true
		}
		runtime.Gosched()
	}
	return g.give(false)
}

// give hands the turn to the next in the queue and reports whether it did. If
// there is none and free is set, the turn is free.
func (g *group) give(free bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) > 0 {
		close(g.queue[0])
		g.queue[0] = nil
		g.queue = g.queue[1:]
		return true
	}
	if free {
		g.held = false
	}
	return false
}

// join joins the batch, which it begins if there is none. From the first who is to be
// apart on, all are.
func (g *group) join(apart bool) (*batch, error) {
	if g.batch != nil && time.Now().After(g.batch.until) {
		g.end(g.batch)
	}
	if g.batch == nil {
		if err := g.begin(); err != nil {
			return nil, err
		}
	}
	b := g.batch
	b.size++
	b.apart = b.apart || apart
	if b.apart {
		if b.err = g.exec("SAVEPOINT one"); b.err != nil {
			return nil, b.err
		}
	}
	return b, nil
}

func (g *group) exec(statement string) error {
	if _, err := g.conn.exec(context.Background(), statement, nil); err != nil {
		return g.explain(err)
	}
	return nil
}

func (g *group) begin() error {
	if g.conn == nil {
		conn, err := g.open()
		if err != nil {
			return g.explain(err)
		}
		g.conn = conn
	}
	// IMMEDIATE takes the write lock now, waiting while another process has
	// it. A transaction that began as a reader could not wait: it would fail
	// as soon as somebody else had written.
	if err := g.exec("BEGIN IMMEDIATE"); err != nil {
		g.drop()
		return err
	}
	g.before, g.conn.forgets = g.conn.own(), false
	g.batch = &batch{until: time.Now().Add(maxBatchTime), done: make(chan struct{})}
	return nil
}

// keep leaves what the function at work has done to the commit.
func (g *group) keep(b *batch) {
	switch {
	case g.conn.idle():
		b.err = errGone
	case b.apart:
		b.err = g.exec("RELEASE one")
	}
}

// undo takes back what the function at work has done since there were so many changes.
func (g *group) undo(b *batch, changes int64) {
	switch {
	case g.conn.idle():
		b.err = errGone
	case b.apart:
		if b.err = g.exec("ROLLBACK TO one"); b.err == nil {
			b.err = g.exec("RELEASE one")
		}
	case g.conn.changes() != changes:
		b.err = errAgain
	}
}

// end commits the batch, or undoes it if it is broken, and tells its members.
func (g *group) end(b *batch) {
	g.batch = nil
	if b.err == nil {
		b.err = g.exec("COMMIT")
	}
	switch {
	case b.err == nil:
		g.committed()
	case b.err == errAgain && g.rollBack() == nil:
	default:
		// The state of the connection is not known any more: closing it
		// undoes whatever is open.
		g.drop()
	}
	close(b.done)
}

// rollBack undoes the transaction, and what is gathered of it, which is for places in
// the log that others may write to from then on.
func (g *group) rollBack() error {
	g.conn.forget()
	return g.exec("ROLLBACK")
}

// committed does what follows a commit, before anybody is told of it.
func (g *group) committed() {
	g.memory.committed(g.before, g.conn.own(), g.conn.forgets)
	if g.written += g.conn.written(); g.written >= logStep {
		g.written = 0
		wake(g.grown)
	}
}

// alone runs fn while nobody writes: those who want to wait for it.
func (g *group) alone(fn func() error) error {
	if !g.enter() {
		return ErrClosed
	}
	defer g.inside.Done()
	if err := g.take(context.Background()); err != nil {
		return err
	}
	defer g.pass()
	if g.batch != nil {
		g.end(g.batch)
	}
	return fn()
}

func (g *group) drop() {
	g.conn.Close()
	g.conn = nil
}

// close waits for those inside and closes the connection.
func (g *group) close() error {
	g.mu.Lock()
	g.closed = true // nobody comes after this
	g.mu.Unlock()
	g.inside.Wait()
	if g.conn == nil {
		return nil
	}
	return g.conn.Close()
}
