package theme

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxSheet bounds an operator's style sheet, in bytes.
const MaxSheet = 32 << 10

// CheckSheet refuses a style sheet that would load something from elsewhere: the
// pages' Content-Security-Policy keeps the browser from it anyway, and the operator
// would look for the fault in vain. What is not written to its end is refused too.
// It reads as CSS Syntax Level 3 says, so that escapes and comments hide nothing.
func CheckSheet(text string) error {
	switch {
	case len(text) > MaxSheet:
		return errors.New("it is larger than 32 KiB")
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return errors.New("it is not UTF-8 text")
	}
	s := &scanner{text: strings.TrimPrefix(text, "\ufeff"), line: 1}
	for {
		more, err := s.next()
		if err != nil {
			return fmt.Errorf("line %d: %w", s.line, err)
		}
		if !more {
			break
		}
	}
	if len(s.open) > 0 {
		return fmt.Errorf("it ends before a %s is closed", s.open[len(s.open)-1].bracket)
	}
	return nil
}

// scanner reads a style sheet token by token.
type scanner struct {
	text string
	at   int
	line int
	open []opened
}

// opened is a bracket that waits for its other one.
type opened struct {
	bracket string // "(", "[" or "{"
	loads   bool   // a text in it is an address
}

// maxDepth bounds how deep brackets stand in each other.
const maxDepth = 64

// loading are the functions of which a text is the address of something to load (CSS
// Images Level 4, CSS Values Level 4).
var loading = map[string]bool{"url": true, "src": true, "image": true, "image-set": true, "-webkit-image-set": true, "cross-fade": true, "-webkit-cross-fade": true}

var closing = map[string]string{"(": ")", "[": "]", "{": "}"}

// next reads one token; false at the end.
func (s *scanner) next() (bool, error) {
	if s.at >= len(s.text) {
		return false, nil
	}
	rest := s.text[s.at:]
	switch c := rest[0]; {
	case strings.HasPrefix(rest, "/*"):
		end := strings.Index(rest[2:], "*/")
		if end < 0 {
			return false, errors.New("a comment is not closed")
		}
		s.pass(end + 4)
	case c == '"' || c == '\'':
		return true, s.quoted(c)
	case c == '@':
		s.pass(1)
		if name := strings.ToLower(s.name()); name == "import" {
			return false, errors.New("@import would load another style sheet: put its rules into this one")
		}
	case begins(rest) || c == '#' || c == '-':
		if c == '#' {
			s.pass(1)
		}
		return true, s.word()
	case c == '(' || c == '[' || c == '{':
		return true, s.push(string(c), false)
	case c == ')' || c == ']' || c == '}':
		return true, s.pop(string(c))
	default:
		s.pass(1)
	}
	return true, nil
}

// pass goes on by n bytes, which are there.
func (s *scanner) pass(n int) {
	s.line += strings.Count(s.text[s.at:s.at+n], "\n")
	s.at += n
}

func (s *scanner) push(bracket string, loads bool) error {
	if len(s.open) >= maxDepth {
		return errors.New("brackets stand too deep in each other")
	}
	s.open = append(s.open, opened{bracket, loads})
	s.pass(1)
	return nil
}

func (s *scanner) pop(bracket string) error {
	n := len(s.open)
	if n == 0 || closing[s.open[n-1].bracket] != bracket {
		return fmt.Errorf("a %s closes nothing", bracket)
	}
	s.open = s.open[:n-1]
	s.pass(1)
	return nil
}

// begins reports whether a name begins a text, CSS Syntax Level 3 §4.3.9.
func begins(text string) bool { return text[0] == '\\' || named(text[0]) && text[0] != '-' }

func named(c byte) bool {
	return c >= 0x80 || c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// name reads a name with its escapes resolved, CSS Syntax Level 3 §4.3.11. It
// takes at least one byte unless the text does not go on with one.
func (s *scanner) name() string {
	var b strings.Builder
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case named(c):
			b.WriteByte(c)
			s.pass(1)
		case c == '\\':
			b.WriteRune(s.escape())
		default:
			return b.String()
		}
	}
	return b.String()
}

// escape reads an escaped code point, CSS Syntax Level 3 §4.3.7.
func (s *scanner) escape() rune {
	s.pass(1)
	var n, digits int
	for s.at < len(s.text) && digits < 6 {
		d := strings.IndexByte("0123456789abcdef", s.text[s.at]|0x20)
		if d < 0 || s.text[s.at] < '0' {
			break
		}
		n, digits = n*16+d, digits+1
		s.pass(1)
	}
	if digits > 0 {
		if strings.HasPrefix(s.text[s.at:], "\r\n") {
			s.pass(2)
		} else if s.at < len(s.text) && strings.IndexByte(" \t\r\n\f", s.text[s.at]) >= 0 {
			s.pass(1)
		}
		if n == 0 || n > utf8.MaxRune || n >= 0xd800 && n <= 0xdfff {
			return utf8.RuneError
		}
		return rune(n)
	}
	r, size := utf8.DecodeRuneInString(s.text[s.at:])
	s.pass(size)
	return r
}

// word reads a name, and what stands in its brackets where it is that of url.
func (s *scanner) word() error {
	name := strings.ToLower(s.name())
	if !strings.HasPrefix(s.text[s.at:], "(") {
		return nil
	}
	if name != "url" {
		return s.push("(", loading[name])
	}
	inside := strings.TrimLeft(s.text[s.at+1:], " \t\r\n\f")
	if inside != "" && (inside[0] == '"' || inside[0] == '\'') {
		return s.push("(", true)
	}
	s.pass(len(s.text) - s.at - len(inside))
	return s.address()
}

// address reads the rest of url( without quotes, CSS Syntax Level 3 §4.3.6.
func (s *scanner) address() error {
	var b strings.Builder
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ')':
			s.pass(1)
			return checkAddress(strings.TrimRight(b.String(), " \t\r\n\f"))
		case '\\':
			b.WriteRune(s.escape())
		case '"', '\'', '(':
			return errors.New("an address in url() must be in quotes")
		default:
			b.WriteByte(c)
			s.pass(1)
		}
	}
	return errors.New("a url( is not closed")
}

// quoted reads a text in quotes, CSS Syntax Level 3 §4.3.5.
func (s *scanner) quoted(quote byte) error {
	s.pass(1)
	var b strings.Builder
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == quote:
			s.pass(1)
			if n := len(s.open); n > 0 && s.open[n-1].loads {
				return checkAddress(b.String())
			}
			return nil
		case c == '\n' || c == '\r' || c == '\f':
			return errors.New("a text in quotes goes beyond its line")
		case c == '\\' && s.at+1 < len(s.text) && strings.IndexByte("\n\r\f", s.text[s.at+1]) >= 0:
			s.pass(2)
		case c == '\\':
			b.WriteRune(s.escape())
		default:
			b.WriteByte(c)
			s.pass(1)
		}
	}
	return errors.New("a text in quotes is not closed")
}

// checkAddress lets pass what the pages may load: files of this server, and pictures
// that stand in the address itself.
func checkAddress(address string) error {
	// Browsers take these out of an address, wherever they stand in it (URL Standard).
	address = strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, address)
	address = strings.ToLower(strings.TrimLeft(address, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f "))
	switch {
	case strings.HasPrefix(address, "#"), strings.HasPrefix(address, "data:image/"):
		return nil
	case strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "//") && !strings.Contains(address, `\`):
		return nil
	}
	return fmt.Errorf("the address %q is not of this server: write a path that begins with one slash, or put the picture in as data:image/…", clip(address))
}
