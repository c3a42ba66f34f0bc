package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/ostiary/ostiary/bench/house"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == consumerMode { // an API of the test
		if err := consume(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestKickout measures next to nothing: that everybody is put out everywhere, that
// nobody is put out wrongly, and that there is something to print and to draw.
func TestKickout(t *testing.T) {
	binary, err := house.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := options{Consumers: 4, Ends: 5, PerSecond: 20, Rate: 40, Calls: 20, Entries: 1000, Binary: binary, Database: os.Getenv("OSTIARY_TEST_POSTGRES")}
	if o.Database == "" {
		t.Fatal("PostgreSQL is not running: run make test, which starts one (or set OSTIARY_TEST_POSTGRES)")
	}
	var results []*result
	for _, s := range []setting{{Name: "one", Nodes: 1}, {Name: "two", Nodes: 2}} {
		r, err := measure(t.Context(), o, s)
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		if r.Wrong != 0 || r.Verified == 0 || len(r.all) != o.Ends {
			t.Errorf("%s: %d of %d wrongly refused, %d ends", s.Name, r.Wrong, r.Verified, len(r.all))
		}
		if r.Introspection.Server <= 0 && r.Introspection.API <= 0 {
			t.Errorf("%s: introspection costs nothing", s.Name)
		}
		results = append(results, r)
	}
	big, err := load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "plot.svg")
	if err := plot(path, results); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for d := xml.NewDecoder(f); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the plot: %v", err)
		}
	}
	if err := report(o, results, big); err != nil {
		t.Fatal(err)
	}
}
