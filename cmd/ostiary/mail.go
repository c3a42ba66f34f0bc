package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/urfave/cli/v3"
)

func (sh shell) mailTest() *cli.Command {
	return &cli.Command{
		Name: "test", ArgsUsage: "ADDRESS", Usage: "send a letter and say whether the mail server has taken it",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			to := a.command.Args().First()
			err := a.Mail.Deliver(ctx, mail.Letter{Kind: mail.Test, To: to, At: time.Now().Unix()})
			switch {
			case errors.Is(err, mail.ErrOff):
				return err
			case err != nil:
				return fmt.Errorf("the letter to %s was not sent by %s: %w", to, a.Config.Mail.Server, err)
			}
			return sh.say(a.command, map[string]any{"to": to, "server": a.Config.Mail.Server, "taken": true}, "The mail server %s has taken the letter to %s.", a.Config.Mail.Server, to)
		}),
	}
}

// flushTime bounds how long a command waits for the mail server.
const flushTime = time.Minute

// flush sends the letters that a command has written: nobody does it later. It
// reports whether all went out; what the command was for is done all the same.
func (sh shell) flush(ctx context.Context, parts *server.Parts) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
	defer cancel()
	if err := parts.Mail.Flush(ctx); err != nil {
		fmt.Fprintf(sh.stderr, "The letter was not sent: %v\n", err)
		return false
	}
	return true
}
