package account

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestLogin: P11: a login, an address among them, means one thing.
func TestLogin(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"plain", "ada", "ada"},
		{"space around it is not meant", " \tada\n", "ada"},
		{"RFC 8265 §3.3.2 rule 2: case mapped", "AdA", "ada"},
		{"RFC 8265 §3.3.2 rule 1: width mapped", "ａｄａ", "ada"},
		{"RFC 8265 §3.3.2 rule 3: NFC", "zoe\u0308", "zo\u00eb"},
		{"an e-mail address", "Ada.Lovelace+x@Example.ORG", "ada.lovelace+x@example.org"},
		{"Ukrainian", "Тарас", "тарас"},
		{"Japanese", "太郎", "太郎"},
		{"200 bytes", strings.Repeat("a", 200), strings.Repeat("a", 200)},
	} {
		got, err := normalizeLogin(row.in)
		if err != nil || got != row.want {
			t.Errorf("%s: %q gives %q, %v; want %q", row.name, row.in, got, err, row.want)
		}
	}
	for _, row := range []struct{ name, in string }{
		{"empty", ""},
		{"only space", "  "},
		{"space inside, RFC 8264 §4.2.3", "ada lovelace"},
		{"control character", "ada\x00"},
		{"line break", "a\nda"},
		{"zero width", "a\u200bda"},
		{"bidirectional override", "a\u202eda"},
		{"symbol", "☃"},
		{"not UTF-8", "ada\xff"},
		{"201 bytes", strings.Repeat("a", 201)},
		{"a megabyte", strings.Repeat("a", 1<<20)},
		{"two at signs", "a@good.example@evil.example"},
		{"no local part", "@example.org"},
		{"no domain", "ada@"},
	} {
		if got, err := normalizeLogin(row.in); err == nil {
			t.Errorf("%s: accepted as %q", row.name, got)
		} else if got != "" {
			t.Errorf("%s: refused, but gives %q", row.name, got)
		}
	}
}

// TestNewLogin: nobody gets a login that looks like another's, and who has one keeps it.
func TestNewLogin(t *testing.T) {
	for login, want := range map[string]bool{
		"ada": true, "тарас": true, "太郎カナabc": true, "김치abc": true, "taras-2": true, "olena@пошта.укр": true, "тарас@example.com": true, "ада-3": true,
		"аda": false, "ivan.оре": false, "tаras@example.com": false, "taras@exаmple.com": false, "adaο": false, "ада一": false, "한カ": false, "aա": false,
	} {
		_, err := newLogin(login)
		if wrong, ok := errors.AsType[ErrInvalid](err); (err == nil) != want || !want && (!ok || wrong.Reason != Mixed) {
			t.Errorf("%s: %v", login, err)
		}
		if _, err := normalizeLogin(login); err != nil {
			t.Errorf("%s is no login any more: %v", login, err)
		}
	}
}

func FuzzLogin(f *testing.F) {
	for _, s := range []string{"ada", "ΑΣ", "İ", "ß", "ſ", "ａ@ｂ", "א1", "e\u0301"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		login, err := normalizeLogin(s)
		if err != nil {
			return
		}
		again, err := normalizeLogin(login)
		if err != nil || again != login {
			t.Errorf("%q gives %q, and that gives %q, %v", s, login, again, err)
		}
		if len(login) > maxLogin || !utf8.ValidString(login) {
			t.Errorf("%q gives %q", s, login)
		}
	})
}

func TestPrintable(t *testing.T) {
	for _, row := range []struct {
		in   string
		max  int
		want string
	}{
		{"Mozilla/5.0 (X11; Linux x86_64)", 256, "Mozilla/5.0 (X11; Linux x86_64)"},
		{"a\x00b\r\nc\x1b[31md\u202ee\xff", 256, "abc[31mde"},
		{strings.Repeat("a", 1<<20), 256, strings.Repeat("a", 256)},
		{"ééé", 5, "éé"},
		{"", 5, ""},
	} {
		if got := printable(row.in, row.max); got != row.want {
			t.Errorf("%.40q gives %.80q, want %.80q", row.in, got, row.want)
		}
	}
}
