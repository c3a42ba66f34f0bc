package jws_test

import (
	"context"
	"fmt"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

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
