package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/urfave/cli/v3"
)

// createdClient is a client in JSON together with the secret that is told once,
// RFC 7591 §3.2.1.
type createdClient struct {
	model.Client
	Secret string `json:"client_secret,omitempty"`
}

func (sh shell) client() *cli.Command {
	return &cli.Command{
		Name: "client", Usage: "applications that can ask for tokens", Flags: places(),
		Commands: []*cli.Command{
			sh.clientCreate(), sh.clientList(), sh.clientShow(), sh.clientUpdate(), sh.clientDelete(), sh.clientExport(),
			{
				Name: "secret", Usage: "the secrets of a client, at most two at a time",
				Commands: []*cli.Command{sh.secretAdd(), sh.secretList(), sh.secretRemove()},
			},
		},
	}
}

func (sh shell) clientCreate() *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "register an application; its secret is printed once",
		Description: "A web application needs --redirect-uri; a program that acts for itself needs none.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "id", Usage: "`ID` of the client, the client_id", DefaultText: "random"},
		}, clientFlags()...),
		Action: sh.administer(func(ctx context.Context, a admin) error {
			settings, err := changed(a.command, model.ClientSettings{})
			if err != nil {
				return err
			}
			id := a.command.String("id")
			client, secret, err := a.Registrar.CreateClient(ctx, a.actor, settings, model.ClientID(id))
			if errors.Is(err, store.ErrConflict) {
				return fmt.Errorf("there is a client %q already: choose another --id", id)
			}
			if err != nil {
				return clientError(a.command, err)
			}
			fields := slices.Insert(clientFields(client), 1, field{"Secret", secret.Reveal()})
			if err := sh.printRecord(a.command, createdClient{client, secret.Reveal()}, fields...); err != nil {
				return err
			}
			if secret != "" {
				fmt.Fprintln(sh.stderr, "The secret is not shown again.")
			}
			return nil
		}),
	}
}

func (sh shell) clientList() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list all applications",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			clients, err := a.clients(ctx)
			if err != nil {
				return err
			}
			t := table{columns: []string{"CLIENT", "NAME", "GRANTS", "AUTHENTICATION", "STATUS", "CREATED"}, values: clients, empty: "There are no clients."}
			for _, c := range clients {
				t.rows = append(t.rows, []string{string(c.ID), c.Name, strings.Join(c.GrantTypes, " "), c.AuthMethod, clientStatus(c), when(c.CreatedAt)})
			}
			return sh.printTable(a.command, t)
		}),
	}
}

func (sh shell) clientShow() *cli.Command {
	return &cli.Command{
		Name: "show", ArgsUsage: "CLIENT", Usage: "show the settings of an application",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			client, err := a.client(ctx)
			if err != nil {
				return err
			}
			return sh.printRecord(a.command, client, clientFields(client)...)
		}),
	}
}

func (sh shell) clientUpdate() *cli.Command {
	return &cli.Command{
		Name: "update", ArgsUsage: "CLIENT", Usage: "change settings of an application: those that are given, the others stay",
		Flags: append(clientFlags(), &cli.BoolFlag{Name: "disabled", Usage: "put the application out now; --disabled=false lets it in again"}),
		Action: sh.administer(func(ctx context.Context, a admin) error {
			client, err := a.Registrar.ReviseClient(ctx, a.actor, model.ClientID(a.command.Args().First()), func(s model.ClientSettings) (model.ClientSettings, error) {
				return changed(a.command, s)
			})
			if err != nil {
				return clientError(a.command, err)
			}
			if c := a.command; c.IsSet("disabled") {
				if client, err = a.Registrar.DisableClient(ctx, a.actor, client.ID, c.Bool("disabled")); err != nil {
					return clientError(c, err)
				}
			}
			return sh.printRecord(a.command, client, clientFields(client)...)
		}),
	}
}

func (sh shell) clientDelete() *cli.Command {
	return &cli.Command{
		Name: "delete", ArgsUsage: "CLIENT", Usage: "delete an application and end its tokens",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "yes", Usage: "do not ask"}},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			client, err := a.client(ctx)
			if err != nil {
				return err
			}
			if err := sh.confirm(a.command.Bool("yes"), fmt.Sprintf("Delete the client %s %s?", client.ID, client.Name)); err != nil {
				return err
			}
			if err := a.Registrar.DeleteClient(ctx, a.actor, client.ID); err != nil {
				return clientError(a.command, err)
			}
			return sh.say(a.command, map[string]any{"client_id": client.ID, "deleted": true}, "Deleted %s.", client.ID)
		}),
	}
}

func clientStatus(c model.Client) string {
	if c.Disabled {
		return "disabled"
	}
	return "active"
}

func clientFields(c model.Client) []field {
	fields := []field{{"Client", string(c.ID)}}
	for _, one := range clientSettings {
		fields = append(fields, field{one.title, one.value.show(c.ClientSettings)})
	}
	fields = append(fields, field{"Status", clientStatus(c)}, field{"Created", when(c.CreatedAt)}, field{"Changed", when(c.UpdatedAt)})
	return fields
}

func (a admin) client(ctx context.Context) (client model.Client, err error) {
	err = a.Store.View(ctx, func(tx *store.Tx) (err error) {
		client, err = tx.Client(model.ClientID(a.command.Args().First()))
		return err
	})
	return client, clientError(a.command, err)
}

func (a admin) clients(ctx context.Context) ([]model.Client, error) {
	all := []model.Client{}
	for after, more := model.ClientID(""), true; more; {
		var page []model.Client
		err := a.Store.View(ctx, func(tx *store.Tx) (err error) {
			page, err = tx.Clients(after, pageSize)
			return err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if more = len(page) == pageSize; more {
			after = page[len(page)-1].ID
		}
	}
	return all, nil
}

// clientError says which client or which flag an error is about.
func clientError(c *cli.Command, err error) error {
	var wrong *registration.InvalidClientError
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("there is no client %q: see ostiary client list", c.Args().First())
	case errors.As(err, &wrong):
		if flag := memberFlag(wrong.Setting); flag != "" {
			return usagef("--%s: %s", flag, wrong.Reason)
		}
		return usagef("%v", wrong)
	}
	return err
}
