package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// logStep is after how many pages that were written a checkpoint is wanted.
	logStep = 1000
	// longLog is from how many pages on the writer is held up, so that the log can
	// begin anew.
	longLog = 4 * logStep
	// readerTime is for how many milliseconds a long log waits, while nobody writes,
	// for those who read what is in it.
	readerTime = "5"
	// checkpointRest is how long after a failure a checkpoint is tried again.
	checkpointRest = 10 * time.Second
)

// checkpointer brings what was written from the log of an SQLite file (the file -wal)
// into the file itself, so that the log can begin anew. By itself SQLite does that
// inside the commit that finds the log long: whoever committed then waited until up to
// a thousand pages, which lie everywhere, were on the disk, and all others waited for
// them. A checkpoint beside the writer, which is PASSIVE, waits for nobody, and nobody
// waits for it (https://www.sqlite.org/c3ref/wal_checkpoint_v2.html).
//
// A commit is durable when it is in the log, so nothing is lost while no checkpoint
// succeeds; the log only grows.
type checkpointer struct {
	path   string
	flush  func(*conn) error // the file, to the disk
	writer *group
	grown  chan struct{} // of room for one: the log has grown by logStep
	closed <-chan struct{}
	ended  chan struct{}         // closed when run has returned
	conn   *conn                 // nil: to be opened
	fault  atomic.Pointer[error] // what the last one failed of; nil: nothing
}

// log is how many pages the log has, and how many of them are in the file as well.
type log struct{ pages, home int64 }

// run checkpoints when the log has grown, until the database is closed.
func (c *checkpointer) run() {
	defer close(c.ended)
	for {
		var again <-chan time.Time
		if c.fault.Load() != nil {
			again = time.After(checkpointRest)
		}
		select {
		case <-c.closed:
			c.drop()
			return
		case <-c.grown:
		case <-again:
		}
		err := c.checkpoint()
		if err == nil || errors.Is(err, ErrClosed) {
			c.fault.Store(nil)
			continue
		}
		if unflushed(err) {
			err = fmt.Errorf("the disk did not take what was written to %s: see to the disk, then start the server again (%w)", c.path, err)
			c.fault.Store(&err)
			return
		}
		c.fault.Store(&err)
		c.drop()
	}
}

// unflushed reports whether the disk failed to take what was written. Then some of it
// may be in the log alone, and to flush again would not tell: the log must not begin
// anew. Nothing is checkpointed any more, and the connection stays open, so that SQLite
// does not do it either when the database is closed. Whoever opens the file next brings
// all of the log home.
func unflushed(err error) bool {
	failure, ok := errors.AsType[*sqliteError](err)
	return ok && failure.code == sqlite3.SQLITE_IOERR_FSYNC
}

// checkpoint brings home what is in the log. Whoever writes without a pause is always
// ahead of it, and the log would never begin anew: where it has become long, the writer
// is held up for the little that came meanwhile.
func (c *checkpointer) checkpoint() error {
	if c.conn == nil {
		conn, err := openConn(c.path, append(slices.Clip(pragmas), "busy_timeout="+readerTime))
		if err != nil {
			return err
		}
		c.conn = conn
	}
	l, err := c.beside()
	if err != nil || l.pages < longLog {
		return err
	}
	if l, err = c.beside(); err != nil || l.pages-l.home > logStep {
		return err // what stands in the way is somebody who reads for long: nobody waits for them
	}
	return c.writer.alone(func() error {
		_, err := c.conn.checkpoint("RESTART")
		return err
	})
}

// beside brings home what it can while others read and write. Where somebody wrote
// meanwhile, SQLite has not flushed the file: that is done here, so that it does not
// have to be done while the writer is held up.
func (c *checkpointer) beside() (log, error) {
	l, err := c.conn.checkpoint("PASSIVE")
	if err == nil {
		err = c.flush(c.conn)
	}
	return l, err
}

func (c *checkpointer) drop() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// checkpoint runs a checkpoint. That others are in its way, who read or who make one
// themselves, is no error.
func (c *conn) checkpoint(kind string) (l log, err error) {
	rows, err := c.query(context.Background(), "PRAGMA wal_checkpoint("+kind+")", nil)
	if err != nil {
		return l, err
	}
	defer rows.Close()
	if rows.Next() {
		var busy int64
		err = rows.Scan(&busy, &l.pages, &l.home)
	}
	return l, errors.Join(err, rows.Close(), rows.Err())
}

// sync flushes the file of the database to the disk. It is SQLite's own handle that is
// flushed: to open the file once more, and close it, would release the locks on it.
func (c *conn) sync() error {
	if rc := sqlite3.Xsqlite3_file_control(c.tls, c.db, 0, sqlite3.SQLITE_FCNTL_FILE_POINTER, c.out); rc != sqlite3.SQLITE_OK {
		return c.fail(rc)
	}
	file := *(*uintptr)(at(c.out))
	methods := (*sqlite3.Tsqlite3_io_methods)(at((*sqlite3.Tsqlite3_file)(at(file)).FpMethods))
	flush := *(*func(*libc.TLS, uintptr, int32) int32)(unsafe.Pointer(&struct{ uintptr }{methods.FxSync}))
	if rc := flush(c.tls, file, sqlite3.SQLITE_SYNC_NORMAL); rc != sqlite3.SQLITE_OK {
		return &sqliteError{code: int(rc), text: libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))}
	}
	return nil
}

// written is how many pages the connection has written since it was last asked.
func (c *conn) written() int {
	pages := (*[2]int32)(at(c.out)) // now, and at most
	if sqlite3.Xsqlite3_db_status(c.tls, c.db, sqlite3.SQLITE_DBSTATUS_CACHE_WRITE, c.out, c.out+4, 1) != sqlite3.SQLITE_OK {
		return 0
	}
	return int(pages[0])
}

// Checkpointed fails with what the last attempt to bring the log of an SQLite file home
// failed of. Nothing is lost by that, but the log grows. It is tried again, unless the
// disk did not take what it was given, which the error says.
func (s *Store) Checkpointed() error {
	if d, ok := s.dialect.(*sqlite); ok {
		if fault := d.checkpoints.fault.Load(); fault != nil {
			return s.dialect.explain(*fault)
		}
	}
	return nil
}
