package jwt_test

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/ostiary/ostiary/internal/strictjson"
)

// A difference is something that this library does otherwise than jsonwebtoken, on
// purpose. A case that is covered by none must agree. The rows ask for the reason,
// not for the name of a case, so that they hold for cases that are recorded later.
type difference struct {
	name   string
	reason string
	covers func(c *parityCase, want, got *answer) bool
}

// bothRefuse and onlyTheirs are the two ways in which ours may be stricter.
func bothRefuse(c *parityCase, want, got *answer) bool {
	return want.refused(c.Op) && got.refused(c.Op)
}

func stricter(_ *parityCase, _, got *answer) bool { return got.Error != nil }

func option(c *parityCase, name, pattern string) bool {
	all, _ := c.options()
	raw, ok := all[name]
	return ok && regexp.MustCompile(pattern).Match(raw)
}

func message(a *answer, parts ...string) bool {
	if a.Error == nil {
		return false
	}
	for _, part := range parts {
		if strings.Contains(a.Error.Message, part) {
			return true
		}
	}
	return false
}

func parts(c *parityCase) (header, payload string, strict bool) {
	token, _ := c.token()
	return inside(token)
}

var differences = []difference{
	{
		"a JavaScript type", "the compiler refuses an option, a payload, a key or a token of another type",
		func(_ *parityCase, _, got *answer) bool { return got.foreign != "" },
	}, {
		"undefined among the header members", "an object of the recording that stands for undefined",
		func(c *parityCase, _, _ *answer) bool { return option(c, "header", `\$undefined`) },
	}, {
		"words of a dependency", "the text is that of a package below jsonwebtoken or below ours; only that there is an error counts",
		func(c *parityCase, want, got *answer) bool {
			return bothRefuse(c, want, got) && want.Error != nil && want.Error.Origin != "jsonwebtoken"
		},
	}, {
		"a key is refused when it is made", "jwk refuses what is no key, of unknown type or does not decrypt before anything is signed or verified with it",
		func(c *parityCase, want, got *answer) bool { return got.early && bothRefuse(c, want, got) },
	}, {
		"text that looks like PEM is no secret", "a PEM that lost its line breaks is known to many, and would be an HMAC secret",
		func(c *parityCase, _, got *answer) bool {
			return got.early && strings.Contains(string(c.Key), "-----BEGIN")
		},
	}, {
		"an empty secret is no key", "attacks J4: anybody can sign with it",
		func(_ *parityCase, _, got *answer) bool { return got.early && got.Error.Origin == "weak" },
	}, {
		"secp256k1", "the standard library has no such curve",
		func(_ *parityCase, _, got *answer) bool { return got.early && got.Error.Origin == "unsupported" },
	}, {
		"Ed25519", "jsonwebtoken does not know EdDSA; this library does",
		func(c *parityCase, want, got *answer) bool {
			header, _, _ := parts(c)
			return message(want, `Unknown key type "ed25519"`) || option(c, "algorithm", "EdDSA|Ed25519") || strings.Contains(header, "EdDSA")
		},
	}, {
		"an RSA-PSS key without parameters", "RFC 4055 §3.3: without parameters there is no restriction; jsonwebtoken compares undefined with a hash",
		func(c *parityCase, want, _ *answer) bool {
			return message(want, "RSA-PSS parameters do not meet") && regexp.MustCompile("plain|pss-1024").Match(c.Key)
		},
	}, {
		"a private key verifies", "it has its public half with it; jsonwebtoken takes a private PEM for this, and refuses the same key as an object",
		func(c *parityCase, _, _ *answer) bool {
			return c.Op == "verify" && strings.Contains(string(c.Key), `"private"`)
		},
	}, {
		"the zero value is absence", "0 and \"\" say in Go that an option is not used: no claim is added, and none is asked for",
		func(c *parityCase, _, _ *answer) bool {
			return option(c, "expiresIn", `^("?0"?)$`) || option(c, "notBefore", `^("?0"?)$`) ||
				c.Op == "sign" && (option(c, "issuer", `^""$`) || option(c, "subject", `^""$`) || option(c, "jwtid", `^""$`)) ||
				option(c, "nonce", `^""$`)
		},
	}, {
		"a duration may have fractions", "time.Duration says 1.5 s as well as 1 s",
		func(c *parityCase, _, _ *answer) bool {
			return option(c, "notBefore", `^-?\d*\.\d+$`) || option(c, "expiresIn", `^-?\d*\.\d+$`)
		},
	}, {
		"a negative duration", "a token that is made expired, or a check that widens what it should narrow, is a mistake",
		func(c *parityCase, _, got *answer) bool {
			return message(got, "must not be negative")
		},
	}, {
		"more than a hundred years", "a span that time.Duration cannot hold, or a date after the year 9999, is a mistake (mostly milliseconds)",
		func(c *parityCase, _, got *answer) bool {
			_, payload, _ := parts(c)
			large := regexp.MustCompile(`"(exp|nbf|iat)":-?(\d{12,}|[\d.]+e\d{2,})`)
			return option(c, "expiresIn", `\d{12,}`) || option(c, "notBefore", `\d{12,}`) ||
				got.Error != nil && (large.MatchString(payload) || c.PayloadText != nil && large.MatchString(*c.PayloadText) || large.Match(compacted(c.Payload)))
		},
	}, {
		"iat zero is a date", "jsonwebtoken takes the year 1970 for an absent claim",
		func(c *parityCase, _, _ *answer) bool {
			return c.Op == "sign" && strings.Contains(string(compacted(c.Payload)), `"iat":0`)
		},
	}, {
		"claims of the wrong type", "RFC 7519 §4.1: iss, sub and jti are strings, aud strings, exp, nbf and iat numbers; also where nobody asks for them",
		func(c *parityCase, _, got *answer) bool {
			return wrongClaim.MatchString(errorText(got)) || message(got, "audience invalid") && audienceKind(c) == "mixed"
		},
	}, {
		"strict JSON", "RFC 7515 §4, RFC 8725 §3.7: members twice, lone surrogates, bytes that are not UTF-8, depth, trailing text",
		func(c *parityCase, want, got *answer) bool {
			header, payload, _ := parts(c)
			return stricter(c, want, got) && (notStrict(header) || notStrict(payload) || c.PayloadText != nil && notStrict(*c.PayloadText))
		},
	}, {
		"strict base64url", "RFC 7515 §2: no unused bits, no padding, no line breaks, in any part",
		func(c *parityCase, want, got *answer) bool {
			_, _, strict := parts(c)
			return c.Op != "sign" && !strict && stricter(c, want, got)
		},
	}, {
		"the payload of a JWT is an object", "RFC 7519 §7.2: whatever says that it is a JWT has claims",
		func(c *parityCase, want, got *answer) bool {
			header, payload, _ := parts(c)
			return stricter(c, want, got) && strings.Contains(strings.ToUpper(header), `"JWT"`) && !strings.HasPrefix(strings.TrimSpace(payload), "{")
		},
	}, {
		"JSON is asked for by type", "Verify[string] hands a payload out as it is; a struct or a map asks for claims",
		func(c *parityCase, want, _ *answer) bool { return option(c, "json", "true") && want.refused(c.Op) },
	}, {
		"the header is an object with alg", "RFC 7515 §4.1.1: alg is a string and must be there; typ, cty and kid are strings",
		func(c *parityCase, want, got *answer) bool {
			header, _, _ := parts(c)
			var h struct {
				Alg           *string
				Typ, Cty, Kid json.RawMessage
			}
			bad := json.Unmarshal([]byte(header), &h) != nil || h.Alg == nil || *h.Alg == ""
			for _, text := range []json.RawMessage{h.Typ, h.Cty, h.Kid} {
				bad = bad || text != nil && text[0] != '"'
			}
			return c.Op != "sign" && bad && stricter(c, want, got)
		},
	}, {
		"crit", "RFC 7515 §4.1.11: an extension that is marked critical and not understood is refused",
		func(_ *parityCase, _, got *answer) bool { return message(got, "critical") },
	}, {
		"the header is UTF-8", "RFC 7515 §2; jsonwebtoken writes and reads Latin-1",
		func(c *parityCase, _, _ *answer) bool {
			header, _, _ := parts(c)
			return notASCII(header) || option(c, "header", `[^\x00-\x7f]|\\u`)
		},
	}, {
		"header.alg and header.typ", "the algorithm is an option, and no header overrides it; a type is a string",
		func(c *parityCase, _, got *answer) bool {
			return option(c, "header", `"alg"|"typ":null`) && got.Error != nil
		},
	}, {
		"a name that is no algorithm", "a list with an unknown name, or a text in which one is searched, is a mistake of the program",
		func(c *parityCase, want, got *answer) bool {
			return c.Op == "verify" && message(got, "invalid algorithm") && option(c, "algorithms", ".") && !want.refused("verify")
		},
	}, {
		"an empty list or text", "an empty expected value is a mistake, and never switches a check off",
		func(c *parityCase, _, got *answer) bool {
			return message(got, "must not be empty") || option(c, "algorithms", `^\[\]$`) && got.Error != nil
		},
	}, {
		"none has a call of its own", "only InsecureVerifyNone accepts it; with a key, or without that call, a missing key or a wrong signature is said first",
		func(c *parityCase, want, got *answer) bool {
			header, _, _ := parts(c)
			return bothRefuse(c, want, got) && (option(c, "algorithms", `"none"`) || strings.Contains(strings.ToLower(header), `"none"`))
		},
	}, {
		"a pattern matches text only", "a regular expression in JavaScript turns numbers and undefined into text first",
		func(c *parityCase, _, got *answer) bool {
			return option(c, "audience", "regexp") && message(got, "audience invalid") && audienceKind(c) != "text"
		},
	}, {
		"a key of another family", "Params.InsecureCurve loosens the curve of an EC key and nothing else",
		func(c *parityCase, _, got *answer) bool {
			return option(c, "allowInvalidAsymmetricKeyTypes", "true") && message(got, `"alg" parameter for`, "must be a")
		},
	}, {
		"maxAge and an iat in the future", "an iat far ahead would make any age mean nothing",
		func(_ *parityCase, _, got *answer) bool { return message(got, "issued in the future") },
	},
}

var wrongClaim = regexp.MustCompile(`^invalid (iss|sub|aud|jti|exp|nbf|iat|nonce) value$`)

func errorText(a *answer) string {
	if a.Error == nil {
		return ""
	}
	return a.Error.Message
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

// notStrict reports whether a text that looks like an object is none that
// strictjson takes.
func notStrict(text string) bool {
	text = strings.TrimSpace(text)
	return strings.HasPrefix(text, "{") && strictjson.Valid(text) != nil
}

func notASCII(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r > 127 })
}

func compacted(text json.RawMessage) []byte {
	return []byte(strings.ReplaceAll(string(text), " ", ""))
}
