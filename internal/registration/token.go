package registration

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// NewToken is what an operator says about an initial access token.
type NewToken struct {
	Name string
	Uses int64 // how many registrations; 0: any number
	Life int64 // seconds; 0: it does not expire
}

// CreateToken makes an initial access token, which is returned once.
//
// Errors: *InvalidClientError.
func (r *Registrar) CreateToken(ctx context.Context, by model.Actor, n NewToken) (model.RegistrationToken, model.Secret, error) {
	if !text(n.Name, 200) {
		return model.RegistrationToken{}, "", invalid("name", "it must be at most 200 bytes of text")
	}
	if n.Uses < 0 || n.Life < 0 {
		return model.RegistrationToken{}, "", invalid("uses", "it must not be negative")
	}
	secret := model.NewSecret(initialPrefix)
	t := model.RegistrationToken{ID: model.NewID(), Hash: secret.Hash(), Name: n.Name, Uses: n.Uses, CreatedAt: r.unix(), ExpiresAt: r.secretEnd(n.Life)}
	err := r.Store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.InsertRegistrationToken(t); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: by, Action: "registration_token.create", Detail: "token=" + t.ID})
	})
	if err != nil {
		return model.RegistrationToken{}, "", err
	}
	return t, secret, nil
}

// Tokens lists the initial access tokens, good or not.
func (r *Registrar) Tokens(ctx context.Context) (all []model.RegistrationToken, err error) {
	err = r.Store.View(ctx, func(tx *store.Tx) (err error) { all, err = tx.RegistrationTokens(); return err })
	return all, err
}

// RevokeToken makes an initial access token useless. What was
// registered with it stays.
//
// Errors: store.ErrNotFound.
func (r *Registrar) RevokeToken(ctx context.Context, by model.Actor, id string) error {
	return r.Store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.DeleteRegistrationToken(id); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: by, Action: "registration_token.revoke", Detail: "token=" + id})
	})
}

// errInitial is the one answer to every initial access token that is not good.
func errInitial(cause error) *Error {
	return &Error{Code: InvalidToken, Description: "The initial access token is not valid, was used up, or has expired", cause: cause}
}

// checkInitial looks whether an initial access token is good, before anything is
// done for whoever sent it. It is used up together with the registration.
func (r *Registrar) checkInitial(ctx context.Context, token model.Secret) error {
	if token == "" {
		if r.Policy.Mode == ModeToken {
			return fail(InvalidToken, "An initial access token is required")
		}
		return nil
	}
	var t model.RegistrationToken
	err := r.Store.View(ctx, func(tx *store.Tx) (err error) { t, err = tx.RegistrationToken(token.Hash()); return err })
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errInitial(err)
	case err != nil:
		return err
	case t.ExpiresAt != 0 && t.ExpiresAt <= r.unix(), t.Uses != 0 && t.Used >= t.Uses:
		return errInitial(errors.New("the token has expired or is used up"))
	}
	return nil
}
