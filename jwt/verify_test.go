package jwt_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
)

var ctx = context.Background()

// Tests live in the second of benchmarkNow.
func clock() time.Time { return benchmarkNow }

const second = 1_700_000_000 // benchmarkNow

var secret = must(jwk.New(bytes.Repeat([]byte("k"), 32), jwk.Params{}))

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// sign signs a payload that package jwt might not write.
func sign(payload string) string {
	return must(jws.Sign([]byte(payload), secret, jws.SignOptions{}))
}

func verify(token string, o jwt.VerifyOptions) (jwt.Token[map[string]any], error) {
	if o.Now == nil {
		o.Now = clock
	}
	return jwt.Verify[map[string]any](ctx, token, secret, o)
}

func accepts(t *testing.T, what, token string, o jwt.VerifyOptions) {
	t.Helper()
	tally.accepted++
	got, err := verify(token, o)
	if err != nil || got.Claims == nil || got.Header.Algorithm == "" {
		t.Errorf("%s: %+v, %v", what, got, err)
	}
}

// refuses checks the kind of an error, that it is no other kind, and that
// nothing is returned beside it.
func refuses(t *testing.T, what, token string, o jwt.VerifyOptions, want error, message string) {
	t.Helper()
	tally.refused++
	got, err := verify(token, o)
	if got.Claims != nil || got.Header.Algorithm != "" {
		t.Errorf("%s: something was returned: %+v", what, got)
	}
	for _, kind := range kinds {
		if errors.Is(err, kind) != (kind == want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	var e *jwt.JSONWebTokenError
	if !errors.As(err, &e) || message != "" && (e.Message != message || err.Error() != message) {
		t.Errorf("%s: got %q, want %q", what, err, message)
	}
}

var kinds = []error{
	jwt.ErrMalformed, jwt.ErrCritical, jwt.ErrAlgorithm, jwt.ErrKey, jwt.ErrSignature, jwt.ErrDecryption, jwt.ErrType, jwt.ErrClaims, jwt.ErrExpired,
	jwt.ErrNotYetValid, jwt.ErrMissing, jwt.ErrIssuer, jwt.ErrAudience, jwt.ErrSubject, jwt.ErrID, jwt.ErrNonce, jwt.ErrOptions,
}

const live = `"exp":1700000060`

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// The messages are those of jsonwebtoken.
func TestMessages(t *testing.T) {
	good := sign(`{` + live + `}`)
	plain := jwt.VerifyOptions{}
	accepts(t, "good twin", good, plain)
	parts := strings.Split(good, ".")
	refuses(t, "nothing", "", plain, jwt.ErrMalformed, "jwt must be provided")
	refuses(t, "two parts", parts[0]+"."+parts[1], plain, jwt.ErrMalformed, "jwt malformed")
	refuses(t, "four parts", good+".", plain, jwt.ErrMalformed, "jwt malformed")
	refuses(t, "five parts", good+"..", plain, jwt.ErrMalformed, "jwt malformed")
	refuses(t, "too long", good, jwt.VerifyOptions{MaxSize: 10}, jwt.ErrMalformed, "jwt malformed")
	refuses(t, "header no JSON", b64("x")+"."+parts[1]+"."+parts[2], plain, jwt.ErrMalformed, "invalid token")
	refuses(t, "payload no JSON", sign("x"), plain, jwt.ErrMalformed, "invalid token")
	refuses(t, "no signature", parts[0]+"."+parts[1]+".", plain, jwt.ErrSignature, "jwt signature is required")
	refuses(t, "J1: none", b64(`{"alg":"none"}`)+"."+parts[1]+".", plain, jwt.ErrSignature, "jwt signature is required")
	refuses(t, "J1: none, signed", b64(`{"alg":"none"}`)+"."+parts[1]+"."+parts[2], plain, jwt.ErrAlgorithm, "invalid algorithm")
	refuses(t, "bad signature", parts[0]+"."+parts[1]+"."+b64(strings.Repeat("x", 32)), plain, jwt.ErrSignature, "invalid signature")
	refuses(t, "payload changed", parts[0]+"."+b64(`{"exp":1800000000}`)+"."+parts[2], plain, jwt.ErrSignature, "invalid signature")
	refuses(t, "algorithm", good, jwt.VerifyOptions{Algorithms: []jwa.Algorithm{jwa.HS384}}, jwt.ErrAlgorithm, "invalid algorithm")
	refuses(t, "J16: crit", must(jws.Sign([]byte(`{`+live+`}`), secret, jws.SignOptions{Critical: []string{"x"}, Header: map[string]any{"x": 1}})), plain, jwt.ErrCritical, "")
	refuses(t, "expired", sign(`{"exp":1700000000}`), plain, jwt.ErrExpired, "jwt expired")
	refuses(t, "not active", sign(`{`+live+`,"nbf":1700000001}`), plain, jwt.ErrNotYetValid, "jwt not active")
	refuses(t, "J36: no exp", sign(`{}`), plain, jwt.ErrMissing, "")
	accepts(t, "no exp if allowed", sign(`{}`), jwt.VerifyOptions{AllowMissingExpiration: true})
	refuses(t, "maxAge without iat", good, jwt.VerifyOptions{MaxAge: time.Hour}, jwt.ErrMissing, "iat required when maxAge is specified")
	refuses(t, "maxAge", sign(`{`+live+`,"iat":1699999940}`), jwt.VerifyOptions{MaxAge: time.Minute}, jwt.ErrExpired, "maxAge exceeded")
	refuses(t, "nonce", sign(`{`+live+`,"nonce":"a"}`), jwt.VerifyOptions{Nonce: "b"}, jwt.ErrNonce, "jwt nonce invalid. expected: b")
	refuses(t, "jti", good, jwt.VerifyOptions{ID: "b"}, jwt.ErrID, "jwt jwtid invalid. expected: b")
	refuses(t, "sub", sign(`{`+live+`,"sub":"B"}`), jwt.VerifyOptions{Subject: "b"}, jwt.ErrSubject, "jwt subject invalid. expected: b")
	refuses(t, "iss", good, jwt.VerifyOptions{Issuers: []string{"a", "b"}}, jwt.ErrIssuer, "jwt issuer invalid. expected: a,b")
	refuses(t, "aud", good, jwt.VerifyOptions{Audiences: []string{"a", "b"}}, jwt.ErrAudience, "jwt audience invalid. expected: a or b")
	if _, err := jwt.Verify[map[string]any](ctx, good, nil, plain); !errors.Is(err, jwt.ErrKey) || err.Error() != "secret or public key must be provided" {
		t.Error(err)
	}
}

func TestErrorsCarryTimes(t *testing.T) {
	_, err := verify(sign(`{"exp":1699999999.5}`), jwt.VerifyOptions{})
	var expired *jwt.TokenExpiredError
	if !errors.As(err, &expired) || !expired.ExpiredAt.Equal(time.Unix(second-1, 5e8)) {
		t.Errorf("%+v", expired)
	}
	_, err = verify(sign(`{"iat":1699999000,"exp":1800000000}`), jwt.VerifyOptions{MaxAge: time.Minute})
	if !errors.As(err, &expired) || !expired.ExpiredAt.Equal(time.Unix(1699999060, 0)) {
		t.Errorf("%+v", expired)
	}
	_, err = verify(sign(`{"nbf":1700000100,"exp":1800000000}`), jwt.VerifyOptions{})
	var early *jwt.NotBeforeError
	if !errors.As(err, &early) || !early.Date.Equal(time.Unix(second+100, 0)) {
		t.Errorf("%+v", early)
	}
}

// J33, CVE-2024-51744: a bad signature is never reported as an expiry, nor are
// claims of it looked at.
func attackHiddenSignature(t *testing.T) {
	accepts(t, "good twin", sign(`{`+live+`}`), jwt.VerifyOptions{})
	accepts(t, "good twin: expired, and asked for", sign(`{"exp":1}`), jwt.VerifyOptions{IgnoreExpiration: true})
	for name, payload := range map[string]string{
		"expired": `{"exp":1}`, "not active": `{"exp":1800000000,"nbf":1800000000}`, "no exp": `{}`, "no JSON": `{`, "wrong type": `{"exp":"x"}`,
	} {
		token := sign(payload)
		forged := token[:strings.LastIndexByte(token, '.')+1] + b64(strings.Repeat("x", 32))
		refuses(t, name, forged, jwt.VerifyOptions{}, jwt.ErrSignature, "invalid signature")
		refuses(t, name, forged, jwt.VerifyOptions{IgnoreExpiration: true}, jwt.ErrSignature, "invalid signature")
		if _, err := verify(token, jwt.VerifyOptions{}); err == nil || errors.Is(err, jwt.ErrSignature) {
			t.Errorf("%s, twin with a good signature: %v", name, err)
		}
	}
}

// J35: RFC 8725 §3.8, §3.9.
func attackSubstitution(t *testing.T) {
	us := jwt.VerifyOptions{Issuers: []string{"https://a.example/", "https://b.example"}, Audiences: []string{"api", "https://api.example"}}
	for _, row := range []struct {
		clause, payload string
		want            error
	}{
		{"good twin", `"iss":"https://b.example","aud":"api"`, nil},
		{"RFC 7519 §4.1.3: a list", `"iss":"https://b.example","aud":["x","https://api.example"]`, nil},
		{"RFC 7519 §4.1.3: escapes", `"iss":"https:\/\/b.example","aud":["\u0061pi"]`, nil},
		{"no aud", `"iss":"https://b.example"`, jwt.ErrAudience},
		{"another's aud", `"iss":"https://b.example","aud":"other"`, jwt.ErrAudience},
		{"aud with a prefix of ours", `"iss":"https://b.example","aud":"api2"`, jwt.ErrAudience},
		{"aud a prefix of ours", `"iss":"https://b.example","aud":"https://api"`, jwt.ErrAudience},
		{"aud in another case", `"iss":"https://b.example","aud":"API"`, jwt.ErrAudience},
		{"aud empty", `"iss":"https://b.example","aud":""`, jwt.ErrAudience},
		{"aud an empty list", `"iss":"https://b.example","aud":[]`, jwt.ErrAudience},
		{"aud a list of an empty text", `"iss":"https://b.example","aud":[""]`, jwt.ErrAudience},
		{"aud null", `"iss":"https://b.example","aud":null`, jwt.ErrClaims},
		{"aud a number", `"iss":"https://b.example","aud":1`, jwt.ErrClaims},
		{"aud an object", `"iss":"https://b.example","aud":{"api":1}`, jwt.ErrClaims},
		{"aud a list in a list", `"iss":"https://b.example","aud":[["api"]]`, jwt.ErrClaims},
		{"aud a list with a number", `"iss":"https://b.example","aud":["api",1]`, jwt.ErrClaims},
		{"no iss", `"aud":"api"`, jwt.ErrIssuer},
		{"iss with a slash more", `"iss":"https://b.example/","aud":"api"`, jwt.ErrIssuer},
		{"iss with a path", `"iss":"https://b.example/other","aud":"api"`, jwt.ErrIssuer},
		{"iss in another case", `"iss":"https://B.example","aud":"api"`, jwt.ErrIssuer},
		{"iss a list", `"iss":["https://b.example"],"aud":"api"`, jwt.ErrClaims},
		{"iss null", `"iss":null,"aud":"api"`, jwt.ErrClaims},
		{"ISS", `"ISS":"https://b.example","aud":"api"`, jwt.ErrIssuer},
	} {
		token := sign(`{` + live + `,` + row.payload + `}`)
		if row.want == nil {
			accepts(t, row.clause, token, us)
		} else {
			refuses(t, row.clause, token, us, row.want, "")
		}
	}
}

// J36: RFC 7519 §2, §4.1.4.
func attackDates(t *testing.T) {
	for _, row := range []struct {
		exp  string
		want error
	}{
		{"1700000001", nil}, {"1700000000.5", nil}, {"1.700000001e9", nil}, {"253402300799", nil}, {"1700000001.0", nil},
		{"1700000000", jwt.ErrExpired}, {"1699999999.9", jwt.ErrExpired}, {"0", jwt.ErrExpired}, {"-1", jwt.ErrExpired}, {"-0", jwt.ErrExpired}, {"1e-9", jwt.ErrExpired}, {"-253402300799", jwt.ErrExpired},
		{`"1700000001"`, jwt.ErrClaims}, {`"2040-01-01T00:00:00Z"`, jwt.ErrClaims}, {"null", jwt.ErrClaims}, {"true", jwt.ErrClaims}, {"[]", jwt.ErrClaims}, {"{}", jwt.ErrClaims},
		{"253402300800", jwt.ErrClaims}, {"1e400", jwt.ErrClaims}, {"-1e400", jwt.ErrClaims}, {"1e12", jwt.ErrClaims}, {"9223372036854775808", jwt.ErrClaims}, {"1700000001000", jwt.ErrClaims},
		{"NaN", jwt.ErrMalformed}, {"Infinity", jwt.ErrMalformed}, {"0x7fffffff", jwt.ErrMalformed}, {"01800000000", jwt.ErrMalformed}, {"1_800_000_000", jwt.ErrMalformed},
	} {
		token := sign(`{"exp":` + row.exp + `}`)
		if row.want == nil {
			accepts(t, row.exp, token, jwt.VerifyOptions{})
		} else {
			refuses(t, row.exp, token, jwt.VerifyOptions{}, row.want, "")
		}
	}
	for _, name := range []string{"nbf", "iat"} {
		refuses(t, name, sign(`{`+live+`,"`+name+`":"1"}`), jwt.VerifyOptions{}, jwt.ErrClaims, "invalid "+name+" value")
		accepts(t, name, sign(`{`+live+`,"`+name+`":1}`), jwt.VerifyOptions{})
	}
	refuses(t, "EXP is not exp", sign(`{"EXP":1800000000}`), jwt.VerifyOptions{}, jwt.ErrMissing, "")
}

// J37: the leeway counts on both sides, and to the second.
func attackClock(t *testing.T) {
	const leeway = 30 * time.Second
	for _, row := range []struct {
		name, payload string
		o             jwt.VerifyOptions
		want          error
	}{
		{"exp a second ahead", `{"exp":1700000001}`, jwt.VerifyOptions{}, nil},
		{"exp now", `{"exp":1700000000}`, jwt.VerifyOptions{}, jwt.ErrExpired},
		{"exp within leeway", `{"exp":1699999971}`, jwt.VerifyOptions{Leeway: leeway}, nil},
		{"exp at the end of leeway", `{"exp":1699999970}`, jwt.VerifyOptions{Leeway: leeway}, jwt.ErrExpired},
		{"exp ignored", `{"exp":1}`, jwt.VerifyOptions{IgnoreExpiration: true}, nil},
		{"no exp, ignored", `{}`, jwt.VerifyOptions{IgnoreExpiration: true}, nil},
		{"nbf now", `{` + live + `,"nbf":1700000000}`, jwt.VerifyOptions{}, nil},
		{"nbf a second ahead", `{` + live + `,"nbf":1700000001}`, jwt.VerifyOptions{}, jwt.ErrNotYetValid},
		{"nbf within leeway", `{` + live + `,"nbf":1700000030}`, jwt.VerifyOptions{Leeway: leeway}, nil},
		{"nbf beyond leeway", `{` + live + `,"nbf":1700000031}`, jwt.VerifyOptions{Leeway: leeway}, jwt.ErrNotYetValid},
		{"nbf ignored", `{` + live + `,"nbf":1800000000}`, jwt.VerifyOptions{IgnoreNotBefore: true}, nil},
		{"iat ahead, without MaxAge", `{` + live + `,"iat":1800000000}`, jwt.VerifyOptions{}, nil},
		{"iat within MaxAge", `{` + live + `,"iat":1699999941}`, jwt.VerifyOptions{MaxAge: time.Minute}, nil},
		{"iat at MaxAge", `{` + live + `,"iat":1699999940}`, jwt.VerifyOptions{MaxAge: time.Minute}, jwt.ErrExpired},
		{"iat at MaxAge within leeway", `{` + live + `,"iat":1699999911}`, jwt.VerifyOptions{MaxAge: time.Minute, Leeway: leeway}, nil},
		{"iat at MaxAge beyond leeway", `{` + live + `,"iat":1699999910}`, jwt.VerifyOptions{MaxAge: time.Minute, Leeway: leeway}, jwt.ErrExpired},
		{"iat at MaxAge, exp ignored", `{"exp":1,"iat":1}`, jwt.VerifyOptions{MaxAge: time.Minute, IgnoreExpiration: true}, jwt.ErrExpired},
		{"iat ahead, with MaxAge", `{` + live + `,"iat":1700000001}`, jwt.VerifyOptions{MaxAge: time.Minute}, jwt.ErrNotYetValid},
		{"iat ahead within leeway", `{` + live + `,"iat":1700000030}`, jwt.VerifyOptions{MaxAge: time.Minute, Leeway: leeway}, nil},
	} {
		if row.want == nil {
			accepts(t, row.name, sign(row.payload), row.o)
		} else {
			refuses(t, row.name, sign(row.payload), row.o, row.want, "")
		}
	}
}

// J18: RFC 7519 §4; two readers must not come to two meanings.
func attackClaimsTwice(t *testing.T) {
	accepts(t, "good twin", sign(`{`+live+`,"sub":"a","x":{"sub":"b"}}`), jwt.VerifyOptions{Subject: "a"})
	for name, claims := range map[string]string{
		"sub twice": `"sub":"a","sub":"b"`, "aud twice": `"aud":"a","aud":["a"]`, "exp twice": live, "iss twice": `"iss":"a","iss":"a"`,
		"twice by escape": `"sub":"a","s\u0075b":"b"`, "nested twice": `"a":{"b":1,"b":1}`, "in a list": `"a":[{"b":1,"b":1}]`,
	} {
		refuses(t, name, sign(`{`+live+`,`+claims+`}`), jwt.VerifyOptions{}, jwt.ErrMalformed, "invalid token")
	}
	// Names that differ in case are other names: nothing folds them, and none takes the
	// place of another.
	refuses(t, "only EXP", sign(`{"EXP":1700000060}`), jwt.VerifyOptions{}, jwt.ErrMissing, "")
	refuses(t, "exp and EXP", sign(`{"exp":1,"EXP":1700000060}`), jwt.VerifyOptions{}, jwt.ErrExpired, "")
	token := sign(`{` + live + `,"sub":"a","SUB":"b","Sub":"c"}`)
	got, err := jwt.Verify[jwt.Registered](ctx, token, secret, jwt.VerifyOptions{Now: clock})
	if err != nil || got.Claims.Subject != "a" {
		t.Errorf("%+v, %v", got, err)
	}
}

// J39: RFC 8725 §3.7.
func attackClaimsJSON(t *testing.T) {
	accepts(t, "good twin", sign(` {"exp":1700000060,"a":{"b":[{}]},"é":"\ud83d\ude00"} `), jwt.VerifyOptions{})
	for name, payload := range map[string]string{
		"not UTF-8": `{` + live + ",\"sub\":\"\xff\"}", "lone surrogate": `{` + live + `,"sub":"\udead"}`, "trailing": `{` + live + `}x`, "mark": "\uFEFF{" + live + `}`,
		"comment": `{` + live + `/*x*/}`, "array": `[1]`, "string": `"{}"`, "null": `null`, "nothing": ``, "number": `1`, "two objects": `{` + live + `}{` + live + `}`,
		"UTF-16": "\xff\xfe{\x00}\x00", "a comma too many": `{` + live + `,}`, "NUL": `{` + live + "}\x00",
	} {
		refuses(t, name, sign(payload), jwt.VerifyOptions{}, jwt.ErrMalformed, "invalid token")
	}
	for _, depth := range []int{32, 100, 100_000} {
		deep := `{` + live + `,"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`
		refuses(t, fmt.Sprint(depth, " arrays"), sign(deep), jwt.VerifyOptions{MaxSize: 1 << 20}, jwt.ErrMalformed, "invalid token")
	}
	accepts(t, "31 arrays", sign(`{`+live+`,"a":`+strings.Repeat("[", 31)+strings.Repeat("]", 31)+`}`), jwt.VerifyOptions{})
}

// RFC 7515 §4.1.9, RFC 8725 §3.11.
func TestTypes(t *testing.T) {
	token := func(typ string) string {
		return must(jws.Sign([]byte(`{`+live+`}`), secret, jws.SignOptions{Type: typ}))
	}
	for _, row := range []struct {
		typ   string
		types []string
		ok    bool
	}{
		{"", nil, true}, {"anything", nil, true},
		{"at+jwt", []string{"at+jwt"}, true}, {"AT+JWT", []string{"at+jwt"}, true}, {"at+jwt", []string{"application/AT+jwt"}, true},
		{"application/at+jwt", []string{"at+jwt"}, true}, {"Application/at+jwt", []string{"logout+jwt", "at+jwt"}, true},
		{"", []string{"at+jwt"}, false}, {"JWT", []string{"at+jwt"}, false}, {"application/application/at+jwt", []string{"at+jwt"}, false},
		{"text/at+jwt", []string{"at+jwt"}, false}, {"at+jwt ", []string{"at+jwt"}, false}, {"application/", []string{"at+jwt"}, false},
	} {
		if row.ok {
			accepts(t, row.typ, token(row.typ), jwt.VerifyOptions{Types: row.types})
		} else {
			refuses(t, row.typ, token(row.typ), jwt.VerifyOptions{Types: row.types}, jwt.ErrType, "")
		}
	}
}

// Options that came out empty switch nothing off.
func TestEmptyOptions(t *testing.T) {
	good := sign(`{` + live + `,"iss":"","aud":""}`)
	accepts(t, "good twin", good, jwt.VerifyOptions{})
	for name, o := range map[string]jwt.VerifyOptions{
		"Algorithms": {Algorithms: []jwa.Algorithm{}}, "Types": {Types: []string{}}, "Issuers": {Issuers: []string{}}, "Audiences": {Audiences: []string{}},
		"a type": {Types: []string{""}}, "an issuer": {Issuers: []string{"a", ""}}, "an audience": {Audiences: []string{""}}, "none": {Algorithms: []jwa.Algorithm{"none"}},
		"Leeway": {Leeway: -1}, "MaxAge": {MaxAge: -1}, "MaxSize": {MaxSize: -1},
	} {
		refuses(t, name, good, o, jwt.ErrOptions, "")
	}
}

func TestKeySourceErrors(t *testing.T) {
	token := sign(`{` + live + `}`)
	failing := func(err error) jwk.Source {
		return jwk.SourceFunc(func(context.Context, string) ([]*jwk.Key, error) { return nil, err })
	}
	_, err := jwt.Verify[map[string]any](ctx, token, failing(fmt.Errorf("row: %w", jwk.ErrNotFound)), jwt.VerifyOptions{Now: clock})
	if !errors.Is(err, jwt.ErrKey) || !errors.Is(err, jwk.ErrNotFound) {
		t.Error(err)
	}
	got, err := jwt.Verify[map[string]any](ctx, token, failing(jwk.ErrUnavailable), jwt.VerifyOptions{Now: clock})
	var e *jwt.JSONWebTokenError
	if !errors.Is(err, jwk.ErrUnavailable) || errors.As(err, &e) || got.Claims != nil {
		t.Errorf("an outage is blamed on the token: %v", err)
	}
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			t.Errorf("an outage is %v", kind)
		}
	}
	// A map has nil for a kid that is not in it, and whoever made the token chose the kid.
	empty := map[string]*jwk.Key{}
	byMap := jwk.SourceFunc(func(_ context.Context, kid string) ([]*jwk.Key, error) { return []*jwk.Key{empty[kid]}, nil })
	for _, o := range []jwt.VerifyOptions{{Now: clock}, {Now: clock, Algorithms: []jwa.Algorithm{jwa.HS256}}} {
		if _, err := jwt.Verify[map[string]any](ctx, token, byMap, o); !errors.Is(err, jwt.ErrKey) {
			t.Errorf("no key but nil: %v", err)
		}
	}
}

