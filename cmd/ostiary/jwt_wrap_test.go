package main

import (
	"slices"
	"testing"
)

func TestWrapped(t *testing.T) {
	for _, row := range []struct {
		name, text string
		room       int
		want       []string
	}{
		{"it fits", "one two", 8, []string{"one two"}},
		{"between words", "one two three", 9, []string{"one two", "three"}},
		{"a word that just fits", "one two34 three", 9, []string{"one two34", "three"}},
		{"behind a comma", `["aaaaaa","bbbbbb"]`, 12, []string{`["aaaaaa",`, `"bbbbbb"]`}},
		{"in a word", "abcdefghijklmnopqrs", 8, []string{"abcdefgh", "ijklmnop", "qrs"}},
		{"letters of two columns", "日本日本日本", 8, []string{"日本日本", "日本"}},
		{"marks take no room", "e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301", 8, []string{"e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301"}},
		{"a clause stays together", "who issued it (RFC 7519 §4.1.1)", 24, []string{"who issued it", "(RFC 7519 §4.1.1)"}},
		{"what cannot stay together", "it (a b c d e f)", 8, []string{"it (a b", "c d e f)"}},
		{"hardly any room", "abcdefghij", 1, []string{"abcdefgh", "ij"}},
		{"nothing", "", 8, []string{""}},
	} {
		if got := wrapped(row.text, row.room); !slices.Equal(got, row.want) {
			t.Errorf("%s: got %q", row.name, got)
		}
	}
}
