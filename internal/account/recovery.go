package account

import (
	"context"
	"errors"
	"time"

	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// AskRecovery sends whoever goes by a login or a confirmed address a letter with
// which they can choose a new password, and returns the ID of what waits for its
// code. It does and returns the same for those who do not exist, are locked or have
// confirmed no address: they get no letter. It returns ErrMailOff and ErrLetterLimit.
func (a *Accounts) AskRecovery(ctx context.Context, name string, by Asker) (string, error) {
	return a.askAbout(ctx, model.ConfirmRecover, name, by)
}

// AskCode is AskRecovery for a code with which somebody signs in. Only the latest of
// a request is good.
func (a *Accounts) AskCode(ctx context.Context, name string, by Asker) (string, error) {
	return a.askAbout(ctx, model.ConfirmSignIn, name, by)
}

var asks = map[string]struct {
	kind  mail.Kind
	life  time.Duration
	event string
}{
	model.ConfirmRecover: {mail.Recover, ConfirmationLife, "recovery.ask"},
	model.ConfirmSignIn:  {mail.SignIn, CodeLife, "mail_code.send"},
}

// askAbout writes to somebody who is named, or does as if it did.
func (a *Accounts) askAbout(ctx context.Context, purpose, name string, by Asker) (string, error) {
	if !a.Mails() {
		return "", ErrMailOff
	}
	if by.Browser == "" {
		return "", ErrConfirmation
	}
	user, err := a.reachable(ctx, name)
	if err != nil {
		return "", err
	}
	about := user.Profile.Email
	if about == "" {
		about, _ = normalizeLogin(name) // nobody's
	}
	send, err := a.admitLetter(ctx, about, by.Address)
	if err != nil {
		return "", err
	}
	ask := asks[purpose]
	c, l := a.draftConfirmation(purpose, by, ask.life)
	c.UserID, c.Address = user.ID, user.Profile.Email
	l.Kind, l.To, l.Login, l.User = ask.kind, user.Profile.Email, user.Login, user.ID
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.DropConfirmationsOf(by.Holder); err != nil {
			return err
		}
		if err := tx.InsertConfirmation(c); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: stranger(by.Address), Action: ask.event, UserID: user.ID})
	})
	if err != nil {
		return "", err
	}
	if send && user.ID != "" {
		a.send(ctx, l)
	}
	return c.ID, nil
}

// reachable is the person who goes by a login or an address, if they can be written
// to and may come in; nobody otherwise.
func (a *Accounts) reachable(ctx context.Context, name string) (model.User, error) {
	login, err := normalizeLogin(name)
	if err != nil {
		login = "" // nobody's; looked for all the same
	}
	var user model.User
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		user, err = tx.UserByLogin(login)
		named, other := namedByEmail(tx, login)
		if errors.Is(err, store.ErrNotFound) {
			user, err = named, other
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return model.User{}, nil
	}
	if err != nil {
		return model.User{}, err
	}
	if !user.Profile.EmailVerified || user.Status != model.UserActive {
		return model.User{}, nil
	}
	return outward(user), nil
}

// Recover gives somebody who has answered their letter a new password. It ends all
// that was begun with the old one, and nothing begins by it: they sign in next, with
// a second factor if they have one. It returns ErrConfirmation, ErrInvalid and
// ErrBusy; after ErrInvalid it can be tried again.
func (a *Accounts) Recover(ctx context.Context, by Answer, password model.Secret) error {
	c, err := a.Waiting(ctx, model.ConfirmRecover, by.ID, by.Browser)
	if err == nil && (c.ProvenAt == 0 || c.UserID == "") {
		err = ErrConfirmation
	}
	if err != nil {
		return err
	}
	return a.setLost(ctx, c, password, by.Address, func(tx *store.Tx, user model.User) error {
		if user.Status != model.UserActive || user.Profile.Email != c.Address {
			return store.ErrNotFound
		}
		return nil
	})
}

// setLost sets the password of somebody who has answered a letter, if also agrees,
// and uses up all such letters to them.
func (a *Accounts) setLost(ctx context.Context, c model.Confirmation, password model.Secret, address string, also func(*store.Tx, model.User) error) error {
	actor := themselves(c.UserID, address)
	err := a.SetPassword(ctx, actor, c.UserID, NewPassword{Password: password, first: c.Purpose == model.ConfirmInvite, with: func(tx *store.Tx) error {
		return a.useLost(tx, c, also)
	}})
	return spent(err)
}

// useLost uses up the letter that somebody has answered and all others like it.
func (a *Accounts) useLost(tx *store.Tx, c model.Confirmation, also func(*store.Tx, model.User) error) error {
	if err := tx.UseConfirmation(c.ID, a.unix()); err != nil {
		return err
	}
	user, err := tx.User(c.UserID)
	if err != nil {
		return err
	}
	if err := also(tx, user); err != nil {
		return err
	}
	for _, purpose := range []string{model.ConfirmRecover, model.ConfirmReset, model.ConfirmInvite, model.ConfirmSignIn} {
		if err := tx.DropConfirmations(c.UserID, purpose); err != nil {
			return err
		}
	}
	return nil
}
