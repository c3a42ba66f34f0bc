package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/urfave/cli/v3"
)

func (sh shell) userPasskey() *cli.Command {
	return &cli.Command{
		Name: "passkey", Usage: "the passkeys of a person",
		Commands: []*cli.Command{sh.userPasskeyList(), sh.userPasskeyRemove()},
	}
}

func (sh shell) userPasskeyList() *cli.Command {
	return &cli.Command{
		Name: "list", ArgsUsage: "LOGIN", Usage: "list the passkeys of a person",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.user(ctx)
			if err != nil {
				return err
			}
			list, _, err := a.Accounts.Passkeys(ctx, u.ID)
			if err != nil {
				return err
			}
			t := table{
				columns: []string{"NAME", "SEVERAL DEVICES", "ADDED", "LAST USED", "ID"},
				values:  append([]model.Passkey{}, list...), empty: u.Login + " has no passkeys.",
			}
			for _, k := range list {
				used := ""
				if k.UsedAt != 0 {
					used = when(k.UsedAt)
				}
				t.rows = append(t.rows, []string{k.Name, yes(k.BackedUp), when(k.CreatedAt), used, string(k.ID)})
			}
			return sh.printTable(a.command, t)
		}),
	}
}

func (sh shell) userPasskeyRemove() *cli.Command {
	return &cli.Command{
		Name: "remove", ArgsUsage: "LOGIN ID", Usage: "take one passkey from a person, such as that of a device that was lost",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.user(ctx)
			if err != nil {
				return err
			}
			ref := account.PasskeyRef{User: u.ID, ID: model.PasskeyID(a.command.Args().Get(1))}
			err = a.Accounts.RemovePasskey(ctx, a.actor, ref)
			if errors.Is(err, account.ErrPasskeyUnknown) {
				return fmt.Errorf("%s has no passkey %q: see \"ostiary user passkey list %s\"", u.Login, ref.ID, u.Login)
			}
			if err != nil {
				return err
			}
			return sh.say(a.command, map[string]any{"id": ref.ID}, "The passkey is removed. Sessions that were begun with it go on: ostiary user sign-out %s ends them.", u.Login)
		}),
	}
}
