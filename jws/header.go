package jws

import (
	"fmt"
	"slices"

	"github.com/ostiary/ostiary/internal/strictjson"
	"github.com/ostiary/ostiary/jwa"
)

// maxHeaderText bounds the values of the header that are handed on.
const maxHeaderText = 4 << 10

// parseHeader reads a header, RFC 7515 §4: strict JSON, names compared exactly,
// the members that this library uses of the right type.
func parseHeader(raw string) (Header, error) {
	h, err := readHeader(raw)
	if err == nil && h.Algorithm == "" {
		err = fmt.Errorf("%w: header: alg is missing", ErrMalformed)
	}
	if err != nil {
		return Header{}, err
	}
	return h, nil
}

// readHeader is parseHeader for a header that may be a part of one.
func readHeader(raw string) (Header, error) {
	h := Header{raw: raw}
	var err error
	s := strictjson.New(raw)
	for s.Next() {
		var wrong error
		switch value := s.Value(); s.Name() {
		case "alg":
			var name string
			name, wrong = headerText("alg", value)
			h.Algorithm = jwa.Algorithm(name)
		case "kid":
			h.KeyID, wrong = headerText("kid", value)
		case "typ":
			h.Type, wrong = headerText("typ", value)
		case "cty":
			h.ContentType, wrong = headerText("cty", value)
		case "crit":
			h.Critical, wrong = critical(value)
		case "b64":
			h.encoding, wrong = encodingOf(value)
		}
		if err == nil {
			err = wrong
		}
	}
	if s.Err() != nil {
		return Header{}, fmt.Errorf("%w: header: %w", ErrMalformed, s.Err())
	}
	if err != nil {
		return Header{}, err
	}
	return h, nil
}

// encodingOf reads "b64", RFC 7797 §3.
func encodingOf(value strictjson.Value) (encoding, error) {
	b64, ok := value.Bool()
	switch {
	case !ok:
		return 0, fmt.Errorf("%w: header: b64 is %v and not a boolean", ErrMalformed, value.Kind())
	case b64:
		return saidEncoded, nil
	}
	return unencoded, nil
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

// critical reads "crit", RFC 7515 §4.1.11: a list of strings that is not empty,
// none of them twice.
func critical(value strictjson.Value) ([]string, error) {
	list, ok := value.Texts()
	if !ok || len(list) == 0 || len(list) > 16 {
		return nil, fmt.Errorf("%w: crit is no list of names", ErrCritical)
	}
	for i, name := range list {
		if name == "" || slices.Contains(list[:i], name) {
			return nil, fmt.Errorf("%w: crit names %.40q twice, or nothing", ErrCritical, name)
		}
	}
	return list, nil
}

// registered are the header members of RFC 7515 §4.1, RFC 7516 §4.1 and RFC 7518,
// which must not be marked critical, RFC 7515 §4.1.11.
var registered = []string{
	"alg", "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty", "crit",
	"enc", "zip", "epk", "apu", "apv", "iv", "tag", "p2s", "p2c",
}

// checkCritical enforces RFC 7515 §4.1.11: what is marked must be an extension,
// be there, and be understood.
func checkCritical(h Header, understood []string) error {
	// RFC 7797 §6: it must be in "crit", so that whoever does not know it refuses;
	// and whoever leaves it out of "crit" is not let off.
	if h.encoding != 0 && !(slices.Contains(h.Critical, "b64") && slices.Contains(understood, "b64")) {
		return fmt.Errorf("%w: %q", ErrCritical, "b64")
	}
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
