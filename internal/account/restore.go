package account

import (
	"context"
	"fmt"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Restoring says what has been put back.
type Restoring struct {
	// Made is when the copy was made that is now the database; zero: nobody knows.
	Made time.Time
	// Keep lets sessions, grants and tokens go on as they were then. What was put out
	// between then and now is in again.
	Keep bool
}

// Restored does what has to follow when the database is what it was at an earlier
// time: whatever ended since then has come back to life, and whatever was used up
// can be used again. So it ends every session and every grant, and makes every token
// useless that was issued until now; it deletes what counts once; and it gives the
// revocation log another name, so that those who follow it take all of it anew, and
// do not wait for numbers which they have seen already.
func (a *Accounts) Restored(ctx context.Context, actor model.Actor, r Restoring) error {
	log := model.NewID()
	detail := "of an unknown time"
	if !r.Made.IsZero() {
		detail = "of " + r.Made.UTC().Format(time.RFC3339)
	}
	if r.Keep {
		detail += ", sessions kept"
	}
	err := a.store.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.LastRevocation(); err != nil { // first: see store.Ending
			return err
		}
		if !r.Keep {
			if err := tx.EndAll(a.ending(model.CauseAdmin)); err != nil {
				return err
			}
			if err := tx.DistrustAllDevices(); err != nil {
				return err
			}
		}
		if err := tx.DropOpen(); err != nil {
			return err
		}
		if err := tx.PutSetting(store.RevocationLog, log); err != nil {
			return err
		}
		if err := tx.FinishRestore(); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "server.restore", Detail: detail})
	})
	if err != nil {
		return fmt.Errorf("the sessions from before cannot be ended: %w", err)
	}
	return nil
}

// BackedUp notes that somebody takes all of the database along.
func (a *Accounts) BackedUp(ctx context.Context, actor model.Actor, withKey bool) error {
	detail := ""
	if withKey {
		detail = "with the master key"
	}
	return a.store.Update(ctx, func(tx *store.Tx) error {
		return tx.Record(model.Event{Actor: actor, Action: "server.backup", Detail: detail})
	})
}
