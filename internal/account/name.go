package account

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// nameReason is why people may not give themselves a name: because it would be read
// as something else than it is. Nothing, where they may.
//
// What turns the writing direction around it, and what cannot be seen, has no place
// in a name; the two joiners have, inside of words of scripts that need them. A word
// in which letters of Latin, Greek and Cyrillic are mixed is one that imitates
// another (Unicode TS #39 §5.2); a name of several words may have each in another
// script, and scripts that are written together, as in Japanese, do not look alike.
func nameReason(name string) Reason {
	if len(name) > maxName {
		return TooLong
	}
	var word *unicode.RangeTable // that of the three alphabets which the word is in
	var last rune
	for _, c := range name {
		switch {
		case c == '\u200c' || c == '\u200d':
			if !unicode.IsLetter(last) && !unicode.IsMark(last) || alphabetOf(last) != nil || unicode.In(last, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana) {
				return Unseen
			}
		case c >= '\U000e0100' && c <= '\U000e01ef' && unicode.Is(unicode.Han, last):
			// The form of a character in which a family writes its name.
		case unicode.IsControl(c):
			return NotOneLine
		case unicode.In(c, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs) || blank[c]:
			return Unseen
		case !unicode.IsLetter(c) && !unicode.IsMark(c):
			word = nil
		default:
			if alphabet := alphabetOf(c); alphabet != nil {
				if word != nil && word != alphabet {
					return Mixed
				}
				word = alphabet
			}
		}
		last = c
	}
	return ""
}

// newLogin is normalizeLogin for a login that somebody gets now: what stands before
// the "@", and each part of what stands behind it, is of one script, or of scripts
// that are written together (Unicode TS #39 §5.2, highly restrictive). Logins that are
// there already go on working.
func newLogin(s string) (string, error) {
	login, err := normalizeLogin(s)
	if err != nil {
		return "", err
	}
	local, domain, _ := strings.Cut(login, "@")
	for _, part := range append(strings.Split(domain, "."), local) {
		if mixed(part) {
			return "", ErrInvalid{"login", Mixed}
		}
	}
	return login, nil
}

// together are the scripts that are written together: in Japan, where Bopomofo is
// used, and in Korea.
var together = [][]string{{"Latin", "Han", "Hiragana", "Katakana"}, {"Latin", "Han", "Bopomofo"}, {"Latin", "Han", "Hangul"}}

// mixed reports whether a text is of scripts that are not written together.
func mixed(text string) bool {
	used := map[string]bool{}
	for _, c := range text {
		for name, script := range unicode.Scripts {
			if c > unicode.MaxASCII && name != "Common" && name != "Inherited" && unicode.Is(script, c) {
				used[name] = true
			}
		}
		if c <= unicode.MaxASCII && unicode.IsLetter(c) {
			used["Latin"] = true
		}
	}
	if len(used) < 2 {
		return false
	}
	for _, some := range together {
		known := 0
		for _, name := range some {
			if used[name] {
				known++
			}
		}
		if known == len(used) {
			return false
		}
	}
	return true
}

// blank are letters that look like nothing: Hangul fillers and the Braille blank.
var blank = map[rune]bool{'\u115f': true, '\u1160': true, '\u3164': true, '\uffa0': true, '\u2800': true}

// alphabetOf is the one of the alphabets that look alike which a letter is of; nil:
// none of them.
func alphabetOf(c rune) *unicode.RangeTable {
	for _, alphabet := range []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek} {
		if unicode.Is(alphabet, c) {
			return alphabet
		}
	}
	return nil
}

// appName checks a name that somebody gave an app.
func appName(name string) (string, error) {
	if len(name) > maxAppName {
		return "", ErrInvalid{"name", TooLong}
	}
	return printable(name, maxAppName), nil
}

// passkeyName checks a name that somebody gave a passkey.
func passkeyName(s string) (string, error) {
	s = strings.TrimSpace(s)
	switch {
	case len(s) > maxPasskeyName:
		return "", ErrInvalid{"name", TooLong}
	case !utf8.ValidString(s):
		return "", ErrInvalid{"name", NotText}
	case printable(s, maxPasskeyName) != s:
		return "", ErrInvalid{"name", NotOneLine}
	}
	return s, nil
}
