package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// The widths of a page, in characters.
const (
	widestValue  = 46  // a longer one has its explanation below
	longestValue = 480 // the rest is in --json
)

// colours of a terminal, by the status or the level that has them.
var colours = map[string]string{
	"valid": "32", "opened": "32",
	"unchecked": "33", "warning": "33", "closed": "33",
	"invalid": "31", "missing": "31", "failed": "31", "problem": "31",
}

// paint colours a word where bold would make it bold.
func (sh shell) paint(word string) string {
	if colour := colours[word]; colour != "" && sh.bold(word) != word {
		return "\x1b[" + colour + "m" + word + "\x1b[0m"
	}
	return word
}

// line is a line of a section: a name, a value, and what it means.
type line struct{ name, value, note string }

// printPage prints what is known of a token for people.
func (t *task) printPage(i *inspection) error {
	out := bufio.NewWriter(t.stdout)
	t.writePage(out, i)
	return out.Flush()
}

func (t *task) writePage(w io.Writer, i *inspection) {
	title := "Signed token (JWS, RFC 7515)"
	if i.Kind == encrypted {
		title = "Encrypted token (JWE, RFC 7516)"
	}
	fmt.Fprintf(w, "%s, %d bytes\n", t.bold(title), i.Size)
	t.section(w, "Header", headerLines(i))
	if i.Encryption != nil {
		t.checked(w, "Encryption", i.Encryption)
	}
	switch {
	case i.Claims != nil:
		t.section(w, "Claims", claimLines(i))
	case i.Text != "":
		t.section(w, "Payload", []line{{"text", shown(textMember("", i.Text).value), ""}})
	case i.Bytes != "":
		t.section(w, "Payload", []line{{"bytes", clipped(i.Bytes), "in base64url"}})
	}
	if i.Signature != nil {
		t.checked(w, "Signature", i.Signature)
	}
	t.findings(w, i.Findings)
	if i.Inside != nil {
		fmt.Fprintf(w, "\n%s\n", t.bold("Inside"))
		t.writePage(w, i.Inside)
	}
}

func (t *task) checked(w io.Writer, title string, c *check) {
	fmt.Fprintf(w, "\n%s\n  %s: %s\n", t.bold(title), t.paint(c.Status), printable(c.Detail))
}

func (t *task) findings(w io.Writer, all []finding) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", t.bold("What is wrong"))
	// Problems first.
	slices.SortStableFunc(all, func(a, b finding) int { return strings.Compare(a.Level, b.Level) })
	for _, f := range all {
		fmt.Fprintf(w, "  %s  %s\n", t.paint(f.Level), printable(withClause(f.Text, f.Clause)))
	}
}

// section prints lines in columns.
func (t *task) section(w io.Writer, title string, lines []line) {
	fmt.Fprintf(w, "\n%s\n", t.bold(title))
	names, values := 0, 0
	for n, l := range lines {
		lines[n] = line{printable(l.name), printable(l.value), printable(l.note)}
		names = max(names, utf8.RuneCountInString(lines[n].name))
		if width := utf8.RuneCountInString(lines[n].value); width <= widestValue {
			values = max(values, width)
		}
	}
	for _, l := range lines {
		fmt.Fprintf(w, "  %s  %s", pad(l.name, names), l.value)
		switch {
		case l.note == "":
		case utf8.RuneCountInString(l.value) > values:
			fmt.Fprintf(w, "\n  %s  %s", strings.Repeat(" ", names+2), l.note)
		default:
			fmt.Fprintf(w, "%s  %s", strings.Repeat(" ", values-utf8.RuneCountInString(l.value)), l.note)
		}
		fmt.Fprintln(w)
	}
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
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