// One verifier, many callers, tokens of different people.
func TestVerifierIsSafeForConcurrentUse(t *testing.T) {
	v := must(jwt.NewVerifier[jwt.Registered](secret, jwt.VerifyOptions{Now: clock}))
	s := must(jwt.NewSigner(secret, jwt.SignOptions{ExpiresIn: time.Minute, Now: clock}))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				sub := fmt.Sprintf("%d-%d-%s", i, j, strings.Repeat("x", j))
				got, err := v.Verify(ctx, must(s.Sign(map[string]any{"sub": sub})))
				if err != nil || got.Claims.Subject != sub {
					t.Errorf("%+v, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestDecodeUnverified(t *testing.T) {
	token := b64(`{"alg":"none","kid":"k"}`) + "." + b64(`{"iss":"https://a","exp":"not a date"}`) + ".AAAA"
	got, err := jwt.DecodeUnverified[struct {
		Issuer string `json:"iss"`
	}](token)
	if err != nil || got.Claims.Issuer != "https://a" || got.Header.KeyID != "k" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := jwt.DecodeUnverified[jwt.Registered](token); !errors.Is(err, jwt.ErrClaims) {
		t.Error(err)
	}
	for _, bad := range []string{"", "..", b64(`{"alg":"none"}`) + "." + b64(`{"a":1,"a":2}`) + ".", b64(`{"alg":"none"}`) + "." + b64(`[]`) + "."} {
		if got, err := jwt.DecodeUnverified[map[string]any](bad); !errors.Is(err, jwt.ErrMalformed) || got.Claims != nil {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}

// Errors say what is wrong and nothing that was in the token, unless asked.
func TestErrorText(t *testing.T) {
	_, err := verify(sign(`{`+live+`,"sub":"a","sub":"b"}`), jwt.VerifyOptions{})
	var e *jwt.JSONWebTokenError
	if !errors.As(err, &e) || e.Error() != "invalid token" || !strings.Contains(e.LogValue().String(), `"sub" appears twice`) {
		t.Errorf("%v: %v", err, e.LogValue())
	}
}

func FuzzVerify(f *testing.F) {
	for _, payload := range []string{
		`{"exp":1700000060,"iss":"a","aud":["b"],"sub":"c","nbf":1,"iat":1.5,"jti":"d","nonce":"e","x":{"y":[1,null,true]}}`, `{"exp":1e400}`, `{}`, `[]`, `{"a":1,"a":2}`,
	} {
		f.Add(payload)
	}
	type inner struct {
		Y []any
		Z *inner `json:"z"`
	}
	type all struct {
		jwt.Registered
		X inner            `json:"x"`
		M map[string]inner `json:"m"`
		N json.Number      `json:"n"`
		R json.RawMessage  `json:"r"`
		I int16            `json:"i"`
		F float64          `json:"f"`
		B []byte           `json:"b"`
	}
	f.Fuzz(func(t *testing.T, payload string) {
		token := sign(payload)
		got, err := jwt.Verify[all](ctx, token, secret, jwt.VerifyOptions{Now: clock})
		loose, looseErr := jwt.Verify[map[string]any](ctx, token, secret, jwt.VerifyOptions{Now: clock})
		if err == nil && looseErr != nil {
			t.Fatal(looseErr)
		}
		if err != nil && !errors.Is(err, jwt.ErrClaims) && looseErr == nil {
			t.Fatal(err)
		}
		if err == nil && !got.Claims.ExpiresAt.After(benchmarkNow) {
			t.Fatalf("%+v", got)
		}
		if looseErr != nil {
			return
		}
		// What was read is what encoding/json reads.
		decoder := json.NewDecoder(strings.NewReader(payload))
		decoder.UseNumber()
		var want map[string]any
		if err := decoder.Decode(&want); err != nil || fmt.Sprint(want) != fmt.Sprint(loose.Claims) {
			t.Fatalf("%v, encoding/json reads %v, %v", loose.Claims, want, err)
		}
	})
}
