package theme

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

func colour(t *testing.T, text string) Colour {
	t.Helper()
	c, err := ParseColour(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestContrast: pairs whose ratio is published, by WCAG 2.2 (Understanding §1.4.3, and
// technique G18) and by the contrast checker of WebAIM.
func TestContrast(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want float64
	}{
		{"#000000", "#ffffff", 21},
		{"#ffffff", "#fff", 1},
		{"#767676", "#ffffff", 4.54}, // the lightest grey that is enough on white
		{"#777777", "#ffffff", 4.48}, // the darkest that is not
		{"#949494", "#ffffff", 3.03},
		{"#595959", "#ffffff", 7},
		{"#0000ff", "#ffffff", 8.59},
		{"#ff0000", "#ffffff", 4},
		{"#008000", "#ffffff", 5.14},
		{"#ffff00", "#000000", 19.56},
	} {
		a, b := colour(t, c.a), colour(t, c.b)
		if got := Contrast(a, b); math.Abs(got-c.want) > .005 || got != Contrast(b, a) {
			t.Errorf("%s with %s: %.3f, want %.2f", c.a, c.b, got, c.want)
		}
	}
	for _, bad := range []string{"", "red", "#12", "#12345", "#1234567", "#gggggg", "1b664d", "#+1234f", "rgb(1,2,3)", "#1b664d;}body{display:none", strings.Repeat("#", 1000)} {
		if _, err := ParseColour(bad); err == nil || len(err.Error()) > 200 {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestColours: what cannot be seen is refused with the ratio and with a colour that
// is taken, and what is taken can be seen on everything.
func TestColours(t *testing.T) {
	for _, c := range []struct {
		colours Colours
		part    string
		says    string
	}{
		{Colours{}, "", ""},
		{Colours{Accent: "#0b5cad", AccentDark: "#8ab4f8"}, "", ""},
		{Colours{Accent: "#ffcc00"}, "accent", "#ffcc00 has a contrast of 1.51:1 with the card (#ffffff), and text needs 4.5:1 (WCAG 2.2 §1.4.3): the nearest that has it is #"},
		{Colours{AccentDark: "#0b5cad"}, "accent-dark", "with the card (#161a18)"},
		{Colours{Background: "#555555"}, "background", "with the text (#191d1b)"},
		{Colours{Background: "#cccccc"}, "background", "with the quiet text (#5a625d)"},
		{Colours{Background: "#e0e0e0"}, "", ""},
		{Colours{BackgroundDark: "#777777"}, "background-dark", "with the text (#eceeea)"},
		{Colours{Accent: "#737373"}, "accent", "with the fill of a row (#f4f3ef)"},
		// Enough on white and on the usual background, but not on this one.
		{Colours{Accent: "#6e6e6e", Background: "#eaeaea"}, "accent", "with the background (#eaeaea)"},
		{Colours{Accent: "blue"}, "accent", `"blue" is not a colour`},
		{Colours{BackgroundDark: "url(x)"}, "background-dark", "is not a colour"},
	} {
		err := c.colours.Check()
		var part *PartError
		if c.part == "" {
			if err != nil {
				t.Errorf("%+v: %v", c.colours, err)
			}
			continue
		}
		if !errors.As(err, &part) || part.Part != c.part || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %s: %s", c.colours, err, c.part, c.says)
		}
	}
}

func TestNearest(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		c := rgb(random.Uint32() & 0xffffff)
		for _, s := range []scheme{light, dark} {
			s.page = s.ofBackground(rgb(random.Uint32() & 0xffffff))
			if err := hold(s.page, s.signs(), s.page); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			accent := s.ofAccent(c)
			if err := hold(accent, s.grounds(), accent); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			// What is derived from it can be read as well.
			hover := s.hover(accent)
			if err := hold(hover, s.grounds(), hover); err != nil {
				t.Fatalf("%s: under a pointer: %v", s.name, err)
			}
			if tint := s.tint(accent); Contrast(accent, tint) < ofText || Contrast(s.ink, tint) < ofText {
				t.Fatalf("%s: %v on its tint %v", s.name, accent, tint)
			}
			if hold(c, s.grounds(), c) == nil && accent != c {
				t.Fatalf("%s: %v is good and became %v", s.name, c, accent)
			}
		}
	}
	// It is the nearest of its hue: a little further it would not do.
	var low *ContrastError
	if err := (Colours{Accent: "#ff6600"}).Check(); !errors.As(err, &low) {
		t.Fatal("orange text on white")
	}
	if worst := Contrast(low.Nearest, light.fill); worst < 4.5 || worst > 4.6 {
		t.Errorf("the nearest to orange is %v, whose contrast is %.2f", low.Nearest, worst)
	}
	if n := low.Nearest; n.R <= n.G || n.G < n.B {
		t.Errorf("%v is no orange", n)
	}
}

func TestStyle(t *testing.T) {
	for _, c := range []struct {
		colours   Colours
		want, not []string
	}{
		{Colours{}, nil, []string{":"}},
		{Colours{Accent: "#0b5cad"}, []string{":root { --door: #0b5cad; --door-hover: #", " --tint: #", "prefers-color-scheme: dark) {\n:root { --door: #"}, []string{"--page"}},
		{Colours{AccentDark: "#8ab4f8"}, []string{"@media (prefers-color-scheme: dark) {\n:root { --door: #8ab4f8;"}, []string{"--page"}},
		{Colours{Background: "#ffffff"}, []string{":root { --page: #ffffff; --glow: #ffffff; --edge: #858d87; }"}, []string{"--door", "@media"}},
		{Colours{BackgroundDark: "#000000"}, []string{"@media (prefers-color-scheme: dark) {\n:root { --page: #000000;"}, []string{"--door"}},
		// Two that each stood the test, from two places: mended.
		{Colours{Accent: "#6e6e6e"}.Over(Colours{Background: "#eaeaea", Accent: "#0b5cad"}), []string{"--page: #eaeaea", "--door: #6"}, []string{"#6e6e6e", "#0b5cad"}},
		// Nothing but colours gets out.
		{Colours{Accent: "red;} body { display: none", Background: "x"}, nil, []string{"red", "display", "x;"}},
	} {
		got := c.colours.Style()
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%+v: %q is not in\n%s", c.colours, w, got)
			}
		}
		for _, n := range c.not {
			if strings.Contains(got, n) {
				t.Errorf("%+v: %q is in\n%s", c.colours, n, got)
			}
		}
		if err := CheckSheet(got); err != nil {
			t.Errorf("%+v: %v in\n%s", c.colours, err, got)
		}
	}
}

// TestSheet: what would load something from elsewhere, however it is written.
func TestSheet(t *testing.T) {
	for _, c := range []struct{ name, sheet, says string }{
		{"nothing", "", ""},
		{"rules", "/* url(https://x.test/) */ .card { border-radius: 0 }\n@media (min-width: 40rem) { .brand a::before { content: \"https://in.text/\" } }", ""},
		{"an own file", ".a { background: url(/static/x.png) } .b { background: url( '/x' ) }", ""},
		{"a picture in itself", `.a { background: url("data:image/png;base64,iVBORw0KGgo=") }`, ""},
		{"a part of the page", ".a { clip-path: url(#x) }", ""},
		{"a set of types", `.a { background: image-set("/a.png" type("image/png") 1x) }`, ""},
		{"custom properties and colours", ":root { --door: #123456; width: calc((1px + 2px) * 3) } a[href^='x']:not(.b) {}", ""},
		{"an escape in a name", `.a\:b, .\31 0 { color: red }`, ""},

		{"import", `@import "https://evil.test/x.css";`, "@import would load"},
		{"import of an own file", `@IMPORT url(/x.css);`, "@import would load"},
		{"import, escaped", `@\69 mport "/x";`, "@import would load"},
		{"import, six digits", `@\000049mport "/x";`, "@import would load"},
		{"another origin", ".a { background: url(https://evil.test/a.png) }", `"https://evil.test/a.png" is not of this server`},
		{"in quotes", `.a { background: url("https://evil.test/a.png") }`, "is not of this server"},
		{"capitals and spaces", ".a { background: URL(\n HTTPS://evil.test/a.png\n) }", "line 3"},
		{"an escaped url", `.a { background: u\72l(https://evil.test/a) }`, "is not of this server"},
		{"an escaped address", `.a { background: url(\68ttps://evil.test/a) }`, "is not of this server"},
		{"without a scheme", ".a { background: url(//evil.test/a) }", "is not of this server"},
		{"without a scheme, escaped", `.a { background: url(/\2f evil.test/a) }`, "is not of this server"},
		{"a backslash for a slash", `.a { background: url("/\\evil.test/a") }`, "is not of this server"},
		{"a tab in between", ".a { background: url('/\t/evil.test/a') }", "is not of this server"},
		{"a line within a text", ".a { background: url('https:\\\n//evil.test/a') }", "is not of this server"},
		{"a relative address", ".a { background: url(x.png) }", "is not of this server"},
		{"a script", ".a { background: url(javascript:alert(1)) }", "in quotes"},
		{"a document in itself", `.a { background: url("data:text/html,x") }`, "is not of this server"},
		{"a font", `@font-face { font-family: x; src: url("https://fonts.test/x.woff2") format("woff2") }`, "is not of this server"},
		{"a set", `.a { background: image-set("https://evil.test/a.png" 1x) }`, "is not of this server"},
		{"an old set", `.a { background: -webkit-image-set(url(https://evil.test/a.png) 1x) }`, "is not of this server"},
		{"src", `.a { background: src("https://evil.test/a.png") }`, "is not of this server"},
		{"behind a value", `input[value^="a"] { background: url(https://evil.test/?a) }`, "is not of this server"},
		{"behind a comment that does not end it", "/* a */ .a { background: url(https://evil.test/?/*) }", "is not of this server"},

		{"an open comment", "/* url(", "a comment is not closed"},
		{"an open text", `.a { content: "x }`, "a text in quotes is not closed"},
		{"a text over lines", ".a { content: \"x\n\" }", "line 1: a text in quotes goes beyond its line"},
		{"an open block", "a { color: red", "it ends before a { is closed"},
		{"a block that closes another", ".a { } } body { display: none }", "a } closes nothing"},
		{"crossed brackets", ".a { b: (] }", "a ] closes nothing"},
		{"an open address", ".a { background: url(/x", "a url( is not closed"},
		{"too deep", strings.Repeat("{", 1000), "too deep"},
		{"too long", strings.Repeat("a", MaxSheet+1), "larger than 32 KiB"},
		{"no text", "a { color: red }\xff", "not UTF-8"},
		{"a NUL", "a {\x00}", "not UTF-8"},
		{"an escape at the end", `a\`, ""},
	} {
		err := CheckSheet(c.sheet)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}

func FuzzSheet(f *testing.F) {
	for _, s := range []string{"", "a{b:url(x)}", `@import "x"`, `\`, "u\\72l(", "-", "#", "@", "url(  ", "'\\\n'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if err := CheckSheet(s); err == nil && strings.Contains(strings.ToLower(s), "@import") && !strings.ContainsAny(s, `/"'\`) {
			t.Errorf("%q has an @import", s)
		}
	})
}

