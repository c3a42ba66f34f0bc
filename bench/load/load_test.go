package main

import (
	"encoding/xml"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/bench/house"
)

// TestLoad measures next to nothing: that every operation works, on one node and on
// two, without one error, and that there is something to print and to draw.
func TestLoad(t *testing.T) {
	t.Setenv("OSTIARY_PASSWORD_MEMORY", "8192") // what a password costs is not the question
	t.Setenv("OSTIARY_PASSWORD_PASSES", "1")
	binary, err := house.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	database := os.Getenv("OSTIARY_TEST_POSTGRES")
	if database == "" {
		t.Fatal("PostgreSQL is not running: run make test, which starts one (or set OSTIARY_TEST_POSTGRES)")
	}
	for name, o := range map[string]options{
		"one node":  {Nodes: 1, Connections: []int{1, 4}},
		"two nodes": {Nodes: 2, Connections: []int{4}},
		"shares":    {Nodes: 2, Connections: []int{4}, Share: 0.5, Only: []string{"code", "keys"}},
	} {
		t.Run(name, func(t *testing.T) {
			o.Binary, o.Database, o.Time, o.WarmUp, o.Runs = binary, database, 150*time.Millisecond, 50*time.Millisecond, 1
			r, err := measureAll(t.Context(), o)
			if o.Share > 0 && err != nil && strings.Contains(err.Error(), "be root") {
				t.Logf("what a share needs is not allowed here: %v", err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			measured := len(operations)
			if len(o.Only) > 0 {
				measured = len(o.Only)
			}
			if want := measured * len(o.Connections); len(r.Results) != want {
				t.Fatalf("%d results, want %d", len(r.Results), want)
			}
			for _, one := range r.Results {
				if one.Done == 0 || one.Errors != 0 {
					t.Errorf("%s, %d connections: %d done, %d errors: %s", one.Operation, one.Connections, one.Done, one.Errors, one.Failure)
				}
				if one.P50 <= 0 || one.P50 > one.P99 || one.Before <= 0 {
					t.Errorf("%s: cannot be: %+v", one.Operation, one)
				}
			}
			for d := xml.NewDecoder(strings.NewReader(plot(r.Results))); ; {
				if _, err := d.Token(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("the plot: %v", err)
				}
			}
			for _, asJSON := range []bool{false, true} {
				if err := r.print(asJSON); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestCompare fills a database a little, and measures before and after; and while what
// is over is swept, of which the sweep of the next minute is not waited for.
func TestCompare(t *testing.T) {
	t.Setenv("OSTIARY_PASSWORD_MEMORY", "8192")
	t.Setenv("OSTIARY_PASSWORD_PASSES", "1")
	binary, err := house.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]options{
		"fill, sqlite":    {Fill: 210},
		"fill, postgres":  {Fill: 210, Postgres: true},
		"sweep, sqlite":   {Sweep: 210},
		"sweep, postgres": {Sweep: 210, Postgres: true},
	} {
		t.Run(name, func(t *testing.T) {
			o.Binary, o.Database, o.Nodes, o.Connections = binary, os.Getenv("OSTIARY_TEST_POSTGRES"), 1, []int{2}
			o.Time, o.WarmUp, o.Runs, o.Only = 150*time.Millisecond, 50*time.Millisecond, 1, []string{"code", "refresh", "introspection"}
			p, err := compare(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			grants := 525
			if o.Sweep > 0 {
				grants = 210
			}
			for table, n := range map[string]int{"users": 53, "sessions": 210, "grants": grants, "codes": grants, "participants": 210} {
				if p.Made[table] != n {
					t.Errorf("%d rows of %s were made, want %d", p.Made[table], table, n)
				}
			}
			for _, r := range [][]*result{p.Before.Results, p.After.Results} {
				if len(r) != 3 {
					t.Fatalf("%d results, want 3", len(r))
				}
				for _, one := range r {
					if one.Done == 0 || one.Errors != 0 || one.Longest < one.P50 {
						t.Errorf("%+v", one)
					}
				}
			}
			if err := p.print(false); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestParse(t *testing.T) {
	t.Setenv("OSTIARY_TEST_POSTGRES", "")
	for _, row := range []struct{ args, fault string }{
		{"-connections 1,4,16 -runs 5 -only refresh,keys", ""},
		{"-connections 0", "no number"},
		{"-connections 1,many", "no number"},
		{"-only nothing", "no operation"},
		{"-nodes 2", "-database"},
		{"-postgres", "-database"},
		{"-runs 0", "more than nothing"},
		{"-nodes 2 -database x -share 0.2", ""},
		{"-share -1", "part of a processor"},
		{"-fill 10 -sweep 10", "one of them"},
		{"more", "only flags"},
	} {
		_, err := parse(strings.Fields(row.args))
		switch {
		case row.fault == "" && err != nil:
			t.Errorf("%s: %v", row.args, err)
		case row.fault != "" && (err == nil || !strings.Contains(err.Error(), row.fault)):
			t.Errorf("%s: %v, want %q in it", row.args, err, row.fault)
		}
	}
}

// TestSlower: a bar is moved by what the operation is made of.
func TestSlower(t *testing.T) {
	here := yardsticks{Sign: 0.04, Verify: barVerify, HTTP: barHTTP}
	fastAtHTTP := yardsticks{Sign: 0.04, Verify: barVerify, HTTP: barHTTP / 2}
	for _, row := range []struct {
		name string
		y    yardsticks
		bar  bar
		want float64
	}{
		{"the same machine", here, bar{0.22, 1, 2, 0}, 1},
		{"a bare request", fastAtHTTP, bar{barHTTP, 1, 0, 0}, 0.5},
		{"a bare verification", fastAtHTTP, bar{barVerify, 0, 0, 1}, 1},
		{"a bare signature", fastAtHTTP, bar{0.04, 0, 1, 0}, 1},
		{"neither", fastAtHTTP, bar{1, 0, 0, 0}, 0.75},
	} {
		if got := row.y.slower(row.bar); math.Abs(got-row.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}
