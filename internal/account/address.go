package account

import (
	"context"
	"errors"
	"strings"

	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// AskMail sends a letter to an address that a person says is theirs, their present
// one or another, and returns the ID of what waits for its code. If it is another
// account's, it gets a letter that says so, and nobody else learns of it. It returns
// ErrMailOff, ErrInvalid, ErrNoUser, ErrLetterLimit, and ErrNoSession if that of the
// asker is over.
func (a *Accounts) AskMail(ctx context.Context, id model.UserID, address string, by Asker) (string, error) {
	if !a.Mails() {
		return "", ErrMailOff
	}
	address = strings.TrimSpace(address)
	if reason := email(address); reason != "" {
		return "", ErrInvalid{"email", reason}
	}
	if by.Browser == "" {
		return "", ErrConfirmation
	}
	user, err := a.User(ctx, id)
	if err != nil {
		return "", err
	}
	if followed(user) && !strings.EqualFold(user.Profile.Email, address) { // it becomes their login
		var wrong ErrInvalid
		if _, err := newLogin(address); errors.As(err, &wrong) {
			return "", ErrInvalid{"email", wrong.Reason}
		}
	}
	send, err := a.admitLetter(ctx, address, by.Address)
	if err != nil {
		return "", err
	}
	owner, err := a.owner(ctx, id, address)
	if err != nil {
		return "", err
	}
	c, l := a.draftConfirmation(model.ConfirmMail, by, ConfirmationLife)
	c.UserID, c.Address = id, address
	l.Kind, l.To, l.User, l.Login = mail.Verify, address, id, user.Login
	if owner.ID != "" {
		c.CodeHash = "" // no code fits
		l = a.existsLetter(owner, by.Language)
	}
	err = a.update(ctx, func(tx *store.Tx) error {
		if err := a.withinAny(tx, id, by.Session); err != nil {
			return err
		}
		if err := tx.DropConfirmations(id, model.ConfirmMail); err != nil {
			return err
		}
		if err := tx.InsertConfirmation(c); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: themselves(id, by.Address), Action: "mail.ask", UserID: id})
	})
	if err != nil {
		return "", err
	}
	if send {
		a.send(ctx, l)
	}
	return c.ID, nil
}

// existsLetter tells somebody that an address of theirs was given by somebody else.
func (a *Accounts) existsLetter(owner model.User, language string) mail.Letter {
	if owner.Profile.Locale != "" {
		language = owner.Profile.Locale
	}
	to := owner.Profile.Email
	if to == "" {
		to = owner.Login
	}
	return mail.Letter{Kind: mail.Exists, To: to, Language: language, Login: owner.Login, User: owner.ID, Link: a.issuer + "/account"}
}

// owner is whoever else has an address: confirmed, or as their login.
func (a *Accounts) owner(ctx context.Context, but model.UserID, address string) (user model.User, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		user, err = ownerOf(tx, but, address)
		return err
	})
	return user, err
}

func ownerOf(tx *store.Tx, but model.UserID, address string) (model.User, error) {
	if login, err := normalizeLogin(address); err == nil {
		user, err := tx.UserByLogin(login)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return model.User{}, err
		}
		if err == nil && user.ID != but {
			// A letter goes to the very address, and not to where they have moved to.
			user.Profile.Email = address
			return outward(user), nil
		}
	}
	list, err := tx.UsersByEmail(address)
	if err != nil {
		return model.User{}, err
	}
	for _, user := range list {
		if user.ID != but {
			return outward(user), nil
		}
	}
	return model.User{}, nil
}

// free says whether nobody but one person has an address, or ErrLoginTaken.
func free(tx *store.Tx, but model.UserID, address string) error {
	owner, err := ownerOf(tx, but, address)
	if err == nil && owner.ID != "" {
		err = ErrLoginTaken
	}
	return err
}

// vouched says whether an administrator may say of a person that their address is
// confirmed: nobody else may have it. It returns ErrAddressTaken. Where they said so
// before of the same one, nothing new is said.
func vouched(tx *store.Tx, before, after model.User) error {
	if !after.Profile.EmailVerified || before.Profile.EmailVerified && strings.EqualFold(before.Profile.Email, after.Profile.Email) {
		return nil
	}
	err := free(tx, after.ID, after.Profile.Email)
	if errors.Is(err, ErrLoginTaken) {
		err = ErrAddressTaken
	}
	return err
}

