package docs_test

import (
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestLibraryNames looks up what the pages about the library name: functions and types with
// their package, and the options of its structs.
func TestLibraryNames(t *testing.T) {
	qualified := regexp.MustCompile(`\b(jwa|jwk|jws|jwe|jwt)\.([A-Z]\w*)`)
	known := map[string]map[string]bool{}
	for _, name := range []string{"jwa", "jwk", "jws", "jwe", "jwt"} {
		known[name] = exports(t, name)
	}
	found := 0
	for _, page := range []string{"library.md", "coming-from.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if page == "coming-from.md" { // the other columns are the names of others
				line = line[strings.LastIndex(strings.TrimSuffix(line, " |"), " | ")+1:]
			}
			for _, m := range qualified.FindAllStringSubmatch(line, -1) {
				found++
				if !known[m[1]][m[2]] {
					t.Errorf("docs/%s:%d: package %s has no %s", page, i+1, m[1], m[2])
				}
			}
		}
	}
	if found < 150 {
		t.Errorf("only %d names were found", found)
	}
}

// TestExamplesRun: an example without output is compiled and not run.
func TestExamplesRun(t *testing.T) {
	found := 0
	for _, name := range []string{"jwa", "jwk", "jws", "jwe", "jwt"} {
		file, err := parser.ParseFile(token.NewFileSet(), "../"+name+"/example_test.go", nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range doc.Examples(file) {
			found++
			if e.Output == "" || e.Doc == "" {
				t.Errorf("%s: Example%s has no output, or no comment", name, e.Name)
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d examples were found", found)
	}
}
