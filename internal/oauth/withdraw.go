package oauth

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Access is what a client may have of a person.
type Access struct {
	Client   model.Client
	Logo     string   // hash of the client's logo, for Registrar.Logo; empty: none is kept
	Scope    []string // all that the person allowed, or that it holds
	Claims   []string // allowed one by one, beside what the scopes tell
	Since    int64    // when the person allowed it, or it had something first
	LastUsed int64    // 0: that is not remembered
	Live     bool     // it holds something now
}

// Accesses lists which clients may have something of a person: by their consent,
// or, where nobody asks for one, by what they hold.
//
// Errors: *Error.
func (a *Authority) Accesses(ctx context.Context, user model.UserID) ([]Access, error) {
	by := map[model.ClientID]*Access{}
	err := a.view(ctx, func(tx *store.Tx) error {
		clear(by)
		return gather(tx, user, by)
	})
	if err != nil {
		return nil, err
	}
	var list []Access
	for _, one := range by {
		list = append(list, *one)
	}
	slices.SortFunc(list, func(a, b Access) int {
		return cmp.Or(cmp.Compare(b.LastUsed, a.LastUsed), cmp.Compare(b.Since, a.Since), cmp.Compare(a.Client.ID, b.Client.ID))
	})
	return list, nil
}

func gather(tx *store.Tx, user model.UserID, by map[model.ClientID]*Access) error {
	of := func(id model.ClientID) *Access {
		if by[id] == nil {
			by[id] = &Access{}
		}
		return by[id]
	}
	consents, err := tx.ConsentsOf(user)
	if err != nil {
		return err
	}
	for _, c := range consents {
		of(c.ClientID).Scope, of(c.ClientID).Claims, of(c.ClientID).Since = c.Scope, c.Claims, c.GrantedAt
	}
	grants, err := tx.GrantsOf(user)
	if err != nil {
		return err
	}
	for _, g := range grants {
		one := of(g.ClientID)
		one.Live = true
		one.Scope = append(slices.Clone(one.Scope), without(g.Scope, one.Scope)...)
	}
	uses, err := tx.UsesOf(user)
	if err != nil {
		return err
	}
	for _, u := range uses {
		if one := by[u.ClientID]; one != nil {
			one.LastUsed = u.Last
			if one.Since == 0 || u.Since < one.Since {
				one.Since = u.Since
			}
		}
	}
	for id, one := range by {
		if one.Client, err = tx.Client(id); err != nil { // nothing is anybody's who is not there
			return err
		}
		logo, err := tx.LogoOf(id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		one.Logo = logo.Hash
	}
	return nil
}

// Withdraw takes back what a person has allowed a client and ends all that it holds
// of theirs, so that its tokens are refused as soon as APIs have heard of it. Of a
// client that has nothing, nothing is said.
//
// Errors: *Error.
func (a *Authority) Withdraw(ctx context.Context, actor model.Actor, user model.UserID, client model.ClientID) error {
	return a.update(ctx, func(tx *store.Tx) error {
		err := tx.DeleteConsent(user, client)
		none := errors.Is(err, store.ErrNotFound)
		if err != nil && !none {
			return err
		}
		ended, err := a.endGrantsTo(tx, user, client)
		if err != nil || none && !ended {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "consent.withdraw", UserID: user, ClientID: client})
	})
}

// endGrantsTo ends what a client holds of a person, and reports whether it held
// anything.
func (a *Authority) endGrantsTo(tx *store.Tx, user model.UserID, client model.ClientID) (ended bool, err error) {
	for more := true; more; { // the store lists a page at once
		more = false
		grants, err := tx.GrantsTo(user, client)
		if err != nil {
			return false, err
		}
		for _, g := range grants {
			if err := tx.EndGrant(g.ID, a.ending(model.CauseRevoked)); err != nil {
				return false, err
			}
			more, ended = true, true
		}
	}
	return ended, nil
}

// ClientName is what a client is called, "" where it has no name or is gone.
//
// Errors: *Error.
func (a *Authority) ClientName(ctx context.Context, id model.ClientID) (name string, err error) {
	err = a.view(ctx, func(tx *store.Tx) error {
		c, err := tx.Client(id)
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		name = c.Name
		return err
	})
	return name, err
}
