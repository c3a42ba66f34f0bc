package store

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// watched counts what reaches the log's file, and refuses it while full is set.
var watched struct {
	writes, bytes atomic.Int64
	full          atomic.Bool
}

func watchedWrite(tls *libc.TLS, file, data uintptr, size int32, offset int64) int32 {
	if watched.full.Load() {
		return sqlite3.SQLITE_FULL
	}
	watched.writes.Add(1)
	watched.bytes.Add(int64(size))
	system := (*sqlite3.Tsqlite3_io_methods)(at(watchedMethods))
	return function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](system.FxWrite)(tls, file, data, size, offset)
}

var watchedMethods uintptr // the file's own

// watchLog lets watchedWrite see what is written to the log of c.
func watchLog(t *testing.T, c *conn) {
	t.Helper()
	g := c.gatherer()
	if g == nil {
		t.Fatal("the log is not gathered")
	}
	watchedMethods = g.below
	seen := sqlite3.Xsqlite3_malloc(c.tls, int32(unsafe.Sizeof(g.methods)))
	*(*sqlite3.Tsqlite3_io_methods)(at(seen)) = *g.own()
	g.below = seen
	g.own().FxWrite = pointer(watchedWrite)
}

// gathered returns a writer with little memory for pages, so that a large transaction
// writes some of them before it commits, and somebody who reads beside it.
func gathered(t *testing.T) (path string, writer, reader *conn) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "x.db")
	err := errors.Join(makeFile(path), useGathering())
	if err == nil {
		writer, err = openConnBy(gathering, path, append(slices.Clip(pragmas), "wal_autocheckpoint=0", "cache_size=10"))
	}
	if err == nil {
		reader, err = openConn(path, pragmas)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writer.Close(); reader.Close() })
	runAll(t, writer, `CREATE TABLE facts (id INTEGER PRIMARY KEY, batch TEXT, text TEXT)`, `CREATE INDEX facts_text ON facts (text)`)
	watchLog(t, writer)
	return path, writer, reader
}

