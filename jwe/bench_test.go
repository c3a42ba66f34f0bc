package jwe_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
)

// A floor is what no library can go below, for one pair of algorithms: base64 of
// the parts and the bare cryptography, with keys that are ready for use.
type floor struct {
	name  string
	alg   jwa.Algorithm
	enc   jwa.Encryption
	key   *jwk.Key
	unkey func(f *floor, p *floorParts) cipher.AEAD           // of the decrypting side
	rekey func(f *floor) (aead cipher.AEAD, encrypted []byte) // of the encrypting side

	kek     []byte
	block   cipher.Block
	aead    cipher.AEAD
	private *ecdh.PrivateKey
	rsa     *rsa.PrivateKey
}

type floorParts struct{ encrypted, iv, sealed, aad []byte }

var plaintext451 = bytes.Repeat([]byte("eleven byte"), 41)

func floors(tb testing.TB) []*floor {
	curve := func(c ecdh.Curve) *ecdh.PrivateKey { return must(c.GenerateKey(rand.Reader)) }
	all := []*floor{
		{name: "dir+A256GCM", alg: jwa.Dir, enc: jwa.A256GCM, kek: randomBytes(32), unkey: floorDirect, rekey: floorDirectSeal},
		{name: "dir+A128CBC-HS256", alg: jwa.Dir, enc: jwa.A128CBCHS256, kek: randomBytes(32), unkey: floorDirect, rekey: floorDirectSeal},
		{name: "A256KW+A256GCM", alg: jwa.A256KW, enc: jwa.A256GCM, kek: randomBytes(32), unkey: floorUnwrap, rekey: floorWrap},
		{name: "A256GCMKW+A256GCM", alg: jwa.A256GCMKW, enc: jwa.A256GCM, kek: randomBytes(32), unkey: floorUnwrapGCM, rekey: floorWrapGCM},
		{name: "RSA-OAEP-256+A256GCM", alg: jwa.RSAOAEP256, enc: jwa.A256GCM, rsa: must(rsa.GenerateKey(rand.Reader, 2048)), unkey: floorUnwrapRSA, rekey: floorWrapRSA},
		{name: "ECDH-ES+A256GCM/P-256", alg: jwa.ECDHES, enc: jwa.A256GCM, private: curve(ecdh.P256()), unkey: floorAgreed, rekey: floorAgree},
		{name: "ECDH-ES+A256GCM/X25519", alg: jwa.ECDHES, enc: jwa.A256GCM, private: curve(ecdh.X25519()), unkey: floorAgreed, rekey: floorAgree},
		{name: "PBES2-HS256+A128KW+A128GCM", alg: jwa.PBES2HS256A128KW, enc: jwa.A128GCM, kek: randomBytes(16), unkey: floorPassword, rekey: floorPasswordWrap},
	}
	for _, f := range all {
		material := any(f.kek)
		switch {
		case f.private != nil:
			material = f.private
		case f.rsa != nil:
			material = f.rsa
		default:
			f.block = must(aes.NewCipher(f.kek))
			f.aead = must(cipher.NewGCM(f.block))
		}
		f.key = must(jwk.New(material, jwk.Params{Algorithm: f.alg}))
		if f.enc == jwa.A128CBCHS256 {
			f.aead = newPlainCBC(f.kek)
		}
	}
	return all
}

func (f *floor) options() jwe.EncryptOptions {
	o := jwe.EncryptOptions{Encryption: f.enc}
	if f.alg == jwa.PBES2HS256A128KW {
		o.Iterations = 1000 // the fewest: what is not PBKDF2 weighs the most
	}
	return o
}

