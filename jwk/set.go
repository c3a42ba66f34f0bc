package jwk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/strictjson"
)

// Bounds of a set. A verifier may have to try every key of a set for a token
// that names none.
const (
	maxSetKeys  = 128
	maxSetBytes = 1 << 20
)

// A Set is an immutable set of keys, and a [Source] of them. No two have the
// same identifier, and secrets do not stand beside public keys.
type Set struct {
	keys    []*Key
	byID    map[string][]*Key // each of one key, ready to be handed out
	unnamed []*Key            // those without identifier
	skipped []Skipped
}

// Skipped is a key of a parsed set that is not in the [Set].
type Skipped struct {
	Index int    // its place in the "keys" array
	ID    string // its "kid", if that could be read
	Err   error  // why: wraps ErrInvalid, ErrWeak or ErrUnsupported
}

// NewSet makes a set of keys. It returns ErrConflict if two have the same
// identifier or if secrets and other keys are mixed, and ErrInvalid for a nil key
// or more than 128 keys.
func NewSet(keys ...*Key) (*Set, error) {
	if len(keys) > maxSetKeys {
		return nil, fmt.Errorf("%w: a set of %d keys; at most %d are taken", ErrInvalid, len(keys), maxSetKeys)
	}
	s := &Set{keys: slices.Clone(keys), byID: make(map[string][]*Key, len(keys))}
	for i, k := range s.keys {
		switch {
		case k == nil:
			return nil, fmt.Errorf("%w: key %d is nil", ErrInvalid, i)
		case k.Symmetric() != s.keys[0].Symmetric():
			return nil, fmt.Errorf("%w: a secret among public keys", ErrConflict)
		case k.id == "":
			s.unnamed = append(s.unnamed, k)
		case s.byID[k.id] != nil:
			return nil, fmt.Errorf("%w: two keys have the kid %.64q", ErrConflict, k.id)
		default:
			s.byID[k.id] = s.keys[i : i+1 : i+1]
		}
	}
	return s, nil
}

// ParseSet reads a JSON Web Key Set, RFC 7517 §5, of at most 1 MiB and 128 keys.
// A key that is of unknown type, broken or weak is skipped, as §5 asks, so that
// it does not take the others with it; Skipped tells of it. What spoils the whole
// set is text that is not strict JSON (ErrInvalid) and keys that conflict
// (ErrConflict).
func ParseSet(data []byte) (*Set, error) {
	return parseSet(data, parseKey)
}

func parseSet(data []byte, parse func(text string) (*Key, error)) (*Set, error) {
	if len(data) > maxSetBytes {
		return nil, fmt.Errorf("%w: a set of %d bytes; at most %d are taken", ErrInvalid, len(data), maxSetBytes)
	}
	list, err := strictjson.Find(string(data), "keys")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var texts []string
	if !list.Each(func(v strictjson.Value) bool {
		texts = append(texts, v.Raw())
		return len(texts) <= maxSetKeys
	}) {
		return nil, fmt.Errorf("%w: keys must be a list of at most %d keys", ErrInvalid, maxSetKeys)
	}
	var keys []*Key
	var skipped []Skipped
	for i, text := range texts {
		k, err := parse(text)
		if err != nil {
			skipped = append(skipped, Skipped{Index: i, ID: idOf(text), Err: err})
			continue
		}
		keys = append(keys, k)
	}
	s, err := NewSet(keys...)
	if err != nil {
		return nil, err
	}
	s.skipped = skipped
	for _, skip := range skipped {
		// A key of an unknown kind may stand beside one of a known kind as its
		// equal, RFC 7517 §4.5; a broken one may not.
		if skip.ID != "" && s.byID[skip.ID] != nil && !errors.Is(skip.Err, ErrUnsupported) {
			return nil, fmt.Errorf("%w: two keys have the kid %.64q", ErrConflict, skip.ID)
		}
	}
	return s, nil
}

func idOf(text string) string {
	value, err := strictjson.Find(text, "kid")
	if err != nil {
		return ""
	}
	id, _ := value.Text()
	return id
}

// All returns the keys in their order.
func (s *Set) All() []*Key { return slices.Clone(s.keys) }

// Len returns how many keys the set has.
func (s *Set) Len() int { return len(s.keys) }

// Skipped returns the keys of a parsed set that were left out, and why.
func (s *Set) Skipped() []Skipped { return slices.Clone(s.skipped) }

// Find makes a set a [Source]. A token that names a key gets that key, or else
// the keys that have no name; one that names none gets them all. The error wraps
// ErrNotFound and tells if such a key was in the text and skipped.
func (s *Set) Find(_ context.Context, kid string) ([]*Key, error) {
	if s == nil {
		return nil, fmt.Errorf("%w: no set was given", ErrNotFound)
	}
	found := s.keys
	if kid != "" {
		found = s.byID[kid]
		if found == nil {
			found = s.unnamed
		}
	}
	if len(found) == 0 {
		return nil, s.notFound(kid)
	}
	return found, nil
}

func (s *Set) notFound(kid string) error {
	for _, skip := range s.skipped {
		if kid == "" || skip.ID == kid {
			return fmt.Errorf("%w: key %d of the set was skipped: %w", ErrNotFound, skip.Index, skip.Err)
		}
	}
	if kid == "" {
		return fmt.Errorf("%w: the set is empty", ErrNotFound)
	}
	return fmt.Errorf("%w: kid %.64q", ErrNotFound, kid)
}

// MarshalJSON returns the public halves of the keys as a JSON Web Key Set. It
// returns ErrPrivate for a set of secrets.
func (s *Set) MarshalJSON() ([]byte, error) {
	public := struct {
		Keys []*Key `json:"keys"`
	}{Keys: s.keys}
	if public.Keys == nil {
		public.Keys = []*Key{}
	}
	return json.Marshal(public)
}

// String lists the keys without their material.
func (s *Set) String() string {
	list := make([]string, len(s.keys))
	for i, k := range s.keys {
		list[i] = k.String()
	}
	return "[" + strings.Join(list, ", ") + "]"
}
