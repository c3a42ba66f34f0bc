package main

import (
	"context"
	"slices"
	"strconv"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/urfave/cli/v3"
)

func (sh shell) userInvite() *cli.Command {
	return &cli.Command{
		Name: "invite", ArgsUsage: "LOGIN", Usage: "create a person who chooses the password, by a link: mailed, if there is a mail server and an address",
		Flags: slices.DeleteFunc(userFlags(), func(f cli.Flag) bool { return f.Names()[0] == "email-verified" }), // the letter finds out
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
			return sh.sayLink(ctx, a, in)
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
			return sh.sayLink(ctx, a, in)
		}),
	}
}

// sayLink shows the link of an invitation, once, and whether its letter has gone out.
func (sh shell) sayLink(ctx context.Context, a admin, in account.Invitation) error {
	c := a.command
	in.Mailed = in.Mailed && sh.flush(ctx, a.Parts)
	value := map[string]any{"id": in.User.ID, "login": in.User.Login, "link": in.Link, "expires_at": in.ExpiresAt, "mailed": in.Mailed}
	if in.Mailed {
		return sh.say(c, value, "A letter went to %s. The same link, good once until %s:\n%s", in.User.Profile.Email, when(in.ExpiresAt), in.Link)
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
