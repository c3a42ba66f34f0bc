package jwe_test

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
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
)

// J24: RFC 8725 §3.2; PKCS #1 v1.5 is not offered, whoever asks for it.
func attackRSA15(t *testing.T) {
	key := must(jwk.New(rsaMaterial, jwk.Params{}))
	accepts(t, "good twin", must(jwe.Encrypt([]byte("text"), key, jwe.EncryptOptions{})), key, jwe.DecryptOptions{})
	cek := randomBytes(32)
	c := craft(cek, `{"alg":"RSA1_5","enc":"A256GCM"}`, "text")
	//lint:ignore SA1019 it is what must be refused
	c.encrypted = must(rsa.EncryptPKCS1v15(rand.Reader, &rsaMaterial.PublicKey, cek))
	refuses(t, "a good message", c.compact(), key, jwe.DecryptOptions{}, jwe.ErrAlgorithm)
	if _, err := jwe.NewDecrypter(key, jwe.DecryptOptions{Algorithms: []jwa.Algorithm{"RSA1_5"}}); !errors.Is(err, jwe.ErrOptions) {
		t.Error("RSA1_5 can be allowed:", err)
	}
	if _, err := jwe.Encrypt([]byte("text"), key, jwe.EncryptOptions{Algorithm: "RSA1_5"}); !errors.Is(err, jwe.ErrKey) {
		t.Error("RSA1_5 can be asked for:", err)
	}
}

// J43, RFC 8725 §2.4, §3.6: the length of a message tells that of the text, and nothing
// of what is in it, unless somebody has it compressed.
func attackLength(t *testing.T) {
	key := bound(secret32, jwa.Dir)
	secret, guess, wrong := "session=0123456789abcdef", "session=0123456789abcdef", "session=fedcba9876543210"
	length := func(o jwe.EncryptOptions, text string) int { return len(must(jwe.Encrypt([]byte(text), key, o))) }
	if right, other := length(jwe.EncryptOptions{}, secret+guess), length(jwe.EncryptOptions{}, secret+wrong); right != other {
		t.Errorf("a right guess makes %d bytes and a wrong one %d", right, other)
	}
	compressed := jwe.EncryptOptions{Compress: true}
	if right, other := length(compressed, secret+guess), length(compressed, secret+wrong); right >= other {
		t.Errorf("the test shows nothing: %d and %d bytes", right, other)
	}
	message := must(jwe.Encrypt([]byte(secret), key, compressed))
	refuses(t, "compressed", message, key, jwe.DecryptOptions{}, jwe.ErrCompression)
	accepts(t, "good twin: asked for", message, key, jwe.DecryptOptions{Decompress: true})
	accepts(t, "good twin", must(jwe.Encrypt([]byte(secret), key, jwe.EncryptOptions{})), key, jwe.DecryptOptions{})
}

// J26, RFC 7518 §5.2.2.2: the whole tag, before anything is decrypted.
func attackCBC(t *testing.T) {
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
func attackGCM(t *testing.T) {
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
func attackBomb(t *testing.T) {
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
	bomb := craft(secret32, header, gigabyte()).compact()
	if cost := allocated(func() {
		refuses(t, "a bomb", bomb, key, jwe.DecryptOptions{Decompress: true, MaxSize: 4 << 20}, jwe.ErrCompression)
	}); cost > 8<<20 {
		t.Errorf("a bomb took %d bytes", cost)
	}
}

// gigabyte is a thousand times a compressed megabyte of zeros: what follows the first
// is the same each time.
func gigabyte() string {
	var out bytes.Buffer
	w := must(flate.NewWriter(&out, flate.BestCompression))
	var ends []int
	for range 3 {
		must(w.Write(make([]byte, 1<<20)))
		if err := w.Flush(); err != nil {
			panic(err)
		}
		ends = append(ends, out.Len())
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	text := out.String()
	return text[:ends[1]] + strings.Repeat(text[ends[1]:ends[2]], 1000) + text[ends[2]:]
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
func attackIterations(t *testing.T) {
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
		took := time.Hour
		for range 3 { // the fastest counts: the machine may be busy
			start := time.Now()
			refuses(t, "p2c "+row.p2c, password(`"p2s":"AAAAAAAAAAA","p2c":`+row.p2c), key, jwe.DecryptOptions{}, row.want)
			took = min(took, time.Since(start))
		}
		if took > 100*time.Millisecond {
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
func attackDots(t *testing.T) {
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
func attackOddMessages(t *testing.T) {
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
