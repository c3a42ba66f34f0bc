// Package strictjson reads JSON objects the way signed data must be read: one
// object and nothing after it, valid UTF-8, no member twice on any level, no
// lone surrogate, bounded depth, and names compared exactly, case included.
// Two readers of the same text can then not come to two meanings
// (RFC 7515 §4, RFC 7519 §4, RFC 8725 §3.7).
//
// A Scanner validates the whole text while it hands out the members of the
// outermost object one after the other. Values stay slices of the text until
// somebody asks for them, so a scan allocates nothing unless a text contains
// escapes or very many members. The package never uses reflection.
package strictjson

import (
	"errors"
	"fmt"
)

// MaxDepth is how deep arrays and objects may be nested, the outermost object
// included.
const MaxDepth = 32

// ErrSyntax is what every error of this package wraps.
var ErrSyntax = errors.New("invalid JSON")

// Kind is what a value is.
type Kind uint8

// Kinds. The zero value is no value at all.
const (
	Null Kind = iota + 1
	Bool
	Number
	String
	Array
	Object
)

var kinds = [...]string{"nothing", "null", "a boolean", "a number", "a string", "an array", "an object"}

// String returns the kind with its article, for error messages.
func (k Kind) String() string { return kinds[k] }

// A Scanner reads one object. The zero value is not usable; New makes one. It
// is meant to live on the stack of its user.
type Scanner struct {
	text  string
	pos   int
	depth int
	err   error
	begun bool
	ended bool

	name  string
	value Value
	start int // where the member's name begins
	names nameSet
}

// New returns a scanner of text.
func New(text string) Scanner { return Scanner{text: text} }

// Next advances to the next member and reports whether there is one. When it
// returns false the object has ended or Err is not nil; only then has the whole
// text been validated.
func (s *Scanner) Next() bool {
	if s.err != nil || s.ended {
		return false
	}
	if !s.begun {
		return s.first()
	}
	s.space()
	switch s.peek() {
	case ',':
		s.pos++
		s.space()
		return s.member()
	case '}':
		return s.end()
	}
	return s.fail("expected , or } after a member")
}

func (s *Scanner) first() bool {
	s.begun = true
	s.space()
	if s.peek() != '{' {
		return s.fail("not an object")
	}
	s.pos++
	s.depth = 1
	s.space()
	if s.peek() == '}' {
		return s.end()
	}
	return s.member()
}

func (s *Scanner) end() bool {
	s.pos++
	s.space()
	if s.pos != len(s.text) {
		return s.fail("text after the object")
	}
	s.name, s.value, s.ended = "", Value{}, true
	return false
}

func (s *Scanner) member() bool {
	s.start = s.pos
	name, ok := s.memberName(0)
	if !ok {
		return false
	}
	s.name = name
	s.value, ok = s.scanValue()
	return ok
}

// memberName reads a name and its colon, and records it among the names of the
// object whose names begin at base.
func (s *Scanner) memberName(base int) (string, bool) {
	if s.peek() != '"' {
		return "", s.fail("expected the name of a member")
	}
	raw, escaped, ok := s.scanString()
	if !ok {
		return "", false
	}
	name := raw
	if escaped {
		name = unescape(raw)
	}
	if !s.names.add(base, name) {
		return "", s.fail(fmt.Sprintf("member %.40q appears twice", name))
	}
	s.space()
	if s.peek() != ':' {
		return "", s.fail("expected : after the name of a member")
	}
	s.pos++
	s.space()
	return name, true
}

// Name returns the name of the member that Next found.
func (s *Scanner) Name() string { return s.name }

// Value returns the value of the member that Next found.
func (s *Scanner) Value() Value { return s.value }

// Span returns where in the text the member that Next found begins and ends:
// from the quote of its name to behind its value.
func (s *Scanner) Span() (start, end int) { return s.start, s.pos }

// Err returns what is wrong with the text, if anything; it wraps ErrSyntax and
// is meaningful once Next has returned false.
func (s *Scanner) Err() error { return s.err }

func (s *Scanner) fail(what string) bool {
	if s.err == nil {
		s.err = fmt.Errorf("%w at byte %d: %s", ErrSyntax, s.pos, what)
	}
	s.name, s.value = "", Value{}
	return false
}

func (s *Scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// space skips the white space of RFC 8259 §2, which is less than Unicode's. Most
// tokens have none, so the question is asked before the call is made.
func (s *Scanner) space() {
	if s.pos < len(s.text) && s.text[s.pos] <= ' ' {
		s.skipSpace()
	}
}

func (s *Scanner) skipSpace() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// Valid returns nil if text is one object that a Scanner accepts.
func Valid(text string) error {
	s := New(text)
	for s.Next() {
	}
	return s.Err()
}

// Find returns the value of the named member of the object text, and an error
// if the text as a whole is not valid. A missing member is a zero Value.
func Find(text, name string) (Value, error) {
	var found Value
	s := New(text)
	for s.Next() {
		if s.Name() == name {
			found = s.Value()
		}
	}
	if s.Err() != nil {
		return Value{}, s.Err()
	}
	return found, nil
}

// Parse reads a text that is one value of any kind.
func Parse(text string) (Value, error) {
	s := Scanner{text: text, begun: true}
	s.space()
	value, ok := s.scanValue()
	s.space()
	if ok && s.pos != len(text) {
		ok = s.fail("text after the value")
	}
	if !ok {
		return Value{}, s.err
	}
	return value, nil
}
