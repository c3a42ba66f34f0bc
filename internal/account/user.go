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

// NewUser is a person who shall get an account.
type NewUser struct {
	Login    string
	Password model.Secret // empty: the person cannot sign in with a password
	Admin    bool
	Profile  model.Profile
}

// Change is what Update changes of a person; nil leaves as it is.
type Change struct {
	Login   *string
	Admin   *bool
	Profile *model.Profile // the whole of it

	AddGroups, RemoveGroups []string // beside those of the profile

	SignIn *model.SignInPolicy // the whole of it

	Before *model.User // whose profile and policy were looked at for this; nil: nobody's
}

// Create adds a person. It returns ErrInvalid, ErrLoginTaken, ErrAddressTaken and
// ErrBusy.
func (a *Accounts) Create(ctx context.Context, actor model.Actor, n NewUser) (model.User, error) {
	user, err := a.newUser(ctx, n)
	if err != nil {
		return model.User{}, err
	}
	err = a.update(ctx, func(tx *store.Tx) error { return insertUser(tx, actor, user) })
	if err != nil {
		return model.User{}, err
	}
	return outward(user), nil
}

// newUser checks a person and hashes their password.
func (a *Accounts) newUser(ctx context.Context, n NewUser) (model.User, error) {
	user, err := a.draft(n)
	if err == nil && n.Password != "" {
		user.PasswordAt = user.CreatedAt
		user.PasswordHash, err = a.newHash(ctx, n.Password, user)
	}
	return user, err
}

// draft checks a person, but for their password.
func (a *Accounts) draft(n NewUser) (model.User, error) {
	login, err := newLogin(n.Login)
	if err != nil {
		return model.User{}, err
	}
	if err := checkProfile(n.Profile); err != nil {
		return model.User{}, err
	}
	now := a.unix()
	return model.User{
		ID:        model.UserID(model.NewID()),
		Login:     login,
		Status:    model.UserActive,
		Admin:     n.Admin,
		Profile:   n.Profile,
		CreatedAt: now,
		UpdatedAt: now,
	}, nil
}

func insertUser(tx *store.Tx, actor model.Actor, user model.User) error {
	if err := vouched(tx, model.User{}, user); err != nil {
		return err
	}
	if err := tx.InsertUser(user); err != nil {
		return err
	}
	return tx.Record(model.Event{Actor: actor, Action: "user.create", UserID: user.ID, Detail: "login=" + user.Login})
}

// User returns a person, or ErrNoUser.
func (a *Accounts) User(ctx context.Context, id model.UserID) (model.User, error) {
	return a.find(ctx, func(tx *store.Tx) (model.User, error) { return tx.User(id) })
}

// ByLogin returns the person with that login, however it is written, or
// ErrNoUser.
func (a *Accounts) ByLogin(ctx context.Context, login string) (model.User, error) {
	login, err := normalizeLogin(login)
	if err != nil {
		return model.User{}, ErrNoUser
	}
	return a.find(ctx, func(tx *store.Tx) (model.User, error) { return tx.UserByLogin(login) })
}

func (a *Accounts) find(ctx context.Context, read func(*store.Tx) (model.User, error)) (model.User, error) {
	var user model.User
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		user, err = read(tx)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return model.User{}, ErrNoUser
	}
	return outward(user), err
}

// UserFilter narrows a listing of people; what is empty does not.
type UserFilter = store.UserFilter

// List returns people by their ID, which nothing changes: so the pages of a listing
// show everybody once who was there all the time.
func (a *Accounts) List(ctx context.Context, f UserFilter) ([]model.User, error) {
	var list []model.User
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.SearchUsers(f)
		return err
	})
	for i := range list {
		list[i] = outward(list[i])
	}
	return list, err
}

// Group is a group and how many people are in it.
type Group = store.Group

