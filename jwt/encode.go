package jwt

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/ostiary/ostiary/internal/strictjson"
)

// Claims that are a struct of the common kinds (text, numbers, times, lists of
// text, structs of these) are written by an encoder of our own: it knows which of
// the registered claims it wrote, so that the text need not be read again. It writes
// what encoding/json would, and leaves all other types to it.

// A plan is how the fields of one type are written.
type plan struct {
	parts []part
	spare sync.Pool // of *T: room for claims that were not passed by pointer
}

// A part writes one field.
type part struct {
	name    string // with quotes and colon
	index   []int
	empty   func(v reflect.Value) bool // when to leave it out; nil means never
	encode  appender
	claim   int // if it is a registered one
	observe func(c *claims, p *part, at observed)
}

// observed is a value that was written, and its text.
type observed struct {
	value reflect.Value
	text  []byte
}

// An appender appends a value, which is addressable, as JSON.
type appender func(dst []byte, v reflect.Value) []byte

// plans has nil for types that have none.
var plans sync.Map // of reflect.Type to *plan

func planOf(t reflect.Type) *plan {
	if known, ok := plans.Load(t); ok {
		return known.(*plan)
	}
	var made *plan
	if parts, ok := partsOf(t); ok {
		made = &plan{parts: parts}
		made.spare.New = func() any { return reflect.New(t).Interface() }
	}
	plans.Store(t, made)
	return made
}

// appendStruct writes a struct, or one that is pointed at; false if the type has no plan.
func appendStruct(dst []byte, c *claims, value any) ([]byte, bool) {
	v := reflect.ValueOf(value)
	if v.Kind() == reflect.Pointer {
		if v.IsNil() || v.Type().Elem().Kind() != reflect.Struct {
			return dst, false
		}
		p := planOf(v.Type().Elem())
		if p == nil {
			return dst, false
		}
		return p.append(dst, c, v.Elem()), true
	}
	if v.Kind() != reflect.Struct {
		return dst, false
	}
	p := planOf(v.Type())
	if p == nil {
		return dst, false
	}
	spare := p.spare.Get()
	room := reflect.ValueOf(spare).Elem()
	room.Set(v)
	dst = p.append(dst, c, room)
	room.SetZero()
	p.spare.Put(spare)
	return dst, true
}

// append writes a struct. Only the outermost has claims to observe.
func (p *plan) append(dst []byte, c *claims, v reflect.Value) []byte {
	dst = append(dst, '{')
	start := len(dst)
	for i := range p.parts {
		f := &p.parts[i]
		at := v
		for _, n := range f.index {
			at = at.Field(n)
		}
		if f.empty != nil && f.empty(at) {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, f.name...)
		begin := len(dst)
		dst = f.encode(dst, at)
		if c != nil && f.observe != nil {
			f.observe(c, f, observed{at, dst[begin:]})
		}
	}
	return append(dst, '}')
}

var (
	marshalerType     = reflect.TypeFor[json.Marshaler]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
	zeroerType        = reflect.TypeFor[interface{ IsZero() bool }]()
)

func partsOf(t reflect.Type) ([]part, bool) {
	if marshals(t) {
		return nil, false
	}
	var all fields
	collect(t, nil, map[reflect.Type]bool{}, &all)
	if len(all) != len(fieldsOf(t)) { // names that hide each other
		return nil, false
	}
	parts := make([]part, 0, len(all))
	for i := range all {
		made, ok := partOf(t, &all[i])
		if !ok {
			return nil, false
		}
		parts = append(parts, made)
	}
	return parts, true
}

func marshals(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	return pointer.Implements(marshalerType) || pointer.Implements(textMarshalerType)
}

func partOf(t reflect.Type, f *field) (part, bool) {
	for n := range f.index {
		if n > 0 && t.FieldByIndex(f.index[:n]).Type.Kind() != reflect.Struct {
			return part{}, false // a struct that is embedded by pointer
		}
	}
	field := t.FieldByIndex(f.index)
	_, options, _ := strings.Cut(field.Tag.Get("json"), ",")
	made := part{name: `"` + f.name + `":`, index: f.index}
	var ok bool
	if made.encode, ok = appenderOf(field.Type); !ok || !plainName(f.name) {
		return part{}, false
	}
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "":
		case "omitempty":
			made.empty = or(made.empty, emptyOf(field.Type))
		case "omitzero":
			made.empty = or(made.empty, zeroOf(field.Type))
		default: // "string", and what may come
			return part{}, false
		}
	}
	made.claim, made.observe = observerOf(f.name, field.Type)
	return made, true
}

// plainName reports whether a name is written as it is, and is one to encoding/json.
func plainName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c >= utf8.RuneSelf || !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("_-:./#", c) >= 0) {
			return false
		}
	}
	return name != ""
}

func or(a, b func(reflect.Value) bool) func(reflect.Value) bool {
	if a == nil || b == nil {
		return b
	}
	return func(v reflect.Value) bool { return a(v) || b(v) }
}

