package account

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
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
func (a *Accounts) Prove(ctx context.Context, t Attempt) (p Proof, err error) {
	ctx, span := trace.Start(ctx, "account.Prove")
	defer func() {
		a.tried(model.MethodPassword, err)
		span.End()
	}()
	user, err := a.claimed(ctx, t)
	if err != nil {
		return Proof{}, err
	}
	g := a.newGuess("password", user, t)
	if err := a.admitGuess(ctx, &g); err != nil {
		return Proof{}, err
	}
	p, err = a.prove(ctx, user, t)
	if err := a.guessed(ctx, g, err); err != nil {
		return Proof{}, err
	}
	if user.Status != model.UserActive {
		return Proof{}, ErrLocked
	}
	return p, nil
}

// prove compares the password of a person, or of nobody.
func (a *Accounts) prove(ctx context.Context, user model.User, t Attempt) (Proof, error) {
	stale, err := a.compare(ctx, t, user)
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
	session.Factors = []model.Factor{{Method: model.MethodPassword, At: a.unix()}}
	session.ACR, session.AMR, session.AuthTime = model.ACROf(session.Factors), amrOf(session.Factors), authTime(session.Factors)
	b := beginning{user: user, compared: true, anew: anew, browser: t.Browser, known: t.Session, factors: session.Factors, session: session}
	return Proof{session, b, cookie}, nil
}

// Password compares a password at a page, as Prove does, and notes under a holder
// that it was right.
func (a *Accounts) Password(ctx context.Context, holder string, t Attempt) error {
	t.page = true
	for range 3 {
		p, err := a.Prove(ctx, t)
		if err != nil {
			return err
		}
		err = a.Proved(ctx, holder, Proven{
			User: p.b.user.ID, Hash: p.b.user.PasswordHash, Remember: t.Remember,
			Factor: model.Factor{Method: model.MethodPassword, At: p.Session.AuthTime},
		})
		if err == nil && p.b.anew != "" {
			err = a.rehash(ctx, p)
		}
		if !errors.Is(err, errChanged) {
			return err
		}
	}
	return ErrBusy
}

// rehash stores the hash of a right password at today's cost.
func (a *Accounts) rehash(ctx context.Context, p Proof) error {
	return a.store.Update(ctx, func(tx *store.Tx) error {
		user, err := tx.User(p.b.user.ID)
		if errors.Is(err, store.ErrNotFound) || err == nil && user.PasswordHash != p.b.user.PasswordHash {
			return nil // somebody was faster
		}
		if err != nil {
			return err
		}
		return p.b.rehash(tx, user)
	})
}

// rehash stores the hash of the person's password at today's cost, if theirs has
// another.
func (b beginning) rehash(tx *store.Tx, user model.User) error {
	if b.anew == "" {
		return nil
	}
	if err := tx.SetPassword(user.ID, b.anew, user.PasswordAt); err != nil {
		return err
	}
	actor := model.Actor{Kind: model.ActorUser, ID: string(user.ID), Address: b.session.Address}
	return tx.Record(model.Event{Actor: actor, Action: "password.rehash", UserID: user.ID})
}

// Enter begins the session of a proof, or begins anew the one that the same person
// has there. It returns ErrCredentials if the password was changed, or the account
// removed, since it was proven; ErrLocked; and ErrFactor if a policy wants more than
// a password.
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
