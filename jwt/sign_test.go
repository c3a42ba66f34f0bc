package jwt_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
)

// payloadOf returns the texts inside a token.
func payloadOf(t *testing.T, token string) (header, payload string) {
	t.Helper()
	h, p, err := jws.DecodeUnverified(token)
	if err != nil {
		t.Fatal(err)
	}
	return string(must(json.Marshal(h))), string(p)
}

func TestSign(t *testing.T) {
	type custom struct {
		jwt.Registered
		Scope string `json:"scope,omitempty"`
	}
	all := jwt.SignOptions{ExpiresIn: time.Minute, NotBefore: -time.Second, Issuer: "i", Subject: "s", ID: "j", Audience: []string{"a"}}
	for _, row := range []struct {
		name   string
		claims any
		o      jwt.SignOptions
		want   string
	}{
		{"nothing", nil, jwt.SignOptions{}, `{"iat":1700000000}`},
		{"nothing at all", nil, jwt.SignOptions{NoTimestamp: true}, `{}`},
		{"struct", custom{Scope: "<&>"}, jwt.SignOptions{}, `{"scope":"<&>","iat":1700000000}`},
		{"pointer", &custom{Registered: jwt.Registered{Subject: "s"}}, jwt.SignOptions{}, `{"sub":"s","iat":1700000000}`},
		{"map", map[string]any{"b": 1, "a": "x"}, jwt.SignOptions{}, `{"a":"x","b":1,"iat":1700000000}`},
		{"text", json.RawMessage(` { "n" : 12345678901234567890 } `), jwt.SignOptions{}, `{ "n" : 12345678901234567890 ,"iat":1700000000}`},
		{"bytes", []byte("{ }\n"), jwt.SignOptions{}, `{ "iat":1700000000}`},
		{"all options", nil, all, `{"iat":1700000000,"nbf":1699999999,"exp":1700000060,"aud":"a","iss":"i","sub":"s","jti":"j"}`},
		{"two audiences", nil, jwt.SignOptions{Audience: []string{"a", "b"}}, `{"iat":1700000000,"aud":["a","b"]}`},
		{"quotes", nil, jwt.SignOptions{Issuer: `a"b`}, `{"iat":1700000000,"iss":"a\"b"}`},
		{"iat given", map[string]any{"iat": 1000}, jwt.SignOptions{ExpiresIn: time.Minute}, `{"iat":1000,"exp":1060}`},
		{"iat taken out", json.RawMessage(`{"a":1, "iat":1000 ,"b":{"iat":2}}`), jwt.SignOptions{NoTimestamp: true, ExpiresIn: time.Minute}, `{"a":1,"b":{"iat":2},"exp":1060}`},
		{"exp given", map[string]any{"exp": 5}, jwt.SignOptions{}, `{"exp":5,"iat":1700000000}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.o.Now = clock
			token, err := jwt.Sign(row.claims, secret, row.o)
			if err != nil {
				t.Fatal(err)
			}
			header, payload := payloadOf(t, token)
			if payload != row.want || header != `{"alg":"HS256","typ":"JWT"}` {
				t.Errorf("got %s %s, want %s", header, payload, row.want)
			}
			accepts(t, row.name, token, jwt.VerifyOptions{AllowMissingExpiration: true, IgnoreExpiration: true})
		})
	}
}

func TestSignHeader(t *testing.T) {
	k := must(jwk.New([]byte(strings.Repeat("x", 64)), jwk.Params{ID: "k1"}))
	token := must(jwt.Sign(nil, k, jwt.SignOptions{Algorithm: jwa.HS512, Type: "at+jwt", Header: map[string]any{"z": 1, "b": "x"}, Now: clock}))
	if header, _ := payloadOf(t, token); header != `{"alg":"HS512","typ":"at+jwt","kid":"k1","b":"x","z":1}` {
		t.Error(header)
	}
}

func TestSignRefuses(t *testing.T) {
	public := must(must(jwk.Generate(jwa.ES256)).Public())
	for _, row := range []struct {
		name    string
		claims  any
		key     *jwk.Key
		o       jwt.SignOptions
		want    error
		message string
	}{
		{"no key", nil, nil, jwt.SignOptions{}, jwt.ErrKey, "secretOrPrivateKey must have a value"},
		{"public key", nil, public, jwt.SignOptions{}, jwt.ErrKey, ""},
		{"algorithm of another key", nil, secret, jwt.SignOptions{Algorithm: jwa.ES256}, jwt.ErrKey, ""},
		{"none", nil, secret, jwt.SignOptions{Algorithm: "none"}, jwt.ErrKey, ""},
		{"secret too short for HS512", nil, secret, jwt.SignOptions{Algorithm: jwa.HS512}, jwt.ErrKey, ""},
		{"alg in Header", nil, secret, jwt.SignOptions{Header: map[string]any{"alg": "none"}}, jwt.ErrOptions, ""},
		{"negative life", nil, secret, jwt.SignOptions{ExpiresIn: -1}, jwt.ErrOptions, ""},
		{"a list", []int{1}, secret, jwt.SignOptions{}, jwt.ErrClaims, ""},
		{"a text that expires", "x", secret, jwt.SignOptions{ExpiresIn: 1}, jwt.ErrOptions, "invalid expiresIn option for string payload"},
		{"null", json.RawMessage(`null`), secret, jwt.SignOptions{}, jwt.ErrClaims, ""},
		{"no text", json.RawMessage{}, secret, jwt.SignOptions{}, jwt.ErrClaims, ""},
		{"nil pointer", (*jwt.Registered)(nil), secret, jwt.SignOptions{}, jwt.ErrClaims, ""},
		{"a function", map[string]any{"f": func() {}}, secret, jwt.SignOptions{}, jwt.ErrClaims, ""},
		{"a member twice", json.RawMessage(`{"a":1,"a":2}`), secret, jwt.SignOptions{}, jwt.ErrClaims, ""},
		{"not UTF-8", []byte("{\"a\":\"\xff\"}"), secret, jwt.SignOptions{}, jwt.ErrClaims, ""},
		{"exp a text", map[string]any{"exp": "tomorrow"}, secret, jwt.SignOptions{}, jwt.ErrClaims, ""},
		{"exp in milliseconds", map[string]any{"exp": 1_700_000_000_000}, secret, jwt.SignOptions{}, jwt.ErrClaims, ""},
		{"aud a number", map[string]any{"aud": 1}, secret, jwt.SignOptions{}, jwt.ErrClaims, ""},
		{"exp twice", map[string]any{"exp": 5}, secret, jwt.SignOptions{ExpiresIn: time.Hour}, jwt.ErrClaims, `Bad "options.expiresIn" option the payload already has an "exp" property.`},
		{"nbf twice", map[string]any{"nbf": 5}, secret, jwt.SignOptions{NotBefore: time.Hour}, jwt.ErrClaims, `Bad "options.notBefore" option the payload already has an "nbf" property.`},
		{"iss twice", map[string]any{"iss": "a"}, secret, jwt.SignOptions{Issuer: "a"}, jwt.ErrClaims, `Bad "options.issuer" option. The payload already has an "iss" property.`},
		{"sub twice", map[string]any{"sub": "a"}, secret, jwt.SignOptions{Subject: "a"}, jwt.ErrClaims, `Bad "options.subject" option. The payload already has an "sub" property.`},
		{"jti twice", map[string]any{"jti": "a"}, secret, jwt.SignOptions{ID: "a"}, jwt.ErrClaims, `Bad "options.jwtid" option. The payload already has an "jti" property.`},
		{"aud twice", map[string]any{"aud": "a"}, secret, jwt.SignOptions{Audience: []string{"a"}}, jwt.ErrClaims, `Bad "options.audience" option. The payload already has an "aud" property.`},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.o.Now = clock
			token, err := jwt.Sign(row.claims, row.key, row.o)
			if !errors.Is(err, row.want) || token != "" || row.message != "" && err.Error() != row.message {
				t.Errorf("got %q, %v", token, err)
			}
		})
	}
	if token, err := jwt.Sign(map[string]any{"exp": 5, "iss": "a"}, secret, jwt.SignOptions{Subject: "s", Now: clock}); err != nil {
		t.Error("good twin:", token, err)
	}
}

// A failing encoder must not spoil the next token.
func TestSignAfterFailure(t *testing.T) {
	for range 10 {
		if _, err := jwt.Sign(map[string]any{"f": func() {}}, secret, jwt.SignOptions{}); err == nil {
			t.Fatal("a function is signed")
		}
		if _, payload := payloadOf(t, must(jwt.Sign(map[string]any{"a": 1}, secret, jwt.SignOptions{NoTimestamp: true}))); payload != `{"a":1}` {
			t.Fatal(payload)
		}
	}
}

func FuzzSign(f *testing.F) {
	f.Add(`{"a":1,"iat":5}`, "issuer", false)
	f.Add(`{"iss":"x"}`, "", true)
	f.Add(`{ }`, `"`, true)
	f.Fuzz(func(t *testing.T, claims, issuer string, noTimestamp bool) {
		token, err := jwt.Sign(json.RawMessage(claims), secret, jwt.SignOptions{Issuer: issuer, NoTimestamp: noTimestamp, ExpiresIn: time.Minute, Now: clock})
		if err != nil {
			return
		}
		got, err := jwt.Verify[map[string]any](ctx, token, secret, jwt.VerifyOptions{Now: clock, IgnoreExpiration: true, IgnoreNotBefore: true})
		if err != nil {
			_, payload := payloadOf(t, token)
			t.Fatalf("%s: %v", payload, err)
		}
		if _, ok := got.Claims["iat"]; ok == noTimestamp {
			t.Fatalf("%v", got.Claims)
		}
	})
}
