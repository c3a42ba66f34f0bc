package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/ostiary/ostiary/internal/credential"
	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Params is what a password hash costs.
type Params = credential.Params

// DefaultPasswordLength is how many characters a new password has at least, where the
// Config says nothing. NIST SP 800-63B-4 §3.1.1.2: a password may be all that keeps
// somebody out.
const DefaultPasswordLength = 15

// PasswordLength is how many characters a new password has at least.
func (a *Accounts) PasswordLength() int { return a.policy.Least }

// newHash checks a password that somebody chose for an account and hashes it. It
// returns ErrInvalid and ErrBusy.
func (a *Accounts) newHash(ctx context.Context, password model.Secret, whose model.User) (string, error) {
	if err := a.checkPassword(password, whose); err != nil {
		return "", err
	}
	return a.passwords.Hash(ctx, password)
}

// flaws are the reasons for what is wrong with a new password.
var flaws = map[error]Reason{
	credential.ErrMissing:  Missing,
	credential.ErrShort:    PasswordShort,
	credential.ErrLong:     PasswordLong,
	credential.ErrNotText:  NotText,
	credential.ErrCommon:   PasswordCommon,
	credential.ErrPersonal: PasswordPersonal,
}

// checkPassword checks a password that somebody chose. It returns ErrInvalid.
func (a *Accounts) checkPassword(password model.Secret, whose model.User) error {
	p := whose.Profile
	err := a.policy.Check(password, whose.Login, p.Name, p.GivenName, p.FamilyName, p.Nickname, p.PreferredUsername, p.Email)
	reason, ok := flaws[err]
	switch {
	case !ok:
		return err
	case reason == PasswordShort:
		return fmt.Errorf("%w: it must have %d or more", ErrInvalid{"password", reason}, a.policy.Least)
	}
	return ErrInvalid{"password", reason}
}

// compare compares the password of an attempt with the hash of a person, or of nobody.
// The decoy is looked up for everybody: so the database does the same work for all. It
// returns ErrCredentials and ErrBusy.
func (a *Accounts) compare(ctx context.Context, t Attempt, user model.User) (stale bool, err error) {
	claim, _ := normalizeLogin(t.Login)
	if user.ID != "" {
		claim = string(user.ID)
	}
	hash, err := a.decoy(ctx, claim)
	if err != nil {
		return false, err
	}
	if user.PasswordHash != "" {
		hash = user.PasswordHash
	}
	stale, err = a.passwords.Verify(ctx, t.Password, hash)
	switch {
	case user.PasswordHash == "" && (err == nil || errors.Is(err, credential.ErrWrong)), err == credential.ErrWrong:
		return false, ErrCredentials
	case errors.Is(err, credential.ErrWrong): // with a cause, which is for the log
		return false, fmt.Errorf("%w (%w)", ErrCredentials, err)
	}
	return stale, err
}

// SetPassword gives a person a new password and ends what was begun with the
// old one: every session and grant, but for those of the session keep, if it is
// one of theirs. It returns ErrInvalid, ErrBusy and ErrNoUser.
func (a *Accounts) SetPassword(ctx context.Context, actor model.Actor, id model.UserID, c NewPassword) error {
	return a.setPassword(ctx, actor, id, c, func(model.User) error { return nil })
}

