package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// block is a fenced or indented piece of code of a document.
type block struct {
	language string // of the fence; "" where it names none
	text     string
	line     int  // of its first line
	adjacent bool // nothing but blank lines since the block before
}

// kind says what is done with a block.
func (b block) kind() string {
	switch {
	case b.language == "sh", b.language == "" && shell.MatchString(b.text):
		return "sh"
	case b.language == "go" && strings.HasPrefix(b.text, "package "):
		return "program"
	}
	return b.language
}

// shell recognises commands in a block that does not say what it holds.
var shell = regexp.MustCompile(`^(?:[A-Z_]+=\S+ )*(?:go|make|curl|(?:\./)?ostiary) `)

// blocks returns the pieces of code of a document, in order.
func blocks(text string) []block {
	var all []block
	var open *block
	fenced, adjacent := false, false
	for i, line := range strings.Split(text, "\n") {
		indented, isIndented := strings.CutPrefix(line, "    ")
		language, isFence := strings.CutPrefix(line, "```")
		switch {
		case fenced && isFence:
			all, open, fenced, adjacent = append(all, *open), nil, false, true
		case fenced:
			open.text += line + "\n"
		case open != nil && isIndented:
			open.text += indented + "\n"
		case isFence:
			open, fenced = &block{language: strings.TrimSpace(language), line: i + 2, adjacent: adjacent}, true
		case isIndented && open == nil && !adjacent && (i == 0 || blankBefore(text, i)):
			open = &block{text: indented + "\n", line: i + 1}
		default:
			if open != nil {
				all, open, adjacent = append(all, *open), nil, true
			}
			if strings.TrimSpace(line) != "" {
				adjacent = false
			}
		}
	}
	return all
}

func blankBefore(text string, line int) bool {
	return strings.TrimSpace(strings.Split(text, "\n")[line-1]) == ""
}

// prose is a document without its code.
func prose(text string) string {
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
}

// rows returns the cells of all tables of a document, without the code marks.
func rows(text string) [][]string {
	var all [][]string
	for line := range strings.SplitSeq(prose(text), "\n") {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		all = append(all, cells)
	}
	return all
}

var span = regexp.MustCompile("`([^`\n]+)`")

// spans returns what stands between code marks.
func spans(text string) []string {
	var all []string
	for _, m := range span.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	unslug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// Every link to a file of ours leads somewhere, also within the page.
func TestLinks(t *testing.T) {
	for _, path := range linked(t) {
		text := read(t, path)
		for _, m := range link.FindAllStringSubmatch(prose(text), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") {
				continue // somebody else's page
			}
			file := filepath.Join("..", filepath.Dir(path), target)
			if target == "" {
				file = filepath.Join("..", path)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", path, m[1])
				continue
			}
			if anchor == "" {
				continue
			}
			page, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(anchors(string(page)), anchor) {
				t.Errorf("%s: %s has no heading for the link to %s", path, target, m[1])
			}
		}
	}
}

// linked lists the documents whose links are checked: all of the repository.
func linked(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/reference/*.md", "examples/*/*.md"} {
		found, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			all = append(all, filepath.ToSlash(strings.TrimPrefix(f, ".."+string(filepath.Separator))))
		}
	}
	return all
}

// anchors are the names that a page's headings get when it is shown.
func anchors(text string) []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(prose(text), -1) {
		name := unslug.ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(name, " ", "-"))
	}
	return all
}