func TestPicture(t *testing.T) {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 320, 100))); err != nil {
		t.Fatal(err)
	}
	const svg = `<?xml version="1.0"?><!-- a --><svg xmlns="http://www.w3.org/2000/svg" `
	for _, c := range []struct {
		name, data    string
		kind          string
		width, height int
		wordmark      bool
	}{
		{"PNG", b.String(), "image/png", 320, 100, true},
		{"SVG", svg + `viewBox="0 0 24 24"><path/></svg>`, "image/svg+xml", 24, 24, false},
		{"SVG by its size", svg + `width="100px" height="40"/>`, "image/svg+xml", 100, 40, true},
		{"ICO", "\x00\x00\x01\x00\x01\x00\x20\x20\x00\x00", "image/x-icon", 32, 32, false},
		{"WebP", "RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x07\xc0\x00\x00\x00\x00\x00\x00\x00", "image/webp", 8, 4, true},
		{"SVG without a size", svg + `/>`, "", 0, 0, false},
		{"SVG of no size", svg + `viewBox="0 0 0 24"/>`, "", 0, 0, false},
		{"SVG that is NaN", svg + `viewBox="0 0 NaN 24"/>`, "", 0, 0, false},
		{"an HTML page", `<html xmlns="http://www.w3.org/1999/xhtml" width="1" height="1"/>`, "", 0, 0, false},
		{"a broken PNG", b.String()[:20], "", 0, 0, false},
		{"text", "logo", "", 0, 0, false},
		{"nothing", "", "", 0, 0, false},
		{"too much", b.String() + strings.Repeat("x", MaxPicture), "", 0, 0, false},
	} {
		p, err := ParsePicture([]byte(c.data))
		if (err == nil) != (c.kind != "") || p.Type != c.kind || p.Width != c.width || p.Height != c.height || err == nil && p.Wordmark() != c.wordmark {
			t.Errorf("%s: %s %d×%d wordmark %t, %v", c.name, p.Type, p.Width, p.Height, p.Wordmark(), err)
		}
	}
}

// TestUsual: what is computed here stands on the colours that the pages have.
func TestUsual(t *testing.T) {
	css, err := os.ReadFile("../web/static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	first, second, _ := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	for s, text := range map[scheme]string{light: first, dark: second} {
		for name, c := range map[string]Colour{
			"page": s.page, "card": s.card, "fill": s.fill, "ink": s.ink, "muted": s.muted, "edge": s.edge,
			"door": s.accent, "ring": s.accent, "on-door": s.onAccent,
		} {
			if !strings.Contains(text, "--"+name+": "+c.String()+";") {
				t.Errorf("%s: %s is not %v", s.name, name, c)
			}
		}
	}
}
