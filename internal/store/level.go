package store

import (
	"cmp"
	"context"
	"slices"
)

// Level is how full a bucket is that runs empty. Levels are those of all nodes.
type Level struct {
	Name string
	Full int64 // what is added to it; less than 0: what is taken out
	Rate int64 // how much of it runs out in a millisecond
	At   int64 // now, in milliseconds
}

// levelLife is how long a level is kept after something was added, in seconds: much
// longer than it takes any to run empty.
const levelLife = 60 * 60

// AddLevels adds to levels, and returns by their names how full they are then. What
// a clock has written that was more than a minute ahead counts for nothing. A name
// comes once.
func (s *Store) AddLevels(ctx context.Context, list []Level) (map[string]int64, error) {
	// In one order, so that nodes that do this at the same time take turns.
	list = slices.SortedFunc(slices.Values(list), func(a, b Level) int { return cmp.Compare(a.Name, b.Name) })
	full := make(map[string]int64, len(list))
	err := s.run(ctx, tidy, func(tx *Tx) error {
		for _, v := range list {
			n, err := change(tx, scanInt, `INSERT INTO levels (name, amount, at, expires_at) VALUES ($1, $2, $3, $5)
				ON CONFLICT (name) DO UPDATE SET
					amount = excluded.amount + CASE
						WHEN levels.amount < 0 OR levels.at > $3 + 60000 THEN 0
						WHEN levels.at >= $3 THEN levels.amount
						WHEN levels.amount / $4 <= $3 - levels.at THEN 0
						ELSE levels.amount - ($3 - levels.at) * $4 END,
					at = CASE WHEN levels.at > $3 AND levels.at <= $3 + 60000 THEN levels.at ELSE $3 END,
					expires_at = excluded.expires_at
				RETURNING amount`, v.Name, v.Full, v.At, v.Rate, v.At/1000+levelLife)
			if err != nil {
				return err
			}
			full[v.Name] = max(0, n) // it may have run empty before all was taken out
		}
		return nil
	})
	return full, err
}
