package account

import (
	"context"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// How many wrong passwords there may be in tryWindow before anybody has to wait.
// Those of one login at one network are followed by pauses that double, up to
// maxPause; so are those of one network. Nobody elsewhere is kept out by that, so
// it locks nobody out. Wrong ones of one login from everywhere would: beyond
// freeOfLogin the way through the browser is left.
const (
	tryWindow     = time.Hour
	freeTries     = 5   // of one login at one network
	freeOfNetwork = 100 // of all logins at one network
	freeOfLogin   = 100 // of one login at all networks
	maxPause      = 15 * 60
	maxPauseOf    = 30 // of a network, on which others may depend; seconds, as above
)

// try is one attempt at a password, by what it is counted.
type try struct {
	user    model.UserID // empty: nobody's
	network string
	counts  []count
}

// count is one thing that is counted.
type count struct {
	name     string
	free     int64
	pause    int64 // the longest; 0: beyond free it is refused
	personal bool  // begins anew with a success
}

// newTry says what an attempt counts as. Logins stand in the database as hashes:
// what is typed there may be a password.
func newTry(t Attempt, user model.User) try {
	login, err := normalizeLogin(t.Login)
	if t.User != "" {
		login, err = user.Login, nil
	}
	if err != nil {
		login = "" // nobody's; counted all the same
	}
	network, hash := model.Neighbourhood(t.Address), model.Secret(login).Hash()
	counts := []count{
		{"password " + hash + " at " + network, freeTries, maxPause, true},
		{"password at " + network, freeOfNetwork, maxPauseOf, false},
	}
	if t.User == "" {
		// Who is known there is not held up by what strangers do elsewhere.
		everywhere := count{"password " + hash, freeOfLogin, 0, false}
		if t.page {
			everywhere.pause = maxPauseOf
		}
		counts = append(counts, everywhere)
	}
	return try{user.ID, network, counts}
}

// pauses names the count that stands while nobody may try.
func (c count) pauses() string { return c.name + ", pause" }

// after is how long the pause after the nth wrong password is, in seconds.
func (c count) after(n int64) int64 { return min(1<<min(n-c.free-1, 30), c.pause) }

// admitTry counts an attempt before its password is looked at, so that many at once
// are as many as one after the other. It returns ErrTooSoon and ErrElsewhere, and
// has counted nothing then.
func (a *Accounts) admitTry(ctx context.Context, t try) error {
	now := a.unix()
	held := false
	err := a.store.Upkeep(ctx, func(tx *store.Tx) error {
		held = false
		for _, c := range t.counts {
			n, err := tx.Tally(c.name, now, now+int64(tryWindow/time.Second))
			if err != nil || n <= c.free {
				if err != nil {
					return err
				}
				continue
			}
			if c.pause == 0 {
				return ErrElsewhere
			}
			held = held || n == c.free+1 && c.personal
			if err := tooSoon(tx, c, n, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || !held {
		return err
	}
	return a.store.Update(ctx, func(tx *store.Tx) error {
		return tx.Record(model.Event{
			Actor:  model.Actor{Kind: model.ActorNobody, Address: printable(t.network, maxAddress)},
			Action: "password.throttle", UserID: t.user, Detail: "many wrong passwords of one login at one network",
		})
	})
}

// tooSoon begins the pause after an attempt that may be made, or says how long the
// one that runs still is.
func tooSoon(tx *store.Tx, c count, n, now int64) error {
	waiting, err := tx.Tally(c.pauses(), now, now+c.after(n))
	if err != nil || waiting == 1 {
		return err
	}
	_, until, err := tx.Tallied(c.pauses(), now)
	if err != nil {
		return err
	}
	return ErrTooSoon{Wait: max(until-now, 1)}
}

// takeBack takes an attempt from the counts: no wrong password was tried. After a
// right one what is personal begins anew.
func (a *Accounts) takeBack(ctx context.Context, t try, right bool) error {
	return a.store.Upkeep(ctx, func(tx *store.Tx) error {
		for _, c := range t.counts {
			drop := tx.Untally
			if c.personal && right {
				drop = tx.ForgetTally
				if err := tx.ForgetTally(c.pauses()); err != nil {
					return err
				}
			}
			if err := drop(c.name); err != nil {
				return err
			}
		}
		return nil
	})
}
