package jwt_test

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/ostiary/ostiary/internal/strictjson"
)

// A difference is something that this library does otherwise than jsonwebtoken, on
// purpose. A case that is covered by none must agree. The rows ask for the reason,
// not for the name of a case, so that they hold for cases that are recorded later; each
// asks for one reason, and for what comes of it.
type difference struct {
	name   string
	reason string
	of     outcome
	covers func(c *parityCase, want, got *answer) bool
}

// An outcome is in what way two answers differ.
type outcome int

const (
	unsaid     outcome = iota // Go has no way to make the call
	stricter                  // theirs accepts, ours refuses
	laxer                     // theirs refuses, ours accepts
	words                     // both refuse, and say something else
	results                   // both accept, and say something else
	anyRefusal                // ours refuses, whatever theirs does
)

// outcomeOf tells in what way two answers differ.
func outcomeOf(c *parityCase, want, got *answer) outcome {
	theirs, ours := want.refused(c.Op), got.refused(c.Op)
	switch {
	case got.foreign != "":
		return unsaid
	case !theirs && ours:
		return stricter
	case theirs && !ours:
		return laxer
	case theirs && ours:
		return words
	}
	return results
}

func (o outcome) includes(other outcome) bool {
	return o == other || o == anyRefusal && (other == stricter || other == words)
}