// Groups lists the groups that people are in, by their name.
func (a *Accounts) Groups(ctx context.Context) ([]Group, error) {
	var list []Group
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Groups()
		return err
	})
	return list, err
}

// Update changes what is known of a person. It returns ErrInvalid, ErrNoUser,
// ErrLoginTaken, ErrAddressTaken and ErrLastAdmin; and ErrChanged where somebody else has
// changed what was looked at for it.
func (a *Accounts) Update(ctx context.Context, actor model.Actor, id model.UserID, c Change) (model.User, error) {
	detail := ""
	if c.Login != nil {
		login, err := newLogin(*c.Login)
		if err != nil {
			return model.User{}, err
		}
		c.Login = &login
		detail += " login=" + login
	}
	if c.Profile != nil {
		if err := checkProfile(*c.Profile); err != nil {
			return model.User{}, err
		}
		detail += " profile"
	}
	for _, g := range c.AddGroups {
		detail += " group+" + g
	}
	for _, g := range c.RemoveGroups {
		detail += " group-" + g
	}
	if c.SignIn != nil {
		if err := a.checkPolicy(*c.SignIn); err != nil {
			return model.User{}, err
		}
		detail += " sign_in"
	}
	if c.Admin != nil {
		detail += map[bool]string{true: " admin=true", false: " admin=false"}[*c.Admin]
	}
	if detail == "" {
		return a.User(ctx, id)
	}
	var user model.User
	err := a.update(ctx, func(tx *store.Tx) (err error) {
		if user, err = tx.User(id); err != nil {
			return err
		}
		if b := c.Before; b != nil && !(reflect.DeepEqual(b.Profile, user.Profile) && reflect.DeepEqual(b.SignIn, user.SignIn)) {
			return ErrChanged
		}
		if c.Admin != nil && !*c.Admin {
			if err := keepAdmin(tx, actor, user); err != nil {
				return err
			}
		}
		before := user
		c.apply(&user)
		if err := checkGroups(user.Profile.Groups); err != nil {
			return err
		}
		if err := vouched(tx, before, user); err != nil {
			return err
		}
		user.UpdatedAt = a.unix()
		if err := tx.UpdateUser(user); err != nil {
			return err
		}
		if before.Profile.Email != "" && before.Profile.Email != user.Profile.Email {
			if err := a.leaveAddress(tx, before); err != nil {
				return err
			}
		}
		if err := tellProfile(tx, actor, before.Profile, user); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "user.update", UserID: id, Detail: detail[1:]})
	})
	if err != nil {
		return model.User{}, err
	}
	return outward(user), nil
}

