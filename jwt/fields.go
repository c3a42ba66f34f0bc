package jwt

import (
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/ostiary/ostiary/internal/strictjson"
)

// A shape is how the type of the claims is filled.
type shape struct {
	text   bool    // a string: the payload as it is
	plain  bool    // a struct: members are set as they are scanned
	fields fields  // of the struct
	whole  decoder // of any other type

	// The claims of an embedded Registered have been read when they were scanned,
	// and need no decoder. Its fields are then not among fields.
	embeds     bool
	registered []int // the index of the Registered; empty if the type is one
}

var (
	shapes         sync.Map // of reflect.Type to shape
	registeredType = reflect.TypeFor[Registered]()
)

func shapeOf(t reflect.Type) shape {
	if known, ok := shapes.Load(t); ok {
		return known.(shape)
	}
	var made shape
	pointer := reflect.PointerTo(t)
	if t == reflect.TypeFor[string]() {
		made = shape{text: true}
	} else if t.Kind() == reflect.Struct && !pointer.Implements(unmarshalerType) && !pointer.Implements(textUnmarshalerType) {
		made = shape{plain: true, fields: fieldsOf(t)}
		made.setAside(t)
	} else {
		made = shape{whole: decoderOf(t)}
	}
	shapes.Store(t, made)
	return made
}

// setAside takes the fields of an embedded Registered out, if all seven are visible
// and no pointer is on the way.
func (sh *shape) setAside(t reflect.Type) {
	var rest, inner fields
	for _, f := range sh.fields {
		if owner := ownerOf(t, f.index); owner == registeredType && (inner == nil || slices.Equal(inner[0].index[:len(inner[0].index)-1], f.index[:len(f.index)-1])) {
			inner = append(inner, f)
		} else {
			rest = append(rest, f)
		}
	}
	if len(inner) == registeredType.NumField() {
		sh.embeds, sh.registered, sh.fields = true, inner[0].index[:len(inner[0].index)-1], rest
	}
}

// ownerOf is the struct type that a field belongs to; nil if a pointer leads there.
func ownerOf(t reflect.Type, index []int) reflect.Type {
	for _, n := range index[:len(index)-1] {
		if t = t.Field(n).Type; t.Kind() != reflect.Struct {
			return nil
		}
	}
	return t
}

// payloadText is a payload and the "typ" of the token that it came in.
type payloadText struct{ typ, text string }

// read validates a payload, and fills registered and to with it in the same pass. The
// first error is that of claims which do not fit their type: it matters only once
// the claims that the package knows have been found in order.
func (sh *shape) read(p payloadText, registered *claims, to reflect.Value) (unfit, err error) {
	switch {
	case sh.text:
		to.SetString(p.text)
		// What says that it is a JWT has claims, RFC 7519 §7.2.
		if strings.EqualFold(p.typ, "JWT") || strings.HasPrefix(strings.TrimLeft(p.text, " \t\r\n"), "{") {
			err = scanClaims(p.text, registered)
		}
	case !sh.plain:
		if err = scanClaims(p.text, registered); err == nil {
			value, _ := strictjson.Parse(p.text) // was found valid just now
			unfit = sh.whole(value, to)
		}
	default:
		unfit, err = sh.readStruct(p.text, registered, to)
	}
	if unfit != nil {
		unfit = &JSONWebTokenError{Message: "jwt claims do not fit their type", Kind: ErrClaims, Cause: unfit}
	}
	return unfit, err
}

// readStruct scans the claims and sets the fields of a struct on the way.
func (sh *shape) readStruct(text string, c *claims, to reflect.Value) (unfit, err error) {
	s := strictjson.New(text)
	for next := 0; s.Next(); {
		name, value := s.Name(), s.Value()
		if claim := c.read(name, value); sh.embeds && claim&^claimNonce != 0 {
			continue
		}
		i := sh.fields.find(name, next)
		if i < 0 {
			continue
		}
		next = i + 1
		if failed := sh.fields[i].set(value, to); failed != nil && unfit == nil {
			unfit = failed
		}
	}
	if s.Err() != nil {
		return nil, malformed(s.Err())
	}
	if sh.embeds {
		if c.wrong&^claimNonce != 0 && unfit == nil {
			unfit = c.fault
		}
		for _, n := range sh.registered {
			to = to.Field(n)
		}
		c.fill(to.Addr().Interface().(*Registered))
	}
	return unfit, nil
}

