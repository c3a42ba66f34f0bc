package jwe_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// Whoever has the public key can write; only the owner of the private key reads.
func Example() {
	key, err := jwk.Generate(jwa.RSAOAEP256)
	if err != nil {
		log.Fatal(err)
	}
	public, err := key.Public()
	if err != nil {
		log.Fatal(err)
	}

	message, err := jwe.Encrypt([]byte("Deliver 40 crates to dock 7."), public, jwe.EncryptOptions{})
	if err != nil {
		log.Fatal(err)
	}
	decrypted, err := jwe.Decrypt(context.Background(), message, key, jwe.DecryptOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(decrypted.Header.Algorithm, decrypted.Header.Encryption)
	fmt.Printf("%s\n", decrypted.Plaintext)
	// Output:
	// RSA-OAEP-256 A256GCM
	// Deliver 40 crates to dock 7.
}

// A secret that encrypts the messages themselves makes the shortest and the
// fastest: for what an application gives to a browser and gets back.
func ExampleNewEncrypter() {
	secret, err := jwk.Generate(jwa.Algorithm(jwa.A256GCM)) // for "dir" with A256GCM
	if err != nil {
		log.Fatal(err)
	}
	encrypter, err := jwe.NewEncrypter(secret, jwe.EncryptOptions{Type: "cart"})
	if err != nil {
		log.Fatal(err)
	}
	decrypter, err := jwe.NewDecrypter(secret, jwe.DecryptOptions{})
	if err != nil {
		log.Fatal(err)
	}

	// Both are safe for concurrent use, and are kept.
	message, err := encrypter.Encrypt([]byte(`{"pears":3}`))
	if err != nil {
		log.Fatal(err)
	}
	cart, err := decrypter.Decrypt(context.Background(), message)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s\n", cart.Header.Type, cart.Plaintext)

	_, err = decrypter.Decrypt(context.Background(), strings.Replace(message, "..", "..A", 1))
	fmt.Println(err != nil)
	// Output:
	// cart {"pears":3}
	// true
}

// A key on X25519, and what the two sides are called.
func ExampleEncrypt_agreement() {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	key, err := jwk.New(private, jwk.Params{ID: "bob-1", Use: jwk.UseEncryption})
	if err != nil {
		log.Fatal(err)
	}
	public, err := key.Public()
	if err != nil {
		log.Fatal(err)
	}
	message, err := jwe.Encrypt([]byte("Hello Bob"), public, jwe.EncryptOptions{
		Algorithm: jwa.ECDHESA256KW, PartyU: []byte("Alice"), PartyV: []byte("Bob"),
	})
	if err != nil {
		log.Fatal(err)
	}
	decrypted, err := jwe.Decrypt(context.Background(), message, key, jwe.DecryptOptions{
		Algorithms: []jwa.Algorithm{jwa.ECDHES, jwa.ECDHESA256KW},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", decrypted.Header.KeyID, decrypted.Plaintext)
	// Output: bob-1: Hello Bob
}

// A password is a key that says so. Its sender chooses how much work a guess is,
// and the reader how much work is too much.
func ExampleDecrypt_password() {
	password, err := jwk.New([]byte("correct horse battery staple"), jwk.Params{Algorithm: jwa.PBES2HS256A128KW})
	if err != nil {
		log.Fatal(err)
	}
	message, err := jwe.Encrypt([]byte("a private key"), password, jwe.EncryptOptions{Iterations: 100_000})
	if err != nil {
		log.Fatal(err)
	}
	decrypted, err := jwe.Decrypt(context.Background(), message, password, jwe.DecryptOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", decrypted.Plaintext)

	_, err = jwe.Decrypt(context.Background(), message, password, jwe.DecryptOptions{MaxIterations: 10_000})
	fmt.Println(errors.Is(err, jwe.ErrTooCostly))
	// Output:
	// a private key
	// true
}

// One message to several keys, with data beside it that all can read and nobody
// can change.
func ExampleEncryptJSON() {
	var keys []*jwk.Key
	for _, alg := range []jwa.Algorithm{jwa.ECDHESA128KW, jwa.A256KW} {
		key, err := jwk.Generate(alg)
		if err != nil {
			log.Fatal(err)
		}
		keys = append(keys, key)
	}
	message, err := jwe.EncryptJSON([]byte("Dock 7"), []byte("order 4711"), keys, jwe.EncryptOptions{})
	if err != nil {
		log.Fatal(err)
	}
	// Several recipients, and what is said of each, must be asked for.
	decrypted, err := jwe.DecryptJSON(context.Background(), message, keys[1], jwe.DecryptOptions{
		MaxRecipients: 2, UnprotectedHeader: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("recipient %d: %s, %s\n", decrypted.Recipient, decrypted.AdditionalData, decrypted.Plaintext)
	// Output: recipient 1: order 4711, Dock 7
}

// Encryption keeps a secret and proves nothing. Who wants to know who wrote a
// message signs it first and then encrypts the result. For claims, jwt.SignNested does both.
func Example_signed() {
	sender, err := jwk.Generate(jwa.ES256)
	if err != nil {
		log.Fatal(err)
	}
	recipient, err := jwk.Generate(jwa.ECDHES)
	if err != nil {
		log.Fatal(err)
	}
	signed, err := jws.Sign([]byte("It is me."), sender, jws.SignOptions{})
	if err != nil {
		log.Fatal(err)
	}
	message, err := jwe.Encrypt([]byte(signed), recipient, jwe.EncryptOptions{ContentType: "JOSE"})
	if err != nil {
		log.Fatal(err)
	}

	decrypted, err := jwe.Decrypt(context.Background(), message, recipient, jwe.DecryptOptions{})
	if err != nil {
		log.Fatal(err)
	}
	verified, err := jws.Verify(context.Background(), string(decrypted.Plaintext), sender, jws.VerifyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", verified.Payload)
	// Output: It is me.
}
