// Command load puts load on a server and measures what comes of it: operations in a
// second, how long they take, and what each costs the server in processor time. It
// speaks ordinary HTTP over loopback, with cookies and forms as a browser does.
//
//	scripts/load                             every operation, 16 connections, on SQLite
//	scripts/load -runs 5 -only refresh       the median of five runs of one
//	scripts/load -connections 1,4,16,64 -plot load.svg
//	scripts/load -nodes 2                    two nodes on PostgreSQL
//	scripts/load -nodes 3 -share 0.2         three, of which each has a fifth of a processor
//	scripts/load -fill 1000000 -runs 5       empty, and beside a million sessions
//	scripts/load -sweep 400000 -time 3m -connections 2 -only code,refresh
//	                                         while a million rows are swept
//
// Beside the cost of an operation stands its bar, what it may cost by the project's
// goals, and the share of it that was used: less than 1 is under the bar. The machine
// has neighbours and is not the one that the bars are for: bare ES256 and a bare
// net/http, measured before and after each run in the same way, tell by how much it is
// slower, and the last share is of the bar in that proportion. The run in the middle is the one
// with the median of that.
//
// The server is built and run as processes of its own, set up with the command, and
// gone afterwards. Server and load share the machine: the processor time of an
// operation says more than how many there were in a second. What one more node brings
// is seen where each has so little of a processor that database and load have enough.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/ostiary/ostiary/bench/house"
)

// options are the flags.
type options struct {
	Binary      string
	Connections []int
	Time        time.Duration // of each measurement
	WarmUp      time.Duration
	Runs        int
	Nodes       int
	Postgres    bool
	Share       float64 // of a processor, for each node; 0: all
	Database    string  // a PostgreSQL, where one is needed
	Only        []string
	Plot        string
	JSON        bool
	Fill        int // sessions beside which it is measured as well
	Sweep       int // sessions that are over, and are swept while it is measured
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// maxConnections is more than anybody has cores for.
const maxConnections = 4096

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	connections := f.String("connections", "16", "how many connections; several numbers, separated by commas, measure each")
	only := f.String("only", "", "operations, separated by commas: "+strings.Join(names(), ", ")+" (default: all)")
	f.DurationVar(&o.Time, "time", 5*time.Second, "how long each is measured")
	f.DurationVar(&o.WarmUp, "warm-up", time.Second, "how long it runs before that")
	f.IntVar(&o.Runs, "runs", 1, "how often; the run with the median cost, in proportion to the yardsticks, counts")
	f.IntVar(&o.Nodes, "nodes", 1, "how many nodes; more than one are on PostgreSQL")
	f.Float64Var(&o.Share, "share", 0, "how much of a processor each node may have, such as 0.2; 0: no bound. As root on Linux")
	f.BoolVar(&o.Postgres, "postgres", false, "one node on PostgreSQL")
	f.StringVar(&o.Database, "database", os.Getenv("OSTIARY_TEST_POSTGRES"), "URL of a PostgreSQL, for -postgres and -nodes")
	f.StringVar(&o.Plot, "plot", "", "file for a plot of throughput and tail against connections, SVG")
	f.BoolVar(&o.JSON, "json", false, "print JSON")
	f.IntVar(&o.Fill, "fill", 0, "so many sessions are put into the database, with five refresh tokens and five codes for each two, and it is measured before and after")
	f.IntVar(&o.Sweep, "sweep", 0, "so many sessions that are over are put into the database, with their grants, and it is measured before and while they are swept; -time should be minutes")
	f.StringVar(&o.Binary, "ostiary", "", "the program (default: it is built)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("what is %q? There are only flags: see -help", f.Arg(0))
	}
	for text := range strings.SplitSeq(*connections, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || n > maxConnections {
			return o, fmt.Errorf("-connections: %q is no number from 1 to %d", text, maxConnections)
		}
		o.Connections = append(o.Connections, n)
	}
	if *only != "" {
		o.Only = strings.Split(*only, ",")
	}
	for _, name := range o.Only {
		if !slices.Contains(names(), name) {
			return o, fmt.Errorf("-only: there is no operation %q, but %s", name, strings.Join(names(), ", "))
		}
	}
	switch {
	case o.Fill < 0 || o.Sweep < 0 || o.Fill > 0 && o.Sweep > 0:
		return o, errors.New("-fill and -sweep are numbers, and one of them")
	case o.Time <= 0 || o.WarmUp < 0 || o.Runs < 1 || o.Nodes < 1:
		return o, errors.New("-time, -runs and -nodes must be more than nothing")
	case o.Share < 0 || o.Share > 0 && o.Share < 0.01:
		return o, errors.New("-share is a part of a processor, 0.01 or more")
	case (o.Postgres || o.Nodes > 1) && o.Database == "":
		return o, errors.New("PostgreSQL needs -database URL; scripts/load starts one")
	}
	return o, nil
}

// onPostgres is by how much an operation may be dearer on PostgreSQL than on SQLite.
const onPostgres = 1.8

