package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A demo that is stopped before it stands leaves a folder in which the next one can
// begin.
func TestDemoStoppedEarly(t *testing.T) {
	for _, after := range []time.Duration{0, 50 * time.Millisecond, 250 * time.Millisecond} {
		folder := filepath.Join(t.TempDir(), "kept")
		ctx, stop := context.WithTimeout(t.Context(), after)
		code := run(ctx, shell{[]string{"ostiary", "demo", "--json", "--keep", folder}, os.Stdin, ignored(t), os.Stderr, func(string) (string, bool) { return "", false }})
		stop()
		if code != 0 {
			t.Errorf("after %v: it ends with %d", after, code)
		}
		if _, err := readKept(folder, 0); err != nil {
			t.Errorf("after %v: %v", after, err)
		}
	}
}

// ignored is a file of which nobody reads what is written.
func ignored(t *testing.T) *os.File {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, read)
	t.Cleanup(func() { write.Close() })
	return write
}
