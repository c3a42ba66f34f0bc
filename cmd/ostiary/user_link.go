package main

import (
	"context"
	"strconv"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/urfave/cli/v3"
)

func (sh shell) userInvite() *cli.Command {
	return &cli.Command{
		Name: "invite", ArgsUsage: "LOGIN", Usage: "create a person who chooses the password, by a link: mailed, if there is a mail server and an address",
		Flags: userFlags(),
		Action: sh.administer(func(ctx context.Context, a admin) error {
			c := a.command
			profile, err := changedProfile(c, model.Profile{})
			if err != nil {
				return err
			}
			in, err := a.Accounts.Invite(ctx, a.actor, account.NewUser{Login: c.Args().First(), Admin: c.Bool("admin"), Profile: profile})
			if err != nil {
				return userError(c, err)
			}
			return sh.sayLink(c, in)
		}),
	}
}

func (sh shell) userReset() *cli.Command {
	return &cli.Command{
		Name: "reset", ArgsUsage: "LOGIN", Usage: "let a person choose a new password, by a link: mailed, if there is a mail server and a confirmed address",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.user(ctx)
			if err != nil {
				return err
			}
			in, err := a.Accounts.Reset(ctx, a.actor, u.ID)
			if err != nil {
				return userError(a.command, err)
			}
			return sh.sayLink(a.command, in)
		}),
	}
}

// sayLink shows the link of an invitation, once.
func (sh shell) sayLink(c *cli.Command, in account.Invitation) error {
	value := map[string]any{"id": in.User.ID, "login": in.User.Login, "link": in.Link, "expires_at": in.ExpiresAt, "mailed": in.Mailed}
	if in.Mailed {
		return sh.say(c, value, "A letter to %s is on its way. The same link, good once until %s:\n%s", in.User.Profile.Email, when(in.ExpiresAt), in.Link)
	}
	return sh.say(c, value, "Give %s this link, good once until %s:\n%s", in.User.Login, when(in.ExpiresAt), in.Link)
}

func (sh shell) userGroups() *cli.Command {
	return &cli.Command{
		Name: "groups", Usage: "list the groups that people are in",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			groups, err := a.Accounts.Groups(ctx)
			if err != nil {
				return err
			}
			t := table{columns: []string{"GROUP", "PEOPLE"}, values: append([]account.Group{}, groups...), empty: "Nobody is in a group."}
			for _, g := range groups {
				t.rows = append(t.rows, []string{g.Name, strconv.FormatInt(g.People, 10)})
			}
			return sh.printTable(a.command, t)
		}),
	}
}
