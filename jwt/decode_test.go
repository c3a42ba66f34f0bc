package jwt_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwt"
)

// decode reads a payload into a C through the front door.
func decode[C any](payload string) (C, error) {
	token, err := jwt.Verify[C](ctx, sign(payload), secret, jwt.VerifyOptions{Now: clock, AllowMissingExpiration: true})
	return token.Claims, err
}

type person struct {
	Name string  `json:"name"`
	Age  int     `json:"age,omitempty"`
	Boss *person `json:"boss"`
	//lint:ignore U1000 the decoder must leave it alone
	extra string
}

type named struct {
	Name string `json:"name"`
	Only string `json:"only"`
}

type deeper struct{ named }

type Exported struct {
	Level string `json:"level"`
}

type embedding struct {
	jwt.Registered
	deeper
	*Exported
	Name    string `json:"name"` // shallower than named's
	Ignored string `json:"-"`
	//lint:ignore SA5008 how encoding/json spells the name "-"
	Dash  string `json:"-,"`
	Plain string
}

type clash struct {
	left
	right
	third
}

type (
	left  struct{ Both, Tagged string }
	right struct {
		Both   string
		Tagged string `json:"Tagged"`
	}
	third struct{ Tagged string }
)

func TestDecodeLikeEncodingJSON(t *testing.T) {
	sameAs[person](t, `{"name":"A","age":7,"boss":{"name":"B","boss":{"name":"C"}}}`)
	sameAs[person](t, `{"name":null,"age":null,"boss":null}`)
	sameAs[*person](t, `{"name":"A"}`)
	sameAs[embedding](t, `{"iss":"i","aud":"a","exp":1800000000,"name":"outer","only":"inner","level":"l","-":"dash","Plain":"p"}`)
	sameAs[embedding](t, `{"aud":["a","b"],"iat":1.5}`)
	sameAs[clash](t, `{"Both":"b","Tagged":"t"}`)
	sameAs[map[string]string](t, `{"a":"b"}`)
	sameAs[map[string]*person](t, `{"a":{"name":"A"},"b":null}`)
	sameAs[map[string][]int](t, `{"a":[1,2],"b":[],"c":null}`)
	sameAs[struct {
		A []string
		B []person `json:"b"`
		C [2]int   `json:"c"`
		D []byte   `json:"d"`
		E any      `json:"e"`
	}](t, `{"A":["x"],"b":[{"name":"A"},{"age":1}],"c":[1,2],"d":"AAEC","e":null}`)
	sameAs[struct {
		I int8        `json:"i"`
		U uint16      `json:"u"`
		F float32     `json:"f"`
		B bool        `json:"b"`
		N json.Number `json:"n"`
		S int64       `json:"s,string"`
		P *int        `json:"p"`
	}](t, `{"i":-128,"u":65535,"f":1.5,"b":true,"n":12345678901234567890,"s":"-5","p":3}`)
	sameAs[struct {
		R json.RawMessage `json:"r"`
		T time.Time       `json:"t"`
		B big.Int         `json:"b"`
		P *big.Int        `json:"p"`
	}](t, `{"r":{"a":[1]},"t":"2026-01-02T03:04:05Z","b":123456789012345678901234567890,"p":null}`)
	sameAs[json.RawMessage](t, `{"a": [1, 2]}`)
	sameAs[struct {
		A [2]person          `json:"a"`
		B [2]int             `json:"b"`
		C [1]byte            `json:"c"`
		D map[int]person     `json:"d"`
		F map[netip.Addr]int `json:"f"`
		G [1]int             `json:"g"`
		H map[uint8]string   `json:"h"`
	}](t, `{"a":[{"name":"A"}],"b":[1,2,3],"c":[255],"d":{"-1":{"age":7}},"f":{"::1":1},"g":null,"h":null}`)
}

func sameAs[C any](t *testing.T, payload string) {
	t.Helper()
	got, err := decode[C](payload)
	if err != nil {
		t.Errorf("%T: %v", got, err)
		return
	}
	var want C
	if err := json.Unmarshal([]byte(payload), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, encoding/json reads %+v", got, want)
	}
}

// Unlike encoding/json: J18, names that differ in case are other names.
func TestDecodeIsCaseSensitive(t *testing.T) {
	got, err := decode[struct {
		jwt.Registered
		Admin bool
		Inner named `json:"inner"`
	}](`{"sub":"a","SUB":"b","Sub":"c","admin":true,"inner":{"Name":"x","NAME":"y"},"INNER":{"name":"z"}}`)
	if err != nil || got.Subject != "a" || got.Admin || got.Inner.Name != "" {
		t.Errorf("%+v, %v", got, err)
	}
	rare, err := decode[struct {
		List  [1]named      `json:"list"`
		ByID  map[int]named `json:"by_id"`
		Count [1]any        `json:"count"`
	}](`{"list":[{"NAME":"x"}],"by_id":{"1":{"NAME":"x"}},"count":[12345678901234567890]}`)
	if err != nil || rare.List[0].Name != "" || rare.ByID[1].Name != "" || rare.Count[0] != json.Number("12345678901234567890") {
		t.Errorf("%+v, %v", rare, err)
	}
	// Two names of one key are one member twice.
	for _, payload := range []string{`{"m":{"1":1,"01":2}}`, `{"m":{"x":1}}`, `{"m":[1]}`} {
		if m, err := decode[struct {
			M map[int]int `json:"m"`
		}](payload); err == nil {
			t.Errorf("%s: %v", payload, m)
		}
	}
	if m, err := decode[struct {
		M [1]int `json:"m"`
	}](`{"m":{"1":1}}`); err == nil {
		t.Errorf("an object as an array: %v", m)
	}
}

