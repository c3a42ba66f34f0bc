package jwe

import (
	"fmt"
	"slices"

	"github.com/ostiary/ostiary/internal/strictjson"
	"github.com/ostiary/ostiary/jwa"
)

const (
	// maxHeaderText bounds the values of the header that are handed on.
	maxHeaderText = 4 << 10

	// maxCritical is how many extensions a header may mark.
	maxCritical = 16
)

// parameters are the members of a header that belong to single algorithms,
// RFC 7518 §4.6.1, §4.7.1 and §4.8.1: zero where there are none.
type parameters struct {
	epk        string  // "epk", a key as JSON text
	parties    parties // "apu", "apv"
	iv, tag    []byte  // of the encrypted key
	salt       []byte  // "p2s"
	iterations int64   // "p2c"
}

// reader reads a header that may be in several parts.
type reader struct {
	header *Header
	seen   map[string]struct{} // nil as long as there is one part only
	err    error               // of the first member that is wrong
}

// parseProtected reads a header all of which is protected, RFC 7516 §4: strict
// JSON, names compared exactly, the members that this library uses of the right
// type.
func (h *Header) parseProtected(raw string) error {
	h.protected = raw
	r := reader{header: h}
	if err := r.read(raw, true); err != nil {
		return err
	}
	return r.finish()
}

// parseParts reads a header whose members are spread over a protected, a shared
// and a recipient's own part, RFC 7516 §7.2.1. No name may be in two of them. A
// part that is missing is "".
func (h *Header) parseParts(protected, shared, own string) error {
	h.protected, h.shared, h.own = protected, shared, own
	r := reader{header: h, seen: make(map[string]struct{})}
	for i, raw := range []string{protected, shared, own} {
		if raw == "" {
			continue
		}
		if err := r.read(raw, i == 0); err != nil {
			return err
		}
	}
	return r.finish()
}

func (r *reader) read(raw string, protected bool) error {
	s := strictjson.New(raw)
	for s.Next() {
		err := r.member(s.Name(), s.Value(), protected)
		if r.err == nil {
			r.err = err
		}
	}
	if s.Err() != nil {
		return fmt.Errorf("%w: header: %w", ErrMalformed, s.Err())
	}
	return nil
}

// finish returns nil if nothing was wrong with a member and both algorithms are
// named.
func (r *reader) finish() error {
	switch {
	case r.err != nil:
		return r.err
	case r.header.Algorithm == "": // RFC 7516 §4.1.1
		return fmt.Errorf("%w: header: alg is missing", ErrMalformed)
	case r.header.Encryption == "": // RFC 7516 §4.1.2
		return fmt.Errorf("%w: header: enc is missing", ErrMalformed)
	}
	return nil
}

// member takes in one member.
func (r *reader) member(name string, value strictjson.Value, protected bool) (err error) {
	if r.seen != nil {
		if _, twice := r.seen[name]; twice { // RFC 7516 §7.2.1
			return fmt.Errorf("%w: header: %.40q is in two parts", ErrMalformed, name)
		}
		r.seen[name] = struct{}{}
	}
	h, p := r.header, &r.header.parameters
	switch name {
	case "alg":
		var text string
		text, err = headerText(name, value)
		h.Algorithm = jwa.Algorithm(text)
	case "enc":
		var text string
		text, err = headerText(name, value)
		h.Encryption = jwa.Encryption(text)
	case "kid":
		h.KeyID, err = headerText(name, value)
	case "typ":
		h.Type, err = headerText(name, value)
	case "cty":
		h.ContentType, err = headerText(name, value)
	case "zip": // RFC 7516 §4.1.3
		h.Compression, err = headerText(name, value)
		if err == nil && h.Compression == "" {
			err = fmt.Errorf("%w: header: zip is empty", ErrMalformed)
		}
		err = onlyProtected(name, protected, err)
	case "crit": // RFC 7516 §4.1.13
		h.Critical, err = critical(value)
		err = onlyProtected(name, protected, err)
	case "epk", "apu", "apv", "iv", "tag", "p2s", "p2c":
		err = p.member(name, value)
	}
	return err
}

func onlyProtected(name string, protected bool, err error) error {
	if err == nil && !protected {
		return fmt.Errorf("%w: header: %s outside the protected part", ErrMalformed, name)
	}
	return err
}

// member takes in one member that belongs to single algorithms.
func (p *parameters) member(name string, value strictjson.Value) (err error) {
	switch name {
	case "epk": // RFC 7518 §4.6.1.1
		if value.Kind() != strictjson.Object {
			return fmt.Errorf("%w: header: epk is %v and not an object", ErrMalformed, value.Kind())
		}
		p.epk = value.Raw()
	case "apu":
		p.parties.u, err = headerBytes(name, value)
	case "apv":
		p.parties.v, err = headerBytes(name, value)
	case "iv":
		p.iv, err = headerBytes(name, value)
	case "tag":
		p.tag, err = headerBytes(name, value)
	case "p2s":
		p.salt, err = headerBytes(name, value)
	case "p2c": // RFC 7518 §4.8.1.2: an integer, written as one
		n, ok := value.Int()
		if !ok || n < minIterations {
			return fmt.Errorf("%w: header: p2c is no integer from %d on", ErrMalformed, minIterations)
		}
		p.iterations = n
	}
	return err
}

func headerText(name string, value strictjson.Value) (string, error) {
	text, ok := value.Text()
	if !ok {
		return "", fmt.Errorf("%w: header: %s is %v and not a string", ErrMalformed, name, value.Kind())
	}
	if len(text) > maxHeaderText {
		return "", fmt.Errorf("%w: header: %s has %d bytes", ErrMalformed, name, len(text))
	}
	return text, nil
}

func headerBytes(name string, value strictjson.Value) ([]byte, error) {
	text, err := headerText(name, value)
	if err != nil {
		return nil, err
	}
	b, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%w: header: %s: %w", ErrMalformed, name, err)
	}
	return b, nil
}

// critical reads "crit", RFC 7516 §4.1.13: a list of strings that is not empty,
// none of them twice.
func critical(value strictjson.Value) ([]string, error) {
	list, ok := value.Texts()
	if !ok || len(list) == 0 || len(list) > maxCritical {
		return nil, fmt.Errorf("%w: crit is no list of names", ErrCritical)
	}
	for i, name := range list {
		if name == "" || slices.Contains(list[:i], name) {
			return nil, fmt.Errorf("%w: crit names %.40q twice, or nothing", ErrCritical, name)
		}
	}
	return list, nil
}

// registered are the header members of RFC 7516 §4.1, RFC 7518 §4 and RFC 7515
// §4.1, which must not be marked critical, RFC 7516 §4.1.13.
var registered = []string{
	"alg", "enc", "zip", "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty", "crit",
	"epk", "apu", "apv", "iv", "tag", "p2s", "p2c",
}

// checkCritical enforces RFC 7516 §4.1.13: what is marked must be an extension,
// be there, protected, and be understood.
func checkCritical(h *Header, understood []string) error {
	for _, name := range h.Critical {
		if slices.Contains(registered, name) {
			return fmt.Errorf("%w: %q cannot be marked critical", ErrCritical, name)
		}
		if !slices.Contains(understood, name) {
			return fmt.Errorf("%w: %.40q", ErrCritical, name)
		}
		if _, ok := h.Member(name); !ok {
			return fmt.Errorf("%w: %.40q is marked critical and missing", ErrCritical, name)
		}
	}
	return nil
}
