package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/urfave/cli/v3"
)

// sessionRecord is a session in JSON, with whose it is.
type sessionRecord struct {
	model.Session
	Login   string           `json:"login"`
	Clients []model.ClientID `json:"clients,omitempty"` // that have a part in it
}

func (sh shell) sessionList() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list who is signed in, and where",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "user", Usage: "only the sessions of the person with that `LOGIN`"},
			&cli.StringFlag{Name: "client", Usage: "only the sessions in which the application with that `ID` has a part"},
		},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			filter := account.SessionFilter{Client: model.ClientID(a.command.String("client")), Limit: pageSize}
			logins := map[model.UserID]string{}
			if name := a.command.String("user"); name != "" {
				u, err := a.userNamed(ctx, name)
				if err != nil {
					return err
				}
				filter.User, logins[u.ID] = u.ID, u.Login
			}
			records := []sessionRecord{}
			t := table{columns: []string{"LOGIN", "SINCE", "LAST SEEN", "ADDRESS", "BROWSER", "ID"}, empty: "Nobody is signed in."}
			for more := true; more; {
				page, err := a.Accounts.AllSessions(ctx, filter)
				if err != nil {
					return err
				}
				for _, s := range page {
					login, err := a.login(ctx, logins, s.UserID)
					if err != nil {
						return err
					}
					records = append(records, sessionRecord{Session: s, Login: login})
					t.rows = append(t.rows, []string{login, when(s.CreatedAt), when(s.SeenAt), s.Address, shortened(s.UserAgent, 40), string(s.ID)})
				}
				if more = len(page) == pageSize; more {
					filter.After = page[len(page)-1].ID
				}
			}
			t.values = records
			return sh.printTable(a.command, t)
		}),
	}
}

// login returns the login of a person, whom known may know.
func (a admin) login(ctx context.Context, known map[model.UserID]string, id model.UserID) (string, error) {
	if login, ok := known[id]; ok {
		return login, nil
	}
	u, err := a.Accounts.User(ctx, id)
	if errors.Is(err, account.ErrNoUser) {
		return "", nil // deleted this very moment
	}
	if err == nil {
		known[id] = u.Login
	}
	return u.Login, err
}

// shortened cuts what is too long for a column.
func shortened(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

func (sh shell) sessionShow() *cli.Command {
	return &cli.Command{
		Name: "show", ArgsUsage: "ID", Usage: "show a session and the applications that have a part in it",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			s, clients, err := a.Accounts.Session(ctx, model.SessionID(a.command.Args().First()))
			if err != nil {
				return sessionError(a.command.Args().First(), err)
			}
			login, err := a.login(ctx, map[model.UserID]string{}, s.UserID)
			if err != nil {
				return err
			}
			r := sessionRecord{Session: s, Login: login}
			var names []string
			for _, c := range clients {
				r.Clients = append(r.Clients, c.ID)
				names = append(names, string(c.ID))
			}
			return sh.printRecord(a.command, r,
				field{"ID", string(s.ID)}, field{"Login", login}, field{"Since", when(s.CreatedAt)}, field{"Signed in", when(s.AuthTime)},
				field{"Last seen", when(s.SeenAt)}, field{"Ends unless used", when(s.IdleAt)}, field{"Ends", when(s.ExpiresAt)},
				field{"Remembered", yes(s.Remember)}, field{"ACR", s.ACR}, field{"AMR", strings.Join(s.AMR, " ")},
				field{"Address", s.Address}, field{"Browser", s.UserAgent}, field{"Applications", strings.Join(names, ", ")})
		}),
	}
}

func (sh shell) sessionEnd() *cli.Command {
	return &cli.Command{
		Name: "end", ArgsUsage: "ID", Usage: "end a session now, with all that applications hold from it",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			id := a.command.Args().First()
			if err := a.Accounts.SignOut(ctx, a.actor, model.SessionID(id)); err != nil {
				return sessionError(id, err)
			}
			return sh.say(a.command, map[string]any{"id": id, "ended": true}, "Ended %s.", id)
		}),
	}
}

func (sh shell) sessionEndAll() *cli.Command {
	return &cli.Command{
		Name: "end-all", Usage: "end every session of everybody and make every token useless that was issued until now",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "yes", Usage: "do not ask"}},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			if err := sh.confirm(a.command.Bool("yes"), "Sign everybody out and revoke every token?"); err != nil {
				return err
			}
			if err := a.Accounts.SignOutEverybody(ctx, a.actor); err != nil {
				return err
			}
			return sh.say(a.command, map[string]any{"ended": true}, "Everybody is signed out, and no token is good that was issued until now.")
		}),
	}
}

func sessionError(id string, err error) error {
	if errors.Is(err, account.ErrNoSession) {
		return fmt.Errorf("there is no session %q, or it is over: see ostiary session list", id)
	}
	return err
}
