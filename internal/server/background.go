package server

import (
	"context"
	"time"
)

// How often the background work runs, and how much it sweeps at a time, so
// that no request waits for it.
const (
	keysEvery   = 2 * time.Second
	expireEvery = time.Second
	sweepEvery  = time.Minute
	sweepBatch  = 500
)

// logoFetchers is how many logos are fetched at once, so that one slow server
// does not keep all others waiting.
const logoFetchers = 2

// tick does the work that no request asks for, until ctx is done: it follows
// the signing keys (another node or the command may rotate them), ends the
// sessions whose time is over, and sweeps what is dead out of the database.
func (s *Server) tick(ctx context.Context) {
	keys, expire, sweep := time.NewTicker(keysEvery), time.NewTicker(expireEvery), time.NewTicker(sweepEvery)
	defer keys.Stop()
	defer expire.Stop()
	defer sweep.Stop()
	for {
		var err error
		var work string
		select {
		case <-ctx.Done():
			return
		case <-keys.C:
			work, err = "keys", s.Keys.Tick(ctx)
		case <-expire.C:
			work, err = "expire", s.Accounts.Expire(ctx)
		case <-sweep.C:
			work = "sweep"
			_, err = s.Store.Sweep(ctx, s.Config.Now().Unix(), sweepBatch)
			if err == nil {
				_, err = s.Registrar.SweepClients(ctx)
			}
		}
		if err != nil && ctx.Err() == nil {
			s.Config.Logger.ErrorContext(ctx, "background work failed and will be tried again", "work", work, "error", err)
		}
	}
}
