package account

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// DefaultSignUpLimit is how many sign-ups one address may try in an hour, where
// the Config says nothing.
const DefaultSignUpLimit = 60

// maxSignUpLimit bounds Config.SignUpLimit.
const maxSignUpLimit = 1_000_000

// signUpWindow is the time in which they are counted.
const signUpWindow = time.Hour

// maxName is how long a name may be that a stranger gives, in bytes.
const maxName = 200

// SignUp makes an account for somebody who asks for one, and notes under a holder
// that they know its password: nobody can know it better. A login that has the form of an e-mail address becomes theirs as well, unverified.
//
// That a login is taken is told, because nobody could choose another one without
// it. So every try that gets as far as to learn it is counted, by address, for
// all nodes together.
//
// It returns ErrSignUpOff; ErrInvalid; ErrSignUpLimit; ErrLoginTaken; ErrBusy.
func (a *Accounts) SignUp(ctx context.Context, holder, name string, t Attempt) (model.User, error) {
	user, err := a.applicant(name, t)
	if err != nil {
		return model.User{}, err
	}
	if err := a.admit(ctx, user.Login, t.Address); err != nil {
		return model.User{}, err
	}
	if user.PasswordHash, err = a.passwords.Hash(ctx, t.Password); err != nil {
		return model.User{}, err
	}
	err = a.update(ctx, func(tx *store.Tx) error {
		if err := insertUser(tx, stranger(t.Address), user); err != nil {
			return err
		}
		return a.proved(tx, holder, Proven{
			User: user.ID, Hash: user.PasswordHash, Remember: t.Remember, Factor: model.Factor{Method: model.MethodPassword},
		})
	})
	if err != nil {
		return model.User{}, err
	}
	return outward(user), nil
}

// applicant checks all that can be checked before anything is looked up.
func (a *Accounts) applicant(name string, t Attempt) (model.User, error) {
	if !a.signUp {
		return model.User{}, ErrSignUpOff
	}
	n := NewUser{Login: t.Login, Profile: model.Profile{Name: strings.TrimSpace(name)}}
	if len(n.Profile.Name) > maxName {
		return model.User{}, ErrInvalid{"name", TooLong}
	}
	if login, err := normalizeLogin(t.Login); err == nil && strings.Contains(login, "@") {
		n.Profile.Email = login
	}
	user, err := a.draft(n)
	if err != nil {
		return model.User{}, err
	}
	if err := a.checkPassword(t.Password, user); err != nil {
		return model.User{}, err
	}
	user.PasswordAt = user.CreatedAt
	return user, nil
}

// admit counts a try and looks whether there is a place for it, before a password
// is hashed. While there is no account yet nobody signs up: the first one is the
// administrator's, by the setup link.
func (a *Accounts) admit(ctx context.Context, login, address string) error {
	if err := a.AdmitSignUp(ctx, address); err != nil {
		return err
	}
	return a.store.View(ctx, func(tx *store.Tx) error {
		anybody, err := tx.Users("", 1)
		if err == nil && len(anybody) == 0 {
			err = ErrSignUpOff
		}
		if err != nil {
			return err
		}
		_, err = tx.UserByLogin(login)
		switch {
		case err == nil:
			return ErrLoginTaken
		case errors.Is(err, store.ErrNotFound):
			return nil
		}
		return err
	})
}

// AdmitSignUp counts a try of somebody at a network address to get an account. It
// returns ErrSignUpLimit.
func (a *Accounts) AdmitSignUp(ctx context.Context, address string) error {
	now := a.unix()
	var tries int64
	err := a.store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		tries, err = tx.Tally("sign-up "+model.Neighbourhood(address), now, now+int64(signUpWindow/time.Second))
		return err
	})
	if err == nil && tries > int64(a.signUpLimit) {
		err = ErrSignUpLimit
	}
	return err
}