var differences = []difference{
	// What Go's types say.
	{"an option of another type", "the compiler refuses it", unsaid,
		func(c *parityCase, _, got *answer) bool { return wrongType(c, got.foreign) }},
	{"an option that there is not", "the compiler refuses it; jsonwebtoken refuses some and ignores others", unsaid,
		func(c *parityCase, _, got *answer) bool {
			return !knownOption(got.foreign) || c.Op == "sign" && got.foreign == "option algorithms"
		}},
	{"undefined for an option", "a field that is not set is not set", unsaid,
		func(c *parityCase, _, got *answer) bool { return rawOption(c, got.foreign) == `{"$undefined":true}` }},
	{"a number that only JavaScript has", "NaN, Infinity, a Date and a BigInt are no time.Duration", unsaid,
		func(c *parityCase, _, got *answer) bool {
			return matches(rawOption(c, got.foreign), `^\{"\$(number|date|bigint)":`)
		}},
	{"a pattern for what has none", "issuers, subjects, identifiers and algorithms are compared, not searched", unsaid,
		func(c *parityCase, _, got *answer) bool {
			return matches(got.foreign, `issuer|subject|jwtid|algorithms`) && matches(rawOption(c, got.foreign), `"regexp"`)
		}},
	{"an empty duration", "0 says in Go that there is none", unsaid,
		func(c *parityCase, _, got *answer) bool {
			return matches(got.foreign, `notBefore|expiresIn|maxAge`) && rawOption(c, got.foreign) == `""`
		}},
	{"an empty algorithm", "\"\" asks in Go for the key's own", unsaid,
		func(c *parityCase, _, got *answer) bool {
			return got.foreign == "option algorithm" && rawOption(c, got.foreign) == `""`
		}},
	{"an encoding", "a string in Go is bytes: whoever wants others writes them", unsaid,
		func(c *parityCase, _, got *answer) bool {
			return got.foreign == "option encoding" && matches(rawOption(c, got.foreign), `^"(hex|base64|ucs2)"$`)
		}},
	{"options that are no object", "the compiler refuses them", unsaid,
		func(c *parityCase, _, got *answer) bool {
			return got.foreign == "options" && !matches(string(c.Options), `^\{`)
		}},
	{"a payload that only JavaScript has", "undefined, NaN, dates, BigInts and buffers among the claims", unsaid,
		func(c *parityCase, _, got *answer) bool {
			return got.foreign == "payload" && matches(string(c.Payload), `"\$(undefined|number|date|bigint|buffer)"`)
		}},
	{"a token that is no text", "the compiler refuses it", unsaid,
		func(c *parityCase, _, got *answer) bool {
			return got.foreign == "a token that is no text" && !matches(string(c.Token), `^"`)
		}},
	{"a key of another type", "the compiler refuses it; a JWK is read by jwk.Parse", unsaid,
		func(c *parityCase, _, got *answer) bool {
			return got.foreign == "key" && matches(string(c.Key), `^\{"raw":`)
		}},
	{"undefined as the header", "an object of the recording that stands for undefined", laxer,
		func(c *parityCase, _, _ *answer) bool { return rawOption(c, "option header") == `{"$undefined":true}` }},
	{"the zero value of a duration", "0 says in Go that there is none: no claim is added", results,
		func(c *parityCase, _, _ *answer) bool {
			return option(c, "expiresIn", `^"?0"?$`) || option(c, "notBefore", `^"?0"?$`)
		}},
	{"the zero value of a text", "\"\" says in Go that there is none: no claim is added", results,
		func(c *parityCase, _, _ *answer) bool {
			return c.Op == "sign" && (option(c, "issuer", `^""$`) || option(c, "subject", `^""$`) || option(c, "jwtid", `^""$`))
		}},
	{"the zero value of the nonce", "\"\" says in Go that none is asked for", laxer,
		func(c *parityCase, _, _ *answer) bool { return c.Op == "verify" && option(c, "nonce", `^""$`) }},
	{"JSON is asked for by type", "Verify[string] hands a payload out as it is; a struct or a map asks for claims", laxer,
		func(c *parityCase, want, _ *answer) bool {
			return option(c, "json", "true") && want.Error != nil && strings.Contains(want.Error.Message, "is not valid JSON")
		}},

	// Durations and dates.
	{"a duration with a fraction", "time.Duration says 1.5 s as well as 1 s", laxer,
		func(c *parityCase, want, _ *answer) bool {
			return message(want, "should be a number of seconds") && (option(c, "notBefore", `^-?\d*\.\d+$`) || option(c, "expiresIn", `^-?\d*\.\d+$`))
		}},
	{"a token that is made expired", "a negative ExpiresIn is a mistake", stricter,
		func(c *parityCase, _, got *answer) bool {
			return message(got, "ExpiresIn must not be negative") && option(c, "expiresIn", `^"?-`)
		}},
	{"a tolerance or an age below zero", "a check that widens what it should narrow is a mistake", words,
		func(c *parityCase, _, got *answer) bool {
			return message(got, "Leeway and MaxAge must not be negative") && (option(c, "clockTolerance", `^-`) || option(c, "maxAge", `^"?-`))
		}},
	{"a duration of more than a hundred years", "time.Duration does not hold it", stricter,
		func(c *parityCase, _, _ *answer) bool {
			return option(c, "expiresIn", `^"?\d{12,}`) || option(c, "notBefore", `^"?\d{12,}`)
		}},
	{"a date after the year 9999", "mostly milliseconds: RFC 7519 §2 counts seconds", anyRefusal,
		func(c *parityCase, _, got *answer) bool {
			large := `"(exp|nbf|iat)":-?(\d{12,}|[\d.]+e\d{2,})`
			return message(got, "invalid exp value", "invalid nbf value", "invalid iat value", "should be a number of seconds") && matches(claimsOf(c), large)
		}},
	{"iat zero is a date", "jsonwebtoken takes the year 1970 for an absent claim", results,
		func(c *parityCase, _, _ *answer) bool {
			return c.Op == "sign" && matches(claimsOf(c), `"iat":0[,}]`)
		}},
	{"maxAge and an iat in the future", "an iat far ahead would make any age mean nothing", stricter,
		func(c *parityCase, _, got *answer) bool {
			return message(got, "issued in the future") && option(c, "maxAge", ".")
		}},

	// Claims.
	{"a name that is no text, signed", "RFC 7519 §4.1: iss, sub and jti are strings, aud strings", stricter,
		func(c *parityCase, _, got *answer) bool {
			return c.Op == "sign" && matches(errorText(got), `^invalid (iss|sub|aud|jti) value$`)
		}},
	{"a date that is no number, ignored", "RFC 7519 §4.1.4, §4.1.5; also where nobody asks for it", stricter,
		func(c *parityCase, _, got *answer) bool {
			return message(got, "invalid exp value") && option(c, "ignoreExpiration", "true") || message(got, "invalid nbf value") && option(c, "ignoreNotBefore", "true")
		}},
	{"a list of audiences with something else in it", "RFC 7519 §4.1.3: strings", stricter,
		func(c *parityCase, _, got *answer) bool {
			return message(got, "audience invalid") && audienceKind(c) == "mixed"
		}},
	{"a pattern matches text only", "a regular expression in JavaScript turns numbers and undefined into text first", stricter,
		func(c *parityCase, _, got *answer) bool {
			return option(c, "audience", "regexp") && message(got, "audience invalid") && audienceKind(c) == "none"
		}},
	{"the payload of a JWT is an object", "RFC 7519 §7.2: whatever says that it is a JWT has claims", stricter,
		func(c *parityCase, _, got *answer) bool {
			header, payload, _ := parts(c)
			return message(got, "invalid token") && matches(header, `(?i)"JWT"`) && !matches(payload, `^\s*\{`)
		}},

	// Strict forms.
	{"a member twice", "RFC 7515 §4, RFC 7519 §4: two readers must not come to two meanings", anyRefusal, notStrictFor("appears twice")},
	{"a lone surrogate", "RFC 8725 §3.7: it is no text", stricter, notStrictFor("lone surrogate")},
	{"bytes that are not UTF-8", "RFC 8725 §3.7", stricter, notStrictFor("not UTF-8")},
	{"depth", "a text of 32 levels or more says nothing that claims need", stricter, notStrictFor("nested too deep")},
	{"text behind the object", "RFC 7519 §7.2: one object, and nothing else", stricter, notStrictFor("text after")},
	{"what looks like an object and is none", "RFC 7519 §7.2: a comma too many, NaN", stricter, notStrictFor("expected")},
	{"unused bits and lost characters of base64url", "RFC 7515 §2: strict in the signature too, whatever the key", anyRefusal,
		func(c *parityCase, _, got *answer) bool {
			token, _ := c.token()
			last := token[strings.LastIndexByte(token, '.')+1:]
			return c.Op == "verify" && message(got, "invalid token") && !strictBase64(last)
		}},
	{"the signature is looked at first", "a payload is not read before somebody vouches for it", words,
		func(c *parityCase, want, got *answer) bool {
			return message(want, "invalid token") && message(got, "invalid signature")
		}},
	{"a header that is no object", "RFC 7515 §4", anyRefusal,
		func(c *parityCase, _, got *answer) bool {
			header, _, _ := parts(c)
			return message(got, "invalid token") && header != "" && !matches(header, `^\s*\{`)
		}},
	{"a header without alg", "RFC 7515 §4.1.1: it must be there", anyRefusal,
		func(c *parityCase, _, got *answer) bool {
			header, _, _ := parts(c)
			return message(got, "invalid token") && matches(header, `^\{`) && memberKind(header, "alg") == "none"
		}},
	{"a header whose alg is no text", "RFC 7515 §4.1.1: a string", anyRefusal,
		func(c *parityCase, _, got *answer) bool {
			header, _, _ := parts(c)
			return message(got, "invalid token") && memberKind(header, "alg") == "other"
		}},
	{"a header whose typ, cty or kid is no text", "RFC 7515 §4.1.4, §4.1.9, §4.1.10: strings", stricter,
		func(c *parityCase, _, got *answer) bool {
			header, _, _ := parts(c)
			return message(got, "invalid token") && (memberKind(header, "typ") == "other" || memberKind(header, "cty") == "other" || memberKind(header, "kid") == "other")
		}},
	{"the header is UTF-8", "RFC 7515 §2; jsonwebtoken writes and reads Latin-1", results,
		func(c *parityCase, _, _ *answer) bool {
			header, _, _ := parts(c)
			return notASCII(header) || option(c, "header", `[^\x00-\x7f]|\\u`)
		}},
	{"crit", "RFC 7515 §4.1.11: an extension that is marked critical and not understood is refused", stricter,
		func(c *parityCase, _, got *answer) bool {
			header, _, _ := parts(c)
			return message(got, "critical header unknown") && memberKind(header, "crit") != "none"
		}},

	// Algorithms.
	{"header.alg", "the algorithm is an option, and no header overrides it", anyRefusal,
		func(c *parityCase, _, got *answer) bool {
			return c.Op == "sign" && option(c, "header", `"alg"`) && message(got, "jwt options invalid", "must be a symmetric key")
		}},
	{"header.typ null", "a type is a string", stricter,
		func(c *parityCase, _, got *answer) bool {
			return message(got, "jwt options invalid") && option(c, "header", `"typ":null`)
		}},
	{"a list that is one text", "jsonwebtoken searches the name of the algorithm in it", stricter,
		func(c *parityCase, _, got *answer) bool {
			return message(got, "invalid algorithm") && option(c, "algorithms", `^"`)
		}},
	{"an empty list of algorithms", "it is a mistake, and is said first", words,
		func(c *parityCase, _, got *answer) bool {
			return option(c, "algorithms", `^\[\]$`) && message(got, "invalid algorithm", "secret or public key must be provided")
		}},
	{"an empty issuer", "an expected value that came out empty never switches a check off", anyRefusal,
		func(c *parityCase, _, got *answer) bool {
			return message(got, "Issuers must not be empty") && option(c, "issuer", `^(""|\[\])$`)
		}},
	{"an empty audience", "an expected value that came out empty never switches a check off", words,
		func(c *parityCase, _, got *answer) bool {
			return message(got, "Audiences must not be empty") && option(c, "audience", `^\[(""|)\]$`)
		}},
	{"none without a key", "it has a call of its own, and without that a missing key is said first", words,
		func(c *parityCase, want, got *answer) bool {
			return message(want, `please specify "none"`) && message(got, "secret or public key must be provided")
		}},
	{"none with a signature", "InsecureVerifyNone says that there is one; with a key, the algorithm is said first", words,
		func(c *parityCase, _, got *answer) bool {
			token, _ := c.token()
			return option(c, "algorithms", `"none"`) && !strings.HasSuffix(token, ".") && message(got, "invalid signature", "invalid algorithm")
		}},
	{"none in other spellings", "a package below jsonwebtoken throws; here it is no algorithm", words,
		func(c *parityCase, want, got *answer) bool {
			header, _, _ := parts(c)
			return message(want, "is not a valid algorithm") && matches(header, `(?i)"none"`) && message(got, "jwt signature is required", "invalid algorithm")
		}},
	{"EdDSA", "jsonwebtoken does not know it", laxer,
		func(c *parityCase, _, got *answer) bool {
			header, _, _ := parts(c)
			return option(c, "algorithm", `"EdDSA"`) || matches(header, `"alg":"EdDSA"`)
		}},
	{"what an Ed25519 key does", "jsonwebtoken does not know the type, and ours says what it is for", words,
		func(_ *parityCase, want, got *answer) bool {
			return message(want, `Unknown key type "ed25519"`) && message(got, "must be one of: EdDSA, Ed25519", "invalid algorithm")
		}},
	{"the length of an ECDSA signature", "the text is that of a package below jsonwebtoken", words,
		func(_ *parityCase, want, got *answer) bool {
			return want.Error != nil && want.Error.Origin == "ecdsa-sig-formatter" && message(got, "invalid signature", "malformed ECDSA signature")
		}},

	// Keys.
	{"secp256k1", "the standard library has no such curve, so such a key cannot be made", anyRefusal,
		func(c *parityCase, _, got *answer) bool {
			return early(got, "unsupported") && matches(string(c.Key), "secp256k1")
		}},
	{"DSA", "no algorithm is for it, so such a key cannot be made", words,
		func(c *parityCase, _, got *answer) bool {
			return early(got, "unsupported") && matches(string(c.Key), `"dsa-`)
		}},
	{"Ed448", "the standard library has no such curve, so such a key cannot be made", words,
		func(c *parityCase, _, got *answer) bool {
			return early(got, "unsupported") && matches(string(c.Key), `"ed448`)
		}},
	{"a wrong passphrase", "said when the key is made, in its own words", words,
		func(c *parityCase, _, got *answer) bool {
			return early(got, "passphrase") && matches(string(c.Key), `"passphrase"`)
		}},
	{"no passphrase", "an encrypted key is not taken for a secret", words,
		func(c *parityCase, _, got *answer) bool {
			return early(got, "unsupported") && matches(string(c.Key), `\.encrypted\.pem"`) && !matches(string(c.Key), `"passphrase"`)
		}},
	{"text that looks like PEM is no secret", "a PEM that lost its line breaks is known to many, and would be an HMAC secret", anyRefusal,
		func(c *parityCase, _, got *answer) bool {
			return early(got, "invalid") && matches(string(c.Key), "^\"-----BEGIN")
		}},
	{"an empty secret is no key", "attack J4: anybody can sign with it", anyRefusal,
		func(c *parityCase, _, got *answer) bool {
			return early(got, "weak") && matches(string(c.Key), `"secretBase64":""`)
		}},
	{"an RSA-PSS key without parameters", "RFC 4055 §3.3: without parameters there is no restriction; jsonwebtoken compares undefined with a hash", laxer,
		func(c *parityCase, want, _ *answer) bool {
			return message(want, "RSA-PSS parameters do not meet") && matches(string(c.Key), `"pss-(plain|1024)`)
		}},
	{"the same, and the signature is not the key's", "it gets as far as that", words,
		func(c *parityCase, want, got *answer) bool {
			return message(want, "RSA-PSS parameters do not meet") && message(got, "invalid signature") && matches(string(c.Key), `"pss-plain`)
		}},
	{"a private key verifies", "it has its public half with it; jsonwebtoken takes a private PEM for this, and refuses the same key as an object", laxer,
		func(c *parityCase, _, _ *answer) bool {
			return c.Op == "verify" && matches(string(c.Key), `"as":"private"`)
		}},
	{"a key of another family", "Params.InsecureCurve loosens the curve of an EC key and nothing else", words,
		func(c *parityCase, _, got *answer) bool {
			return option(c, "allowInvalidAsymmetricKeyTypes", "true") && message(got, `"alg" parameter for`)
		}},
}