func (c Change) apply(u *model.User) {
	if c.Login != nil {
		u.Login = *c.Login
	}
	if c.Admin != nil {
		u.Admin = *c.Admin
	}
	if c.Profile != nil {
		u.Profile = *c.Profile
	}
	if c.SignIn != nil {
		u.SignIn = *c.SignIn
	}
	if len(c.AddGroups)+len(c.RemoveGroups) == 0 {
		return
	}
	groups := slices.DeleteFunc(slices.Clone(u.Profile.Groups), func(g string) bool { return slices.Contains(c.RemoveGroups, g) })
	for _, g := range c.AddGroups {
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	u.Profile.Groups = groups
}

// Lock keeps a person out and ends everything of theirs at once; locking again
// ends again. It returns ErrNoUser and ErrLastAdmin.
func (a *Accounts) Lock(ctx context.Context, actor model.Actor, id model.UserID) error {
	return a.update(ctx, func(tx *store.Tx) error {
		if err := tx.OverruleVerdicts(id); err != nil {
			return err
		}
		return a.lock(tx, actor, id, "")
	})
}

// lock is Lock for a reason of RISC 1.0 §2.3, or none.
func (a *Accounts) lock(tx *store.Tx, actor model.Actor, id model.UserID, reason string) error {
	user, err := tx.User(id)
	if err != nil {
		return err
	}
	if err := keepAdmin(tx, actor, user); err != nil {
		return err
	}
	if err := a.setStatus(tx, user, model.UserLocked); err != nil {
		return err
	}
	if err := tx.EndUser(id, a.ending(model.CauseAccountDisabled)); err != nil {
		return err
	}
	if user.Status == model.UserActive {
		if err := tx.Tell(a.about(model.EventAccountDisabled, id, model.SignalDetail{Reason: reason})); err != nil {
			return err
		}
	}
	return tx.Record(model.Event{Actor: actor, Action: "user.lock", UserID: id})
}

// Unlock lets a person sign in again; what was ended stays so. The log is told,
// so that APIs answer what is left of the old tokens with "sign in again" and no
// more with "this account is locked". Somebody who is not locked loses nothing. It
// returns ErrNoUser.
func (a *Accounts) Unlock(ctx context.Context, actor model.Actor, id model.UserID) error {
	return a.update(ctx, func(tx *store.Tx) error {
		if err := tx.OverruleVerdicts(id); err != nil {
			return err
		}
		return a.unlock(tx, actor, id)
	})
}

func (a *Accounts) unlock(tx *store.Tx, actor model.Actor, id model.UserID) error {
	user, err := tx.User(id)
	if err != nil {
		return err
	}
	if err := a.setStatus(tx, user, model.UserActive); err != nil {
		return err
	}
	if user.Status == model.UserLocked {
		if err := tx.EndUser(id, a.ending(model.CauseAdmin)); err != nil {
			return err
		}
		if err := tx.Tell(a.about(model.EventAccountEnabled, id, model.SignalDetail{})); err != nil {
			return err
		}
	}
	return tx.Record(model.Event{Actor: actor, Action: "user.unlock", UserID: id})
}

func (a *Accounts) setStatus(tx *store.Tx, user model.User, status model.UserStatus) error {
	user.Status, user.UpdatedAt = status, a.unix()
	return tx.UpdateUser(user)
}

// keepAdmin refuses to take the last administrator away. Whoever has the command
// may: they can make another one.
func keepAdmin(tx *store.Tx, actor model.Actor, leaving model.User) error {
	if actor.Kind == model.ActorShell || !leaving.Admin || leaving.Status != model.UserActive {
		return nil
	}
	n, err := tx.CountAdmins()
	if err == nil && n < 2 {
		err = ErrLastAdmin
	}
	return err
}

// Delete removes a person with all they have. Everything of theirs is ended
// first, so that their tokens die by the revocation log, which stays. It
// returns ErrNoUser and ErrLastAdmin.
func (a *Accounts) Delete(ctx context.Context, actor model.Actor, id model.UserID) error {
	var user model.User
	err := a.update(ctx, func(tx *store.Tx) (err error) {
		if user, err = tx.User(id); err != nil {
			return err
		}
		if err := keepAdmin(tx, actor, user); err != nil {
			return err
		}
		if err := tx.EndUser(id, a.ending(model.CauseAccountDisabled)); err != nil {
			return err
		}
		if err := tx.Tell(a.about(model.EventAccountPurged, id, model.SignalDetail{})); err != nil {
			return err
		}
		if err := tx.DeleteUser(id); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "user.delete", UserID: id, Detail: "login=" + user.Login})
	})
	if err == nil {
		a.notify(ctx, user, notice{Kind: mail.Deleted, From: actor.Address})
	}
	return err
}

// update runs a change of a person and gives the store's errors their names.
func (a *Accounts) update(ctx context.Context, fn func(*store.Tx) error) error {
	err := a.store.Update(ctx, fn)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return ErrNoUser
	case errors.Is(err, store.ErrConflict):
		return ErrLoginTaken
	}
	return err
}

// outward is a person as they leave this package: without the password hash,
// for which nobody outside has a use.
func outward(u model.User) model.User {
	u.PasswordHash = ""
	return u
}
