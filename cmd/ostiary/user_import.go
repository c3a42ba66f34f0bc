package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/urfave/cli/v3"
)

// maxReported is of how many rows is told what is wrong with them.
const maxReported = 100

func (sh shell) userImport() *cli.Command {
	return &cli.Command{
		Name: "import", ArgsUsage: "FILE", Usage: "bring people from elsewhere, with their password hashes: CSV, a JSON array or JSON lines",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "auto", Usage: "`FORMAT` of the file: csv, json, jsonl, or auto, by what it begins with"},
			&cli.StringFlag{Name: "existing", Value: account.ExistingFails, Usage: "what becomes of a row whose login is there already, a `WAY`: fail, skip, or update, which sets the profile and nothing that lets anybody in"},
			&cli.BoolFlag{Name: "dry-run", Usage: "only say what would happen"},
			&cli.BoolFlag{Name: "keep-going", Usage: "bring those who are right although others are wrong"},
			&cli.BoolFlag{Name: "allow-admin", Usage: "rows may make administrators"},
		},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			c := a.command
			if f := c.String("format"); f != "auto" && f != "csv" && f != "json" && f != "jsonl" {
				return usagef("--format: %q is none of auto, csv, json, jsonl", f)
			}
			i := importing{sh: sh, admin: a}
			// First everything is looked at; what is wrong anywhere keeps all out.
			i.options = account.ImportOptions{Existing: c.String("existing"), Admins: c.Bool("allow-admin"), KeepGoing: c.Bool("keep-going"), DryRun: true}
			if err := i.run(ctx); err != nil {
				return err
			}
			wrong := i.count[account.ImportFailed]
			if !c.Bool("dry-run") && (wrong == 0 || i.options.KeepGoing) {
				i.options.DryRun = false
				if err := i.run(ctx); err != nil {
					return err
				}
			}
			return i.report(wrong)
		}),
	}
}

// importing is one import by the command.
type importing struct {
	sh      shell
	admin   admin
	options account.ImportOptions
	count   map[string]int
	failed  []account.Imported
}

// run goes through the file once.
func (i *importing) run(ctx context.Context) error {
	i.count, i.failed = map[string]int{}, nil
	file, err := os.Open(i.admin.command.Args().First())
	if err != nil {
		return usagef("%v", err)
	}
	defer file.Close()
	next, err := openRows(file, i.admin.command.String("format"))
	if err != nil {
		return usagef("%s: %v", file.Name(), err)
	}
	in, err := i.admin.Accounts.NewImport(i.options)
	if err != nil {
		return usagef("--existing: %v", err)
	}
	var batch []account.ImportRow
	for more := true; more; {
		row, err := next()
		var bad *rowError
		switch {
		case errors.As(err, &bad):
			i.tell(account.Imported{Line: bad.line, Outcome: account.ImportFailed, Error: bad.err.Error()})
		case errors.Is(err, io.EOF):
			more = false
		case err != nil:
			return fmt.Errorf("%s: %w%s", file.Name(), err, i.sofar())
		default:
			batch = append(batch, row)
		}
		if len(batch) == account.MaxImportBatch || !more && len(batch) > 0 {
			told, err := in.Batch(ctx, i.admin.actor, batch)
			if err != nil {
				return fmt.Errorf("%w%s", err, i.sofar())
			}
			for _, one := range told {
				i.tell(one)
			}
			batch = batch[:0]
			i.progress()
			if i.count[account.ImportFailed] > 0 && !i.options.DryRun && !i.options.KeepGoing {
				break // somebody else was faster: the batch was undone
			}
		}
	}
	if i.watched() {
		fmt.Fprint(i.sh.stderr, "\r\x1b[K")
	}
	return nil
}

func (i *importing) tell(one account.Imported) {
	i.count[one.Outcome]++
	if one.Outcome == account.ImportFailed && len(i.failed) < maxReported {
		i.failed = append(i.failed, one)
	}
}

// watched says whether there is a terminal to show progress on.
func (i *importing) watched() bool {
	f, ok := i.sh.stderr.(*os.File)
	return ok && terminal(f)
}

