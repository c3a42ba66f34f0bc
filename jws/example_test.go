package jws_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// Bytes that are signed, and verified with the public half.
func Example() {
	key, err := jwk.Generate(jwa.ES256)
	if err != nil {
		fmt.Println(err)
		return
	}
	message, err := jws.Sign([]byte("Deliver 40 crates to dock 7."), key, jws.SignOptions{ContentType: "text/plain"})
	if err != nil {
		fmt.Println(err)
		return
	}

	public, err := key.Public()
	if err != nil {
		fmt.Println(err)
		return
	}
	verified, err := jws.Verify(context.Background(), message, public, jws.VerifyOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(verified.Header.Algorithm, verified.Header.ContentType)
	fmt.Printf("%s\n", verified.Payload)
	// Output:
	// ES256 text/plain
	// Deliver 40 crates to dock 7.
}

// A message in JSON with two signatures. What became of each is for the caller to
// judge.
func ExampleSignAll() {
	author, err := jwk.Generate(jwa.ES256)
	if err != nil {
		log.Fatal(err)
	}
	witness, err := jwk.Generate(jwa.EdDSA)
	if err != nil {
		log.Fatal(err)
	}
	first, err := jws.NewSigner(author, jws.SignOptions{})
	if err != nil {
		log.Fatal(err)
	}
	second, err := jws.NewSigner(witness, jws.SignOptions{})
	if err != nil {
		log.Fatal(err)
	}
	message, err := jws.SignAll([]byte("agreed"), first, second)
	if err != nil {
		log.Fatal(err)
	}

	verifier, err := jws.NewVerifier(author, jws.VerifyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	all, err := verifier.VerifyAll(context.Background(), message)
	if err != nil {
		log.Fatal(err)
	}
	for _, signature := range all {
		fmt.Println(signature.Err == nil)
	}
	// Output:
	// true
	// false
}

// A signature that travels apart from what it signs.
func ExampleSigner_SignDetached() {
	key, err := jwk.Generate(jwa.EdDSA)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := jws.NewSigner(key, jws.SignOptions{})
	if err != nil {
		log.Fatal(err)
	}
	body := []byte(`{"amount": 10}`)
	signature, err := signer.SignDetached(body)
	if err != nil {
		log.Fatal(err)
	}

	verifier, err := jws.NewVerifier(key, jws.VerifyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = verifier.VerifyDetached(context.Background(), signature, body)
	fmt.Println(err)
	// Output: <nil>
}

// In JSON a message has the same parts, by name.
func ExampleVerifier_VerifyJSON() {
	key, err := jwk.Generate(jwa.EdDSA)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := jws.NewSigner(key, jws.SignOptions{Unprotected: map[string]any{"note": "for the archive"}})
	if err != nil {
		log.Fatal(err)
	}
	message, err := signer.SignJSON([]byte("It is me."))
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := jws.NewVerifier(key, jws.VerifyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	verified, err := verifier.VerifyJSON(context.Background(), message)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, and unsigned: %s\n", verified.Payload, verified.Unprotected)
	// Output: It is me., and unsigned: {"note":"for the archive"}
}

// A payload that is signed as it is, RFC 7797, must be asked for on both sides.
func Example_unencoded() {
	key, err := jwk.Generate(jwa.EdDSA)
	if err != nil {
		log.Fatal(err)
	}
	message, err := jws.Sign([]byte("$20"), key, jws.SignOptions{Unencoded: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, asked := range []bool{false, true} {
		verified, err := jws.Verify(context.Background(), message, key, jws.VerifyOptions{Unencoded: asked})
		fmt.Printf("%q %v\n", verified.Payload, errors.Is(err, jws.ErrCritical))
	}
	// Output:
	// "" true
	// "$20" false
}
