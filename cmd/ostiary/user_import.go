package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/roster"
	"github.com/urfave/cli/v3"
)

// maxReported is of how many rows is told what is wrong with them.
const maxReported = 100

// formats of lists, by the word that stands for each.
var formats = []string{"auto", roster.CSV, roster.Array, roster.Lines}

func (sh shell) userImport() *cli.Command {
	return &cli.Command{
		Name: "import", ArgsUsage: "FILE", Usage: "bring people from elsewhere, with their password hashes: CSV, a JSON array or JSON lines",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "auto", Usage: "`FORMAT` of the file: csv, json, jsonl, or auto, by what it begins with"},
			&cli.StringFlag{Name: "existing", Value: account.ExistingFails, Usage: "what becomes of a row whose login is there already, a `WAY`: fail, skip, or update, which sets the profile but for the address, and nothing that lets anybody in"},
			&cli.BoolFlag{Name: "dry-run", Usage: "only say what would happen"},
			&cli.BoolFlag{Name: "keep-going", Usage: "bring those who are right although others are wrong"},
			&cli.BoolFlag{Name: "allow-admin", Usage: "rows may make administrators"},
		},
		Action: sh.administer(func(ctx context.Context, a admin) error {
			c := a.command
			format := c.String("format")
			if !slices.Contains(formats, format) {
				return usagef("--format: %q is none of %s", format, strings.Join(formats, ", "))
			}
			file, err := os.Open(c.Args().First())
			if err != nil {
				return usagef("%v", err)
			}
			defer file.Close()
			i := roster.Import{
				Accounts: a.Accounts, Actor: a.actor, Rows: maxReported, Failed: true, Progress: sh.imported,
				Options: account.ImportOptions{Existing: c.String("existing"), Admins: c.Bool("allow-admin"), KeepGoing: c.Bool("keep-going"), DryRun: c.Bool("dry-run")},
				Open: func() (roster.Rows, error) {
					if _, err := file.Seek(0, io.SeekStart); err != nil {
						return nil, err
					}
					return roster.Read(file, strings.TrimPrefix(format, "auto"))
				},
			}
			report, err := i.Run(ctx)
			if onTerminal(sh.stderr) {
				fmt.Fprint(sh.stderr, "\r\x1b[K")
			}
			if err != nil {
				return importError(file.Name(), report, err)
			}
			return sh.sayImported(c, report)
		}),
	}
}

// imported shows on a terminal how far an import is.
func (sh shell) imported(r roster.Report) {
	if onTerminal(sh.stderr) {
		n := r.Created + r.Updated + r.Skipped + r.Failed
		fmt.Fprintf(sh.stderr, "\r%s %d people", map[bool]string{true: "Checked", false: "Brought"}[r.DryRun], n)
	}
}

// importError says what broke an import off, and how it can go on.
func importError(name string, r roster.Report, err error) error {
	var column roster.ErrColumn
	switch {
	case errors.Is(err, account.ErrExisting):
		return usagef("--existing: %v", err)
	case errors.As(err, &column):
		return usagef("%s: there is no column %q%s; the columns are %s", name, column.Name, didYouMean(column.Name, column.Columns), strings.Join(column.Columns, ", "))
	case errors.Is(err, roster.ErrList):
		err = fmt.Errorf("%s: %w", name, err)
	}
	return fmt.Errorf("%w%s", err, soFar(r))
}

// soFar says what an import that broke off has done: it can go on with that.
func soFar(r roster.Report) string {
	if n := r.Created + r.Updated; n > 0 && !r.DryRun {
		return fmt.Sprintf("; %d people were brought before: go on with --existing skip", n)
	}
	return ""
}

// sayImported says what happened, and fails if a row did.
func (sh shell) sayImported(c *cli.Command, r roster.Report) error {
	if c.Bool("json") {
		if err := sh.printJSON(r); err != nil {
			return err
		}
	} else {
		for _, one := range r.Rows {
			who := ""
			if one.Login != "" {
				who = " (" + one.Login + ")"
			}
			fmt.Fprintln(sh.stderr, printable(fmt.Sprintf("line %d%s: %s", one.Line, who, one.Error)))
		}
		if more := r.Failed - len(r.Rows); more > 0 {
			fmt.Fprintf(sh.stderr, "and %d more\n", more)
		}
		words := map[bool]string{true: "Would create %d, update %d and leave %d alone; %d are wrong.\n", false: "Created %d, updated %d, left %d alone; %d were wrong.\n"}[r.DryRun]
		fmt.Fprintf(sh.stdout, words, r.Created, r.Updated, r.Skipped, r.Failed)
	}
	switch {
	case r.Failed == 0:
		return nil
	case r.DryRun && !c.Bool("dry-run"):
		return errors.New("nothing was written: mend these rows, or leave them out with --keep-going")
	case !r.DryRun && !c.Bool("keep-going"):
		return errors.New("the people changed meanwhile" + soFar(r))
	}
	return errors.New("not all rows are right")
}

func (sh shell) userExport() *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "print people as import takes them",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: roster.Lines, Usage: "`FORMAT` of the list: jsonl, JSON lines, or csv"},
			&cli.BoolFlag{Name: "with-hashes", Usage: "with the hashes of their passwords: a secret, to be kept as one"},
			&cli.StringFlag{Name: "search", Usage: "the beginning of `WORDS` of their login, name, address or groups, in whichever case"},
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
			format := c.String("format")
			if format != roster.Lines && format != roster.CSV {
				return usagef("--format: %q is neither jsonl nor csv", format)
			}
			out := bufio.NewWriter(sh.stdout)
			list := roster.Export{Accounts: a.Accounts, Actor: a.actor, Filter: f, Hashes: c.Bool("with-hashes"), Format: format}
			if err := list.Write(ctx, out, nil); err != nil {
				return err
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
