package docs_test

import (
	"strings"
	"testing"
)

// TestComparison: the README compares in the words of the page, and so cannot say
// something else.
func TestComparison(t *testing.T) {
	page := read(t, "docs/comparison.md")
	_, part, found := strings.Cut(read(t, "README.md"), "\n## How it compares\n")
	part, _, _ = strings.Cut(part, "\n## ")
	compared := rows(part)
	if !found || len(compared) < 6 {
		t.Fatalf("the README compares %d rows", len(compared))
	}
	for _, row := range compared {
		if line := "| " + strings.Join(row, " | ") + " |"; !strings.Contains(page, strings.Replace(line, "|  |", "| |", 1)+"\n") {
			t.Errorf("docs/comparison.md has no row %s", line)
		}
	}
	columns := 0
	for _, row := range rows(page) {
		if columns == 0 {
			columns = len(row)
		}
		if len(row) != columns {
			t.Errorf("%s: %d cells", row[0], len(row))
		}
	}
}
