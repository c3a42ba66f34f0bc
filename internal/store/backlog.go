package store

import "github.com/ostiary/ostiary/internal/model"

// Backlog is how much of one kind waits to be told to others.
type Backlog struct {
	Waiting int64
	Oldest  int64 // when the oldest of it came to wait, unix seconds; 0: nothing waits
}

func scanBacklog(row scanner) (b Backlog, err error) {
	err = row.Scan(&b.Waiting, &b.Oldest)
	return b, err
}

// NoticesWaiting returns what is in the outbox. It reads all of it.
func (tx *Tx) NoticesWaiting() (Backlog, error) {
	return one(tx, scanBacklog, `SELECT count(*), COALESCE(MIN(at), 0) FROM outbox`)
}

// SignalsWaiting returns what is to be pushed into streams. What a receiver polls for,
// and what waits in one that is paused, waits for others. It reads all of it.
func (tx *Tx) SignalsWaiting() (Backlog, error) {
	return one(tx, scanBacklog, `SELECT count(*), COALESCE(MIN(g.at), 0) FROM signals g JOIN streams t ON t.id = g.stream_id
		WHERE t.method = $1 AND t.status = $2`, model.DeliverPush, string(model.StreamEnabled))
}
