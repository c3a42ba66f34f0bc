package terminal

import (
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// The colours of what an answer means.
const (
	green  = "32" // it worked
	yellow = "33" // a new token could cure it
	red    = "31" // no token would
	blue   = "34" // it is not about the token
	dim    = "2"
)

func colourOf(status int) string {
	switch {
	case status < 400:
		return green
	case status == http.StatusUnauthorized:
		return yellow
	case status == http.StatusTooManyRequests, status >= 500:
		return blue
	}
	return red
}

func (p *Program) paint(colour, text string) string {
	if !p.Colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// show prints a request and its answer on one line, in columns.
func (p *Program) show(method, path string, r reply) {
	note := r.Code
	if note == "" {
		note = http.StatusText(r.status)
	}
	if i := strings.LastIndexByte(r.Type, ':'); i >= 0 && r.Code == "" {
		note = r.Type[i+1:]
	}
	line := fmt.Sprintf("%-7s %-16s %s  %-32s  %s", method, plain(path), p.paint(colourOf(r.status), fmt.Sprint(r.status)), plain(note), plain(r.Detail))
	fmt.Fprintln(p.Steps, strings.TrimRight(line, " "))
}

// say prints what the program makes of an answer.
func (p *Program) say(what string) { fmt.Fprintln(p.Steps, p.paint(dim, "        "+what)) }

// plain drops what could do something to a terminal: other people write notes.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
}

// list prints notes in columns.
func (p *Program) list(all []note) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(p.Stdout, "No notes.")
		return err
	}
	w := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tWHOSE\tTEXT")
	for _, n := range all {
		whose := "another's"
		if n.Mine {
			whose = "yours"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", plain(n.ID), whose, plain(n.Text))
	}
	return w.Flush()
}

// until says how long something lasts yet.
func until(t, now time.Time) time.Duration { return max(t.Sub(now), 0).Round(time.Second) }