// BenchmarkDecrypt measures in turns, so that whatever else the machine does
// hits both alike, and reports the ratio to the floor.
func BenchmarkDecrypt(b *testing.B) {
	for _, f := range floors(b) {
		b.Run(f.name, func(b *testing.B) {
			token := must(jwe.Encrypt(plaintext451, f.key, f.options()))
			d := must(jwe.NewDecrypter(f.key, jwe.DecryptOptions{}))
			ctx := context.Background()
			inTurns(b, func() {
				if m, err := d.Decrypt(ctx, token); err != nil || len(m.Plaintext) != len(plaintext451) {
					b.Fatal(err)
				}
			}, func() {
				if !f.decrypt(token) {
					b.Fatal("the floor does not decrypt")
				}
			})
		})
	}
}

func BenchmarkEncrypt(b *testing.B) {
	for _, f := range floors(b) {
		b.Run(f.name, func(b *testing.B) {
			e := must(jwe.NewEncrypter(f.key, f.options()))
			header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + f.alg + `","enc":"` + jwa.Algorithm(f.enc) + `"}`))
			inTurns(b, func() {
				if _, err := e.Encrypt(plaintext451); err != nil {
					b.Fatal(err)
				}
			}, func() { f.encrypt(header) })
		})
	}
}

// inTurns runs both sides in short rounds, one after the other, and reports the
// fastest round of each, which is the one that was disturbed least.
func inTurns(b *testing.B, ours, floor func()) {
	round := func(f func(), n int) time.Duration {
		start := time.Now()
		for range n {
			f()
		}
		return time.Since(start) / time.Duration(n)
	}
	ours()
	n := int(max(1, 200*time.Microsecond/max(1, round(floor, 3))))
	var mine, bare []time.Duration
	for b.Loop() {
		mine, bare = append(mine, round(ours, n)), append(bare, round(floor, n))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(median(mine)), "ours-ns")
	b.ReportMetric(float64(median(bare)), "floor-ns")
	b.ReportMetric(float64(median(mine))/float64(median(bare)), "ratio")
	b.ReportMetric(float64(slices.Min(mine))/float64(slices.Min(bare)), "ratio-min")
	b.ReportMetric(testing.AllocsPerRun(20, ours), "ours-allocs")
	b.ReportMetric(testing.AllocsPerRun(20, floor), "floor-allocs")
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func (f *floor) decrypt(token string) bool {
	message := []byte(token)
	buffer := make([]byte, 0, len(message)) // for all parts
	var p floorParts
	next := func(into []byte) []byte {
		part := message
		if dot := bytes.IndexByte(message, '.'); dot >= 0 {
			part, message = message[:dot], message[dot+1:]
		}
		if into == nil {
			return part
		}
		return decode64(into, part)
	}
	p.aad = next(nil)
	p.encrypted = next(buffer)
	p.iv = next(p.encrypted[len(p.encrypted):])
	p.sealed = next(next(p.iv[len(p.iv):]))
	plaintext, err := f.unkey(f, &p).Open(nil, p.iv, p.sealed, p.aad)
	return err == nil && len(plaintext) == len(plaintext451)
}

func decode64(dst, encoded []byte) []byte {
	return must(base64.RawURLEncoding.AppendDecode(dst, encoded))
}

func (f *floor) encrypt(header string) string {
	aead, encrypted := f.rekey(f)
	iv := randomBytes(aead.NonceSize())
	out := make([]byte, 0, 2048)
	out = append(out, header...)
	sealed := aead.Seal(nil, iv, plaintext451, out)
	tag := len(sealed) - 16
	for _, part := range [][]byte{encrypted, iv, sealed[:tag], sealed[tag:]} {
		out = base64.RawURLEncoding.AppendEncode(append(out, '.'), part)
	}
	return string(out)
}

func floorDirect(f *floor, _ *floorParts) cipher.AEAD { return f.aead }
func floorDirectSeal(f *floor) (cipher.AEAD, []byte)  { return f.aead, nil }
func newGCM(key []byte) cipher.AEAD                   { return must(cipher.NewGCM(must(aes.NewCipher(key)))) }
func floorUnwrap(f *floor, p *floorParts) cipher.AEAD {
	return newGCM(plainUnwrap(f.block, p.encrypted))
}
func randomBytes(n int) []byte                             { b := make([]byte, n); _, _ = rand.Read(b); return b }
func (f *floor) parameters(p *floorParts) (m headerValues) { m.read(p.aad); return m }

func floorWrap(f *floor) (cipher.AEAD, []byte) {
	cek := randomBytes(32)
	return newGCM(cek), plainWrap(f.block, cek)
}

func floorWrapGCM(f *floor) (cipher.AEAD, []byte) {
	cek := randomBytes(32)
	return newGCM(cek), f.aead.Seal(nil, randomBytes(12), cek, nil)
}

// headerValues are the parameters that stand in the header. Every library must
// read it; the floor looks for them without understanding JSON.
type headerValues struct{ iv, tag, x, y, salt []byte }

func (m *headerValues) read(encoded []byte) {
	raw := decode64(nil, encoded)
	for _, v := range []struct {
		name string
		into *[]byte
	}{{`"iv":"`, &m.iv}, {`"tag":"`, &m.tag}, {`"x":"`, &m.x}, {`"y":"`, &m.y}, {`"p2s":"`, &m.salt}} {
		if _, rest, ok := bytes.Cut(raw, []byte(v.name)); ok {
			*v.into = decode64(nil, rest[:bytes.IndexByte(rest, '"')])
		}
	}
}

func floorUnwrapGCM(f *floor, p *floorParts) cipher.AEAD {
	m := f.parameters(p)
	return newGCM(must(f.aead.Open(nil, m.iv, slices.Concat(p.encrypted, m.tag), nil)))
}

func floorUnwrapRSA(f *floor, p *floorParts) cipher.AEAD {
	return newGCM(must(rsa.DecryptOAEP(sha256.New(), nil, f.rsa, p.encrypted, nil)))
}

func floorWrapRSA(f *floor) (cipher.AEAD, []byte) {
	cek := randomBytes(32)
	return newGCM(cek), must(rsa.EncryptOAEP(sha256.New(), rand.Reader, &f.rsa.PublicKey, cek, nil))
}

func floorAgreed(f *floor, p *floorParts) cipher.AEAD {
	m := f.parameters(p)
	point := m.x
	if m.y != nil {
		point = slices.Concat([]byte{4}, m.x, m.y)
	}
	peer := must(f.private.Curve().NewPublicKey(point))
	return newGCM(plainConcat(must(f.private.ECDH(peer)), "A256GCM", 32))
}

func floorAgree(f *floor) (cipher.AEAD, []byte) {
	ephemeral := must(f.private.Curve().GenerateKey(rand.Reader))
	return newGCM(plainConcat(must(ephemeral.ECDH(f.private.PublicKey())), "A256GCM", 32)), nil
}

func floorPassword(f *floor, p *floorParts) cipher.AEAD {
	m := f.parameters(p)
	kek := must(pbkdf2.Key(sha256.New, string(f.kek), append([]byte("PBES2-HS256+A128KW\x00"), m.salt...), 1000, 16))
	return newGCM(plainUnwrap(must(aes.NewCipher(kek)), p.encrypted))
}

func floorPasswordWrap(f *floor) (cipher.AEAD, []byte) {
	kek := must(pbkdf2.Key(sha256.New, string(f.kek), append([]byte("PBES2-HS256+A128KW\x00"), randomBytes(16)...), 1000, 16))
	cek := randomBytes(16)
	return newGCM(cek), plainWrap(must(aes.NewCipher(kek)), cek)
}

// plainConcat is the Concat KDF for keys of up to 32 bytes and unnamed parties.
func plainConcat(z []byte, name string, size int) []byte {
	b := append([]byte{0, 0, 0, 1}, z...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(name))), name...)
	b = binary.BigEndian.AppendUint32(append(b, make([]byte, 8)...), uint32(size*8))
	sum := sha256.Sum256(b)
	return sum[:size]
}

