package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"

	"github.com/ostiary/ostiary/jwa"
)

// A floor encrypts and decrypts with nothing but base64 and the cryptography of the
// standard library, as for the signatures: what belongs to a key and not to a message is
// set up once, memory is fresh for each message, and JSON is neither read nor written.
// Where a header has parameters of its message, they are found and put by their place;
// another header is not even decoded.
type floor struct {
	*lock
	block   cipher.Block // of the secret
	aead    cipher.AEAD  // of the secret, or of "dir"
	content func(cek []byte) (cipher.AEAD, error)
	cekSize int
	header  string // encoded, if it is the same for all messages
}

func newFloor(l *lock) *floor {
	f := &floor{lock: l, content: newGCM, cekSize: 32}
	if l.enc == jwa.A128CBCHS256 {
		f.content = newCBC
	}
	var err error
	switch l.alg {
	case jwa.Dir:
		f.aead, err = f.content(l.secret)
	case jwa.A256KW:
		f.block, err = aes.NewCipher(l.secret)
	case jwa.A256GCMKW:
		f.aead, err = newGCM(l.secret)
	}
	check(err)
	if l.private == nil && l.alg != jwa.A256GCMKW {
		f.header = url.EncodeToString([]byte(`{"alg":"` + string(l.alg) + `","enc":"` + string(l.enc) + `"}`))
	}
	return f
}

func (f *floor) encrypt(plaintext []byte) (string, error) {
	aead, encrypted, members, err := f.lockKey()
	if err != nil {
		return "", err
	}
	iv, sealed := random(aead.NonceSize()), make([]byte, 0, len(plaintext)+aead.Overhead())
	out := make([]byte, 0, 2*len(plaintext)+len(f.header)+2*len(encrypted)+2*len(members))
	if f.header != "" {
		out = append(out, f.header...)
	} else {
		raw := append(append(append(sealed, `{"alg":"`...), f.alg...), `","enc":"`...)
		out = url.AppendEncode(out, append(append(append(append(raw, f.enc...), '"'), members...), '}'))
	}
	sealed = aead.Seal(sealed, iv, plaintext, out)
	tag := len(sealed) - 16
	for _, part := range [][]byte{encrypted, iv, sealed[:tag], sealed[tag:]} {
		out = url.AppendEncode(append(out, '.'), part)
	}
	return string(out), nil
}

// lockKey makes the key of one message: the content encryption, the encrypted key and
// the members of the header that tell of it.
func (f *floor) lockKey() (aead cipher.AEAD, encrypted, members []byte, err error) {
	switch f.alg {
	case jwa.Dir:
		return f.aead, nil, nil, nil
	case jwa.ECDHES:
		var agreed []byte
		if agreed, members, err = f.agreeNew(); err == nil {
			aead, err = f.content(agreed)
		}
		return aead, nil, members, err
	}
	cek := random(f.cekSize)
	switch f.alg {
	case jwa.A256KW:
		encrypted = wrapKey(f.block, cek)
	case jwa.A256GCMKW:
		iv := random(12)
		out := f.aead.Seal(nil, iv, cek, nil)
		encrypted = out[:f.cekSize]
		members = append(url.AppendEncode(append(members, `,"iv":"`...), iv), `","tag":"`...)
		members = append(url.AppendEncode(members, out[f.cekSize:]), '"')
	case jwa.RSAOAEP256:
		encrypted, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, &f.rsa.PublicKey, cek, nil)
	case jwa.ECDHESA256KW:
		var agreed []byte
		var block cipher.Block
		if agreed, members, err = f.agreeNew(); err == nil {
			if block, err = aes.NewCipher(agreed); err == nil {
				encrypted = wrapKey(block, cek)
			}
		}
	}
	if err == nil {
		aead, err = f.content(cek)
	}
	return aead, encrypted, members, err
}

func (f *floor) decrypt(message []byte) ([]byte, error) {
	aad := message[:bytes.IndexByte(message, '.')]
	buffer := make([]byte, 0, len(message))
	var parts [5][]byte
	for i := range parts {
		part := message
		if dot := bytes.IndexByte(message, '.'); dot >= 0 {
			part, message = message[:dot], message[dot+1:]
		}
		if i == 0 && f.header != "" {
			continue // it is known
		}
		start := len(buffer)
		var err error
		if buffer, err = url.AppendDecode(buffer, part); err != nil {
			return nil, err
		}
		parts[i] = buffer[start:]
	}
	aead, err := f.unlockKey(parts[0], parts[1])
	if err != nil {
		return nil, err
	}
	sealed := append(parts[3], parts[4]...) // where it lies already
	return aead.Open(nil, parts[2], sealed, aad)
}

