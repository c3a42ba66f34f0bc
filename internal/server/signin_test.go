package server_test

import (
	"context"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

// sessionOf begins a session without a browser.
func sessionOf(ctx context.Context, a *account.Accounts, login string, password model.Secret) (account.Entry, error) {
	holder, t := model.NewID(), account.Attempt{Login: login, Password: password}
	if err := a.Password(ctx, holder, t); err != nil {
		return account.Entry{}, err
	}
	return a.Finish(ctx, holder, account.Wanted{}, t)
}
