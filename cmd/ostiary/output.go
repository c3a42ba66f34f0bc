package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"
)

// table is what a listing prints: aligned columns for people, the values
// themselves as JSON for programs.
type table struct {
	columns []string
	rows    [][]string
	values  any // of the JSON form
	empty   string
}

// printTable prints rows under a heading, one line each.
func (sh shell) printTable(c *cli.Command, t table) error {
	if c.Bool("json") {
		return sh.printJSON(t.values)
	}
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(sh.stdout, t.empty)
		return err
	}
	return sh.writeTable(t)
}

func (sh shell) writeTable(t table) error {
	out := bufio.NewWriter(sh.stdout)
	widths := make([]int, len(t.columns))
	for _, row := range append([][]string{t.columns}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(printable(cell)))
		}
	}
	writeRow(out, t.columns, widths, sh.bold)
	for _, row := range t.rows {
		writeRow(out, row, widths, plain)
	}
	return out.Flush()
}

func writeRow(w io.Writer, row []string, widths []int, style func(string) string) {
	for len(row) > 0 && row[len(row)-1] == "" {
		row = row[:len(row)-1]
	}
	for i, cell := range row {
		cell = printable(cell)
		gap := ""
		if i < len(row)-1 {
			gap = strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
		}
		fmt.Fprint(w, style(cell), gap)
	}
	fmt.Fprintln(w)
}

// field is a line of a record.
type field struct{ name, value string }

// printRecord prints the fields of one thing below each other, without those
// that are empty; as JSON it prints value.
func (sh shell) printRecord(c *cli.Command, value any, fields ...field) error {
	if c.Bool("json") {
		return sh.printJSON(value)
	}
	width := 0
	for _, f := range fields {
		if f.value != "" {
			width = max(width, len(f.name))
		}
	}
	out := bufio.NewWriter(sh.stdout)
	for _, f := range fields {
		if f.value != "" {
			gap := strings.Repeat(" ", width-len(f.name)+2)
			fmt.Fprintf(out, "%s%s%s\n", sh.bold(f.name), gap, printable(f.value))
		}
	}
	return out.Flush()
}

// say prints a sentence for people, and value for programs.
func (sh shell) say(c *cli.Command, value any, format string, args ...any) error {
	if c.Bool("json") {
		return sh.printJSON(value)
	}
	_, err := fmt.Fprintln(sh.stdout, printable(fmt.Sprintf(format, args...)))
	return err
}

func (sh shell) printJSON(value any) error {
	e := json.NewEncoder(sh.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// bold marks text on a terminal.
func (sh shell) bold(text string) string { return sh.paint("1", text) }

// paint gives text a style of ECMA-48 §8.3.117 on a terminal, unless its owner said
// not to (no-color.org).
func (sh shell) paint(style, text string) string {
	dumb, _ := sh.getenv("TERM")
	if off, _ := sh.getenv("NO_COLOR"); style == "" || off != "" || dumb == "dumb" || !terminal(sh.stdout) {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func plain(text string) string { return text }

func terminal(f *os.File) bool { return f != nil && term.IsTerminal(int(f.Fd())) }

// printable shows characters that steer a terminal as what they are: names
// come from people, and a name must not redraw the operator's screen.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}

// when prints unix seconds in the zone of the operator.
func when(unix int64) string {
	if unix == 0 {
		return ""
	}
	return time.Unix(unix, 0).Format("2006-01-02 15:04:05 MST")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func hours(d time.Duration) string { return fmt.Sprintf("%d hours", int(d.Hours())) }
