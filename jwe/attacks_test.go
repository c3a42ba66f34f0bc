package jwe_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// attacks are the known ones that concern this package, under their numbers in the
// catalogue; the packages jwk, jws and jwt have the others. That none is missing is
// tested in package jwt.
var attacks = []struct {
	name string
	try  func(t *testing.T)
}{
	{"J9 addresses in the header: jku, x5u and jwk are not looked at", attackAddresses},
	{"J16 crit: unknown, empty, registered, missing", attackCritical},
	{"J18 duplicate members of the header, and what is not strict JSON", attackHeader},
	{"J19 JSON where compact is expected; both forms at once", attackSerializations},
	{"J20 sign/encrypt confusion: encrypted where a signature is expected", attackNotASignature},
	{"J22 invalid curve: epk off the curve, on its twist, (0,0), of another curve", attackCurve},
	{"J23 the points of low order of X25519", attackLowOrder},
	{"J24 oracles: one error for a wrong key, padding and tag", attackOracle},
	{"J24 RSA-OAEP: the same error and the same time", attackPadding},
	{"J24 RSA1_5 is off", attackRSA15},
	{"J25 every key with every alg and enc", attackBinding},
	{"J25 the key's alg, use and key_ops", attackKeyMembers},
	{"J26 AES-CBC-HMAC: tags and paddings", attackCBC},
	{"J27 AES-GCM: tags and IVs of other lengths, no IV twice", attackGCM},
	{"J28 decompression bomb", attackBomb},
	{"J29 PBES2 with a huge p2c", attackIterations},
	{"J30 50 MB of dots", attackDots},
	{"J31 odd messages: empty keys, missing parameters", attackOddMessages},
	{"J32 odd messages in JSON: null, lists, no protected header", attackOddJSON},
	{"J43 length: nothing is compressed unless asked", attackLength},
	{"J46 many recipients, one of them ours", attackRecipients},
	{"J47 a ciphertext that is not there, or elsewhere", attackNoCiphertext},
	{"J48 alg, kid and p2c in the unprotected header", attackUnprotected},
}

// tally counts what was refused and what was accepted: an attack without its good twin
// proves nothing.
var tally struct{ refused, accepted int }

func TestAttacks(t *testing.T) {
	for _, attack := range attacks {
		t.Run(attack.name, func(t *testing.T) {
			before := tally
			attack.try(t)
			if tally.refused == before.refused || tally.accepted == before.accepted {
				t.Errorf("%d were refused and %d good twins accepted", tally.refused-before.refused, tally.accepted-before.accepted)
			}
		})
	}
}

// J9, RFC 8725 §3.10: nothing in a header is fetched, or taken for a key.
func attackAddresses(t *testing.T) {
	var asked atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer evil.Close()
	key, stranger := bound(secret32, jwa.Dir), randomBytes(32)
	for _, member := range []string{
		`"jku":"` + evil.URL + `"`, `"x5u":"` + evil.URL + `"`, `"x5c":["MIIB"]`, `"jwk":{"kty":"oct","k":"` + encode(stranger) + `"}`,
	} {
		header := `{"alg":"dir","enc":"A256GCM",` + member + `}`
		accepts(t, "good twin: the member is ignored", craft(secret32, header, "text").compact(), key, jwe.DecryptOptions{})
		refuses(t, member, craft(stranger, header, "text").compact(), key, jwe.DecryptOptions{}, jwe.ErrDecryption)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the attacker's server was asked %d times", n)
	}
}

// J16, RFC 7516 §4.1.13: extensions that are marked critical.
func attackCritical(t *testing.T) {
	key := bound(secret32, jwa.Dir)
	for _, row := range []struct{ clause, members string }{
		{"not understood", `"crit":["exp"],"exp":1`},
		{"one of two not understood", `"crit":["known","exp"],"exp":1,"known":1`},
		{"empty list", `"crit":[]`},
		{"no list", `"crit":"known","known":1`},
		{"list of numbers", `"crit":[1]`},
		{"null", `"crit":null`},
		{"a name twice", `"crit":["known","known"],"known":1`},
		{"an empty name", `"crit":[""],"":1`},
		{"a member of the specification", `"crit":["enc"]`},
		{"a member of an algorithm", `"crit":["p2c"],"p2c":1000`},
		{"marked and missing", `"crit":["known"]`},
		{"17 names", `"crit":["` + strings.Repeat(`x","`, 16) + `y"]`},
	} {
		message := craft(secret32, `{"alg":"dir","enc":"A256GCM",`+row.members+`}`, "text").compact()
		refuses(t, row.clause, message, key, jwe.DecryptOptions{Critical: []string{"known", "enc", "p2c"}}, jwe.ErrCritical)
	}
	good := craft(secret32, `{"alg":"dir","enc":"A256GCM","crit":["known"],"known":1}`, "text").compact()
	accepts(t, "good twin", good, key, jwe.DecryptOptions{Critical: []string{"known"}})
	refuses(t, "unasked", good, key, jwe.DecryptOptions{}, jwe.ErrCritical)
}

