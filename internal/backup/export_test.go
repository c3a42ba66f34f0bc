package backup

import "testing"

// LimitParts makes a backup of more parts one with too many, while a test runs.
func LimitParts(t *testing.T, n int) {
	was := maxParts
	maxParts = n
	t.Cleanup(func() { maxParts = was })
}
