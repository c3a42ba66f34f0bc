package jwe_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// Known attacks, each with its good twin: without that a refusal proves nothing.

// J16, RFC 7516 §4.1.13: extensions that are marked critical.
func TestCritical(t *testing.T) {
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
func TestHeaderIsStrict(t *testing.T) {
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
func TestSerializations(t *testing.T) {
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
func TestNotASignature(t *testing.T) {
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
func TestEphemeralKeys(t *testing.T) {
	key := must(jwk.Generate(jwa.ECDHES))
	accepts(t, "good twin", must(jwe.Encrypt([]byte("text"), key, jwe.EncryptOptions{})), key, jwe.DecryptOptions{})
	point := must(ecdh.P256().GenerateKey(rand.Reader)).PublicKey().Bytes()
	x, y := encode(point[1:33]), encode(point[33:])
	off := slices.Clone(point[33:])
	off[31] ^= 1
	zero, high := encode(make([]byte, 32)), encode(bytes.Repeat([]byte{0xFF}, 32))
	for name, epk := range map[string]string{
		"off the curve":      fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, x, encode(off)),
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

// J23, RFC 8037 §3.2.1: with a point of low order the shared secret is zero,
// whoever the recipient is.
func TestLowOrder(t *testing.T) {
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
func TestUniformFailure(t *testing.T) {
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
				_, err := d.Decrypt(background, strings.Join(bad, "."))
				if err != jwe.ErrDecryption { // the value itself: nothing is wrapped around it
					t.Errorf("%s: %s: %v", f.name, name, err)
				}
			}
		}
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
	if _, err := d.Decrypt(background, good.compact()); err != nil {
		t.Fatal("good twin:", err)
	}
	padding, tag, short := good, good, good
	padding.encrypted = append([]byte{0}, randomBytes(255)...)
	tag.tag = randomBytes(16)
	short.encrypted = must(key.WrapOAEP(jwa.RSAOAEP, cek[:16]))
	return d, map[string]string{"padding": padding.compact(), "tag": tag.compact(), "short key": short.compact()}
}

// J24: nothing tells a wrong padding from a wrong tag.
func TestUniformRefusal(t *testing.T) {
	d, wrong := wrongMessages(t)
	for name, message := range wrong {
		if m, err := d.Decrypt(background, message); err != jwe.ErrDecryption || m.Plaintext != nil {
			t.Errorf("wrong %s: %v", name, err)
		}
	}
}

// BenchmarkRefuse shows that the three take the same time. Time is measured and
// not tested: a busy machine would decide the test.
func BenchmarkRefuse(b *testing.B) {
	d, wrong := wrongMessages(b)
	for name, message := range wrong {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := d.Decrypt(background, message); err != jwe.ErrDecryption {
					b.Fatal(err)
				}
			}
		})
	}
}

// J26, RFC 7518 §5.2.2.2: the whole tag, before anything is decrypted.
func TestCBC(t *testing.T) {
	key, header := bound(secret32, jwa.Algorithm(jwa.A128CBCHS256)), `{"alg":"dir","enc":"A128CBC-HS256"}`
	good := seal(newPlainCBC(secret32), header, "text")
	accepts(t, "good twin", good.compact(), key, jwe.DecryptOptions{})
	for _, size := range []int{0, 1, 8, 15, 17, 32} {
		bad := good
		bad.tag = append(slices.Clone(good.tag), make([]byte, 16)...)[:size]
		refuses(t, fmt.Sprintf("tag of %d bytes", size), bad.compact(), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	}
	for _, size := range []int{0, 12, 15, 17} {
		bad := good
		bad.iv = make([]byte, size)
		refuses(t, fmt.Sprintf("IV of %d bytes", size), bad.compact(), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	}
	for name, change := range map[string]func(*crafted){
		"tag":                        func(c *crafted) { c.tag = randomBytes(16) },
		"no ciphertext":              func(c *crafted) { c.ciphertext = nil },
		"half a block":               func(c *crafted) { c.ciphertext = c.ciphertext[:8] },
		"padding with a good tag":    func(c *crafted) { *c = sealBlocks(header, bytes.Repeat([]byte{17}, 16)) },
		"no padding with a good tag": func(c *crafted) { *c = sealBlocks(header, make([]byte, 16)) },
		"padding that differs":       func(c *crafted) { *c = sealBlocks(header, append(make([]byte, 14), 3, 2)) },
	} {
		bad := good
		change(&bad)
		if _, err := jwe.Decrypt(background, bad.compact(), key, jwe.DecryptOptions{}); err != jwe.ErrDecryption {
			t.Errorf("%s: %v", name, err)
		}
	}
	full := sealBlocks(header, bytes.Repeat([]byte{16}, 16))
	if m := accepts(t, "good twin: only padding", full.compact(), key, jwe.DecryptOptions{}); len(m.Plaintext) != 0 {
		t.Errorf("got %q", m.Plaintext)
	}
}

// sealBlocks encrypts whole blocks, padding and all, with a tag that is right.
func sealBlocks(header string, blocks []byte) crafted {
	c := newPlainCBC(secret32).(*plainCBC)
	iv, out := randomBytes(16), slices.Clone(blocks)
	cipher.NewCBCEncrypter(c.block, iv).CryptBlocks(out, out)
	return crafted{header: header, iv: iv, ciphertext: out, tag: c.mac([]byte(encode([]byte(header))), iv, out)}
}

// J27, RFC 7518 §5.3: tags of 128 bits, IVs of 96, and never the same twice.
func TestGCM(t *testing.T) {
	key := bound(secret32, jwa.Dir)
	good := craft(secret32, dirHeader, "text")
	accepts(t, "good twin", good.compact(), key, jwe.DecryptOptions{})
	block := must(aes.NewCipher(secret32))
	for _, size := range []int{12, 13, 15} {
		short := must(cipher.NewGCMWithTagSize(block, size))
		sealed := short.Seal(nil, good.iv, []byte("text"), []byte(encode([]byte(dirHeader))))
		bad := crafted{header: dirHeader, iv: good.iv, ciphertext: sealed[:4], tag: sealed[4:]}
		refuses(t, fmt.Sprintf("good tag of %d bytes", size), bad.compact(), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	}
	for _, size := range []int{0, 4, 8, 32} {
		bad := good
		bad.tag = append(slices.Clone(good.tag), good.tag...)[:size]
		refuses(t, fmt.Sprintf("tag of %d bytes", size), bad.compact(), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	}
	for _, size := range []int{0, 8, 16} {
		bad := good
		bad.iv = make([]byte, size)
		refuses(t, fmt.Sprintf("IV of %d bytes", size), bad.compact(), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	}
	seen := map[string]bool{}
	e := must(jwe.NewEncrypter(key, jwe.EncryptOptions{}))
	for range 10_000 {
		iv := strings.Split(must(e.Encrypt(nil)), ".")[2]
		if seen[iv] {
			t.Fatal("the same IV twice")
		}
		seen[iv] = true
	}
}

// J28, RFC 8725 §3.6: a compressed message must be asked for, and is small.
func TestDecompression(t *testing.T) {
	key, header := bound(secret32, jwa.Dir), `{"alg":"dir","enc":"A256GCM","zip":"DEF"}`
	text := bytes.Repeat([]byte("zip me "), 500)
	good := craft(secret32, header, compress(text)).compact()
	if m := accepts(t, "good twin", good, key, jwe.DecryptOptions{Decompress: true}); !bytes.Equal(m.Plaintext, text) {
		t.Error("good twin: another text")
	}
	refuses(t, "unasked", good, key, jwe.DecryptOptions{}, jwe.ErrCompression)
	refuses(t, "another zip", craft(secret32, `{"alg":"dir","enc":"A256GCM","zip":"GZIP"}`, "x").compact(), key, jwe.DecryptOptions{Decompress: true}, jwe.ErrCompression)
	refuses(t, "zip empty", craft(secret32, `{"alg":"dir","enc":"A256GCM","zip":""}`, "x").compact(), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	for name, plaintext := range map[string]string{
		"no deflate":        "not compressed",
		"cut short":         compress(text)[:20],
		"bytes behind":      compress(text) + "x",
		"beyond the ratio":  compress(make([]byte, 200_000)),
		"beyond the length": compress(randomLetters(300_000)),
		"nothing at all":    "",
	} {
		o := jwe.DecryptOptions{Decompress: true, MaxSize: 1 << 20}
		refuses(t, name, craft(secret32, header, plaintext).compact(), key, o, jwe.ErrCompression)
	}
	accepts(t, "good twin: a higher limit", craft(secret32, header, compress(randomLetters(300_000))).compact(), key,
		jwe.DecryptOptions{Decompress: true, MaxSize: 1 << 20, MaxDecompressed: 400_000})
	// A gigabyte in a megabyte costs what the limit allows.
	bomb := craft(secret32, header, compress(make([]byte, 64<<20))).compact()
	if cost := allocated(func() {
		refuses(t, "a bomb", bomb, key, jwe.DecryptOptions{Decompress: true, MaxSize: 1 << 20}, jwe.ErrCompression)
	}); cost > 4<<20 {
		t.Errorf("a bomb took %d bytes", cost)
	}
}

// randomLetters returns text that shrinks to about two thirds.
func randomLetters(n int) []byte {
	text := randomBytes(n)
	for i := range text {
		text[i] = 'a' + text[i]%16
	}
	return text
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// J29, RFC 8725 §3.11 and RFC 7518 §4.8.1.2: the sender must not choose how long
// we work.
func TestIterations(t *testing.T) {
	key := bound([]byte("a password of some length"), jwa.PBES2HS256A128KW)
	good := must(jwe.Encrypt([]byte("text"), key, jwe.EncryptOptions{Iterations: 1000}))
	accepts(t, "good twin", good, key, jwe.DecryptOptions{})
	for _, row := range []struct {
		p2c  string
		want error
	}{
		{"2147483648", jwe.ErrTooCostly}, {"1000000000", jwe.ErrTooCostly}, {"1000001", jwe.ErrTooCostly},
		{"9223372036854775807", jwe.ErrTooCostly}, {"9223372036854775808", jwe.ErrMalformed},
		{"-1", jwe.ErrMalformed}, {"1000.5", jwe.ErrMalformed}, {"1e4", jwe.ErrMalformed}, {`"1000"`, jwe.ErrMalformed},
		{"0", jwe.ErrMalformed}, {"999", jwe.ErrMalformed}, {"null", jwe.ErrMalformed}, {"[1000]", jwe.ErrMalformed},
	} {
		start := time.Now()
		refuses(t, "p2c "+row.p2c, password(`"p2s":"AAAAAAAAAAA","p2c":`+row.p2c), key, jwe.DecryptOptions{}, row.want)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("p2c %s took %v", row.p2c, took)
		}
	}
	refuses(t, "p2c missing", password(`"p2s":"AAAAAAAAAAA"`), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	refuses(t, "p2s missing", password(`"p2c":1000`), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	refuses(t, "p2s of 7 bytes", password(`"p2s":"AAAAAAAAAA","p2c":1000`), key, jwe.DecryptOptions{}, jwe.ErrMalformed)
	refuses(t, "RFC 7518 §4.8.1.1: p2s of 8 bytes", password(`"p2s":"AAAAAAAAAAA","p2c":1000`), key, jwe.DecryptOptions{}, jwe.ErrDecryption)
	refuses(t, "a lower limit", must(jwe.Encrypt([]byte("text"), key, jwe.EncryptOptions{Iterations: 2001})), key, jwe.DecryptOptions{MaxIterations: 2000}, jwe.ErrTooCostly)
	// The limit is that of the message, not that of each key that is tried.
	second := bound([]byte("another password altogether"), jwa.PBES2HS256A128KW)
	both := must(jwk.NewSet(second, key))
	accepts(t, "good twin: two keys", good, both, jwe.DecryptOptions{MaxIterations: 2000})
	refuses(t, "two keys", good, both, jwe.DecryptOptions{MaxIterations: 1999}, jwe.ErrTooCostly)
	// A password is never a key by chance: an algorithm for passwords must be the key's own.
	refuses(t, "a secret that is not for passwords", good, must(jwk.New(secret32, jwk.Params{})), jwe.DecryptOptions{}, jwe.ErrAlgorithm)
}

// password returns a message under PBES2 with these parameters.
func password(members string) string {
	c := craft(randomBytes(16), `{"alg":"PBES2-HS256+A128KW","enc":"A128GCM",`+members+`}`, "text")
	c.encrypted = randomBytes(24)
	return c.compact()
}

// J30: dots are counted before anything is split.
func TestManyDots(t *testing.T) {
	key := bound(secret32, jwa.Dir)
	d := must(jwe.NewDecrypter(key, jwe.DecryptOptions{MaxSize: 100 << 20}))
	for name, message := range map[string]string{
		"50 MB of dots": strings.Repeat(".", 50<<20), "a megabyte of dots": strings.Repeat(".", 1<<20),
		"three dots": "...", "five dots": ".....", "no dot": "", "four dots": "....",
	} {
		if cost := allocated(func() {
			if m, err := d.Decrypt(background, message); !errors.Is(err, jwe.ErrMalformed) || m.Key != nil {
				t.Errorf("%s: %v", name, err)
			}
		}); cost > 64<<10 {
			t.Errorf("%s took %d bytes", name, cost)
		}
	}
	long := craft(secret32, dirHeader, strings.Repeat("x", 60_000)).compact()
	refuses(t, "beyond 64 KiB", long, key, jwe.DecryptOptions{}, jwe.ErrTooLong)
	accepts(t, "good twin", long, key, jwe.DecryptOptions{MaxSize: len(long)})
}

// J31: odd messages are errors, not accidents.
func TestOddMessages(t *testing.T) {
	rsaKey := must(jwk.Generate(jwa.RSAOAEP))
	for _, row := range []struct {
		name, header string
		key          any
		encrypted    []byte
		want         error
	}{
		{"A256KW without a key", `{"alg":"A256KW","enc":"A256GCM"}`, secret32, nil, jwe.ErrMalformed},
		{"A256KW with 8 bytes", `{"alg":"A256KW","enc":"A256GCM"}`, secret32, make([]byte, 8), jwe.ErrMalformed},
		{"A256KW with a key for another enc", `{"alg":"A256KW","enc":"A256GCM"}`, secret32, make([]byte, 24), jwe.ErrMalformed},
		{"A256GCMKW without iv and tag", `{"alg":"A256GCMKW","enc":"A256GCM"}`, secret32, make([]byte, 32), jwe.ErrMalformed},
		{"A256GCMKW with an empty iv", `{"alg":"A256GCMKW","enc":"A256GCM","iv":"","tag":"` + encode(make([]byte, 16)) + `"}`, secret32, make([]byte, 32), jwe.ErrMalformed},
		{"A256GCMKW with a short tag", `{"alg":"A256GCMKW","enc":"A256GCM","iv":"` + encode(make([]byte, 12)) + `","tag":"AAAA"}`, secret32, make([]byte, 32), jwe.ErrMalformed},
		{"A256GCMKW without a key", `{"alg":"A256GCMKW","enc":"A256GCM","iv":"` + encode(make([]byte, 12)) + `","tag":"` + encode(make([]byte, 16)) + `"}`, secret32, nil, jwe.ErrMalformed},
		{"RFC 7516 §5.2 step 10: dir with a key", dirHeader, secret32, make([]byte, 40), jwe.ErrMalformed},
		{"ECDH-ES without epk", `{"alg":"ECDH-ES","enc":"A256GCM"}`, must(ecdh.P256().GenerateKey(rand.Reader)), nil, jwe.ErrMalformed},
		{"ECDH-ES+A128KW without a key", `{"alg":"ECDH-ES+A128KW","enc":"A256GCM","epk":{"kty":"OKP","crv":"X25519","x":"` + encode(randomBytes(32)) + `"}}`, must(ecdh.X25519().GenerateKey(rand.Reader)), nil, jwe.ErrMalformed},
		{"RSA-OAEP without a key", `{"alg":"RSA-OAEP","enc":"A256GCM"}`, rsaKey, nil, jwe.ErrMalformed},
		{"RSA-OAEP with 10 KB", `{"alg":"RSA-OAEP","enc":"A256GCM"}`, rsaKey, make([]byte, 10_000), jwe.ErrMalformed},
		{"RSA-OAEP with half a key", `{"alg":"RSA-OAEP","enc":"A256GCM"}`, rsaKey, make([]byte, 128), jwe.ErrDecryption},
		{"RSA-OAEP with twice a key", `{"alg":"RSA-OAEP","enc":"A256GCM"}`, rsaKey, make([]byte, 512), jwe.ErrDecryption},
	} {
		c := craft(secret32, row.header, "text")
		c.encrypted = row.encrypted
		key, ok := row.key.(*jwk.Key)
		if !ok {
			key = must(jwk.New(row.key, jwk.Params{}))
		}
		refuses(t, row.name, c.compact(), key, jwe.DecryptOptions{}, row.want)
	}
	good := craft(secret32, dirHeader, "text").compact()
	for at := range 5 { // padding, white space, other alphabets, unused bits in each part
		for name, suffix := range map[string]string{"padding": "=", "a space": " ", "a line feed": "\n", "a plus": "+", "an umlaut": "ü"} {
			parts := strings.Split(good, ".")
			parts[at] += suffix
			refuses(t, fmt.Sprint(name, " in part ", at), strings.Join(parts, "."), bound(secret32, jwa.Dir), jwe.DecryptOptions{}, jwe.ErrMalformed)
		}
	}
	accepts(t, "good twin", good, bound(secret32, jwa.Dir), jwe.DecryptOptions{})
}