// emptyOf is "omitempty", which never leaves out a struct.
func emptyOf(t reflect.Type) func(reflect.Value) bool {
	switch t.Kind() {
	case reflect.Struct:
		return func(reflect.Value) bool { return false }
	case reflect.Slice, reflect.String:
		return func(v reflect.Value) bool { return v.Len() == 0 }
	}
	return reflect.Value.IsZero
}

// zeroOf is "omitzero", which asks the type itself if it can tell.
func zeroOf(t reflect.Type) func(reflect.Value) bool {
	if t == timeType {
		return func(v reflect.Value) bool { return v.Addr().Interface().(*Time).IsZero() }
	}
	if reflect.PointerTo(t).Implements(zeroerType) {
		return func(v reflect.Value) bool { return v.Addr().Interface().(interface{ IsZero() bool }).IsZero() }
	}
	return reflect.Value.IsZero
}

func appenderOf(t reflect.Type) (appender, bool) {
	switch {
	case t == timeType:
		return appendTime, true
	case t == audienceType:
		return appendAudience, true
	case marshals(t), t == numberType:
		return nil, false
	}
	switch k := t.Kind(); {
	case k == reflect.String:
		return func(dst []byte, v reflect.Value) []byte { return appendString(dst, v.String()) }, true
	case k == reflect.Bool:
		return func(dst []byte, v reflect.Value) []byte { return strconv.AppendBool(dst, v.Bool()) }, true
	case reflect.Int <= k && k <= reflect.Int64:
		return func(dst []byte, v reflect.Value) []byte { return strconv.AppendInt(dst, v.Int(), 10) }, true
	case reflect.Uint <= k && k <= reflect.Uint64:
		return func(dst []byte, v reflect.Value) []byte { return strconv.AppendUint(dst, v.Uint(), 10) }, true
	case k == reflect.Slice && t.Elem().Kind() == reflect.String && !marshals(t.Elem()) && t.Elem() != numberType:
		return appendTexts, true
	case k == reflect.Struct:
		parts, ok := partsOf(t) // a struct cannot contain itself but by pointer or slice
		inner := &plan{parts: parts}
		return func(dst []byte, v reflect.Value) []byte { return inner.append(dst, nil, v) }, ok
	}
	return nil, false
}

func appendTime(dst []byte, v reflect.Value) []byte {
	return strconv.AppendInt(dst, v.Addr().Interface().(*Time).Unix(), 10)
}

func appendAudience(dst []byte, v reflect.Value) []byte {
	if v.Len() == 1 {
		return appendString(dst, v.Index(0).String())
	}
	return appendTexts(dst, v)
}

func appendTexts(dst []byte, v reflect.Value) []byte {
	if v.IsNil() {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i := range v.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, v.Index(i).String())
	}
	return append(dst, ']')
}

// appendString writes a string as encoding/json does without its escapes for HTML.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	if strictjson.Plain(s) {
		return append(append(dst, s...), '"')
	}
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = appendControl(dst, byte(r))
		case r == '\u2028' || r == '\u2029': // line ends in JavaScript
			dst = append(append(dst, `\u202`...), "89"[r-'\u2028'])
		case r == utf8.RuneError && size == 1:
			dst = append(dst, `\ufffd`...)
		default:
			dst = append(dst, s[i:i+size]...)
		}
		i += size
	}
	return append(dst, '"')
}

func appendControl(dst []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	if at := strings.IndexByte("\b\f\n\r\t", c); at >= 0 {
		return append(dst, '\\', "bfnrt"[at])
	}
	return append(append(dst, `\u00`...), digits[c>>4], digits[c&15])
}

// registeredNames are the claims that the package looks at.
var registeredNames = map[string]int{
	"iss": claimIssuer, "sub": claimSubject, "aud": claimAudience, "exp": claimExpiresAt, "nbf": claimNotBefore, "iat": claimIssuedAt, "jti": claimID, "nonce": claimNonce,
}

// observerOf returns how the claims learn of a field. For the usual types that takes
// no look at the text.
func observerOf(name string, t reflect.Type) (int, func(*claims, *part, observed)) {
	claim, ok := registeredNames[name]
	texts := claim&(claimIssuer|claimSubject|claimID|claimNonce) != 0
	dates := claim&(claimExpiresAt|claimNotBefore|claimIssuedAt) != 0
	switch {
	case !ok:
		return 0, nil
	case texts && t.Kind() == reflect.String:
		return claim, func(c *claims, p *part, _ observed) { c.present |= p.claim }
	case dates && t == timeType:
		return claim, observeTime
	case t == audienceType:
		return claim, func(c *claims, p *part, at observed) { c.note(p.claim, "aud", !at.value.IsNil()) }
	}
	return claim, func(c *claims, _ *part, at observed) {
		value, err := strictjson.Parse(string(at.text))
		if err == nil { // and it was written a moment ago
			c.read(name, value)
		}
	}
}

func observeTime(c *claims, p *part, at observed) {
	seconds := at.value.Addr().Interface().(*Time).Unix()
	name := strings.Trim(p.name, `":`)
	c.note(p.claim, name, -maxDate <= seconds && seconds <= maxDate)
	if p.claim == claimIssuedAt {
		c.issuedAt = time.Unix(seconds, 0)
	}
}
