package credential

import (
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// commonList holds the passwords that people choose most, as the first 40 bits of
// their hashes: 65,536 buckets by the first 16 bits, a byte each that says how many
// are in it, and then the other 24 bits of each. So much is enough: of a million other
// passwords one is refused by chance. Where the list comes from stands beside it;
// scripts/refresh-passwords makes it again.
//
//go:embed common.bin
var commonList []byte

// CommonBuckets is how many buckets the list has.
const CommonBuckets = 1 << 16

// bucketAt says at which entry each bucket begins, and the last ends.
var bucketAt = sync.OnceValue(func() []uint32 {
	at := make([]uint32, CommonBuckets+1)
	for i := range CommonBuckets {
		at[i+1] = at[i] + uint32(commonList[i])
	}
	return at
})

// CommonKey is the number by which a folded password stands in the list: 40 bits.
func CommonKey(folded string) uint64 {
	sum := sha256.Sum256([]byte(folded))
	return binary.BigEndian.Uint64(sum[:]) >> 24
}

// Folded is a text in the form in which passwords are compared with words: wide
// letters are narrow, and all are small.
func Folded(text string) string { return strings.ToLower(norm.NFKC.String(text)) }

// listed reports whether a folded text stands in the list.
func listed(folded string) bool {
	key, at := CommonKey(folded), bucketAt()
	for i := at[key>>24]; i < at[key>>24+1]; i++ {
		entry := commonList[CommonBuckets+3*i:]
		if uint64(entry[0])<<16|uint64(entry[1])<<8|uint64(entry[2]) == key&0xffffff {
			return true
		}
	}
	return false
}

// The bounds of what is taken off a password to find the word that it is made of, in
// runes.
const (
	maxAffix = 6
	minWord  = 4
)

// common reports whether a folded password is among the first that somebody would try:
// one of the list, or one with some digits or signs before or behind it, or the same
// few characters over and over, or a row such as 123456789.
func common(folded string) bool {
	all := []rune(folded)
	unit := period(all)
	switch {
	case listed(folded), row(all):
		return true
	case len(unit) < len(all) && (len(unit) <= minWord || common(string(unit))):
		return true
	}
	for n := 1; n <= maxAffix && len(all)-n >= max(minWord, len(all)/2); n++ {
		behind, before := all[len(all)-n:], all[:n]
		if !slices.ContainsFunc(behind, unicode.IsLetter) && listed(string(all[:len(all)-n])) ||
			!slices.ContainsFunc(before, unicode.IsLetter) && listed(string(all[n:])) {
			return true
		}
	}
	return false
}

// period returns the shortest beginning of which the whole is made, at least twice, the
// last time perhaps not to its end; or the whole.
func period(all []rune) []rune {
	for n := 1; 2*n <= len(all); n++ {
		if slices.Equal(all[n:], all[:len(all)-n]) {
			return all[:n]
		}
	}
	return all
}

// row reports whether each character follows the one before it, up or down, as in the
// alphabet; after 9 comes 0.
func row(all []rune) bool {
	for _, step := range []rune{1, -1} {
		inRow := len(all) > 1
		for i := 1; i < len(all) && inRow; i++ {
			d := all[i] - all[i-1]
			inRow = d == step || d == -9*step && unicode.IsDigit(all[i])
		}
		if inRow {
			return true
		}
	}
	return false
}

// leastRest is how many characters a password has beside the words of its person, at
// least.
const leastRest = 8

// minPersonal is the length of a word of a person from which on it counts, in runes:
// shorter ones occur by chance.
const minPersonal = 3

// personal reports whether a folded password is little more than words that whoever
// knows the person or the place would try.
func personal(folded string, about []string) bool {
	rest := folded
	for _, word := range pieces(about) {
		rest = strings.ReplaceAll(rest, word, "")
	}
	return rest != folded && (utf8.RuneCountInString(rest) < leastRest || common(rest))
}

// pieces returns what a person's texts consist of, folded: the whole of each and its
// words, the longest first.
func pieces(about []string) []string {
	var all []string
	for _, text := range about {
		folded := Folded(text)
		words := strings.FieldsFunc(folded, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		for _, word := range append(words, folded, strings.Join(words, "")) {
			if utf8.RuneCountInString(word) >= minPersonal && !slices.Contains(all, word) {
				all = append(all, word)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}
