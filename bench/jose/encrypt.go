package main

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"strings"

	"github.com/go-jose/go-jose/v4"
	jwxjwa "github.com/lestrrat-go/jwx/v3/jwa"
	jwxjwe "github.com/lestrrat-go/jwx/v3/jwe"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
)

// A lock is a pair of algorithms, with one key in the forms that the libraries want.
type lock struct {
	alg   jwa.Algorithm
	enc   jwa.Encryption
	curve jwa.Curve // of a key agreement

	secret  []byte
	rsa     *rsa.PrivateKey
	ecdsa   *ecdsa.PrivateKey // of P-256, as go-jose and jwx take it
	private *ecdh.PrivateKey
	key     *jwk.Key
}

// locks are what is measured: each way to hand over a key, with both kinds of
// content encryption.
func locks() []*lock {
	var all []*lock
	for _, l := range []lock{
		{alg: jwa.Dir}, {alg: jwa.A256KW}, {alg: jwa.A256GCMKW}, {alg: jwa.RSAOAEP256},
		{alg: jwa.ECDHES, curve: jwa.P256}, {alg: jwa.ECDHES, curve: jwa.X25519},
		{alg: jwa.ECDHESA256KW, curve: jwa.P256}, {alg: jwa.ECDHESA256KW, curve: jwa.X25519},
	} {
		for _, enc := range []jwa.Encryption{jwa.A256GCM, jwa.A128CBCHS256} {
			all = append(all, newLock(l.alg, enc, l.curve))
		}
	}
	return all
}

