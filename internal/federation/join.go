package federation

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Stranger is somebody who has come back from a provider and is not known here yet.
type Stranger struct {
	Upstream Choice
	Name     string // by which they would know their account over there
	Mail     string // their address, of which the provider has made sure; empty: none
	// Known says that there is an account with that address, to which they may sign in.
	// Otherwise Profile and Login are those of the account that Join would make.
	Known   bool
	Profile model.Profile
	Login   string // a proposal; empty: they have to choose one
}

// Stranger returns who waits under a holder, or a Refusal that is Stale.
func (f *Federation) Stranger(ctx context.Context, holder string) (Stranger, error) {
	c, err := f.stranger(ctx, holder)
	if err != nil {
		return Stranger{}, err
	}
	s := Stranger{Upstream: c.entry.choice(), Name: c.told.name, Mail: c.told.mail, Known: c.stranger.UserID != "", Profile: c.told.profile}
	if !s.Known {
		s.Login, err = f.proposal(ctx, c.told)
	}
	return s, err
}

// stranger reads who waits under a holder.
func (f *Federation) stranger(ctx context.Context, holder string) (c coming, err error) {
	var row model.Stranger
	err = f.Store.View(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.Stranger(holder, f.unix())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return c, refuse(Stale, "nobody waits there")
	}
	if err != nil {
		return c, err
	}
	if c.entry, err = f.find(ctx, row.UpstreamID); err != nil {
		return c, err
	}
	text, err := f.Keys.Unseal(keys.PurposeStranger, holder, row.Content)
	if err != nil {
		return c, err
	}
	var w waiting
	if err := json.Unmarshal(text, &w); err != nil {
		return c, err
	}
	c.holder, c.person, c.remember = holder, w.Person, w.Remember
	if c, err = f.prepare(c); err != nil {
		return c, err
	}
	c.stranger = row
	return c, nil
}

// proposal is a login that is free, if what the provider has told gives one.
func (f *Federation) proposal(ctx context.Context, t told) (string, error) {
	local, _, _ := strings.Cut(t.mail, "@")
	for _, login := range []string{t.profile.PreferredUsername, t.mail, local, t.profile.Nickname} {
		if login == "" || strings.Contains(login, "@") && !strings.EqualFold(login, t.mail) {
			continue
		}
		draft, err := f.Accounts.Draft(account.NewUser{Login: login})
		if err != nil {
			continue
		}
		_, err = f.Accounts.ByLogin(ctx, draft.Login)
		if errors.Is(err, account.ErrNoUser) {
			return draft.Login, nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", nil
}

// Joining is what somebody says who gets an account.
type Joining struct {
	Holder  string
	Login   string
	Name    string // empty: as the provider tells
	Address string // network address
}

// ErrNotYours says that a login has the form of an address that is not known to be the
// person's.
var ErrNotYours = account.ErrInvalid{Field: "login", Reason: account.NotYours}

// Join makes the account of whoever waits under a holder, without a password, and notes
// that they have proven who they are. It has an address only if the provider has made
// sure of it and nobody else has it here. It returns a Refusal, account.ErrInvalid,
// account.ErrLoginTaken and account.ErrSignUpLimit.
func (f *Federation) Join(ctx context.Context, j Joining) error {
	c, err := f.stranger(ctx, j.Holder)
	if err != nil {
		return err
	}
	c.address = j.Address
	if c.stranger.UserID != "" || !c.entry.SignUp {
		return refuse(NoAccount, "no account is made")
	}
	if err := f.Accounts.AdmitSignUp(ctx, j.Address); err != nil {
		return err
	}
	n := account.NewUser{Login: j.Login, Profile: c.told.profile}
	if name := strings.TrimSpace(j.Name); name != "" {
		n.Profile.Name = name
	}
	user, err := f.Accounts.Draft(n)
	if err != nil {
		return err
	}
	if err := account.CheckName(n.Profile.Name); err != nil {
		return err
	}
	if strings.Contains(user.Login, "@") && !strings.EqualFold(user.Login, c.told.mail) {
		return ErrNotYours
	}
	err = f.Store.Update(ctx, func(tx *store.Tx) error { return f.join(tx, c, user) })
	if errors.Is(err, store.ErrNotFound) {
		return refuse(Stale, "nobody waits there")
	}
	return named(err)
}

func (f *Federation) join(tx *store.Tx, c coming, user model.User) error {
	if _, err := tx.TakeStranger(c.holder, f.unix()); err != nil {
		return err
	}
	if c.told.mail != "" {
		err := account.Free(tx, "", c.told.mail)
		if errors.Is(err, account.ErrLoginTaken) {
			user.Profile.Email, user.Profile.EmailVerified, err = "", false, nil
		}
		if err != nil {
			return err
		}
	}
	actor := model.Actor{Kind: model.ActorUpstream, ID: string(c.entry.ID), Address: c.address}
	if err := f.Accounts.Insert(tx, actor, user); err != nil {
		return err
	}
	id, err := f.link(tx, c, user.ID, linking{by: "sign_up", actor: actor})
	if err != nil {
		return err
	}
	return f.enter(tx, c, id)
}

// Settle connects whoever waits under a holder with the person of a session that has
// just begun there, if it is their address that both have: they have proven to be both.
// It says whether it did; whoever waited for somebody else is forgotten. It returns a
// Refusal.
func (f *Federation) Settle(ctx context.Context, holder string, session model.Session) (Choice, bool, error) {
	c, err := f.stranger(ctx, holder)
	var no *Refusal
	if errors.As(err, &no) && no.Code == Stale {
		return Choice{}, false, nil
	}
	if err != nil {
		return Choice{}, false, err
	}
	c.address = session.Address
	linked := false
	err = f.Store.Upkeep(ctx, func(tx *store.Tx) error {
		linked = false
		row, err := tx.TakeStranger(holder, f.unix())
		if err != nil {
			return err
		}
		if row.UserID != session.UserID {
			return nil
		}
		if err := tx.SessionLives(session.ID, f.unix()); err != nil {
			return err
		}
		user, err := tx.User(session.UserID)
		if err != nil || !user.Profile.EmailVerified || !strings.EqualFold(user.Profile.Email, c.told.mail) {
			return err
		}
		id, err := f.link(tx, c, user.ID, linking{by: "proof", actor: account.Themselves(user.ID, session.Address)})
		if err != nil {
			return err
		}
		linked = true
		return f.refresh(tx, c, id)
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Choice{}, false, nil // somebody else was faster, or the session is over
	case errors.Is(err, store.ErrConflict):
		err = refuse(Taken, "it was connected with another account meanwhile")
	}
	if linked && err == nil {
		f.Accounts.IdentityChanged(ctx, session.UserID, true, session.Address)
	}
	return c.entry.choice(), linked && err == nil, err
}

// Forget drops whoever waits under a holder.
func (f *Federation) Forget(ctx context.Context, holder string) error {
	return f.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.DropStranger(holder) })
}
