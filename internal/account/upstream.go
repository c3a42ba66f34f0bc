package account

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// What stands here is for those who know people by the word of another house. They
// bring a transaction of their own, so that what they note of a person and what is
// noted here are true together.

// Note is Proved in a transaction of the caller's. It returns the same errors.
func (a *Accounts) Note(tx *store.Tx, holder string, p Proven) error { return a.proved(tx, holder, p) }

// Draft checks a person who shall get an account, but for their password, and inserts
// nobody. It returns ErrInvalid.
func (a *Accounts) Draft(n NewUser) (model.User, error) { return a.draft(n) }

// Insert adds a person of whom there is a draft. It returns ErrLoginTaken.
func (a *Accounts) Insert(tx *store.Tx, actor model.Actor, user model.User) error {
	err := insertUser(tx, actor, user)
	if errors.Is(err, store.ErrConflict) {
		err = ErrLoginTaken
	}
	return err
}

// Revise gives a person another profile, if it is another one. With another address,
// what waits for an answer from the one before is void, and what they have proven on the
// way to a session. It returns ErrInvalid and store.ErrNotFound.
func (a *Accounts) Revise(tx *store.Tx, actor model.Actor, id model.UserID, change func(*model.Profile)) (changed bool, err error) {
	user, err := tx.User(id)
	if err != nil {
		return false, err
	}
	was, before := user, user.Profile
	user.Profile.Groups = slices.Clone(before.Groups)
	change(&user.Profile)
	if len(user.Profile.Groups) == 0 {
		user.Profile.Groups = nil
	}
	if reflect.DeepEqual(before, user.Profile) {
		return false, nil
	}
	if err := checkProfile(user.Profile); err != nil {
		return false, err
	}
	user.UpdatedAt = a.unix()
	if err := tx.UpdateUser(user); err != nil {
		return false, err
	}
	if before.Email != "" && before.Email != user.Profile.Email {
		if err := a.leaveAddress(tx, was); err != nil {
			return false, err
		}
	}
	if err := tellProfile(tx, actor, before, user); err != nil {
		return false, err
	}
	return true, tx.Record(model.Event{Actor: actor, Action: "user.update", UserID: id, Detail: "profile"})
}

// TellIdentity tells those who know a person that they can sign in, or can no more,
// with an account that they have elsewhere. change is "create" or "delete".
func (a *Accounts) TellIdentity(tx *store.Tx, actor model.Actor, id model.UserID, change string) error {
	return tx.Tell(a.about(model.EventCredentialChange, id, model.SignalDetail{
		CredentialType: model.CredentialFederated, ChangeType: change, Initiator: initiator(actor, id),
	}))
}

// IdentityChanged writes a person a letter about it, after the commit.
func (a *Accounts) IdentityChanged(ctx context.Context, id model.UserID, added bool, address string) {
	n := notice{What: mail.IdentityGone, From: address}
	if added {
		n.What = mail.IdentityAdded
	}
	a.notifyOf(ctx, id, n)
}

// Free says whether nobody else has an address: as their login, or as one that they
// have confirmed. It returns ErrLoginTaken.
func Free(tx *store.Tx, but model.UserID, address string) error { return free(tx, but, address) }

// HasWay reports whether a person can sign in as things stand in a transaction.
func (a *Accounts) HasWay(tx *store.Tx, id model.UserID) (bool, error) {
	user, n, err := tx.UserAndFactors(id)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(a.allowed(methodsOf(user, n), user, nil), isFirst), nil
}

// Guessed says of whom a password is that is compared elsewhere.
type Guessed struct {
	Where string     // which house knows it
	Login string     // as it was typed there
	User  model.User // who that is here; zero: nobody is known
}

// Guess slows down, as Prove does, whoever tries passwords that are compared elsewhere.
// compare returns ErrCredentials for a wrong one. It returns that, what compare returns,
// and ErrTooSoon, whatever the password is.
func (a *Accounts) Guess(ctx context.Context, w Guessed, t Attempt, compare func() error) error {
	t.Login, t.User, t.page = "", "", true
	g := a.newGuess("password", w.User, t)
	g.elsewhere(w.Where, w.Login)
	if err := a.admitGuess(ctx, &g); err != nil {
		return err
	}
	err := compare()
	if errors.Is(err, ErrCredentials) {
		return a.failed(ctx, g, err)
	}
	return errors.Join(err, a.takeBack(ctx, g, err == nil))
}

// Stranger is whoever does something at a network address before anybody knows who
// they are.
func Stranger(address string) model.Actor { return stranger(address) }

// Themselves is a person who acts for themselves, at a network address.
func Themselves(id model.UserID, address string) model.Actor { return themselves(id, address) }

// OneLine makes text of somebody else's fit for a line of ours.
func OneLine(s string, most int) string { return printable(s, most) }

// Fit leaves out of a profile what no profile may have, and says why. Groups are none
// of its business.
func Fit(p model.Profile) (model.Profile, []error) {
	var wrong []error
	for _, name := range []*string{&p.Name, &p.GivenName, &p.FamilyName, &p.MiddleName, &p.Nickname, &p.PreferredUsername} {
		if reason := nameReason(*name); reason != "" {
			wrong = append(wrong, ErrInvalid{"name", reason})
			*name = ""
		}
	}
	for _, c := range claimsOf(&p) {
		if reason := c.check(); reason != "" {
			wrong = append(wrong, ErrInvalid{c.name, reason})
			*c.value = ""
		}
	}
	return p, wrong
}

// CheckName says whether people may give themselves a name. It returns ErrInvalid.
func CheckName(name string) error {
	if reason := nameReason(name); reason != "" {
		return ErrInvalid{"name", reason}
	}
	return nil
}
