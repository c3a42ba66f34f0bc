package account

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Invitation is a link that an administrator makes for somebody.
type Invitation struct {
	User      model.User
	Link      string // secret: whoever opens it chooses the password, once
	ExpiresAt int64
	Mailed    bool // a letter with it is on its way
}

// Invite makes an account without a password, whose person chooses one by a link,
// once and within InvitationLife: in a letter, if there is a mail server and the
// profile has an address, and in what it returns. To use the link of a letter confirms
// the address. It returns ErrInvitesOff, ErrInvalid and ErrLoginTaken.
func (a *Accounts) Invite(ctx context.Context, actor model.Actor, n NewUser) (Invitation, error) {
	if !a.invites {
		return Invitation{}, ErrInvitesOff
	}
	if n.Password != "" {
		return Invitation{}, ErrInvalid{"password", "is chosen by who is invited"}
	}
	if login, err := normalizeLogin(n.Login); err == nil && n.Profile.Email == "" && email(login) == "" {
		n.Profile.Email = login
	}
	n.Profile.EmailVerified = false
	user, err := a.newUser(ctx, n)
	if err != nil {
		return Invitation{}, err
	}
	return a.offer(ctx, actor, user, offering{mail.Invite, model.ConfirmInvite, "user.invite", func(tx *store.Tx) error {
		return insertUser(tx, actor, user)
	}})
}

// Reset lets a person choose a new password by a link, as Invite does: in a letter
// to the address that they have confirmed, and in what it returns. Until it is used
// everything is as before. An older link of theirs is good no more. It returns
// ErrNoUser.
func (a *Accounts) Reset(ctx context.Context, actor model.Actor, id model.UserID) (Invitation, error) {
	user, err := a.User(ctx, id)
	if err != nil {
		return Invitation{}, err
	}
	o := offering{mail.Reset, model.ConfirmReset, "user.reset", nil}
	if user.PasswordAt == 0 && !user.Profile.EmailVerified { // the invitation was lost
		o.kind, o.purpose = mail.Invite, model.ConfirmInvite
	}
	return a.offer(ctx, actor, user, o)
}

// offering is how a link is offered.
type offering struct {
	kind    mail.Kind
	purpose string
	event   string
	first   func(*store.Tx) error // nil: nothing
}

func (a *Accounts) offer(ctx context.Context, actor model.Actor, user model.User, o offering) (Invitation, error) {
	c, l := a.draftConfirmation(o.purpose, Asker{}, InvitationLife)
	c.UserID = user.ID
	mailed := a.Mails() && user.Profile.Email != "" && (o.kind == mail.Invite || user.Profile.EmailVerified)
	if mailed {
		c.Address = user.Profile.Email
	}
	l.Kind, l.To, l.User, l.Language, l.Login = o.kind, c.Address, user.ID, user.Profile.Locale, user.Login
	detail := map[bool]string{true: "by a letter", false: "by a link"}[mailed]
	err := a.update(ctx, func(tx *store.Tx) error {
		if o.first != nil {
			if err := o.first(tx); err != nil {
				return err
			}
		}
		for _, purpose := range []string{model.ConfirmInvite, model.ConfirmReset} {
			if err := tx.DropConfirmations(user.ID, purpose); err != nil {
				return err
			}
		}
		if err := tx.InsertConfirmation(c); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: o.event, UserID: user.ID, Detail: detail})
	})
	if err != nil {
		return Invitation{}, err
	}
	if mailed {
		a.send(ctx, l)
	}
	return Invitation{User: outward(user), Link: l.Link, ExpiresAt: c.ExpiresAt, Mailed: mailed}, nil
}

// Accept gives the person of an invitation, or of a reset, the password that they
// chose. Their address is confirmed by it if the link went there and nowhere else
// has anybody confirmed it; a link that went to another address than they have now
// is not valid. It returns their login; or ErrConfirmation, ErrInvalid and
// ErrBusy.
func (a *Accounts) Accept(ctx context.Context, by Answer, password model.Secret) (string, error) {
	c, err := a.invited(ctx, by.Link)
	if err != nil {
		return "", err
	}
	var login string
	err = a.setLost(ctx, c, password, by.Address, func(tx *store.Tx, user model.User) error {
		login = user.Login
		return a.accepted(tx, c, user, by)
	})
	return login, err
}

// invited finds the confirmation of an invitation, or of a reset, by its link.
func (a *Accounts) invited(ctx context.Context, link model.Secret) (model.Confirmation, error) {
	c, err := a.linked(ctx, link)
	if err == nil && c.Purpose != model.ConfirmInvite && c.Purpose != model.ConfirmReset {
		err = ErrConfirmation
	}
	return c, err
}

// accepted agrees that somebody uses their link, and confirms the address that it went
// to.
func (a *Accounts) accepted(tx *store.Tx, c model.Confirmation, user model.User, by Answer) error {
	if user.Status != model.UserActive {
		return ErrLocked
	}
	if c.Address != "" && c.Address != user.Profile.Email {
		return store.ErrNotFound // the letter went to an address that is theirs no more
	}
	if c.Purpose == model.ConfirmInvite && c.Address != "" && !user.Profile.EmailVerified {
		if err := free(tx, user.ID, c.Address); errors.Is(err, ErrLoginTaken) {
			return nil // it is another's, and stays unconfirmed here
		} else if err != nil {
			return err
		}
		return a.confirmMail(tx, themselves(user.ID, by.Address), user, c.Address)
	}
	return nil
}
