package web

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestStaticFiles(t *testing.T) {
	h := staticFiles()
	get := func(method, target string) *http.Response {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
		return w.Result()
	}
	const script = "text/javascript; charset=utf-8"
	files := map[string]struct {
		kind string
		most int // bytes
	}{
		"style.css": {"text/css; charset=utf-8", 23 << 10}, "mark.svg": {"image/svg+xml", 512}, "mark.png": {"image/png", 3 << 10},
		"passkey.js": {script, 6 << 10}, "state.js": {script, 4 << 10}, "submit.js": {script, 64},
	}
	if all, err := staticFS.ReadDir("static"); err != nil || len(all) != len(files) {
		t.Errorf("there are %d files, %v", len(all), err)
	}
	for name, file := range files {
		ext := path.Ext(name)
		if !regexp.MustCompile(`^/static/` + strings.TrimSuffix(name, ext) + `\.[0-9a-f]{12}\` + ext + `$`).MatchString(asset(name)) {
			t.Errorf("asset(%q) = %q", name, asset(name))
		}
		for _, prefix := range []string{"", "/auth"} {
			res := get(http.MethodGet, prefix+asset(name))
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != 200 || len(body) == 0 || len(body) > file.most {
				t.Errorf("%s: %d, %d bytes, %v", name, res.StatusCode, len(body), err)
			}
			if res.Header.Get("Content-Type") != file.kind || res.Header.Get("X-Content-Type-Options") != "nosniff" ||
				res.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
				t.Errorf("%s: %v", name, res.Header)
			}
		}
		if res := get(http.MethodPost, asset(name)); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", name, res.StatusCode)
		}
		// Without its checksum, a name would be kept for ever with an old content.
		if res := get(http.MethodGet, "/static/"+name); res.StatusCode != 404 || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("plain %s: %d, %v", name, res.StatusCode, res.Header)
		}
	}
	if res := get(http.MethodHead, asset("style.css")); res.StatusCode != 200 {
		t.Errorf("HEAD: %d", res.StatusCode)
	}
	for _, target := range []string{"/static/", "/static", "/static/..%2f..%2fpage.go", "/static/%00"} {
		if res := get(http.MethodGet, target); res.StatusCode != 404 {
			t.Errorf("%s: %d", target, res.StatusCode)
		}
	}
	if asset("absent.css") != "" {
		t.Error("an absent file has no path")
	}
	css, err := staticFS.ReadFile("static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"url(", "@import", "http:", "https:"} {
		if strings.Contains(string(css), bad) {
			t.Errorf("the style sheet loads something: %s", bad)
		}
	}
}

// TestContrast computes the contrast of what is read and seen together, in
// both themes.
func TestContrast(t *testing.T) {
	css, err := staticFS.ReadFile("static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, ok := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	dark, _, ok2 := strings.Cut(dark, "\n}\n")
	if !ok || !ok2 {
		t.Fatal("the style sheet has no dark theme")
	}
	pairs := []struct {
		least  float64
		fronts string
		backs  string
	}{
		{4.5, "ink muted door door-hover", "page glow card fill"}, // WCAG 2.2 §1.4.3, text
		{4.5, "on-door", "door door-hover"},
		{4.5, "bad", "bad-fill"},
		{4.5, "good ink", "good-fill"},
		{4.5, "door ink", "tint"},
		{3, "edge ring bad good door", "page card"}, // WCAG 2.2 §1.4.11, fields, focus and icons
	}
	for theme, block := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(block, -1) {
			colours[m[1]] = luminance(t, m[2])
		}
		for _, p := range pairs {
			for _, front := range strings.Fields(p.fronts) {
				for _, back := range strings.Fields(p.backs) {
					f, ok1 := colours[front]
					b, ok2 := colours[back]
					if !ok1 || !ok2 {
						t.Fatalf("%s: no colour %s or %s", theme, front, back)
					}
					if c := (max(f, b) + .05) / (min(f, b) + .05); c < p.least {
						t.Errorf("%s: %s on %s is %.2f, want %.1f", theme, front, back, c, p.least)
					}
				}
			}
		}
	}
}

// luminance is the relative luminance of WCAG 2.2.
func luminance(t *testing.T, hex string) float64 {
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
