package jwt_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// recipient is a key of ours that others encrypt to.
var recipient = sync.OnceValue(func() *jwk.Key { return must(jwk.Generate(jwa.ECDHES)) })

// wrap encrypts anything to us, as anybody can.
func wrap(inside string, o jwe.EncryptOptions) string {
	return must(jwe.Encrypt([]byte(inside), recipient(), o))
}

// nested is a header that says what is inside.
var nested = jwe.EncryptOptions{ContentType: "JWT"}

func verifyNested(token string, o jwt.VerifyOptions, from jwt.DecryptOptions) (jwt.NestedToken[map[string]any], error) {
	if o.Now == nil {
		o.Now = clock
	}
	if from.Keys == nil {
		from.Keys = recipient()
	}
	return jwt.VerifyNested[map[string]any](ctx, token, secret, o, from)
}

func acceptsNested(t *testing.T, what, token string, o jwt.VerifyOptions, from jwt.DecryptOptions) {
	t.Helper()
	tally.accepted++
	if got, err := verifyNested(token, o, from); err != nil || got.Claims == nil || got.Header.Algorithm == "" || got.Encryption.Algorithm == "" {
		t.Errorf("%s: %+v, %v", what, got, err)
	}
}

// refusesNested checks the kind of an error, that it is no other kind, and that nothing
// is returned beside it.
func refusesNested(t *testing.T, what, token string, from jwt.DecryptOptions, want error) {
	t.Helper()
	tally.refused++
	got, err := verifyNested(token, jwt.VerifyOptions{}, from)
	if got.Claims != nil || got.Header.Algorithm != "" || got.Encryption.Algorithm != "" || got.Signature != "" {
		t.Errorf("%s: something was returned: %+v", what, got)
	}
	for _, kind := range kinds {
		if errors.Is(err, kind) != (kind == want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	var e *jwt.JSONWebTokenError
	if !errors.As(err, &e) {
		t.Errorf("%s: %v", what, err)
	}
}

// Every way to encrypt, there and back, with the header that RFC 7519 §5.2 asks for.
func TestNested(t *testing.T) {
	mine := must(jwk.Generate(jwa.ES256))
	for _, row := range jwa.KeyManagements() {
		var theirs *jwk.Key
		switch row.Mode {
		case jwa.Password:
			theirs = must(jwk.New([]byte("correct horse battery staple"), jwk.Params{Algorithm: row.Name}))
		case jwa.Direct:
			theirs = must(jwk.New(bytes.Repeat([]byte("k"), 32), jwk.Params{Algorithm: jwa.Dir}))
		default:
			theirs = must(jwk.Generate(row.Name))
		}
		to := jwt.EncryptOptions{Recipient: theirs, Algorithm: row.Name}
		if row.Mode == jwa.Password {
			to.Iterations = 1000
		}
		token, err := jwt.SignNested(map[string]any{"a": 1}, mine, jwt.SignOptions{Subject: "alice", ExpiresIn: time.Minute, Now: clock}, to)
		if err != nil {
			t.Errorf("%s: %v", row.Name, err)
			continue
		}
		got, err := jwt.VerifyNested[jwt.Registered](ctx, token, mine, jwt.VerifyOptions{Now: clock}, jwt.DecryptOptions{Keys: theirs})
		if err != nil || got.Claims.Subject != "alice" || got.Header.Algorithm != jwa.ES256 || got.Encryption.Algorithm != row.Name || got.Encryption.ContentType != "JWT" {
			t.Errorf("%s: %+v, %v", row.Name, got, err)
		}
	}
}

// RFC 7520 §6.
func TestNestedRFC7520(t *testing.T) {
	var example struct {
		Sign    struct{ Input struct{ Key json.RawMessage } }
		Encrypt struct {
			Input  struct{ Key json.RawMessage }
			Output struct{ Compact string }
		}
	}
	if err := json.Unmarshal(must(os.ReadFile("testdata/rfc7520/6.nesting_signatures_and_encryption.json")), &example); err != nil {
		t.Fatal(err)
	}
	theirs, ours := must(jwk.Parse(example.Sign.Input.Key)), must(jwk.Parse(example.Encrypt.Input.Key))
	type claims struct {
		jwt.Registered
		Root bool `json:"http://example.com/is_root"`
	}
	o := jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.PS256}, Issuers: []string{"hobbiton.example"},
		Now: func() time.Time { return time.Unix(1300819379, 0) },
	}
	from := jwt.DecryptOptions{Keys: ours, Algorithms: []jwa.Algorithm{jwa.RSAOAEP}, Encryptions: []jwa.Encryption{jwa.A128GCM}}
	got, err := jwt.VerifyNested[claims](ctx, example.Encrypt.Output.Compact, theirs, o, from)
	if err != nil || !got.Claims.Root || got.Claims.Issuer != "hobbiton.example" || got.Encryption.Encryption != jwa.A128GCM {
		t.Errorf("%+v, %v", got, err)
	}
	o.Now = clock
	if _, err := jwt.VerifyNested[claims](ctx, example.Encrypt.Output.Compact, theirs, o, from); !errors.Is(err, jwt.ErrExpired) {
		t.Error(err)
	}
}

