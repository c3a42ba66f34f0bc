package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the pages of docs/reference anew")

// referencePages are the pages that the source itself tells.
var referencePages = []struct {
	name string
	make func(*testing.T) string
}{
	{"settings.md", referenceOfSettings},
	{"commands.md", referenceOfCommands},
	{"endpoints.md", referenceOfEndpoints},
	{"errors.md", referenceOfErrors},
}

// TestReference holds the pages below docs/reference to the source that they are made
// of. make reference writes them.
func TestReference(t *testing.T) {
	for _, page := range referencePages {
		t.Run(page.name, func(t *testing.T) {
			path := filepath.Join("..", "..", "docs", "reference", page.name)
			want := page.make(t)
			if *update {
				if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			have, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if line := difference(string(have), want); line != "" {
				t.Errorf("docs/reference/%s is not what the source says: run make reference and read what changed\n%s", page.name, line)
			}
		})
	}
}

// difference returns the first line in which two texts differ.
func difference(have, want string) string {
	old, now := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range max(len(old), len(now)) {
		a, b := "(the end)", "(the end)"
		if i < len(old) {
			a = old[i]
		}
		if i < len(now) {
			b = now[i]
		}
		if a != b {
			return "the page:   " + a + "\nthe source: " + b
		}
	}
	return ""
}

// writer puts a page together.
type writer struct{ strings.Builder }

// newPage begins one.
func newPage(title, about string) *writer {
	w := &writer{}
	w.para("# " + title)
	w.para(about)
	w.para("This page is made from the source by `make reference`, and a test holds it to that.")
	return w
}

func (w *writer) para(text string) { w.WriteString(text + "\n\n") }

// table writes a heading and rows.
func (w *writer) table(heading []string, rows [][]string) {
	w.row(heading)
	w.WriteString(strings.Repeat("|---", len(heading)) + "|\n")
	for _, r := range rows {
		w.row(r)
	}
	w.WriteString("\n")
}

var cell = strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;")

func (w *writer) row(cells []string) {
	for _, c := range cells {
		w.WriteString("| " + strings.ReplaceAll(cell.Replace(c), "&lt;br>", "<br>") + " ")
	}
	w.WriteString("|\n")
}

func (w *writer) text() string { return strings.TrimRight(w.String(), "\n") + "\n" }

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}
