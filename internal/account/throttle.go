package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// How many wrong guesses there may be in tryWindow before anybody has to wait.
// Those at one person's secret from one network are followed by pauses that double,
// up to maxPause; so are those of one network, and those at one person's from
// everywhere, up to less: others depend on these. No pause is a lock-out, and a
// browser that the person has signed in with before has a count of its own, so that
// what strangers do holds nobody up there.
//
// Beyond freeOfAll wrong guesses of a kind, whoever they are about, somebody tries
// many people: strangers then have a fifth of what is free.
const (
	tryWindow     = time.Hour
	freeTries     = 5    // at one person's secret: from one network, or one known browser
	freeOfNetwork = 100  // of all guesses of one network
	freeOfPerson  = 100  // at one person's secret, of all networks
	freeOfAll     = 5000 // of all
	maxPause      = 15 * 60
	maxPauseOf    = 30 // of a network, or of a person everywhere; seconds, as above
)

// guess is one attempt at a secret, by what it is counted.
type guess struct {
	kind    string // "password", "factor", …
	who     string // whose secret: never as it was typed
	user    model.UserID
	network string
	devices map[model.UserID]model.Secret
	counts  []count
}

// count is one thing that is counted.
type count struct {
	name     string
	free     int64
	pause    int64 // the longest; 0: beyond free it is refused
	personal bool  // begins anew with a success
}

// newGuess says what an attempt counts as. Logins stand in the database as hashes:
// what is typed there may be a password.
func (a *Accounts) newGuess(kind string, user model.User, t Attempt) guess {
	login, err := normalizeLogin(t.Login)
	if t.User != "" {
		login, err = user.Login, nil
	}
	if err != nil {
		login = "" // nobody's; counted all the same
	}
	g := guess{
		kind: kind, who: model.Secret(login).Hash(), user: user.ID,
		network: model.Neighbourhood(t.Address), devices: t.Devices,
	}
	g.counts = []count{
		{kind + " " + g.who + " at " + g.network, freeTries, maxPause, true},
		{kind + " at " + g.network, freeOfNetwork, maxPauseOf, false},
	}
	switch {
	case kind == "factor":
		// Whoever guesses here knows the first factor: the network does not matter.
		g.counts[0].name = kind + " " + g.who
	case t.User == "" && t.page:
		g.counts = append(g.counts, count{kind + " " + g.who, freeOfPerson, maxPauseOf, false})
	case t.User == "":
		// Who is known there is not held up by what strangers do elsewhere.
		g.counts = append(g.counts, count{kind + " " + g.who, freeOfPerson, 0, false})
	}
	return g
}

// elsewhere makes a guess one at a password that another house compares: a login there
// is not one of ours, and its counts are not those of who has it here.
func (g *guess) elsewhere(where, login string) {
	was := g.who
	g.who = model.Secret(where + " " + login).Hash()
	for i := range g.counts {
		g.counts[i].name = strings.Replace(g.counts[i].name, was, g.who, 1)
	}
}

// pauses names the count that stands while nobody may try.
func (c count) pauses() string { return c.name + ", pause" }

// after is how long the pause after the nth wrong guess is, in seconds.
func (c count) after(n int64) int64 { return min(1<<min(n-c.free-1, 30), c.pause) }