// fill copies the claims.
func (c *claims) fill(r *Registered) {
	r.Issuer, r.Subject, r.ID = c.issuer, c.subject, c.id
	r.ExpiresAt.Time, r.NotBefore.Time, r.IssuedAt.Time = c.expiresAt, c.notBefore, c.issuedAt
	if c.has(claimAudience) {
		r.Audience = c.audience.list()
	}
}

// A field is one field of a struct that claims are decoded into, its own or that
// of an embedded struct.
type field struct {
	name   string
	index  []int
	tagged bool
	direct int // the field's index if it is not embedded, or else -1
	decode decoder
}

// fields are those of a struct, in its order.
type fields []field

// find returns the field for a member. Members mostly come in the order of the
// fields, so the search goes on from where the last one ended.
func (fs fields) find(name string, from int) int {
	for i := from; i < len(fs); i++ {
		if fs[i].name == name {
			return i
		}
	}
	for i := range min(from, len(fs)) {
		if fs[i].name == name {
			return i
		}
	}
	return -1
}

func (f *field) set(value strictjson.Value, to reflect.Value) error {
	if f.direct >= 0 {
		to = to.Field(f.direct)
	} else {
		to = settable(to, f.index)
	}
	if err := f.decode(value, to); err != nil {
		return inMember(f.name, err)
	}
	return nil
}

// settable returns a field, making the embedded structs on the way that are
// reached through pointers.
func settable(to reflect.Value, index []int) reflect.Value {
	for i, n := range index {
		if i > 0 && to.Kind() == reflect.Pointer {
			if to.IsNil() {
				to.Set(reflect.New(to.Type().Elem()))
			}
			to = to.Elem()
		}
		to = to.Field(n)
	}
	return to
}

func structDecoder(t reflect.Type) decoder {
	fs := fieldsOf(t)
	return func(value strictjson.Value, to reflect.Value) error {
		if value.Kind() != strictjson.Object {
			return mismatch(value, to)
		}
		s := strictjson.New(value.Raw())
		next := 0
		for s.Next() {
			i := fs.find(s.Name(), next)
			if i < 0 {
				continue
			}
			next = i + 1
			if err := fs[i].set(s.Value(), to); err != nil {
				return err
			}
		}
		return s.Err()
	}
}

// fieldsOf lists the fields of a struct under the names of their members, by the
// rules of encoding/json: fields of embedded structs count as fields of the
// struct, of two with the same name the shallower is meant, then the tagged one,
// and if that decides nothing, neither.
func fieldsOf(t reflect.Type) fields {
	var all fields
	collect(t, nil, map[reflect.Type]bool{}, &all)
	var kept fields
	for i := range all {
		if !slices.ContainsFunc(all, func(other field) bool { return hides(other, all[i]) }) {
			kept = append(kept, all[i])
		}
	}
	return kept
}

// hides reports whether other takes the name of f away from it.
func hides(other, f field) bool {
	if other.name != f.name || slices.Equal(other.index, f.index) {
		return false
	}
	if len(other.index) != len(f.index) {
		return len(other.index) < len(f.index)
	}
	return other.tagged || !f.tagged
}

func collect(t reflect.Type, at []int, above map[reflect.Type]bool, all *fields) {
	if above[t] {
		return
	}
	above[t] = true
	defer delete(above, t)
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		index := append(slices.Clone(at), i)
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case f.Tag.Get("json") == "-":
		case f.Anonymous && tag == "" && inner.Kind() == reflect.Struct && (f.IsExported() || f.Type == inner):
			collect(inner, index, above, all)
		case f.IsExported():
			*all = append(*all, newField(f, index, tag, options))
		}
	}
}

func newField(f reflect.StructField, index []int, tag, options string) field {
	made := field{name: tag, index: index, tagged: tag != "", direct: -1, decode: decoderOf(f.Type)}
	if tag == "" {
		made.name = f.Name
	}
	if len(index) == 1 {
		made.direct = index[0]
	}
	if slices.Contains(strings.Split(options, ","), "string") {
		made.decode = quoted(made.decode)
	}
	return made
}

// quoted decodes a value that stands as text inside a string, for the option
// "string" of a tag.
func quoted(inner decoder) decoder {
	return func(value strictjson.Value, to reflect.Value) error {
		text, ok := value.Text()
		if !ok {
			return mismatch(value, to)
		}
		unquoted, err := strictjson.Parse(text)
		if err != nil {
			return err
		}
		return inner(unquoted, to)
	}
}
