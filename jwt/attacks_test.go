package jwt_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
)

// attacks are the known ones that concern claims, and tokens as a whole, under their
// numbers in the catalogue; the packages jwk, jws and jwe have the others in tables like
// this one. Find a row by go test -run 'TestAttacks/J12' ./jw...
var attacks = []struct {
	name string
	try  func(t *testing.T)
}{
	{"J1 alg none: only by a call of that name", attackNone},
	{"J2 key confusion: an issuer's public key as HMAC secret", attackConfusion},
	{"J4 no key at all, for signing and for verifying", attackNoKey},
	{"J7 decoding taken for verifying: what hands out claims says what it did", attackDecoding},
	{"J14 replay of a token with another signature: jti, and not the text", attackReplay},
	{"J17 b64 in a JWT", attackUnencoded},
	{"J18 duplicate claims, and names in another case", attackClaimsTwice},
	{"J20 sign/encrypt confusion: claims encrypted to our public key", attackEncrypted},
	{"J21 nested JWT: what is inside is not signed", attackNestedUnsigned},
	{"J33 an expired token with a bad signature is badly signed", attackHiddenSignature},
	{"J34 cross-JWT confusion: every kind of token in the place of every other", attackKinds},
	{"J35 substitution: another audience, another issuer", attackSubstitution},
	{"J36 exp as text, fraction, huge, negative, NaN, 1e400, missing", attackDates},
	{"J37 clock: to the second, with and without leeway", attackClock},
	{"J39 claims that are not strict JSON", attackClaimsJSON},
}

// tally counts what was refused and what was accepted: an attack without its good twin
// proves nothing.
var tally struct{ refused, accepted int }

func TestAttacks(t *testing.T) {
	for _, attack := range attacks {
		t.Run(attack.name, func(t *testing.T) {
			before := tally
			attack.try(t)
			if tally.refused == before.refused || tally.accepted == before.accepted {
				t.Errorf("%d were refused and %d good twins accepted", tally.refused-before.refused, tally.accepted-before.accepted)
			}
		})
	}
}

// The catalogue has 48 attacks on tokens. Each has a row in the table of one package at
// least, and each row has a function of its own.
func TestNoAttackIsMissing(t *testing.T) {
	rows := regexp.MustCompile(`(?m)^\t\{"J(\d+) [^"]{5,}", (attack\w+)\},$`)
	tried, used := map[string]bool{}, map[string]bool{}
	for _, file := range must(filepath.Glob("../jw?/attacks_test.go")) {
		for _, row := range rows.FindAllStringSubmatch(string(must(os.ReadFile(file))), -1) {
			tried[row[1]] = true
			if used[file+row[2]] {
				t.Errorf("%s: two rows call %s", file, row[2])
			}
			used[file+row[2]] = true
		}
	}
	for n := 1; n <= 48; n++ {
		if !tried[fmt.Sprint(n)] {
			t.Errorf("attack J%d is not tried", n)
		}
	}
	if len(tried) != 48 {
		t.Errorf("%d attacks are tried", len(tried))
	}
}

// J1: RFC 8725 §3.1; whoever wants it must say so, and says it without a key.
func attackNone(t *testing.T) {
	unsecured := must(jwt.InsecureSignNone(nil, jwt.SignOptions{ExpiresIn: time.Minute, Now: clock}))
	accepts(t, "good twin", sign(`{`+live+`}`), jwt.VerifyOptions{})
	tally.accepted++
	if _, err := jwt.InsecureVerifyNone[jwt.Registered](unsecured, jwt.VerifyOptions{Now: clock}); err != nil {
		t.Error("good twin:", err)
	}
	refuses(t, "by the usual call", unsecured, jwt.VerifyOptions{}, jwt.ErrSignature, "jwt signature is required")
	refuses(t, "in a list", unsecured, jwt.VerifyOptions{Algorithms: []jwa.Algorithm{"none"}}, jwt.ErrOptions, "invalid algorithm")
	payload := strings.Split(unsecured, ".")[1]
	for _, alg := range []string{`"none"`, `"None"`, `"NONE"`, `"nOnE"`, `"none "`} {
		refuses(t, alg, b64(`{"alg":`+alg+`}`)+"."+payload+".", jwt.VerifyOptions{}, jwt.ErrSignature, "jwt signature is required")
		refuses(t, alg+" without the dot", b64(`{"alg":`+alg+`}`)+"."+payload, jwt.VerifyOptions{}, jwt.ErrMalformed, "jwt malformed")
	}
	for _, header := range []string{`{}`, `{"alg":""}`, `{"alg":null}`, `{"alg":0}`, `{"alg":["none"]}`} {
		refuses(t, header, b64(header)+"."+payload+".", jwt.VerifyOptions{}, jwt.ErrMalformed, "invalid token")
	}
	if _, err := jwt.Sign(nil, secret, jwt.SignOptions{Algorithm: "none"}); !errors.Is(err, jwt.ErrKey) {
		t.Error("none signs:", err)
	}
}

