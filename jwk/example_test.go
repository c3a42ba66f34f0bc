package jwk_test

import (
	"encoding/json"
	"fmt"
	"log"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// A new key prints, marshals and logs as its public half.
func ExampleGenerate() {
	key, err := jwk.Generate(jwa.ES256)
	if err != nil {
		log.Fatal(err)
	}
	published, err := json.Marshal(key)
	if err != nil {
		log.Fatal(err)
	}
	again, err := jwk.Parse(published)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key.Private(), again.Private(), key.ID() == again.Thumbprint())
	// Output: true false true
}

// Keys in PEM are taken in any of the usual forms.
func ExampleParsePEM() {
	key, err := jwk.ParsePEM([]byte(`-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----`), jwk.Params{ID: "2026-01"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key)
	fmt.Println(key.Algorithms())
	fmt.Println(key.Thumbprint())
	// Output:
	// OKP Ed25519 public key kid="2026-01"
	// [EdDSA Ed25519]
	// kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k
}

// A key that is not understood takes nothing but itself away.
func ExampleParseSet() {
	set, err := jwk.ParseSet([]byte(`{"keys": [
		{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
		{"kty": "AKP", "alg": "ML-DSA-44", "kid": "b", "pub": "…"}
	]}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(set)
	for _, skip := range set.Skipped() {
		fmt.Println(skip.ID, skip.Err)
	}
	// Output:
	// [OKP Ed25519 public key kid="a"]
	// b jwk: unsupported key: key type "AKP"
}

// A remote set is a source of keys like any other; it fetches when it must.
func ExampleNewRemote() {
	keys, err := jwk.NewRemote(jwk.RemoteConfig{
		URL:    "https://login.example.com/jwks",
		MaxAge: 15 * time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	var _ jwk.Source = keys // for jwt.NewVerifier
}
