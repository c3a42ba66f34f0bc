package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ostiary/ostiary/bench/fill"
)

// pair is what was measured before there was much in the database, and after.
type pair struct {
	Made   fill.Made `json:"made"` // rows of each table
	Took   float64   `json:"made_in_seconds"`
	Before *report   `json:"before"`
	After  *report   `json:"after"`
	Swept  []string  `json:"swept,omitempty"` // what the log says of the sweep meanwhile
}

// compare measures, makes the database large, and measures again.
func compare(ctx context.Context, o options) (_ *pair, err error) {
	s, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	p := &pair{}
	if p.Before, err = s.measureEach(ctx, o); err != nil {
		return nil, err
	}
	if err := s.enlarge(ctx, o, p); err != nil {
		return nil, err
	}
	if p.After, err = s.measureEach(ctx, o); err != nil {
		return nil, err
	}
	p.Swept, err = s.swept()
	return p, err
}

// enlarge stops the nodes, fills their database, and starts them again.
func (s *server) enlarge(ctx context.Context, o options, p *pair) error {
	if err := s.populate(ctx, 1); err != nil {
		return err
	}
	pattern := s.worker(0)
	_, err := pattern.signIn(ctx) // there has to be something to copy
	pattern.close()
	if err != nil {
		return err
	}
	s.Stop()
	c := fill.Config{Database: s.Database, Sessions: o.Fill, Grants: o.Fill * 5 / 2, Progress: progress()}
	if o.Sweep > 0 {
		c.Sessions, c.Grants, c.Over = o.Sweep, o.Sweep, true
	}
	began := time.Now()
	if p.Made, err = fill.Fill(ctx, c); err != nil {
		return err
	}
	p.Took = time.Since(began).Seconds()
	for _, node := range s.Nodes {
		if err := s.Start(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

// progress tells how far it is, once in a second.
func progress() func(string, int, int) {
	var told time.Time
	return func(table string, done, of int) {
		if done == of || time.Since(told) > time.Second {
			told = time.Now()
			fmt.Fprintf(os.Stderr, "filling %s: %d of %d …\n", table, done, of)
		}
	}
}

// swept is what the logs of the nodes say of the sweep.
func (s *server) swept() (lines []string, err error) {
	files, err := filepath.Glob(filepath.Join(s.Folder, "*.log"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		for read := bufio.NewScanner(f); read.Scan(); {
			if strings.Contains(read.Text(), "swept") {
				lines = append(lines, read.Text())
			}
		}
		f.Close()
	}
	return lines, nil
}

func (p *pair) print(asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(p)
	}
	fmt.Printf("%s\nmade in %.0f s: %v\n\n", p.Before.title(), p.Took, p.Made)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "operation\tconnections\tp50\tp50 after\ttimes\tp99\tp99 after\ttimes\tlongest\tafter\tCPU/op\tafter\ttimes\terrors\t")
	for i, a := range p.Before.Results {
		b := p.After.Results[i]
		fmt.Fprintf(w, "%s\t%d\t%.2f ms\t%.2f ms\t%.2f\t%.2f ms\t%.2f ms\t%.2f\t%.1f ms\t%.1f ms\t%.3f ms\t%.3f ms\t%.2f\t%d\t\n", a.Operation, a.Connections,
			a.P50, b.P50, b.P50/a.P50, a.P99, b.P99, b.P99/a.P99, a.Longest, b.Longest, a.CPU, b.CPU, b.CPU/a.CPU, a.Errors+b.Errors)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, line := range p.Swept {
		fmt.Println(line)
	}
	return nil
}