// progress shows on a terminal how far it is.
func (i *importing) progress() {
	if !i.watched() {
		return
	}
	n := 0
	for _, count := range i.count {
		n += count
	}
	fmt.Fprintf(i.sh.stderr, "\r%s %d people", map[bool]string{true: "Checked", false: "Brought"}[i.options.DryRun], n)
}

// sofar says what an import that broke off has done: it can go on with that.
func (i *importing) sofar() string {
	if n := i.count[account.ImportCreated] + i.count[account.ImportUpdated]; n > 0 && !i.options.DryRun {
		return fmt.Sprintf("; %d people were brought before: go on with --existing skip", n)
	}
	return ""
}

// report says what happened, and fails if a row did.
func (i *importing) report(wrong int) error {
	c, dry := i.admin.command, i.options.DryRun
	if c.Bool("json") {
		value := map[string]any{
			"dry_run": dry, "created": i.count[account.ImportCreated], "updated": i.count[account.ImportUpdated],
			"skipped": i.count[account.ImportSkipped], "failed": i.count[account.ImportFailed], "errors": append([]account.Imported{}, i.failed...),
		}
		if err := i.sh.printJSON(value); err != nil {
			return err
		}
	} else {
		for _, one := range i.failed {
			who := ""
			if one.Login != "" {
				who = " (" + one.Login + ")"
			}
			fmt.Fprintln(i.sh.stderr, printable(fmt.Sprintf("line %d%s: %s", one.Line, who, one.Error)))
		}
		if more := i.count[account.ImportFailed] - len(i.failed); more > 0 {
			fmt.Fprintf(i.sh.stderr, "and %d more\n", more)
		}
		words := map[bool]string{true: "Would create %d, update %d and leave %d alone; %d are wrong.\n", false: "Created %d, updated %d, left %d alone; %d were wrong.\n"}[dry]
		fmt.Fprintf(i.sh.stdout, words, i.count[account.ImportCreated], i.count[account.ImportUpdated], i.count[account.ImportSkipped], i.count[account.ImportFailed])
	}
	switch {
	case i.count[account.ImportFailed] == 0:
		return nil
	case dry && !c.Bool("dry-run"):
		return errors.New("nothing was written: mend these rows, or leave them out with --keep-going")
	case !dry && wrong == 0:
		return errors.New("the people changed meanwhile" + i.sofar())
	}
	return errors.New("not all rows are right")
}

func (sh shell) userExport() *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "print people as JSON lines, as import takes them",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "with-hashes", Usage: "with the hashes of their passwords: a secret, to be kept as one"},
			&cli.StringFlag{Name: "search", Usage: "see ostiary user list"},
			&cli.StringFlag{Name: "group", Usage: "who is in that `GROUP`"},
			&cli.StringFlag{Name: "status", Usage: "who is in that `STATE`: active or locked"},
			&cli.BoolFlag{Name: "admin", Usage: "administrators alone"},
		},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			c := a.command
			f, err := filterOf(c)
			if err != nil {
				return err
			}
			out := bufio.NewWriter(sh.stdout)
			lines := json.NewEncoder(out)
			lines.SetEscapeHTML(false)
			for more := true; more; {
				page, err := a.Accounts.Export(ctx, a.actor, f, c.Bool("with-hashes"))
				if err != nil {
					return err
				}
				for _, row := range page {
					if err := lines.Encode(row); err != nil {
						return err
					}
					f.After = model.UserID(row.ID)
				}
				more = len(page) == pageSize
			}
			return out.Flush()
		}),
	}
}

// filterOf reads the flags of a listing.
func filterOf(c *cli.Command) (account.UserFilter, error) {
	f := account.UserFilter{
		Search: strings.TrimSpace(c.String("search")), Group: c.String("group"), Status: model.UserStatus(c.String("status")), Admin: c.Bool("admin"), Limit: pageSize,
	}
	if f.Status != "" && f.Status != model.UserActive && f.Status != model.UserLocked {
		return f, usagef("--status: %q is neither active nor locked", f.Status)
	}
	return f, nil
}
