package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func referenceOfErrors(t *testing.T) string {
	statuses := answered(t)
	w := newPage("Errors", "The codes that a program can switch on, what they mean and what they come with. Texts beside them are for people and may change. "+
		"[Which status when](../which-status-when.md) tells what to do; [Endpoints](../endpoints.md) and the other pages tell which comes where.")

	w.para("## Endpoints for programs")
	w.para("In the member `error` of the JSON (RFC 6749 §5.2), or of the challenge in `WWW-Authenticate` (RFC 6750 §3).")
	oauth := constants(t, "internal/oauth", ofType("Code"))
	w.codes(oauth[0], statuses["oauth"])
	w.para("## The authorization endpoint")
	w.para("In the parameter `error` of the redirect, beside `invalid_request`, `unauthorized_client`, `unsupported_response_type`, `invalid_scope`, `invalid_target`, `access_denied`, " +
		"`server_error` and `temporarily_unavailable` of the list above. Without an address that can be trusted, a page (400) shows the code.")
	w.codes(oauth[1], nil)
	w.para("## Registration")
	w.para("Of [`/register`](../register-applications.md#what-is-refused).")
	w.codes(constants(t, "internal/registration", ofType("Code"))[0], statuses["registration"])
	w.para("## An API")
	w.para("Of package `resource` and of [`ostiary guard`](../guard.md), in the challenge and in the body, `application/problem+json`.")
	w.codes(constants(t, "resource", beginning("Code"))[0], refusals(t))

	w.para("## Types of problems")
	w.para("In the member `type` of an `application/problem+json` (RFC 9457) without a code.")
	var rows [][]string
	for _, dir := range []string{"resource", "internal/api"} {
		for _, block := range constants(t, dir, func(_ string, s *ast.ValueSpec) bool { return strings.HasPrefix(literal(s), "urn:ostiary:problem:") }) {
			for _, c := range block {
				rows = append(rows, []string{code(c.value), c.when})
			}
		}
	}
	w.table([]string{"Type", "When"}, rows)

	w.para("## Causes")
	w.para("Why something has ended: in `ostiary_cause` beside `invalid_grant`, in the [revocation feed](../revocation-feed.md) and in the [audit log](../audit.md).")
	w.codes(constants(t, "internal/model", ofType("Cause"))[0], nil)
	w.para("## Security events")
	w.para("In the member `err` of the answer (400) to an event that is not taken, or of a poll (RFC 8935 §2.4, RFC 8936 §2.6). What [a receiver](../shared-signals.md) answers us is read by the same list.")
	w.codes(constants(t, "internal/signal", ofType("eventCode"))[0], nil)
	w.para("## Identity providers")
	w.para("Of a sign-in [with an account elsewhere](../upstream.md): `code` in the log and in the answer of `ostiary upstream test`.")
	w.codes(slices.Concat(constants(t, "internal/upstream", ofType("Code"))[0], constants(t, "internal/federation", ofType("Code"))[0]), nil)
	w.library(t)
	return w.text()
}

// codes writes a table of one block of constants. statuses may be nil.
func (w *writer) codes(block []constant, statuses map[string][]int) {
	heading := []string{"Code", "When"}
	if statuses != nil {
		heading = append(heading, "Status")
	}
	clauses := slices.ContainsFunc(block, func(c constant) bool { return c.clause != "" })
	if clauses {
		heading = append(heading, "Defined in")
	}
	var rows [][]string
	for _, c := range block {
		row := []string{code(c.value), c.when}
		if statuses != nil {
			var numbers []string
			for _, n := range statuses[c.name] {
				numbers = append(numbers, strconv.Itoa(n))
			}
			row = append(row, strings.Join(numbers, ", "))
		}
		if clauses {
			row = append(row, c.clause)
		}
		rows = append(rows, row)
	}
	w.table(heading, rows)
}

// library writes what packages of the library return, to be asked for by errors.Is.
func (w *writer) library(t *testing.T) {
	w.para("## The library")
	w.para("Values of the Go packages, for `errors.Is`. `errors.As` finds more in some: `go doc` tells which.")
	for _, name := range []string{"jwt", "jws", "jwe", "jwk", "jwa", "resource", "client"} {
		var rows [][]string
		for _, block := range constants(t, name, beginning("Err")) {
			for _, c := range block {
				rows = append(rows, []string{code(name + "." + c.name), c.value, c.when})
			}
		}
		if len(rows) == 0 {
			t.Errorf("package %s has no errors any more", name)
		}
		w.table([]string{"Value", "Text", "When"}, rows)
	}
}

// constant is one with a text, as the source tells it.
type constant struct{ name, value, when, clause string }

// choose says which constants and variables are asked for.
type choose func(name string, s *ast.ValueSpec) bool

func ofType(name string) choose {
	return func(_ string, s *ast.ValueSpec) bool {
		of, ok := s.Type.(*ast.Ident)
		return ok && of.Name == name
	}
}

func beginning(prefix string) choose {
	return func(name string, _ *ast.ValueSpec) bool { return strings.HasPrefix(name, prefix) }
}