// RFC 7519 §7.2: both layers, and nothing is returned if one is not in order.
func TestNestedRefusals(t *testing.T) {
	inside := sign(`{` + live + `}`)
	good, none := wrap(inside, nested), jwt.DecryptOptions{}
	acceptsNested(t, "good twin", good, jwt.VerifyOptions{}, none)
	acceptsNested(t, "RFC 7516 §4.1.12: cty in another case", wrap(inside, jwe.EncryptOptions{ContentType: "application/jwt"}), jwt.VerifyOptions{}, none)
	parts := strings.Split(inside, ".")
	for _, row := range []struct {
		clause, token string
		want          error
	}{
		{"nothing", "", jwt.ErrMalformed},
		{"a signed token", inside, jwt.ErrMalformed},
		{"RFC 7519 §5.2: no cty", wrap(inside, jwe.EncryptOptions{}), jwt.ErrType},
		{"RFC 7519 §5.2: another cty", wrap(inside, jwe.EncryptOptions{ContentType: "JWS"}), jwt.ErrType},
		{"typ is not cty", wrap(inside, jwe.EncryptOptions{Type: "JWT"}), jwt.ErrType},
		{"claims that nobody signed", wrap(`{`+live+`}`, nested), jwt.ErrMalformed},
		{"nothing inside", wrap("", nested), jwt.ErrMalformed},
		{"none inside", wrap(b64(`{"alg":"none"}`)+"."+parts[1]+".", nested), jwt.ErrSignature},
		{"no signature inside", wrap(parts[0]+"."+parts[1]+".", nested), jwt.ErrSignature},
		{"a bad signature inside", wrap(inside[:len(inside)-8]+"AAAAAAAA", nested), jwt.ErrSignature},
		{"an encrypted token inside", wrap(good, nested), jwt.ErrMalformed},
		{"JSON serialization inside", wrap(`{"payload":"`+parts[1]+`","protected":"`+parts[0]+`","signature":"`+parts[2]+`"}`, nested), jwt.ErrMalformed},
		{"a line break behind", wrap(inside+"\n", nested), jwt.ErrMalformed},
		{"expired inside", wrap(sign(`{"exp":1}`), nested), jwt.ErrExpired},
		{"changed", good[:len(good)-4] + "AAAA", jwt.ErrDecryption},
		{"RFC 7516 §4.1.13: crit", wrap(inside, jwe.EncryptOptions{ContentType: "JWT", Critical: []string{"x"}, Header: map[string]any{"x": 1}}), jwt.ErrCritical},
		{"RFC 8725 §3.6: compressed", wrap(inside, jwe.EncryptOptions{ContentType: "JWT", Compress: true}), jwt.ErrAlgorithm},
		{"66 KB", wrap(sign(`{`+live+`,"x":"`+strings.Repeat("x", 50_000)+`"}`), nested), jwt.ErrMalformed},
	} {
		refusesNested(t, row.clause, row.token, none, row.want)
	}
	acceptsNested(t, "compressed, and asked for", wrap(inside, jwe.EncryptOptions{ContentType: "JWT", Compress: true}), jwt.VerifyOptions{}, jwt.DecryptOptions{Decompress: true})
	acceptsNested(t, "66 KB, and asked for", wrap(sign(`{`+live+`,"x":"`+strings.Repeat("x", 50_000)+`"}`), nested), jwt.VerifyOptions{MaxSize: 1 << 20}, jwt.DecryptOptions{MaxSize: 1 << 20})
}

