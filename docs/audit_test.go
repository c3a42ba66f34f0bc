package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// notActions are texts that look like an action, in the packages that record some.
var notActions = []string{
	"audit.head",             // a setting
	"ssf.manage",             // scopes
	"ssf.read",               // likewise
	"address.country",        // claims
	"address.formatted",      // likewise
	"address.locality",       // likewise
	"address.postal_code",    // likewise
	"address.region",         // likewise
	"address.street_address", // likewise
	"ostiary.outlet",         // an attribute of a span
}

var (
	action = regexp.MustCompile(`^[a-z_]+\.[a-z_]+$`)
	// The noun may be in a variable, to which a verb is added.
	verb = regexp.MustCompile(`^\.[a-z_]+$`)
)

// Every action that the source can record has a row in the table, and every row has
// a place in the source.
func TestActions(t *testing.T) {
	var table []string
	_, text, _ := strings.Cut(read(t, "docs/audit.md"), "## Every action")
	for _, row := range rows(text)[1:] {
		table = append(table, strings.Trim(row[0], "`"))
	}
	if !slices.IsSorted(table) {
		t.Error("docs/audit.md: the actions are not in the order of the alphabet")
	}
	said := map[string]bool{}
	for _, word := range recorded(t) {
		if word == ".localhost" { // a domain
			continue
		}
		if verb.MatchString(word) {
			i := slices.IndexFunc(table, func(row string) bool { return strings.HasSuffix(row, word) })
			if i < 0 {
				t.Errorf("docs/audit.md: no action ends in %s", word)
				continue
			}
			word = table[i]
		}
		said[word] = true
		if !slices.Contains(table, word) && !slices.Contains(notActions, word) {
			t.Errorf("docs/audit.md: the table has no action %s", word)
		}
	}
	for _, row := range table {
		if !said[row] {
			t.Errorf("docs/audit.md: nothing records %s", row)
		}
	}
	for _, word := range notActions {
		if !said[word] {
			t.Errorf("%s is not in the source: take it off the list", word)
		}
	}
}

// recorded returns the texts that look like an action, or its verb, in the packages
// that call Record.
func recorded(t *testing.T) []string {
	t.Helper()
	words, records := map[string][]string{}, map[string]bool{} // by folder
	err := filepath.WalkDir("../internal", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		folder := filepath.Dir(path)
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if word, err := strconv.Unquote(n.Value); err == nil && (action.MatchString(word) || verb.MatchString(word)) {
					words[folder] = append(words[folder], word)
				}
			case *ast.SelectorExpr:
				records[folder] = records[folder] || n.Sel.Name == "Record"
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for folder := range records {
		if records[folder] {
			all = append(all, words[folder]...)
		}
	}
	return all
}
