package jwt

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"github.com/ostiary/ostiary/internal/strictjson"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// unsecured is the algorithm that is none, RFC 7518 §3.6. No table has it, no list
// of algorithms may name it, and no key does it; only the two functions below
// know it.
const unsecured = "none"

// InsecureSignNone makes an unsecured token, RFC 7519 §6: anybody can make one just
// like it. It is for tests and for payloads that are protected by other means. Of
// the options, Algorithm must be "" or "none".
func InsecureSignNone(claims any, o SignOptions) (string, error) {
	if o.Algorithm != "" && o.Algorithm != unsecured {
		return "", invalid(ErrOptions, "an unsecured token has the algorithm none")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Signer{options: o}
	payload, typ := []byte(nil), o.Type
	if text, ok := claims.(string); ok {
		if err := o.checkText(); err != nil {
			return "", err
		}
		payload = []byte(text)
	} else {
		if err := s.fix(); err != nil {
			return "", err
		}
		var err error
		if payload, err = s.payload(nil, claims); err != nil {
			return "", err
		}
		if typ == "" {
			typ = "JWT"
		}
	}
	header, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ,omitempty"`
		KeyID     string `json:"kid,omitempty"`
	}{unsecured, typ, o.KeyID})
	if err != nil || len(o.Header) != 0 {
		return "", invalid(ErrOptions, "an unsecured token has no further header members")
	}
	return base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload) + ".", nil
}

// InsecureVerifyNone checks the claims of an unsecured token, RFC 7519 §6, whose
// header must say "none" and whose signature must be empty. Nobody has vouched for
// what it returns. Of the options, Algorithms must be nil.
func InsecureVerifyNone[C any](token string, o VerifyOptions) (Token[C], error) {
	if o.Algorithms != nil {
		return Token[C]{}, invalid(ErrOptions, "invalid algorithm")
	}
	if err := o.prepare(); err != nil {
		return Token[C]{}, err
	}
	if token == "" {
		return Token[C]{}, invalid(ErrMalformed, "jwt must be provided")
	}
	reader, err := jws.NewVerifier(jwk.SourceFunc(nil), jws.VerifyOptions{MaxSize: o.MaxSize})
	if err != nil {
		return Token[C]{}, fromSignature(err)
	}
	header, payload, err := reader.DecodeUnverified(token)
	switch {
	case err != nil:
		return Token[C]{}, fromSignature(err)
	case header.Algorithm != unsecured:
		return Token[C]{}, invalid(ErrAlgorithm, "invalid algorithm")
	case token[len(token)-1] != '.':
		return Token[C]{}, invalid(ErrSignature, "invalid signature")
	case header.Critical != nil:
		return Token[C]{}, invalid(ErrCritical, "jwt critical header unknown")
	}
	if err := o.checkType(header.Type); err != nil {
		return Token[C]{}, err
	}
	result := Token[C]{Header: header}
	sh := shapeOf(reflect.TypeFor[C]())
	var registered claims
	unfit, err := sh.read(payloadText{header.Type, string(payload)}, &registered, reflect.ValueOf(&result.Claims).Elem())
	o.require(&registered, string(payload))
	for _, failed := range []error{err, o.checkOf(&registered, err), unfit} {
		if failed != nil {
			return Token[C]{}, failed
		}
	}
	return result, nil
}

// checkOf is check for claims that could be read.
func (o *VerifyOptions) checkOf(c *claims, unreadable error) error {
	if unreadable != nil {
		return unreadable
	}
	return o.check(c)
}

// mutate writes the claims of a payload into those of the caller.
func mutate(value any, payload string, noTimestamp bool) error {
	if m, ok := value.(map[string]any); ok && m != nil {
		return mutateMap(m, payload, noTimestamp)
	}
	v := reflect.ValueOf(value)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return invalid(ErrOptions, "MutatePayload needs a map[string]any or a pointer to a struct")
	}
	fresh := reflect.New(v.Type().Elem()) // so that what was taken out is gone
	sh := shapeOf(v.Type().Elem())
	unfit, err := sh.read(payloadText{text: payload}, new(claims), fresh.Elem())
	if err == nil {
		err = unfit
	}
	if err != nil {
		return err
	}
	v.Elem().Set(fresh.Elem())
	return nil
}

var added = []string{"iat", "nbf", "exp", "aud", "iss", "sub", "jti"}

func mutateMap(m map[string]any, payload string, noTimestamp bool) error {
	if noTimestamp {
		delete(m, "iat")
	}
	s := strictjson.New(payload)
	for s.Next() {
		if _, there := m[s.Name()]; there || !slices.Contains(added, s.Name()) {
			continue
		}
		switch value := s.Value(); value.Kind() {
		case strictjson.Number:
			m[s.Name()], _ = value.Int()
		case strictjson.String:
			m[s.Name()], _ = value.Text()
		default:
			m[s.Name()], _ = value.Texts()
		}
	}
	return s.Err()
}