// plainWrap and plainUnwrap are RFC 3394 written down once more, as its §2.2
// has it, so that the package is not measured against itself.
func plainWrap(block cipher.Block, key []byte) []byte {
	out := append(bytes.Repeat([]byte{0xA6}, 8), key...)
	n, b := len(key)/8, make([]byte, 16)
	for t := 1; t <= 6*n; t++ {
		r := out[8*((t-1)%n+1):][:8]
		block.Encrypt(b, append(append(b[:0], out[:8]...), r...))
		b[7] ^= byte(t)
		copy(out, b[:8])
		copy(r, b[8:])
	}
	return out
}

func plainUnwrap(block cipher.Block, wrapped []byte) []byte {
	out := bytes.Clone(wrapped)
	n, b := len(wrapped)/8-1, make([]byte, 16)
	for t := 6 * n; t > 0; t-- {
		r := out[8*((t-1)%n+1):][:8]
		b = append(append(b[:0], out[:8]...), r...)
		b[7] ^= byte(t)
		block.Decrypt(b, b)
		copy(out, b[:8])
		copy(r, b[8:])
	}
	return out[8:]
}

// plainCBC is A128CBC-HS256 with an HMAC state that is set up once.
type plainCBC struct {
	cipher.AEAD
	block cipher.Block
	mac   func(aad, iv, ciphertext []byte) []byte
}

