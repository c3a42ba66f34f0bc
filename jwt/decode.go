package jwt

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/ostiary/ostiary/internal/strictjson"
)

// Claims are not decoded by encoding/json, which takes "EXP" for "exp" and lets
// the last of two such members win. This decoder follows the same struct tags and
// the same rules otherwise, compares names exactly, and reads the text while it is
// being validated. A type is compiled once; what has no names inside and is rare in
// claims ([]byte, unsigned integers) is left to encoding/json.

// A decoder sets to, which is addressable, from a value.
type decoder func(value strictjson.Value, to reflect.Value) error

// decoders are the compiled types.
var decoders sync.Map // of reflect.Type to decoder

var (
	timeType            = reflect.TypeFor[Time]()
	audienceType        = reflect.TypeFor[Audience]()
	textsType           = reflect.TypeFor[[]string]()
	numberType          = reflect.TypeFor[json.Number]()
	unmarshalerType     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// decoderOf returns the decoder of a type, compiled if need be.
func decoderOf(t reflect.Type) decoder {
	if d, ok := decoders.Load(t); ok {
		return d.(decoder)
	}
	// A type may contain itself: until it is compiled, whoever meets it gets a
	// decoder that looks it up when it is used.
	var compiled decoder
	var ready sync.WaitGroup
	ready.Add(1)
	indirect := decoder(func(value strictjson.Value, to reflect.Value) error {
		ready.Wait()
		return compiled(value, to)
	})
	if d, loaded := decoders.LoadOrStore(t, indirect); loaded {
		return d.(decoder)
	}
	compiled = compile(t)
	ready.Done()
	decoders.Store(t, compiled)
	return compiled
}

// compile chooses the decoder of a type.
func compile(t reflect.Type) decoder {
	switch t {
	case timeType:
		return decodeTime
	case audienceType:
		return decodeAudience
	case numberType:
		return decodeNumber
	case textsType:
		return decodeTexts
	}
	switch pointer := reflect.PointerTo(t); {
	case t.Kind() == reflect.Pointer:
		return pointerDecoder(t.Elem())
	case pointer.Implements(unmarshalerType):
		return decodeByJSON
	case pointer.Implements(textUnmarshalerType):
		return orNull(decodeByText)
	}
	switch t.Kind() {
	case reflect.String:
		return orNull(decodeString)
	case reflect.Bool:
		return orNull(decodeBool)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return orNull(decodeInt)
	case reflect.Float32, reflect.Float64:
		return orNull(decodeFloat)
	case reflect.Struct:
		return orNull(structDecoder(t))
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 {
			return sliceDecoder(t)
		}
	case reflect.Array:
		return orNull(arrayDecoder(t))
	case reflect.Map:
		return mapDecoder(t)
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return decodeAny
		}
	}
	return decodeByJSON
}

// orNull leaves a value as it is for null, as encoding/json does for types that
// have no nil.
func orNull(d decoder) decoder {
	return func(value strictjson.Value, to reflect.Value) error {
		if value.Kind() == strictjson.Null {
			return nil
		}
		return d(value, to)
	}
}

var errNotTexts = errors.New("a list with something else than texts in it")

var errRange = errors.New("number out of range, or not an integer")

func mismatch(value strictjson.Value, to reflect.Value) error {
	return fmt.Errorf("%v does not fit %v", value.Kind(), to.Type())
}

func decodeString(value strictjson.Value, to reflect.Value) error {
	text, ok := value.Text()
	if !ok {
		return mismatch(value, to)
	}
	to.SetString(text)
	return nil
}

func decodeBool(value strictjson.Value, to reflect.Value) error {
	b, ok := value.Bool()
	if !ok {
		return mismatch(value, to)
	}
	to.SetBool(b)
	return nil
}

func decodeInt(value strictjson.Value, to reflect.Value) error {
	if value.Kind() != strictjson.Number {
		return mismatch(value, to)
	}
	n, ok := value.Int()
	if !ok || to.OverflowInt(n) {
		return errRange
	}
	to.SetInt(n)
	return nil
}

func decodeFloat(value strictjson.Value, to reflect.Value) error {
	if value.Kind() != strictjson.Number {
		return mismatch(value, to)
	}
	f, ok := value.Float()
	if !ok || to.OverflowFloat(f) {
		return errRange
	}
	to.SetFloat(f)
	return nil
}

func decodeNumber(value strictjson.Value, to reflect.Value) error {
	switch value.Kind() {
	case strictjson.Null:
		return nil
	case strictjson.Number:
		to.SetString(value.Raw())
		return nil
	}
	return mismatch(value, to)
}

func decodeTime(value strictjson.Value, to reflect.Value) error {
	date, ok := dateOf(value)
	if !ok {
		return errDateType
	}
	to.Addr().Interface().(*Time).Time = date
	return nil
}

func decodeAudience(value strictjson.Value, to reflect.Value) error {
	list, ok := audienceOf(value)
	if !ok {
		return errAudienceType
	}
	*to.Addr().Interface().(*Audience) = list
	return nil
}

func decodeByJSON(value strictjson.Value, to reflect.Value) error {
	return json.Unmarshal([]byte(value.Raw()), to.Addr().Interface())
}

func decodeByText(value strictjson.Value, to reflect.Value) error {
	text, ok := value.Text()
	if !ok {
		return mismatch(value, to)
	}
	return to.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
}

