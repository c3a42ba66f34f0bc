package limit

import (
	"context"
	"time"

	"github.com/ostiary/ostiary/internal/store"
)

// ShareEvery is how often a node shares what it has counted. In that time, and no
// longer, every node may let through what it believes to be left: of n nodes all
// together at most n shares at once, and in the long run one rate.
const ShareEvery = time.Second

// maxShared bounds how many rows one node writes at a time.
const maxShared = 256

// Share tells the other nodes what this one has counted, and learns what they have.
// Where it fails nothing is lost, but what will have run empty before the next time.
func (l *Limits) Share(ctx context.Context) error {
	now := l.now().UnixMilli()
	list := l.table.busiest(maxShared, &l.rates, now)
	if len(list) == 0 {
		return nil
	}
	rows := make([]store.Level, len(list))
	for i, b := range list {
		rows[i] = store.Level{Name: b.key.kind.String() + " " + b.key.who, Full: b.unshared, Rate: l.rates[b.key.kind], At: now}
	}
	full, err := l.store.AddLevels(ctx, rows)
	if err != nil {
		l.lost.Add(1)
		return err
	}
	for i, b := range list {
		l.table.learn(b, full[rows[i].Name], l.rates[b.key.kind], now)
	}
	return nil
}
