package oauth

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

// operatorAlone are the settings that a client cannot have by saying so.
// "scopes" is there by another name, "software_statement" comes with its
// signature.
var operatorAlone = []string{
	"scopes", "audiences", "resources", "first_party", "challenge", "access_token_life", "refresh_token_idle", "refresh_token_life", "software_statement",
	"assertion_audience",
}

// Every setting is either on the list of what a client can say, or on the other:
// a new one must be put on one of them by somebody who has thought about it.
func TestMembers(t *testing.T) {
	var s model.ClientSettings
	known := map[any]string{}
	for name, field := range members {
		p := field(&s)
		if text, ok := p.(*scopeText); ok {
			p = (*[]string)(text)
		}
		if known[p] != "" {
			t.Errorf("%s and %s are one setting", name, known[p])
		}
		known[p] = name
	}
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		name, listed := known[v.Field(i).Addr().Interface()]
		switch alone := slices.Contains(operatorAlone, tag); {
		case tag == "scopes":
			if name != "scope" {
				t.Error("the scopes cannot be asked for")
			}
		case listed == alone:
			t.Errorf("%s must be on one of the two lists", tag)
		case listed && name != tag:
			t.Errorf("%s is called %s", tag, name)
		}
	}
}

func TestRedirectHosts(t *testing.T) {
	for _, host := range []string{"", "*", "*.com", "*.", "https://a.example", "a.example/", "a.example:443", "A.example", "*.*.example.com", "a@b.example", "app:", "Com.example:", "a b", "*.example.com:"} {
		if CheckRedirectHost(host) == nil {
			t.Errorf("%q is taken", host)
		}
	}
	for _, host := range []string{"a.example", "localhost", "127.0.0.1", "[::1]", "*.example.com", "com.example.app:"} {
		if err := CheckRedirectHost(host); err != nil {
			t.Error(err)
		}
	}
	r := Registration{RedirectHosts: []string{"a.example", "*.example.com", "[::1]", "com.example.app:"}}
	for uri, want := range map[string]bool{
		"https://a.example/cb": true, "https://A.EXAMPLE:8443/cb": true, "https://b.a.example/": false, "https://x.example.com/": true, "https://x.y.example.com/": true,
		"https://example.com/": false, "https://badexample.com/": false, "https://.example.com/": false, "http://[::1]:99/": true, "http://127.0.0.1/": false,
		"com.example.app:/cb": true, "com.evil.app:/cb": false, "https://a.example.evil.example/": false,
	} {
		if r.allowsRedirect(uri) != want {
			t.Errorf("%s: %v", uri, !want)
		}
	}
}

func TestDocumentID(t *testing.T) {
	for id, want := range map[string]bool{
		"https://a.example/client": true, "https://a.example:8443/": true, "https://a.example/c?x=1": true, // CIMD §3: SHOULD NOT, MAY
		"https://a.example": false, "http://a.example/c": false, "https://u@a.example/c": false, "https://a.example/c#": false, "https://a.example/./c": false,
		"https://a.example/../c": false, "https://a.example/%2E%2e/c": false, "https:///c": false, "https://a.example?x": false, "https://a.example/\u00e9": false,
		"shop": false, "": false,
	} {
		if documentID(id) != want {
			t.Errorf("%s: %v", id, !want)
		}
	}
}

// Sizes of WebP images, by the three kinds of RFC 9649.
func TestPicture(t *testing.T) {
	webp := func(kind string, data ...byte) []byte {
		b := append([]byte("RIFF\x00\x00\x00\x00WEBP"+kind+"\x00\x00\x00\x00"), data...)
		return append(b, make([]byte, 40)...)
	}
	for name, row := range map[string]struct {
		body []byte
		ok   bool
	}{
		"VP8X":         {webp("VP8X", 0, 0, 0, 0, 99, 0, 0, 49, 0, 0), true},
		"VP8X, huge":   {webp("VP8X", 0, 0, 0, 0, 0xff, 0x3f, 0, 49, 0, 0), false},
		"VP8L":         {webp("VP8L", 0x2f, 99, 0xc0, 12, 0), true},
		"VP8L, huge":   {webp("VP8L", 0x2f, 0xff, 0xff, 0xff, 0x0f), false},
		"VP8":          {webp("VP8 ", 0, 0, 0, 0x9d, 1, 0x2a, 100, 0, 50, 0), true},
		"VP8, nothing": {webp("VP8 ", 0, 0, 0, 0, 0, 0, 100, 0, 50, 0), false},
		"short":        {[]byte("RIFF\x00\x00\x00\x00WEBPVP8X"), false},
		"empty":        {nil, false},
		"BMP":          {append([]byte("BM"), make([]byte, 60)...), false},
		"SVG":          {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), false},
		"HTML":         {[]byte(`<html>`), false},
		"broken PNG":   {[]byte("\x89PNG\x0D\x0A\x1A\x0Axxxxxxxxxxxxxxxxx"), false},
	} {
		if kind, err := picture(row.body); (err == nil) != row.ok {
			t.Errorf("%s: %s %v", name, kind, err)
		}
	}
}
