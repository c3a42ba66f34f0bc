// Command kickout measures what it takes to put somebody out: the time from the
// answer to "end this session" until the last of many APIs refuses its token, while
// they go on verifying the tokens of others; and what a call of an API costs, next to
// an API that asks the server about every token.
//
//	scripts/kickout                  one node on SQLite, then two on PostgreSQL
//	scripts/kickout -ends 100        a quick look
//
// Everything is real and a process of its own: the nodes are "ostiary serve", the
// APIs use package resource with a feed. All of it stays on this machine.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"

	"github.com/ostiary/ostiary/bench/house"
)

// options are the flags.
type options struct {
	Consumers int
	Ends      int
	PerSecond int // ends
	Rate      int // verified requests a second, of all consumers together
	Calls     int // of an API, for the comparison
	Entries   int // of the log, for the snapshot
	Database  string
	Plot      string
	JSON      bool
	Binary    string
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == consumerMode {
		if err := consume(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "kickout: consumer:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.IntVar(&o.Consumers, "consumers", 50, "how many APIs, each a process")
	flag.IntVar(&o.Ends, "ends", 1000, "how many sessions are ended")
	flag.IntVar(&o.PerSecond, "per-second", 20, "how many are ended in a second")
	flag.IntVar(&o.Rate, "rate", 5000, "verified requests a second, of all APIs together")
	flag.IntVar(&o.Calls, "calls", 20000, "calls of an API for the comparison with introspection")
	flag.IntVar(&o.Entries, "entries", 1_000_000, "live entries of the log that an API loads; 0: none")
	flag.StringVar(&o.Database, "postgres", os.Getenv("OSTIARY_TEST_POSTGRES"), "URL of a PostgreSQL for the two nodes")
	flag.StringVar(&o.Plot, "plot", "kickout.svg", "file for the plot; empty: none")
	flag.BoolVar(&o.JSON, "json", false, "print JSON")
	flag.StringVar(&o.Binary, "ostiary", "", "the program; empty: it is built")
	flag.Parse()
	if o.Consumers < 1 || o.Ends < 1 || o.PerSecond < 1 || o.Rate < 0 || o.Calls < 0 || o.Entries < 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "kickout:", err)
		os.Exit(1)
	}
}

// setting is one way to run the server.
type setting struct {
	Name  string
	Nodes int
	Goal  float64 // of the 99th percentile, in milliseconds
}

func run(ctx context.Context, o options) error {
	folder, err := os.MkdirTemp("", "kickout")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if o.Binary == "" {
		if o.Binary, err = house.Build(ctx, folder); err != nil {
			return err
		}
	}
	settings := []setting{{"one node, SQLite", 1, 100}}
	if o.Database != "" {
		settings = append(settings, setting{"two nodes, PostgreSQL", 2, 250})
	} else {
		fmt.Fprintln(os.Stderr, "Two nodes are left out: they need -postgres URL (scripts/kickout starts one).")
	}
	var results []*result
	for _, s := range settings {
		fmt.Fprintf(os.Stderr, "%s: %d APIs, %d sessions end, %d requests a second …\n", s.Name, o.Consumers, o.Ends, o.Rate)
		r, err := measure(ctx, o, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		results = append(results, r)
	}
	if o.Plot != "" {
		if err := plot(o.Plot, results); err != nil {
			return err
		}
	}
	var big *snapshot
	if o.Entries > 0 {
		fmt.Fprintf(os.Stderr, "an API loads a log of %d entries …\n", o.Entries)
		if big, err = load(ctx, o); err != nil {
			return fmt.Errorf("the snapshot: %w", err)
		}
	}
	return report(o, results, big)
}

func report(o options, results []*result, big *snapshot) error {
	if o.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			Results  []*result
			Snapshot *snapshot `json:",omitempty"`
		}{results, big})
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tfirst p50\tlast p50\tlast p99\tlast max\tgoal p99\twrongly refused\tverified/s\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%.1f ms\t%.1f ms\t%.1f ms\t%.1f ms\t%.0f ms\t%d of %d\t%.0f\t\n", r.Name, r.First.P50, r.Last.P50, r.Last.P99, r.Last.Max, r.Goal, r.Wrong, r.Verified, r.PerSecond)
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "\tAPI\tserver\ttogether\tcompared\t")
	for _, r := range results {
		if r.Feed.Calls == 0 {
			continue
		}
		fmt.Fprintf(w, "%s, CPU per call with the feed\t%.2f us\t%.2f us\t%.2f us\t1\t\n", r.Name, r.Feed.API, r.Feed.Server, r.Feed.API+r.Feed.Server)
		fmt.Fprintf(w, "each token seen for the first time\t%.2f us\t%.2f us\t%.2f us\t%.0f\t\n", r.Fresh.API, r.Fresh.Server, r.Fresh.API+r.Fresh.Server, r.Fresh.over(r.Feed))
		fmt.Fprintf(w, "asking the server each time\t%.2f us\t%.2f us\t%.2f us\t%.0f\t\n", r.Introspection.API, r.Introspection.Server, r.Introspection.API+r.Introspection.Server, r.Introspection.over(r.Feed))
	}
	if big != nil {
		fmt.Fprintf(w, "\n\tloaded in\tgoal\theap before\theap after\tgrowth per entry\t\n")
		fmt.Fprintf(w, "a log of %d entries\t%.2f s\t3 s\t%.1f MiB\t%.1f MiB\t%.1f bytes\t\n", big.Entries, big.Seconds, big.Before, big.After, (big.After-big.Before)*(1<<20)/float64(big.Entries))
	}
	return w.Flush()
}
