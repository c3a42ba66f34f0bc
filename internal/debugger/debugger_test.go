package debugger_test

import (
	"bytes"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/debugger"
	"golang.org/x/net/html"
)

func open(t *testing.T, base string) *debugger.Debugger {
	t.Helper()
	d, err := debugger.New(debugger.Config{Name: "Tom & Co", Base: base})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func call(h http.Handler, method, target string) (*http.Response, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	res := w.Result()
	body, _ := io.ReadAll(res.Body) // from memory: cannot fail
	return res, string(body)
}

func TestPage(t *testing.T) {
	for _, base := range []string{"", "/auth", "/a/b/"} {
		d := open(t, base)
		base = strings.TrimRight(base, "/")
		res, body := call(d, http.MethodGet, base+"/debugger")
		if res.StatusCode != http.StatusOK || !strings.Contains(body, "Tom &amp; Co") {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
		for name, want := range map[string]string{
			"Content-Type":                 "text/html; charset=utf-8",
			"Cache-Control":                "no-store",
			"X-Frame-Options":              "DENY",
			"Referrer-Policy":              "no-referrer",
			"X-Content-Type-Options":       "nosniff",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; worker-src 'self'; connect-src 'none'; " +
				"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types ostiary-debugger",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		for _, file := range files(t, body) {
			if !strings.HasPrefix(file, base+"/debugger/") {
				t.Errorf("%s is outside of %s", file, base)
			}
			res, data := call(d, http.MethodGet, file)
			if res.StatusCode != http.StatusOK || data == "" || res.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" ||
				res.Header.Get("X-Content-Type-Options") != "nosniff" || strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
				t.Errorf("%s: %d %v", file, res.StatusCode, res.Header)
			}
		}
		for _, target := range []string{"/debugger/", "/debugger/static/page.js", "/debugger/000000000000/page.js", "/debugger/..%2fpage.html"} {
			if res, _ := call(d, http.MethodGet, base+target); res.StatusCode != http.StatusNotFound || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %v", target, res.StatusCode, res.Header)
			}
		}
		if res, _ := call(d, http.MethodPost, base+"/debugger"); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST: %d", res.StatusCode)
		}
	}
	for _, base := range []string{"auth", "//evil.example"} {
		if _, err := debugger.New(debugger.Config{Base: base}); err == nil {
			t.Errorf("the base path %q was accepted", base)
		}
	}
}

