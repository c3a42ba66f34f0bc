package jws_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// Attacks on the form of a message.

// J16: RFC 7515 §4.1.11.
func attackCritical(t *testing.T) {
	hs := key(jwa.HS256)
	understood := jws.VerifyOptions{Critical: []string{"urn:example:x"}}
	good := forge(hs, `{"alg":"HS256","crit":["urn:example:x"],"urn:example:x":1}`, "x")
	accepts(t, "good twin", good, hs, understood)
	accepts(t, "not marked", forge(hs, `{"alg":"HS256","urn:example:x":1}`, "x"), hs, jws.VerifyOptions{})
	refuses(t, "not understood", good, hs, jws.VerifyOptions{}, jws.ErrCritical)
	for _, crit := range []string{
		`[]`, `null`, `"urn:example:x"`, `{}`, `1`, `[1]`, `[null]`, `[""]`, `["alg"]`, `["urn:example:x","alg"]`, `["urn:example:x","crit"]`,
		`["urn:example:x","urn:example:x"]`, `["urn:example:y"]`, `["urn:example:x","urn:example:y"]`, `["exp"]`, `["b64"]`, `["URN:EXAMPLE:X"]`,
	} {
		refuses(t, crit, forge(hs, `{"alg":"HS256","crit":`+crit+`,"urn:example:x":1,"exp":1}`, "x"), hs, understood, jws.ErrCritical)
	}
	refuses(t, "marked and missing", forge(hs, `{"alg":"HS256","crit":["urn:example:x"]}`, "x"), hs, understood, jws.ErrCritical)
}

// J17: RFC 7797 §6 to §8.
func attackUnencoded(t *testing.T) {
	hs := key(jwa.HS256)
	asked := jws.VerifyOptions{Unencoded: true}
	raw := func(header, payload string) string { return forgeRaw(hs, b64(header), payload) }
	accepts(t, "good twin", raw(`{"alg":"HS256","b64":false,"crit":["b64"]}`, "$02"), hs, asked)
	accepts(t, "good twin: b64 true", forge(hs, `{"alg":"HS256","crit":["b64"],"b64":true}`, "x"), hs, asked)
	for name, token := range map[string]string{
		"b64 in crit": forge(hs, `{"alg":"HS256","crit":["b64"],"b64":false}`, "x"), "b64 true in crit": forge(hs, `{"alg":"HS256","crit":["b64"],"b64":true}`, "x"),
		"b64 without crit": forge(hs, `{"alg":"HS256","b64":false}`, "x"), "as it is": raw(`{"alg":"HS256","b64":false,"crit":["b64"]}`, "$02"),
	} {
		refuses(t, name+", unasked", token, hs, jws.VerifyOptions{}, jws.ErrCritical)
	}
	refuses(t, "b64 without crit", raw(`{"alg":"HS256","b64":false}`, "x"), hs, asked, jws.ErrCritical)
	refuses(t, "b64 true without crit", forge(hs, `{"alg":"HS256","b64":true}`, "x"), hs, asked, jws.ErrCritical)
	refuses(t, "b64 a text", raw(`{"alg":"HS256","b64":"false","crit":["b64"]}`, "x"), hs, asked, jws.ErrMalformed)
	for _, o := range []jws.VerifyOptions{{}, asked} {
		refuses(t, "RFC 7797 §5.2: dots", raw(`{"alg":"HS256","b64":false,"crit":["b64"]}`, "$.02"), hs, o, jws.ErrMalformed)
	}
	// What one side signed as it is, and the other takes for base64url.
	signer := must(jws.NewSigner(hs, jws.SignOptions{Unencoded: true}))
	token := must(signer.Sign([]byte(b64("x"))))
	m, err := jws.Verify(ctx, token, hs, asked)
	accepted(t, "good twin: looks like base64url", err)
	if string(m.Payload) != b64("x") {
		t.Errorf("the payload was decoded: %q", m.Payload)
	}
	if _, err := jws.NewVerifier(hs, jws.VerifyOptions{Critical: []string{"b64"}}); !errors.Is(err, jws.ErrOptions) {
		t.Error("b64 can be called understood:", err)
	}
	v, flat, _ := flattened()
	m, err = v.VerifyJSON(ctx, []byte(with(flat, `"header":{"b64":false}`)))
	refused(t, "b64 unprotected", m, err, jws.ErrCritical)
}