func pointerDecoder(t reflect.Type) decoder {
	element := decoderOf(t)
	return func(value strictjson.Value, to reflect.Value) error {
		if value.Kind() == strictjson.Null {
			to.SetZero()
			return nil
		}
		fresh := reflect.New(t)
		if err := element(value, fresh.Elem()); err != nil {
			return err
		}
		to.Set(fresh)
		return nil
	}
}

// decodeTexts is the decoder of the one kind of list that most claims have.
func decodeTexts(value strictjson.Value, to reflect.Value) error {
	list := to.Addr().Interface().(*[]string)
	switch value.Kind() {
	case strictjson.Null:
		*list = nil
		return nil
	case strictjson.Array:
	default:
		return mismatch(value, to)
	}
	texts, ok := value.Texts()
	if !ok {
		return errNotTexts
	}
	*list = texts
	return nil
}

func sliceDecoder(t reflect.Type) decoder {
	element := decoderOf(t.Elem())
	return func(value strictjson.Value, to reflect.Value) error {
		if value.Kind() == strictjson.Null {
			to.SetZero()
			return nil
		}
		if value.Kind() != strictjson.Array {
			return mismatch(value, to)
		}
		list := reflect.MakeSlice(t, 0, 4)
		var err error
		value.Each(func(v strictjson.Value) bool {
			list = reflect.Append(list, reflect.Zero(t.Elem()))
			err = element(v, list.Index(list.Len()-1))
			return err == nil
		})
		to.Set(list)
		return err
	}
}

// arrayDecoder leaves elements out that have no room, and zeroes room that has no
// element, as encoding/json does.
func arrayDecoder(t reflect.Type) decoder {
	element := decoderOf(t.Elem())
	return func(value strictjson.Value, to reflect.Value) error {
		if value.Kind() != strictjson.Array {
			return mismatch(value, to)
		}
		to.SetZero()
		n := 0
		var err error
		value.Each(func(v strictjson.Value) bool {
			if n < to.Len() {
				err = element(v, to.Index(n))
			}
			n++
			return err == nil && n < to.Len()
		})
		return err
	}
}

// keyDecoder makes the key of a map of a name. If keys are no more than texts, no two
// names are the same key.
func keyDecoder(t reflect.Type) (keyOf func(name string) (reflect.Value, error), text bool) {
	if t.Kind() == reflect.String && !reflect.PointerTo(t).Implements(textUnmarshalerType) {
		return func(name string) (reflect.Value, error) { return reflect.ValueOf(name).Convert(t), nil }, true
	}
	single := reflect.MapOf(t, reflect.TypeFor[struct{}]())
	return func(name string) (reflect.Value, error) { // numbers, and types that read their own text
		text, err := json.Marshal(map[string]struct{}{name: {}})
		m := reflect.New(single)
		if err == nil {
			err = json.Unmarshal(text, m.Interface())
		}
		if err != nil {
			return reflect.Value{}, err
		}
		return m.Elem().MapKeys()[0], nil
	}, false
}

var errSameKey = errors.New("the key of another member")

func mapDecoder(t reflect.Type) decoder {
	element := decoderOf(t.Elem())
	keyOf, text := keyDecoder(t.Key())
	return func(value strictjson.Value, to reflect.Value) error {
		if value.Kind() == strictjson.Null {
			to.SetZero()
			return nil
		}
		if value.Kind() != strictjson.Object {
			return mismatch(value, to)
		}
		m := reflect.MakeMap(t)
		s := strictjson.New(value.Raw())
		for s.Next() {
			fresh := reflect.New(t.Elem()).Elem()
			if err := element(s.Value(), fresh); err != nil {
				return inMember(s.Name(), err)
			}
			key, err := keyOf(s.Name())
			if err == nil && !text && m.MapIndex(key).IsValid() {
				err = errSameKey
			}
			if err != nil {
				return inMember(s.Name(), err)
			}
			m.SetMapIndex(key, fresh)
		}
		to.Set(m)
		return s.Err()
	}
}

func decodeAny(value strictjson.Value, to reflect.Value) error {
	v, err := anyOf(value)
	if v == nil {
		to.SetZero()
	} else {
		to.Set(reflect.ValueOf(v))
	}
	return err
}

// anyOf is a value as encoding/json would make it with UseNumber: numbers keep
// every digit.
func anyOf(value strictjson.Value) (any, error) {
	switch value.Kind() {
	case strictjson.String:
		text, _ := value.Text()
		return text, nil
	case strictjson.Number:
		return json.Number(value.Raw()), nil
	case strictjson.Bool:
		b, _ := value.Bool()
		return b, nil
	case strictjson.Array:
		list := []any{}
		var err error
		value.Each(func(v strictjson.Value) bool {
			var element any
			element, err = anyOf(v)
			list = append(list, element)
			return err == nil
		})
		return list, err
	case strictjson.Object:
		return mapOf(value.Raw())
	}
	return nil, nil // null has no other Go value
}

func mapOf(text string) (map[string]any, error) {
	m := make(map[string]any)
	s := strictjson.New(text)
	for s.Next() {
		v, err := anyOf(s.Value())
		if err != nil {
			return nil, err
		}
		m[s.Name()] = v
	}
	return m, s.Err()
}

func inMember(name string, err error) error { return fmt.Errorf("%.40q: %w", name, err) }
