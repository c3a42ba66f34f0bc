// Command faults puts load on a server of real processes and takes away what it stands
// on: nodes are killed and stopped, PostgreSQL is stopped and started, the disk is full.
// Whatever happens, nothing that was acknowledged is lost, nothing that was revoked
// comes back, no code and no refresh token is redeemed twice, and the nodes that are
// left answer.
//
//	scripts/faults               all of it, as long as it should be: some minutes
//	scripts/faults -only kill    one of it
//	scripts/faults -short        as short as in the tests
//
// The clock that is set back is a test of internal/server, because a process cannot be
// given another one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ostiary/ostiary/bench/house"
)

// options are the flags.
type options struct {
	Binary   string
	Database string // a PostgreSQL, for what does not stop one
	Only     []string
	Workers  int
	Kills    int           // of nodes
	Restarts int           // of PostgreSQL
	Pause    time.Duration // of a node
	Fills    int           // of the disk
	Log      func(format string, args ...any)
}

var (
	long  = options{Workers: 8, Kills: 20, Restarts: 6, Pause: 30 * time.Second, Fills: 5}
	short = options{Workers: 4, Kills: 3, Restarts: 2, Pause: 3 * time.Second, Fills: 1}
)

// faults are what happens, by name.
var faults = []struct {
	name string
	run  func(context.Context, options) (tally, error)
}{
	{"kill", kill}, {"pause", pause}, {"database", database}, {"disk", disk},
}

func names() (list []string) {
	for _, f := range faults {
		list = append(list, f.name)
	}
	return list
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	f := flag.NewFlagSet("faults", flag.ContinueOnError)
	brief := f.Bool("short", false, "as short as in the tests")
	only := f.String("only", "", "faults, separated by commas: "+strings.Join(names(), ", ")+" (default: all)")
	url := f.String("database", os.Getenv("OSTIARY_TEST_POSTGRES"), "URL of a PostgreSQL")
	binary := f.String("ostiary", "", "the program (default: it is built)")
	if err := f.Parse(args); err != nil {
		return options{}, err
	}
	o := long
	if *brief {
		o = short
	}
	o.Binary, o.Database = *binary, *url
	if *only != "" {
		o.Only = strings.Split(*only, ",")
	}
	for _, name := range o.Only {
		if !slices.Contains(names(), name) {
			return o, fmt.Errorf("-only: there is no fault %q, but %s", name, strings.Join(names(), ", "))
		}
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("what is %q? There are only flags: see -help", f.Arg(0))
	case o.Database == "":
		return o, errors.New("PostgreSQL needs -database URL; scripts/faults starts one")
	}
	o.Log = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	return o, nil
}

func run(ctx context.Context, o options) error {
	folder, err := os.MkdirTemp("", "ostiary-faults-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if o.Binary == "" {
		o.Log("building the server …")
		if o.Binary, err = house.Build(ctx, folder); err != nil {
			return err
		}
	}
	for _, f := range faults {
		if len(o.Only) > 0 && !slices.Contains(o.Only, f.name) {
			continue
		}
		start := time.Now()
		t, err := f.run(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		fmt.Printf("%s: %s; %.0f s\n", f.name, t, time.Since(start).Seconds())
	}
	return nil
}