// J2: RFC 8725 §2.1; for a token of an issuer whose keys are published.
func attackConfusion(t *testing.T) {
	rs := must(jwk.Generate(jwa.RS256))
	public := must(jwk.NewSet(must(rs.Public())))
	o := jwt.SignOptions{ExpiresIn: time.Minute, KeyID: rs.ID(), Now: clock}
	tally.accepted++
	if _, err := jwt.Verify[jwt.Registered](ctx, must(jwt.Sign(nil, rs, o)), public, jwt.VerifyOptions{Now: clock}); err != nil {
		t.Error("good twin:", err)
	}
	for name, text := range map[string][]byte{"PEM": must(must(rs.Public()).MarshalPEM()), "JWK": must(rs.MarshalJSON())} {
		forger := must(jwk.New(text, jwk.Params{}))
		for _, algs := range [][]jwa.Algorithm{nil, {jwa.HS256}, {jwa.RS256, jwa.HS256}} {
			tally.refused++
			got, err := jwt.Verify[jwt.Registered](ctx, must(jwt.Sign(nil, forger, o)), public, jwt.VerifyOptions{Now: clock, Algorithms: algs})
			if !errors.Is(err, jwt.ErrAlgorithm) || got.Header.Algorithm != "" {
				t.Errorf("%s, %v: %v", name, algs, err)
			}
		}
	}
}