func early(got *answer, origin string) bool { return got.early && got.Error.Origin == origin }

func matches(text, pattern string) bool { return regexp.MustCompile(pattern).MatchString(text) }

// rawOption is the value of the option that an answer names, "option x".
func rawOption(c *parityCase, foreign string) string {
	name, ok := strings.CutPrefix(foreign, "option ")
	all, _ := c.options()
	if !ok {
		return ""
	}
	return string(all[name])
}

func option(c *parityCase, name, pattern string) bool {
	raw := rawOption(c, "option "+name)
	return raw != "" && matches(raw, pattern)
}

// optionTypes are what the options of jsonwebtoken can be in Go, as JSON.
var optionTypes = map[string]string{
	"algorithm": `^"[^"]`, "expiresIn": `^(-?\d|"[^"])`, "notBefore": `^(-?\d|"[^"])`, "maxAge": `^(-?\d|"[^"])`, "clockTolerance": `^-?\d`, "clockTimestamp": `^-?\d`,
	"audience": `^("|\["|\[\]|\{"regexp"|\[\{"regexp")`, "issuer": `^("|\["|\[\]|\{"regexp"|\[\{"regexp")`, "subject": `^("|\{"regexp")`, "jwtid": `^("|\{"regexp")`, "keyid": `^"`, "nonce": `^"`,
	"algorithms": `^("|\[)`, "header": `^\{`, "encoding": `^"`, "noTimestamp": `^(true|false)$`, "mutatePayload": `^(true|false)$`, "allowInsecureKeySizes": `^(true|false)$`,
	"allowInvalidAsymmetricKeyTypes": `^(true|false)$`, "ignoreExpiration": `^(true|false)$`, "ignoreNotBefore": `^(true|false)$`, "complete": `^(true|false)$`,
}

