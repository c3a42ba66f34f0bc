package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"
)

// commands are all that there are. Each has a file of its own, in which the larger groups
// say what they have; the small groups are below.
var commands = []struct {
	name string
	make func(shell) *cli.Command
}{
	{"serve", shell.serve},
	{"demo", shell.demo},
	{"guard", shell.guard},
	{"health", shell.health},
	{"user", shell.user},
	{"session", shell.session},
	{"client", shell.client},
	{"apply", shell.apply},
	{"registration", shell.registration},
	{"upstream", shell.upstream},
	{"transmitter", shell.transmitter},
	{"key", shell.key},
	{"mail", shell.mail},
	{"audit", shell.audit},
	{"doctor", shell.doctor},
	{"backup", shell.backup},
	{"restore", shell.restore},
	{"move", shell.move},
	{"jwt", shell.jwt},
	{"jwk", shell.jwk},
	{"debugger", shell.debugger},
	{"version", shell.version},
	{"help", shell.help},
}

// tree returns the command that these arguments are for. Of its subcommands it has only the
// one that they ask for, where that is plain: to make and prepare them all takes
// milliseconds, at each start. Otherwise, or where all are to be told of, it has them all.
func tree(sh shell, args ...string) *cli.Command {
	root := &cli.Command{
		Name:  "ostiary",
		Usage: "sign-in for all your applications: an OAuth 2.0 and OpenID Connect server",
		Description: "Start with \"ostiary demo\", or with \"ostiary serve\" for a server of your own.\n" +
			"The other commands administer the server whose database they are pointed at; it may be running.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print JSON instead of text"},
		},
		Writer:                sh.stdout,
		ErrWriter:             sh.stderr,
		EnableShellCompletion: true,
		Suggest:               true,
		HideHelpCommand:       true, // it would hide a user whose login is "help"
		ExitErrHandler:        func(context.Context, *cli.Command, error) {},
		ArgValidator:          checkArguments,
	}
	wanted := commands
	for i, c := range commands {
		if len(args) > 1 && args[1] == c.name && c.name != "help" {
			wanted = commands[i : i+1]
		}
	}
	for _, c := range wanted {
		root.Commands = append(root.Commands, c.make(sh))
	}
	everyCommand(root, func(c *cli.Command) {
		c.DisableSliceFlagSeparator = true // a redirect URI may hold a comma
		c.OnUsageError = func(_ context.Context, c *cli.Command, err error, _ bool) error {
			return usagef("%v; see %s --help", err, c.FullName())
		}
	})
	return root
}

func (sh shell) session() *cli.Command {
	return &cli.Command{
		Name: "session", Usage: "who is signed in", Flags: places(),
		Commands: []*cli.Command{sh.sessionList(), sh.sessionShow(), sh.sessionEnd(), sh.sessionEndAll()},
	}
}

func (sh shell) registration() *cli.Command {
	return &cli.Command{
		Name: "registration", Usage: "applications that register themselves", Flags: places(),
		Commands: []*cli.Command{{
			Name: "token", Usage: "initial access tokens, with which they do",
			Commands: []*cli.Command{sh.registrationTokenCreate(), sh.registrationTokenList(), sh.registrationTokenRevoke()},
		}},
	}
}

func (sh shell) key() *cli.Command {
	return &cli.Command{
		Name: "key", Usage: "the keys that sign tokens", Flags: places(),
		Commands: []*cli.Command{sh.keyList(), sh.keyRotate(), sh.keyDrop()},
	}
}

func (sh shell) mail() *cli.Command {
	return &cli.Command{
		Name: "mail", Usage: "letters to people", Flags: places(),
		Commands: []*cli.Command{sh.mailTest()},
	}
}

func (sh shell) audit() *cli.Command {
	return &cli.Command{
		Name: "audit", Usage: "who did what to whom", Flags: places(),
		Commands: []*cli.Command{sh.auditList(), sh.auditVerify(), sh.auditHead(), sh.auditBegin()},
	}
}

func (sh shell) help() *cli.Command {
	return &cli.Command{
		Name: "help", Usage: "this text; for a command: ostiary COMMAND --help",
		Action: func(_ context.Context, c *cli.Command) error { return cli.ShowRootCommandHelp(c.Root()) },
	}
}

func everyCommand(c *cli.Command, do func(*cli.Command)) {
	do(c)
	for _, sub := range c.Commands {
		everyCommand(sub, do)
	}
}

// checkArguments holds a command to the arguments that it names, and a group
// to the commands that it has.
func checkArguments(_ context.Context, c *cli.Command) error {
	given := c.Args().Slice()
	if len(c.Commands) > 0 && c.ArgsUsage == "" {
		if len(given) == 0 {
			return nil
		}
		var names []string
		for _, sub := range c.VisibleCommands() {
			names = append(names, sub.Name)
		}
		return usagef("%s has no command %q%s; see %s --help", c.FullName(), given[0], didYouMean(given[0], names), c.FullName())
	}
	wanted := strings.Fields(c.ArgsUsage)
	switch {
	case len(given) < len(wanted):
		return usagef("%s needs %s; see %s --help", c.FullName(), strings.Join(wanted[len(given):], " and "), c.FullName())
	case len(given) > len(wanted):
		return usagef("%s does not know what to do with %q; see %s --help", c.FullName(), given[len(wanted)], c.FullName())
	}
	for i, argument := range given {
		if argument == "" {
			return usagef("%s is empty; see %s --help", wanted[i], c.FullName())
		}
	}
	return nil
}

// didYouMean returns a question naming the name that resembles the given one
// most, or nothing.
func didYouMean(given string, names []string) string {
	best, distance := "", 3
	for _, name := range names {
		if d := edits(given, name); d < distance {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// edits returns the Levenshtein distance of two short names.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
