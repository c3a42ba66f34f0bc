package account

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// AppliesByMail says whether an account of that login is made when a letter to it is
// answered: it is an address, and there is a mail server.
func (a *Accounts) AppliesByMail(login string) bool {
	normal, err := normalizeLogin(login)
	return err == nil && a.Mails() && email(normal) == ""
}

// Apply is SignUp for somebody whose login is an address. Their account is made when
// they answer the letter that goes there, so that nobody has another's address, and
// nothing remains of those who do not. If the address is somebody's already, they get
// a letter that says so, and whoever asked learns nothing: what is done here is the
// same. It returns ErrSignUpOff; ErrInvalid; ErrSignUpLimit and ErrLetterLimit;
// ErrBusy.
func (a *Accounts) Apply(ctx context.Context, name string, t Attempt, by Asker) error {
	user, err := a.applicant(name, t)
	if err != nil {
		return err
	}
	if by.Browser == "" || by.Holder == "" || email(user.Login) != "" {
		return ErrConfirmation
	}
	if err := a.admit(ctx, user.Login, t.Address); err != nil && !errors.Is(err, ErrLoginTaken) {
		return err
	}
	hash, err := a.newHash(ctx, t.Password)
	if err != nil {
		return err
	}
	send, err := a.admitLetter(ctx, user.Login, by.Address)
	if err != nil {
		return err
	}
	owner, err := a.owner(ctx, "", user.Login)
	if err != nil {
		return err
	}
	c, l := a.draftConfirmation(model.ConfirmSignUp, by, ConfirmationLife)
	c.Address, c.Data = user.Login, model.Pending{Login: user.Login, Name: user.Profile.Name, PasswordHash: hash}
	l.Kind, l.To = mail.Verify, user.Login
	if owner.ID != "" {
		c.CodeHash = "" // no code fits
		l = a.existsLetter(owner, by.Language)
	}
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.DropConfirmationsOf(by.Holder); err != nil {
			return err
		}
		if err := tx.InsertConfirmation(c); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: stranger(by.Address), Action: "sign_up.ask"})
	})
	if err == nil && send {
		a.send(ctx, l)
	}
	return err
}
