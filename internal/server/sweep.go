package server

import (
	"context"
	"time"
)

const (
	sweepEvery = time.Minute
	sweepBatch = 1000 // rows, where so many can be deleted without making anybody wait
)

// sweep sweeps what is dead out of the database, until ctx is done. It has a clock of
// its own: after a busy day, or a server that stood still, there may be much of it, and
// it makes way for all else.
func (s *Server) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		swept, err := s.Store.Sweep(ctx, s.Config.Now().Unix(), sweepBatch)
		if err == nil {
			_, err = s.Registrar.SweepClients(ctx)
		}
		if err == nil {
			_, err = s.Audit.Sweep(ctx)
		}
		s.failed(ctx, "sweep", err)
		if err := s.Store.Checkpointed(); err != nil {
			s.Measures.Failed("checkpoint")
			s.Config.Logger.ErrorContext(ctx, "the database file does not take what is in the log beside it, where it is safe: the log grows", "error", err)
		}
		if swept.Rows > 0 {
			s.Config.Logger.InfoContext(ctx, "swept", "rows", swept.Rows, "batches", swept.Batches, "longest", swept.Longest)
		}
	}
}
