package strictjson

import (
	"strconv"
	"strings"
	"unicode/utf16"
)

// A Value is one JSON value. It shares the memory of the text that it was
// scanned from. The zero Value is no value.
type Value struct {
	text    string // of a string: without its quotes
	kind    Kind
	escaped bool
}

// Kind returns what the value is; 0 if there is none.
func (v Value) Kind() Kind { return v.kind }

// Raw returns the JSON text of the value.
func (v Value) Raw() string {
	if v.kind == String {
		return `"` + v.text + `"`
	}
	return v.text
}

// Text returns the characters of a string, and false for any other value.
func (v Value) Text() (string, bool) {
	if v.kind != String {
		return "", false
	}
	if v.escaped {
		return unescape(v.text), true
	}
	return v.text, true
}

// Bool returns a boolean, and false in second place for any other value.
func (v Value) Bool() (value, ok bool) { return v.text == "true", v.kind == Bool }

// Int returns a number that is written as an integer and fits 64 bits.
func (v Value) Int() (int64, bool) {
	if v.kind != Number {
		return 0, false
	}
	if len(v.text) > 18 || v.text[0] == '-' {
		n, err := strconv.ParseInt(v.text, 10, 64)
		return n, err == nil
	}
	var n int64
	for i := range len(v.text) {
		digit := v.text[i] - '0'
		if digit > 9 { // a fraction or an exponent
			return 0, false
		}
		n = 10*n + int64(digit)
	}
	return n, true
}

// Float returns a finite number, rounded to the nearest float64.
func (v Value) Float() (float64, bool) {
	if v.kind != Number {
		return 0, false
	}
	f, err := strconv.ParseFloat(v.text, 64)
	return f, err == nil
}

// Each calls visit for the elements of an array until it returns false. It
// returns false if the value is no array or visit did.
func (v Value) Each(visit func(Value) bool) bool {
	if v.kind != Array {
		return false
	}
	// The text has been validated, so errors cannot occur here.
	s := Scanner{text: v.text, pos: 1}
	s.space()
	for s.peek() != ']' {
		element, ok := s.scanValue()
		if !ok || !visit(element) {
			return false
		}
		s.space()
		if s.peek() == ',' {
			s.pos++
			s.space()
		}
	}
	return true
}

// Texts returns the elements of an array of strings, and false for any other
// value. An empty array is an empty, non-nil slice.
func (v Value) Texts() ([]string, bool) {
	if v.kind != Array {
		return nil, false
	}
	list := make([]string, 0, 4)
	// The text has been validated: behind the bracket are strings with commas
	// and white space between them, or there is something else.
	for rest := strings.TrimLeft(v.text[1:], " \t\n\r"); rest[0] != ']'; {
		if rest[0] != '"' {
			return list, false
		}
		end, escaped := 1, false
		for rest[end] != '"' {
			if rest[end] == '\\' {
				escaped = true
				end++
			}
			end++
		}
		text := rest[1:end]
		if escaped {
			text = unescape(text)
		}
		list = append(list, text)
		rest = strings.TrimLeft(rest[end+1:], " \t\n\r,")
	}
	return list, true
}

// unescape replaces the escapes of a validated string.
func unescape(raw string) string {
	var b strings.Builder
	b.Grow(len(raw))
	for {
		i := strings.IndexByte(raw, '\\')
		if i < 0 {
			b.WriteString(raw)
			return b.String()
		}
		b.WriteString(raw[:i])
		switch c := raw[i+1]; c {
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r, _ := hex4(raw, i+2)
			if utf16.IsSurrogate(r) {
				low, _ := hex4(raw, i+8)
				r = utf16.DecodeRune(r, low)
				i += 6
			}
			b.WriteString(string(r))
			i += 4
		default:
			b.WriteByte(c)
		}
		raw = raw[i+2:]
	}
}
