package language

import (
	"encoding/json"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// texts is a file of texts as it is written: the keys in their order, and the
// plural forms of each; a text without a plural has the form "other" alone.
type texts struct {
	keys  []string
	forms map[string]map[string]string
}

func readTexts(t *testing.T, tag string) texts {
	t.Helper()
	f, err := files.Open("languages/" + tag + ".json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := texts{forms: map[string]map[string]string{}}
	d := json.NewDecoder(f)
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			t.Fatal(err)
		}
		var one string
		forms := map[string]string{}
		if json.Unmarshal(raw, &one) == nil {
			forms["other"] = one
		} else if err := json.Unmarshal(raw, &forms); err != nil {
			t.Fatalf("%s: %v: %v", tag, key, err)
		}
		if delete(forms, "description"); tag != Source && len(forms) == 1 && one == "" && forms["other"] == "" {
			t.Errorf("%s: %v has no text", tag, key)
		}
		all.keys = append(all.keys, key.(string))
		all.forms[key.(string)] = forms
	}
	return all
}

// theSame are texts that may be the same in another language as in English.
var theSame = []string{"language.direction"}

// TestLanguages holds the file of each language against the English one: the same
// texts in the same order, each with the same words in braces and all the plurals
// that its language has, and none that was left in English.
func TestLanguages(t *testing.T) {
	english := readTexts(t, Source)
	for _, tag := range Tags() {
		got := readTexts(t, tag)
		if !slices.Equal(got.keys, english.keys) {
			t.Errorf("%s: the keys are not those of English in their order: %v", tag, differing(got.keys, english.keys))
		}
		wanted := plurals(tag)
		for key, forms := range got.forms {
			words := wordsIn(english.forms[key]["other"])
			if counts := slices.Contains(words, "count"); counts && !slices.Equal(slices.Sorted(maps.Keys(forms)), wanted) {
				t.Errorf("%s: %s has the plurals %v, and the language %v", tag, key, slices.Sorted(maps.Keys(forms)), wanted)
			} else if !counts && len(forms) != 1 {
				t.Errorf("%s: %s has plurals, but no {count}", tag, key)
			}
			for form, text := range forms {
				if !slices.Equal(wordsIn(text), words) {
					t.Errorf("%s: %s (%s) has the words %v, want %v", tag, key, form, wordsIn(text), words)
				}
				if tag != Source && text == english.forms[key]["other"] && len(wordsIn(text)) < len(text) && strings.ContainsFunc(text, isLetter) && !slices.Contains(theSame, key) {
					t.Errorf("%s: %s is left in English: %q", tag, key, text)
				}
				for name, wrong := range typography[tag] {
					if found := wrong.FindString(text); found != "" {
						t.Errorf("%s: %s has %s: %q in %q", tag, key, name, found, text)
					}
				}
			}
		}
	}
	if !slices.Equal(plurals("uk"), []string{"few", "many", "one", "other"}) || !slices.Equal(plurals("ja"), []string{"other"}) {
		t.Errorf("plurals: %v, %v", plurals("uk"), plurals("ja"))
	}
}

// typography is what a text of a language never has.
var typography = map[string]map[string]*regexp.Regexp{
	"en": {"straight quotes": regexp.MustCompile(`["']`), "three dots": regexp.MustCompile(`\.\.\.`), "two spaces": regexp.MustCompile(`  `)},
	"uk": {
		"straight or foreign quotes": regexp.MustCompile("[\"'“”`ʼ]"), "three dots": regexp.MustCompile(`\.\.\.`), "two spaces": regexp.MustCompile(`  `),
		"a hyphen for a dash": regexp.MustCompile(` - `), "a letter that is not Ukrainian": regexp.MustCompile(`[ыэъё]`), "Latin inside of a word": regexp.MustCompile(`\p{Cyrillic}[a-zA-Z]|[a-zA-Z]\p{Cyrillic}`),
	},
	"ja": {
		"straight or foreign quotes": regexp.MustCompile("[\"'“”«»]"), "three dots": regexp.MustCompile(`\.\.\.`), "half-width katakana": regexp.MustCompile(`[\x{FF61}-\x{FF9F}]`),
		"half-width punctuation": regexp.MustCompile(`[\p{Han}\p{Hiragana}\p{Katakana}ー][,.!?:;()]|[,.!?:;()][\p{Han}\p{Hiragana}\p{Katakana}]`),
		"full-width letters":     regexp.MustCompile(`[Ａ-Ｚａ-ｚ０-９]`), "a space between Japanese": regexp.MustCompile(`[\p{Hiragana}\p{Katakana}] [\p{Han}\p{Hiragana}]`),
	},
}

