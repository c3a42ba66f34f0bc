package model_test

import (
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

// TestNewID draws often enough that one identifier in 64 would be found.
func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 5000 {
		id := model.NewID()
		if len(id) != 22 || seen[id] {
			t.Fatalf("%q: want 22 characters, never the same again", id)
		}
		if id[0] == '-' {
			t.Fatalf("%q reads as a flag at the command", id)
		}
		seen[id] = true
	}
}

func TestNeighbourhood(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::1": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "": "", "@": "@", strings.Repeat("x", 1000): strings.Repeat("x", 64),
	} {
		if got := model.Neighbourhood(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}
