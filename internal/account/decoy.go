package account

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// decoy returns the hash that a password is compared with, for nothing, when whoever
// is claimed has none: somebody else's, who is always the same one for that claim. An
// import brings hashes that cost more or less than ours, so that a single cost for the
// unknown would show who is known; this way they cost what people cost.
func (a *Accounts) decoy(ctx context.Context, claim string) (string, error) {
	var hash string
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		hash, err = tx.PasswordHashAt(model.Secret(claim).Hash())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", nil // nobody has a password: the cost of a new one then
	}
	return hash, err
}
