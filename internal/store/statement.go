package store

import (
	"errors"
	"fmt"
	"strconv"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// statement is a prepared statement of a connection, and the rows of its query
// while it runs.
type statement struct {
	c       *conn
	handle  uintptr
	order   []int // which argument each parameter takes
	columns int
	forgets bool // it may change what a memory keeps
	running bool // bound, and not reset yet
	err     error

	// memory holds the texts that are bound. SQLite reads them there: nothing is
	// copied once more, and nothing of Go's is pointed to.
	memory uintptr
	room   int
}

// prepare prepares one statement for use again and again.
func (c *conn) prepare(query string) (*statement, error) {
	text, err := c.text(query)
	if err != nil {
		return nil, err
	}
	defer sqlite3.Xsqlite3_free(c.tls, text)
	rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, text, int32(len(query)+1), sqlite3.SQLITE_PREPARE_PERSISTENT, c.out, 0)
	s := &statement{c: c, handle: *(*uintptr)(at(c.out)), forgets: forgets(query)}
	if rc != sqlite3.SQLITE_OK {
		return nil, c.fail(rc)
	}
	if err := s.number(); err != nil {
		s.finalize()
		return nil, err
	}
	return s, nil
}

// number finds out which argument each parameter takes. To SQLite "$2" is a name,
// and its number is where it stands first.
func (s *statement) number() error {
	for i := range sqlite3.Xsqlite3_bind_parameter_count(s.c.tls, s.handle) {
		name := libc.GoString(sqlite3.Xsqlite3_bind_parameter_name(s.c.tls, s.handle, i+1))
		n, err := strconv.Atoi(name[min(1, len(name)):])
		if err != nil || n < 1 || name[0] != '$' {
			return fmt.Errorf("the parameter %q is not $ and a number", name)
		}
		s.order = append(s.order, n-1)
	}
	s.columns = int(sqlite3.Xsqlite3_column_count(s.c.tls, s.handle))
	return nil
}

func (s *statement) finalize() {
	sqlite3.Xsqlite3_finalize(s.c.tls, s.handle)
	sqlite3.Xsqlite3_free(s.c.tls, s.memory)
	s.handle, s.memory, s.room = 0, 0, 0
}

// bind begins to run the statement with those arguments.
func (s *statement) bind(args []any) error {
	if s.running {
		return errors.New("store: a query was begun while it still runs")
	}
	need := 1 // else an empty text would be at no address, which is NULL
	for i, arg := range args {
		switch v := arg.(type) {
		case int64:
		case string:
			need += len(v)
		default:
			fit, err := plain(i, v)
			if err != nil {
				return err
			}
			if text, ok := fit.(string); ok {
				need += len(text)
			}
			args[i] = fit
		}
	}
	if err := s.makeRoom(need); err != nil {
		return err
	}
	used := 0
	for i, from := range s.order {
		if from >= len(args) {
			return fmt.Errorf("store: the argument %d is missing", from+1)
		}
		var rc int32
		switch v := args[from].(type) {
		case int64:
			rc = sqlite3.Xsqlite3_bind_int64(s.c.tls, s.handle, int32(i+1), v)
		case string:
			place := s.memory + uintptr(used)
			copy(unsafe.Slice((*byte)(at(s.memory)), s.room)[used:], v)
			used += len(v)
			rc = sqlite3.Xsqlite3_bind_text(s.c.tls, s.handle, int32(i+1), place, int32(len(v)), 0) // 0: SQLITE_STATIC
		}
		if rc != sqlite3.SQLITE_OK {
			return s.c.fail(rc)
		}
	}
	s.running, s.err = true, nil
	s.c.forgets = s.c.forgets || s.forgets
	return nil
}

// maxText is what a text may have in all, beside what SQLite allows itself.
const maxText = 1 << 30

func (s *statement) makeRoom(need int) error {
	if need <= s.room {
		return nil
	}
	if need > maxText {
		return fmt.Errorf("store: %d bytes are too many for one statement", need)
	}
	s.room = 0 // whatever was bound is bound anew before it is read again
	sqlite3.Xsqlite3_free(s.c.tls, s.memory)
	size := max(256, 2*need)
	if s.memory = sqlite3.Xsqlite3_malloc(s.c.tls, int32(size)); s.memory == 0 {
		return errNoMemory
	}
	s.room = size
	return nil
}

// exec runs the statement and returns how many rows it changed.
func (s *statement) exec(args []any) (int64, error) {
	if err := s.bind(args); err != nil {
		return 0, err
	}
	for s.Next() {
	}
	if s.err != nil {
		return 0, s.err
	}
	return sqlite3.Xsqlite3_changes64(s.c.tls, s.c.db), nil
}

// Next implements rows.
func (s *statement) Next() bool {
	if !s.running {
		return false
	}
	rc := sqlite3.Xsqlite3_step(s.c.tls, s.handle)
	if rc == sqlite3.SQLITE_ROW {
		return true
	}
	if rc != sqlite3.SQLITE_DONE {
		s.err = s.c.fail(rc)
	}
	s.Close() // which adds nothing to an error that is known
	return false
}

// Err implements rows.
func (s *statement) Err() error { return s.err }

// Close implements rows.
func (s *statement) Close() error {
	if !s.running {
		return nil
	}
	s.running = false
	// A change whose rows are not all read ends here, and can fail here.
	if rc := sqlite3.Xsqlite3_reset(s.c.tls, s.handle); rc != sqlite3.SQLITE_OK && s.err == nil {
		s.err = s.c.fail(rc)
	}
	return s.err
}

// Scan implements scanner.
func (s *statement) Scan(dest ...any) error { return scan(s, dest) }

func (s *statement) row() row { return s }

func (s *statement) length() int { return s.columns }

func (s *statement) text(i int) (string, error) {
	p := sqlite3.Xsqlite3_column_text(s.c.tls, s.handle, int32(i))
	if p == 0 {
		return "", errNull(i)
	}
	n := sqlite3.Xsqlite3_column_bytes(s.c.tls, s.handle, int32(i))
	return string(unsafe.Slice((*byte)(at(p)), n)), nil
}

func (s *statement) integer(i int) (int64, error) {
	if kind := sqlite3.Xsqlite3_column_type(s.c.tls, s.handle, int32(i)); kind != sqlite3.SQLITE_INTEGER {
		return 0, errNoNumber(i)
	}
	return sqlite3.Xsqlite3_column_int64(s.c.tls, s.handle, int32(i)), nil
}