// J18, RFC 7515 §4: two readers must not come to two meanings.
func attackHeader(t *testing.T) {
	key := bound(secret32, jwa.Dir)
	accepts(t, "good twin", craft(secret32, dirHeader, "text").compact(), key, jwe.DecryptOptions{})
	accepts(t, "good twin: unknown members", craft(secret32, `{"alg":"dir","enc":"A256GCM","x":{"alg":1},"Alg":"none"}`, "text").compact(), key, jwe.DecryptOptions{})
	for name, header := range map[string]string{
		"alg twice":            `{"alg":"A256KW","alg":"dir","enc":"A256GCM"}`,
		"alg twice, escaped":   `{"alg":"A256KW","\u0061lg":"dir","enc":"A256GCM"}`,
		"enc twice":            `{"alg":"dir","enc":"A128GCM","enc":"A256GCM"}`,
		"an unknown twice":     `{"alg":"dir","enc":"A256GCM","x":1,"x":1}`,
		"names in capitals":    `{"ALG":"dir","Enc":"A256GCM"}`,
		"alg missing":          `{"enc":"A256GCM"}`,
		"alg empty":            `{"alg":"","enc":"A256GCM"}`,
		"alg null":             `{"alg":null,"enc":"A256GCM"}`,
		"alg a list":           `{"alg":["dir"],"enc":"A256GCM"}`,
		"enc missing":          `{"alg":"dir"}`,
		"enc a number":         `{"alg":"dir","enc":1}`,
		"text behind":          dirHeader + "x",
		"two objects":          dirHeader + dirHeader,
		"a list":               `[` + dirHeader + `]`,
		"nothing":              ``,
		"not UTF-8":            "{\"alg\":\"dir\",\"enc\":\"A256GCM\",\"x\":\"\xff\"}",
		"kid a number":         `{"alg":"dir","enc":"A256GCM","kid":1}`,
		"kid of 5 KB":          `{"alg":"dir","enc":"A256GCM","kid":"` + strings.Repeat("k", 5000) + `"}`,
		"iv with padding":      `{"alg":"dir","enc":"A256GCM","iv":"AA=="}`,
		"apu with a line feed": `{"alg":"dir","enc":"A256GCM","apu":"AA\nAA"}`,
		"epk a text":           `{"alg":"dir","enc":"A256GCM","epk":"{}"}`,
	} {
		refuses(t, name, craft(secret32, header, "text").compact(), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	}
	for name, header := range map[string]string{
		"alg none": `{"alg":"none","enc":"A256GCM"}`, "alg in another case": `{"alg":"DIR","enc":"A256GCM"}`,
		"alg of a signature": `{"alg":"HS256","enc":"A256GCM"}`, "unknown alg": `{"alg":"A256","enc":"A256GCM"}`,
		"unknown enc": `{"alg":"dir","enc":"A256CBC"}`, "enc in another case": `{"alg":"dir","enc":"a256gcm"}`,
		"RSA1_5": `{"alg":"RSA1_5","enc":"A256GCM"}`,
	} {
		refuses(t, name, craft(secret32, header, "text").compact(), key, jwe.DecryptOptions{}, jwe.ErrAlgorithm)
	}
}

// J19: one text must not be two messages.
func attackSerializations(t *testing.T) {
	key, header := bound(secret32, jwa.A256KW), `{"alg":"A256KW","enc":"A256GCM"}`
	c := craftWrapped(secret32, header, "text")
	accepts(t, "good twin", c.compact(), key, jwe.DecryptOptions{})
	acceptsJSON(t, "good twin", c.flattened(""), key, jwe.DecryptOptions{})
	refuses(t, "JSON where compact is expected", string(c.flattened("")), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	refusesJSON(t, "compact where JSON is expected", []byte(c.compact()), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	refusesJSON(t, "compact as a JSON text", []byte(`"`+c.compact()+`"`), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	for name, more := range map[string]string{
		"flattened and general":       `,"recipients":[{}]`,
		"a signed message":            `,"payload":"AA","signature":"AA"`,
		"a signed message in general": `,"signatures":[]`,
		"a member twice":              `,"tag":"` + encode(c.tag) + `"`,
		"iv twice, escaped":           `,"\u0069v":"AA"`,
		"aad empty":                   `,"aad":""`,
		"aad a list":                  `,"aad":[]`,
		"unprotected a text":          `,"unprotected":"{}"`,
		"header null":                 `,"header":null`,
	} {
		refusesJSON(t, name, c.flattened(more), key, generous, jwe.ErrMalformed)
	}
	acceptsJSON(t, "good twin: unknown members", c.flattened(`,"x":{"y":[1]}`), key, jwe.DecryptOptions{})
}

// J20: a message to a public key is nobody's word. RFC 8725 §2.3.
func attackNotASignature(t *testing.T) {
	key := must(jwk.Generate(jwa.ECDHES))
	message := must(jwe.Encrypt([]byte(`{"sub":"admin"}`), must(key.Public()), jwe.EncryptOptions{ContentType: "JWT"}))
	accepts(t, "good twin", message, key, jwe.DecryptOptions{})
	if m, err := jws.Verify(background, message, key, jws.VerifyOptions{}); !errors.Is(err, jws.ErrMalformed) || m.Payload != nil {
		t.Errorf("verified: %v", err)
	}
	signing := must(jwk.Generate(jwa.ES256))
	signed := must(jws.Sign([]byte("x"), signing, jws.SignOptions{}))
	refuses(t, "a signed message", signed, signing, jwe.DecryptOptions{}, jwe.ErrMalformed)
}

// ephemeral returns a message to a key on P-256 whose sender chose this "epk".
func ephemeral(epk string) string {
	return craft(secret32, `{"alg":"ECDH-ES","enc":"A256GCM","epk":`+epk+`}`, "text").compact()
}

// J22, RFC 8725 §3.4: points that are not on the curve give the private key away.
func attackCurve(t *testing.T) {
	key := must(jwk.Generate(jwa.ECDHES))
	accepts(t, "good twin", must(jwe.Encrypt([]byte("text"), key, jwe.EncryptOptions{})), key, jwe.DecryptOptions{})
	point := must(ecdh.P256().GenerateKey(rand.Reader)).PublicKey().Bytes()
	x, y := encode(point[1:33]), encode(point[33:])
	off := slices.Clone(point[33:])
	off[31] ^= 1
	zero, high := encode(make([]byte, 32)), encode(bytes.Repeat([]byte{0xFF}, 32))
	for name, epk := range map[string]string{
		"off the curve":      fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, x, encode(off)),
		"on the twist":       fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, encode(twisted()), y),
		"(0, 0)":             fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, zero, zero),
		"x beyond the field": fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, high, y),
		"x too short":        fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, encode(point[1:32]), y),
		"x and y shifted":    fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, encode(point[1:34]), encode(point[34:])),
		"y missing":          fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q}`, x),
		"a curve elsewhere":  fmt.Sprintf(`{"kty":"EC","crv":"secp256k1","x":%q,"y":%q}`, x, y),
		"a point on P-384":   fmt.Sprintf(`{"kty":"EC","crv":"P-384","x":%q,"y":%q}`, x, y),
		"kty of another":     fmt.Sprintf(`{"kty":"OKP","crv":"P-256","x":%q,"y":%q}`, x, y),
		"kty missing":        fmt.Sprintf(`{"crv":"P-256","x":%q,"y":%q}`, x, y),
		"a private key":      fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q,"d":%q}`, x, y, zero),
		"a secret":           `{"kty":"oct","k":"AAAA"}`,
		"x twice":            fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q,"x":%q}`, x, y, x),
		"x a number":         fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":1,"y":%q}`, y),
		"an empty object":    `{}`,
	} {
		refuses(t, name, ephemeral(epk), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	}
	// These are points, but not of the recipient's curve.
	other := must(ecdh.P384().GenerateKey(rand.Reader)).PublicKey().Bytes()
	refuses(t, "another curve", ephemeral(fmt.Sprintf(`{"kty":"EC","crv":"P-384","x":%q,"y":%q}`, encode(other[1:49]), encode(other[49:]))), key, jwe.DecryptOptions{}, jwe.ErrKey)
	refuses(t, "X25519", ephemeral(fmt.Sprintf(`{"kty":"OKP","crv":"X25519","x":%q}`, x)), key, jwe.DecryptOptions{}, jwe.ErrKey)
	// And this one is in order, but the content was encrypted with something else.
	refuses(t, "on the curve", ephemeral(fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, x, y)), key, jwe.DecryptOptions{}, jwe.ErrDecryption)
}

