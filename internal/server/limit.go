package server

import (
	"context"
	"time"

	"github.com/ostiary/ostiary/internal/limit"
)

// shareLimits tells the other nodes how much was asked of this one, and hears how much
// of them, until ctx is done. What fails is told of once a minute: each node then
// counts for itself.
func (s *Server) shareLimits(ctx context.Context) {
	ticker := time.NewTicker(limit.ShareEvery)
	defer ticker.Stop()
	var told time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := s.Limits.Share(ctx); err != nil && time.Since(told) > time.Minute {
				s.failed(ctx, "limits", err)
				told = time.Now()
			}
		}
	}
}