func isLetter(c rune) bool { return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' }

func differing(a, b []string) (list []string) {
	for _, s := range append(slices.Clone(a), b...) {
		if count(a, s) != 1 || count(b, s) != 1 {
			list = append(list, s)
		}
	}
	return list
}

func count(list []string, s string) (n int) {
	for _, one := range list {
		if one == s {
			n++
		}
	}
	return n
}

// wordsIn lists the words in braces of a text, sorted.
func wordsIn(text string) (words []string) {
	for _, m := range regexp.MustCompile(`\{([^}]*)\}`).FindAllStringSubmatch(text, -1) {
		words = append(words, m[1])
	}
	slices.Sort(words)
	return words
}

// plurals are the plural forms of a language for cardinal numbers, sorted, by the
// rules of CLDR as another module has them.
func plurals(tag string) []string {
	names := map[plural.Form]string{plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many", plural.Other: "other"}
	found := map[string]bool{"other": true}
	for n := range 1000 {
		found[names[plural.Cardinal.MatchPlural(language.Make(tag), n, 0, 0, 0, 0)]] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// TestPlurals: numbers are written, and their nouns chosen, as the language does.
func TestPlurals(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tag  string
		n    int
		want string
	}{
		{"en", 1, "The parameter x is longer than 1 byte"}, {"en", 16384, "The parameter x is longer than 16,384 bytes"},
		{"uk", 1, "Параметр x довший за 1\u00a0байт"}, {"uk", 21, "Параметр x довший за 21\u00a0байт"}, {"uk", 2, "Параметр x довший за 2\u00a0байти"},
		{"uk", 64, "Параметр x довший за 64\u00a0байти"}, {"uk", 11, "Параметр x довший за 11\u00a0байтів"}, {"uk", 16385, "Параметр x довший за 16\u00a0385\u00a0байтів"},
		{"ja", 1, "パラメーター x が1バイトを超えています"}, {"ja", 16384, "パラメーター x が16,384バイトを超えています"},
	} {
		if got, err := all[c.tag].Fill("refusal.long", "parameter", "x", "count", strconv.Itoa(c.n)); err != nil || got != c.want {
			t.Errorf("%s, %d: %q, %v", c.tag, c.n, got, err)
		}
	}
	for tag, want := range map[string]string{"en": "7 March 2026, 09:05 UTC", "uk": "7 березня 2026\u00a0р., 09:05 UTC", "ja": "2026年3月7日 09:05 UTC"} {
		if got, err := all[tag].Date(1772874300, time.UTC); err != nil || got != want {
			t.Errorf("%s: %q, %v", tag, got, err)
		}
	}
	for name, want := range map[string]string{"Europe/Kyiv": "7 March 2026, 11:05 Europe/Kyiv", "": "7 March 2026, 09:05 UTC", "Local": "7 March 2026, 09:05 UTC", "Nowhere/Land": "7 March 2026, 09:05 UTC"} {
		if got, err := all["en"].Date(1772874300, Zone(name)); err != nil || got != want {
			t.Errorf("in %q: %q, %v", name, got, err)
		}
	}
	if _, err := all["en"].Fill("refusal.long", "parameter", "x", "count", "many"); err == nil {
		t.Error("a count that is no number must be an error")
	}
}

// fileOf is a folder with the file of one language, and the name of that.
func fileOf(tag, data string) (fs.FS, string) {
	return fstest.MapFS{tag + ".json": {Data: []byte(data)}}, tag + ".json"
}

func TestTexts(t *testing.T) {
	m, err := newTexts(fileOf("en", `{"language.name": "x", "language.direction": "rtl", "k": "a <b> {client} c {host}", "open": "a {b"}`))
	if err != nil || m.Direction != "rtl" || m.Name != "x" {
		t.Fatal(m, err)
	}
	if s, err := m.Fill("k", "client", "<x>", "host", "{{.}}"); err != nil || s != "a <b> <x> c {{.}}" {
		t.Errorf("fill: %q, %v", s, err)
	}
	want := `a &lt;b&gt; <strong><bdi>&lt;x&gt;</bdi></strong> c <strong><bdi dir="ltr">{client}</bdi></strong>`
	if s, err := m.Rich("k", "client", "<x>", "host", "{client}"); err != nil || string(s) != want {
		t.Errorf("rich: %q, %v", s, err)
	}
	for key, pairs := range map[string][]string{"absent": nil, "k": {"client", "x"}, "open": {"b", "x"}} {
		if s, err := m.Fill(key, pairs...); err == nil {
			t.Errorf("%s must be an error, and is %q", key, s)
		}
	}
	for name, data := range map[string]string{"en": "{", "EN": "{}", "none at all": "{}", "uk": `{"language.name": "x"}`, "ja": `{"language.name": "x", "language.direction": "up"}`} {
		if _, err := newTexts(fileOf(name, data)); err == nil {
			t.Errorf("%s with %s must not start", name, data)
		}
	}
}