// twisted is an x of P-256 that has no y: with that it is on the twist.
func twisted() []byte {
	p := elliptic.P256().Params()
	for x := big.NewInt(2); ; x.Add(x, big.NewInt(1)) {
		square := new(big.Int).Exp(x, big.NewInt(3), p.P) // x³ - 3x + b
		square.Sub(square, new(big.Int).Mul(big.NewInt(3), x)).Add(square, p.B).Mod(square, p.P)
		if big.Jacobi(square, p.P) == -1 {
			return x.FillBytes(make([]byte, 32))
		}
	}
}

// J23, RFC 8037 §3.2.1: with a point of low order the shared secret is zero,
// whoever the recipient is.
func attackLowOrder(t *testing.T) {
	key := must(jwk.New(must(ecdh.X25519().GenerateKey(rand.Reader)), jwk.Params{}))
	accepts(t, "good twin", must(jwe.Encrypt([]byte("text"), key, jwe.EncryptOptions{})), key, jwe.DecryptOptions{})
	zeroKey := plainConcat(make([]byte, 32), "A256GCM", 32) // what both sides would derive
	for _, point := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	} {
		epk := fmt.Sprintf(`{"kty":"OKP","crv":"X25519","x":%q}`, encode(must(hex.DecodeString(point))))
		message := craft(zeroKey, `{"alg":"ECDH-ES","enc":"A256GCM","epk":`+epk+`}`, "text").compact()
		refuses(t, "from "+point, message, key, jwe.DecryptOptions{}, jwe.ErrDecryption)
		low := must(jwk.Parse([]byte(epk)))
		if message, err := jwe.Encrypt([]byte("text"), low, jwe.EncryptOptions{}); err == nil || message != "" {
			t.Errorf("encrypted to %s", point)
		}
	}
}

