package store

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pgConn is a connection to PostgreSQL while a transaction has it.
//
// What a statement costs is above all the way there and back, so as few as can be are
// gone: what nobody waits for goes with the next statement, in one pipeline, and
// statements are prepared (PostgreSQL manual, §34.5 and §55.2.3). Texts and whole
// numbers are all that is stored, so values travel as text.
//
// It does not pass a context on to the driver, which would watch it for every
// statement, and close the connection of whoever goes away. Contexts are heeded
// before a transaction begins and before it is committed. Each way has its time
// instead, after which the connection counts as lost: a server that has gone without
// a word would be waited for otherwise.
type pgConn struct {
	pool    *pgxpool.Conn
	pg      *pgconn.PgConn
	known   map[string]*pgconn.StatementDescription // by their texts
	time    time.Duration                           // of a way there and back; 0: no limit
	waiting []asked                                 // goes with the next statement
	begun   bool                                    // the beginning of the transaction was sent
	heard   bool                                    // the server has answered something
	broken  bool                                    // it does not go back to the pool
	isWide  bool                                    // see holdWide
}

// asked is a statement with its arguments.
type asked struct {
	query string
	args  []any
}

// begins are the statements that begin a transaction of each mode.
var begins = map[mode]string{
	snapshot:  "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
	audited:   "BEGIN ISOLATION LEVEL SERIALIZABLE",
	redeeming: "BEGIN ISOLATION LEVEL REPEATABLE READ",
	serial:    "BEGIN ISOLATION LEVEL SERIALIZABLE",
	tidy:      "BEGIN ISOLATION LEVEL READ COMMITTED",
}

// holdWide lets nobody else change a session or a grant, on any node, until the end of a
// transaction that changes those of many people and has lost against others. It would
// lose for ever: among so many there is always one that is renewed meanwhile. What it
// reads comes after it, so there is nothing left that it could lose against.
const holdWide = `LOCK TABLE sessions, grants IN SHARE ROW EXCLUSIVE MODE`

const (
	// maxKnown is how many statements a connection has prepared at most. They are
	// constants of this package, but for those that are as long as a list.
	maxKnown = 500
	// wideTime is how long a statement may take that changes sessions and grants of
	// many people: a million take half a minute.
	wideTime = 10 * time.Minute
	// closeTime is how long a server may take to hear that a connection is closed.
	closeTime = time.Second
)

// errUndone says that PostgreSQL has answered a commit by undoing everything, because
// a statement had failed.
var errUndone = errors.New("the transaction was undone")

// take returns a connection of the pool, waiting for one until ctx is done.
func (p *postgres) take(ctx context.Context) (*pgConn, error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	const statements = "ostiary statements"
	c := &pgConn{pool: conn, pg: conn.Conn().PgConn(), time: p.statement}
	var ok bool
	if c.known, ok = c.pg.CustomData()[statements].(map[string]*pgconn.StatementDescription); !ok {
		c.known = map[string]*pgconn.StatementDescription{}
		c.pg.CustomData()[statements] = c.known
	}
	return c, nil
}

// give brings the connection back, without what was begun and not committed.
func (c *pgConn) give() {
	if c.pg.TxStatus() != 'I' && !c.broken && !c.pg.IsClosed() {
		c.arm()
		_, err := c.pg.Exec(context.Background(), "ROLLBACK").ReadAll()
		c.broken = err != nil
	}
	if c.broken {
		conn := c.pool.Hijack()
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), closeTime)
			defer cancel()
			conn.Close(ctx)
		}()
		return
	}
	if !c.pg.IsClosed() {
		c.pg.Conn().SetDeadline(time.Time{})
	}
	c.pool.Release() // which closes what is not as it was
}

// arm begins the time of the next way.
func (c *pgConn) arm() {
	if c.time > 0 {
		c.pg.Conn().SetDeadline(time.Now().Add(c.time))
	}
}

// begin lets a transaction begin with its first statement.
func (c *pgConn) begin(m mode, hold bool) {
	c.later(asked{query: begins[m]})
	if hold {
		c.later(asked{query: holdWide})
	}
}

// wide gives the statements that follow more time than those have that somebody waits
// for at a page.
func (c *pgConn) wide() {
	c.isWide = true
	if c.time > 0 && c.time < wideTime {
		c.time = wideTime + onTheWay
		c.later(asked{query: `SET LOCAL statement_timeout = ` + strconv.FormatInt(wideTime.Milliseconds(), 10)})
	}
}

func (c *pgConn) later(a asked) { c.waiting = append(c.waiting, a) }

// ready prepares what waits, so that to send it takes one way.
func (c *pgConn) ready() error {
	for _, a := range c.waiting {
		if a.args == nil { // the beginning and the end, or what is seldom asked for
			continue
		}
		if err := c.prepare(a.query); err != nil {
			return err
		}
	}
	return nil
}

// commit ends the transaction, if it has begun.
func (c *pgConn) commit() error {
	if !c.begun && len(c.waiting) < 2 { // nobody has asked for anything
		return nil
	}
	way, err := c.send(asked{query: "COMMIT"})
	if err != nil {
		return err
	}
	tag, err := way.end()
	if err == nil && tag.String() != "COMMIT" {
		err = errUndone
	}
	return err
}

