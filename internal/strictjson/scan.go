package strictjson

import (
	"math/bits"
	"strings"
	"unicode/utf8"
)

// scanValue validates the value at the current position and steps behind it.
func (s *Scanner) scanValue() (Value, bool) {
	start := s.pos
	switch c := s.peek(); {
	case c == '"':
		raw, escaped, ok := s.scanString()
		return Value{text: raw, kind: String, escaped: escaped}, ok
	case c == '{':
		ok := s.scanObject()
		return Value{text: s.text[start:s.pos], kind: Object}, ok
	case c == '[':
		ok := s.scanArray()
		return Value{text: s.text[start:s.pos], kind: Array}, ok
	case c == '-' || '0' <= c && c <= '9':
		ok := s.scanNumber()
		return Value{text: s.text[start:s.pos], kind: Number}, ok
	case c == 't':
		return s.literal("true", Bool)
	case c == 'f':
		return s.literal("false", Bool)
	case c == 'n':
		return s.literal("null", Null)
	}
	return Value{}, s.fail("expected a value")
}

func (s *Scanner) literal(word string, kind Kind) (Value, bool) {
	if !strings.HasPrefix(s.text[s.pos:], word) {
		return Value{}, s.fail("expected a value")
	}
	s.pos += len(word)
	return Value{text: word, kind: kind}, true
}

// scanObject validates an object inside the outermost one. Its names are
// forgotten when it ends.
func (s *Scanner) scanObject() bool {
	if !s.enter() {
		return false
	}
	base := s.names.open()
	defer s.names.close(base)
	s.space()
	if s.peek() == '}' {
		return s.leave()
	}
	for {
		if _, ok := s.memberName(base); !ok {
			return false
		}
		if _, ok := s.scanValue(); !ok {
			return false
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
			s.space()
		case '}':
			return s.leave()
		default:
			return s.fail("expected , or } after a member")
		}
	}
}

func (s *Scanner) scanArray() bool {
	if !s.enter() {
		return false
	}
	s.space()
	if s.peek() == ']' {
		return s.leave()
	}
	for {
		if _, ok := s.scanValue(); !ok {
			return false
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
			s.space()
		case ']':
			return s.leave()
		default:
			return s.fail("expected , or ] after an element")
		}
	}
}

func (s *Scanner) enter() bool {
	s.depth++
	if s.depth > MaxDepth {
		return s.fail("nested too deep")
	}
	s.pos++
	return true
}

func (s *Scanner) leave() bool {
	s.depth--
	s.pos++
	return true
}

// scanNumber validates the grammar of RFC 8259 §6.
func (s *Scanner) scanNumber() bool {
	if s.peek() == '-' {
		s.pos++
	}
	switch c := s.peek(); {
	case c == '0':
		s.pos++
	case '1' <= c && c <= '9':
		s.digits()
	default:
		return s.fail("expected a digit")
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return s.fail("expected a digit after the decimal point")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return s.fail("expected a digit in the exponent")
		}
	}
	return true
}

func (s *Scanner) digits() bool {
	text, i := s.text, s.pos
	for i < len(text) && text[i]-'0' <= 9 {
		i++
	}
	some := i > s.pos
	s.pos = i
	return some
}

// plain tells which bytes stand for themselves in a string: all but the quote,
// the backslash and control characters.
var plain = func() (table [256]bool) {
	for c := range table {
		table[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return table
}()

// plainEnd steps over plain ASCII eight bytes at a time, and stops in front of the
// first byte that is something else, or at most seven bytes before the end.
func plainEnd(text string, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(text); i += 8 {
		t := text[i : i+8]
		v := uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 |
			uint64(t[4])<<32 | uint64(t[5])<<40 | uint64(t[6])<<48 | uint64(t[7])<<56
		quote, backslash := v^ones*'"', v^ones*'\\'
		// A byte below n sets its highest bit in v-n; so does one from 128 on,
		// which is why those are left to plain. What it borrows changes the
		// bytes above it only, so the lowest bit is right.
		if odd := (v | (v - ones*' ') | (quote - ones) | (backslash - ones)) & highs; odd != 0 {
			return i + bits.TrailingZeros64(odd)/8
		}
	}
	return i
}

// Plain reports whether all of a text stands for itself in a JSON string: ASCII
// without the quote, the backslash and control characters.
func Plain(text string) bool {
	i := plainEnd(text, 0)
	for i < len(text) && plain[text[i]] && text[i] < 0x80 {
		i++
	}
	return i == len(text)
}

// scanString validates a string and returns what is between its quotes,
// escapes and all.
func (s *Scanner) scanString() (raw string, escaped, ok bool) {
	s.pos++
	start := s.pos
	var all byte // the bits of what plainEnd did not step over
	for {
		text, i := s.text, plainEnd(s.text, s.pos)
		for i < len(text) && plain[text[i]] {
			all |= text[i]
			i++
		}
		s.pos = i
		switch {
		case i == len(text):
			return "", false, s.fail("string without an end")
		case text[i] == '"':
			// Only strings can have bytes of more than seven bits, so this is
			// where a text is checked to be UTF-8.
			if all >= utf8.RuneSelf && !utf8.ValidString(text[start:i]) {
				return "", false, s.fail("not UTF-8")
			}
			s.pos++
			return text[start:i], escaped, true
		case text[i] != '\\':
			return "", false, s.fail("control character in a string")
		}
		escaped = true
		if !s.escape() {
			return "", false, false
		}
	}
}

// escape validates one escape sequence. A surrogate must be one half of a
// pair: alone it is no character, and readers disagree on what to make of it.
func (s *Scanner) escape() bool {
	rest := s.text[s.pos:]
	if len(rest) < 2 {
		return s.fail("string without an end")
	}
	switch rest[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return true
	case 'u':
	default:
		return s.fail("unknown escape")
	}
	unit, ok := hex4(rest, 2)
	if !ok {
		return s.fail("expected four hexadecimal digits")
	}
	switch {
	case unit < 0xD800 || unit > 0xDFFF:
		s.pos += 6
		return true
	case unit < 0xDC00 && len(rest) >= 12 && rest[6] == '\\' && rest[7] == 'u':
		if low, ok := hex4(rest, 8); ok && 0xDC00 <= low && low <= 0xDFFF {
			s.pos += 12
			return true
		}
	}
	return s.fail("lone surrogate")
}

// hex4 reads the four hexadecimal digits at text[at:].
func hex4(text string, at int) (rune, bool) {
	if len(text) < at+4 {
		return 0, false
	}
	var r rune
	for i := at; i < at+4; i++ {
		c := text[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
