package model_test

import (
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
