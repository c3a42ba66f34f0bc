package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/urfave/cli/v3"
)

// movedRecord is a move in JSON.
type movedRecord struct {
	From    string       `json:"from"`
	To      string       `json:"to"`
	Rows    int64        `json:"rows"`
	Seconds float64      `json:"seconds"`
	Tables  []movedTable `json:"tables"`
}

type movedTable struct {
	Name   string       `json:"name"`
	Rows   int64        `json:"rows"`
	Digest store.Digest `json:"digest"` // the same on both sides
}

func (sh shell) move() *cli.Command {
	return &cli.Command{
		Name: "move", Usage: "carry everything from one database to another, such as from SQLite to PostgreSQL; the server must be stopped",
		Description: "Every row is copied, read back and compared; then the old database says where it has moved, and no server starts\n" +
			"on it any more. If anything fails, nothing is left in the new one. The master key stays where it is.",
		Flags: append(places(),
			&cli.StringFlag{Name: "from", Usage: "`URL` of the database as it is", DefaultText: "that of the settings"},
			&cli.StringFlag{Name: "to", Usage: "`URL` of the new one, which is empty: postgres://USER@HOST/NAME, with the password in PGPASSWORD or ~/.pgpass, or sqlite:PATH"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			s, err := sh.read(c)
			if err != nil {
				return err
			}
			m := server.Move{From: c.String("from"), To: c.String("to")}
			if m.To == "" {
				return usagef("--to is missing: say where everything moves, such as --to postgres://USER@HOST/NAME")
			}
			if m.From == "" {
				m.From = s.Database
			}
			for name, address := range map[string]string{"--from": m.From, "--to": m.To} {
				if err := database(&settings{}, address); err != nil {
					return usagef("%s: %v", name, err)
				}
			}
			s.Database = m.From
			if err := s.exists(); err != nil {
				return err
			}
			tell, done := sh.gauge("rows, each twice")
			m.Progress = tell
			began := time.Now()
			moved, err := s.Config.Move(ctx, m)
			done()
			if err != nil {
				return moveError(err)
			}
			return sh.tellMoved(c, m, moved, time.Since(began))
		},
	}
}

func moveError(err error) error {
	if errors.Is(err, store.ErrInUse) {
		return fmt.Errorf("nothing was moved: a server is running on the database: stop it, on every node (%w)", err)
	}
	return fmt.Errorf("nothing was moved: %w", err)
}

func (sh shell) tellMoved(c *cli.Command, m server.Move, moved store.Moving, took time.Duration) error {
	r := movedRecord{From: store.Where(m.From), To: store.Where(m.To), Rows: moved.Rows, Seconds: took.Seconds()}
	for _, t := range moved.Tables {
		r.Tables = append(r.Tables, movedTable{t.Table.Name, t.Sum.Rows, t.Sum.Digest})
	}
	return sh.say(c, r, "Moved %d rows in %d tables to %s in %s. Each is the same on both sides, and nobody has changed the audit log.\n"+
		"Set --database to the new one, and start the server. The old one, %s, is as it was, and starts no server any more.",
		r.Rows, len(r.Tables), r.To, took.Round(time.Second/10), r.From)
}
