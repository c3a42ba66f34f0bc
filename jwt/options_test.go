package jwt_test

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"2 days": 2 * day, "10h": 10 * time.Hour, "7d": 7 * day, "1.5 hrs": 90 * time.Minute, ".5h": 30 * time.Minute, "-3 min": -3 * time.Minute,
		"86400": 86400 * time.Millisecond, "1 HOUR": time.Hour, "1y": 365*day + day/4, "2 weeks": 14 * day, "999ms": 999 * time.Millisecond, "0.1s": 100 * time.Millisecond,
	} {
		if got, err := jwt.ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "h", " 1h", "1h ", "1.h", "1h30m", "1 month", "1e3", "0x10", "--1h", "1..5h", "Infinity", "1 000 s", "200y", "1\u00a0h"} {
		if got, err := jwt.ParseDuration(text); !errors.Is(err, jwt.ErrOptions) || got != 0 {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	f.Add("2 days")
	f.Add("-.5 MSECS")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := jwt.ParseDuration(text)
		if err != nil && d != 0 || d > 150*365*24*time.Hour || d < -150*365*24*time.Hour {
			t.Fatal(d, err)
		}
	})
}

func TestInsecureNone(t *testing.T) {
	token := must(jwt.InsecureSignNone(map[string]any{"a": 1}, jwt.SignOptions{ExpiresIn: time.Minute, Now: clock}))
	if header, payload := payloadOf(t, token); header != `{"alg":"none","typ":"JWT"}` || payload != `{"a":1,"iat":1700000000,"exp":1700000060}` {
		t.Fatal(header, payload)
	}
	o := jwt.VerifyOptions{Now: clock}
	if got, err := jwt.InsecureVerifyNone[map[string]any](token, o); err != nil || got.Claims["a"] != json.Number("1") || got.Signature != "" {
		t.Fatal(got, err)
	}
	refuses(t, "J1: by any other call", token, o, jwt.ErrSignature, "jwt signature is required")
	late := jwt.VerifyOptions{Now: func() time.Time { return benchmarkNow.Add(time.Hour) }}
	for name, row := range map[string]struct {
		token string
		o     jwt.VerifyOptions
		want  error
	}{
		"expired": {token, late, jwt.ErrExpired}, "signed": {sign(`{` + live + `}`), o, jwt.ErrAlgorithm}, "with a signature": {token + "AA", o, jwt.ErrSignature},
		"four parts": {token + ".", o, jwt.ErrMalformed}, "nothing": {"", o, jwt.ErrMalformed}, "a list": {token, jwt.VerifyOptions{Algorithms: []jwa.Algorithm{"none"}}, jwt.ErrOptions},
		"type": {token, jwt.VerifyOptions{Types: []string{"at+jwt"}, Now: clock}, jwt.ErrType}, "spelled otherwise": {b64(`{"alg":"None"}`) + "." + b64(`{`+live+`}`) + ".", o, jwt.ErrAlgorithm},
		"crit": {b64(`{"alg":"none","crit":["x"],"x":1}`) + "." + b64(`{`+live+`}`) + ".", o, jwt.ErrCritical},
	} {
		if got, err := jwt.InsecureVerifyNone[map[string]any](row.token, row.o); !errors.Is(err, row.want) || got.Claims != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestMutatePayload(t *testing.T) {
	o := jwt.SignOptions{MutatePayload: true, ExpiresIn: time.Minute, Audience: []string{"a", "b"}, Issuer: "i", Now: clock}
	m := map[string]any{"a": 1}
	must(jwt.Sign(m, secret, o))
	if text := string(must(json.Marshal(m))); text != `{"a":1,"aud":["a","b"],"exp":1700000060,"iat":1700000000,"iss":"i"}` {
		t.Error(text)
	}
	var claims struct {
		jwt.Registered
		A int `json:"a"`
	}
	claims.A = 5
	must(jwt.Sign(&claims, secret, o))
	if claims.A != 5 || claims.ExpiresAt.Unix() != second+60 || claims.Issuer != "i" || len(claims.Audience) != 2 {
		t.Errorf("%+v", claims)
	}
	if _, err := jwt.Sign(claims.Registered, secret, jwt.SignOptions{MutatePayload: true}); !errors.Is(err, jwt.ErrOptions) {
		t.Error(err)
	}
	untouched := map[string]any{"a": 1}
	must(jwt.Sign(untouched, secret, jwt.SignOptions{Issuer: "i"}))
	if len(untouched) != 1 {
		t.Error(untouched)
	}
}

func TestTextPayload(t *testing.T) {
	token := must(jwt.Sign("hello", secret, jwt.SignOptions{}))
	if header, payload := payloadOf(t, token); header != `{"alg":"HS256"}` || payload != "hello" {
		t.Error(header, payload)
	}
	got, err := jwt.Verify[string](ctx, token, secret, jwt.VerifyOptions{AllowMissingExpiration: true})
	if err != nil || got.Claims != "hello" {
		t.Error(got, err)
	}
	if _, err := jwt.Verify[string](ctx, token, secret, jwt.VerifyOptions{}); !errors.Is(err, jwt.ErrMissing) {
		t.Error("a text never expires:", err)
	}
	// Whatever may be claims must be claims, whoever asks for a text.
	for _, token := range []string{sign(`{"exp":1,"exp":1800000000}`), must(jws.Sign([]byte("hello"), secret, jws.SignOptions{Type: "JWT"}))} {
		if got, err := jwt.Verify[string](ctx, token, secret, jwt.VerifyOptions{AllowMissingExpiration: true}); !errors.Is(err, jwt.ErrMalformed) || got.Claims != "" {
			t.Error(got, err)
		}
	}
	if got, err := jwt.Verify[string](ctx, sign(`{`+live+`}`), secret, jwt.VerifyOptions{Now: clock}); err != nil || got.Claims != `{`+live+`}` {
		t.Error(got, err)
	}
	if _, err := jwt.Verify[string](ctx, sign(`{"exp":1}`), secret, jwt.VerifyOptions{Now: clock}); !errors.Is(err, jwt.ErrExpired) {
		t.Error(err)
	}
}

func TestAudiencePatterns(t *testing.T) {
	token := sign(`{` + live + `,"aud":["urn:api:orders"]}`)
	one := jwt.VerifyOptions{AudiencePatterns: []*regexp.Regexp{regexp.MustCompile(`^urn:api:[a-z]+$`)}}
	accepts(t, "pattern", token, one)
	refuses(t, "pattern", sign(`{`+live+`,"aud":"urn:api:Orders"}`), one, jwt.ErrAudience, "jwt audience invalid. expected: /^urn:api:[a-z]+$/")
	refuses(t, "no audience", sign(`{`+live+`}`), jwt.VerifyOptions{AudiencePatterns: []*regexp.Regexp{regexp.MustCompile(`^$|.*`)}}, jwt.ErrAudience, "")
	refuses(t, "no patterns", token, jwt.VerifyOptions{AudiencePatterns: []*regexp.Regexp{}}, jwt.ErrOptions, "")
	refuses(t, "a nil pattern", token, jwt.VerifyOptions{AudiencePatterns: []*regexp.Regexp{nil}}, jwt.ErrOptions, "")
}

func TestKeyFunc(t *testing.T) {
	type name struct{}
	keys := jws.KeyFunc(func(ctx context.Context, h jws.Header) ([]*jwk.Key, error) {
		if ctx.Value(name{}) != "x" || h.Type != "JWT" {
			return nil, jwk.ErrNotFound
		}
		return []*jwk.Key{secret}, nil
	})
	token := must(jwt.Sign(nil, secret, jwt.SignOptions{ExpiresIn: time.Minute, Now: clock}))
	o := jwt.VerifyOptions{Now: clock}
	if _, err := jwt.Verify[jwt.Registered](context.WithValue(ctx, name{}, "x"), token, keys, o); err != nil {
		t.Error(err)
	}
	if _, err := jwt.Verify[jwt.Registered](ctx, token, keys, o); !errors.Is(err, jwt.ErrKey) {
		t.Error(err)
	}
}

func TestIssuersVerifier(t *testing.T) {
	a, b := must(jwk.Generate(jwa.ES256)), must(jwk.Generate(jwa.EdDSA))
	v := must(jwt.NewIssuersVerifier[jwt.Registered](map[string]jwk.Source{"a": a, "b": b}, jwt.VerifyOptions{Now: clock}))
	sign := func(key *jwk.Key, iss string) string {
		return must(jwt.Sign(nil, key, jwt.SignOptions{Issuer: iss, ExpiresIn: time.Minute, Now: clock}))
	}
	for _, row := range []struct {
		key  *jwk.Key
		iss  string
		want error
	}{{a, "a", nil}, {b, "b", nil}, {a, "b", jwt.ErrKey}, {b, "a", jwt.ErrKey}, {a, "c", jwt.ErrIssuer}, {a, "", jwt.ErrIssuer}} {
		if got, err := v.Verify(ctx, sign(row.key, row.iss)); !errors.Is(err, row.want) || (err == nil) != (got.Claims.Issuer != "") {
			t.Errorf("%s: %v", row.iss, err)
		}
	}
	for _, token := range []string{"", "a.b", "a.b.c"} {
		if _, err := v.Verify(ctx, token); !errors.Is(err, jwt.ErrMalformed) {
			t.Error(err)
		}
	}
	if _, err := jwt.NewIssuersVerifier[jwt.Registered](nil, jwt.VerifyOptions{}); !errors.Is(err, jwt.ErrOptions) {
		t.Error(err)
	}
}

func TestRequired(t *testing.T) {
	o := jwt.VerifyOptions{Required: []string{"jti", "https://example.com/role"}}
	good := sign(`{` + live + `,"jti":"1","https:\/\/example.com/role":null}`)
	accepts(t, "all there", good, o)
	refuses(t, "one missing", sign(`{`+live+`,"jti":"1"}`), o, jwt.ErrMissing, "jwt must have the claim https://example.com/role")
	refuses(t, "in another case", sign(`{`+live+`,"JTI":"1","https://example.com/role":1}`), o, jwt.ErrMissing, "jwt must have the claim jti")
	refuses(t, "within another", sign(`{`+live+`,"x":{"jti":"1"},"https://example.com/role":1}`), o, jwt.ErrMissing, "")
	refuses(t, "expired first", sign(`{"exp":1}`), o, jwt.ErrExpired, "jwt expired")
	refuses(t, "before the audience", sign(`{`+live+`}`), jwt.VerifyOptions{Required: []string{"iat"}, Audiences: []string{"a"}}, jwt.ErrMissing, "")
	refuses(t, "an empty list", good, jwt.VerifyOptions{Required: []string{}}, jwt.ErrOptions, "")
	refuses(t, "an empty name", good, jwt.VerifyOptions{Required: []string{""}}, jwt.ErrOptions, "")
	v := must(jwt.NewVerifier[jwt.Registered](secret, jwt.VerifyOptions{Required: []string{"jti"}, CacheSize: 4, Now: clock}))
	for range 4 {
		if _, err := v.Verify(ctx, good); err != nil {
			t.Error(err)
		}
		if _, err := v.Verify(ctx, sign(`{`+live+`}`)); !errors.Is(err, jwt.ErrMissing) {
			t.Error(err)
		}
	}
	unsecured := must(jwt.InsecureSignNone(nil, jwt.SignOptions{ExpiresIn: time.Minute, Now: clock}))
	if _, err := jwt.InsecureVerifyNone[jwt.Registered](unsecured, jwt.VerifyOptions{Required: []string{"jti"}, Now: clock}); !errors.Is(err, jwt.ErrMissing) {
		t.Error(err)
	}
}

// MaxSize holds for every way to look at a token, in both directions.
func TestMaxSize(t *testing.T) {
	claims := `{` + live + `,"iss":"a","x":"` + strings.Repeat("x", 70_000) + `"}`
	signed, unsecured := sign(claims), b64(`{"alg":"none"}`)+"."+b64(claims)+"."
	for size, want := range map[int]error{0: jwt.ErrMalformed, 100: jwt.ErrMalformed, 200_000: nil, -1: jwt.ErrOptions} {
		o := jwt.VerifyOptions{MaxSize: size, Now: clock}
		_, plain := jwt.Verify[jwt.Registered](ctx, signed, secret, o)
		_, none := jwt.InsecureVerifyNone[jwt.Registered](unsecured, o)
		issuers, several := jwt.NewIssuersVerifier[jwt.Registered](map[string]jwk.Source{"a": secret}, o)
		if several == nil {
			_, several = issuers.Verify(ctx, signed)
		}
		for name, err := range map[string]error{"Verify": plain, "InsecureVerifyNone": none, "IssuersVerifier": several} {
			if !errors.Is(err, want) {
				t.Errorf("%s with MaxSize %d: %v", name, size, err)
			}
		}
	}
}

func TestInsecureKeySizes(t *testing.T) {
	short := must(jwk.New([]byte("short"), jwk.Params{InsecureSize: true}))
	token := must(jwt.Sign(nil, short, jwt.SignOptions{Algorithm: jwa.HS512, KeyID: "k", ExpiresIn: time.Minute, Now: clock}))
	if got, err := jwt.Verify[jwt.Registered](ctx, token, short, jwt.VerifyOptions{Now: clock}); err != nil || got.Header.KeyID != "k" {
		t.Error(err)
	}
	if _, err := jwk.New([]byte("short"), jwk.Params{}); !errors.Is(err, jwk.ErrWeak) {
		t.Error(err)
	}
	if _, err := jwk.New(nil, jwk.Params{InsecureSize: true}); err == nil {
		t.Error("no secret at all")
	}
	if _, err := jwk.New([]byte{}, jwk.Params{InsecureSize: true}); !errors.Is(err, jwk.ErrWeak) {
		t.Error(err)
	}
}