// ConfirmMail takes the answer to a letter of AskMail: the address becomes that of
// the account, confirmed. If it replaces another one that was confirmed, a letter goes
// there by which the change can be undone for UndoLife; a login that is the old
// address changes with it. It returns the person; or ErrCode, ErrConfirmation,
// ErrElsewhereAsked and ErrLoginTaken.
func (a *Accounts) ConfirmMail(ctx context.Context, by Answer) (model.User, error) {
	c, err := a.answered(ctx, model.ConfirmMail, by)
	if err != nil {
		return model.User{}, err
	}
	undo, farewell := a.draftConfirmation(model.ConfirmUndo, Asker{}, UndoLife)
	var before, user model.User
	moved := false
	err = a.update(ctx, func(tx *store.Tx) (err error) {
		if err := tx.UseConfirmation(c.ID, a.unix()); err != nil {
			return err
		}
		if by.User != "" && by.User != c.UserID {
			return store.ErrNotFound
		}
		if before, err = tx.User(c.UserID); err != nil {
			return err
		}
		if before.Status != model.UserActive {
			return store.ErrNotFound
		}
		if err := free(tx, c.UserID, c.Address); err != nil {
			return err
		}
		moved = before.Profile.EmailVerified && !strings.EqualFold(before.Profile.Email, c.Address)
		if moved {
			if err := letUndo(tx, &undo, before, c.Address); err != nil {
				return err
			}
		}
		if before.Profile.Email != c.Address {
			if err := a.leaveAddress(tx, before); err != nil {
				return err
			}
		}
		return a.confirmMail(tx, themselves(c.UserID, by.Address), before, c.Address)
	})
	if err != nil {
		return model.User{}, spent(err)
	}
	if moved {
		farewell.Kind, farewell.To, farewell.User, farewell.Login = mail.Moved, before.Profile.Email, before.ID, before.Login
		farewell.Language, farewell.At, farewell.From = before.Profile.Locale, a.unix(), by.Address
		a.send(ctx, farewell)
	}
	if user, err = a.User(ctx, c.UserID); err == nil {
		a.notify(ctx, user, notice{What: mail.Address, From: by.Address})
	}
	return user, err
}

// letUndo lets the owner of the address that a person leaves undo the change. Each
// such letter is younger than the one before, also within a second: whoever got one
// in between cannot keep an earlier owner from undoing all of it.
func letUndo(tx *store.Tx, undo *model.Confirmation, before model.User, address string) error {
	last, err := tx.LastConfirmation(before.ID, model.ConfirmUndo)
	if err != nil {
		return err
	}
	undo.CreatedAt = max(undo.CreatedAt, last+1)
	undo.UserID, undo.Address, undo.Data = before.ID, before.Profile.Email, model.Pending{Address: address}
	if followed(before) {
		undo.Data.Login = before.Login
	}
	return tx.InsertConfirmation(*undo)
}

// leaveAddress makes void what waits for an answer from the address that a person
// has until now, and what an answer from there has proven on the way to a session.
func (a *Accounts) leaveAddress(tx *store.Tx, before model.User) error {
	if err := tx.DropLetters(before.ID, before.Profile.Email); err != nil {
		return err
	}
	return tx.DeleteSignIns(before.ID)
}

// followed reports whether the login of a person is their address, so that it goes
// with it.
func followed(user model.User) bool {
	login, err := normalizeLogin(user.Profile.Email)
	return err == nil && login == user.Login
}

// confirmMail makes an address that of a person, confirmed.
func (a *Accounts) confirmMail(tx *store.Tx, actor model.Actor, user model.User, address string) error {
	before := user
	user.Profile.Email, user.Profile.EmailVerified, user.UpdatedAt = address, true, a.unix()
	action := "mail.verify"
	if !strings.EqualFold(before.Profile.Email, address) {
		action = "mail.change"
		if followed(before) {
			var err error
			if user.Login, err = normalizeLogin(address); err != nil {
				return err
			}
		}
	}
	if err := tx.UpdateUser(user); err != nil {
		return err
	}
	if err := tellProfile(tx, actor, before.Profile, user); err != nil {
		return err
	}
	return tx.Record(model.Event{Actor: actor, Action: action, UserID: user.ID})
}

// UndoMail gives a person the address back that they had before, with the login if
// that had changed with it, and ends all that is theirs: whoever changed it was
// signed in. Every browser is asked for a second factor again. It returns
// ErrConfirmation, and ErrLoginTaken if somebody else has that address now.
func (a *Accounts) UndoMail(ctx context.Context, by Answer) (model.User, error) {
	c, err := a.answered(ctx, model.ConfirmUndo, Answer{Link: by.Link})
	if err != nil {
		return model.User{}, err
	}
	var user model.User
	err = a.update(ctx, func(tx *store.Tx) (err error) {
		if err := tx.UseConfirmation(c.ID, a.unix()); err != nil {
			return err
		}
		if user, err = tx.User(c.UserID); err != nil {
			return err
		}
		if err := free(tx, c.UserID, c.Address); err != nil {
			return err
		}
		before, actor := user.Profile, themselves(c.UserID, by.Address)
		if c.Data.Login != "" && followed(user) { // and nobody has given them another one since
			user.Login = c.Data.Login
		}
		user.Profile.Email, user.Profile.EmailVerified, user.UpdatedAt = c.Address, true, a.unix()
		if err := tx.UpdateUser(user); err != nil {
			return err
		}
		// What went to other addresses; but whoever had the account before this one
		// can go back further.
		if err := tx.DropConfirmationsSince(c); err != nil {
			return err
		}
		if err := a.distrust(tx, c.UserID); err != nil {
			return err
		}
		if err := tellProfile(tx, actor, before, user); err != nil {
			return err
		}
		if err := tx.EndUser(c.UserID, a.ending(model.CauseCredentialChange)); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "mail.undo", UserID: c.UserID})
	})
	return outward(user), spent(err)
}
