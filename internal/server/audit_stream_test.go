package server_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/audit"
	"github.com/ostiary/ostiary/internal/server"
)

// checkStream lets the server that was killed go on, and holds the file to the log:
// every entry is in it, in order. Some may be there twice, and a line may be torn.
func checkStream(t *testing.T, data string) {
	t.Helper()
	c := childConfig(data)
	c.Now = func() time.Time { return time.Now().Add(time.Minute) } // what a dead process has claimed is free
	s, err := server.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	until(t, "the file has what there is", func() bool {
		lags, err := s.Stream.Lags(t.Context())
		return err == nil && lags[0].Entries == 0
	})
	head, err := s.Audit.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(data, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	seen, torn := int64(0), 0
	for line := range strings.Lines(string(text)) {
		var e audit.Entry
		if json.Unmarshal([]byte(line), &e) != nil {
			torn++
			continue
		}
		if e.Position > seen+1 {
			t.Fatalf("the entry %d comes after %d", e.Position, seen)
		}
		seen = max(seen, e.Position)
	}
	if seen < head.End.Position || torn > 2*kills {
		t.Errorf("the file has %d entries of %d, and %d torn lines", seen, head.End.Position, torn)
	}
}
