package main

import (
	"cmp"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

func referenceOfEndpoints(t *testing.T) string {
	data := t.TempDir()
	storetest.MakeFile(t, filepath.Join(data, "ostiary.db"))
	p, err := server.Open(t.Context(), server.Config{Issuer: "http://localhost:8080", Data: data, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	routes, err := p.Routes()
	if err != nil {
		t.Fatal(err)
	}
	w := newPage("Endpoints", "Every address of the server, with who may call it and where it is described. Paths are below the issuer.")
	w.para("## For programs")
	w.para("HEAD answers where GET does, and OPTIONS where [scripts of other sites](../endpoints.md#what-holds-for-all) may call.")
	w.routes(t, routes, true)
	w.para("## For people")
	w.para("A page of a sign-in belongs to the browser that began it. A page that wants people to have signed in *lately* asks them to sign in again otherwise.")
	w.routes(t, routes, false)
	return w.text()
}

// routes writes one row for each path: methods with the same callers stand together.
func (w *writer) routes(t *testing.T, routes []server.Route, programs bool) {
	told := readManual(t)
	type row struct{ methods, path, who string }
	var rows []row
	for _, r := range routes {
		if r.Program != programs {
			continue
		}
		who := r.For
		for i, scope := range r.Scopes {
			who += []string{", with the scope ", " or "}[min(i, 1)] + code(scope)
		}
		at := slices.IndexFunc(rows, func(o row) bool { return o.path == r.Path && o.who == who })
		if at < 0 {
			rows = append(rows, row{r.Method, r.Path, who})
			continue
		}
		rows[at].methods += ", " + r.Method
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(normal(a.path), normal(b.path)) })
	var cells [][]string
	for _, r := range rows {
		if r.path == "/" { // it takes what nothing else does
			cells = append(cells, []string{r.methods, "everything else", r.who, "404"})
			continue
		}
		at := told.of(r.path)
		if at == "" {
			t.Errorf("no page of docs tells of %s %s: write about it", r.methods, r.path)
			continue
		}
		cells = append(cells, []string{r.methods, code(strings.TrimSuffix(r.path, "{$}")), r.who, told.link(t, at)})
	}
	w.table([]string{"Method", "Address", "Who may call", "Described in"}, cells)
}

// manual is where the pages of docs tell of what.
type manual struct {
	places []told
	titles map[string]string // of a page, and of a part of it, by how it is linked
}

// told is where an address is told of.
type told struct {
	path, at string
	rank     int // the lower, the more it is about this address
}

var (
	inCode    = regexp.MustCompile("`(?:(?:GET|POST|PUT|PATCH|DELETE) )?(/[^` ?]*)[^`]*`")
	inHeading = regexp.MustCompile(`(?:GET|POST|PUT|PATCH|DELETE) (/\S+)`)
	inLink    = regexp.MustCompile(`^\| *\[(.*?)\]\((.*?)\)`)
	parameter = regexp.MustCompile(`\{[^}]*\}`)
	punctuate = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// readManual reads all its pages.
func readManual(t *testing.T) manual {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := manual{titles: map[string]string{}}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m.add(filepath.Base(file), string(text))
	}
	slices.SortStableFunc(m.places, func(a, b told) int { return cmp.Compare(a.rank, b.rank) })
	return m
}

// add reads one page. A heading with an address is about it; so is what the list at the
// head of the page about endpoints leads to; then come rows that begin with it, and what
// names it anywhere else.
func (m *manual) add(file, text string) {
	at, title, fenced := file, "", false
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if fenced {
			continue
		}
		found, rank, to := inCode.FindAllStringSubmatch(line, -1), 4, at
		link := inLink.FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(line, "# "):
			title = line[2:]
			m.titles[file] = title
		case strings.HasPrefix(line, "#"):
			heading := strings.TrimSpace(strings.TrimLeft(line, "#"))
			at = file + "#" + strings.ReplaceAll(punctuate.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
			m.titles[at] = title + ": " + heading
			found, rank, to = inHeading.FindAllStringSubmatch(line, -1), 0, at
		case link != nil:
			found, rank, to = inCode.FindAllStringSubmatch(link[1], -1), 1, link[2]
			if strings.HasPrefix(to, "#") {
				to = file + to
			}
		case strings.HasPrefix(line, "|"):
			first, _, _ := strings.Cut(line[1:], "|")
			found, rank = inCode.FindAllStringSubmatch(first, -1), 2
		}
		if rank > 1 && file != "endpoints.md" {
			rank++
		}
		for _, one := range found {
			m.places = append(m.places, told{normal(one[1]), to, rank})
		}
	}
}

// link leads to a page or a part of it, from docs/reference.
func (m manual) link(t *testing.T, at string) string {
	t.Helper()
	title, ok := m.titles[at]
	if !ok {
		t.Errorf("there is no %s in docs", at)
	}
	return "[" + title + "](../" + at + ")"
}

// normal is a path without the names of its parameters.
func normal(path string) string {
	return strings.TrimSuffix(parameter.ReplaceAllString(strings.TrimSuffix(path, "{$}"), "{}"), "…")
}

// of returns where an address is told of, or what it stands below.
func (m manual) of(path string) string {
	for path = normal(path); ; path = path[:strings.LastIndex(path, "/")] {
		for _, p := range m.places {
			if p.path == path || p.path == path+"/" || p.path+"/" == path {
				return p.at
			}
		}
		if path = strings.TrimSuffix(path, "/"); strings.Count(path, "/") < 2 {
			return ""
		}
	}
}