// constants reads the declarations of a package, block by block, with their comments:
// the one above a constant says when it comes, and the one beside it where it is
// defined; or, alone, when it comes.
func constants(t *testing.T, dir string, want choose) [][]constant {
	t.Helper()
	var all [][]constant
	for _, file := range parse(t, dir) {
		for _, d := range file.Decls {
			declared, ok := d.(*ast.GenDecl)
			if !ok || declared.Tok != token.CONST && declared.Tok != token.VAR {
				continue
			}
			var block []constant
			for _, spec := range declared.Specs {
				s := spec.(*ast.ValueSpec)
				if len(s.Names) != 1 || len(s.Values) != 1 || !want(s.Names[0].Name, s) || literal(s) == "" {
					continue
				}
				above, beside := commented(s.Doc), commented(s.Comment)
				if above == "" && len(declared.Specs) == 1 {
					above = commented(declared.Doc)
				}
				if above == "" {
					above, beside = beside, ""
				}
				if above == "" {
					t.Errorf("%s: %s does not say when it comes: write a comment", dir, s.Names[0].Name)
				}
				block = append(block, constant{s.Names[0].Name, literal(s), withoutName(above, s.Names[0].Name), beside})
			}
			if block != nil {
				all = append(all, block)
			}
		}
	}
	if all == nil {
		t.Fatalf("%s declares none of them", dir)
	}
	return all
}

// withoutName is a comment as a sentence of a table, which has the name already.
func withoutName(comment, name string) string {
	if rest, ok := strings.CutPrefix(comment, name); ok {
		for _, verb := range []string{":", " says that", " is the type of the problem that"} {
			rest, _ = strings.CutPrefix(rest, verb)
		}
		comment = strings.TrimSpace(rest)
	}
	return upperFirst(strings.TrimSuffix(comment, "."))
}

// parse reads the files of a package, without its tests.
func parse(t *testing.T, dir string) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(dir), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, file)
	}
	return all
}

// literal is the text of a constant, or of an error.
func literal(s *ast.ValueSpec) string {
	value := s.Values[0]
	if call, ok := value.(*ast.CallExpr); ok && len(call.Args) == 1 {
		value = call.Args[0]
	}
	if basic, ok := value.(*ast.BasicLit); ok && basic.Kind == token.STRING {
		text, err := strconv.Unquote(basic.Value)
		if err == nil {
			return text
		}
	}
	return ""
}

func commented(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// answered reads out of package api with which statuses the codes of which package are
// answered: where both are written beside each other, and by its tables. A code that a
// rule of oauth fails with, and that is in no table, is answered with 400.
func answered(t *testing.T) map[string]map[string][]int {
	t.Helper()
	all := map[string]map[string][]int{"oauth": {}, "registration": {}}
	add := func(of, name string, status int) {
		if !slices.Contains(all[of][name], status) {
			all[of][name] = append(all[of][name], status)
			slices.Sort(all[of][name])
		}
	}
	inTables := map[string]bool{}
	for _, file := range parse(t, "internal/api") {
		ast.Inspect(file, func(n ast.Node) bool {
			var parts []ast.Expr
			switch n := n.(type) {
			case *ast.CallExpr:
				parts = n.Args
			case *ast.AssignStmt:
				parts = n.Rhs
			case *ast.KeyValueExpr:
				parts = []ast.Expr{n.Key, n.Value}
			}
			of, name, status := pair(parts)
			if name == "" || status == 0 {
				return true
			}
			if _, ok := n.(*ast.KeyValueExpr); ok {
				inTables[of+"."+name] = true
			}
			add(of, name, status)
			return true
		})
	}
	for of, names := range map[string][]string{"oauth": failing(t, "internal/oauth"), "registration": failing(t, "internal/registration")} {
		for _, name := range names {
			if !inTables[of+"."+name] {
				add(of, name, http.StatusBadRequest)
			}
		}
	}
	return all
}

// pair finds a code and a status among what stands together.
func pair(parts []ast.Expr) (of, name string, status int) {
	for _, part := range parts {
		selector, ok := part.(*ast.SelectorExpr)
		if !ok {
			continue
		}
		from, ok := selector.X.(*ast.Ident)
		switch {
		case ok && from.Name == "http":
			status = statusNamed(selector.Sel.Name)
		case ok && (from.Name == "oauth" || from.Name == "registration"):
			of, name = from.Name, selector.Sel.Name
		}
	}
	return of, name, status
}

// statusNamed leads from http.StatusNotFound to 404.
func statusNamed(name string) int {
	for n := 100; n < 600; n++ {
		if "Status"+strings.ReplaceAll(http.StatusText(n), " ", "") == name {
			return n
		}
	}
	return 0
}

// failing lists the codes with which the rules of a package fail.
func failing(t *testing.T, dir string) []string {
	t.Helper()
	found := map[string]bool{}
	for _, file := range parse(t, dir) {
		ast.Inspect(file, func(n ast.Node) bool {
			var value ast.Expr
			switch n := n.(type) {
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "fail" && len(n.Args) > 0 {
					value = n.Args[0]
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Code" {
					value = n.Value
				}
			case *ast.AssignStmt: // code, name := InvalidClientMetadata, …
				value = n.Rhs[0]
			}
			if id, ok := value.(*ast.Ident); ok {
				found[id.Name] = true
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(found))
}

// refusals reads out of package resource with which statuses its codes are answered.
func refusals(t *testing.T) map[string][]int {
	t.Helper()
	all := map[string][]int{}
	for _, file := range parse(t, "resource") {
		ast.Inspect(file, func(n ast.Node) bool {
			made, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			name, status := "", 0
			for _, e := range made.Elts {
				part, ok := e.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				switch v := part.Value.(type) {
				case *ast.Ident:
					if strings.HasPrefix(v.Name, "Code") {
						name = v.Name
					}
				case *ast.SelectorExpr:
					if n := statusNamed(v.Sel.Name); n != 0 {
						status = n
					}
				}
			}
			if name != "" && status != 0 && !slices.Contains(all[name], status) {
				all[name] = append(all[name], status)
				slices.Sort(all[name])
			}
			return true
		})
	}
	return all
}