// What is accepted of the encryption is said by us, and the inside has limits of its own.
func TestNestedOptions(t *testing.T) {
	inside := sign(`{` + live + `}`)
	good := wrap(inside, nested)
	lists := jwt.DecryptOptions{Algorithms: []jwa.Algorithm{jwa.ECDHES}, Encryptions: []jwa.Encryption{jwa.A256GCM}}
	acceptsNested(t, "listed", good, jwt.VerifyOptions{}, lists)
	refusesNested(t, "alg not listed", good, jwt.DecryptOptions{Algorithms: []jwa.Algorithm{jwa.RSAOAEP}}, jwt.ErrAlgorithm)
	refusesNested(t, "enc not listed", good, jwt.DecryptOptions{Encryptions: []jwa.Encryption{jwa.A128GCM}}, jwt.ErrAlgorithm)
	refusesNested(t, "an empty list of alg", good, jwt.DecryptOptions{Algorithms: []jwa.Algorithm{}}, jwt.ErrOptions)
	refusesNested(t, "an empty list of enc", good, jwt.DecryptOptions{Encryptions: []jwa.Encryption{}}, jwt.ErrOptions)
	refusesNested(t, "alg unknown", good, jwt.DecryptOptions{Algorithms: []jwa.Algorithm{"RSA1_5"}}, jwt.ErrOptions)
	refusesNested(t, "a limit below zero", good, jwt.DecryptOptions{MaxSize: -1}, jwt.ErrOptions)
	named := jwk.Params{ID: recipient().ID()}
	refusesNested(t, "another's key", good, jwt.DecryptOptions{Keys: must(jwk.New(must(ecdh.P256().GenerateKey(rand.Reader)), named))}, jwt.ErrDecryption)
	refusesNested(t, "a key for something else", good, jwt.DecryptOptions{Keys: must(jwk.New(must(rsa.GenerateKey(rand.Reader, 2048)), named))}, jwt.ErrAlgorithm)
	refusesNested(t, "a set without the key", wrap(inside, jwe.EncryptOptions{ContentType: "JWT"}), jwt.DecryptOptions{Keys: must(jwk.NewSet())}, jwt.ErrKey)
	for name, f := range map[string]func() error{
		"no keys of ours": func() error {
			_, err := jwt.NewNestedVerifier[string](secret, jwt.VerifyOptions{}, jwt.DecryptOptions{})
			return err
		},
		"no keys of theirs": func() error {
			_, err := jwt.VerifyNested[string](ctx, good, nil, jwt.VerifyOptions{}, jwt.DecryptOptions{Keys: secret})
			return err
		},
		"no recipient": func() error {
			_, err := jwt.SignNested(nil, secret, jwt.SignOptions{}, jwt.EncryptOptions{})
			return err
		},
		"no key to sign": func() error {
			_, err := jwt.NewNestedSigner(nil, jwt.SignOptions{}, jwt.EncryptOptions{Recipient: recipient()})
			return err
		},
		"a recipient that only signs": func() error {
			_, err := jwt.NewNestedSigner(secret, jwt.SignOptions{}, jwt.EncryptOptions{Recipient: must(jwk.Generate(jwa.ES256))})
			return err
		},
	} {
		if err := f(); !errors.Is(err, jwt.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, to := range map[string]jwt.EncryptOptions{"p2c": {Iterations: 5000}, "cty": {Header: map[string]any{"cty": "x"}}} {
		to.Recipient = recipient()
		if _, err := jwt.NewNestedSigner(secret, jwt.SignOptions{}, to); !errors.Is(err, jwt.ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// An outage is no fault of the token, whichever keys are missing.
	down := jwk.SourceFunc(func(context.Context, string) ([]*jwk.Key, error) { return nil, jwk.ErrUnavailable })
	var e *jwt.JSONWebTokenError
	if _, err := verifyNested(good, jwt.VerifyOptions{}, jwt.DecryptOptions{Keys: down}); !errors.Is(err, jwk.ErrUnavailable) || errors.As(err, &e) {
		t.Error(err)
	}
	if _, err := jwt.VerifyNested[string](ctx, good, down, jwt.VerifyOptions{}, jwt.DecryptOptions{Keys: recipient()}); !errors.Is(err, jwk.ErrUnavailable) || errors.As(err, &e) {
		t.Error(err)
	}
}

// RFC 7518 §4.8.1.2: the sender does not choose how long we work.
func TestNestedPassword(t *testing.T) {
	password := must(jwk.New([]byte("correct horse battery staple"), jwk.Params{Algorithm: jwa.PBES2HS256A128KW}))
	token := must(jwt.SignNested(nil, secret, jwt.SignOptions{ExpiresIn: time.Minute, Now: clock}, jwt.EncryptOptions{Recipient: password, Iterations: 5000}))
	acceptsNested(t, "good twin", token, jwt.VerifyOptions{}, jwt.DecryptOptions{Keys: password})
	acceptsNested(t, "at the limit", token, jwt.VerifyOptions{}, jwt.DecryptOptions{Keys: password, MaxIterations: 5000})
	refusesNested(t, "beyond the limit", token, jwt.DecryptOptions{Keys: password, MaxIterations: 4999}, jwt.ErrAlgorithm)
}

// RFC 7519 §5.3: what the header repeats must be what was signed.
func TestNestedReplicas(t *testing.T) {
	inside := sign(`{` + live + `,"iss":"https://a","aud":["b","c"],"sub":"d"}`)
	with := func(header map[string]any) string {
		return wrap(inside, jwe.EncryptOptions{ContentType: "JWT", Header: header})
	}
	acceptsNested(t, "the same", with(map[string]any{"iss": "https://a", "aud": []string{"b", "c"}, "sub": "d", "exp": 5}), jwt.VerifyOptions{}, jwt.DecryptOptions{})
	acceptsNested(t, "a list of one", wrap(sign(`{`+live+`,"aud":"b"}`), jwe.EncryptOptions{ContentType: "JWT", Header: map[string]any{"aud": []string{"b"}}}), jwt.VerifyOptions{}, jwt.DecryptOptions{})
	for name, header := range map[string]map[string]any{
		"another iss": {"iss": "https://b"}, "another aud": {"aud": []string{"b"}}, "aud turned round": {"aud": []string{"c", "b"}}, "another sub": {"sub": "D"},
		"one of two": {"iss": "https://a", "sub": "e"}, "a number": {"sub": 1}, "null": {"iss": nil}, "a list": {"iss": []string{"https://a"}},
	} {
		refusesNested(t, name, with(header), jwt.DecryptOptions{}, jwt.ErrClaims)
	}
	refusesNested(t, "a claim that is not there", wrap(sign(`{`+live+`}`), jwe.EncryptOptions{ContentType: "JWT", Header: map[string]any{"sub": "d"}}), jwt.DecryptOptions{}, jwt.ErrClaims)
	o := jwt.SignOptions{Issuer: "https://a", Audience: []string{"b"}, ExpiresIn: time.Minute, Now: clock}
	to := jwt.EncryptOptions{Recipient: recipient(), Header: map[string]any{"iss": "https://a", "aud": "b"}}
	acceptsNested(t, "as signed", must(jwt.SignNested(nil, secret, o, to)), jwt.VerifyOptions{}, jwt.DecryptOptions{})
	to.Header["iss"] = "https://b"
	if token, err := jwt.SignNested(nil, secret, o, to); !errors.Is(err, jwt.ErrClaims) || token != "" {
		t.Error(err)
	}
}

// One signer and one verifier for all, with and without a cache.
func TestNestedIsSafeForConcurrentUse(t *testing.T) {
	s := must(jwt.NewNestedSigner(secret, jwt.SignOptions{ExpiresIn: time.Minute, Now: clock}, jwt.EncryptOptions{Recipient: recipient()}))
	for _, size := range []int{0, 64} {
		v := must(jwt.NewNestedVerifier[jwt.Registered](secret, jwt.VerifyOptions{Now: clock, CacheSize: size}, jwt.DecryptOptions{Keys: recipient()}))
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 20 {
					sub := fmt.Sprint(i, "-", j)
					token := must(s.Sign(map[string]any{"sub": sub}))
					for range 3 {
						if got, err := v.Verify(ctx, token); err != nil || got.Claims.Subject != sub {
							t.Errorf("%+v, %v", got, err)
						}
					}
				}
			})
		}
		wg.Wait()
	}
}

func FuzzVerifyNested(f *testing.F) {
	f.Add(`{"iss":"a","aud":["b"]}`, `{"exp":1700000060,"iss":"a","aud":"b"}`)
	f.Add(`{"sub":"\u0061"}`, `{"exp":1700000060,"sub":"a"}`)
	f.Add(`{"aud":[1]}`, `[]`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		var members map[string]any
		if json.Unmarshal([]byte(header), &members) != nil {
			return
		}
		token, err := jwe.Encrypt([]byte(sign(claims)), recipient(), jwe.EncryptOptions{ContentType: "JWT", Header: members})
		if err != nil || len(token) > jwe.DefaultMaxSize {
			return
		}
		got, err := verifyNested(token, jwt.VerifyOptions{}, jwt.DecryptOptions{})
		if err != nil {
			if got.Claims != nil {
				t.Fatal("something was returned")
			}
			return
		}
		for _, name := range []string{"iss", "sub"} {
			if replica, there := members[name]; there && fmt.Sprint(replica) != fmt.Sprint(got.Claims[name]) {
				t.Fatalf("%s is %v and %v", name, replica, got.Claims[name])
			}
		}
	})
}
