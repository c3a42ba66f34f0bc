package store

import (
	"errors"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// gathering names a way to files (https://www.sqlite.org/vfs.html) that is SQLite's own
// but for one thing: what is written to a write-ahead log is gathered, and goes to the
// file in one piece. SQLite writes each page of a commit in two pieces, a head and the
// page, and each is a call of the system; they follow one another in the file.
//
// That is for a connection with synchronous=FULL and for no other: it syncs the log
// before it says, in the memory that all share, that there is something to read in it.
// What is read of the log is also looked for among what is gathered, and all else that is
// done with the file comes after it. That it could not be written shows at the sync, and
// the commit fails as it would have before.
//
// A transaction that is larger than the memory for it writes pages before its commit. If
// it is undone, some of them may be gathered still, for a place that is somebody else's
// from then on. Whoever undoes a whole transaction therefore forgets them first; to close
// the connection does so as well.
const gathering = "ostiary"

// gatherRoom is how much is gathered at most, in bytes: some thirty pages. SQLite's own
// way to files cannot write 128 KiB or more at once.
const gatherRoom = 127 << 10

// system is SQLite's own way to files, once useGathering was called: the address of
// what describes it, and the size of its files.
var system struct{ vfs, fileSize uintptr }

// useGathering makes the way to files known to SQLite, once.
var useGathering = sync.OnceValue(func() error {
	tls := libc.NewTLS()
	defer tls.Close()
	system.vfs = sqlite3.Xsqlite3_vfs_find(tls, 0)
	size := unsafe.Sizeof(sqlite3.Tsqlite3_vfs{})
	ours := sqlite3.Xsqlite3_malloc(tls, int32(size))
	name, err := libc.CString(gathering) // kept for as long as the program runs, as is what was allocated
	if system.vfs == 0 || ours == 0 || err != nil {
		return errors.Join(errNoMemory, err)
	}
	it := (*sqlite3.Tsqlite3_vfs)(at(ours))
	*it = *(*sqlite3.Tsqlite3_vfs)(at(system.vfs))
	system.fileSize = (uintptr(it.FszOsFile) + 7) &^ 7
	it.FszOsFile = int32(system.fileSize + unsafe.Sizeof(gatherer{}))
	it.FzName = name
	it.FxOpen = pointer(gatherOpen)
	if rc := sqlite3.Xsqlite3_vfs_register(tls, ours, 0); rc != sqlite3.SQLITE_OK {
		return &sqliteError{code: int(rc), text: "there is no way to write the log"}
	}
	return nil
})

// gatherer is what a log has behind SQLite's own part of an open file.
type gatherer struct {
	methods sqlite3.Tsqlite3_io_methods // what SQLite calls
	below   uintptr                     // the methods of the file itself
	pending uintptr                     // what is gathered
	length  int64                       // how much that is
	offset  int64                       // where it belongs in the file
}

func gathererOf(file uintptr) *gatherer { return (*gatherer)(at(file + system.fileSize)) }

func (g *gatherer) own() *sqlite3.Tsqlite3_io_methods {
	return (*sqlite3.Tsqlite3_io_methods)(at(g.below))
}

// write sends what is gathered to the file.
func (g *gatherer) write(tls *libc.TLS, file uintptr) int32 {
	if g.length == 0 {
		return sqlite3.SQLITE_OK
	}
	n := g.length
	g.length = 0 // a commit that fails begins again at an offset of its own
	return function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](g.own().FxWrite)(tls, file, g.pending, int32(n), g.offset)
}

func gatherOpen(tls *libc.TLS, _, name, file uintptr, flags int32, out uintptr) int32 {
	open := function[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32]((*sqlite3.Tsqlite3_vfs)(at(system.vfs)).FxOpen)
	rc := open(tls, system.vfs, name, file, flags, out)
	if rc != sqlite3.SQLITE_OK || flags&sqlite3.SQLITE_OPEN_WAL == 0 {
		return rc
	}
	f, g := (*sqlite3.Tsqlite3_file)(at(file)), gathererOf(file)
	*g = gatherer{below: f.FpMethods, pending: sqlite3.Xsqlite3_malloc(tls, gatherRoom)}
	if g.pending == 0 {
		function[func(*libc.TLS, uintptr) int32](g.own().FxClose)(tls, file)
		f.FpMethods = 0 // there is nothing that SQLite would have to close
		return sqlite3.SQLITE_NOMEM
	}
	g.methods = *g.own()
	g.methods.FxClose = pointer(gatherClose)
	g.methods.FxRead = pointer(gatherRead)
	g.methods.FxWrite = pointer(gatherWrite)
	g.methods.FxTruncate = pointer(gatherTruncate)
	g.methods.FxSync = pointer(gatherSync)
	g.methods.FxFileSize = pointer(gatherFileSize)
	f.FpMethods = uintptr(unsafe.Pointer(&g.methods)) // memory of SQLite's, which does not move
	return sqlite3.SQLITE_OK
}

