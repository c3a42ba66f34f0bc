package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/urfave/cli/v3"
)

// admin is what the commands that administer a server work with.
type admin struct {
	*server.Parts
	command *cli.Command
	actor   model.Actor
}

// administer makes an action of a rule: it opens the server's database, does
// the one thing, and closes it.
func (sh shell) administer(do func(context.Context, admin) error) cli.ActionFunc {
	return sh.administerWith(func(*settings) {}, do)
}

// administerWith is administer with other settings than those that were given.
func (sh shell) administerWith(change func(*settings), do func(context.Context, admin) error) cli.ActionFunc {
	return func(ctx context.Context, c *cli.Command) error {
		s, err := sh.read(c)
		if err != nil {
			return err
		}
		change(&s)
		if err := s.exists(); err != nil {
			return err
		}
		s.MustExist = true
		s.Logger = slog.New(slog.DiscardHandler) // what went wrong is printed, once
		parts, err := server.Open(ctx, s.Config)
		if err != nil {
			return err
		}
		err = do(ctx, admin{parts, c, operator()})
		sh.flush(ctx, parts)
		return errors.Join(err, parts.Close())
	}
}

// exists refuses to administer what is not there: opening would create an empty
// server, and a mistyped folder would look like one without users.
func (s settings) exists() error {
	path, embedded := strings.CutPrefix(s.Database, "sqlite:")
	if !embedded {
		return nil
	}
	path, _, _ = strings.Cut(path, "?")
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("there is no server's database at %s: correct --data or --database, or start the server once with ostiary serve", path)
	}
	return nil
}

// operator is whoever typed the command, for the audit log.
func operator() model.Actor {
	actor := model.Actor{Kind: model.ActorShell}
	if u, err := user.Current(); err == nil {
		actor.ID = u.Username
	}
	return actor
}
