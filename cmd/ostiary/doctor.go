package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ostiary/ostiary/internal/doctor"
	"github.com/urfave/cli/v3"
)

// examinedRecord is what ostiary doctor finds, in JSON.
type examinedRecord struct {
	Well     bool             `json:"well"` // nothing is wrong; there may be warnings
	Good     int              `json:"good"`
	Warnings int              `json:"warnings"`
	Wrong    int              `json:"wrong"`
	Unknown  int              `json:"unknown"`
	Findings []doctor.Finding `json:"findings"`
}

// errUnwell says that something is wrong. It was printed.
var errUnwell = errors.New("something is wrong: see above")

func (sh shell) doctor() *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "look at the installation from all sides, and say what is wrong and what to do; exit code 1 if anything is",
		Description: "Run it as the server's user, with the server's settings, while the server runs: then it also goes the way that\n" +
			"people go, through the proxy. It changes nothing.",
		Flags: everySetting(),
		Action: func(ctx context.Context, c *cli.Command) error {
			s, err := sh.read(c)
			if err != nil {
				return err
			}
			if err := s.exists(); err != nil {
				return err
			}
			found := doctor.Examine(ctx, doctor.Config{Server: s.Config, SettingsFile: c.String(configName)})
			r := examinedRecord{Findings: found}
			for _, f := range found {
				switch f.State {
				case doctor.Good:
					r.Good++
				case doctor.Warning:
					r.Warnings++
				case doctor.Wrong:
					r.Wrong++
				case doctor.Unknown:
					r.Unknown++
				}
			}
			r.Well = r.Wrong == 0
			if c.Bool("json") {
				err = sh.printJSON(r)
			} else {
				sh.tellFindings(r)
			}
			if err == nil && !r.Well {
				err = errUnwell
			}
			return err
		},
	}
}

// styles are the colours of states on a terminal: ECMA-48 §8.3.117.
var styles = map[doctor.State]string{doctor.Good: "32", doctor.Warning: "33", doctor.Wrong: "1;31", doctor.Unknown: "2"}

// tellFindings prints one thing after the other, what to do below it.
func (sh shell) tellFindings(r examinedRecord) {
	about := ""
	for _, f := range r.Findings {
		name := f.About
		if name == about {
			name = ""
		}
		about = f.About
		state := fmt.Sprintf("%-7s", f.State)
		fmt.Fprintf(sh.stdout, "%s  %s  %s\n", sh.bold(fmt.Sprintf("%-9s", name)), sh.paint(styles[f.State], state), printable(f.Text))
		if f.Next != "" {
			fmt.Fprintf(sh.stdout, "%s→ %s\n", strings.Repeat(" ", 20), printable(f.Next))
		}
	}
	fmt.Fprintf(sh.stdout, "\n%d good, %d warnings, %d wrong, %d not looked at.\n", r.Good, r.Warnings, r.Wrong, r.Unknown)
}
