package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ostiary/ostiary/internal/audit"
	"github.com/urfave/cli/v3"
)

// verifiedRecord is the outcome of a verification in JSON; times are unix seconds.
type verifiedRecord struct {
	Sound    bool   `json:"sound"`
	Entries  int64  `json:"entries,omitempty"`
	Since    int64  `json:"since,omitempty"`    // when the chain was begun
	Earlier  int64  `json:"earlier,omitempty"`  // position up to which the entries are of an earlier chain
	Unmarked int64  `json:"unmarked,omitempty"` // position up to which marks mean nothing
	First    int64  `json:"first,omitempty"`    // position
	Head     string `json:"head,omitempty"`
	Position int64  `json:"position,omitempty"` // of what is wrong
	Reason   string `json:"reason,omitempty"`
}

func (sh shell) auditVerify() *cli.Command {
	return &cli.Command{
		Name: "verify", Usage: "make sure that nobody has changed the audit log; if somebody has, say where, with exit code 1",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "head", Usage: "a `HEAD` that ostiary audit head printed earlier and that you kept elsewhere: it must still be in the log"},
		},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			var check audit.Check
			if text := a.command.String("head"); text != "" {
				var err error
				if check.Known, err = audit.ParsePoint(text); err != nil {
					return usagef("--head: %v", err)
				}
			}
			_, err := a.Audit.Seal(ctx)
			var r audit.Report
			if err == nil {
				progress, done := sh.progress()
				check.Progress = progress
				r, err = a.Audit.Verify(ctx, check)
				done()
			}
			if broken, ok := errors.AsType[audit.Broken](err); ok && a.command.Bool("json") {
				err = errors.Join(err, sh.printJSON(verifiedRecord{Position: broken.Position, Reason: broken.Reason}))
			}
			if err != nil {
				return err
			}
			return sh.say(a.command, verifiedRecord{
				Sound: true, Entries: r.Entries, Since: r.Since, Earlier: r.Earlier, Unmarked: r.Unmarked, First: r.Begin.Position + 1, Head: r.End.String(),
			}, "Nobody has changed the audit log: %d entries, from position %d to %d, in a chain begun on %s.%s",
				r.Entries, r.Begin.Position+1, r.End.Position, when(r.Since), unmarked(r))
		}),
	}
}

// unmarked tells of entries that nothing vouches for, or nothing did before they
// were sealed.
func unmarked(r audit.Report) string {
	text := ""
	if r.Earlier > 0 {
		text = fmt.Sprintf("\nUp to position %d they are of an earlier chain, and nothing shows whether they were changed.", r.Earlier)
	}
	if r.Unmarked > max(r.Earlier, r.Begin.Position) {
		text += fmt.Sprintf("\nUp to position %d they could be changed until they were sealed.", r.Unmarked)
	}
	return text
}

func (sh shell) auditBegin() *cli.Command {
	return &cli.Command{
		Name: "begin", Usage: "begin a new chain, for a new master key or a log that somebody has changed; what is there is not verified any more",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "yes", Usage: "do not ask"}},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			if err := sh.confirm(a.command.Bool("yes"), "Give up verifying what is in the audit log?"); err != nil {
				return err
			}
			if err := a.Audit.Begin(ctx, a.actor); err != nil {
				return err
			}
			if _, err := a.Audit.Seal(ctx); err != nil {
				return err
			}
			return sh.say(a.command, map[string]bool{"begun": true}, "A new chain is begun. What was written before can be listed, but not verified.")
		}),
	}
}

// progress tells on a terminal how far something long has got; done takes it away.
func (sh shell) progress() (tell func(done, of int64), done func()) {
	if !onTerminal(sh.stderr) {
		return nil, func() {}
	}
	var told time.Time
	shown := false
	tell = func(done, of int64) {
		if time.Since(told) > 200*time.Millisecond {
			told, shown = time.Now(), true
			fmt.Fprintf(sh.stderr, "\r%d of %d entries", done, of)
		}
	}
	return tell, func() {
		if shown {
			fmt.Fprint(sh.stderr, "\r\x1b[K") // ECMA-48 §8.3.41, erase in line
		}
	}
}

func (sh shell) auditHead() *cli.Command {
	return &cli.Command{
		Name: "head", Usage: "print where the audit log ends, to be kept elsewhere and given to ostiary audit verify --head",
		Action: sh.administer(func(ctx context.Context, a admin) error {
			if _, err := a.Audit.Seal(ctx); err != nil {
				return err
			}
			head, err := a.Audit.Head(ctx)
			if err != nil {
				return err
			}
			return sh.say(a.command, map[string]any{"head": head.End.String(), "position": head.End.Position, "seal": head.End.Seal}, "%s", head.End)
		}),
	}
}
