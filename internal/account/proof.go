package account

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Proof is that somebody has just proven to be a person. Nothing has begun by it
// yet: between it and Enter there is room for whatever else has to be known.
type Proof struct {
	Session model.Session // that Enter would begin
	b       beginning
	cookie  model.Secret
}

// Prove compares the password of somebody who signs in without a browser. Too many
// wrong ones are slowed down. It returns ErrCredentials, for an unknown login as for
// a wrong password and after the same work; ErrLocked, only after the right
// password; ErrTooSoon, ErrElsewhere and ErrBusy, whatever the password is.
func (a *Accounts) Prove(ctx context.Context, t Attempt) (Proof, error) {
	user, err := a.claimed(ctx, t)
	if err != nil {
		return Proof{}, err
	}
	try := newTry(t, user)
	if err := a.admitTry(ctx, try); err != nil {
		return Proof{}, err
	}
	p, err := a.prove(ctx, user, t)
	switch {
	case errors.Is(err, ErrCredentials):
		return Proof{}, err
	case err != nil: // nothing was tried
		return Proof{}, errors.Join(err, a.takeBack(ctx, try, false))
	}
	if err := a.takeBack(ctx, try, true); err != nil {
		return Proof{}, err
	}
	if user.Status != model.UserActive {
		return Proof{}, ErrLocked
	}
	return p, nil
}

// prove compares the password of a person, or of nobody.
func (a *Accounts) prove(ctx context.Context, user model.User, t Attempt) (Proof, error) {
	stale, err := a.compare(ctx, t.Password, user.PasswordHash)
	if err != nil {
		return Proof{}, err
	}
	var anew string
	if stale {
		// A password that cannot be hashed anew now, because there is no place,
		// is still the right one: the next sign-in tries again.
		anew, _ = a.passwords.Hash(ctx, t.Password)
	}
	cookie := model.NewSecret(cookiePrefix)
	session := a.newSession(user.ID, t, cookie)
	return Proof{session, beginning{user: user, anew: anew, browser: t.Browser, known: t.Session, session: session}, cookie}, nil
}

// Enter begins the session of a proof, or begins anew the one that the same person
// has there. It returns ErrCredentials if the password was changed, or the account
// removed, since it was proven, and ErrLocked.
func (a *Accounts) Enter(ctx context.Context, p Proof) (Entry, error) {
	in, err := a.enter(ctx, p)
	if errors.Is(err, errChanged) {
		err = ErrCredentials
	}
	return in, err
}

func (a *Accounts) enter(ctx context.Context, p Proof) (in Entry, err error) {
	err = a.store.Update(ctx, func(tx *store.Tx) (err error) {
		in, err = a.begin(tx, p.b)
		return err
	})
	if err != nil {
		return Entry{}, err
	}
	in.Cookie = p.cookie
	return in, nil
}
