package main

import (
	"os"
	"testing"

	"github.com/ostiary/ostiary/bench/house"
)

// TestFaults is the program, as short as can be.
func TestFaults(t *testing.T) {
	binary, err := house.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := short
	o.Binary, o.Database, o.Log = binary, os.Getenv("OSTIARY_TEST_POSTGRES"), t.Logf
	if o.Database == "" {
		t.Fatal("PostgreSQL is not running: run make test, which starts one (or set OSTIARY_TEST_POSTGRES)")
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			done, err := f.run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(done)
		})
	}
}
