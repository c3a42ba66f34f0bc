package account

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// linkHolder is under what the passkey of somebody waits who is invited.
func linkHolder(c model.Confirmation) string { return "link " + c.ID }

// keyable refuses a passkey in place of a password to those who may use none, and to
// those who have a second factor: a passkey is two, and a link shall not stand for
// the one that they have.
func (a *Accounts) keyable(tx *store.Tx, user model.User) error {
	n, err := tx.CountFactors(user.ID)
	if err != nil {
		return err
	}
	if a.passkeys == nil || !a.allows(model.MethodPasskey, user, nil) {
		return ErrPasskeysOff
	}
	if n.Apps+n.Passkeys > 0 {
		return ErrFactor
	}
	return nil
}

// AskInvited asks for the passkey that somebody chooses in place of a password, by the
// link of an invitation or of a reset. It returns what the browser is told;
// ErrConfirmation; and ErrPasskeysOff and ErrFactor where none may be chosen.
func (a *Accounts) AskInvited(ctx context.Context, link model.Secret) ([]byte, error) {
	c, err := a.invited(ctx, link)
	if err == nil {
		err = a.store.View(ctx, func(tx *store.Tx) error {
			user, err := tx.User(c.UserID)
			if err != nil {
				return err
			}
			return a.keyable(tx, user)
		})
	}
	if err != nil {
		return nil, spent(err)
	}
	return a.AskNewPasskey(ctx, linkHolder(c), c.UserID)
}

// Keyable reports whether the person of a link may choose a passkey.
func (a *Accounts) Keyable(ctx context.Context, id model.UserID) (yes bool, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) error {
		user, err := tx.User(id)
		if err != nil {
			return err
		}
		err = a.keyable(tx, user)
		if yes = err == nil; errors.Is(err, ErrPasskeysOff) || errors.Is(err, ErrFactor) {
			return nil
		}
		return err
	})
	return yes, spent(err)
}

// AcceptPasskey is Accept for a passkey in place of a password: one that there was is
// good no more. It returns ErrConfirmation, ErrLocked, ErrFactor, and the errors of
// AddPasskey.
func (a *Accounts) AcceptPasskey(ctx context.Context, by Answer, answer []byte) error {
	c, err := a.invited(ctx, by.Link)
	if err != nil {
		return err
	}
	k, err := a.newPasskey(ctx, NewPasskey{Holder: linkHolder(c), User: c.UserID, Answer: answer})
	if err != nil {
		return err
	}
	actor := themselves(c.UserID, by.Address)
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		return a.useLost(tx, c, func(tx *store.Tx, user model.User) error {
			if err := a.accepted(tx, c, user, by); err != nil {
				return err
			}
			if err := a.keyable(tx, user); err != nil {
				return err
			}
			if err := a.dropPassword(tx, actor, user); err != nil {
				return err
			}
			if err := a.addPasskey(tx, actor, k); err != nil {
				return err
			}
			return a.endOthers(tx, user.ID, "")
		})
	})
	if errors.Is(err, store.ErrConflict) {
		err = ErrPasskeyTaken
	}
	if err != nil {
		return spent(err)
	}
	if c.Purpose == model.ConfirmReset {
		a.notifyOf(ctx, c.UserID, notice{What: mail.PasskeyAdded, From: by.Address})
	}
	return nil
}

// dropPassword takes the password from somebody who has another way in.
func (a *Accounts) dropPassword(tx *store.Tx, actor model.Actor, user model.User) error {
	if user.PasswordHash == "" {
		return nil
	}
	if err := tx.SetPassword(user.ID, "", 0); err != nil {
		return err
	}
	err := tx.Tell(a.about(model.EventCredentialChange, user.ID, model.SignalDetail{ChangeType: "delete", Initiator: initiator(actor, user.ID)}))
	if err != nil {
		return err
	}
	return tx.Record(model.Event{Actor: actor, Action: "password.remove", UserID: user.ID})
}
