// Command ostiary is the server and its administration: flags, environment,
// configuration file and subcommands. It is the only place that reads any of
// them. It decides nothing: each subcommand calls one rule and prints what came
// of it.
package main

import (
	"context"
	"io"
	"os"
)

// shell is what a command has around it, given by main and by tests.
type shell struct {
	args   []string
	stdin  *os.File
	stdout *os.File
	stderr io.Writer
	getenv func(string) (string, bool)
}

func main() {
	os.Exit(run(context.Background(), shell{os.Args, os.Stdin, os.Stdout, os.Stderr, os.LookupEnv}))
}

// run executes one command line and returns its exit code: 0 when it worked, 1
// when it did not, 2 when the command or the configuration was wrong.
func run(ctx context.Context, sh shell) int {
	err := tree(sh, sh.args...).Run(ctx, sh.args)
	if err == nil {
		return 0
	}
	return sh.report(err)
}
