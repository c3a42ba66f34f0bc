package jwt_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
)

// Sign claims of your own with a secret, and verify them into the same type.
func Example() {
	type Claims struct {
		jwt.Registered
		Cart []string `json:"cart"`
	}

	key, err := jwk.New([]byte("a secret of 32 bytes or more, kept safe"), jwk.Params{})
	if err != nil {
		log.Fatal(err)
	}
	token, err := jwt.Sign(Claims{Cart: []string{"apples", "pears"}}, key, jwt.SignOptions{
		Audience:  []string{"shop"},
		ExpiresIn: time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}

	verified, err := jwt.Verify[Claims](context.Background(), token, key, jwt.VerifyOptions{Audiences: []string{"shop"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verified.Header.Algorithm, verified.Claims.Cart)
	// Output: HS256 [apples pears]
}

// What is verified often is built once. The keys may be a set, or a set at an
// address: jwk.NewRemote.
func ExampleNewVerifier() {
	signingKey, err := jwk.Generate(jwa.ES256)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwk.NewSet(signingKey)
	if err != nil {
		log.Fatal(err)
	}

	type AccessToken struct {
		jwt.Registered
		Scope string `json:"scope"`
	}
	verifier, err := jwt.NewVerifier[AccessToken](keys, jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.ES256},
		Types:      []string{"at+jwt"},
		Issuers:    []string{"https://login.example.com"},
		Audiences:  []string{"https://api.example.com"},
		Leeway:     5 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}

	token, err := jwt.Sign(map[string]any{"scope": "orders:read"}, signingKey, jwt.SignOptions{
		Type:      "at+jwt",
		Issuer:    "https://login.example.com",
		Subject:   "248289761001",
		Audience:  []string{"https://api.example.com"},
		ExpiresIn: 5 * time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	verified, err := verifier.Verify(context.Background(), token)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verified.Claims.Subject, "may", verified.Claims.Scope)
	// Output: 248289761001 may orders:read
}

// Claims whose shape is not known go into a map. Numbers are json.Number and
// keep every digit.
func ExampleVerify_map() {
	key, err := jwk.New([]byte("a secret of 32 bytes or more, kept safe"), jwk.Params{})
	if err != nil {
		log.Fatal(err)
	}
	token, err := jwt.Sign([]byte(`{"account": 12345678901234567890}`), key, jwt.SignOptions{ExpiresIn: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	verified, err := jwt.Verify[map[string]any](context.Background(), token, key, jwt.VerifyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verified.Claims["account"])
	// Output: 12345678901234567890
}

// Errors say which check failed.
func ExampleTokenExpiredError() {
	key, err := jwk.New([]byte("a secret of 32 bytes or more, kept safe"), jwk.Params{})
	if err != nil {
		log.Fatal(err)
	}
	token, err := jwt.Sign(map[string]any{"exp": 1_000_000_000}, key, jwt.SignOptions{})
	if err != nil {
		log.Fatal(err)
	}

	_, err = jwt.Verify[jwt.Registered](context.Background(), token, key, jwt.VerifyOptions{})
	var expired *jwt.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		fmt.Println(err, "at", expired.ExpiredAt.UTC().Format(time.DateOnly))
	case errors.Is(err, jwt.ErrSignature):
		fmt.Println("forged")
	}
	// Output: jwt expired at 2001-09-09
}

// A private key that never leaves a key management service or a hardware module
// signs through crypto.Signer.
func ExampleSign_signer() {
	var module crypto.Signer
	module, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // stands for the module here
	if err != nil {
		log.Fatal(err)
	}
	key, err := jwk.New(module, jwk.Params{ID: "hsm-1", Algorithm: jwa.ES256})
	if err != nil {
		log.Fatal(err)
	}
	token, err := jwt.Sign(nil, key, jwt.SignOptions{Subject: "alice", ExpiresIn: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	verified, err := jwt.Verify[jwt.Registered](context.Background(), token, key, jwt.VerifyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verified.Header.KeyID, verified.Claims.Subject)
	// Output: hsm-1 alice
}

// Looking into a token decides nothing, but may tell whom to ask about it.
func ExampleDecodeUnverified() {
	const token = "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIn0.AAAA"
	decoded, err := jwt.DecodeUnverified[jwt.Registered](token)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(decoded.Header.KeyID, decoded.Claims.Issuer)
	// Output: 1 https://login.example.com
}

// Durations may come as text, from a configuration file, in the syntax that
// jsonwebtoken has.
func ExampleParseDuration() {
	life, err := jwt.ParseDuration("2 days")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(life)
	// Output: 48h0m0s
}

// Tokens of several issuers, each with keys of its own.
func ExampleNewIssuersVerifier() {
	staff, err := jwk.Generate(jwa.ES256)
	if err != nil {
		log.Fatal(err)
	}
	customers, err := jwk.Generate(jwa.EdDSA)
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := jwt.NewIssuersVerifier[jwt.Registered](map[string]jwk.Source{
		"https://staff.example.com":     staff,
		"https://customers.example.com": customers,
	}, jwt.VerifyOptions{Audiences: []string{"shop"}})
	if err != nil {
		log.Fatal(err)
	}
	o := jwt.SignOptions{Issuer: "https://staff.example.com", Audience: []string{"shop"}, ExpiresIn: time.Hour}
	for _, key := range []*jwk.Key{staff, customers} {
		token, err := jwt.Sign(nil, key, o)
		if err != nil {
			log.Fatal(err)
		}
		_, err = verifier.Verify(context.Background(), token)
		fmt.Println(err == nil)
	}
	// Output:
	// true
	// false
}

// A verifier that remembers tokens. Their times are checked on each use, and so
// should be whatever else may end them.
func ExampleVerifyOptions_cache() {
	key, err := jwk.Generate(jwa.RS256)
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := jwt.NewVerifier[jwt.Registered](key, jwt.VerifyOptions{CacheSize: 4096})
	if err != nil {
		log.Fatal(err)
	}
	token, err := jwt.Sign(nil, key, jwt.SignOptions{Subject: "ada", ExpiresIn: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		verified, err := verifier.Verify(context.Background(), token)
		fmt.Println(verified.Claims.Subject, err)
	}
	// Output:
	// ada <nil>
	// ada <nil>
	// ada <nil>
}

// Claims that the bearer must not read are signed first and then encrypted to whoever
// they are for. One call undoes both, and returns nothing unless both are in order.
func ExampleVerifyNested() {
	ours, err := jwk.Generate(jwa.ES256) // to sign with
	if err != nil {
		log.Fatal(err)
	}
	theirs, err := jwk.Generate(jwa.ECDHES) // to encrypt to: we have its public half
	if err != nil {
		log.Fatal(err)
	}

	token, err := jwt.SignNested(map[string]any{"diagnosis": "a cold"}, ours, jwt.SignOptions{
		Audience:  []string{"clinic"},
		ExpiresIn: time.Minute,
	}, jwt.EncryptOptions{Recipient: theirs})
	if err != nil {
		log.Fatal(err)
	}

	type Claims struct {
		jwt.Registered
		Diagnosis string `json:"diagnosis"`
	}
	verified, err := jwt.VerifyNested[Claims](context.Background(), token, ours, jwt.VerifyOptions{
		Audiences: []string{"clinic"}, // the clinic can encrypt it anew to somebody else
	}, jwt.DecryptOptions{Keys: theirs})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verified.Claims.Diagnosis, verified.Header.Algorithm, verified.Encryption.Algorithm)
	// Output: a cold ES256 ECDH-ES
}

// Built once, with lists of the algorithms that are accepted.
func ExampleNewNestedVerifier() {
	ours, err := jwk.Generate(jwa.EdDSA)
	if err != nil {
		log.Fatal(err)
	}
	theirs, err := jwk.Generate(jwa.RSAOAEP256)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := jwt.NewNestedSigner(ours, jwt.SignOptions{ExpiresIn: time.Minute}, jwt.EncryptOptions{Recipient: theirs})
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := jwt.NewNestedVerifier[jwt.Registered](ours, jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.EdDSA},
	}, jwt.DecryptOptions{
		Keys:        theirs,
		Algorithms:  []jwa.Algorithm{jwa.RSAOAEP256},
		Encryptions: []jwa.Encryption{jwa.A256GCM},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"ada", "ben"} {
		token, err := signer.Sign(map[string]any{"sub": name})
		if err != nil {
			log.Fatal(err)
		}
		verified, err := verifier.Verify(context.Background(), token)
		fmt.Println(verified.Claims.Subject, err)
	}
	// Output:
	// ada <nil>
	// ben <nil>
}

// What signs often is built once, too.
func ExampleNewSigner() {
	key, err := jwk.Generate(jwa.ES256)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := jwt.NewSigner(key, jwt.SignOptions{
		Type:      "at+jwt",
		Issuer:    "https://login.example.com",
		ExpiresIn: 5 * time.Minute,
		Now:       func() time.Time { return time.Unix(1_700_000_000, 0) },
	})
	if err != nil {
		log.Fatal(err)
	}
	type AccessToken struct {
		Subject string `json:"sub"`
		Scope   string `json:"scope"`
	}
	token, err := signer.Sign(AccessToken{"ada", "orders:read"})
	if err != nil {
		log.Fatal(err)
	}
	said, err := jwt.DecodeUnverified[string](token)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(said.Header.Type, said.Claims)
	// Output: at+jwt {"sub":"ada","scope":"orders:read","iat":1700000000,"exp":1700000300,"iss":"https://login.example.com"}
}

// A function may choose the key by anything in the header, which is not to be believed yet:
// compare it, and do nothing else with it.
func ExampleVerify_keyFunc() {
	orders, err := jwk.Generate(jwa.ES256)
	if err != nil {
		log.Fatal(err)
	}
	keys := jws.KeyFunc(func(_ context.Context, header jws.Header) ([]*jwk.Key, error) {
		if header.Type != "orders+jwt" {
			return nil, fmt.Errorf("%w: none for this type", jwk.ErrNotFound)
		}
		return []*jwk.Key{orders}, nil
	})
	for _, typ := range []string{"orders+jwt", "at+jwt"} {
		token, err := jwt.Sign(nil, orders, jwt.SignOptions{Type: typ, ExpiresIn: time.Minute})
		if err != nil {
			log.Fatal(err)
		}
		_, err = jwt.Verify[jwt.Registered](context.Background(), token, keys, jwt.VerifyOptions{})
		fmt.Println(typ, errors.Is(err, jwt.ErrKey))
	}
	// Output:
	// orders+jwt false
	// at+jwt true
}

// A token that nobody signed is made and read by calls that say so.
func ExampleInsecureVerifyNone() {
	token, err := jwt.InsecureSignNone(map[string]any{"sub": "ada"}, jwt.SignOptions{ExpiresIn: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	said, err := jwt.InsecureVerifyNone[jwt.Registered](token, jwt.VerifyOptions{})
	fmt.Println(said.Claims.Subject, err)
	// Output: ada <nil>
}

// A token that grows with what people are given is measured where it is made: who finds
// it too long later is a proxy, and says 400 or 431 to somebody else.
func ExampleMaxInHeader() {
	key, err := jwk.Generate(jwa.ES256)
	if err != nil {
		log.Fatal(err)
	}
	groups := slices.Repeat([]string{"a group with a rather long name"}, 200)
	token, err := jwt.Sign(map[string]any{"groups": groups}, key, jwt.SignOptions{ExpiresIn: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(token) > jwt.MaxInHeader, len(token) > jwt.MaxInCookie)
	// Output: true true
}