func runAll(t *testing.T, c *conn, queries ...string) {
	t.Helper()
	for _, query := range queries {
		if err := c.run(query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
}

// insertMany is a statement that changes hundreds of pages.
func insertMany(batch string) string {
	return `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
		INSERT INTO facts (batch, text) SELECT '` + batch + `', hex(randomblob(200)) FROM n`
}

// batches tells which batches are whole, and that the file is sound.
func batches(t *testing.T, c *conn) string {
	t.Helper()
	found, err := c.ask(`SELECT batch || ' ' || count(*) FROM facts GROUP BY batch ORDER BY batch`)
	if err != nil {
		t.Fatal(err)
	}
	sound, err := c.ask(`PRAGMA integrity_check`)
	if err != nil || !slices.Equal(sound, []string{"ok"}) {
		t.Fatalf("%v, %v", sound, err)
	}
	return strings.Join(found, ", ")
}

// left is what a process would find that begins where this one has been killed.
func left(t *testing.T, path string) string {
	t.Helper()
	after := filepath.Join(t.TempDir(), "after.db")
	copyFiles(t, path, after)
	c, err := openConn(after, pragmas)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return batches(t, c)
}

// What is committed is in the file and seen by others, what is not is nowhere, and it is
// written in few pieces.
func TestGathering(t *testing.T) {
	path, writer, reader := gathered(t)
	want := ""
	for _, row := range []struct {
		name   string
		run    []string
		whole  string // what is there afterwards
		pieces bool   // it is written in few
	}{
		{"a commit", []string{insertMany("a")}, "a 300", false},
		{"a transaction that reads what it has written", []string{"BEGIN", insertMany("b"), "UPDATE facts SET text = text || 'x' WHERE batch = 'b'", "COMMIT"}, "a 300, b 300", false},
		{"a rollback", []string{"BEGIN", insertMany("c"), "DELETE FROM facts WHERE batch = 'a'", "ROLLBACK"}, "a 300, b 300", false},
		{"a part that is undone", []string{"BEGIN", insertMany("d"), "SAVEPOINT s", insertMany("e"), "ROLLBACK TO s", "COMMIT"}, "a 300, b 300, d 300", false},
		{"one that begins the log again", []string{"PRAGMA wal_checkpoint(RESTART)", insertMany("f")}, "a 300, b 300, d 300, f 300", false},
		{"one that empties the log", []string{"PRAGMA wal_checkpoint(TRUNCATE)", insertMany("g")}, "a 300, b 300, d 300, f 300, g 300", false},
		{"one with room in memory", []string{"PRAGMA cache_size=-8000", insertMany("h")}, "a 300, b 300, d 300, f 300, g 300, h 300", true},
	} {
		writes, bytes := watched.writes.Load(), watched.bytes.Load()
		for i, query := range row.run {
			if i == len(row.run)-1 {
				if got := batches(t, reader); got != want {
					t.Errorf("%s: before the end others see %q, want %q", row.name, got, want)
				}
			}
			runAll(t, writer, query)
		}
		want = row.whole
		for who, got := range map[string]string{"the writer": batches(t, writer), "others": batches(t, reader), "who comes after": left(t, path)} {
			if got != want {
				t.Errorf("%s: %s see %q, want %q", row.name, who, got, want)
			}
		}
		writes, bytes = watched.writes.Load()-writes, watched.bytes.Load()-bytes
		t.Logf("%s: %d bytes in %d pieces", row.name, bytes, writes)
		if row.pieces && (bytes == 0 || writes > bytes/gatherRoom+2) {
			t.Errorf("%s: %d bytes took %d pieces", row.name, bytes, writes)
		}
	}
}

// A disk that is full when it comes to the end: the commit fails, nothing of it is
// there, and the next one goes through.
func TestGatheringOnFullDisk(t *testing.T) {
	path, writer, reader := gathered(t)
	runAll(t, writer, insertMany("a"))
	for _, query := range []string{
		insertMany("b"), // more than is gathered
		`INSERT INTO facts (batch, text) VALUES ('c', 'little')`,
	} {
		watched.full.Store(true)
		err := writer.run(query)
		watched.full.Store(false)
		if e, ok := errors.AsType[*sqliteError](err); !ok || e.code != sqlite3.SQLITE_FULL {
			t.Errorf("the disk is full: %v", err)
		}
		for who, got := range map[string]string{"the writer": batches(t, writer), "others": batches(t, reader), "who comes after": left(t, path)} {
			if got != "a 300" {
				t.Errorf("%s see %q", who, got)
			}
		}
	}
	runAll(t, writer, insertMany("d"))
	for who, got := range map[string]string{"the writer": batches(t, writer), "others": batches(t, reader), "who comes after": left(t, path)} {
		if got != "a 300, d 300" {
			t.Errorf("%s see %q", who, got)
		}
	}
}

// What was gathered of a transaction that is undone is not written over what somebody
// else commits then, whether its connection is closed or goes on.
func TestGatheringUndone(t *testing.T) {
	for name, undo := range map[string]func(*testing.T, *conn){
		"the connection goes on": func(t *testing.T, c *conn) {
			if err := (&group{conn: c}).rollBack(); err != nil {
				t.Fatal(err)
			}
		},
		"the connection is closed": func(_ *testing.T, c *conn) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			path, writer, other := gathered(t)
			runAll(t, writer, insertMany("a"), "BEGIN", insertMany("b"))
			for i := 0; writer.gatherer().length == 0; i++ { // what was last done may be that something was read
				if i == 300 {
					t.Fatal("nothing is gathered")
				}
				runAll(t, writer, `INSERT INTO facts (batch, text) VALUES ('b', hex(randomblob(3000)))`)
			}
			undo(t, writer)
			runAll(t, other, "PRAGMA wal_autocheckpoint=0", "PRAGMA cache_size=10")
			for range 10 { // until it is past that place
				runAll(t, other, insertMany("d"))
			}
			want := "a 300, d 3000"
			if writer.db != 0 {
				if got := batches(t, writer); got != want {
					t.Errorf("the writer sees %q", got)
				}
				runAll(t, writer, insertMany("e"))
				want = "a 300, d 3000, e 300"
				writer.Close()
			}
			for who, got := range map[string]string{"others": batches(t, other), "who comes after": left(t, path)} {
				if got != want {
					t.Errorf("%s see %q", who, got)
				}
			}
		})
	}
}

// A transaction that is open when its connection is closed is nowhere.
func TestGatheringClosed(t *testing.T) {
	path, writer, other := gathered(t)
	runAll(t, writer, insertMany("a"), "BEGIN", insertMany("b"))
	writer.Close()
	runAll(t, other, insertMany("c"))
	for who, got := range map[string]string{"others": batches(t, other), "who comes after": left(t, path)} {
		if got != "a 300, c 300" {
			t.Errorf("%s see %q", who, got)
		}
	}
}
