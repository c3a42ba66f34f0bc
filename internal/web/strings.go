package web

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What strangers chose is shown up to these lengths, in characters: a long name
// could carry a whole message to the reader. No host is longer (RFC 1035 §2.3.4, and
// its port).
const (
	nameLimit = 80
	hostLimit = 261
)

// clean takes out of s what does not belong in a line of text: control
// characters, those that turn the direction of the text around them, and
// superfluous blanks.
func clean(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case unicode.Is(unicode.Bidi_Control, c):
			return -1
		case unicode.IsControl(c):
			return ' '
		}
		return c
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// tidy makes a name fit to stand in a sentence.
func tidy(s string) string {
	runes := []rune(clean(s))
	if len(runes) > nameLimit {
		return strings.TrimSpace(string(runes[:nameLimit-1])) + "…"
	}
	return string(runes)
}

// initial is the sign that stands for a name where a picture would be.
func initial(name string) string {
	for _, c := range name {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return string(unicode.ToUpper(c))
		}
	}
	for _, c := range tidy(name) {
		return string(c)
	}
	return "·"
}

// capital is a text that begins with a capital, where its script has them.
func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}

// website returns u if it is a web address that a person can be sent to, and
// nothing otherwise: a client chose it, and javascript: is an address too.
func website(u string) string {
	parsed, err := url.Parse(u)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "https" && parsed.Scheme != "http") {
		return ""
	}
	return u
}

// hostOf returns the host of an address, or what it is given if that is a host
// already. Unlike a name it loses its beginning when it is too long: its end says
// whose it is.
func hostOf(s string) string {
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		s = u.Host
	}
	runes := []rune(clean(s))
	if len(runes) > hostLimit {
		return "…" + string(runes[len(runes)-hostLimit+1:])
	}
	return string(runes)
}
