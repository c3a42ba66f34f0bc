package guard

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPath bounds a path that rules are looked up for, in bytes.
const maxPath = 8 << 10

// Errors of paths, in words for a client. Which rule is meant must not depend on
// who reads the path, so what servers read in different ways is refused.
var (
	errRelative = errors.New("The path must begin with one slash")
	errLong     = errors.New("The path is too long")
	errEscape   = errors.New("The path is not escaped rightly")
	errText     = errors.New("The path must be UTF-8 without control characters")
	errSlash    = errors.New("The path must hold no backslash and no escaped slash")
	errTwice    = errors.New("The path is escaped twice")
	errEmpty    = errors.New("The path must hold no empty segment")
	errDots     = errors.New("The path must hold no dot segment")
)

// decode returns the path of a request without its escapes. It refuses one that
// is not in normal form (RFC 3986 §6.2.2), and one that would be another path
// after a second decoding.
func decode(raw string) (string, error) {
	if !strings.HasPrefix(raw, "/") {
		return "", errRelative
	}
	if len(raw) > maxPath {
		return "", errLong
	}
	path, err := url.PathUnescape(raw)
	switch {
	case err != nil:
		return "", errEscape
	case !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl):
		return "", errText
	case strings.Contains(path, `\`) || strings.Count(path, "/") != strings.Count(raw, "/"):
		return "", errSlash
	case escaped(path):
		return "", errTwice
	}
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		bare := bare(segment)
		switch {
		case segment == "." || segment == "..": // RFC 3986 §3.3
			return "", errDots
		case segment == "" && i < len(segments)-1:
			return "", errEmpty
		case segment != "" && bare == "": // to some servers it is empty, or dots
			return "", errDots
		}
	}
	return path, nil
}

// escaped reports whether s holds what could be decoded once more.
func escaped(s string) bool {
	for i := strings.IndexByte(s, '%'); i >= 0 && i+2 < len(s); {
		if hex(s[i+1]) && hex(s[i+2]) {
			return true
		}
		next := strings.IndexByte(s[i+1:], '%')
		if next < 0 {
			return false
		}
		i += 1 + next
	}
	return false
}

func hex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// bare is a segment as servers read it that know parameters (RFC 3986 §3.3), or
// whose file system drops dots and spaces at the end of a name.
func bare(segment string) string {
	segment, _, _ = strings.Cut(segment, ";")
	return strings.TrimRight(segment, ". ")
}

// habits are ways in which servers take one path for another. In place of a list
// of servers, the guard knows all their habits together.
var habits = []func(path string) string{
	func(path string) string { // decodes before it looks for the query
		if i := strings.IndexAny(path, "?#"); i > 0 {
			return path[:i]
		}
		return path
	},
	func(path string) string {
		segments := strings.Split(path, "/")
		for i := range segments {
			segments[i] = bare(segments[i])
		}
		return strings.Join(segments, "/")
	},
	func(path string) string { // a slash at the end means nothing
		if len(path) > 1 {
			return strings.TrimSuffix(path, "/")
		}
		return path
	},
	func(path string) string { // what follows a dot is the format of the answer
		slash, dot := strings.LastIndexByte(path, '/'), strings.LastIndexByte(path, '.')
		if dot > slash+1 {
			return path[:dot]
		}
		return path
	},
}

// readings are all paths that some server may take a decoded path for, itself
// first: the habits in every combination. Nearly always it is the path alone.
func readings(path string) []string {
	all := []string{path}
	for _, habit := range habits {
		for _, one := range all { // those from before this habit
			if other := habit(one); other != "" && !slices.Contains(all, other) {
				all = append(all, other)
			}
		}
	}
	return all
}

// fold takes the case out of a text: characters that differ by case alone become
// the same one.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, s)
}