// admitGuess counts an attempt before its secret is looked at, so that many at once
// are as many as one after the other. It returns ErrTooSoon and ErrElsewhere, and
// has counted nothing then.
func (a *Accounts) admitGuess(ctx context.Context, g *guess) error {
	many, err := a.alarm.look(ctx, a, g.kind)
	if err != nil {
		return err
	}
	now := a.unix()
	held := false
	strangers := g.counts
	err = a.store.Upkeep(ctx, func(tx *store.Tx) error {
		held = false
		d, err := a.deviceOf(tx, g.user, g.devices)
		if err != nil {
			return err
		}
		if g.counts = strangers; d.Hash != "" {
			g.counts = []count{{g.kind + " in " + d.Hash, freeTries, maxPause, true}}
		}
		for _, c := range g.counts {
			if many && d.Hash == "" {
				c.free /= 5
			}
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
		return tx.Record(g.event(g.throttled(), "many wrong ones of one login at one network"))
	})
}

// fails and throttled are the actions of the audit log about a kind of guess.
func (g guess) fails() string {
	if g.kind == "factor" {
		return "factor.fail"
	}
	return "password.fail"
}

func (g guess) throttled() string {
	if g.kind == "factor" {
		return "factor.throttle"
	}
	return "password.throttle"
}

// event is one about a guess. What was typed is never in it.
func (g guess) event(action, detail string) model.Event {
	return model.Event{
		Actor:  model.Actor{Kind: model.ActorNobody, Address: printable(g.network, maxAddress)},
		Action: action, UserID: g.user, Detail: detail,
	}
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

// guessed settles an attempt whose outcome is err: a wrong guess, a right one, or none
// at all. It returns what is wrong.
func (a *Accounts) guessed(ctx context.Context, g guess, err error) error {
	switch {
	case errors.Is(err, ErrCredentials):
		return a.failed(ctx, g, err)
	case err != nil: // nothing was tried
		return errors.Join(err, a.takeBack(ctx, g, false))
	}
	return a.takeBack(ctx, g, true)
}

// takeBack takes an attempt from the counts: no wrong guess was made. After a right
// one what is personal begins anew.
func (a *Accounts) takeBack(ctx context.Context, g guess, right bool) error {
	return a.store.Upkeep(ctx, func(tx *store.Tx) error {
		for _, c := range g.counts {
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

// failed notes a wrong guess in the audit log: the first one in a window, the tenth,
// the hundredth and so on of each person, and of nobody's all together. So nobody
// can fill the log; and for a login that there is not, the same is done as for one
// that there is. It returns what it is given, which says that it was wrong.
func (a *Accounts) failed(ctx context.Context, g guess, wrong error) error {
	now := a.unix()
	until := now + int64(tryWindow/time.Second)
	whose := g.kind + " failed"
	if g.user != "" {
		whose += " of " + string(g.user)
	}
	err := a.store.Upkeep(ctx, func(tx *store.Tx) error {
		n, err := tx.Tally(whose, now, until)
		if err != nil {
			return err
		}
		if powerOfTen(n) {
			if err := tx.Record(g.event(g.fails(), fmt.Sprintf("times=%d within=%s", n, tryWindow))); err != nil {
				return err
			}
		}
		all, err := tx.Tally(g.kind+" anywhere", now, until)
		if err != nil || all != freeOfAll+1 {
			return err
		}
		return tx.Record(model.Event{
			Actor: model.Actor{Kind: model.ActorSystem}, Action: g.throttled(),
			Detail: fmt.Sprintf("more than %d wrong ones in all within=%s", freeOfAll, tryWindow),
		})
	})
	if err != nil {
		return errors.Join(wrong, err)
	}
	return wrong
}

func powerOfTen(n int64) bool {
	for n >= 10 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}

// alarm is what a node knows of how many wrong guesses there are in all. It looks now
// and then: everybody would wait for a row that everybody reads and writes.
type alarm struct{ password, factor lately }

type lately struct {
	next atomic.Int64 // when to look again
	many atomic.Bool
}

const alarmEvery = 10 // seconds

// look reports whether there have been more wrong guesses of a kind than anybody
// makes by mistake.
func (l *alarm) look(ctx context.Context, a *Accounts, kind string) (bool, error) {
	k := &l.password
	if kind == "factor" {
		k = &l.factor
	}
	now := a.unix()
	if next := k.next.Load(); now < next && next <= now+alarmEvery || !k.next.CompareAndSwap(k.next.Load(), now+alarmEvery) {
		return k.many.Load(), nil
	}
	err := a.store.View(ctx, func(tx *store.Tx) error {
		n, _, err := tx.Tallied(kind+" anywhere", now)
		k.many.Store(n > freeOfAll)
		return err
	})
	return k.many.Load(), err
}
