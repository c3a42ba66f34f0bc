package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/urfave/cli/v3"
)

func (sh shell) userIdentities() *cli.Command {
	return &cli.Command{
		Name: "identities", ArgsUsage: "LOGIN", Usage: "list the accounts elsewhere with which a person signs in",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.user(ctx)
			if err != nil {
				return err
			}
			list, err := a.Federation.Identities(ctx, u.ID)
			if err != nil {
				return err
			}
			all := []model.Identity{}
			t := table{columns: []string{"IDENTITY", "PROVIDER", "NAME THERE", "ISSUER", "SUBJECT", "LAST USED"}, empty: "There are none."}
			for _, i := range list {
				all = append(all, i.Identity)
				t.rows = append(t.rows, []string{string(i.ID), string(i.UpstreamID), i.Name, i.Issuer, i.Subject, when(i.UsedAt)})
			}
			t.values = all
			return sh.printTable(a.command, t)
		}),
	}
}

func (sh shell) userConnect() *cli.Command {
	return &cli.Command{
		Name: "connect", ArgsUsage: "LOGIN UPSTREAM SUBJECT", Usage: "let a person sign in with an account elsewhere that is known to be theirs",
		Flags: []cli.Flag{&cli.StringFlag{Name: "subject-issuer", Usage: "`ISSUER` that names the subject: of oidc that of its ID tokens, of saml the entity ID, of ldap ldap:ID", Required: true}},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.user(ctx)
			if err != nil {
				return err
			}
			args := a.command.Args()
			id, err := a.Federation.Assign(ctx, a.actor, federation.Assigning{
				User: u.ID, Upstream: model.UpstreamID(args.Get(1)), Issuer: a.command.String("subject-issuer"), Subject: args.Get(2),
			})
			if err != nil {
				return upstreamError(args.Get(1), err)
			}
			return sh.say(a.command, id, "%s is %s at %s.", u.Login, id.Subject, id.UpstreamID)
		}),
	}
}

func (sh shell) userDisconnect() *cli.Command {
	return &cli.Command{
		Name: "disconnect", ArgsUsage: "LOGIN IDENTITY", Usage: "let a person sign in no more with an account elsewhere",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "yes", Usage: "do not ask"}},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			u, err := a.user(ctx)
			if err != nil {
				return err
			}
			id := a.command.Args().Get(1)
			if err := sh.confirm(a.command.Bool("yes"), fmt.Sprintf("Disconnect %s from %s?", u.Login, id)); err != nil {
				return err
			}
			err = a.Federation.Disconnect(ctx, a.actor, federation.Disconnecting{User: u.ID, ID: model.IdentityID(id)})
			if errors.Is(err, federation.ErrNoIdentity) || errors.Is(err, account.ErrNoUser) {
				return fmt.Errorf("%s has no identity %q: see ostiary user identities %s", u.Login, id, u.Login)
			}
			if err != nil {
				return err
			}
			return sh.say(a.command, map[string]any{"id": id, "user_id": u.ID, "removed": true}, "Disconnected %s.", u.Login)
		}),
	}
}
