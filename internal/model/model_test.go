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

// TestSlot holds keys of one time to one beginning, and those of a later time to another.
func TestSlot(t *testing.T) {
	const begin = 1_700_000_768 // a multiple of 1,024
	slot := model.Slot(begin)
	if len(slot) != 4 || model.Slot(begin+1023) != slot {
		t.Errorf("%q and %q, want the same four characters for 1,024 seconds", slot, model.Slot(begin+1023))
	}
	for _, other := range []int64{begin - 1, begin + 1024, begin + 1<<18, begin + 1<<26, 0} {
		if model.Slot(other) == slot {
			t.Errorf("%d has the slot of %d", other, begin)
		}
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