func (f *floor) unlockKey(header, encrypted []byte) (cipher.AEAD, error) {
	var cek []byte
	var err error
	switch f.alg {
	case jwa.Dir:
		return f.aead, nil
	case jwa.A256KW:
		cek = unwrapKey(f.block, encrypted)
	case jwa.A256GCMKW:
		cek, err = f.aead.Open(nil, valueOf(header, `"iv":"`), slices.Concat(encrypted, valueOf(header, `"tag":"`)), nil)
	case jwa.RSAOAEP256:
		cek, err = rsa.DecryptOAEP(sha256.New(), nil, f.rsa, encrypted, nil)
	case jwa.ECDHES:
		cek, err = f.agreed(header)
	case jwa.ECDHESA256KW:
		var kek []byte
		if kek, err = f.agreed(header); err == nil {
			var block cipher.Block
			if block, err = aes.NewCipher(kek); err == nil {
				cek = unwrapKey(block, encrypted)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return f.content(cek)
}

// valueOf returns the decoded value behind a name.
func valueOf(header []byte, name string) []byte {
	_, rest, ok := bytes.Cut(header, []byte(name))
	if !ok {
		return nil
	}
	value, err := url.AppendDecode(nil, rest[:bytes.IndexByte(rest, '"')])
	check(err)
	return value
}

func (f *floor) agreeNew() (key, members []byte, err error) {
	ephemeral, err := f.private.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	shared, err := ephemeral.ECDH(f.private.PublicKey())
	if err != nil {
		return nil, nil, err
	}
	point := ephemeral.PublicKey().Bytes()
	if f.curve == jwa.X25519 {
		members = append(url.AppendEncode(append(members, `,"epk":{"kty":"OKP","crv":"X25519","x":"`...), point), `"}`...)
	} else {
		members = url.AppendEncode(append(members, `,"epk":{"kty":"EC","crv":"P-256","x":"`...), point[1:33])
		members = append(url.AppendEncode(append(members, `","y":"`...), point[33:]), `"}`...)
	}
	return f.concat(shared), members, nil
}

func (f *floor) agreed(header []byte) ([]byte, error) {
	point := valueOf(header, `"x":"`)
	if f.curve == jwa.P256 {
		point = slices.Concat([]byte{4}, point, valueOf(header, `"y":"`))
	}
	public, err := f.private.Curve().NewPublicKey(point)
	if err != nil {
		return nil, err
	}
	shared, err := f.private.ECDH(public)
	if err != nil {
		return nil, err
	}
	return f.concat(shared), nil
}

// concat is the Concat KDF of RFC 7518 §4.6.2 for 32 bytes and parties without names.
func (f *floor) concat(z []byte) []byte {
	name := string(f.enc)
	if f.alg == jwa.ECDHESA256KW {
		name = string(f.alg)
	}
	b := append(make([]byte, 0, 128), 0, 0, 0, 1)
	b = binary.BigEndian.AppendUint32(append(b, z...), uint32(len(name)))
	b = append(append(b, name...), 0, 0, 0, 0, 0, 0, 0, 0)
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(b, 256))
	return sum[:]
}

// wrapKey and unwrapKey are RFC 3394 §2.2 as it stands there.
func wrapKey(block cipher.Block, key []byte) []byte {
	out := make([]byte, 8+len(key)+16)
	out, b := out[:8+len(key)], out[8+len(key):]
	copy(out[8:], key)
	copy(b, "\xa6\xa6\xa6\xa6\xa6\xa6\xa6\xa6")
	n := len(key) / 8
	for t := 1; t <= 6*n; t++ {
		r := out[8*((t-1)%n+1):][:8]
		copy(b[8:], r)
		block.Encrypt(b, b)
		b[7] ^= byte(t)
		copy(r, b[8:])
	}
	copy(out, b[:8])
	return out
}

func unwrapKey(block cipher.Block, wrapped []byte) []byte {
	out := make([]byte, len(wrapped)+16)
	out, b := out[:len(wrapped)], out[len(wrapped):]
	copy(out, wrapped)
	copy(b, wrapped[:8])
	n := len(wrapped)/8 - 1
	for t := 6 * n; t > 0; t-- {
		r := out[8*((t-1)%n+1):][:8]
		b[7] ^= byte(t)
		copy(b[8:], r)
		block.Decrypt(b, b)
		copy(r, b[8:])
	}
	return out[8:]
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// floorCBC is A128CBC-HS256, RFC 7518 §5.2.
type floorCBC struct {
	block cipher.Block
	mac   hash.Hash
	used  bool
	sum   [32]byte
}

func newCBC(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[16:])
	return &floorCBC{block: block, mac: hmac.New(sha256.New, key[:16])}, err
}

func (c *floorCBC) NonceSize() int { return 16 }
func (c *floorCBC) Overhead() int  { return 32 }

func (c *floorCBC) tag(iv, ciphertext, aad []byte) []byte {
	if c.used {
		c.mac.Reset()
	}
	c.used = true
	c.mac.Write(aad)
	c.mac.Write(iv)
	c.mac.Write(ciphertext)
	c.mac.Write(binary.BigEndian.AppendUint64(c.sum[:0], uint64(8*len(aad))))
	return c.mac.Sum(c.sum[:0])[:16]
}

func (c *floorCBC) Seal(dst, iv, plaintext, aad []byte) []byte {
	padding := 16 - len(plaintext)%16
	dst = append(slices.Grow(dst, len(plaintext)+32), plaintext...)
	for range padding {
		dst = append(dst, byte(padding))
	}
	cipher.NewCBCEncrypter(c.block, iv).CryptBlocks(dst, dst)
	return append(dst, c.tag(iv, dst, aad)...)
}

func (c *floorCBC) Open(_, iv, sealed, aad []byte) ([]byte, error) {
	ciphertext, tag := sealed[:len(sealed)-16], sealed[len(sealed)-16:]
	if !hmac.Equal(c.tag(iv, ciphertext, aad), tag) {
		return nil, errMismatch
	}
	text := make([]byte, len(ciphertext))
	cipher.NewCBCDecrypter(c.block, iv).CryptBlocks(text, ciphertext)
	return text[:len(text)-int(text[len(text)-1])], nil
}
