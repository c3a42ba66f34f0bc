package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/bench/house"
)

// TestFlood floods for three seconds, with limits that it reaches in that time, on both
// databases. A minute is by command.
func TestFlood(t *testing.T) {
	binary, err := house.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	database := os.Getenv("OSTIARY_TEST_POSTGRES")
	if database == "" {
		t.Fatal("PostgreSQL is not running: run make test, which starts one (or set OSTIARY_TEST_POSTGRES)")
	}
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		t.Run(name, func(t *testing.T) {
			r, err := flood(t.Context(), options{
				Binary: binary, Time: 3 * time.Second, Addresses: 3, Connections: 8,
				Address: 300, Begun: 30, Waiting: 150, SignUps: 3, Registering: 5, Postgres: postgres, Database: database,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.print(); err != nil {
				t.Fatal(err)
			}
			if err := r.fault(); err != nil {
				t.Error(err)
			}
			if r.Visits[429] == 0 {
				t.Errorf("nobody was refused: %v", r.Visits)
			}
		})
	}
}

// A table that grew beyond its bound, or has none, is a fault.
func TestFault(t *testing.T) {
	good := report{SignedIn: 1, Tables: []table{{"requests", 0, 10, 10}}}
	if err := good.fault(); err != nil {
		t.Error(err)
	}
	for _, r := range []report{
		{SignedIn: 1, Tables: []table{{"requests", 1, 12, 10}}},
		{SignedIn: 1, Tables: []table{{"surprises", 0, 1, 0}}},
		{Tables: []table{{"requests", 0, 10, 10}}},
	} {
		if r.fault() == nil {
			t.Errorf("%+v was let through", r)
		}
	}
	for _, args := range []string{"-time 0s", "-addresses 1000", "-postgres", "more"} {
		t.Setenv("OSTIARY_TEST_POSTGRES", "")
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
}
