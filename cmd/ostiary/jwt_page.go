package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// The widths of a page, in columns.
const (
	widestValue   = 46  // a longer one has its explanation below
	narrowestNote = 24  // in less room it is below, too
	narrowestPage = 40  // a terminal that is narrower breaks the lines itself
	longestValue  = 480 // characters; the rest is in --json
)

// colours of a terminal, by the status or the level that has them.
var colours = map[string]string{
	"valid": "32", "opened": "32",
	"unchecked": "33", "warning": "33", "closed": "33",
	"invalid": "31", "missing": "31", "failed": "31", "problem": "31",
}

// faint is the style of explanations, so that what the token says stands out.
const faint = "2"

// A sheet is a page: what is known of a token, for people. On a terminal it keeps to the
// width of that; anywhere else a line is as long as it is.
type sheet struct {
	shell
	out   *bufio.Writer
	width int // 0 for any
}

// line is a line of a section: a name, a value, and what it means.
type line struct{ name, value, note string }

func (t *task) printPage(i *inspection) error {
	p := sheet{shell: t.shell, out: bufio.NewWriter(t.stdout)}
	if terminal(t.stdout) {
		if width, _, err := term.GetSize(int(t.stdout.Fd())); err == nil && width > 0 {
			p.width = max(width, narrowestPage)
		}
	}
	p.write(i, "")
	return p.out.Flush()
}

func (p sheet) write(i *inspection, where string) {
	title := "Signed token (JWS, RFC 7515)"
	if i.Kind == encrypted {
		title = "Encrypted token (JWE, RFC 7516)"
	}
	fmt.Fprintf(p.out, "%s, %d bytes\n", p.bold(where+title), i.Size)
	p.section("Header", headerLines(i))
	if i.Encryption != nil {
		p.checked("Encryption", i.Encryption)
	}
	switch {
	case i.Claims != nil:
		p.section("Claims", claimLines(i))
	case i.Text != "":
		p.section("Payload", []line{{"text", shown(textMember("", i.Text).value), ""}})
	case i.Bytes != "":
		p.section("Payload", []line{{"bytes", clipped(i.Bytes), "in base64url"}})
	}
	if i.Signature != nil {
		p.checked("Signature", i.Signature)
	}
	p.findings(i.Findings)
	if i.Inside != nil {
		fmt.Fprintln(p.out)
		p.write(i.Inside, "Inside: ")
	}
}

func (p sheet) checked(title string, c *check) {
	fmt.Fprintf(p.out, "\n%s\n  %s: ", p.bold(title), p.paint(colours[c.Status], c.Status))
	p.hang(4+columns(c.Status), printable(c.Detail), "")
}

func (p sheet) findings(all []finding) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(p.out, "\n%s\n", p.bold("What is wrong"))
	// Problems first.
	slices.SortStableFunc(all, func(a, b finding) int { return strings.Compare(a.Level, b.Level) })
	for _, f := range all {
		fmt.Fprintf(p.out, "  %s  ", p.paint(colours[f.Level], f.Level))
		p.hang(4+columns(f.Level), printable(withClause(f.Text, f.Clause)), "")
	}
}

// section prints lines in columns.
func (p sheet) section(title string, lines []line) {
	fmt.Fprintf(p.out, "\n%s\n", p.bold(title))
	names, values, widest := 0, 0, widestValue
	for n, l := range lines {
		lines[n] = line{printable(l.name), printable(l.value), printable(l.note)}
		names = max(names, columns(lines[n].name))
	}
	if p.width > 0 { // a third for the names, and of the rest the half for the notes
		names = min(names, p.width/3)
		widest = min(widest, (p.width-names)/2)
	}
	for _, l := range lines {
		if width := columns(l.value); width <= widest {
			values = max(values, width)
		}
	}
	for _, l := range lines {
		p.line(l, names, values)
	}
}

// line prints one line of a section whose names and values have these widths.
func (p sheet) line(l line, names, values int) {
	left, right := 2+names+2, 2+names+2+values+2
	fmt.Fprintf(p.out, "  %s  ", pad(l.name, names))
	if columns(l.name) > names {
		fmt.Fprintf(p.out, "\n%s", strings.Repeat(" ", left))
	}
	beside := columns(l.value) <= values && (p.width == 0 || p.width-right >= narrowestNote)
	switch {
	case l.note == "":
		p.hang(left, l.value, "")
	case beside:
		fmt.Fprintf(p.out, "%s  ", pad(l.value, values))
		p.hang(right, l.note, faint)
	default:
		p.hang(left, l.value, "")
		fmt.Fprint(p.out, strings.Repeat(" ", left))
		p.hang(left, l.note, faint)
	}
}

// hang prints text at a column, where it goes on below if the page is too narrow.
func (p sheet) hang(column int, text, style string) {
	parts := []string{text}
	if p.width > 0 {
		parts = wrapped(text, p.width-column)
	}
	for n, part := range parts {
		if n > 0 {
			fmt.Fprint(p.out, strings.Repeat(" ", column))
		}
		fmt.Fprintln(p.out, p.paint(style, part))
	}
}

func headerLines(i *inspection) []line {
	members, _ := membersOf(i.Header) // it was read before
	var lines []line
	for _, m := range members {
		meaning := explainHeader(m.name, string(m.value))
		lines = append(lines, line{m.name, shown(m.value), withClause(meaning.words, meaning.clause)})
	}
	return lines
}

func claimLines(i *inspection) []line {
	members, _ := membersOf(i.Claims) // it was read before
	var lines []line
	for _, m := range members {
		meaning := claimMeanings[m.name]
		if at, ok := i.Times[m.name]; ok {
			words := dates[m.name].past
			if at.Unix > i.now.Unix() {
				words = dates[m.name].future
			}
			meaning.words = fmt.Sprintf("%s %s: %s", words, at.Relative, at.UTC)
		}
		lines = append(lines, line{m.name, shown(m.value), withClause(meaning.words, meaning.clause)})
	}
	return lines
}

func withClause(words, clause string) string {
	switch {
	case clause == "":
		return words
	case words == "":
		return clause
	}
	return words + " (" + clause + ")"
}

// shown is a JSON value for people: a text without its quotes, unless it would
// look like something else.
func shown(value json.RawMessage) string {
	text := textOf(value)
	if text == "" || json.Valid([]byte(text)) || strings.TrimSpace(text) != text || strings.Contains(text, "\n") || printable(text) != text {
		text = escaped(string(value))
	}
	return clipped(text)
}

// clipped cuts what would fill the screen.
func clipped(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if n := utf8.RuneCountInString(text); n > longestValue {
		return fmt.Sprintf("%s… (%d characters; --json has all)", string([]rune(text)[:longestValue]), n)
	}
	return text
}
