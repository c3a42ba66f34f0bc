package resource

import (
	"context"
	"errors"
	"fmt"

	"github.com/ostiary/ostiary/jwk"
)

// Prepare fetches the keys of all issuers, which otherwise happens when the first
// token arrives: for an API that reports itself ready only then. It returns an
// error that wraps jwk.ErrUnavailable while those of one cannot be had.
func (g *Guard) Prepare(ctx context.Context) error {
	for url, i := range g.issuers {
		// That there is no key without a name is no news: the set was there.
		if _, err := i.keys.Find(ctx, ""); err != nil && !errors.Is(err, jwk.ErrNotFound) {
			return fmt.Errorf("resource: the keys of %s: %w", url, err)
		}
	}
	return nil
}
