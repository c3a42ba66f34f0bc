package server

import (
	"context"
	"time"

	"github.com/ostiary/ostiary/internal/store"
)

// How often the background work runs.
const (
	keysEvery   = 2 * time.Second
	expireEvery = time.Second
	sealEvery   = 500 * time.Millisecond
)

// logoFetchers is how many logos are fetched at once, so that one slow server
// does not keep all others waiting.
const logoFetchers = 2

// follow lets what is kept in memory be read again as soon as another node has changed
// it, until ctx is done. Where nobody tells of a change, it is seen when its time in
// memory is over.
func (s *Server) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.Store.Changed(store.Clients):
			s.Registrar.LookAgain()
		case <-s.Store.Changed(store.Upstreams):
			s.Federation.LookAgain()
		}
	}
}

// tick does the work that no request asks for, until ctx is done: it follows
// the signing keys (another node or the command may rotate them), and ends the
// sessions whose time is over.
func (s *Server) tick(ctx context.Context) {
	keys, expire := time.NewTicker(keysEvery), time.NewTicker(expireEvery)
	defer keys.Stop()
	defer expire.Stop()
	for {
		var err error
		var work string
		select {
		case <-ctx.Done():
			return
		case <-keys.C:
			work, err = "keys", s.Keys.Tick(ctx)
		case <-s.Store.Changed(store.SigningKeys):
			work, err = "keys", s.Keys.Tick(ctx)
		case <-expire.C:
			work, err = "expire", s.Accounts.Expire(ctx)
		}
		s.failed(ctx, work, err)
	}
}

// failed logs what went wrong with work in the background, if anything did.
func (s *Server) failed(ctx context.Context, work string, err error) {
	if err != nil && ctx.Err() == nil {
		s.Measures.Failed(work)
		s.Config.Logger.ErrorContext(ctx, "background work failed and will be tried again", "work", work, "error", err)
	}
}

// seal seals the audit log, until ctx is done. It has a clock of its own: the first
// time after an upgrade there may be a long log to seal. A log that cannot be sealed
// is told of once a minute.
func (s *Server) seal(ctx context.Context) {
	ticker := time.NewTicker(sealEvery)
	defer ticker.Stop()
	var told time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if _, err := s.Audit.Seal(ctx); err != nil && time.Since(told) > time.Minute {
				s.failed(ctx, "seal", err)
				told = time.Now()
			}
		}
	}
}
