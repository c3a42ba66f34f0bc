package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/urfave/cli/v3"
)

// createdToken is an initial access token in JSON together with itself, which is
// told once.
type createdToken struct {
	model.RegistrationToken
	Token string `json:"token"`
}

func (sh shell) registrationTokenCreate() *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "make an initial access token, for an application that registers itself; it is printed once",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "`NAME` that tells you who has it"},
			&cli.IntFlag{Name: "uses", Usage: "`NUMBER` of registrations that it is good for; 0: any number", Value: 1},
			&cli.StringFlag{Name: "expires", Usage: "`TIME` after which it is worth nothing; never: it does not expire", Value: "7d"},
		},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			n := registration.NewToken{Name: a.command.String("name"), Uses: int64(a.command.Int("uses"))}
			if n.Uses < 0 {
				return usagef("--uses: it must not be negative")
			}
			if text := a.command.String("expires"); text != "never" {
				d, err := duration(text)
				if err != nil {
					return usagef("--expires: %v", err)
				}
				n.Life = int64(d / time.Second)
			}
			t, secret, err := a.Registrar.CreateToken(ctx, a.actor, n)
			var wrong *registration.InvalidClientError
			if errors.As(err, &wrong) {
				return usagef("--%s: %s", wrong.Setting, wrong.Reason)
			}
			if err != nil {
				return err
			}
			err = sh.printRecord(a.command, createdToken{t, secret.Reveal()},
				field{"ID", t.ID}, field{"Token", secret.Reveal()}, field{"Name", t.Name}, field{"Uses", uses(t)}, field{"Expires", when(t.ExpiresAt)})
			if err != nil {
				return err
			}
			fmt.Fprintln(sh.stderr, "The token is not shown again.")
			if a.Config.Registration.Mode != registration.ModeToken && a.Config.Registration.Mode != registration.ModeOpen {
				fmt.Fprintln(sh.stderr, "It works as soon as the server runs with --registration token.")
			}
			return nil
		}),
	}
}

func (sh shell) registrationTokenList() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the initial access tokens",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			all, err := a.Registrar.Tokens(ctx)
			if err != nil {
				return err
			}
			if all == nil {
				all = []model.RegistrationToken{}
			}
			t := table{columns: []string{"ID", "NAME", "USED", "STATUS", "CREATED", "EXPIRES"}, values: all, empty: "There are no initial access tokens."}
			for _, r := range all {
				t.rows = append(t.rows, []string{r.ID, r.Name, uses(r), tokenStatus(r, a.Config.Now().Unix()), when(r.CreatedAt), when(r.ExpiresAt)})
			}
			return sh.printTable(a.command, t)
		}),
	}
}

func (sh shell) registrationTokenRevoke() *cli.Command {
	return &cli.Command{
		Name: "revoke", ArgsUsage: "ID", Usage: "make an initial access token useless; what was registered with it stays",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			id := a.command.Args().First()
			err := a.Registrar.RevokeToken(ctx, a.actor, id)
			if errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("there is no initial access token %q: see ostiary registration token list", id)
			}
			if err != nil {
				return err
			}
			return sh.say(a.command, map[string]any{"id": id, "revoked": true}, "Revoked %s.", id)
		}),
	}
}

// uses is how often a token was used, of how many times.
func uses(t model.RegistrationToken) string {
	if t.Uses == 0 {
		return strconv.FormatInt(t.Used, 10)
	}
	return fmt.Sprintf("%d of %d", t.Used, t.Uses)
}

func tokenStatus(t model.RegistrationToken, now int64) string {
	switch {
	case t.ExpiresAt != 0 && t.ExpiresAt <= now:
		return "expired"
	case t.Uses != 0 && t.Used >= t.Uses:
		return "used up"
	}
	return "good"
}