func newLock(alg jwa.Algorithm, enc jwa.Encryption, curve jwa.Curve) *lock {
	l := &lock{alg: alg, enc: enc, curve: curve}
	var material any
	var err error
	switch {
	case alg == jwa.RSAOAEP256:
		l.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
		material = l.rsa
	case curve == jwa.P256:
		l.ecdsa, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		check(err)
		l.private, err = l.ecdsa.ECDH()
		material = l.private
	case curve == jwa.X25519:
		l.private, err = ecdh.X25519().GenerateKey(rand.Reader)
		material = l.private
	default:
		l.secret = random(32)
		material = l.secret
	}
	check(err)
	l.key, err = jwk.New(material, jwk.Params{Algorithm: alg})
	check(err)
	return l
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func (l *lock) name() string {
	name := string(l.alg) + "+" + string(l.enc)
	if l.curve != "" {
		name += "/" + string(l.curve)
	}
	return name
}

// sending and receiving are the halves of the key as go-jose and jwx take them.
func (l *lock) sending() any {
	switch {
	case l.rsa != nil:
		return &l.rsa.PublicKey
	case l.ecdsa != nil:
		return &l.ecdsa.PublicKey
	case l.private != nil:
		return l.private.PublicKey()
	}
	return l.secret
}

func (l *lock) receiving() any {
	switch {
	case l.rsa != nil:
		return l.rsa
	case l.ecdsa != nil:
		return l.ecdsa
	case l.private != nil:
		return l.private
	}
	return l.secret
}

// competeEncryption measures JWE on the claims that the signatures are measured on.
func competeEncryption() {
	plaintext, err := json.Marshal(sampleOurs(tokenID))
	check(err)
	for _, l := range locks() {
		if !strings.Contains("decrypt/"+l.name()+" encrypt/"+l.name(), *only) {
			continue
		}
		token, err := jwe.Encrypt(plaintext, l.key, jwe.EncryptOptions{Encryption: l.enc})
		check(err)
		l.agree(plaintext, token)
		decrypt := []contender{{"floor", l.floorDecrypt(token)}, {"ostiary", l.ourDecrypt(token)}, {"jwx", l.jwxDecrypt(token)}}
		encrypt := []contender{{"floor", l.floorEncrypt(plaintext)}, {"ostiary", l.ourEncrypt(plaintext)}, {"jwx", l.jwxEncrypt(plaintext)}}
		if l.curve != jwa.X25519 { // which go-jose does not have
			decrypt = append(decrypt, contender{"go-jose", l.joseDecrypt(token)})
			encrypt = append(encrypt, contender{"go-jose", l.joseEncrypt(plaintext)})
		}
		compete("decrypt/"+l.name(), decrypt)
		compete("encrypt/"+l.name(), encrypt)
	}
}

// agree ends the run if the floor and the library do not read each other.
func (l *lock) agree(plaintext []byte, token string) {
	f := newFloor(l)
	if text, err := f.decrypt([]byte(token)); err != nil || !bytes.Equal(text, plaintext) {
		check(errMismatch)
	}
	token, err := f.encrypt(plaintext)
	check(err)
	m, err := jwe.Decrypt(context.Background(), token, l.key, jwe.DecryptOptions{})
	check(err)
	if !bytes.Equal(m.Plaintext, plaintext) {
		check(errMismatch)
	}
}

func (l *lock) floorDecrypt(token string) func() error {
	f, message := newFloor(l), []byte(token)
	return func() error {
		_, err := f.decrypt(message)
		return err
	}
}

func (l *lock) floorEncrypt(plaintext []byte) func() error {
	f := newFloor(l)
	return func() (err error) {
		kept, err = f.encrypt(plaintext)
		return err
	}
}

func (l *lock) ourDecrypt(token string) func() error {
	d, err := jwe.NewDecrypter(l.key, jwe.DecryptOptions{Algorithms: []jwa.Algorithm{l.alg}, Encryptions: []jwa.Encryption{l.enc}})
	check(err)
	ctx := context.Background()
	return func() error {
		_, err := d.Decrypt(ctx, token)
		return err
	}
}

func (l *lock) ourEncrypt(plaintext []byte) func() error {
	e, err := jwe.NewEncrypter(l.key, jwe.EncryptOptions{Encryption: l.enc})
	check(err)
	return func() (err error) {
		kept, err = e.Encrypt(plaintext)
		return err
	}
}

func (l *lock) joseDecrypt(token string) func() error {
	algorithms, encryptions := []jose.KeyAlgorithm{jose.KeyAlgorithm(l.alg)}, []jose.ContentEncryption{jose.ContentEncryption(l.enc)}
	return func() error {
		parsed, err := jose.ParseEncryptedCompact(token, algorithms, encryptions)
		if err != nil {
			return err
		}
		_, err = parsed.Decrypt(l.receiving())
		return err
	}
}

func (l *lock) joseEncrypt(plaintext []byte) func() error {
	e, err := jose.NewEncrypter(jose.ContentEncryption(l.enc), jose.Recipient{Algorithm: jose.KeyAlgorithm(l.alg), Key: l.sending()}, nil)
	check(err)
	return func() error {
		m, err := e.Encrypt(plaintext)
		if err != nil {
			return err
		}
		kept, err = m.CompactSerialize()
		return err
	}
}

func (l *lock) jwxKey(key any) jwxjwe.EncryptDecryptOption {
	alg, ok := jwxjwa.LookupKeyEncryptionAlgorithm(string(l.alg))
	if !ok {
		panic(l.alg)
	}
	return jwxjwe.WithKey(alg, key)
}

func (l *lock) jwxDecrypt(token string) func() error {
	text, key := []byte(token), l.jwxKey(l.receiving())
	return func() error {
		_, err := jwxjwe.Decrypt(text, key)
		return err
	}
}

func (l *lock) jwxEncrypt(plaintext []byte) func() error {
	enc, ok := jwxjwa.LookupContentEncryptionAlgorithm(string(l.enc))
	if !ok {
		panic(l.enc)
	}
	key, content := l.jwxKey(l.sending()), jwxjwe.WithContentEncryption(enc)
	return func() error {
		text, err := jwxjwe.Encrypt(plaintext, key, content)
		kept = string(text)
		return err
	}
}