// Unlike encoding/json: numbers keep every digit.
func TestNumbersStayExact(t *testing.T) {
	payload := `{"id":12345678901234567890,"list":[9007199254740993],"deep":{"x":0.1000000000000000055}}`
	got, err := decode[map[string]any](payload)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(must(json.Marshal(got))); !strings.Contains(text, "12345678901234567890") || !strings.Contains(text, "[9007199254740993]") || !strings.Contains(text, "0.1000000000000000055") {
		t.Error(text)
	}
	if n, ok := got["id"].(json.Number); !ok || n != "12345678901234567890" {
		t.Errorf("%T", got["id"])
	}
}

func TestDecodeMisfits(t *testing.T) {
	for name, f := range map[string]func() error{
		"text for a number":    func() error { _, err := decode[struct{ A int }](`{"A":"1"}`); return err },
		"number for a text":    func() error { _, err := decode[struct{ A string }](`{"A":1}`); return err },
		"fraction for an int":  func() error { _, err := decode[struct{ A int }](`{"A":1.5}`); return err },
		"exponent for an int":  func() error { _, err := decode[struct{ A int }](`{"A":1e2}`); return err },
		"too large for int8":   func() error { _, err := decode[struct{ A int8 }](`{"A":128}`); return err },
		"negative for uint":    func() error { _, err := decode[struct{ A uint }](`{"A":-1}`); return err },
		"too large for float":  func() error { _, err := decode[struct{ A float64 }](`{"A":1e400}`); return err },
		"text for a bool":      func() error { _, err := decode[struct{ A bool }](`{"A":"true"}`); return err },
		"text for a list":      func() error { _, err := decode[struct{ A []string }](`{"A":"x"}`); return err },
		"wrong element":        func() error { _, err := decode[struct{ A []string }](`{"A":["x",1]}`); return err },
		"list for a struct":    func() error { _, err := decode[struct{ A person }](`{"A":[]}`); return err },
		"list for a map":       func() error { _, err := decode[struct{ A map[string]int }](`{"A":[]}`); return err },
		"deep inside":          func() error { _, err := decode[person](`{"boss":{"boss":{"age":"old"}}}`); return err },
		"map of wrong":         func() error { _, err := decode[map[string]string](`{"a":1}`); return err },
		"a type of no JSON":    func() error { _, err := decode[struct{ A chan int }](`{"A":1}`); return err },
		"an object for a text": func() error { _, err := decode[struct{ A string }](`{"A":{}}`); return err },
		"wrong time":           func() error { _, err := decode[struct{ A jwt.Time }](`{"A":"1"}`); return err },
		"wrong audience":       func() error { _, err := decode[struct{ A jwt.Audience }](`{"A":1}`); return err },
		"wrong in a string": func() error {
			_, err := decode[struct {
				A int `json:",string"`
			}](`{"A":"1,2"}`)
			return err
		},
	} {
		var e *jwt.JSONWebTokenError
		if err := f(); !errors.Is(err, jwt.ErrClaims) || !errors.As(err, &e) || e.Cause == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// On error nothing is returned, not even what was read before.
	if got, err := decode[person](`{"name":"A","age":"x"}`); err == nil || got.Name != "" {
		t.Errorf("%+v", got)
	}
}

// wireURL is a text with rules of its own.
type wireURL struct{ url.URL }

func (u *wireURL) UnmarshalText(text []byte) error { return u.UnmarshalBinary(text) }

func TestDecodeUnmarshalers(t *testing.T) {
	got, err := decode[struct {
		A wireURL            `json:"a"`
		B *wireURL           `json:"b"`
		C []wireURL          `json:"c"`
		D map[string]wireURL `json:"d"`
	}](`{"a":"https://a.example/x","b":"https://b.example","c":["https://c.example"],"d":{"x":"https://d.example"}}`)
	if err != nil || got.A.Host != "a.example" || got.B.Host != "b.example" || got.C[0].Host != "c.example" || got.D["x"].Host != "d.example" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := decode[struct{ A wireURL }](`{"A":1}`); !errors.Is(err, jwt.ErrClaims) {
		t.Error(err)
	}
}

// The types of this package mean the same to encoding/json.
func TestTypesOutsideTokens(t *testing.T) {
	var r jwt.Registered
	if err := json.Unmarshal([]byte(`{"aud":"a","exp":1.25,"nbf":-1}`), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Audience) != 1 || r.ExpiresAt.UnixNano() != 1_250_000_000 || r.NotBefore.Unix() != -1 {
		t.Errorf("%+v", r)
	}
	for _, bad := range []string{`{"exp":"1"}`, `{"exp":null}`, `{"aud":1}`, `{"aud":[1]}`, `{"aud":null}`} {
		if err := json.Unmarshal([]byte(bad), &r); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	text := must(json.Marshal(jwt.Registered{Audience: jwt.Audience{"a"}, ExpiresAt: jwt.At(benchmarkNow.Add(500 * time.Millisecond))}))
	if string(text) != `{"aud":"a","exp":1700000000}` {
		t.Errorf("%s", text)
	}
	if text := must(json.Marshal(jwt.Audience{"a", "b"})); string(text) != `["a","b"]` {
		t.Errorf("%s", text)
	}
}