func (c *pgConn) exec(_ context.Context, query string, args []any) (int64, error) {
	way, err := c.send(asked{query, args})
	if err != nil {
		return 0, err
	}
	tag, err := way.end()
	return tag.RowsAffected(), err
}

// execLater runs a statement with the next one, or with the commit.
func (c *pgConn) execLater(_ context.Context, query string, args []any) error {
	c.later(asked{query, args})
	return nil
}

func (c *pgConn) query(_ context.Context, query string, args []any) (rows, error) {
	return c.send(asked{query, args})
}

// send sends what waits and a last statement, and returns the way back of the last
// one's answer. If another one has failed, so has it.
func (c *pgConn) send(last asked) (*pgWay, error) {
	c.later(last)
	if err := c.ready(); err != nil {
		return nil, err
	}
	all := c.waiting
	c.waiting, c.begun = nil, true
	values := make([][][]byte, len(all))
	for i, a := range all {
		var err error
		if values[i], err = encode(a.args); err != nil {
			return nil, err
		}
	}
	c.arm()
	way := &pgWay{c: c, pipeline: c.pg.StartPipeline(context.Background())}
	for i, a := range all {
		c.put(way.pipeline, a.query, values[i])
	}
	err := way.pipeline.Sync()
	for i := 0; err == nil && i < len(all); i++ {
		if i > 0 {
			_, err = way.result.Close()
		}
		if err == nil {
			err = way.next()
		}
	}
	if err != nil {
		way.pipeline.Close() // which says the same, or less
		return nil, err
	}
	return way, nil
}

// put puts a statement into what is sent next.
func (c *pgConn) put(to *pgconn.Pipeline, query string, values [][]byte) {
	if known := c.known[query]; known != nil {
		to.SendQueryStatement(known, values, nil, nil)
	} else {
		to.SendQueryParams(query, values, nil, nil, nil)
	}
}

// prepare prepares a statement that this connection does not know, unless it knows
// enough.
func (c *pgConn) prepare(query string) error {
	if c.known[query] != nil || len(c.known) >= maxKnown {
		return nil
	}
	c.arm()
	known, err := c.pg.Prepare(context.Background(), "ostiary_"+strconv.Itoa(len(c.known)), query, nil)
	if err != nil {
		return err
	}
	c.known[query] = known
	return nil
}

// encode makes values as they travel.
func encode(args []any) ([][]byte, error) {
	if len(args) == 0 {
		return nil, nil
	}
	values := make([][]byte, len(args))
	for i, arg := range args {
		switch arg.(type) {
		case string, int64:
		default:
			var err error
			if arg, err = plain(i, arg); err != nil {
				return nil, err
			}
		}
		switch v := arg.(type) {
		case string:
			values[i] = []byte(v) // never nil, which would be NULL
		case int64:
			values[i] = strconv.AppendInt(nil, v, 10)
		}
	}
	return values, nil
}

// pgWay is the answer to a statement on its way back, and the rows in it.
type pgWay struct {
	c        *pgConn
	pipeline *pgconn.Pipeline
	result   *pgconn.ResultReader
	over     bool
	err      error
}

// next waits for the answer to the next statement that was sent.
func (w *pgWay) next() (err error) {
	w.result, err = w.c.result(w.pipeline)
	return err
}

var errOtherAnswer = errors.New("store: PostgreSQL answers another question")

// result waits for the answer to the next statement of a pipeline.
func (c *pgConn) result(of *pgconn.Pipeline) (*pgconn.ResultReader, error) {
	got, err := of.GetResults()
	if err != nil {
		return nil, err
	}
	c.heard = true
	result, ok := got.(*pgconn.ResultReader)
	if !ok {
		return nil, errOtherAnswer
	}
	return result, nil
}

// end reads what is left of the answer.
func (w *pgWay) end() (pgconn.CommandTag, error) {
	tag, err := w.result.Close()
	if end := w.pipeline.Close(); err == nil {
		err = end
	}
	w.over, w.err = true, err
	return tag, err
}

// Next implements rows.
func (w *pgWay) Next() bool {
	if w.over {
		return false
	}
	if w.result.NextRow() {
		return true
	}
	w.end()
	return false
}

// Err implements rows.
func (w *pgWay) Err() error { return w.err }

// Close implements rows.
func (w *pgWay) Close() error {
	if !w.over {
		w.end()
	}
	return w.err
}

// Scan implements scanner.
func (w *pgWay) Scan(dest ...any) error { return scan(w.row(), dest) }

func (w *pgWay) row() row { return pgRow(w.result.Values()) }

// pgRow is a row, whose values are texts.
type pgRow [][]byte

func (r pgRow) length() int { return len(r) }

// clone copies a row from where the driver will put the next one.
func (r pgRow) clone() pgRow {
	size := 0
	for _, v := range r {
		size += len(v)
	}
	all, c := make([]byte, 0, size), make(pgRow, len(r))
	for i, v := range r {
		if v != nil { // and not NULL
			from := len(all)
			all = append(all, v...)
			c[i] = all[from:]
		}
	}
	return c
}

func (r pgRow) text(i int) (string, error) {
	if r[i] == nil {
		return "", errNull(i)
	}
	return string(r[i]), nil
}

func (r pgRow) integer(i int) (int64, error) {
	n, err := strconv.ParseInt(string(r[i]), 10, 64)
	if err != nil {
		return 0, errNoNumber(i)
	}
	return n, nil
}
