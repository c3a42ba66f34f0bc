package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ended finds the statements that end something, or write to the log that
// something has ended. A condition ("AND ended_at = 0") is none.
var ended = map[string]*regexp.Regexp{
	"sets ended_at":             regexp.MustCompile(`(?is)\bSET\b((?:[^W]|W[^H])*?)\bended_at\s*=|\bended_at\s*=\s*[^0\s]`),
	"writes revocations":        regexp.MustCompile(`(?i)\b(INTO|UPDATE)\s+revocations\b`),
	"deletes from revocations":  regexp.MustCompile(`(?i)\bDELETE\s+FROM\s+revocations\b`),
	"deletes sessions, grants":  regexp.MustCompile(`(?i)\bDELETE\s+FROM\s+(sessions|grants)\b`),
	"deletes users":             regexp.MustCompile(`(?i)\bDELETE\s+FROM\s+users\b`),
	"deletes clients":           regexp.MustCompile(`(?i)\bDELETE\s+FROM\s+clients\b`),
	"calls revoke":              nil,
	"calls cut":                 nil,
	"calls DeleteUser":          nil,
	"calls DeleteClient":        nil,
	"ends whom it then deletes": nil,
}

// where says which functions do that; nobody else may.
var where = map[string][]string{
	"sets ended_at":             {"EndAll", "EndClient", "EndGrant", "EndSession", "EndUser", "ExpireSession", "endedSession"},
	"writes revocations":        {"revoke"},
	"deletes from revocations":  {"dead"},
	"deletes sessions, grants":  {"dead"},
	"deletes users":             {"DeleteUser"},
	"deletes clients":           {"DeleteClient", "EvictDocument", "dead"}, // the last two those without a grant
	"calls revoke":              {"EndGrant", "EndUser", "RevokeToken", "cut", "deepen", "endedSession"},
	"calls cut":                 {"EndAll", "EndClient"},
	"calls DeleteUser":          {"Delete"},
	"calls DeleteClient":        {"bury"},
	"ends whom it then deletes": {"Delete", "bury"},
}

// TestOnePlaceEnds: nothing ends beside the End methods, which write the log; and
// whoever is deleted was ended first.
func TestOnePlaceEnds(t *testing.T) {
	found := map[string][]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && path == filepath.Join("..", "..", "bench") {
			return filepath.SkipDir // makes up a log to measure with
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			for _, what := range does(decl) {
				found[what] = append(found[what], nameOf(decl))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for what := range ended {
		slices.Sort(found[what])
		if got := slices.Compact(found[what]); !slices.Equal(got, where[what]) {
			t.Errorf("%v %s, want %v", got, what, where[what])
		}
	}
	// The patterns notice what they are for.
	for text, want := range map[string]string{
		`UPDATE grants SET end_cause = $2, ended_at = $1 WHERE ended_at = 0`: "sets ended_at",
		"update sessions\n set ended_at = 7":                                 "sets ended_at",
		`SELECT 1 FROM grants WHERE ended_at = 0`:                            "",
		`UPDATE grants SET salt = $2 WHERE id = $1 AND ended_at = 0`:         "",
		`insert into revocations (kind) VALUES ($1)`:                         "writes revocations",
	} {
		if got := strings.Join(statements(text), ""); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func statements(text string) (list []string) {
	for what, pattern := range ended {
		if pattern != nil && pattern.MatchString(text) {
			list = append(list, what)
		}
	}
	return list
}

// does lists what a declaration does of that.
func does(decl ast.Decl) []string {
	did := map[string]bool{}
	calls := map[string]bool{}
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil {
				for _, what := range statements(text) {
					did[what] = true
				}
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok {
				if x, ok := f.X.(*ast.Ident); ok && x.Name == "tx" {
					calls[f.Sel.Name] = true
				}
			}
		}
		return true
	})
	for _, name := range []string{"revoke", "cut", "DeleteUser", "DeleteClient"} {
		if calls[name] {
			did["calls "+name] = true
		}
	}
	if calls["DeleteUser"] && calls["EndUser"] || calls["DeleteClient"] && calls["EndClient"] {
		did["ends whom it then deletes"] = true
	}
	return slices.Collect(maps.Keys(did))
}

func nameOf(decl ast.Decl) string {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		return d.Name.Name
	case *ast.GenDecl:
		if v, ok := d.Specs[0].(*ast.ValueSpec); ok {
			return v.Names[0].Name
		}
	}
	return "?"
}
