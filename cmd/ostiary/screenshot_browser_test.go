package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/browsertest"
)

// scene is a picture that the documents show: docs/images/NAME.webp, and
// NAME-dark.webp where the dark theme is shown as well.
type scene struct {
	name          string
	width, height int64
	dark          bool
	come          func(b *browser, at sights) // from where the scene before it left the browser
}

// sights is what "demo --json" prints.
type sights struct {
	addresses
	App1 string
}

// scenes are all of them, in the order in which one visitor walks through them.
var scenes = []scene{
	{"attack", 1000, 750, false, func(b *browser, at sights) {
		b.do("the shop", browsertest.Visit(at.Shop), browsertest.Visible(`#sign-in`))
		b.do("filling the cart", browsertest.Click(`button[value="lantern"]`), browsertest.Visible(`#buy`))
		b.do("filling it further", browsertest.Click(`button[value="bell"]`))
		b.expect(`#cart-count`, "2")
		b.do("the attacks", browsertest.Visit(at.Shop+"/attacks"), browsertest.Visible(`#attack-price`), browsertest.Click(`#attack-price`), browsertest.Visible(`#verdict`))
		b.expect(`#verdict`, "It failed.")
	}},
	{"sign-in", 1000, 830, true, func(b *browser, at sights) {
		b.do("buying", browsertest.Visit(at.Shop), browsertest.Click(`#buy`), browsertest.Visible(`input[name="password"]`))
	}},
	{"consent", 1000, 750, false, func(b *browser, at sights) {
		b.do("signing in",
			browsertest.Type(`input[name="login"]`, at.Users[0].Login), browsertest.Type(`input[name="password"]`, at.Users[0].Password),
			browsertest.Submit(`input[name="password"]`), browsertest.Visible(`button[value="allow"]`))
	}},
	{"account", 1000, 750, true, func(b *browser, at sights) {
		b.do("consenting", browsertest.Click(`button.primary`), browsertest.Visible(`#sign-out`))
		b.do("the account", browsertest.Visit(at.Server+"/account"), browsertest.Visible(`main`))
		b.expect(`main`, "Alice Liddell")
	}},
	{"sessions", 1000, 600, false, func(b *browser, at sights) {
		b.do("the sessions", browsertest.Visit(at.Server+"/account/sessions"), browsertest.Visible(`main`))
	}},
	{"sso", 1000, 750, false, func(b *browser, at sights) {
		b.do("another application", browsertest.Visit(at.App1), browsertest.Visible(`#came`))
		b.expect(`#came`, "without a screen")
	}},
	{"locked", 1200, 900, true, func(b *browser, at sights) {
		b.do("the tour", browsertest.Visit(at.Tour), browsertest.Visible(`#begin`))
		b.do("the first scene", browsertest.Click(`#begin`), browsertest.Visible(`#sign-in`), browsertest.Click(`#sign-in`), browsertest.Visible(`#signed-in`))
		b.do("to the fifth", browsertest.Click(`#next`), browsertest.Visible(`#debug-access`), browsertest.Click(`#next`), browsertest.Visible(`#open-shop`),
			browsertest.Click(`#next`), browsertest.Visible(`#renew`), browsertest.Click(`#next`), browsertest.Visible(`#lock`))
		bob := b.tab()
		bob.do("Bob signs in", browsertest.Visit(at.Tour+"/bob"), browsertest.Click(`#bob-sign-in`), browsertest.Visible(`#calls`))
		b.do("the operator's desk", browsertest.Front)
		b.eventually("his work is seen here too", `document.querySelectorAll("#strip i").length > 5`)
		b.do("locking him", browsertest.Click(`#lock`), browsertest.Visible(`#after`))
		b.expect(`#account`, "locked")
	}},
	{"debugger", 1200, 900, true, func(b *browser, at sights) {
		b.do("the debugger", browsertest.Visit(at.Server+"/debugger"), browsertest.Visible(`#example`), browsertest.Click(`#example`))
		b.expect(`main`, "Signature verified")
	}},
}

// TestScreenshots walks through every scene. With -update, which make screenshots gives,
// it photographs them anew.
func TestScreenshots(t *testing.T) {
	demo := start[sights](t, "demo")
	b := openBrowser(t)
	for _, s := range scenes {
		light := look{"", s.width, s.height, "light"}
		b.pose(s.name, light)
		s.come(b, demo)
		if !*update {
			continue
		}
		b.shoot(s.name, light)
		if s.dark {
			b.shoot(s.name+"-dark", look{"", s.width, s.height, "dark"})
		}
	}
}

// pose gives the window its size and the page its colours, in which nothing moves.
func (b *browser) pose(name string, l look) {
	b.t.Helper()
	b.do("posing for "+name, chromedp.EmulateViewport(l.width, l.height, chromedp.EmulateScale(1.5)),
		features("prefers-color-scheme", l.scheme, "prefers-reduced-motion", "reduce"))
}

// shoot keeps a picture of what the tab shows, without a blinking caret and from the top
// of the page.
func (b *browser) shoot(name string, l look) {
	b.t.Helper()
	b.pose(name, l)
	quality := int64(80)
	picture := ask(b, "photographing "+name, func(ctx context.Context, t *chromedp.Target) ([]byte, error) {
		const still = `document.documentElement.style.caretColor = "transparent"; scrollTo(0, 0); document.fonts.ready.then(() => true)`
		if _, err := chromedp.Evaluate[bool](still, chromedp.EvalAwaitPromise)(ctx, t); err != nil {
			return nil, err
		}
		r, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatWebp, Quality: &quality})
		return r.Data, err
	})
	if len(picture) > maxPicture {
		b.t.Errorf("%s has %d bytes: show less, for every reader of the repository loads it", name, len(picture))
	}
	if err := os.WriteFile(filepath.Join(imagesFolder, name+".webp"), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

const (
	imagesFolder = "../../docs/images"
	maxPicture   = 200 << 10 // bytes
)

var (
	imageLink = regexp.MustCompile(`(?:!\[[^\]]*\]\(|(?:src|srcset)=")([^)"\s]+)`)
	codeBlock = regexp.MustCompile("(?ms)^```.*?^```$")
)

// TestImages: what the documents show is a scene, and every scene is there and shown.
func TestImages(t *testing.T) {
	known := map[string]bool{}
	for _, s := range scenes {
		known[s.name+".webp"] = false
		if s.dark {
			known[s.name+"-dark.webp"] = false
		}
	}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "examples/*/*.md"} {
		pages, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range pages {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range imageLink.FindAllStringSubmatch(codeBlock.ReplaceAllString(string(text), ""), -1) {
				at := filepath.ToSlash(filepath.Join(filepath.Dir(path), m[1]))
				name, ours := strings.CutPrefix(at, imagesFolder+"/")
				if _, ok := known[name]; !ok || !ours {
					t.Errorf("%s shows %s, which is no scene", path, m[1])
					continue
				}
				known[name] = true
			}
		}
	}
	files, err := os.ReadDir(imagesFolder)
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, f := range files {
		there = append(there, f.Name())
		if _, ok := known[f.Name()]; !ok {
			t.Errorf("docs/images/%s is of no scene: remove it", f.Name())
		}
	}
	for name, used := range known {
		if !slices.Contains(there, name) {
			t.Errorf("docs/images/%s is not there: run make screenshots", name)
		}
		if !used {
			t.Errorf("no document shows docs/images/%s", name)
		}
	}
}