func newPlainCBC(key []byte) cipher.AEAD {
	mac, sum := hmac.New(sha256.New, key[:16]), make([]byte, 0, 32)
	return &plainCBC{block: must(aes.NewCipher(key[16:])), mac: func(aad, iv, ciphertext []byte) []byte {
		mac.Reset()
		mac.Write(aad)
		mac.Write(iv)
		mac.Write(ciphertext)
		mac.Write(binary.BigEndian.AppendUint64(sum, uint64(8*len(aad))))
		return mac.Sum(sum)[:16]
	}}
}

func (c *plainCBC) NonceSize() int { return 16 }

func (c *plainCBC) Seal(_, iv, plaintext, aad []byte) []byte {
	padding := 16 - len(plaintext)%16
	out := make([]byte, len(plaintext)+padding, len(plaintext)+padding+16)
	copy(out, plaintext)
	copy(out[len(plaintext):], bytes.Repeat([]byte{byte(padding)}, padding))
	cipher.NewCBCEncrypter(c.block, iv).CryptBlocks(out, out)
	return append(out, c.mac(aad, iv, out)...)
}

func (c *plainCBC) Open(_, iv, sealed, aad []byte) ([]byte, error) {
	ciphertext, tag := sealed[:len(sealed)-16], sealed[len(sealed)-16:]
	if !hmac.Equal(c.mac(aad, iv, ciphertext), tag) {
		return nil, jwe.ErrDecryption
	}
	out := make([]byte, len(ciphertext))
	cipher.NewCBCDecrypter(c.block, iv).CryptBlocks(out, ciphertext)
	return out[:len(out)-int(out[len(out)-1])], nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestFloors keeps the floors honest: they read what the package writes.
func TestFloors(t *testing.T) {
	for _, f := range floors(t) {
		token := must(jwe.Encrypt(plaintext451, f.key, f.options()))
		if !f.decrypt(token) {
			t.Errorf("%s: the floor does not decrypt", f.name)
		}
		if f.alg == jwa.Dir || f.alg == jwa.A256KW || f.alg == jwa.RSAOAEP256 { // nothing of its own in the header
			header := base64.RawURLEncoding.EncodeToString(must(json.Marshal(map[string]string{"alg": string(f.alg), "enc": string(f.enc)})))
			m, err := jwe.Decrypt(context.Background(), f.encrypt(header), f.key, jwe.DecryptOptions{})
			if err != nil || !bytes.Equal(m.Plaintext, plaintext451) {
				t.Errorf("%s: %v", f.name, err)
			}
		}
		if strings.Count(token, ".") != 4 {
			t.Errorf("%s: %s", f.name, token)
		}
	}
}
