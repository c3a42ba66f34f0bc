package jwk_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
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

// A remote set is a source of keys like any other. It fetches when it must, and keeps
// what it has.
func ExampleNewRemote() {
	key, err := jwk.Generate(jwa.ES256)
	if err != nil {
		log.Fatal(err)
	}
	published, err := jwk.NewSet(key)
	if err != nil {
		log.Fatal(err)
	}
	fetched := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched++
		w.Header().Set("Cache-Control", "max-age=3600")
		_ = json.NewEncoder(w).Encode(published) // the public halves
	}))
	defer server.Close()

	keys, err := jwk.NewRemote(jwk.RemoteConfig{
		URL:    server.URL + "/jwks", // https, but for the loopback interface
		MaxAge: 15 * time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		found, err := keys.Find(context.Background(), key.ID()) // what jwt.NewVerifier does
		fmt.Println(len(found), err)
	}
	_, err = keys.Find(context.Background(), "made up")
	fmt.Println(errors.Is(err, jwk.ErrNotFound), "after", fetched, "fetch")
	// Output:
	// 1 <nil>
	// 1 <nil>
	// 1 <nil>
	// true after 1 fetch
}

// A private key in a file that a passphrase protects: PKCS #8 with PBES2.
func ExampleParseEncryptedPEM() {
	const file = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAg/vhgvHRw4fQICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEMzZZWofsfj4bI4JLEJHNsYEgZA7
/CiU6izSQHK6cCYWWFCH62vXCxOvwcO/zjFhHwc6X4b0u8Sm9DvSSFM5F3P+f/Pr
zbTA1YQhbzlKHgm11OkewiHgA4ISPASHMvbf1Ll5UMz/6cluBX2LpKd61UnBzf+E
I9LflFOOjt0e81UpqGdS8kSAeQB4cSnULhoLTP0IfghZISsrdolpAuRv0xH44Y0=
-----END ENCRYPTED PRIVATE KEY-----
`
	key, err := jwk.ParseEncryptedPEM([]byte(file), []byte("open sesame"), jwk.Params{ID: "2026"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key)
	_, err = jwk.ParseEncryptedPEM([]byte(file), []byte("open barley"), jwk.Params{})
	fmt.Println(errors.Is(err, jwk.ErrDecryption))
	// Output:
	// EC P-256 private key [redacted] kid="2026"
	// true
}

// A key with its certificate publishes both ("x5c", "x5t#S256"). Whether the certificate
// is to be trusted is for x509 to say.
func ExampleFromCertificate() {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		log.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	key, err := jwk.FromCertificate([]*x509.Certificate{certificate}, jwk.Params{Algorithm: jwa.ES256})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key, len(key.Certificates()), len(key.CertificateThumbprint()))
	// Output: EC P-256 public key ES256 1 43
}

// The name of a key that follows from the key.
func ExampleKey_ThumbprintURI() {
	key, err := jwk.Parse([]byte(`{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key.Thumbprint())
	fmt.Println(key.ThumbprintURI())
	// Output:
	// kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k
	// urn:ietf:params:oauth:jwk-thumbprint:sha-256:kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k
}

// The private half is written by calls that say so; everything else writes the public one.
func ExampleKey_MarshalPrivateJSON() {
	key, err := jwk.Generate(jwa.EdDSA)
	if err != nil {
		log.Fatal(err)
	}
	public, err := json.Marshal(key)
	if err != nil {
		log.Fatal(err)
	}
	private, err := key.MarshalPrivateJSON()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Contains(string(public), `"d"`), strings.Contains(string(private), `"d"`))
	// Output: false true
}
