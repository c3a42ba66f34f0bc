package store

import "time"

// Pool is how busy the connections to the database are, at this node.
type Pool struct {
	Limit  int           // connections at most
	Open   int           // connections that there are
	Busy   int           // of these, those that a transaction has
	Queued int           // transactions that wait for the one writer; PostgreSQL has many, so 0
	Waits  int64         // how often a transaction has waited for a connection
	Waited time.Duration // for how long, in all
}

// Pool tells how busy the connections are. It asks nobody, so it works while the
// database is away.
func (s *Store) Pool() Pool {
	switch d := s.dialect.(type) {
	case *sqlite:
		return d.pool()
	case *postgres:
		now := d.pool.Stat()
		return Pool{Limit: int(now.MaxConns()), Open: int(now.TotalConns()), Busy: int(now.AcquiredConns()), Waits: now.EmptyAcquireCount(), Waited: now.EmptyAcquireWaitTime()}
	}
	return Pool{}
}

// pool counts the readers and the writer.
func (s *sqlite) pool() Pool {
	s.writer.mu.Lock()
	queued, writing := len(s.writer.queue), s.writer.held
	s.writer.mu.Unlock()
	p := Pool{Limit: cap(s.readers.turns) + 1, Busy: len(s.readers.turns), Queued: queued}
	p.Open = p.Busy + s.readers.length() + 1
	if writing {
		p.Busy++
	}
	return p
}