// J4: RFC 8725 §3.5; a setting that came out empty signs nothing and opens nothing.
func attackNoKey(t *testing.T) {
	good := sign(`{` + live + `}`)
	accepts(t, "good twin", good, jwt.VerifyOptions{})
	var none *jwk.Key
	for name, keys := range map[string]jwk.Source{
		"nil": nil, "a nil key": none, "an empty set": must(jwk.NewSet()), "a nil set": (*jwk.Set)(nil),
	} {
		tally.refused++
		if got, err := jwt.Verify[map[string]any](ctx, good, keys, jwt.VerifyOptions{Now: clock}); !errors.Is(err, jwt.ErrKey) || got.Claims != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text, err := jwt.Sign(nil, nil, jwt.SignOptions{}); !errors.Is(err, jwt.ErrKey) || text != "" {
		t.Error(err)
	}
	if _, err := jwk.New([]byte(""), jwk.Params{InsecureSize: true}); !errors.Is(err, jwk.ErrWeak) {
		t.Error("an empty secret is a key:", err)
	}
}

// J7: nothing that hands out claims looks like a verification and is none. Every exported
// function of the library that returns a token, a message or a payload is in this list of
// words.
func attackDecoding(t *testing.T) {
	said := regexp.MustCompile(`Verify|Decrypt|Unverified|Insecure`)
	hands := regexp.MustCompile(`\b(Token|NestedToken|Message|Signed)\b`)
	found := 0
	for _, file := range must(filepath.Glob("../jw?/*.go")) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, d := range must(parser.ParseFile(token.NewFileSet(), file, nil, 0)).Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || f.Type.Results == nil {
				continue
			}
			for _, result := range f.Type.Results.List {
				if hands.MatchString(typeName(result.Type)) {
					found++
					if !said.MatchString(f.Name.Name) {
						t.Errorf("%s: %s hands out %s", file, f.Name.Name, typeName(result.Type))
					}
				}
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d functions were found", found)
	}
	good := sign(`{` + live + `,"sub":"alice"}`)
	accepts(t, "good twin", good, jwt.VerifyOptions{})
	dot := strings.LastIndexByte(good, '.')
	payload := strings.Split(good, ".")[1]
	refuses(t, "a bit of the payload", strings.Replace(good, payload, b64(`{`+live+`,"sub":"alicf"}`), 1), jwt.VerifyOptions{}, jwt.ErrSignature, "invalid signature")
	for _, at := range []int{1, 20, 40} {
		changed := "B"
		if good[dot+at] == 'B' {
			changed = "C"
		}
		refuses(t, "the signature", good[:dot+at]+changed+good[dot+at+1:], jwt.VerifyOptions{}, jwt.ErrSignature, "invalid signature")
	}
}

// typeName is a type without its package and its parameters.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.ArrayType:
		return typeName(e.Elt)
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// J14: whoever has a token can make another text of it that verifies. A list of tokens that
// were used goes by "jti".
func attackReplay(t *testing.T) {
	key := must(jwk.Generate(jwa.ES256))
	v := must(jwt.NewVerifier[jwt.Registered](key, jwt.VerifyOptions{Now: clock, CacheSize: 16}))
	original := must(jwt.Sign(nil, key, jwt.SignOptions{ID: "one", ExpiresIn: time.Minute, Now: clock}))
	dot := strings.LastIndexByte(original, '.') + 1
	signature := must(base64.RawURLEncoding.DecodeString(original[dot:]))
	order, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(order, s).FillBytes(signature[32:])
	twin := original[:dot] + base64.RawURLEncoding.EncodeToString(signature)
	texts, ids := map[string]bool{}, map[string]bool{}
	use := func(text string) (newText, newID bool) {
		got, err := v.Verify(ctx, text)
		if err != nil || got.Claims.ID != "one" {
			t.Fatalf("%+v, %v", got, err)
		}
		newText, newID = !texts[text], !ids[got.Claims.ID]
		texts[text], ids[got.Claims.ID] = true, true
		return newText, newID
	}
	for range 3 { // so that the cache has it
		use(original)
	}
	clear(texts)
	clear(ids)
	tally.accepted++
	if newText, newID := use(original); !newText || !newID {
		t.Error("good twin: the first use is none")
	}
	tally.refused++
	if newText, newID := use(twin); !newText || newID {
		t.Errorf("new by its text: %v, by its jti: %v", newText, newID)
	}
}

// J17: RFC 7797 §7; JWTs do without.
func attackUnencoded(t *testing.T) {
	accepts(t, "good twin", sign(`{`+live+`}`), jwt.VerifyOptions{})
	for _, o := range []jws.SignOptions{{Unencoded: true}, {Unencoded: true, Type: "JWT"}} {
		signer := must(jws.NewSigner(secret, o))
		raw := must(signer.SignDetached([]byte(`{` + live + `}`)))
		parts := strings.Split(raw, ".")
		refuses(t, "as it is", parts[0]+"."+`{`+live+`}`+"."+parts[2], jwt.VerifyOptions{}, jwt.ErrCritical, "")
		refuses(t, "encoded all the same", parts[0]+"."+b64(`{`+live+`}`)+"."+parts[2], jwt.VerifyOptions{}, jwt.ErrCritical, "")
	}
	if _, err := jwt.Sign(nil, secret, jwt.SignOptions{Header: map[string]any{"b64": false}}); !errors.Is(err, jwt.ErrOptions) {
		t.Error("b64 can be written:", err)
	}
}

// J20: RFC 8725 §2.3; what decrypts is nobody's word. Nothing that verifies decrypts, but
// for the call that does both.
func attackEncrypted(t *testing.T) {
	forged := `{` + live + `,"iss":"a","sub":"admin"}`
	keys := must(jwk.NewSet(recipient(), must(jwk.Generate(jwa.ES256))))
	issuers := must(jwt.NewIssuersVerifier[jwt.Registered](map[string]jwk.Source{"a": keys}, jwt.VerifyOptions{Now: clock}))
	acceptsNested(t, "good twin", wrap(sign(forged), nested), jwt.VerifyOptions{}, jwt.DecryptOptions{})
	for name, text := range map[string]string{
		"claims": wrap(forged, jwe.EncryptOptions{Type: "JWT"}), "claims as a JWT": wrap(forged, nested), "a signed token": wrap(sign(forged), nested), "as an access token": wrap(forged, jwe.EncryptOptions{Type: "at+jwt"}),
	} {
		o := jwt.VerifyOptions{Now: clock}
		for call, err := range map[string]error{
			"Verify":             errorOf(jwt.Verify[jwt.Registered](ctx, text, keys, o)),
			"IssuersVerifier":    errorOf(issuers.Verify(ctx, text)),
			"InsecureVerifyNone": errorOf(jwt.InsecureVerifyNone[jwt.Registered](text, o)),
			"DecodeUnverified":   errorOf(jwt.DecodeUnverified[jwt.Registered](text)),
		} {
			tally.refused++
			if !errors.Is(err, jwt.ErrMalformed) {
				t.Errorf("%s by %s: %v", name, call, err)
			}
		}
	}
	refusesNested(t, "claims that nobody signed", wrap(forged, nested), jwt.DecryptOptions{}, jwt.ErrMalformed)
}

func errorOf[T any](_ T, err error) error { return err }

// J21: RFC 8725 §3.3; all that is nested is checked.
func attackNestedUnsigned(t *testing.T) {
	claims := b64(`{` + live + `,"sub":"admin"}`)
	stranger := must(jwk.Generate(jwa.ES256))
	acceptsNested(t, "good twin", wrap(sign(`{`+live+`}`), nested), jwt.VerifyOptions{}, jwt.DecryptOptions{})
	for _, row := range []struct {
		name, inside string
		want         error
	}{
		{"none", b64(`{"alg":"none"}`) + "." + claims + ".", jwt.ErrSignature},
		{"None", b64(`{"alg":"None"}`) + "." + claims + ".", jwt.ErrSignature},
		{"none with a signature", b64(`{"alg":"none"}`) + "." + claims + ".AA", jwt.ErrAlgorithm},
		{"HS256 unsigned", b64(`{"alg":"HS256"}`) + "." + claims + ".", jwt.ErrSignature},
		{"two parts", b64(`{"alg":"HS256"}`) + "." + claims, jwt.ErrMalformed},
		{"claims alone", `{` + live + `}`, jwt.ErrMalformed},
		{"a stranger's signature", must(jwt.Sign(nil, stranger, jwt.SignOptions{ExpiresIn: time.Minute, Now: clock})), jwt.ErrAlgorithm},
		{"a secret that the recipient's public key is", forgedWith(must(must(recipient().Public()).MarshalPEM())), jwt.ErrSignature},
		{"encrypted once more", wrap(sign(`{`+live+`}`), nested), jwt.ErrMalformed},
		{"twice, with claims that nobody signed", wrap(wrap(`{`+live+`}`, nested), nested), jwt.ErrMalformed},
	} {
		refusesNested(t, row.name, wrap(row.inside, nested), jwt.DecryptOptions{}, row.want)
	}
}

func forgedWith(material []byte) string {
	return must(jwt.Sign(nil, must(jwk.New(material, jwk.Params{})), jwt.SignOptions{ExpiresIn: time.Minute, Now: clock}))
}

// J34: RFC 8725 §3.11, §3.12; one issuer with one key makes many kinds of tokens, and each
// is taken where it belongs and nowhere else.
func attackKinds(t *testing.T) {
	kinds := []string{
		"JWT", "at+jwt", "logout+jwt", "oauth-authz-req+jwt", "dpop+jwt", "secevent+jwt", "token-introspection+jwt", "client-authentication+jwt", "entity-statement+jwt",
	}
	for _, made := range kinds {
		text := must(jws.Sign([]byte(`{`+live+`}`), secret, jws.SignOptions{Type: made}))
		for _, wanted := range kinds {
			o := jwt.VerifyOptions{Types: []string{wanted}}
			if made == wanted {
				accepts(t, made, text, o)
			} else {
				refuses(t, made+" for "+wanted, text, o, jwt.ErrType, "jwt type invalid. expected: "+strings.ToLower(wanted))
			}
		}
	}
	for _, wanted := range kinds {
		refuses(t, "no type for "+wanted, sign(`{`+live+`}`), jwt.VerifyOptions{Types: []string{wanted}}, jwt.ErrType, "")
	}
	// An ID token has the client as its audience, an access token the API (RFC 9068 §4).
	o := jwt.VerifyOptions{Audiences: []string{"https://api.example"}}
	accepts(t, "good twin: for the API", sign(`{`+live+`,"aud":"https://api.example"}`), o)
	refuses(t, "an ID token", sign(`{`+live+`,"aud":"client","nonce":"n"}`), o, jwt.ErrAudience, "")
}