// ChangePassword is SetPassword for a person who knows the present one; who has
// none needs none. A wrong one counts as it does at a sign-in. It returns
// ErrCredentials, ErrTooSoon, ErrStale, ErrInvalid, ErrBusy and ErrNoUser; and
// ErrNoSession if the session to keep, in which they change it, is over.
func (a *Accounts) ChangePassword(ctx context.Context, actor model.Actor, id model.UserID, c NewPassword) error {
	var user model.User
	err := a.store.Ask(ctx, func(tx *store.Tx) (err error) { user, err = tx.User(id); return err })
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoUser
	}
	if err != nil {
		return err
	}
	if err := a.checkPassword(c.Password, user); err != nil {
		return err
	}
	if user.PasswordHash != "" {
		t := Attempt{User: id, Password: c.Current, Address: actor.Address, Devices: c.Devices}
		g := a.newGuess("password", user, t)
		if err := a.admitGuess(ctx, &g); err != nil {
			return err
		}
		_, err := a.compare(ctx, t, user)
		if err := a.guessed(ctx, g, err); err != nil {
			return err
		}
	}
	c.with = func(tx *store.Tx) error { return a.withinAny(tx, id, c.Keep) }
	return a.setPassword(ctx, actor, id, c, func(now model.User) error {
		if now.PasswordHash != user.PasswordHash {
			return ErrStale // by somebody who was faster
		}
		return nil
	})
}

// setPassword sets a password of a person who is still as they have to be.
func (a *Accounts) setPassword(ctx context.Context, actor model.Actor, id model.UserID, c NewPassword, fits func(model.User) error) error {
	whose, err := a.User(ctx, id)
	if err != nil {
		return err
	}
	hash, err := a.newHash(ctx, c.Password, whose)
	if err != nil {
		return err
	}
	err = a.update(ctx, func(tx *store.Tx) error {
		user, err := tx.User(id)
		if err == nil {
			err = fits(user)
		}
		if err != nil {
			return err
		}
		if c.with != nil {
			if err := c.with(tx); err != nil {
				return err
			}
		}
		now := a.unix()
		if err := tx.SetPassword(id, hash, now); err != nil {
			return err
		}
		if err := a.tellPassword(tx, actor, user); err != nil {
			return err
		}
		if err := tx.Record(model.Event{Actor: actor, Action: "password.set", UserID: id}); err != nil {
			return err
		}
		return a.endOthers(tx, id, c.Keep)
	})
	if err == nil && !c.first {
		a.notifyOf(ctx, id, notice{What: mail.Password, From: actor.Address})
	}
	return err
}

// NewPassword is what SetPassword and ChangePassword set.
type NewPassword struct {
	Current  model.Secret                  // ChangePassword compares it
	Devices  map[model.UserID]model.Secret // by which the browser is known to people
	Password model.Secret
	Keep     model.SessionID // the session in which it is changed; empty: none

	with  func(*store.Tx) error // what is done in the same transaction; nil: nothing
	first bool                  // of an account that was made for somebody: they need not be told
}

// endOthers ends everything of a person but the session keep and its grants.
func (a *Accounts) endOthers(tx *store.Tx, id model.UserID, keep model.SessionID) error {
	ending := a.ending(model.CauseCredentialChange)
	if err := tx.DropHalves(id); err != nil { // what was half proven with it
		return err
	}
	if s, err := tx.Session(keep); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	} else if err != nil || s.UserID != id || !s.Live(ending.At) {
		return tx.EndUser(id, ending)
	}
	if err := endSessions(tx, ending, func() ([]model.Session, error) { return tx.SessionsBeside(id, keep) }); err != nil {
		return err
	}
	// What is left are the grants that outlive their session.
	return endGrants(tx, ending, func() ([]model.Grant, error) { return tx.GrantsBeside(id, keep) })
}

// endGrants ends the grants of a list, of which the store tells a page at once.
func endGrants(tx *store.Tx, ending store.Ending, list func() ([]model.Grant, error)) error {
	return endEach(list, func(g model.Grant) error { return tx.EndGrant(g.ID, ending) })
}

// endSessions is endGrants for sessions.
func endSessions(tx *store.Tx, ending store.Ending, list func() ([]model.Session, error)) error {
	return endEach(list, func(s model.Session) error { return tx.EndSession(s.ID, ending) })
}

// endEach ends what is listed until nothing is.
func endEach[T any](list func() ([]T, error), end func(T) error) error {
	for {
		all, err := list()
		if err != nil || len(all) == 0 {
			return err
		}
		for _, one := range all {
			if err := end(one); err != nil {
				return err
			}
		}
	}
}
