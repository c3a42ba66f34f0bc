package jws_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// key returns a generated key for an algorithm, the same one each time.
func key(alg jwa.Algorithm) *jwk.Key { return generated()[alg] }

var generated = sync.OnceValue(func() map[jwa.Algorithm]*jwk.Key {
	keys := map[jwa.Algorithm]*jwk.Key{}
	for _, row := range jwa.Signatures() {
		keys[row.Name] = must(jwk.Generate(row.Name))
	}
	return keys
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// forge signs any header and payload with a key's own algorithm, whatever the
// header says: what an attacker who has a key can make.
func forge(k *jwk.Key, header, payload string) string {
	return forgeRaw(k, b64(header), b64(payload))
}

func forgeRaw(k *jwk.Key, header, payload string) string {
	signed := header + "." + payload
	return signed + "." + base64.RawURLEncoding.EncodeToString(must(k.AppendSignature(nil, "", []byte(signed))))
}

func accepts(t *testing.T, what, token string, source jwk.Source, o jws.VerifyOptions) {
	t.Helper()
	if _, err := jws.Verify(ctx, token, source, o); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func refuses(t *testing.T, what, token string, source jwk.Source, o jws.VerifyOptions, want error) {
	t.Helper()
	m, err := jws.Verify(ctx, token, source, o)
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
	if m.Payload != nil || m.Key != nil || m.Header.Algorithm != "" {
		t.Errorf("%s: something was returned: %+v", what, m)
	}
}

// J1: RFC 8725 §3.1, §3.2.
func TestNone(t *testing.T) {
	hs := key(jwa.HS256)
	accepts(t, "good twin", forge(hs, `{"alg":"HS256"}`, "x"), hs, jws.VerifyOptions{})
	for _, alg := range []string{`"none"`, `"None"`, `"NONE"`, `"nOnE"`, `"none "`, `"hs256"`, `"HS256 "`} {
		header := `{"alg":` + alg + `}`
		refuses(t, alg+" unsigned", b64(header)+"."+b64("x")+".", hs, jws.VerifyOptions{}, jws.ErrUnsigned)
		refuses(t, alg+" signed", forge(hs, header, "x"), hs, jws.VerifyOptions{}, jws.ErrAlgorithm)
		refuses(t, alg+" without the dot", b64(header)+"."+b64("x"), hs, jws.VerifyOptions{}, jws.ErrMalformed)
	}
	for _, header := range []string{`{}`, `{"alg":""}`, `{"alg":null}`, `{"alg":256}`, `{"alg":["HS256"]}`, `{"alg":{}}`, `{"alg":true}`, `{"ALG":"HS256"}`} {
		refuses(t, header, forge(hs, header, "x"), hs, jws.VerifyOptions{}, jws.ErrMalformed)
	}
	if _, err := jws.NewVerifier(hs, jws.VerifyOptions{Algorithms: []jwa.Algorithm{"none"}}); !errors.Is(err, jws.ErrOptions) {
		t.Errorf("none can be allowed: %v", err)
	}
}

// J2, J3: RFC 8725 §2.1.
func TestAlgorithmConfusion(t *testing.T) {
	for _, alg := range []jwa.Algorithm{jwa.RS256, jwa.ES256, jwa.EdDSA} {
		private := key(alg)
		public := must(private.Public())
		unbound := must(jwk.New(public.PublicKey(), jwk.Params{ID: public.ID()}))
		der := must(x509.MarshalPKIXPublicKey(public.PublicKey()))
		armoured := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		text := must(public.MarshalJSON())
		for _, source := range []*jwk.Key{public, unbound} {
			accepts(t, "good twin", forge(private, `{"alg":"`+string(alg)+`"}`, "x"), source, jws.VerifyOptions{})
			for name, secret := range map[string][]byte{
				"PEM": armoured, "PEM without the last line break": bytes.TrimSpace(armoured), "DER": der, "JWK": text, "nothing": {},
				"x or n": []byte(memberOf(text)), "x or n decoded": must(base64.RawURLEncoding.DecodeString(memberOf(text))),
			} {
				mac := hmac.New(sha256.New, secret)
				signed := b64(`{"alg":"HS256"}`) + "." + b64("x")
				mac.Write([]byte(signed))
				token := signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
				refuses(t, fmt.Sprint(source, " ", name), token, source, jws.VerifyOptions{}, jws.ErrAlgorithm)
				refuses(t, "even if allowed", token, source, jws.VerifyOptions{Algorithms: []jwa.Algorithm{jwa.HS256, alg}}, jws.ErrAlgorithm)
			}
		}
	}
}

func memberOf(text []byte) string {
	var m struct{ N, X string }
	if err := json.Unmarshal(text, &m); err != nil {
		panic(err)
	}
	return m.N + m.X
}

// J4, J5: no key can be made of these, so nothing can be verified with them.
func TestWeakSecrets(t *testing.T) {
	for _, secret := range []string{"", "secret", "changeme", "sixteen letters!", strings.Repeat("x", 31)} {
		// What is as long as an AES key may be one; it signs nothing.
		k, err := jwk.New([]byte(secret), jwk.Params{})
		if k != nil && len(k.Algorithms()) > 0 || k == nil && !errors.Is(err, jwk.ErrWeak) {
			t.Errorf("%q: %v, %v", secret, k, err)
		}
		if k, err := jwk.New([]byte(secret), jwk.Params{Algorithm: jwa.HS256}); !errors.Is(err, jwk.ErrWeak) || k != nil {
			t.Errorf("%q: %v, %v", secret, k, err)
		}
	}
	k := must(jwk.New([]byte(strings.Repeat("x", 32)), jwk.Params{}))
	accepts(t, "good twin", forge(k, `{"alg":"HS256"}`, "x"), k, jws.VerifyOptions{})
	refuses(t, "RFC 7518 §3.2: HS512 with 32 bytes", forge(k, `{"alg":"HS512"}`, "x"), k, jws.VerifyOptions{}, jws.ErrAlgorithm)
}

// J6, J7, J12, J13: signatures that are none.
func TestSignatures(t *testing.T) {
	for _, row := range jwa.Signatures() {
		k := key(row.Name)
		token := must(jws.Sign([]byte("payload"), k, jws.SignOptions{}))
		dot := strings.LastIndexByte(token, '.')
		signed, good := token[:dot+1], must(base64.RawURLEncoding.DecodeString(token[dot+1:]))
		accepts(t, "good twin", token, k, jws.VerifyOptions{})
		refuses(t, "no signature", signed, k, jws.VerifyOptions{}, jws.ErrUnsigned)
		for name, bad := range map[string][]byte{
			"one byte": {0}, "zeros": make([]byte, len(good)), "ones": bytes.Repeat([]byte{0xff}, len(good)),
			"one byte short": good[1:], "one byte cut": good[:len(good)-1], "one byte more": append([]byte{0}, good...),
			"one byte behind": append(append([]byte{}, good...), 0), "twice": append(append([]byte{}, good...), good...),
			"a bit flipped": flip(good), "1 KB": make([]byte, 1024), "1 MB in a large token": make([]byte, 1<<20),
		} {
			refuses(t, string(row.Name)+" "+name, signed+base64.RawURLEncoding.EncodeToString(bad), k, jws.VerifyOptions{MaxSize: 4 << 20}, jws.ErrSignature)
		}
		payload := strings.Replace(token, b64("payload"), b64("paxload"), 1)
		refuses(t, string(row.Name)+" payload changed", payload, k, jws.VerifyOptions{}, jws.ErrSignature)
	}
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

// J12: RFC 8725 §3.2; r and s must be between 1 and the order less 1.
func TestPsychicSignatures(t *testing.T) {
	k := key(jwa.ES256)
	n, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	one, zero := big.NewInt(1), big.NewInt(0)
	signed := b64(`{"alg":"ES256"}`) + "." + b64("x") + "."
	good := must(k.AppendSignature(nil, "", []byte(signed[:len(signed)-1])))
	accepts(t, "good twin", signed+base64.RawURLEncoding.EncodeToString(good), k, jws.VerifyOptions{})
	r, s := new(big.Int).SetBytes(good[:32]), new(big.Int).SetBytes(good[32:])
	for name, pair := range map[string][2]*big.Int{
		"r=0 s=0": {zero, zero}, "r=0": {zero, s}, "s=0": {r, zero}, "r=n": {n, s}, "s=n": {r, n}, "r=1 s=n-1": {one, new(big.Int).Sub(n, one)},
		"r=n s=n": {n, n}, "r=1 s=0": {one, zero}, "r=1 s=1": {one, one}, "swapped": {s, r},
	} {
		b := make([]byte, 64)
		pair[0].FillBytes(b[:32])
		pair[1].FillBytes(b[32:])
		refuses(t, name, signed+base64.RawURLEncoding.EncodeToString(b), k, jws.VerifyOptions{}, jws.ErrSignature)
	}
	der := append([]byte{0x30, 0x44, 0x02, 0x20}, append(append(bytes.Clone(good[:32]), 0x02, 0x20), good[32:]...)...)
	refuses(t, "J13: DER", signed+base64.RawURLEncoding.EncodeToString(der), k, jws.VerifyOptions{}, jws.ErrSignature)
	// J14: the other s is as good a signature. The text of a token is no identifier.
	twin := append(bytes.Clone(good[:32]), new(big.Int).Sub(n, s).FillBytes(make([]byte, 32))...)
	accepts(t, "J14: n - s", signed+base64.RawURLEncoding.EncodeToString(twin), k, jws.VerifyOptions{})
}

// J8, J9, J10: keys and addresses in the header are ignored, RFC 8725 §3.10.
func TestEmbeddedKeys(t *testing.T) {
	attacker, owner := must(jwk.Generate(jwa.RS256)), key(jwa.RS256)
	own := string(must(attacker.MarshalJSON()))
	for _, member := range []string{
		`"jwk":` + own, `"jku":"http://127.0.0.1:1/jwks"`, `"x5u":"http://127.0.0.1:1/cert"`, `"x5c":["MIIB"]`, `"x5t":"AAAA"`,
	} {
		for _, id := range []string{"", `,"kid":"` + attacker.ID() + `"`, `,"kid":"` + owner.ID() + `"`} {
			header := `{"alg":"RS256",` + member + id + `}`
			want := jws.ErrSignature
			if strings.Contains(id, attacker.ID()) {
				want = jws.ErrKey
			}
			refuses(t, header, forge(attacker, header, "x"), owner, jws.VerifyOptions{}, want)
			if want == jws.ErrSignature {
				accepts(t, "good twin: the member is ignored", forge(owner, header, "x"), owner, jws.VerifyOptions{})
			}
		}
	}
}

// J11: a kid is looked up and nothing else, RFC 8725 §3.10.
func TestKeyID(t *testing.T) {
	es, rs := key(jwa.ES256), key(jwa.RS256)
	set := must(jwk.NewSet(es, rs))
	accepts(t, "good twin", forge(es, `{"alg":"ES256","kid":"`+es.ID()+`"}`, "x"), set, jws.VerifyOptions{})
	accepts(t, "no kid", forge(es, `{"alg":"ES256"}`, "x"), set, jws.VerifyOptions{})
	for _, id := range []string{`../../dev/null`, `' UNION SELECT 'k`, `|sleep 5`, `\u0000`, es.ID() + `\u0000`, `http://127.0.0.1:1/`, `${jndi:ldap://x}`} {
		refuses(t, id, forge(es, `{"alg":"ES256","kid":"`+id+`"}`, "x"), set, jws.VerifyOptions{}, jws.ErrKey)
	}
	refuses(t, "the kid of another key", forge(es, `{"alg":"ES256","kid":"`+rs.ID()+`"}`, "x"), set, jws.VerifyOptions{}, jws.ErrAlgorithm)
	for _, id := range []string{"1", "null", "[]", "{}", `["` + es.ID() + `"]`} {
		refuses(t, id, forge(es, `{"alg":"ES256","kid":`+id+`}`, "x"), set, jws.VerifyOptions{}, jws.ErrMalformed)
	}
	long := `{"alg":"ES256","kid":"` + strings.Repeat("k", 1<<20) + `"}`
	refuses(t, "1 MB", forge(es, long, "x"), set, jws.VerifyOptions{}, jws.ErrTooLong)
	refuses(t, "1 MB in a large token", forge(es, long, "x"), set, jws.VerifyOptions{MaxSize: 4 << 20}, jws.ErrMalformed)
}

// J15: RFC 8725 §3.1; every key with every algorithm.
func TestCurveAndAlgorithm(t *testing.T) {
	names := []jwa.Algorithm{"ES256K", "Ed448", "ML-DSA-44", "none"}
	for _, row := range jwa.Signatures() {
		names = append(names, row.Name)
	}
	for _, row := range jwa.Signatures() {
		k := key(row.Name)
		for _, name := range names {
			token := forge(k, `{"alg":"`+string(name)+`"}`, "x")
			if name == row.Name {
				accepts(t, "good twin", token, k, jws.VerifyOptions{})
			} else {
				refuses(t, fmt.Sprint(row.Name, " as ", name), token, k, jws.VerifyOptions{}, jws.ErrAlgorithm)
			}
		}
	}
}

// J16: RFC 7515 §4.1.11.
func TestCritical(t *testing.T) {
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

// J17: RFC 7797 §6.
func TestUnencodedPayload(t *testing.T) {
	hs := key(jwa.HS256)
	accepts(t, "good twin", forge(hs, `{"alg":"HS256","crit":["x"],"x":true}`, "x"), hs, jws.VerifyOptions{Critical: []string{"x"}})
	refuses(t, "b64 in crit", forge(hs, `{"alg":"HS256","crit":["b64"],"b64":false}`, "x"), hs, jws.VerifyOptions{}, jws.ErrCritical)
	refuses(t, "b64 true in crit", forge(hs, `{"alg":"HS256","crit":["b64"],"b64":true}`, "x"), hs, jws.VerifyOptions{}, jws.ErrCritical)
	refuses(t, "payload as it is", forgeRaw(hs, b64(`{"alg":"HS256","b64":false,"crit":["b64"]}`), "$.02"), hs, jws.VerifyOptions{}, jws.ErrMalformed)
	refuses(t, "b64 without crit", forge(hs, `{"alg":"HS256","b64":false}`, "x"), hs, jws.VerifyOptions{}, jws.ErrCritical)
	if _, err := jws.NewVerifier(hs, jws.VerifyOptions{Critical: []string{"b64"}}); !errors.Is(err, jws.ErrOptions) {
		t.Error("b64 can be called understood:", err)
	}
}

// J18, J39: RFC 7515 §4, RFC 8725 §3.7.
func TestHeaderJSON(t *testing.T) {
	hs := key(jwa.HS256)
	accepts(t, "good twin", forge(hs, ` { "alg" : "\u0048S256" , "x" : {"y":[1,{"z":null}]} } `, "x"), hs, jws.VerifyOptions{})
	accepts(t, "names are case-sensitive", forge(hs, `{"alg":"HS256","Alg":"none","KID":5}`, "x"), hs, jws.VerifyOptions{})
	for name, header := range map[string]string{
		"alg twice": `{"alg":"none","alg":"HS256"}`, "alg twice, escaped": `{"alg":"none","\u0061lg":"HS256"}`,
		"another twice": `{"alg":"HS256","x":1,"x":1}`, "nested twice": `{"alg":"HS256","x":{"y":1,"y":2}}`,
		"trailing data": `{"alg":"HS256"}x`, "two headers": `{"alg":"HS256"}{}`, "comment": `{"alg":"HS256"/**/}`, "mark": "\uFEFF" + `{"alg":"HS256"}`,
		"not UTF-8": "{\"alg\":\"HS256\",\"x\":\"\xff\"}", "lone surrogate": `{"alg":"HS256","x":"\ud800"}`, "an array": `["alg"]`, "a string": `"alg"`,
		"nothing": ``, "null": `null`, "100,000 arrays": `{"alg":"HS256","x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`,
		"UTF-16": "\x00{\x00}",
	} {
		refuses(t, name, forge(hs, header, "x"), hs, jws.VerifyOptions{}, jws.ErrMalformed)
	}
}

// J38: RFC 7515 §2.
func TestBase64URL(t *testing.T) {
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
	token := forgeRaw(hs, header, payload)
	last := token[len(token)-1]
	for c := last + 1; c == last+1; c++ { // 32 bytes leave two bits over
		if strings.IndexByte("AEIMQUYcgkosw048", last) >= 0 && last != '8' && last != 'Z' && last != 'z' && last != '9' {
			refuses(t, "unused bits in the signature", token[:len(token)-1]+string(c), hs, jws.VerifyOptions{}, jws.ErrMalformed)
		}
	}
}

// J19: the compact entry point takes no JSON.
func TestSerializations(t *testing.T) {
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
func TestManyDots(t *testing.T) {
	hs := key(jwa.HS256)
	dots := strings.Repeat(".", 50<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	refuses(t, "by length", dots, hs, jws.VerifyOptions{}, jws.ErrTooLong)
	refuses(t, "by the dots", dots, hs, jws.VerifyOptions{MaxSize: 100 << 20}, jws.ErrMalformed)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<10 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

// J40: keys of a set that are for something else are not tried.
func TestSetOfMixedPurposes(t *testing.T) {
	es := key(jwa.ES256)
	other := must(jwk.Generate(jwa.ES256))
	enc := must(jwk.New(es.PublicKey(), jwk.Params{ID: "enc", Use: jwk.UseEncryption}))
	set := must(jwk.NewSet(enc, must(other.Public()), key(jwa.RS256)))
	token := forge(es, `{"alg":"ES256"}`, "x")
	accepts(t, "good twin", token, must(jwk.NewSet(enc, es)), jws.VerifyOptions{})
	refuses(t, "RFC 7517 §4.2: use enc", token, set, jws.VerifyOptions{}, jws.ErrSignature)
	refuses(t, "by name", forge(es, `{"alg":"ES256","kid":"enc"}`, "x"), set, jws.VerifyOptions{}, jws.ErrAlgorithm)
	refuses(t, "empty set", token, must(jwk.NewSet()), jws.VerifyOptions{}, jws.ErrKey)
}

// A token that names no key costs a bounded number of verifications.
func TestManyCandidates(t *testing.T) {
	var keys []*jwk.Key
	for i := range 17 {
		keys = append(keys, must(jwk.New(bytes.Repeat([]byte{byte(i)}, 32), jwk.Params{ID: fmt.Sprint(i)})))
	}
	last := keys[15]
	accepts(t, "16 keys", forge(last, `{"alg":"HS256"}`, "x"), must(jwk.NewSet(keys[:16]...)), jws.VerifyOptions{})
	refuses(t, "17 keys", forge(last, `{"alg":"HS256"}`, "x"), must(jwk.NewSet(keys...)), jws.VerifyOptions{}, jws.ErrKey)
	accepts(t, "17 keys by name", forge(last, `{"alg":"HS256","kid":"15"}`, "x"), must(jwk.NewSet(keys...)), jws.VerifyOptions{})
}

// Errors of a source: what it does not know is the token's fault, what it cannot
// tell is not.
func TestSourceErrors(t *testing.T) {
	token := forge(key(jwa.HS256), `{"alg":"HS256"}`, "x")
	source := func(keys []*jwk.Key, err error) jwk.Source {
		return jwk.SourceFunc(func(context.Context, string) ([]*jwk.Key, error) { return keys, err })
	}
	refuses(t, "not found", token, source(nil, jwk.ErrNotFound), jws.VerifyOptions{}, jws.ErrKey)
	refuses(t, "nothing", token, source(nil, nil), jws.VerifyOptions{}, jws.ErrKey)
	refuses(t, "nil key", token, source([]*jwk.Key{nil}, nil), jws.VerifyOptions{}, jws.ErrAlgorithm)
	refuses(t, "nil *Key", token, (*jwk.Key)(nil), jws.VerifyOptions{}, jws.ErrKey)
	refuses(t, "nil *Set", token, (*jwk.Set)(nil), jws.VerifyOptions{}, jws.ErrKey)
	refuses(t, "nil", token, nil, jws.VerifyOptions{}, jws.ErrOptions)
	refuses(t, "unavailable", token, source(nil, jwk.ErrUnavailable), jws.VerifyOptions{}, jwk.ErrUnavailable)
	accepts(t, "a nil key beside a good one", token, source([]*jwk.Key{nil, key(jwa.HS256)}, nil), jws.VerifyOptions{})
	if _, err := jws.Verify(ctx, token, source(nil, jwk.ErrUnavailable), jws.VerifyOptions{}); errors.Is(err, jws.ErrKey) {
		t.Error("an outage is blamed on the token")
	}
}

// Neither a bad signature nor a bad form is looked at for long.
func TestRefusalIsQuick(t *testing.T) {
	hs := key(jwa.HS256)
	start := time.Now()
	for range 100 {
		refuses(t, "members", forge(hs, `{"alg":"HS256"`+strings.Repeat(`,"x":1`, 7000)+`}`, ""), hs, jws.VerifyOptions{}, jws.ErrMalformed)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("100 refusals took %v", took)
	}
}