func knownOption(foreign string) bool {
	name, ok := strings.CutPrefix(foreign, "option ")
	return !ok || optionTypes[name] != ""
}

// wrongType reports whether the option that an answer names has a value of another type
// than ours, and one that Go could write.
func wrongType(c *parityCase, foreign string) bool {
	raw := rawOption(c, foreign)
	if c.Op == "sign" && strings.HasPrefix(foreign, "option issuer") && strings.HasPrefix(raw, "[") {
		return true // of one who signs there is one
	}
	name := strings.TrimPrefix(foreign, "option ")
	return raw != "" && optionTypes[name] != "" && !matches(raw, `"\$(undefined|number|date|bigint)"`) && raw != `""` && !matches(raw, optionTypes[name])
}

func message(a *answer, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(errorText(a), part) {
			return true
		}
	}
	return false
}

func errorText(a *answer) string {
	if a.Error == nil {
		return ""
	}
	return a.Error.Message
}

func parts(c *parityCase) (header, payload string, strict bool) {
	token, _ := c.token()
	return inside(token)
}

// claimsOf is what is signed, or what is in the token, without spaces.
func claimsOf(c *parityCase) string {
	_, payload, _ := parts(c)
	if c.PayloadText != nil {
		payload = *c.PayloadText
	} else if len(c.Payload) > 0 {
		payload = string(c.Payload)
	}
	return strings.ReplaceAll(payload, " ", "")
}

