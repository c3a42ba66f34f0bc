// Command flood does what a stranger can to fill a server's storage: it visits every
// address where somebody unknown can leave something, as fast as it can, from many
// network addresses, and shows what is in the database afterwards beside what the
// manual (docs/limits.md) says is the most.
//
//	scripts/flood                       a minute, four addresses, on SQLite
//	scripts/flood -addresses 1 -begun 600
//	scripts/flood -postgres
//
// It fails where there is more than the bound, where a table grew that has none, or
// where somebody at another address cannot sign in meanwhile.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/ostiary/ostiary/bench/house"
)

// options are the flags. The limits are settings of the server.
type options struct {
	Binary      string
	Time        time.Duration
	Addresses   int
	Connections int
	Address     int // limit-address
	Begun       int // limit-begun
	Waiting     int // limit-waiting
	SignUps     int // sign-up-limit
	Registering int // registration-per-hour
	Postgres    bool
	Database    string
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("flood", flag.ContinueOnError)
	f.DurationVar(&o.Time, "time", time.Minute, "how long")
	f.IntVar(&o.Addresses, "addresses", 4, "from how many network addresses, 250 at most")
	f.IntVar(&o.Connections, "connections", 16, "on how many connections")
	f.IntVar(&o.Address, "address", 6000, "the setting limit-address of the server")
	f.IntVar(&o.Begun, "begun", 600, "likewise, limit-begun")
	f.IntVar(&o.Waiting, "waiting", 100_000, "likewise, limit-waiting")
	f.IntVar(&o.SignUps, "sign-ups", 60, "likewise, sign-up-limit")
	f.IntVar(&o.Registering, "registrations", 100, "likewise, registration-per-hour")
	f.BoolVar(&o.Postgres, "postgres", false, "on PostgreSQL")
	f.StringVar(&o.Database, "database", os.Getenv("OSTIARY_TEST_POSTGRES"), "URL of a PostgreSQL, for -postgres")
	f.StringVar(&o.Binary, "ostiary", "", "the program (default: it is built)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("what is %q? There are only flags: see -help", f.Arg(0))
	case o.Time <= 0 || o.Addresses < 1 || o.Addresses > 250 || o.Connections < 1 || o.Connections > 1024:
		return o, errors.New("-time, -addresses and -connections must be more than nothing, and no more than they may")
	case o.Postgres && o.Database == "":
		return o, errors.New("PostgreSQL needs -database URL; scripts/flood starts one")
	}
	return o, nil
}

func run(ctx context.Context, o options) error {
	folder, err := os.MkdirTemp("", "ostiary-flood-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if o.Binary == "" {
		fmt.Fprintln(os.Stderr, "building the server …")
		if o.Binary, err = house.Build(ctx, folder); err != nil {
			return err
		}
	}
	r, err := flood(ctx, o)
	if err != nil {
		return err
	}
	if err := r.print(); err != nil {
		return err
	}
	return r.fault()
}

// report is what is left.
type report struct {
	Time     time.Duration
	Visits   map[int]int // answers by their status
	Size     int64       // of the database, in bytes
	Tables   []table
	SignedIn int // how often somebody at another address signed in meanwhile
	Locked   error
}

// table is one that is not as it was before.
type table struct {
	Name   string
	Before int64
	After  int64
	Most   int64 // more than there were; 0: it was not to grow
}

func (r *report) print() error {
	fmt.Printf("%.0f s; answers by status: %v\nthe database is %.1f MiB; somebody at another address signed in %d times\n\n", r.Time.Seconds(), r.Visits, float64(r.Size)/(1<<20), r.SignedIn)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "table\trows before\tafter\tgrown by\tat most\t")
	for _, t := range r.Tables {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t\n", t.Name, t.Before, t.After, t.After-t.Before, t.Most)
	}
	return w.Flush()
}

// fault is what should not be.
func (r *report) fault() error {
	var all []error
	for _, t := range r.Tables {
		if grown := t.After - t.Before; grown > t.Most {
			all = append(all, fmt.Errorf("%s grew by %d rows, and %d are the most", t.Name, grown, t.Most))
		}
	}
	if r.SignedIn == 0 {
		all = append(all, fmt.Errorf("nobody could sign in meanwhile: %w", r.Locked))
	}
	return errors.Join(all...)
}
