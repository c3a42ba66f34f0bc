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
	hash, err := a.passwords.Hash(ctx, t.Password)
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

// Join makes the account of an application whose letter was answered in this browser,
// and notes under the request of its sign-in what its person has proven: the password
// that they chose and their address. It returns ErrConfirmation, and ErrLoginTaken if
// somebody has that address by now.
func (a *Accounts) Join(ctx context.Context, holder string, browser model.Secret, address string) error {
	c, err := a.answeredAt(ctx, model.ConfirmSignUp, holder, browser)
	if err != nil {
		return err
	}
	user, err := a.draft(NewUser{Login: c.Data.Login, Profile: model.Profile{Name: c.Data.Name, Email: c.Address, EmailVerified: true}})
	if err != nil {
		return err
	}
	user.PasswordHash, user.PasswordAt = c.Data.PasswordHash, user.CreatedAt
	return spent(a.update(ctx, func(tx *store.Tx) error {
		if err := tx.UseConfirmation(c.ID, a.unix()); err != nil {
			return err
		}
		if err := free(tx, user.ID, c.Address); err != nil {
			return err
		}
		if err := insertUser(tx, stranger(address), user); err != nil {
			return err
		}
		if err := tx.Record(model.Event{Actor: themselves(user.ID, address), Action: "mail.verify", UserID: user.ID}); err != nil {
			return err
		}
		err := a.proved(tx, holder, Proven{User: user.ID, Hash: user.PasswordHash, Factor: model.Factor{Method: model.MethodPassword}})
		if err != nil {
			return err
		}
		return a.proved(tx, holder, Proven{User: user.ID, Factor: model.Factor{Method: model.MethodMail, At: c.ProvenAt}})
	}))
}

// answeredAt is what waits, at the request of a sign-in, to be done after a letter was
// answered in this browser.
func (a *Accounts) answeredAt(ctx context.Context, purpose, holder string, browser model.Secret) (model.Confirmation, error) {
	c, err := a.WaitingAt(ctx, purpose, holder, browser)
	if err == nil && c.ProvenAt == 0 {
		err = ErrConfirmation
	}
	return c, err
}

// ProvedByMail notes under the request of a sign-in that its person has answered a
// letter, in this browser. It returns ErrConfirmation, ErrCredentials and ErrLocked.
func (a *Accounts) ProvedByMail(ctx context.Context, holder string, browser model.Secret) (err error) {
	defer func() { a.tried(model.MethodMail, err) }()
	c, err := a.answeredAt(ctx, model.ConfirmSignIn, holder, browser)
	if err != nil {
		return err
	}
	return spent(a.store.Upkeep(ctx, func(tx *store.Tx) error {
		if err := tx.UseConfirmation(c.ID, a.unix()); err != nil {
			return err
		}
		user, err := tx.User(c.UserID)
		if err != nil {
			return err
		}
		if !user.Profile.EmailVerified || user.Profile.Email != c.Address {
			return ErrCredentials
		}
		return a.proved(tx, holder, Proven{User: c.UserID, Factor: model.Factor{Method: model.MethodMail, At: c.ProvenAt}})
	}))
}