// J18: RFC 7515 §4; two readers must not come to two meanings.
func attackHeaderMembers(t *testing.T) {
	hs := key(jwa.HS256)
	accepts(t, "good twin", forge(hs, `{"alg":"HS256","x":{"alg":"none"}}`, "x"), hs, jws.VerifyOptions{})
	accepts(t, "names are case-sensitive", forge(hs, `{"alg":"HS256","Alg":"none","KID":5}`, "x"), hs, jws.VerifyOptions{})
	for name, header := range map[string]string{
		"alg twice": `{"alg":"none","alg":"HS256"}`, "alg twice, the other way": `{"alg":"HS256","alg":"none"}`, "alg twice, escaped": `{"alg":"none","\u0061lg":"HS256"}`,
		"kid twice": `{"alg":"HS256","kid":"a","kid":"b"}`, "another twice": `{"alg":"HS256","x":1,"x":1}`, "nested twice": `{"alg":"HS256","x":{"y":1,"y":2}}`,
	} {
		refuses(t, name, forge(hs, header, "x"), hs, jws.VerifyOptions{}, jws.ErrMalformed)
	}
	refuses(t, "only Alg", forge(hs, `{"Alg":"HS256"}`, "x"), hs, jws.VerifyOptions{}, jws.ErrMalformed)
}

