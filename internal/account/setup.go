package account

import (
	"context"
	"errors"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// SetupLinkLife is how long a setup link can be used.
const SetupLinkLife = 24 * time.Hour

const (
	setupPurpose = "setup"
	setupPrefix  = "ost_su_"
	// setupSetting holds the hash of the one setup link that counts.
	setupSetting = "account.setup-link"
)

// SetupLink returns a new token with which somebody can make the first account,
// an administrator, once and within SetupLinkLife. An older one stops working.
// It returns ErrAlreadySetUp as soon as there is any account.
func (a *Accounts) SetupLink(ctx context.Context) (model.Secret, error) {
	token := model.NewSecret(setupPrefix)
	err := a.store.Update(ctx, func(tx *store.Tx) error {
		if err := nobodyYet(tx); err != nil {
			return err
		}
		now := a.unix()
		older, err := tx.Setting(setupSetting)
		if err == nil {
			_, err = tx.UseLink(older, setupPurpose, now)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		link := store.Link{Hash: token.Hash(), Purpose: setupPurpose, ExpiresAt: now + int64(SetupLinkLife/time.Second)}
		if err := tx.InsertLink(link); err != nil {
			return err
		}
		if err := tx.PutSetting(setupSetting, link.Hash); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: model.Actor{Kind: model.ActorSystem}, Action: "setup.offer"})
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// CompleteSetup makes the first account, an administrator, and uses the token
// up. Of two who try at once, one succeeds. It returns ErrSetupLink,
// ErrAlreadySetUp, ErrInvalid and ErrBusy; after ErrInvalid the token can be
// tried again.
func (a *Accounts) CompleteSetup(ctx context.Context, token model.Secret, n NewUser, address string) (model.User, error) {
	// First the token: a stranger without it shall not have a password hashed.
	if err := a.CheckSetup(ctx, token); err != nil {
		return model.User{}, err
	}
	if n.Password == "" {
		return model.User{}, ErrInvalid{"password", Missing}
	}
	n.Admin = true
	user, err := a.newUser(ctx, n)
	if err != nil {
		return model.User{}, err
	}
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		if err := nobodyYet(tx); err != nil {
			return err
		}
		if _, err := tx.UseLink(token.Hash(), setupPurpose, a.unix()); err != nil {
			return err
		}
		return insertUser(tx, stranger(address), user)
	})
	if errors.Is(err, store.ErrNotFound) {
		err = ErrSetupLink
	}
	if err != nil {
		return model.User{}, err
	}
	return outward(user), nil
}

// CheckSetup reports whether a setup token can be used, by returning nil,
// ErrSetupLink or ErrAlreadySetUp.
func (a *Accounts) CheckSetup(ctx context.Context, token model.Secret) error {
	if token == "" || len(token) > maxCookie {
		return ErrSetupLink
	}
	err := a.store.View(ctx, func(tx *store.Tx) error {
		if err := nobodyYet(tx); err != nil {
			return err
		}
		_, err := tx.Link(token.Hash(), setupPurpose, a.unix())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return ErrSetupLink
	}
	return err
}

func nobodyYet(tx *store.Tx) error {
	n, err := tx.CountUsers()
	if err == nil && n > 0 {
		err = ErrAlreadySetUp
	}
	return err
}
