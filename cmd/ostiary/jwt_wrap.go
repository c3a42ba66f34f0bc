package main

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// columns is how much room a text takes on a terminal: the letters of East Asia
// take two columns, and marks that combine with a letter none.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += column(r)
	}
	return n
}

func column(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth: // Unicode Annex 11
		return 2
	}
	return 1
}

func pad(text string, room int) string {
	return text + strings.Repeat(" ", max(0, room-columns(text)))
}

// narrowest is the least room that text is broken for.
const narrowest = 8

// wrapped breaks a text into lines that fit the room: between words, behind a comma,
// and elsewhere if there is no such place. What is in parentheses, such as a clause,
// stays together if it can.
func wrapped(text string, room int) []string {
	room = max(room, narrowest)
	if columns(text) <= room {
		return []string{text}
	}
	var lines []string
	from, at, used := 0, 0, 0 // where the line begins, where it may end, its width so far
	together := 0             // where it may end again
	for i, r := range text {
		full := used+column(r) > room
		if full && (at == from || r == ' ') {
			at = i
		}
		if full {
			lines = append(lines, strings.TrimRight(text[from:at], " "))
			from, used = at, columns(text[at:i])
		}
		used += column(r)
		if end := strings.IndexByte(text[i:], ')'); r == '(' && end > 0 && columns(text[i:i+end]) < room {
			together = i + end
		}
		if (r == ' ' || r == ',') && i >= together {
			at = i + 1
		}
		if text[from:at] == " " { // a line does not begin with one
			from, used = at, 0
		}
	}
	return append(lines, text[from:])
}
