package language

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestEveryPlural: each text with a number is right for every number, by the rules of
// CLDR: in Ukrainian one (1, 21, 101), few (2–4, 22) and many (0, 5–20, 111), in
// Japanese always the same.
func TestEveryPlural(t *testing.T) {
	classes := map[string][][]int{
		"en": {{1}, {0, 2, 5, 11, 21, 101}},
		"uk": {{1, 21, 101, 121}, {2, 3, 4, 22, 34, 102}, {0, 5, 9, 11, 12, 14, 19, 20, 25, 111, 112}},
		"ja": {{0, 2, 5, 11, 21, 101}},
	}
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	english, found := readTexts(t, Source), 0
	for _, key := range english.keys {
		words := wordsIn(english.forms[key]["other"])
		if !slices.Contains(words, "count") {
			continue
		}
		found++
		for tag, of := range classes {
			var nouns []string
			for _, class := range of {
				one := withoutNumber(t, all[tag], key, words, class[0])
				for _, n := range class[1:] {
					if got := withoutNumber(t, all[tag], key, words, n); got != one {
						t.Errorf("%s: %s: %d is told as %q, and %d as %q", tag, key, n, got, class[0], one)
					}
				}
				nouns = append(nouns, one)
			}
			// Few and many are the same in some cases of a noun, as in "протягом 2 (5) хвилин";
			// one never is.
			if len(nouns) > 1 && nouns[0] == nouns[len(nouns)-1] {
				t.Errorf("%s: %s: the plurals are the same: %q", tag, key, nouns)
			}
		}
	}
	if found < 5 {
		t.Errorf("%d texts with a number: the test looks in the wrong place", found)
	}
}

// withoutNumber is a text with its number taken out.
func withoutNumber(t *testing.T, m Texts, key string, words []string, n int) string {
	t.Helper()
	pairs := []string{"count", strconv.Itoa(n)}
	for _, w := range words {
		if w != "count" {
			pairs = append(pairs, w, "X")
		}
	}
	text, err := m.Fill(key, pairs...)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, strconv.Itoa(n)) {
		t.Errorf("%s: %s does not tell the number %d: %q", m.Tag, key, n, text)
	}
	return strings.Replace(text, strconv.Itoa(n), "#", 1)
}

// TestMonths: each month is called as it is in a date, in Ukrainian in the genitive.
func TestMonths(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for tag, months := range map[string]string{
		"en": "January February March April May June July August September October November December",
		"uk": "січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня",
		"ja": "1月 2月 3月 4月 5月 6月 7月 8月 9月 10月 11月 12月",
	} {
		for i, month := range strings.Fields(months) {
			at := time.Date(2026, time.Month(i+1), 9, 7, 5, 0, 0, time.UTC)
			text, err := all[tag].Date(at.Unix(), time.UTC)
			if err != nil || !strings.Contains(text, month) || !strings.Contains(text, "9") || !strings.Contains(text, "07:05 UTC") {
				t.Errorf("%s: %q, want %s in it (%v)", tag, text, month, err)
			}
			day, err := all[tag].Day(at)
			if err != nil || !strings.Contains(day, month) || strings.Contains(day, "07:05") {
				t.Errorf("%s: %q, want the day in %s (%v)", tag, day, month, err)
			}
		}
	}
	// Over midnight it is another day, and another month, elsewhere.
	kyiv, err := time.LoadLocation("Europe/Kyiv")
	if err != nil {
		t.Fatal(err)
	}
	for tag, want := range map[string]string{"en": "1 April 2026, 01:30", "uk": "1 квітня 2026\u00a0р., 01:30", "ja": "2026年4月1日 01:30"} {
		if got, err := all[tag].Moment(time.Date(2026, 3, 31, 22, 30, 0, 0, time.UTC).Unix(), kyiv); err != nil || got != want {
			t.Errorf("%s: %q, want %q (%v)", tag, got, want, err)
		}
	}
}
