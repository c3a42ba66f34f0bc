package jwt_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwt"
)

type encodeInner struct {
	City string `json:"city,omitempty"`
	Zip  uint16 `json:"zip"`
}

type encodeAll struct {
	jwt.Registered
	encodeInner        // embedded without being exported: its fields count
	Scope       string `json:"scope"`
	Empty       string `json:"empty,omitempty"`
	Untagged    string
	Number      int64        `json:"number"`
	Small       int8         `json:"small,omitempty"`
	Big         uint64       `json:"big,omitzero"`
	Yes         bool         `json:"yes"`
	No          bool         `json:"no,omitempty"`
	Roles       []string     `json:"roles"`
	Groups      []string     `json:"groups,omitempty"`
	Address     encodeInner  `json:"address"`
	AuthTime    jwt.Time     `json:"auth_time"`
	Later       jwt.Time     `json:"later,omitempty"`
	Audience2   jwt.Audience `json:"aud2"`
	URL         string       `json:"https://example.com/claim"`
	Ignored     string       `json:"-"`
	hidden      string
}

// asEncodingJSON is what encoding/json makes of claims, without its escapes for HTML.
func asEncodingJSON(t testing.TB, claims any) string {
	t.Helper()
	var buffer bytes.Buffer
	e := json.NewEncoder(&buffer)
	e.SetEscapeHTML(false)
	if err := e.Encode(claims); err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(buffer.Bytes()))
}

func signedPayload(t testing.TB, claims any) string {
	t.Helper()
	token, err := jwt.Sign(claims, secret, jwt.SignOptions{NoTimestamp: true})
	if err != nil {
		t.Fatalf("%+v: %v", claims, err)
	}
	got, err := jwt.DecodeUnverified[string](token)
	if err != nil {
		t.Fatal(err)
	}
	return got.Claims
}

// Whatever our own encoder writes, encoding/json writes as well.
func TestEncodeAsEncodingJSON(t *testing.T) {
	full := encodeAll{
		Registered:  jwt.Registered{Issuer: "https://i", Subject: "s", Audience: jwt.Audience{"a", "b"}, ExpiresAt: jwt.At(benchmarkNow), NotBefore: jwt.At(time.Unix(-5, 0)), ID: "j"},
		encodeInner: encodeInner{City: "é\u2028\u2029<&>\"\\/\x7f\x00\x01\b\f\n\r\t\x1f", Zip: 65535}, Scope: "not \xff UTF-8 \xe2\x80 \ufffd 日本 🎉",
		Number: math.MinInt64, Small: -128, Big: math.MaxUint64, Yes: true, No: true, Roles: []string{"a", "\n"}, Groups: []string{"g"},
		Address: encodeInner{City: "c"}, AuthTime: jwt.At(benchmarkNow), Audience2: jwt.Audience{"one"}, hidden: "h", Ignored: "i", Empty: "e",
	}
	type named string
	for _, claims := range []any{
		full, &full, encodeAll{}, encodeAll{Roles: []string{}, Audience2: jwt.Audience{}}, jwt.Registered{}, struct{}{}, struct{ A, B int }{1, 2},
		struct {
			A named    `json:"a"`
			B []named  `json:"b"`
			C [2]int   `json:"c"` // and these are left to encoding/json
			D *string  `json:"d"`
			E float64  `json:"e"`
			F any      `json:"f"`
			G struct{} `json:"g,omitempty"`
		}{A: "x", B: []named{"y"}},
		struct {
			A int `json:"a,string"`
		}{5},
		struct {
			encodeInner
			City string `json:"city"`
		}{encodeInner{City: "hidden"}, "seen"},
		struct {
			*jwt.Registered
			A string
		}{&jwt.Registered{Issuer: "i"}, "a"},
		struct {
			A string `json:"ключ"`
			//lint:ignore SA5008 a name that needs escaping, as old code may have it
			B string `json:"a\"b"`
			C string `json:"ok!"`
		}{"1", "2", "3"},
		struct {
			A time.Time       `json:"a"`
			B json.Number     `json:"b"`
			C json.RawMessage `json:"c"`
			D []byte
		}{benchmarkNow, "1e5", json.RawMessage(`{"x":1}`), []byte("x")},
	} {
		if got, want := signedPayload(t, claims), asEncodingJSON(t, claims); got != want {
			t.Errorf("%T:\n got %s\nwant %s", claims, got, want)
		}
	}
}

// What the encoder writes itself is checked as what it reads is.
func TestEncodeChecksClaims(t *testing.T) {
	for name, claims := range map[string]any{
		"exp too far": jwt.Registered{ExpiresAt: jwt.Time{Time: time.Unix(1<<40, 0)}},
		"exp in text": struct {
			Exp string `json:"exp"`
		}{"tomorrow"},
		"aud null": struct {
			Aud jwt.Audience `json:"aud"`
		}{},
		"aud a number": struct {
			Aud int `json:"aud"`
		}{1},
		"iss a number": struct {
			Iss int `json:"iss"`
		}{1},
		"sub an object": struct {
			Sub encodeInner `json:"sub"`
		}{},
	} {
		if _, err := jwt.Sign(claims, secret, jwt.SignOptions{}); !errors.Is(err, jwt.ErrClaims) {
			t.Errorf("%s: %v", name, err)
		}
	}
	type claims struct {
		Issued int64    `json:"iat"`
		Aud    []string `json:"aud"`
	}
	token := must(jwt.Sign(claims{1000, []string{"a"}}, secret, jwt.SignOptions{ExpiresIn: time.Minute}))
	if _, payload := payloadOf(t, token); payload != `{"iat":1000,"aud":["a"],"exp":1060}` {
		t.Error(payload)
	}
	if _, err := jwt.Sign(claims{}, secret, jwt.SignOptions{Audience: []string{"a"}}); !errors.Is(err, jwt.ErrClaims) {
		t.Error(err)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("a", "\xff\u2028\x00", int64(-1), uint64(5), true, int64(1700000000))
	f.Fuzz(func(t *testing.T, a, b string, n int64, u uint64, yes bool, at int64) {
		if at < -1e11 || at > 1e11 {
			return
		}
		claims := encodeAll{Scope: a, Untagged: b, Number: n, Big: u, Yes: yes, Roles: []string{b, a}, AuthTime: jwt.Time{Time: time.Unix(at, 0)}}
		claims.Issuer, claims.Audience, claims.City = b, jwt.Audience{a}, a
		if got, want := signedPayload(t, &claims), asEncodingJSON(t, &claims); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}
