package store_test

import (
	"testing"

	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

func TestTally(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		count := func(name string, now, expires int64) (n int64) {
			upkeep(t, s, func(tx *store.Tx) (err error) { n, err = tx.Tally(name, now, expires); return err })
			return n
		}
		for _, row := range []struct {
			name         string
			now, expires int64
			want         int64
		}{
			{"a", 10, 20, 1}, {"a", 11, 30, 2}, {"b", 11, 21, 1},
			{"a", 19, 39, 3}, // the later expiry did not count
			{"a", 20, 40, 1}, {"a", 39, 50, 2}, {"a", 40, 60, 1},
		} {
			if got := count(row.name, row.now, row.expires); got != row.want {
				t.Errorf("%+v: %d", row, got)
			}
		}
	})
}

// A count can be read, taken back and forgotten.
func TestTallied(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		type state struct{ Amount, Expires int64 }
		tallied := func(now int64) state {
			return read(t, s, func(tx *store.Tx) (state, error) {
				amount, expires, err := tx.Tallied("a", now)
				return state{amount, expires}, err
			})
		}
		equal(t, tallied(0), state{})
		for range 2 {
			upkeep(t, s, func(tx *store.Tx) error { _, err := tx.Tally("a", 10, 20); return err })
		}
		equal(t, tallied(19), state{2, 20})
		equal(t, tallied(20), state{})
		for range 3 { // never below nothing
			upkeep(t, s, func(tx *store.Tx) error { return tx.Untally("a") })
		}
		equal(t, tallied(19), state{0, 20})
		upkeep(t, s, func(tx *store.Tx) error { return tx.ForgetTally("a") })
		equal(t, tallied(0), state{})
	})
}

// Nodes that count at the same time lose nothing.
func TestTallyTogether(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		stores := []*store.Store{storetest.Open(t, url), storetest.Open(t, url)}
		tally := func(i int) (n int64, err error) {
			err = stores[i%2].Upkeep(t.Context(), func(tx *store.Tx) (err error) { n, err = tx.Tally("a", 1, 9); return err })
			return n, err
		}
		race(t, 8, nil, func(i int) error {
			for range 10 {
				if _, err := tally(i); err != nil {
					return err
				}
			}
			return nil
		})
		if n, err := tally(0); n != 81 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}
