package store

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// large is a value that takes about a hundred pages.
var large = strings.Repeat("x", 400_000)

// another is as long, and has every page another one: SQLite does not write what is
// the same.
func another() string { return strings.Repeat(rand.Text()[:8], len(large)/8) }

func openFile(t *testing.T, path string) (*Store, *sqlite) {
	t.Helper()
	s, err := Open(t.Context(), Config{URL: "sqlite:" + path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, s.dialect.(*sqlite)
}

// size is that of a file, 0 if there is none.
func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// keeps fails unless the database has those settings, and is whole.
func keeps(t *testing.T, path string, names []string) {
	t.Helper()
	s, _ := openFile(t, path)
	err := s.View(t.Context(), func(tx *Tx) error {
		for _, name := range names {
			if v, err := tx.Setting(name); err != nil || v != large {
				t.Errorf("%s: %d bytes, %v", name, len(v), err)
			}
		}
		return nil
	})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Error(err)
	}
	if found, err := Damage(t.Context(), "sqlite:"+path); found != "" || err != nil {
		t.Errorf("%s, %v", found, err)
	}
}

// writeAlone writes as the one writer does, with nobody who makes checkpoints.
func writeAlone(t *testing.T, d *sqlite, n int) (names []string) {
	t.Helper()
	g := group{open: d.writer.open, explain: d.explain}
	for i := range n {
		names = append(names, "alone-"+strconv.Itoa(i))
		err := g.run(t.Context(), func(q querier) error {
			_, err := q.exec(t.Context(), `INSERT INTO settings (name, value) VALUES ($1, $2)`, []any{names[i], large})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { g.close() })
	return names
}

// Whoever commits does not pay for a checkpoint, however long the log is.
func TestNoCommitCheckpoints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	_, d := openFile(t, path)
	before := size(t, path)
	writeAlone(t, d, 5*logStep/100)
	if after := size(t, path); after != before {
		t.Errorf("the file grew from %d to %d bytes", before, after)
	}
	if log := size(t, path+"-wal"); log < 5*logStep*4000 {
		t.Errorf("the log has %d bytes only", log)
	}
}

// copyFiles copies a database with its log, as a process leaves them that is killed.
func copyFiles(t *testing.T, path, after string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err == nil {
			err = os.WriteFile(after+suffix, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What a process leaves that was killed before a checkpoint is read from its log.
func TestLogIsLeftOver(t *testing.T) {
	folder := t.TempDir()
	path, after := filepath.Join(folder, "x.db"), filepath.Join(folder, "after.db")
	s, d := openFile(t, path)
	names := writeAlone(t, d, 3*logStep/100)
	copyFiles(t, path, after)
	keeps(t, after, names)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// The log is bounded, though several write without a pause, and others read; and when
// the database is closed all of it is in the file.
func TestLogIsBounded(t *testing.T) {
	const (
		writers, each = 6, 60 // 36,000 pages and more
		bound         = 40 << 20
	)
	path := filepath.Join(t.TempDir(), "x.db")
	first, _ := openFile(t, path)
	second, _ := openFile(t, path) // as another process
	stores := []*Store{first, second}
	var names []string
	var longest atomic.Int64
	var writing, reading sync.WaitGroup
	over := make(chan struct{})
	for i := range writers {
		for n := range each {
			names = append(names, number(i, n))
		}
		writing.Go(func() {
			for n := range each {
				err := stores[i%2].Upkeep(context.Background(), func(tx *Tx) error { return tx.PutSetting(number(i, n), large) })
				if err != nil {
					t.Error(err)
				}
				log := size(t, path+"-wal")
				for was := longest.Load(); log > was && !longest.CompareAndSwap(was, log); was = longest.Load() {
				}
			}
		})
	}
	for range 2 {
		reading.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(100 * time.Microsecond):
				}
				err := first.View(context.Background(), func(tx *Tx) error {
					if _, err := tx.Setting(number(0, 0)); !errors.Is(err, ErrNotFound) {
						return err
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	close(over)
	reading.Wait()
	t.Logf("the log had %d KiB at most", longest.Load()>>10)
	if longest.Load() > bound {
		t.Errorf("the log had %d bytes", longest.Load())
	}
	for _, s := range stores {
		if err := errors.Join(s.Checkpointed(), s.Close()); err != nil {
			t.Error(err)
		}
	}
	if log := size(t, path+"-wal"); log != 0 {
		t.Errorf("a log of %d bytes was left", log)
	}
	keeps(t, path, names)
}

func number(i, n int) string { return strconv.Itoa(i) + "-" + strconv.Itoa(n) }

// Who reads for long, as a backup does, keeps the log from beginning anew, and nobody
// from writing. When they have read, it does.
func TestLogWhileSomebodyReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s, d := openFile(t, path)
	write := func(n int) {
		for i := range n {
			if err := s.Upkeep(t.Context(), func(tx *Tx) error { return tx.PutSetting("x"+strconv.Itoa(i), another()) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	reads, read, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- s.View(context.Background(), func(tx *Tx) error {
			if _, err := tx.Setting("x0"); !errors.Is(err, ErrNotFound) {
				return err
			}
			close(reads)
			<-read
			if _, err := tx.Setting("x0"); !errors.Is(err, ErrNotFound) {
				return err
			}
			return nil
		})
	}()
	<-reads
	write(3 * longLog / 100)
	if log := size(t, path+"-wal"); log < 3*longLog*4000 {
		t.Errorf("the log has %d bytes, though somebody reads what was before it", log)
	}
	close(read)
	if err := <-done; err != nil {
		t.Error(err)
	}
	c, err := d.writer.open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 100 {
		write(logStep / 100)
		l, err := c.checkpoint("NOOP")
		if err != nil {
			t.Fatal(err)
		}
		if l.pages < longLog {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the log did not begin anew")
}

// A checkpoint that fails is told of, tried again, and in nobody's way.
func TestCheckpointFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s, d := openFile(t, path)
	write := func() {
		t.Helper()
		for range 2 * logStep / 100 {
			if err := s.Upkeep(t.Context(), func(tx *Tx) error { return tx.PutSetting("x", another()) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	until := func(failed bool) {
		t.Helper()
		for range 1000 {
			if (s.Checkpointed() != nil) == failed {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("still: %v", s.Checkpointed())
	}
	d.checkpoints.path = filepath.Join(t.TempDir(), "nowhere", "x.db") // it runs when something was written
	write()
	until(true)
	if err := s.Checkpointed(); !strings.Contains(err.Error(), "cannot be written") {
		t.Error(err)
	}
	d.checkpoints.path = path
	write()
	until(false)
}

// Where the disk did not take what was written, the log is kept, whatever comes: it may
// be all there is.
func TestLogIsKeptWhenNothingIsFlushed(t *testing.T) {
	folder := t.TempDir()
	path, after := filepath.Join(folder, "x.db"), filepath.Join(folder, "after.db")
	s, d := openFile(t, path)
	d.checkpoints.flush = func(*conn) error { return &sqliteError{code: sqlite3.SQLITE_IOERR_FSYNC, text: "disk I/O error"} }
	var names []string
	for i := range 3 * logStep / 100 {
		names = append(names, number(0, i))
		if err := s.Upkeep(t.Context(), func(tx *Tx) error { return tx.PutSetting(names[i], large) }); err != nil {
			t.Fatal(err)
		}
	}
	<-d.checkpoints.ended
	if err := s.Checkpointed(); err == nil || !strings.Contains(err.Error(), "did not take") {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	log, err := os.ReadFile(path + "-wal")
	if err != nil || len(log) < 3*logStep*4000 {
		t.Fatalf("%d bytes, %v", len(log), err)
	}
	// The file is as it was before, as far as the disk knows.
	first, _ := openFile(t, filepath.Join(folder, "first.db"))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(folder, "first.db"))
	if err = errors.Join(err, os.WriteFile(after, file, 0o600), os.WriteFile(after+"-wal", log, 0o600)); err != nil {
		t.Fatal(err)
	}
	keeps(t, after, names)
	d.checkpoints.drop()
}
