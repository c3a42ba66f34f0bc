package jwt_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
)

// Options of jsonwebtoken in terms of ours. What Go's types cannot say at all is
// answered with the name of the option.

// options are those of a case, in JSON; false if they are not an object.
func (c *parityCase) options() (map[string]json.RawMessage, bool) {
	if len(c.Options) == 0 || string(c.Options) == "null" {
		return nil, true
	}
	var o map[string]json.RawMessage
	err := json.Unmarshal(c.Options, &o)
	return o, err == nil
}

// set fills an option if it is there, and notes the first that does not fit.
type setter struct {
	options map[string]json.RawMessage
	foreign string
}

func (s *setter) set(name string, to any) bool {
	raw, ok := s.options[name]
	if !ok {
		return false
	}
	if string(raw) == "null" || json.Unmarshal(raw, to) != nil {
		s.note(name)
		return false
	}
	return true
}

func (s *setter) note(name string) {
	if s.foreign == "" {
		s.foreign = "option " + name
	}
}

// list reads a string or a list of strings.
func (s *setter) list(name string) []string {
	var one string
	if raw := s.options[name]; json.Unmarshal(raw, &one) == nil && raw[0] == '"' {
		return []string{one}
	}
	var many []string
	s.set(name, &many)
	return many
}

// duration reads a number of seconds or text in the syntax of ms.
func (s *setter) duration(name string) (time.Duration, *answer) {
	raw, ok := s.options[name]
	if !ok {
		return 0, nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil && raw[0] == '"' && text != "" {
		d, err := jwt.ParseDuration(text)
		if err != nil {
			return 0, &answer{Error: &answerError{Name: "Error", Origin: "ours",
				Message: `"` + name + `" should be a number of seconds or string representing a timespan eg: "1d", "20h", 60`}}
		}
		return d, nil
	}
	var seconds float64
	s.set(name, &seconds)
	if math.Abs(seconds) > 1e10 {
		s.note(name) // no time.Duration
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

var signOptionNames = "algorithm expiresIn notBefore audience issuer subject jwtid keyid noTimestamp header mutatePayload " +
	"allowInsecureKeySizes allowInvalidAsymmetricKeyTypes encoding"

func signOptions(c *parityCase) (o jwt.SignOptions, anyCurve bool, got *answer) {
	all, ok := c.options()
	if !ok {
		return o, false, &answer{foreign: "options"}
	}
	s := &setter{options: all}
	for name := range all {
		if !strings.Contains(" "+signOptionNames+" ", " "+name+" ") {
			s.note(name)
		}
	}
	var algorithm, encoding string
	if !s.set("algorithm", &algorithm) {
		algorithm = "HS256" // the default of jsonwebtoken, whatever the key
	} else if algorithm == "" {
		s.note("algorithm")
	}
	o.Algorithm, o.Audience = jwa.Algorithm(algorithm), s.list("audience")
	var early *answer
	for name, to := range map[string]*time.Duration{"expiresIn": &o.ExpiresIn, "notBefore": &o.NotBefore} {
		var failed *answer
		if *to, failed = s.duration(name); failed != nil {
			early = failed
		}
	}
	for name, to := range map[string]any{
		"issuer": &o.Issuer, "subject": &o.Subject, "jwtid": &o.ID, "keyid": &o.KeyID, "noTimestamp": &o.NoTimestamp, "header": &o.Header,
		"mutatePayload": &o.MutatePayload, "allowInsecureKeySizes": &o.InsecureKeySizes, "allowInvalidAsymmetricKeyTypes": &anyCurve, "encoding": &encoding,
	} {
		s.set(name, to)
	}
	if kid, ok := o.Header["kid"].(string); ok {
		o.KeyID = kid
		delete(o.Header, "kid")
	}
	if typ, ok := o.Header["typ"].(string); ok {
		o.Type = typ
		delete(o.Header, "typ")
	}
	if e := strings.ToLower(strings.ReplaceAll(encoding, "-", "")); e != "" && e != "utf8" {
		s.note("encoding")
	}
	o.Now = c.now
	if s.foreign != "" {
		return o, anyCurve, &answer{foreign: s.foreign}
	}
	return o, anyCurve, early
}

// jsOnly marks values that only JavaScript has.
var jsOnly = regexp.MustCompile(`"\$(undefined|date|bigint)"|"NaN"|"Infinity"|"-Infinity"`)

// parityClaims are the claims of a case to sign.
func parityClaims(c *parityCase, mutated bool) (any, bool) {
	if c.PayloadText != nil {
		return json.RawMessage(*c.PayloadText), true
	}
	var buffer struct {
		Base64 *string `json:"$buffer"`
	}
	if json.Unmarshal(c.Payload, &buffer) == nil && buffer.Base64 != nil {
		return string(must(base64.StdEncoding.DecodeString(*buffer.Base64))), true
	}
	if len(c.Payload) == 0 || jsOnly.Match(c.Payload) || strings.Contains(string(c.Payload), "$buffer") {
		return nil, false
	}
	switch c.Payload[0] {
	case '"':
		var text string
		err := json.Unmarshal(c.Payload, &text)
		return text, err == nil
	case '{':
		if mutated {
			var m map[string]any
			err := json.Unmarshal(c.Payload, &m)
			return m, err == nil
		}
	case '[':
	default: // a number or a boolean is written as text
		return string(c.Payload), true
	}
	return c.Payload, true
}

func replaySign(c *parityCase) *answer {
	o, anyCurve, failed := signOptions(c)
	if failed != nil && failed.foreign != "" {
		return failed
	}
	claims, ok := parityClaims(c, o.MutatePayload)
	if !ok {
		return &answer{foreign: "payload"}
	}
	key, early := parityKey(c, anyCurve)
	if early != nil {
		return early
	}
	if failed != nil {
		return failed
	}
	sign := func() (string, error) { return jwt.Sign(claims, key, o) }
	if o.Algorithm == "none" && (key == nil || key.Symmetric()) {
		sign = func() (string, error) { return jwt.InsecureSignNone(claims, o) }
	}
	token, err := sign()
	if err != nil {
		return refusal(c.Op, err)
	}
	if o.Algorithm != "none" {
		if _, err := jws.Verify(ctx, token, key, jws.VerifyOptions{}); err != nil {
			return refusal("own token", err)
		}
	}
	header, payload, _ := inside(token)
	signature := must(base64.RawURLEncoding.DecodeString(token[strings.LastIndexByte(token, '.')+1:]))
	return &answer{Result: must(json.Marshal(map[string]any{
		"header": header, "payload": payload, "payloadAfter": claims, "signatureLength": len(signature),
	}))}
}

type parityVerifyOptions struct {
	jwt.VerifyOptions
	anyCurve bool
}

func verifyOptions(c *parityCase) (o parityVerifyOptions, complete, none bool, failed *answer) {
	all, ok := c.options()
	if !ok {
		return o, false, false, &answer{foreign: "options"}
	}
	s := &setter{options: all}
	for name, raw := range all { // what is not there is what is null
		if string(raw) == "null" && name != "nonce" && name != "allowInvalidAsymmetricKeyTypes" {
			delete(all, name)
		}
	}
	for name, to := range map[string]any{
		"subject": &o.Subject, "jwtid": &o.ID, "nonce": &o.Nonce, "complete": &complete, "allowInvalidAsymmetricKeyTypes": &o.anyCurve,
		"ignoreExpiration": &o.IgnoreExpiration, "ignoreNotBefore": &o.IgnoreNotBefore,
	} {
		s.set(name, to)
	}
	o.Issuers, o.AllowMissingExpiration = s.list("issuer"), true
	for _, name := range s.list("algorithms") {
		if name == "none" {
			none = true
			continue
		}
		o.Algorithms = append(o.Algorithms, jwa.Algorithm(name))
	}
	if string(all["algorithms"]) == "[]" {
		o.Algorithms = []jwa.Algorithm{}
	}
	s.audiences(&o.VerifyOptions)
	var tolerance, timestamp float64
	s.set("clockTolerance", &tolerance)
	o.Leeway = time.Duration(tolerance * float64(time.Second))
	o.Now = func() time.Time { return c.now().Truncate(time.Second) }
	if s.set("clockTimestamp", &timestamp) && timestamp != 0 {
		o.Now = func() time.Time { return time.UnixMilli(int64(timestamp * 1000)) }
	}
	o.MaxAge, failed = s.duration("maxAge")
	if failed != nil {
		failed.Error.Name = "JsonWebTokenError"
	}
	if s.foreign != "" {
		failed = &answer{foreign: s.foreign}
	}
	return o, complete, none, failed
}

// audiences reads texts and patterns, one or a list.
func (s *setter) audiences(o *jwt.VerifyOptions) {
	raw, ok := s.options["audience"]
	if !ok {
		return
	}
	list := []json.RawMessage{raw}
	if raw[0] == '[' {
		s.set("audience", &list)
		o.Audiences = []string{}
	}
	for _, element := range list {
		var pattern struct{ Regexp, Flags string }
		var text string
		switch {
		case element[0] == '{' && json.Unmarshal(element, &pattern) == nil && pattern.Regexp != "":
			if pattern.Flags != "" {
				pattern.Regexp = "(?" + pattern.Flags + ")" + pattern.Regexp
			}
			compiled, err := regexp.Compile(pattern.Regexp)
			if err != nil {
				s.note("audience")
				continue
			}
			o.AudiencePatterns = append(o.AudiencePatterns, compiled)
		case element[0] == '"' && json.Unmarshal(element, &text) == nil:
			o.Audiences = append(o.Audiences, text)
		default:
			s.note("audience")
		}
	}
	if len(o.Audiences) == 0 && o.AudiencePatterns != nil {
		o.Audiences = nil
	}
}

// parityKey makes the key of a case; nil if it has none.
func parityKey(c *parityCase, anyCurve bool) (*jwk.Key, *answer) {
	if len(c.Key) == 0 || string(c.Key) == "null" || string(c.Key) == `""` {
		return nil, nil
	}
	p := jwk.Params{InsecureSize: true, InsecureCurve: anyCurve}
	var k struct {
		Secret, SecretBase64, Pem, File, As *string
		JWK, Raw                            json.RawMessage
		Passphrase                          string
		Undefined                           bool `json:"$undefined"`
	}
	var text string
	if json.Unmarshal(c.Key, &text) != nil {
		if err := json.Unmarshal(c.Key, &k); err != nil || k.Raw != nil || k.Undefined {
			return nil, &answer{foreign: "key"}
		}
	}
	material := []byte(text)
	switch {
	case k.Secret != nil:
		material = []byte(*k.Secret)
	case k.SecretBase64 != nil:
		material = must(base64.StdEncoding.DecodeString(*k.SecretBase64))
	case k.Pem != nil:
		material = []byte(*k.Pem)
	case k.File != nil:
		material = must(os.ReadFile(filepath.Join(*parityFolder, "keys", *k.File)))
	}
	key, err := jwk.ParsePEMOrSecret(material, p)
	switch {
	case k.JWK != nil:
		key, err = jwk.Parse(k.JWK)
	case k.Passphrase != "":
		key, err = jwk.ParseEncryptedPEM(material, []byte(k.Passphrase), p)
	case k.As != nil && *k.As == "secret":
		key, err = jwk.New(material, p)
	case k.As != nil && *k.As == "public" && err == nil:
		key, err = key.Public()
	}
	if err != nil {
		return nil, &answer{early: true, Error: &answerError{Name: "Error", Message: err.Error(), Origin: kindOfKeyError(err)}}
	}
	return key, nil
}

func kindOfKeyError(err error) string {
	for name, kind := range map[string]error{"unsupported": jwk.ErrUnsupported, "weak": jwk.ErrWeak, "invalid": jwk.ErrInvalid, "passphrase": jwk.ErrDecryption} {
		if errors.Is(err, kind) {
			return name
		}
	}
	return "other"
}
