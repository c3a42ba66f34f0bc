package account

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/device"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// MaxAccounts is how many people can be signed in at one browser.
const MaxAccounts = 8

// maxHeld is how many cookies of one browser are looked up.
const maxHeld = 2 * MaxAccounts

// Held returns the live sessions behind the cookies of a browser, with their
// people and cookies, in the order of the cookies. What stands for no session,
// for one that is over or for somebody who is locked is left out.
func (a *Accounts) Held(ctx context.Context, cookies []model.Secret) ([]Visitor, error) {
	if len(cookies) == 0 {
		return nil, nil
	}
	read := a.store.View
	if len(cookies) == 1 { // as most browsers have
		read = a.store.Ask
	}
	var list []Visitor
	err := read(ctx, func(tx *store.Tx) (err error) {
		list, err = a.holding(cookies, func(hash string) (in Visitor, err error) {
			var n store.FactorCount
			in.Session, in.User, n, err = tx.Visitor(hash)
			in.has, in.User = methodsOf(in.User, n), outward(in.User)
			return in, err
		})
		return err
	})
	return slices.DeleteFunc(list, func(in Visitor) bool { return in.User.Status != model.UserActive }), err
}

// held finds the live sessions of cookies, without their people.
func (a *Accounts) held(tx *store.Tx, cookies []model.Secret) (list []SignedIn, err error) {
	found, err := a.holding(cookies, func(hash string) (in Visitor, err error) {
		in.Session, err = tx.SessionByCookie(hash)
		return in, err
	})
	for _, in := range found {
		list = append(list, in.SignedIn)
	}
	return list, err
}

// holding finds the live sessions of cookies by their hashes.
func (a *Accounts) holding(cookies []model.Secret, find func(hash string) (Visitor, error)) (list []Visitor, err error) {
	for _, cookie := range cookies[:min(len(cookies), maxHeld)] {
		if cookie == "" || len(cookie) > maxCookie {
			continue
		}
		in, err := find(cookie.Hash())
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		twice := slices.ContainsFunc(list, func(other Visitor) bool { return other.Session.ID == in.Session.ID })
		if in.Session.Live(a.unix()) && !twice {
			in.Cookie = cookie
			list = append(list, in)
		}
	}
	return list, nil
}

// known finds a session by its name, if it is live: where there is no browser.
func (a *Accounts) known(tx *store.Tx, id model.SessionID) ([]SignedIn, error) {
	s, err := tx.Session(id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !s.Live(a.unix()) {
		return nil, nil
	}
	return []SignedIn{{Session: s}}, err
}

// Touch notes once a minute that a session is in use, and returns it as it is
// then. Of several in one browser only the one that is used lives on. It
// returns ErrNoSession if it was ended meanwhile.
func (a *Accounts) Touch(ctx context.Context, s model.Session) (model.Session, error) {
	now := a.unix()
	if now-s.SeenAt < int64(touchEvery/time.Second) {
		return s, nil
	}
	s.SeenAt, s.IdleAt = now, now+a.life[s.Remember].idle
	err := a.store.Upkeep(ctx, func(tx *store.Tx) error { return tx.TouchSession(s.ID, s.SeenAt, s.IdleAt) })
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNoSession
	}
	return s, err
}

// settle begins a session beside those that the same browser has already. One
// of the same person goes on under the new cookie. The others stay, up to
// MaxAccounts in all: then the one ends that was unused for the longest time. It
// returns the session and who is signed in beside it.
func (a *Accounts) settle(tx *store.Tx, actor model.Actor, b beginning) (s model.Session, beside []model.UserID, err error) {
	s = b.session
	others, err := a.held(tx, b.browser)
	if err == nil && b.known != "" {
		others, err = a.known(tx, b.known)
	}
	if err != nil {
		return s, nil, err
	}
	mine := slices.IndexFunc(others, func(in SignedIn) bool { return in.Session.UserID == s.UserID })
	if mine >= 0 {
		s.ID, s.CreatedAt = others[mine].Session.ID, others[mine].Session.CreatedAt
		others = slices.Delete(others, mine, mine+1)
	}
	slices.SortStableFunc(others, func(a, b SignedIn) int { return int(b.Session.SeenAt - a.Session.SeenAt) })
	for len(others) >= MaxAccounts {
		last := others[len(others)-1].Session
		if err := tx.EndSession(last.ID, a.ending(model.CausePolicy)); err != nil {
			return s, nil, err
		}
		err := tx.Record(model.Event{Actor: actor, Action: "session.end", UserID: last.UserID, Detail: "too many accounts in one browser, session=" + string(last.ID)})
		if err != nil {
			return s, nil, err
		}
		others = others[:len(others)-1]
	}
	for _, in := range others {
		beside = append(beside, in.Session.UserID)
	}
	event := model.Event{Actor: actor, Action: "session.start", UserID: s.UserID, Detail: "session=" + string(s.ID) + device.Parse(s.UserAgent).Detail()}
	if mine >= 0 {
		event.Action, err = "session.renew", tx.RenewSession(s)
	} else {
		err = tx.InsertSession(s)
	}
	if err != nil {
		return s, nil, err
	}
	return s, beside, tx.Record(event)
}

// Called returns which of some people goes by a name: by their login, however
// it is written, or else by their e-mail address, unless several of them have it.
// It is -1 for nobody.
func Called(name string, people []model.User) int {
	if login, err := normalizeLogin(name); err == nil {
		if i := slices.IndexFunc(people, func(u model.User) bool { return u.Login == login }); i >= 0 {
			return i
		}
	}
	found := -1
	for i, u := range people {
		if name = strings.TrimSpace(name); name == "" || !strings.EqualFold(u.Profile.Email, name) {
			continue
		}
		if found >= 0 {
			return -1
		}
		found = i
	}
	return found
}
