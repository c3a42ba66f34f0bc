package jwt

import (
	"reflect"
	"slices"
	"time"
)

// A cloner replaces what a value shares with the one it was copied from.
type cloner func(v reflect.Value)

// maxCloneDepth ends the search in types that contain themselves.
const maxCloneDepth = 8

var plainTimes = []reflect.Type{timeType, reflect.TypeFor[time.Time]()}

// clonerOf returns the cloner of a type, nil if a copy shares nothing that can be
// changed, and false if values of the type cannot be cloned: those with maps,
// interfaces and methods of their own for reading JSON.
func clonerOf(t reflect.Type, depth int) (cloner, bool) {
	switch {
	case depth > maxCloneDepth:
		return nil, false
	case slices.Contains(plainTimes, t):
		return nil, true
	case t == audienceType:
		return cloneAudience, true
	case t == textsType:
		return cloneTexts, true
	case reflect.PointerTo(t).Implements(unmarshalerType), reflect.PointerTo(t).Implements(textUnmarshalerType):
		return nil, false
	}
	switch k := t.Kind(); {
	case k == reflect.Struct:
		return structCloner(t, depth)
	case k == reflect.Slice:
		return sliceCloner(t, depth)
	case k == reflect.String, k == reflect.Bool, reflect.Int <= k && k <= reflect.Uint64, k == reflect.Float32, k == reflect.Float64:
		return nil, true
	}
	return nil, false
}

func cloneAudience(v reflect.Value) {
	a := v.Addr().Interface().(*Audience)
	*a = slices.Clone(*a)
}

func cloneTexts(v reflect.Value) {
	list := v.Addr().Interface().(*[]string)
	*list = slices.Clone(*list)
}

func structCloner(t reflect.Type, depth int) (cloner, bool) {
	type part struct {
		index []int
		clone cloner
	}
	var parts []part
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() && !f.Anonymous { // no decoder writes it, so it is zero
			continue
		}
		clone, ok := clonerOf(f.Type, depth+1)
		if !ok || clone != nil && !f.IsExported() && f.Type.Kind() != reflect.Struct {
			return nil, false
		}
		if clone != nil {
			parts = append(parts, part{f.Index, clone})
		}
	}
	if parts == nil {
		return nil, true
	}
	return func(v reflect.Value) {
		for i := range parts {
			parts[i].clone(v.Field(parts[i].index[0]))
		}
	}, true
}

func sliceCloner(t reflect.Type, depth int) (cloner, bool) {
	element, ok := clonerOf(t.Elem(), depth+1)
	if !ok {
		return nil, false
	}
	return func(v reflect.Value) {
		if v.IsNil() {
			return
		}
		fresh := reflect.MakeSlice(t, v.Len(), v.Len())
		reflect.Copy(fresh, v)
		if element != nil {
			for i := range fresh.Len() {
				element(fresh.Index(i))
			}
		}
		v.Set(fresh)
	}, true
}
