package resource

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

const (
	maxValue  = 1 << 10 // bytes of a claim that an entry can name
	maxWord   = 64      // bytes of a kind or a cause
	maxEvent  = 256<<10 + 256
	maxLogID  = 128
	wholeNums = 1<<53 - 1 // RFC 8259 §6: what every reader of JSON understands
)

var errEntries = errors.New("entries that are not understood")

// entry is one of the revocation log.
type entry struct {
	sequence int64
	kind     kind
	value    []byte // of the claim that it puts out; empty for kindAll
	cutOff   int64  // unix seconds, with kinds that have one
	disabled bool   // the cause is that the account is
	dropAt   int64  // unix seconds
}

// raw is an entry as it is sent.
type raw struct {
	sequence, cutOff, at, dropAt int64
	kind, value, cause           []byte
	seen                         uint8
}

// members are what an entry may have, and where raw keeps it.
var members = [...]struct {
	name   string
	number func(*raw) *int64
	text   func(*raw) *[]byte
}{
	{"sequence", func(r *raw) *int64 { return &r.sequence }, nil},
	{"kind", nil, func(r *raw) *[]byte { return &r.kind }},
	{"value", nil, func(r *raw) *[]byte { return &r.value }},
	{"cut_off", func(r *raw) *int64 { return &r.cutOff }, nil},
	{"cause", nil, func(r *raw) *[]byte { return &r.cause }},
	{"at", func(r *raw) *int64 { return &r.at }, nil},
	{"drop_at", func(r *raw) *int64 { return &r.dropAt }, nil},
}

// errLater is an entry of a later version of the format, to be skipped.
var errLater = errors.New("an entry of an unknown kind")

// entry checks what was sent. It returns errLater for a kind that is not known.
func (r *raw) entry() (entry, error) {
	e := entry{sequence: r.sequence, value: r.value, dropAt: r.dropAt}
	known := false
	for k, name := range kindNames {
		if string(r.kind) == name {
			e.kind, known = kind(k), true
		}
	}
	switch {
	case !known && len(r.kind) > 0 && len(r.kind) <= maxWord:
		return entry{}, errLater
	case !known:
		return entry{}, errors.New("an entry without a kind")
	case r.sequence <= 0 || r.sequence > wholeNums:
		return entry{}, errors.New("an entry without a sequence number")
	case r.dropAt <= 0 || r.dropAt > wholeNums:
		return entry{}, errors.New("an entry without drop_at")
	case len(r.value) > maxValue || len(r.cause) > maxWord:
		return entry{}, errors.New("an entry that is too long")
	case (e.kind == kindAll) != (len(r.value) == 0):
		return entry{}, fmt.Errorf("an entry of kind %s whose value is %d bytes long", e.kind, len(r.value))
	case !e.kind.cuts():
		return e, nil
	case r.cutOff <= 0 || r.cutOff > wholeNums:
		return entry{}, fmt.Errorf("an entry of kind %s without cut_off", e.kind)
	}
	e.cutOff = r.cutOff
	e.disabled = e.kind == kindSubject && string(r.cause) == "account_disabled"
	return e, nil
}

// readEntries calls take for each entry of a JSON array of a known kind, and
// returns how many there were of all. The entries are good only during the call. It stops at the first
// error of take, and at what is not an entry.
//
// A snapshot may have a million of them. Those in the form in which the server
// writes them are read where they stand; any other goes through encoding/json.
func readEntries(text []byte, most int, take func(entry) error) (int, error) {
	n := 0
	one := func(r *raw) error {
		if n++; n > most {
			return fmt.Errorf("more than %d entries at once", most)
		}
		e, err := r.entry()
		if errors.Is(err, errLater) {
			return nil
		}
		if err != nil {
			return err
		}
		return take(e)
	}
	rest, ok := after(text, '[')
	if done, end := after(rest, ']'); ok && end && len(done) == 0 {
		return 0, nil
	}
	for ok {
		var r raw
		if rest, ok = r.scan(rest); !ok {
			break
		}
		if err := one(&r); err != nil {
			return n, err
		}
		if done, end := after(rest, ']'); end && len(done) == 0 {
			return n, nil
		}
		rest, ok = after(rest, ',')
	}
	// What was taken in is taken in again, which does no harm.
	n = 0
	err := readAny(text, one)
	return n, err
}

func after(text []byte, c byte) ([]byte, bool) {
	if len(text) == 0 || text[0] != c {
		return text, false
	}
	return text[1:], true
}

// scan reads an object that has no blanks and no escapes in it, no member twice
// and no unknown one, and returns what follows.
func (r *raw) scan(text []byte) ([]byte, bool) {
	text, ok := after(text, '{')
	for ok {
		var name []byte
		if name, text, ok = scanText(text); !ok {
			break
		}
		if text, ok = after(text, ':'); !ok {
			break
		}
		if text, ok = r.scanMember(name, text); !ok {
			break
		}
		if rest, end := after(text, '}'); end {
			return rest, true
		}
		text, ok = after(text, ',')
	}
	return text, false
}

func (r *raw) scanMember(name, text []byte) (rest []byte, ok bool) {
	for i := range members {
		m := &members[i]
		if string(name) != m.name {
			continue
		}
		if r.seen&(1<<i) != 0 {
			return text, false
		}
		r.seen |= 1 << i
		if m.number != nil {
			*m.number(r), rest, ok = scanNumber(text)
		} else {
			*m.text(r), rest, ok = scanText(text)
		}
		return rest, ok
	}
	return text, false
}

func scanText(text []byte) (value, rest []byte, ok bool) {
	text, ok = after(text, '"')
	if !ok {
		return nil, text, false
	}
	for i, c := range text {
		switch {
		case c == '"':
			return text[:i], text[i+1:], true
		case c < ' ' || c > '~' || c == '\\':
			return nil, text, false
		}
	}
	return nil, text, false
}

func scanNumber(text []byte) (value int64, rest []byte, ok bool) {
	i := 0
	for ; i < len(text) && i < 16 && text[i]-'0' <= 9; i++ {
		value = value*10 + int64(text[i]-'0')
	}
	if i == 0 || i > 1 && text[0] == '0' || i == len(text) {
		return 0, text, false
	}
	return value, text[i:], true // what follows is no comma and no brace: refused by who called
}

// readAny reads entries in any form of JSON. Members that are not known are for
// a later version of the format.
func readAny(text []byte, one func(*raw) error) error {
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("%w: %w", errEntries, err)
	}
	for _, object := range list {
		var r raw
		for _, m := range members {
			value, ok := object[m.name]
			if !ok {
				continue
			}
			if m.number != nil {
				n, err := strconv.ParseInt(string(value), 10, 64)
				if err != nil {
					return fmt.Errorf("%w: %s is not a whole number", errEntries, m.name)
				}
				*m.number(&r) = n
				continue
			}
			var s string
			if err := json.Unmarshal(value, &s); err != nil {
				return fmt.Errorf("%w: %s is not a text", errEntries, m.name)
			}
			*m.text(&r) = []byte(s)
		}
		if err := one(&r); err != nil {
			return err
		}
	}
	return nil
}