// audienceKind tells what the "aud" of a token is: text, also in a list, a mixed
// list, or something else.
func audienceKind(c *parityCase) string {
	_, payload, _ := parts(c)
	var claims struct{ Aud any }
	if json.Unmarshal([]byte(payload), &claims) != nil {
		return "none"
	}
	list, ok := claims.Aud.([]any)
	if !ok {
		list = []any{claims.Aud}
	}
	texts := 0
	for _, element := range list {
		if _, ok := element.(string); ok {
			texts++
		}
	}
	switch texts {
	case len(list):
		return "text"
	case 0:
		return "none"
	}
	return "mixed"
}

// memberKind tells what a member of an object is: text, other, or none if it is not there.
func memberKind(object, name string) string {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(object), &members) != nil || members[name] == nil {
		return "none"
	}
	if members[name][0] == '"' {
		return "text"
	}
	return "other"
}

// notStrictFor covers what is refused because a part that looks like an object is none,
// for this reason.
func notStrictFor(reason string) func(c *parityCase, want, got *answer) bool {
	return func(c *parityCase, _, got *answer) bool {
		header, payload, _ := parts(c)
		if c.Op == "sign" {
			payload = claimsOf(c)
		}
		for _, text := range []string{header, payload} {
			text = strings.TrimSpace(text)
			if !strings.HasPrefix(text, "{") {
				continue
			}
			if err := strictjson.Valid(text); err != nil && strings.Contains(err.Error(), reason) {
				return message(got, "invalid token", "to be a plain object")
			}
		}
		return false
	}
}

func strictBase64(part string) bool {
	_, err := base64.RawURLEncoding.Strict().DecodeString(part)
	return err == nil && !strings.ContainsAny(part, "\r\n")
}

func notASCII(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r > 127 })
}
