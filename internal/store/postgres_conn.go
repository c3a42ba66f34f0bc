package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// pgConn is a connection to PostgreSQL while a transaction has it.
//
// It does not pass a context on to the driver, which would start a goroutine for
// every statement, and close the connection of whoever goes away. Contexts are heeded
// before a transaction begins and before it is committed. Each statement has its time
// instead, after which the connection counts as lost: a server that has gone without
// a word would be waited for otherwise.
type pgConn struct {
	*sql.Conn
	pg     *pgx.Conn
	time   time.Duration // of a statement
	broken bool          // it does not go back to the pool
}

// begins are the statements that begin a transaction of each mode.
var begins = map[mode]string{
	snapshot: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
	audited:  "BEGIN ISOLATION LEVEL SERIALIZABLE",
	serial:   "BEGIN ISOLATION LEVEL SERIALIZABLE",
	tidy:     "BEGIN ISOLATION LEVEL READ COMMITTED",
}

// errUndone says that PostgreSQL has answered a commit by undoing everything, because
// a statement had failed.
var errUndone = errors.New("the transaction was undone")

// take returns a connection of the pool, waiting for one until ctx is done.
func (p *postgres) take(ctx context.Context) (*pgConn, error) {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	c := &pgConn{Conn: conn, time: p.statement}
	err = conn.Raw(func(d any) error {
		c.pg = d.(*stdlib.Conn).Conn()
		return nil
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// give brings the connection back, without what was begun and not committed.
func (c *pgConn) give() {
	if c.pg.PgConn().TxStatus() != 'I' && !c.broken {
		c.command("ROLLBACK") // if it fails, the status tells
	}
	if c.broken || c.pg.IsClosed() || c.pg.PgConn().TxStatus() != 'I' {
		c.Raw(func(any) error { return driver.ErrBadConn }) // which closes it
		return
	}
	c.pg.PgConn().Conn().SetDeadline(time.Time{})
	c.Conn.Close()
}

// arm begins the time of the next statement.
func (c *pgConn) arm() { c.pg.PgConn().Conn().SetDeadline(time.Now().Add(c.time)) }

func (c *pgConn) command(text string) (string, error) {
	c.arm()
	tag, err := c.pg.Exec(context.Background(), text)
	return tag.String(), err
}

func (c *pgConn) begin(m mode) error {
	_, err := c.command(begins[m])
	return err
}

func (c *pgConn) commit() error {
	tag, err := c.command("COMMIT")
	if err == nil && tag != "COMMIT" {
		err = errUndone
	}
	return err
}

func (c *pgConn) exec(_ context.Context, query string, args []any) (int64, error) {
	c.arm()
	result, err := c.Conn.ExecContext(context.Background(), query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (c *pgConn) query(_ context.Context, query string, args []any) (rows, error) {
	c.arm()
	return c.Conn.QueryContext(context.Background(), query, args...)
}
