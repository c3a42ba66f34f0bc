package store

import (
	"context"
	"database/sql"
)

// conn is a connection to an SQLite database that keeps every statement
// prepared: the texts are constants of this package, so there are few.
//
// It does not pass a context on to the driver, which would start a goroutine
// for every statement. Statements here take microseconds and their number of
// rows is bounded; contexts are heeded before a transaction begins.
type conn struct {
	*sql.Conn
	statements map[string]*sql.Stmt
}

func openConn(ctx context.Context, db *sql.DB) (*conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, statements: map[string]*sql.Stmt{}}, nil
}

// Close closes the statements and the connection.
func (c *conn) Close() error {
	for _, s := range c.statements {
		s.Close()
	}
	// Not back to the pool of database/sql, which would keep it open with
	// whatever is left on it.
	c.Conn.Raw(func(any) error { return errDiscard })
	return nil
}

func (c *conn) statement(query string) (*sql.Stmt, error) {
	if s := c.statements[query]; s != nil {
		return s, nil
	}
	s, err := c.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	c.statements[query] = s
	return s, nil
}

// ExecContext implements querier.
func (c *conn) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	s, err := c.statement(query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(context.Background(), args...)
}

// QueryContext implements querier.
func (c *conn) QueryContext(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := c.statement(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(context.Background(), args...)
}

// QueryRowContext implements querier.
func (c *conn) QueryRowContext(_ context.Context, query string, args ...any) *sql.Row {
	s, err := c.statement(query)
	if err != nil {
		// Only database/sql can make a Row of an error.
		return c.Conn.QueryRowContext(context.Background(), query, args...)
	}
	return s.QueryRowContext(context.Background(), args...)
}
