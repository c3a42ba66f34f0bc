package store

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// conn is a connection to an SQLite database that keeps every statement
// prepared: the texts are constants of this package, so there are few. One
// goroutine uses it at a time.
//
// It speaks to SQLite itself, without package database/sql and its driver, which
// together cost as much as the reading of a row by its key: they lock, ask for the
// names and types of columns, and copy each value three times. Contexts are heeded
// before a transaction begins: statements here take microseconds, and their number
// of rows is bounded.
type conn struct {
	tls        *libc.TLS
	db         uintptr // 0: closed
	out        uintptr // room for a pointer or two numbers, where SQLite puts what it made
	gathers    bool    // see gathering
	statements map[string]*statement

	memory  *memory // of what is asked on this connection; nil: nothing is kept
	forgets bool    // a statement was run that may change what a memory keeps
}

// errConnClosed says that a connection is closed.
var errConnClosed = errors.New("the connection is closed")

// sqliteError is what SQLite says of a failure, with its extended code.
type sqliteError struct {
	code int
	text string
}

func (e *sqliteError) Error() string { return fmt.Sprintf("%s (%d)", e.text, e.code) }

// Code is the extended result code, as the driver's errors have it.
func (e *sqliteError) Code() int { return e.code }

// outSize is enough for what SQLite returns a handle in, or two numbers of 32 bits.
const outSize = 8

// openConn opens a connection to the file on which those pragmas are set.
func openConn(path string, pragmas []string) (*conn, error) { return openConnBy("", path, pragmas) }

// openConnBy is openConn with a way to files: SQLite's own, or gathering.
func openConnBy(way, path string, pragmas []string) (*conn, error) {
	c := &conn{tls: libc.NewTLS(), gathers: way == gathering, statements: map[string]*statement{}}
	if err := c.open(way, path); err != nil {
		c.Close()
		return nil, err
	}
	for _, p := range pragmas {
		if err := c.run("PRAGMA " + p); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

func (c *conn) open(way, path string) error {
	if c.out = sqlite3.Xsqlite3_malloc(c.tls, outSize); c.out == 0 {
		return errNoMemory
	}
	name, err := c.text(path)
	if err != nil {
		return err
	}
	defer sqlite3.Xsqlite3_free(c.tls, name)
	var by uintptr
	if way != "" {
		if by, err = c.text(way); err != nil {
			return err
		}
		defer sqlite3.Xsqlite3_free(c.tls, by)
	}
	// NOMUTEX: no two goroutines are ever in one connection.
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, c.out, sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_NOMUTEX, by)
	c.db = *(*uintptr)(at(c.out)) // also when it failed: it has the message
	if rc != sqlite3.SQLITE_OK {
		return c.fail(rc)
	}
	sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	return nil
}

// Close closes the statements and the connection.
func (c *conn) Close() error {
	if c.tls == nil {
		return nil
	}
	for _, s := range c.statements {
		s.finalize()
	}
	if c.db != 0 {
		if c.gathers {
			c.forget()
		}
		sqlite3.Xsqlite3_close_v2(c.tls, c.db)
	}
	sqlite3.Xsqlite3_free(c.tls, c.out)
	c.tls.Close()
	*c = conn{}
	return nil
}

// run runs a statement once and keeps nothing of it.
func (c *conn) run(query string) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	defer s.finalize()
	_, err = s.exec(nil)
	return err
}

// number runs a query once, and returns the number in its first row.
func (c *conn) number(query string) (n int64, err error) {
	err = c.first(query, func(row row) (err error) { n, err = row.integer(0); return err })
	return n, err
}

// line is number for a text.
func (c *conn) line(query string) (text string, err error) {
	err = c.first(query, func(row row) (err error) { text, err = row.text(0); return err })
	return text, err
}

func (c *conn) first(query string, read func(row) error) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	defer s.finalize()
	if err := s.bind(nil); err != nil {
		return err
	}
	if !s.Next() {
		return errors.Join(s.Err(), s.Close())
	}
	return errors.Join(read(s), s.Close())
}

// interrupt lets what runs on the connection fail soon. It may be called from elsewhere,
// while the connection is open.
func (c *conn) interrupt() {
	tls := libc.NewTLS()
	defer tls.Close()
	sqlite3.Xsqlite3_interrupt(tls, c.db)
}

// changes is how many rows were changed on the connection, undone or not.
func (c *conn) changes() int64 {
	if c.db == 0 {
		return 0
	}
	return sqlite3.Xsqlite3_total_changes64(c.tls, c.db)
}

// idle reports whether there is no transaction on the connection.
func (c *conn) idle() bool { return c.db == 0 || sqlite3.Xsqlite3_get_autocommit(c.tls, c.db) != 0 }

func (c *conn) statement(query string) (*statement, error) {
	if s := c.statements[query]; s != nil {
		return s, nil
	}
	if c.db == 0 {
		return nil, errConnClosed
	}
	s, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	c.statements[query] = s
	return s, nil
}

func (c *conn) exec(_ context.Context, query string, args []any) (int64, error) {
	s, err := c.statement(query)
	if err != nil {
		return 0, err
	}
	return s.exec(args)
}

// execLater is exec: there is no way that it could save.
func (c *conn) execLater(ctx context.Context, query string, args []any) error {
	_, err := c.exec(ctx, query, args)
	return err
}

// wide means nothing where one writes at a time.
func (c *conn) wide() {}

func (c *conn) query(_ context.Context, query string, args []any) (rows, error) {
	s, err := c.statement(query)
	if err != nil {
		return nil, err
	}
	if err := s.bind(args); err != nil {
		return nil, err
	}
	return s, nil
}

// fail is what SQLite says of its last failure, which had that result code.
func (c *conn) fail(rc int32) error {
	if c.db == 0 {
		return errNoMemory
	}
	text, more := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc)), libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	if more != text {
		text += ": " + more
	}
	return &sqliteError{code: int(sqlite3.Xsqlite3_extended_errcode(c.tls, c.db)), text: text}
}

var errNoMemory = errors.New("SQLite has no memory left")

// text copies a string to where SQLite can read it, with a zero at its end. It is
// freed by the caller.
func (c *conn) text(s string) (uintptr, error) {
	p := sqlite3.Xsqlite3_malloc(c.tls, int32(len(s)+1))
	if p == 0 {
		return 0, errNoMemory
	}
	memory := unsafe.Slice((*byte)(at(p)), len(s)+1)
	memory[copy(memory, s)] = 0
	return p, nil
}

// at is where an address of SQLite's points. Its memory is not Go's: it does not
// move, and is not collected.
func at(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }
