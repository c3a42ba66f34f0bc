package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ostiary/ostiary/internal/strictjson"
)

func nested(depth int) string {
	return `{"a":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + "}"
}

func manyMembers(n int, last string) string {
	var b strings.Builder
	b.WriteString("{")
	for i := range n {
		fmt.Fprintf(&b, `"m%d":%d,`, i, i)
	}
	b.WriteString(last + "}")
	return b.String()
}

func TestValid(t *testing.T) {
	for _, row := range []struct{ name, text string }{
		{"empty object", `{}`},
		{"white space of RFC 8259 §2", " \t\r\n{ \"a\" : 1 , \"b\" : [ 1 , 2 ] } \n"},
		{"all kinds", `{"a":null,"b":true,"c":false,"d":-1.5e+10,"e":"x","f":[],"g":{},"h":[1,[2]],"i":{"j":{"k":0}}}`},
		{"escapes", `{"a":"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00\u0000"}`},
		{"same name on different levels", `{"a":{"a":{"a":1}},"b":{"a":1}}`},
		{"same name in siblings", `{"x":[{"a":1},{"a":2}]}`},
		{"names that differ in case are two names", `{"a":1,"A":2}`},
		{"as deep as permitted", nested(strictjson.MaxDepth)},
		{"many members", manyMembers(500, `"x":1`)},
		{"many members in a nested object", `{"o":` + manyMembers(500, `"x":1`) + `,"p":` + manyMembers(500, `"x":1`) + `}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := strictjson.Valid(row.text); err != nil {
				t.Error(err)
			}
			if !json.Valid([]byte(row.text)) {
				t.Error("encoding/json does not take it")
			}
		})
	}
}

func TestInvalid(t *testing.T) {
	for _, row := range []struct{ name, text string }{
		{"nothing", ``},
		{"only space", ` `},
		{"array", `[]`},
		{"string", `"a"`},
		{"null", `null`},
		{"RFC 7515 §4: member twice", `{"alg":"none","alg":"HS256"}`},
		{"twice by an escape", `{"alg":1,"\u0061lg":2}`},
		{"twice in a nested object", `{"a":{"b":1,"b":2}}`},
		{"twice in an object in an array", `{"a":[0,{"b":1,"b":2}]}`},
		{"twice the empty name", `{"":1,"":2}`},
		{"twice among many", manyMembers(500, `"m7":1`)},
		{"twice among many, nested", `{"o":` + manyMembers(500, `"m499":1`) + `}`},
		{"trailing object", `{}{}`},
		{"trailing letter", `{}x`},
		{"trailing NUL", "{}\x00"},
		{"trailing comma", `{"a":1,}`},
		{"trailing comma in array", `{"a":[1,]}`},
		{"comment", `{"a":1/**/}`},
		{"line comment", "{//\n}"},
		{"byte order mark", "\uFEFF{}"},
		{"UTF-16", "\x00{\x00}"},
		{"not UTF-8 in a string", "{\"a\":\"\xff\"}"},
		{"overlong UTF-8", "{\"a\":\"\xc0\x80\"}"},
		{"surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}"},
		{"lone high surrogate", `{"a":"\uD800"}`},
		{"lone low surrogate", `{"a":"\uDC00"}`},
		{"high surrogate and a letter", `{"a":"\uD800\u0061"}`},
		{"surrogates in the wrong order", `{"a":"\uDC00\uD800"}`},
		{"control character", "{\"a\":\"\n\"}"},
		{"unknown escape", `{"a":"\x41"}`},
		{"short escape", `{"a":"\u12"}`},
		{"signed escape", `{"a":"\u+123"}`},
		{"single quotes", `{'a':1}`},
		{"name without quotes", `{a:1}`},
		{"number as name", `{1:1}`},
		{"no value", `{"a":}`},
		{"no colon", `{"a" 1}`},
		{"no comma", `{"a":1 "b":2}`},
		{"no end", `{"a":1`},
		{"no end of string", `{"a":"b`},
		{"no end of escape", `{"a":"\`},
		{"no end of array", `{"a":[1`},
		{"leading zero", `{"a":01}`},
		{"plus", `{"a":+1}`},
		{"bare minus", `{"a":-}`},
		{"no digit after point", `{"a":1.}`},
		{"no digit before point", `{"a":.5}`},
		{"no digit in exponent", `{"a":1e}`},
		{"hexadecimal", `{"a":0x10}`},
		{"NaN", `{"a":NaN}`},
		{"Infinity", `{"a":-Infinity}`},
		{"true in capitals", `{"a":True}`},
		{"truth", `{"a":truth}`},
		{"vertical tab as space", "{\v}"},
		{"no-break space", "{\u00a0}"},
		{"deeper than permitted", nested(strictjson.MaxDepth + 1)},
		{"100,000 arrays", nested(100_000)},
		{"100,000 objects", strings.Repeat(`{"a":`, 100_000)},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := strictjson.Valid(row.text); !errors.Is(err, strictjson.ErrSyntax) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestScanner(t *testing.T) {
	text := `{"s":"a\nb","n":12,"big":1e400,"f":1.5,"b":true,"l":["x","y"],"o":{"p":[1, 2]},"z":null}`
	s := strictjson.New(text)
	var names []string
	for s.Next() {
		names = append(names, s.Name())
		start, end := s.Span()
		if !strings.HasPrefix(text[start:end], `"`+s.Name()+`":`) {
			t.Errorf("span of %s is %s", s.Name(), text[start:end])
		}
		checkMember(t, s.Name(), s.Value())
	}
	if s.Err() != nil || s.Next() || s.Err() != nil {
		t.Error("the end is not an error, however often one asks")
	}
	if want := []string{"s", "n", "big", "f", "b", "l", "o", "z"}; !slices.Equal(names, want) {
		t.Errorf("members %v", names)
	}
}

func checkMember(t *testing.T, name string, v strictjson.Value) {
	t.Helper()
	got := ""
	switch name {
	case "s":
		text, ok := v.Text()
		got = fmt.Sprintf("%q %v %s", text, ok, v.Raw())
	case "n":
		n, ok := v.Int()
		_, text := v.Text()
		got = fmt.Sprintf("%d %v %v", n, ok, text)
	case "big":
		_, isInt := v.Int()
		_, isFloat := v.Float()
		got = fmt.Sprint(isInt, isFloat, v.Raw())
	case "f":
		f, ok := v.Float()
		_, isInt := v.Int()
		got = fmt.Sprint(f, ok, isInt)
	case "b":
		b, ok := v.Bool()
		got = fmt.Sprint(b, ok)
	case "l":
		list, ok := v.Texts()
		got = fmt.Sprint(list, ok)
	case "o":
		inner, err := strictjson.Find(v.Raw(), "p")
		_, texts := inner.Texts()
		got = fmt.Sprint(inner.Raw(), err, texts)
	case "z":
		got = v.Kind().String()
	}
	want := map[string]string{
		"s": `"a\nb" true "a\nb"`, "n": "12 true false", "big": "false false1e400", "f": "1.5 true false",
		"b": "true true", "l": "[x y] true", "o": "[1, 2]<nil> false", "z": "null",
	}
	if got != want[name] {
		t.Errorf("%s: got %s, want %s", name, got, want[name])
	}
}

func TestParse(t *testing.T) {
	for text, ok := range map[string]bool{
		`1`: true, ` "a" `: true, `[1]`: true, `{"a":1}`: true, `null`: true,
		``: false, `1 2`: false, `1,"a":2`: false, `{"a":1,"a":2}`: false, "\"\xff\"": false, `nul`: false,
	} {
		if _, err := strictjson.Parse(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestScanAllocatesNothing(t *testing.T) {
	text := `{"iss":"https://login.example.com","sub":"a","aud":["b","c"],"exp":1,"x":{"y":[1,2,{"z":null}]}}`
	if n := testing.AllocsPerRun(100, func() {
		s := strictjson.New(text)
		for s.Next() {
		}
		if s.Err() != nil {
			t.Error(s.Err())
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzScanner holds the scanner against encoding/json: what it accepts,
// encoding/json accepts and reads in the same way.
func FuzzScanner(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"a":1}`, `{"a":"\u00e9\ud83d\ude00"}`, `{"a":[1,2,{"b":null}],"c":true}`, `{"a":1,"a":2}`, `{"a":-0.5e-7}`, nested(40),
	} {
		f.Add(text)
	}
	f.Add(`{"a":["x","\\"",["y"],"é"],"b":[ "x" , "y" ],"c":[]}`)
	f.Fuzz(func(t *testing.T, text string) {
		got := map[string]string{}
		s := strictjson.New(text)
		for s.Next() {
			if _, twice := got[s.Name()]; twice {
				t.Fatalf("%q twice", s.Name())
			}
			got[s.Name()] = s.Value().Raw()
		}
		if s.Err() != nil {
			return
		}
		if !utf8.ValidString(text) {
			t.Fatal("not UTF-8")
		}
		checkTexts(t, text)
		var want map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("encoding/json: %v", err)
		}
		if len(got) != len(want) {
			t.Fatalf("%d members, encoding/json has %d", len(got), len(want))
		}
		for name, raw := range want {
			if got[name] != string(raw) {
				t.Fatalf("%q: %s, encoding/json has %s", name, got[name], raw)
			}
		}
	})
}

func BenchmarkScan(b *testing.B) {
	text := `{"iss":"https://login.example.com/realms/production","sub":"f2c1a7de-4c1b-4df1-a8e1-6a8e8e4e0c11",` +
		`"aud":"https://api.example.com/orders","exp":1700000300,"nbf":1700000000,"iat":1700000000,` +
		`"jti":"01HF9Z3J3X0Q7T6E3GQ6Y1M5VD","scope":"openid profile email orders:read orders:write",` +
		`"client_id":"web-shop-frontend","sid":"6f1b0c9e5d5f4a1c8d0f9b7a","auth_time":1699999940}`
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := strictjson.Valid(text); err != nil {
			b.Fatal(err)
		}
	}
}

// checkTexts holds Texts against what Each and encoding/json say of the same lists.
func checkTexts(t *testing.T, text string) {
	t.Helper()
	s := strictjson.New(text)
	for s.Next() {
		if s.Value().Kind() != strictjson.Array {
			continue
		}
		all := s.Value().Each(func(v strictjson.Value) bool { return v.Kind() == strictjson.String })
		got, ok := s.Value().Texts()
		var want []string
		err := json.Unmarshal([]byte(s.Value().Raw()), &want)
		if ok != all || ok && (err != nil || !slices.Equal(got, want)) {
			t.Fatalf("%s: %q, %v; want %q", s.Value().Raw(), got, ok, want)
		}
	}
}

// Bytes that are not UTF-8 are found wherever they are, however long the text.
func TestNotUTF8(t *testing.T) {
	for n := range 40 {
		for _, text := range []string{"{\"a\":\"%s\"}", "{\"%s\":1}", "{\"a\":[{\"b\":\"%s\"}]}"} {
			for _, bad := range []string{"\xff", "\xc3", "\xed\xa0\x80", "\x80"} {
				for _, at := range []string{strings.Repeat("x", n) + bad, bad + strings.Repeat("x", n), strings.Repeat("é", n) + bad} {
					if err := strictjson.Valid(strings.Replace(text, "%s", at, 1)); !errors.Is(err, strictjson.ErrSyntax) {
						t.Fatalf("%q: %v", at, err)
					}
				}
			}
			if err := strictjson.Valid(strings.Replace(text, "%s", strings.Repeat("é", n+1), 1)); err != nil {
				t.Fatal("good twin:", err)
			}
		}
	}
	for _, text := range []string{"\xff{}", "{}\xff", "{\xff}", "{\"a\":\xff}"} {
		if err := strictjson.Valid(text); err == nil {
			t.Errorf("%q", text)
		}
	}
}