func gatherWrite(tls *libc.TLS, file, data uintptr, size int32, offset int64) int32 {
	g := gathererOf(file)
	if g.length > 0 && (offset != g.offset+g.length || g.length+int64(size) > gatherRoom) {
		if rc := g.write(tls, file); rc != sqlite3.SQLITE_OK {
			return rc
		}
	}
	if size > gatherRoom {
		return function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](g.own().FxWrite)(tls, file, data, size, offset)
	}
	if g.length == 0 {
		g.offset = offset
	}
	copy(unsafe.Slice((*byte)(at(g.pending+uintptr(g.length))), size), unsafe.Slice((*byte)(at(data)), size))
	g.length += int64(size)
	return sqlite3.SQLITE_OK
}

func gatherRead(tls *libc.TLS, file, to uintptr, size int32, offset int64) int32 {
	g := gathererOf(file)
	end := offset + int64(size)
	switch {
	case end <= g.offset || offset >= g.offset+g.length: // nothing of it is gathered
	case offset >= g.offset && end <= g.offset+g.length:
		copy(unsafe.Slice((*byte)(at(to)), size), unsafe.Slice((*byte)(at(g.pending+uintptr(offset-g.offset))), size))
		return sqlite3.SQLITE_OK
	default:
		if rc := g.write(tls, file); rc != sqlite3.SQLITE_OK {
			return rc
		}
	}
	return function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](g.own().FxRead)(tls, file, to, size, offset)
}

func gatherTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	g := gathererOf(file)
	if rc := g.write(tls, file); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return function[func(*libc.TLS, uintptr, int64) int32](g.own().FxTruncate)(tls, file, size)
}

func gatherSync(tls *libc.TLS, file uintptr, flags int32) int32 {
	g := gathererOf(file)
	if rc := g.write(tls, file); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return function[func(*libc.TLS, uintptr, int32) int32](g.own().FxSync)(tls, file, flags)
}

func gatherFileSize(tls *libc.TLS, file, to uintptr) int32 {
	g := gathererOf(file)
	if rc := g.write(tls, file); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return function[func(*libc.TLS, uintptr, uintptr) int32](g.own().FxFileSize)(tls, file, to)
}

// gatherClose writes nothing: what was committed was synced.
func gatherClose(tls *libc.TLS, file uintptr) int32 {
	g := gathererOf(file)
	sqlite3.Xsqlite3_free(tls, g.pending)
	return function[func(*libc.TLS, uintptr) int32](g.own().FxClose)(tls, file)
}

// gatherer is that of the log of a connection, nil if there is none.
func (c *conn) gatherer() *gatherer {
	name, err := c.text("main")
	if err != nil {
		return nil
	}
	defer sqlite3.Xsqlite3_free(c.tls, name)
	rc := sqlite3.Xsqlite3_file_control(c.tls, c.db, name, sqlite3.SQLITE_FCNTL_JOURNAL_POINTER, c.out)
	file := *(*uintptr)(at(c.out))
	if rc != sqlite3.SQLITE_OK || file == 0 {
		return nil
	}
	g := gathererOf(file)
	if (*sqlite3.Tsqlite3_file)(at(file)).FpMethods != uintptr(unsafe.Pointer(&g.methods)) {
		return nil // there is no log yet
	}
	return g
}

// forget forgets what is gathered: nobody will commit it.
func (c *conn) forget() {
	if g := c.gatherer(); g != nil {
		g.length = 0
	}
}

// pointer is what SQLite, which is C translated to Go, calls a function of Go's by: the
// address of its descriptor. Only functions that stand in the source by name have one
// that stays.
func pointer(f any) uintptr { return (*[2]uintptr)(unsafe.Pointer(&f))[1] }

// function is what such an address calls.
func function[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&struct{ uintptr }{p})) }
