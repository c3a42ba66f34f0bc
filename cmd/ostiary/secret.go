package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/urfave/cli/v3"
)

// secretRecord is a secret of a client in JSON; times are unix seconds. The
// secret itself is there once, when it was made.
type secretRecord struct {
	ID        model.SecretID `json:"id"`
	ClientID  model.ClientID `json:"client_id"`
	Secret    string         `json:"client_secret,omitempty"`
	CreatedAt int64          `json:"created_at"`
	ExpiresAt int64          `json:"expires_at,omitempty"`
}

func (sh shell) secretAdd() *cli.Command {
	return &cli.Command{
		Name: "add", ArgsUsage: "CLIENT", Usage: "make a further secret and print it once; the older one keeps working",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			row, secret, err := a.Registrar.AddSecret(ctx, a.actor, model.ClientID(a.command.Args().First()))
			if err != nil {
				return clientError(a.command, err)
			}
			err = sh.printRecord(a.command, secretRecord{row.ID, row.ClientID, secret.Reveal(), row.CreatedAt, row.ExpiresAt},
				field{"Client", string(row.ClientID)}, field{"Secret ID", string(row.ID)}, field{"Secret", secret.Reveal()})
			if err == nil {
				fmt.Fprintln(sh.stderr, "The secret is not shown again.")
			}
			return err
		}),
	}
}

func (sh shell) secretList() *cli.Command {
	return &cli.Command{
		Name: "list", ArgsUsage: "CLIENT", Usage: "list the secrets of a client, without telling them",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			client, err := a.client(ctx)
			if err != nil {
				return err
			}
			var secrets []model.ClientSecret
			err = a.Store.View(ctx, func(tx *store.Tx) (err error) {
				secrets, err = tx.ClientSecrets(client.ID)
				return err
			})
			if err != nil {
				return err
			}
			t := table{columns: []string{"SECRET ID", "CREATED", "EXPIRES"}, empty: "The client has no secret."}
			records := []secretRecord{}
			for _, s := range secrets {
				records = append(records, secretRecord{s.ID, s.ClientID, "", s.CreatedAt, s.ExpiresAt})
				t.rows = append(t.rows, []string{string(s.ID), when(s.CreatedAt), when(s.ExpiresAt)})
			}
			t.values = records
			return sh.printTable(a.command, t)
		}),
	}
}

func (sh shell) secretRemove() *cli.Command {
	return &cli.Command{
		Name: "remove", ArgsUsage: "CLIENT SECRET-ID", Usage: "make a secret useless at once",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			client, err := a.client(ctx)
			if err != nil {
				return err
			}
			id := model.SecretID(a.command.Args().Get(1))
			err = a.Registrar.RemoveSecret(ctx, a.actor, client.ID, id)
			if errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("the client has no secret %q: see ostiary client secret list %s", id, client.ID)
			}
			if err != nil {
				return err
			}
			return sh.say(a.command, map[string]any{"id": id, "client_id": client.ID, "deleted": true}, "Removed the secret %s.", id)
		}),
	}
}