// J39: RFC 8725 §3.7, RFC 7515 §2.
func attackHeaderJSON(t *testing.T) {
	hs := key(jwa.HS256)
	accepts(t, "good twin", forge(hs, ` { "alg" : "\u0048S256" , "x" : {"y":[1,{"z":null}]} } `, "x"), hs, jws.VerifyOptions{})
	for name, header := range map[string]string{
		"trailing data": `{"alg":"HS256"}x`, "two headers": `{"alg":"HS256"}{}`, "comment": `{"alg":"HS256"/**/}`, "mark": "\uFEFF" + `{"alg":"HS256"}`,
		"not UTF-8": "{\"alg\":\"HS256\",\"x\":\"\xff\"}", "lone surrogate": `{"alg":"HS256","x":"\ud800"}`, "an array": `["alg"]`, "a string": `"alg"`,
		"nothing": ``, "null": `null`, "100,000 arrays": `{"alg":"HS256","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
		"33 arrays": `{"alg":"HS256","x":` + strings.Repeat("[", 33) + strings.Repeat("]", 33) + `}`, "UTF-16": "\x00{\x00}", "a single quote": `{'alg':'HS256'}`,
	} {
		refuses(t, name, forge(hs, header, "x"), hs, jws.VerifyOptions{MaxSize: 1 << 20}, jws.ErrMalformed)
	}
}

// J38: RFC 7515 §2.
func attackBase64URL(t *testing.T) {
	hs := key(jwa.HS256)
	header, payload := b64(`{"alg":"HS256"}`), b64("pa??ylo>>a") // 10 bytes, so that bits are left over
	accepts(t, "good twin", forgeRaw(hs, header, payload), hs, jws.VerifyOptions{})
	spoils := map[string]func(part string) string{
		"padding": func(p string) string { return p + "=" }, "two of it": func(p string) string { return p + "==" },
		"space in front": func(p string) string { return " " + p }, "space inside": func(p string) string { return p[:4] + " " + p[4:] },
		"line break": func(p string) string { return p[:4] + "\n" + p[4:] }, "carriage return": func(p string) string { return p + "\r" },
		"CRLF behind": func(p string) string { return p + "\r\n" }, "plus": func(p string) string { return "+" + p[1:] },
		"slash": func(p string) string { return "/" + p[1:] }, "NUL": func(p string) string { return p + "\x00" },
		"one character more": func(p string) string { return p + strings.Repeat("A", (5-len(p)%4)%4) }, "é": func(p string) string { return "é" + p[1:] },
	}
	for name, spoil := range spoils {
		refuses(t, name+" in the payload", forgeRaw(hs, header, spoil(payload)), hs, jws.VerifyOptions{}, jws.ErrMalformed)
		refuses(t, name+" in the header", forgeRaw(hs, spoil(header), payload), hs, jws.VerifyOptions{}, jws.ErrMalformed)
		token := forgeRaw(hs, header, payload)
		dot := strings.LastIndexByte(token, '.') + 1
		refuses(t, name+" in the signature", token[:dot]+spoil(token[dot:]), hs, jws.VerifyOptions{}, jws.ErrMalformed)
	}
	refuses(t, "unused bits in the payload", forgeRaw(hs, header, "YR"), hs, jws.VerifyOptions{}, jws.ErrMalformed)
	accepts(t, "good twin", forgeRaw(hs, header, "YQ"), hs, jws.VerifyOptions{})
	token := forgeRaw(hs, header, payload) // whose signature of 32 bytes leaves two bits over
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for extra := 1; extra < 4; extra++ {
		last := alphabet[strings.IndexByte(alphabet, token[len(token)-1])+extra]
		refuses(t, "unused bits in the signature", token[:len(token)-1]+string(last), hs, jws.VerifyOptions{}, jws.ErrMalformed)
	}
}

// J19: the compact entry point takes no JSON.
func attackSerializations(t *testing.T) {
	hs := key(jwa.HS256)
	token := forge(hs, `{"alg":"HS256"}`, "x")
	parts := strings.Split(token, ".")
	flattened := fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2])
	general := fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, parts[1], parts[0], parts[2])
	accepts(t, "good twin", token, hs, jws.VerifyOptions{})
	for name, bad := range map[string]string{
		"flattened": flattened, "general": general, "compact inside JSON": `{"a":"` + token + `"}`, "in quotes": `"` + token + `"`,
		"Bearer": "Bearer " + token, "two tokens": token + token, "five parts": token + "." + token, "leading dot": "." + token, "trailing dot": token + ".",
		"nothing": "", "dots": "..", "one dot": ".", "four dots": "....", "space behind": token + " ", "line break behind": token + "\n",
	} {
		refuses(t, name, bad, hs, jws.VerifyOptions{}, jws.ErrMalformed)
	}
}

// J30: memory does not grow with dots.
func attackDots(t *testing.T) {
	hs := key(jwa.HS256)
	dots := strings.Repeat(".", 50<<20)
	accepts(t, "good twin", forge(hs, `{"alg":"HS256"}`, "x"), hs, jws.VerifyOptions{MaxSize: 100 << 20})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	refuses(t, "by length", dots, hs, jws.VerifyOptions{}, jws.ErrTooLong)
	refuses(t, "by the dots", dots, hs, jws.VerifyOptions{MaxSize: 100 << 20}, jws.ErrMalformed)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<10 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

// flattened is a message in JSON, and its parts.
func flattened() (v *jws.Verifier, flat string, parts struct{ Payload, Protected, Signature string }) {
	hs := key(jwa.HS256)
	v = must(jws.NewVerifier(hs, jws.VerifyOptions{}))
	flat = string(must(must(jws.NewSigner(hs, jws.SignOptions{})).SignJSON([]byte("payload"))))
	if err := json.Unmarshal([]byte(flat), &parts); err != nil {
		panic(err)
	}
	return v, flat, parts
}

// with puts a member in front of those of a message.
func with(message, member string) string { return strings.Replace(message, "{", "{"+member+",", 1) }

// general is a message with these signatures.
func general(payload string, signatures ...string) string {
	return fmt.Sprintf(`{"payload":%q,"signatures":[%s]}`, payload, strings.Join(signatures, ","))
}

// jsonRow is a message in JSON that is refused.
type jsonRow struct {
	name, text string
	want       error
}

// refusesJSON refuses each row, by VerifyJSON and by VerifyAll. The good twins are one
// message in both forms.
func refusesJSON(t *testing.T, rows []jsonRow) {
	t.Helper()
	v, flat, one := flattened()
	signature := fmt.Sprintf(`{"protected":%q,"signature":%q}`, one.Protected, one.Signature)
	for _, text := range []string{flat, general(one.Payload, signature), with(flat, `"x":{"y":1}`)} {
		m, err := v.VerifyJSON(ctx, []byte(text))
		accepted(t, "good twin", err)
		if string(m.Payload) != "payload" {
			t.Errorf("good twin: %+v", m)
		}
	}
	for _, row := range rows {
		m, err := v.VerifyJSON(ctx, []byte(row.text))
		refused(t, row.name, m, err, row.want)
		// Of several signatures, VerifyAll tells of each.
		if all, err := v.VerifyAll(ctx, []byte(row.text)); err == nil && len(all) == 1 && all[0].Err == nil {
			t.Errorf("%s: VerifyAll accepts %+v", row.name, all)
		}
	}
}

// J16: RFC 7515 §4.1.11; what is critical is protected.
func attackUnprotectedCritical(t *testing.T) {
	_, flat, _ := flattened()
	refusesJSON(t, []jsonRow{
		{"crit", with(flat, `"header":{"crit":["x"],"x":1}`), jws.ErrCritical},
		{"crit, empty", with(flat, `"header":{"crit":[]}`), jws.ErrCritical},
		{"crit, null", with(flat, `"header":{"crit":null}`), jws.ErrCritical},
	})
}

// J19: RFC 7515 §7.2; a text is one message, in one form.
func attackPolyglots(t *testing.T) {
	_, flat, one := flattened()
	compact := one.Protected + "." + one.Payload + "." + one.Signature
	signature := fmt.Sprintf(`{"protected":%q,"signature":%q}`, one.Protected, one.Signature)
	refusesJSON(t, []jsonRow{
		{"compact", compact, jws.ErrMalformed},
		{"compact in quotes", `"` + compact + `"`, jws.ErrMalformed},
		{"compact in JSON", fmt.Sprintf(`{"payload":%q,"x":".%s.%s"}`, one.Payload, one.Payload, one.Signature), jws.ErrMalformed},
		{"both forms", with(flat, `"signatures":[`+signature+`]`), jws.ErrMalformed},
		{"both forms, another payload", with(strings.Replace(flat, one.Payload, b64("other"), 1), `"signatures":[`+signature+`]`), jws.ErrMalformed},
		{"no signatures", general(one.Payload), jws.ErrMalformed},
		{"another payload", strings.Replace(flat, one.Payload, b64("paxload"), 1), jws.ErrSignature},
		{"another payload, general", general(b64("paxload"), signature), jws.ErrSignature},
		{"payload twice", with(flat, `"payload":"`+b64("other")+`"`), jws.ErrMalformed},
		{"header with a member twice", with(flat, `"header":{"x":1,"x":2}`), jws.ErrMalformed},
		{"an encrypted message", with(flat, `"ciphertext":"AA"`), jws.ErrMalformed},
		{"protected with a line break", strings.Replace(flat, one.Protected, one.Protected[:4]+`\n`+one.Protected[4:], 1), jws.ErrMalformed},
		{"too long", with(flat, `"x":"`+strings.Repeat("x", jws.DefaultMaxSize)+`"`), jws.ErrTooLong},
	})
}

// J32: odd messages are errors, not accidents.
func attackOddJSON(t *testing.T) {
	_, flat, one := flattened()
	refusesJSON(t, []jsonRow{
		{"no protected", `{"payload":"","signatures":[{}]}`, jws.ErrMalformed},
		{"null", `{"payload":null,"signatures":[null]}`, jws.ErrMalformed},
		{"null members", `{"payload":"","signatures":[{"protected":null,"header":null,"signature":null}]}`, jws.ErrMalformed},
		{"nulls", `{"payload":"","signatures":[null,null]}`, jws.ErrMalformed},
		{"a list", `[]`, jws.ErrMalformed},
		{"signatures no list", `{"payload":"","signatures":{}}`, jws.ErrMalformed},
		{"signatures null", `{"payload":"","signatures":null}`, jws.ErrMalformed},
		{"nothing", ``, jws.ErrMalformed},
		{"an empty object", `{}`, jws.ErrMalformed},
		{"header a list", with(flat, `"header":[]`), jws.ErrMalformed},
		{"unsigned", strings.Replace(flat, one.Signature, "", 1), jws.ErrUnsigned},
		{"kid of 5 KB", with(flat, `"header":{"kid":"`+strings.Repeat("k", 5000)+`"}`), jws.ErrMalformed},
	})
}

// J46: RFC 7515 §8; one signature, unless the caller looks at each.
func attackManySignatures(t *testing.T) {
	v, _, one := flattened()
	good := fmt.Sprintf(`{"protected":%q,"signature":%q}`, one.Protected, one.Signature)
	bad := strings.Replace(good, one.Signature, one.Signature[4:]+"AAAA", 1)
	hundred := slicesRepeat(bad, 100)
	hundred[57] = good
	refusesJSON(t, []jsonRow{
		{"two, one bad", general(one.Payload, good, bad), jws.ErrMalformed},
		{"two good ones", general(one.Payload, good, good), jws.ErrMalformed},
		{"a hundred, one good", general(one.Payload, hundred...), jws.ErrMalformed},
	})
	all, err := v.VerifyAll(ctx, []byte(general(one.Payload, good, bad)))
	accepted(t, "good twin: each by itself", err)
	if len(all) != 2 || all[0].Err != nil || !errors.Is(all[1].Err, jws.ErrSignature) || all[1].Message.Payload != nil {
		t.Error(all)
	}
	for _, n := range []int{17, 100, 10_000} {
		all, err := must(jws.NewVerifier(key(jwa.HS256), jws.VerifyOptions{MaxSize: 10 << 20})).VerifyAll(ctx, []byte(general(one.Payload, slicesRepeat(good, n)...)))
		if !errors.Is(err, jws.ErrMalformed) || all != nil {
			t.Errorf("%d signatures: %v", n, err)
		}
	}
}

// J47: RFC 7515 appendix F; a detached message brings no payload, and another one does.
func attackDetached(t *testing.T) {
	v, flat, one := flattened()
	signer := must(jws.NewSigner(key(jwa.HS256), jws.SignOptions{}))
	detached, detachedJSON := must(signer.SignDetached([]byte("payload"))), must(signer.SignJSONDetached([]byte("payload")))
	m, err := v.VerifyDetached(ctx, detached, []byte("payload"))
	accepted(t, "good twin", err)
	if string(m.Payload) != "payload" {
		t.Errorf("got %q", m.Payload)
	}
	_, err = v.VerifyJSONDetached(ctx, detachedJSON, []byte("payload"))
	accepted(t, "good twin in JSON", err)
	m, err = v.VerifyDetached(ctx, detached, []byte("paxload"))
	refused(t, "another payload", m, err, jws.ErrSignature)
	m, err = v.VerifyDetached(ctx, must(signer.Sign([]byte("payload"))), []byte("payload"))
	refused(t, "both", m, err, jws.ErrMalformed)
	m, err = v.VerifyDetached(ctx, must(signer.Sign([]byte("payload"))), nil)
	refused(t, "only that of the message", m, err, jws.ErrMalformed)
	m, err = v.Verify(ctx, detached)
	refused(t, "none", m, err, jws.ErrSignature)
	m, err = v.VerifyJSONDetached(ctx, []byte(flat), []byte("payload"))
	refused(t, "both in JSON", m, err, jws.ErrMalformed)
	m, err = v.VerifyJSONDetached(ctx, []byte(with(string(detachedJSON), `"payload":""`)), []byte("payload"))
	refused(t, "an empty one in JSON", m, err, jws.ErrMalformed)
	m, err = v.VerifyJSON(ctx, []byte(strings.Replace(flat, `"payload":"`+one.Payload+`",`, "", 1)))
	refused(t, "none in JSON", m, err, jws.ErrMalformed)
}

// J48: RFC 7515 §7.2.1; what nothing protects decides nothing.
func attackUnprotected(t *testing.T) {
	v, flat, one := flattened()
	bare := fmt.Sprintf(`{"payload":%q,"header":{"alg":"HS256"},"signature":%q}`, one.Payload, one.Signature)
	refusesJSON(t, []jsonRow{
		{"the same alg in both", with(flat, `"header":{"alg":"HS256"}`), jws.ErrMalformed},
		{"another alg", with(flat, `"header":{"alg":"none"}`), jws.ErrMalformed},
		{"alg only there", bare, jws.ErrAlgorithm},
		{"alg moved out of the protected part", strings.Replace(bare, `"payload"`, `"protected":"`+b64(`{}`)+`","payload"`, 1), jws.ErrAlgorithm},
	})
	m, err := v.VerifyJSON(ctx, []byte(with(flat, `"header":{"note":"x"}`)))
	accepted(t, "good twin: a note", err)
	if string(m.Unprotected) != `{"note":"x"}` {
		t.Errorf("%s", m.Unprotected)
	}
	// A "kid" there may point at a key, and does not make the key do anything else.
	set := must(jwk.NewSet(key(jwa.ES256), key(jwa.RS256)))
	unnamed := must(jwk.New(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), jwk.Params{}))
	signed := string(must(must(jws.NewSigner(unnamed, jws.SignOptions{})).SignJSON([]byte("x"))))
	other := must(jws.NewVerifier(set, jws.VerifyOptions{}))
	m, err = other.VerifyJSON(ctx, []byte(with(signed, `"header":{"kid":"`+key(jwa.RS256).ID()+`"}`)))
	refused(t, "kid of a key for something else", m, err, jws.ErrAlgorithm)
	m, err = other.VerifyJSON(ctx, []byte(with(signed, `"header":{"kid":"`+key(jwa.ES256).ID()+`"}`)))
	refused(t, "kid of another key", m, err, jws.ErrSignature)
}
