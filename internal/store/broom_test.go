package store

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

// expired inserts requests that can be swept.
func expired(t *testing.T, s *Store, rows int) {
	t.Helper()
	err := s.Upkeep(t.Context(), func(tx *Tx) error {
		for i := range rows {
			if err := tx.InsertRequest(model.Request{ID: model.RequestID(number(0, i)), ExpiresAt: 1}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A batch does not become smaller because others, whom it keeps from nothing, share its
// commit.
func TestSweepBesideManyWriters(t *testing.T) {
	s, _ := openFile(t, filepath.Join(t.TempDir(), "x.db"))
	const rows = 600
	expired(t, s, rows)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for ctx.Err() == nil {
				err := s.Upkeep(context.Background(), func(tx *Tx) error {
					time.Sleep(sweepTime)
					return tx.PutSetting("x", "1")
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	swept, err := s.Sweep(t.Context(), 10, 0)
	stop()
	writers.Wait()
	t.Logf("%+v", swept)
	if err != nil || swept.Rows != rows || swept.Batches > rows/3 {
		t.Errorf("%+v, %v: want %d rows, not one by one", swept, err, rows)
	}
}

// However many rows of a kind could be deleted at a time, the next kind, which may be
// dearer, begins with few.
func TestEachKindBeginsSmall(t *testing.T) {
	s, _ := openFile(t, filepath.Join(t.TempDir(), "x.db"))
	const rows = firstBatch + 5
	expired(t, s, rows)
	b := broom{Store: s, now: 10, size: maxPage, largest: maxPage}
	if err := b.sweep(t.Context(), dead[0]); err != nil {
		t.Fatal(err)
	}
	if b.Rows != rows || b.Batches < 2 {
		t.Errorf("%+v: want %d rows, not at once", b.Swept, rows)
	}
}
