package store

import (
	"path/filepath"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

// However many rows of a kind could be deleted at a time, the next kind, which may be
// dearer, begins with few.
func TestEachKindBeginsSmall(t *testing.T) {
	s, _ := openFile(t, filepath.Join(t.TempDir(), "x.db"))
	const rows = firstBatch + 5
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
	b := broom{Store: s, now: 10, size: maxPage, largest: maxPage}
	if err := b.sweep(t.Context(), dead[0]); err != nil {
		t.Fatal(err)
	}
	if b.Rows != rows || b.Batches < 2 {
		t.Errorf("%+v: want %d rows, not at once", b.Swept, rows)
	}
}