// files returns the addresses in a page, which has no script and no style of
// its own: the policy would not let them through.
func files(t *testing.T, body string) []string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ids, labelled := map[string]bool{}, map[string]bool{}
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			switch {
			case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
				t.Errorf("<%s %s> cannot work under the policy", n.Data, a.Key)
			case a.Key == "src", a.Key == "href" && n.Data == "link":
				found = append(found, a.Val)
			case a.Key == "id" && ids[a.Val]:
				t.Errorf("the id %s comes twice", a.Val)
			case a.Key == "id":
				ids[a.Val] = true
			case a.Key == "for":
				labelled[a.Val] = true
			}
			if a.Key == "aria-labelledby" && (n.Data == "textarea" || n.Data == "input") {
				labelled[attr(n, "id")] = true
			}
		}
		if (n.Data == "script" || n.Data == "style") && n.FirstChild != nil {
			t.Errorf("<%s> has content", n.Data)
		}
	}
	for n := range doc.Descendants() {
		field := n.Data == "textarea" || n.Data == "select" || n.Data == "input" && attr(n, "type") != "radio"
		if field && !labelled[attr(n, "id")] {
			t.Errorf("the field %s has no label", attr(n, "id"))
		}
	}
	return found
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func TestFetchOrigins(t *testing.T) {
	d := open(t, "/auth")
	for _, good := range []string{
		"https://login.example.com", "https://login.example.com:8443", "https://example", "https://xn--bcher-kva.example", "https://192.0.2.7",
		"http://localhost:8080", "http://localhost", "http://app.localhost:3000", "http://127.0.0.1:9000", "http://127.3.2.1",
	} {
		res, body := call(d, http.MethodGet, "/auth/debugger/fetch?origin="+url.QueryEscape(good))
		if want := "default-src 'none'; connect-src " + good; res.StatusCode != http.StatusOK || res.Header.Get("Content-Security-Policy") != want {
			t.Errorf("%s: %d, %s", good, res.StatusCode, res.Header.Get("Content-Security-Policy"))
		}
		if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || !strings.Contains(body, "onmessage") {
			t.Errorf("%s: %v", good, res.Header)
		}
	}
	for name, bad := range map[string]string{
		"nothing":                        "",
		"everything":                     "*",
		"a scheme":                       "https:",
		"a wildcard":                     "https://*.example.com",
		"a port wildcard":                "https://example.com:*",
		"a keyword":                      "'self'",
		"another directive":              "https://example.com; script-src *",
		"another source":                 "https://example.com https://evil.example",
		"another policy":                 "https://example.com, default-src *",
		"another header":                 "https://example.com\r\nSet-Cookie: a=b",
		"a line break":                   "https://example.com\n",
		"a tab":                          "https://example.com\t",
		"a path":                         "https://example.com/",
		"a query":                        "https://example.com?a",
		"a fragment":                     "https://example.com#a",
		"a user":                         "https://user@example.com",
		"a backslash":                    `https://example.com\`,
		"an escape":                      "https://example%2ecom",
		"plain http":                     "http://example.com",
		"http, disguised":                "http://localhost.example.com",
		"http, disguised as loopback":    "http://127.0.0.1.example.com",
		"http, no loopback":              "http://notlocalhost",
		"http, private":                  "http://192.168.0.1",
		"another scheme":                 "ws://localhost",
		"javascript":                     "javascript:alert(1)",
		"data":                           "data:text/plain,",
		"an opaque origin":               "null",
		"upper case":                     "https://EXAMPLE.com",
		"letters beyond ASCII":           "https://bücher.example",
		"a name with a hyphen at an end": "https://-a.example",
		"a dot at the end":               "https://example.com.",
		"two dots":                       "https://example..com",
		"a number as an address":         "https://2130706433",
		"an octal address":               "http://0127.0.0.1",
		"a hexadecimal address":          "https://0x7f.0x1",
		"IPv6":                           "http://[::1]:8080",
		"port 0":                         "https://example.com:0",
		"port 65536":                     "https://example.com:65536",
		"a port with a zero before it":   "https://example.com:0443",
		"no port":                        "https://example.com:",
		"too long":                       "https://" + strings.Repeat("a.", 150) + "example",
		"a label too long":               "https://" + strings.Repeat("a", 64) + ".example",
	} {
		res, body := call(d, http.MethodGet, "/auth/debugger/fetch?origin="+url.QueryEscape(bad))
		if res.StatusCode != http.StatusBadRequest || res.Header.Get("Content-Security-Policy") != "default-src 'none'" || strings.Contains(body, "onmessage") {
			t.Errorf("%s: %d, %s", name, res.StatusCode, res.Header.Get("Content-Security-Policy"))
		}
	}
	for _, query := range []string{"", "?origin", "?origin=https://a.example&origin=https://b.example", "?origin=https://a.example&jwk=x", "?origin=https://a.example;b", "?origin=%zz"} {
		if res, _ := call(d, http.MethodGet, "/auth/debugger/fetch"+query); res.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %d", query, res.StatusCode)
		}
	}
}

// The library is one file, says where it comes from, and has its licence with it.
func TestVendored(t *testing.T) {
	library := read(t, "static/jose.js")
	pins := read(t, "../../scripts/refresh-jose")
	for _, pin := range []string{`(?m)^JOSE=(\S+)$`, `(?m)^INTEGRITY=(\S+)$`} {
		if m := regexp.MustCompile(pin).FindStringSubmatch(pins); m == nil || !strings.Contains(library, m[1]) {
			t.Errorf("jose.js is not what scripts/refresh-jose pins: %v", m)
		}
	}
	if !strings.Contains(read(t, "static/jose.license.txt"), "The MIT License") {
		t.Error("the licence is missing")
	}
	if !bytes.Equal([]byte(read(t, "static/mark.svg")), []byte(read(t, "../web/static/mark.svg"))) {
		t.Error("the mark is not that of the other pages")
	}
}

// Nothing on the page comes from elsewhere, is stored, or is made of a text.
func TestScripts(t *testing.T) {
	for _, folder := range []string{"static", "worker"} {
		err := fs.WalkDir(os.DirFS(folder), ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || name == "jose.js" || strings.HasSuffix(name, ".svg") || strings.HasSuffix(name, ".txt") {
				return err
			}
			text := read(t, folder+"/"+name)
			for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "new Function", "localStorage", "sessionStorage", "indexedDB", "document.cookie", "sendBeacon", "XMLHttpRequest", "WebSocket", "@import", "url("} {
				if strings.Contains(text, bad) {
					t.Errorf("%s/%s has %s", folder, name, bad)
				}
			}
			if folder == "static" && strings.Contains(text, "fetch(") {
				t.Errorf("%s connects to something", name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(read(t, "static/jose.js"), "fetch(") {
		t.Error("jose.js connects to something")
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var colour = regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`)

// themes returns the colours of a style sheet, light and dark.
func themes(t *testing.T, sheet string) map[string]map[string]string {
	t.Helper()
	light, dark, ok := strings.Cut(sheet, "@media (prefers-color-scheme: dark)")
	dark, _, ok2 := strings.Cut(dark, "\n}\n")
	if !ok || !ok2 {
		t.Fatal("the style sheet has no dark theme")
	}
	all := map[string]map[string]string{}
	for name, block := range map[string]string{"light": light, "dark": dark} {
		all[name] = map[string]string{}
		for _, m := range colour.FindAllStringSubmatch(block, -1) {
			all[name][m[1]] = m[2]
		}
	}
	return all
}

// The colours are those of the other pages, and what is added to them can be read.
func TestColours(t *testing.T) {
	theirs := themes(t, read(t, "../web/static/style.css"))
	for theme, ours := range themes(t, read(t, "static/style.css")) {
		for name, value := range theirs[theme] {
			if mine, shown := ours[name]; shown && mine != value || !shown && name != "tint" { // which no part of it has
				t.Errorf("%s: %s is %s, and on the other pages %s", theme, name, ours[name], value)
			}
		}
		for _, pair := range []struct{ fronts, backs string }{ // WCAG 2.2 §1.4.3
			{"one two three four warn muted", "card"},
			{"ink", "lift"},
			{"warn ink", "warn-fill"},
			{"ink", "bad-fill good-fill"},
		} {
			for _, front := range strings.Fields(pair.fronts) {
				for _, back := range strings.Fields(pair.backs) {
					f, b := luminance(t, ours[front]), luminance(t, ours[back])
					if c := (max(f, b) + .05) / (min(f, b) + .05); c < 4.5 {
						t.Errorf("%s: %s on %s is %.2f, want 4.5", theme, front, back, c)
					}
				}
			}
		}
	}
}

// luminance is the relative luminance of WCAG 2.2.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	part := func(shift int) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= .04045 {
			return c / 12.92
		}
		return math.Pow((c+.055)/1.055, 2.4)
	}
	return .2126*part(16) + .7152*part(8) + .0722*part(0)
}
