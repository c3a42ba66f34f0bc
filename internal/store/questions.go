package store

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// questions lets those who have one question each (see Store.Ask) go to PostgreSQL and
// back together: a way there costs more than most answers do, at either end. While one
// is gone, whoever comes waits, and goes with the next; but nobody waits for long for
// what others have asked. Each question is a transaction of its own all the same, which
// begins after it was asked.
type questions struct {
	p    *postgres
	ways int // that may be gone at once

	mu    sync.Mutex
	gone  int
	queue []*inquiry // who waits, in the order of coming
}

const (
	// maxWays is how many ways for questions may be gone at once, at most.
	maxWays = 4
	// longWay is for how long others' ways are waited for, where there may be more of
	// them. A server nearby answers in less.
	longWay = 5 * time.Millisecond
	// maxTogether is how many questions go one way, at most.
	maxTogether = 64
)

// inquiry is one question on its way, and its answer.
type inquiry struct {
	asked
	turn   chan turn // has room for one
	values [][]byte
	answer
}

// turn is what somebody who waits is told.
type turn int

const (
	answered turn = iota // by another one's way
	lead                 // the next way is yours
)

// inquirer is what a question is asked by.
type inquirer struct {
	q        *questions
	wait     context.Context // for a turn and for a connection; a way has its own time
	patience time.Duration   // how long that is
}

func (inquirer) exec(context.Context, string, []any) (int64, error) { return 0, ErrReadOnly }

func (inquirer) execLater(context.Context, string, []any) error { return ErrReadOnly }

func (inquirer) wide() {}

func (i inquirer) query(ctx context.Context, query string, args []any) (rows, error) {
	own := &inquiry{asked: asked{query, args}, turn: make(chan turn, 1)}
	it, ok := i.q.await(i.wait, own)
	if !ok {
		return nil, i.q.p.waited(ctx, i.patience, noTurn)
	}
	if it == lead {
		i.lead(ctx, own)
	}
	if own.err != nil {
		return nil, own.err
	}
	return &own.answer, nil
}

// lead goes one way, with whoever waits.
func (i inquirer) lead(ctx context.Context, own *inquiry) {
	defer i.q.pass()
	c, err := i.q.p.take(i.wait)
	if err != nil {
		if own.err = err; i.wait.Err() != nil {
			own.err = i.q.p.waited(ctx, i.patience, noConnection)
		}
		return
	}
	defer i.q.p.give(c)
	others := i.q.others()
	c.inquire(append(others, own))
	for _, other := range others {
		other.turn <- answered
	}
}

// await waits for a turn, until wait is done.
func (q *questions) await(wait context.Context, own *inquiry) (turn, bool) {
	if q.come(own) {
		return lead, true
	}
	long := time.NewTicker(longWay)
	defer long.Stop()
	for {
		select {
		case it := <-own.turn:
			return it, true
		case <-long.C:
			q.hurry(own)
		case <-wait.Done():
			q.leave(own)
			return answered, false
		}
	}
}

// come puts whoever comes among those who wait, unless a way is theirs at once.
func (q *questions) come(own *inquiry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone > 0 {
		q.queue = append(q.queue, own)
		return false
	}
	q.gone++
	return true
}

// hurry gives somebody who waits another way, if there may be one.
func (q *questions) hurry(own *inquiry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.queue, own); i >= 0 && q.gone < q.ways {
		q.queue = slices.Delete(q.queue, i, i+1)
		q.gone++
		own.turn <- lead
	}
}

// leave lets somebody go who has waited for too long. Whoever is under way already,
// with another one, is answered, and nobody hears it.
func (q *questions) leave(own *inquiry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.queue, own); i >= 0 {
		q.queue = slices.Delete(q.queue, i, i+1)
		return
	}
	select {
	case it := <-own.turn:
		if it == lead {
			q.passOn()
		}
	default:
	}
}

// pass gives a way that is back to whoever waits.
func (q *questions) pass() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.passOn()
}

// passOn is pass with mu locked.
func (q *questions) passOn() {
	if len(q.queue) == 0 {
		q.gone--
		return
	}
	next := q.queue[0]
	q.queue = slices.Delete(q.queue, 0, 1)
	next.turn <- lead
}

// others takes those who wait, as many as go one way besides its leader.
func (q *questions) others() []*inquiry {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.queue), maxTogether-1)
	others := slices.Clone(q.queue[:n])
	q.queue = slices.Delete(q.queue, 0, n)
	return others
}

// inquire asks questions and hears the answers, in one way. A Sync follows each: it ends
// its transaction, and its failure is not that of the others (PostgreSQL manual, §55.2.4).
func (c *pgConn) inquire(all []*inquiry) {
	var asked []*inquiry
	for _, q := range all {
		if q.values, q.err = encode(q.args); q.err == nil && q.args != nil {
			q.err = c.prepare(q.query)
		}
		if q.err == nil {
			asked = append(asked, q)
		}
		c.broken = c.broken || lost(q.err)
	}
	if len(asked) == 0 {
		return
	}
	c.arm()
	pipeline := c.pg.StartPipeline(context.Background())
	for _, q := range asked {
		c.put(pipeline, q.query, q.values)
		pipeline.SendPipelineSync()
	}
	err := pipeline.Flush()
	for _, q := range asked {
		if q.err = err; err == nil {
			q.err = q.hear(c, pipeline)
			c.broken = c.broken || lost(q.err)
			err = synced(pipeline)
		}
	}
	if end := pipeline.Close(); err != nil || end != nil {
		c.broken = true
	}
}

// synced waits for the end of a question's transaction.
func synced(pipeline *pgconn.Pipeline) error {
	got, err := pipeline.GetResults()
	if _, ok := got.(*pgconn.PipelineSync); err == nil && !ok {
		err = errOtherAnswer
	}
	return err
}

// answer is the answer to a question, whole.
type answer struct {
	list []pgRow
	next int
	err  error
}

// hear reads the answer from where the driver will read the next one into.
func (a *answer) hear(c *pgConn, pipeline *pgconn.Pipeline) error {
	result, err := c.result(pipeline)
	if err != nil {
		return err
	}
	for result.NextRow() {
		a.list = append(a.list, pgRow(result.Values()).clone())
	}
	_, err = result.Close()
	return err
}

// Next implements rows.
func (a *answer) Next() bool {
	a.next++
	return a.next <= len(a.list)
}

// Err implements rows.
func (a *answer) Err() error { return nil }

// Close implements rows.
func (a *answer) Close() error { return nil }

// Scan implements scanner.
func (a *answer) Scan(dest ...any) error { return scan(a.row(), dest) }

func (a *answer) row() row { return a.list[a.next-1] }