// J24, RFC 7516 §11.5: one error for everything that is wrong with what was
// encrypted, after the same work.
func attackOracle(t *testing.T) {
	for _, f := range floors(t) {
		token := must(jwe.Encrypt(plaintext451, f.key, f.options()))
		d := must(jwe.NewDecrypter(f.key, jwe.DecryptOptions{}))
		parts := strings.Split(token, ".")
		for i, name := range []string{"", "encrypted key", "IV", "ciphertext", "tag"} {
			if parts[i] == "" || i == 0 {
				continue
			}
			for _, at := range []int{0, len(parts[i]) / 2} {
				bad := slices.Clone(parts)
				bad[i] = changed(bad[i], at)
				tally.refused++
				_, err := d.Decrypt(background, strings.Join(bad, "."))
				if err != jwe.ErrDecryption { // the value itself: nothing is wrapped around it
					t.Errorf("%s: %s: %v", f.name, name, err)
				}
			}
		}
		tally.accepted++
		if _, err := d.Decrypt(background, token); err != nil {
			t.Errorf("%s: good twin: %v", f.name, err)
		}
	}
}

// changed replaces one character by another that is as good in base64url.
func changed(part string, at int) string {
	c := byte('A')
	if part[at] == c {
		c = 'Q'
	}
	return part[:at] + string(c) + part[at+1:]
}

// wrongMessages are three messages that fail at different places, with a
// decrypter for their key (J24: Bleichenbacher, Manger; RFC 7516 §11.5).
func wrongMessages(t testing.TB) (*jwe.Decrypter, map[string]string) {
	t.Helper()
	key := must(jwk.Generate(jwa.RSAOAEP))
	header := `{"alg":"RSA-OAEP","enc":"A256GCM"}`
	cek := randomBytes(32)
	good := craft(cek, header, "text")
	good.encrypted = must(key.WrapOAEP(jwa.RSAOAEP, cek))
	d := must(jwe.NewDecrypter(key, jwe.DecryptOptions{}))
	tally.accepted++
	if _, err := d.Decrypt(background, good.compact()); err != nil {
		t.Fatal("good twin:", err)
	}
	padding, tag, short := good, good, good
	padding.encrypted = append([]byte{0}, randomBytes(255)...)
	tag.tag = randomBytes(16)
	short.encrypted = must(key.WrapOAEP(jwa.RSAOAEP, cek[:16]))
	return d, map[string]string{"padding": padding.compact(), "tag": tag.compact(), "short key": short.compact()}
}

// J24: nothing tells a wrong padding from a wrong tag, and neither does the time. Of many
// runs in turn the fastest of each is compared, which a busy machine slows least; it gets
// more of them before it is blamed.
func attackPadding(t *testing.T) {
	d, wrong := wrongMessages(t)
	fastest := map[string]time.Duration{}
	alike := func() bool {
		for _, took := range fastest {
			if took > fastest["tag"]*3/2 || fastest["tag"] > took*3/2 {
				return false
			}
		}
		return true
	}
	for run := 0; run < 200 || run < 2000 && !alike(); run++ {
		for name, message := range wrong {
			tally.refused++
			start := time.Now()
			m, err := d.Decrypt(background, message)
			took := time.Since(start)
			if err != jwe.ErrDecryption || m.Plaintext != nil {
				t.Fatalf("wrong %s: %v", name, err)
			}
			if known, ok := fastest[name]; !ok || took < known {
				fastest[name] = took
			}
		}
	}
	if !alike() {
		t.Errorf("the times differ: %v", fastest)
	}
}