// allowance is what the bars of the operations are multiplied by.
func (o options) allowance() float64 {
	if o.Postgres || o.Nodes > 1 {
		return onPostgres
	}
	return 1
}

// against says how a cost stands to its bar, and to what that is on this machine.
func (r *result) against() string {
	if r.Bar == 0 {
		return "–\t–\t–"
	}
	return fmt.Sprintf("%.3f ms\t%.2f\t%.2f", r.Bar, r.CPU/r.Bar, r.CPU/r.Bar/r.Slower)
}

// report is all that was measured.
type report struct {
	Yardsticks yardsticks `json:"yardsticks"`
	Nodes      int        `json:"nodes"`
	Share      float64    `json:"share,omitempty"` // of a processor, for each; 0: all
	Database   string     `json:"database"`
	Seconds    float64    `json:"seconds"` // of each measurement
	Runs       int        `json:"runs"`
	Results    []*result  `json:"results"`
}

func run(ctx context.Context, o options) error {
	folder, err := os.MkdirTemp("", "ostiary-load-")
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
	if o.Fill > 0 || o.Sweep > 0 {
		p, err := compare(ctx, o)
		if err != nil {
			return err
		}
		return p.print(o.JSON)
	}
	r, err := measureAll(ctx, o)
	if err != nil {
		return err
	}
	if o.Plot != "" {
		if err := os.WriteFile(o.Plot, []byte(plot(r.Results)), 0o644); err != nil {
			return err
		}
	}
	return r.print(o.JSON)
}

func measureAll(ctx context.Context, o options) (_ *report, err error) {
	s, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.measureEach(ctx, o)
}

func (s *server) measureEach(ctx context.Context, o options) (*report, error) {
	r := &report{Nodes: o.Nodes, Share: o.Share, Database: "SQLite", Seconds: o.Time.Seconds(), Runs: o.Runs}
	g, err := s.openGauge(ctx, o)
	if err != nil {
		return nil, err
	}
	defer g.close()
	if o.Postgres || o.Nodes > 1 {
		r.Database = "PostgreSQL"
	}
	var beside []yardsticks
	for _, op := range operations {
		if len(o.Only) > 0 && !slices.Contains(o.Only, op.name) {
			continue
		}
		for _, n := range o.Connections {
			fmt.Fprintf(os.Stderr, "%s, %d connections …\n", op.name, n)
			one, err := s.median(ctx, o, g, op, n)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", op.name, err)
			}
			r.Results = append(r.Results, one)
			beside = append(beside, one.beside)
		}
	}
	r.Yardsticks = mean(beside...)
	return r, nil
}

// median measures as often as is asked for, and takes the run in the middle: by what it
// cost, in proportion to what the yardsticks were before and after it.
func (s *server) median(ctx context.Context, o options, g *gauge, op operation, connections int) (*result, error) {
	var runs []*result
	before, err := g.measure(ctx)
	for range o.Runs {
		if err != nil {
			return nil, err
		}
		var one *result
		if one, err = s.measure(ctx, o, op, connections); err != nil {
			return nil, err
		}
		var after yardsticks
		if after, err = g.measure(ctx); err != nil {
			return nil, err
		}
		one.beside, one.Slower = mean(before, after), 1
		if one.Bar > 0 {
			one.Slower = one.beside.slower(op.bar)
		}
		runs, before = append(runs, one), after
	}
	slices.SortFunc(runs, func(a, b *result) int { return cmp.Compare(a.CPU/a.Slower, b.CPU/b.Slower) })
	return runs[len(runs)/2], nil
}

// title says what was measured, and where.
func (r *report) title() string {
	nodes := fmt.Sprint(r.Nodes)
	if r.Share > 0 {
		nodes += fmt.Sprintf(", with %.2f of a processor each", r.Share)
	}
	return fmt.Sprintf("%s, nodes: %s; %.1f s each, median of %d", r.Database, nodes, r.Seconds, r.Runs)
}

func (r *report) print(asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	y := r.Yardsticks
	fmt.Printf("%s\nalone, here and now: ES256 signature %.3f ms, verification %.3f ms (%.2f times what it takes where the bars are from), net/http %.3f ms (%.2f times)\n\n",
		r.title(), y.Sign, y.Verify, y.Verify/barVerify, y.HTTP, y.HTTP/barHTTP)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "operation\tconnections\top/s\tp50\tp95\tp99\tCPU/op\tbar\tshare\there\terrors\tmemory before\tafter\t")
	for _, one := range r.Results {
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%.2f ms\t%.2f ms\t%.2f ms\t%.3f ms\t%s\t%d\t%.1f MiB\t%.1f MiB\t\n",
			one.Operation, one.Connections, one.PerSecond, one.P50, one.P95, one.P99, one.CPU, one.against(), one.Errors, one.Before, one.After)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, one := range r.Results {
		if one.Errors > 0 {
			fmt.Printf("\n%s, %d connections: %s\n", one.Operation, one.Connections, one.Failure)
		}
	}
	return nil
}
