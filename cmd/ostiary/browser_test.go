package main

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// addresses is what "demo --json" prints.
type addresses struct {
	Server, Tour, Shop, API, App1 string

	Users []struct{ Login, Password string }
}

// TestDemoInBrowser is the whole house in one walk, with a real browser: fill
// the cart, sign in, consent, buy, sign out. Screenshots of each page, in light
// and dark, on a desktop and on a phone, are left in OSTIARY_TEST_ARTIFACTS.
func TestDemoInBrowser(t *testing.T) {
	demo := startDemo(t)
	b := openBrowser(t)
	b.do("the shop's front", browsertest.Visit(demo.Shop), browsertest.Visible(`#sign-in`))
	b.screenshots("shop")
	b.do("filling the cart",
		browsertest.Click(`button[value="lantern"]`), browsertest.Visible(`#buy`))
	b.do("filling it further", browsertest.Click(`button[value="bell"]`))
	b.expect(`#cart-count`, "2")

	b.do("going to sign in", browsertest.Click(`#buy`), browsertest.Visible(`input[name="password"]`))
	b.screenshots("sign-in")
	b.do("a wrong password",
		browsertest.Type(`input[name="login"]`, demo.Users[0].Login), browsertest.Type(`input[name="password"]`, "wrong password"),
		browsertest.Click(`button.primary`), browsertest.Visible(`[role="alert"]`))
	b.screenshots("sign-in-wrong")
	b.do("the right password",
		browsertest.Type(`input[name="password"]`, demo.Users[0].Password),
		browsertest.Submit(`input[name="password"]`), browsertest.Visible(`button[value="allow"]`))
	b.screenshots("consent")
	b.do("consent", browsertest.Click(`button.primary`), browsertest.Visible(`#sign-out`))
	b.screenshots("shop-signed-in")
	b.expect(`#cart-count`, "2")

	b.do("buying", browsertest.Click(`#buy`), browsertest.Visible(`#receipt`))
	b.expect(`#receipt`, "Alice Liddell")
	b.screenshots("receipt")
	b.do("signing out", browsertest.Click(`#sign-out`), browsertest.Visible(`#sign-in`))
	b.do("signing in again asks again", browsertest.Click(`#sign-in`), browsertest.Visible(`input[name="password"]`))
	b.do("cancelling", browsertest.Click(`button.cancel`), browsertest.Visible(`#sign-in`))

	b.do("a request that is not valid", browsertest.Visit(demo.Server+"/authorize?client_id=nobody"), browsertest.Visible(`main`))
	b.expect(`main`, "This request is not valid")
	b.screenshots("error")
	b.do("the server's own page", browsertest.Visit(demo.Server+"/"), browsertest.Visible(`main`))
	b.screenshots("home")
	b.do("signed out", browsertest.Visit(demo.Server+"/signed-out"), browsertest.Visible(`main`))
	b.expect(`main`, "You are signed out")
	b.screenshots("signed-out")
}

// TestTabsInBrowser opens three sign-ins in one browser and finishes them in
// another order.
func TestTabsInBrowser(t *testing.T) {
	demo := startDemo(t)
	b := openBrowser(t)
	tabs := make([]*browser, 3)
	for i := range tabs {
		tabs[i] = b.tab()
		tabs[i].do("opening", browsertest.Visit(demo.Shop), browsertest.Click(`#sign-in`), browsertest.Visible(`input[name="password"]`))
	}
	for n, i := range []int{2, 0, 1} {
		tabs[i].do("signing in", browsertest.Front,
			browsertest.Type(`input[name="login"]`, demo.Users[1].Login), browsertest.Type(`input[name="password"]`, demo.Users[1].Password),
			browsertest.Submit(`input[name="password"]`))
		if n == 0 {
			tabs[i].do("consenting", browsertest.Visible(`button[value="allow"]`), browsertest.Click(`button.primary`))
		}
		tabs[i].do("being there", browsertest.Visible(`#sign-out`))
	}
	for _, tab := range tabs {
		tab.do("still there", browsertest.Front, browsertest.Visit(demo.Shop), browsertest.Visible(`#sign-out`))
	}
}

// startDemo runs the command "demo" until the test ends.
func startDemo(t *testing.T) addresses {
	t.Helper()
	return start[addresses](t, "demo")
}

// start runs a command that goes on until the test ends, and returns what it
// prints first, as JSON.
func start[T any](t *testing.T, command string) (printed T) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() {
		defer write.Close()
		code <- run(ctx, shell{[]string{"ostiary", "--json", command}, os.Stdin, write, os.Stderr, func(string) (string, bool) { return "", false }})
	}()
	t.Cleanup(func() {
		cancel()
		if got := <-code; got != 0 {
			t.Errorf("%s ended with %d", command, got)
		}
	})
	if err := json.NewDecoder(read).Decode(&printed); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, read)
	return printed
}

// browser is a tab of a headless Chromium.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// chromium is the one process that all tests share; it ends with them (TestMain).
var chromium struct {
	once sync.Once
	ctx  context.Context // of its first tab, which shows nothing
	stop func()
	err  error
}

// openBrowser opens a tab with a profile of its own, so that no test sees the cookies
// of another. With further options it is that of a further process.
func openBrowser(t *testing.T, further ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	if len(further) > 0 {
		ctx, stop, err := browsertest.Start(further...)
		t.Cleanup(stop)
		if err != nil {
			t.Fatal(err)
		}
		return &browser{t, ctx}
	}
	chromium.once.Do(func() { chromium.ctx, chromium.stop, chromium.err = browsertest.Start() })
	if chromium.err != nil {
		t.Fatal(chromium.err)
	}
	ctx, cancel := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("Chromium opens no tab: %v", err)
	}
	b := &browser{t, ctx}
	b.do("in front", browsertest.Front)
	return b
}

// tab opens a further tab of the same browser.
func (b *browser) tab() *browser {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as this context
		b.t.Fatal(err)
	}
	return &browser{b.t, ctx}
}

func (b *browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browsertest.Patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v at %s", what, err, b.where())
	}
}

// ask runs an action that returns something.
func ask[T any](b *browser, what string, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browsertest.Patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("%s: %v at %s", what, err, b.where())
	}
	return v
}

// where says what the tab shows, for a failure.
func (b *browser) where() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	address, err := chromedp.Run(ctx, chromedp.Location())
	if err != nil {
		return err.Error()
	}
	text, err := chromedp.Run(ctx, browsertest.Text("body"))
	if err != nil {
		return address
	}
	return address + ": " + text
}

// expect waits until an element says what it should: a click returns before
// the page that it leads to is there.
func (b *browser) expect(selector, want string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browsertest.Patience)
	defer cancel()
	var text string
	var err error
	for ctx.Err() == nil && !strings.Contains(text, want) {
		// While the page changes, there may be nothing to read.
		text, err = chromedp.Run(ctx, browsertest.Text(selector))
	}
	if !strings.Contains(text, want) {
		b.t.Fatalf("%s says %q, want %q in it (%v)", selector, text, want, err)
	}
}

// eventually waits until a script is true.
func (b *browser) eventually(what, script string) {
	b.t.Helper()
	deadline := time.Now().Add(browsertest.Patience)
	for !ask(b, what, chromedp.Evaluate[bool](script)) {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: not so, at %s", what, b.where())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// look is how a page is photographed.
type look struct {
	name          string
	width, height int64
	scheme        string
}

var looks = []look{
	{"desktop-light", 1280, 860, "light"}, {"desktop-dark", 1280, 860, "dark"},
	{"phone-light", 360, 780, "light"}, {"phone-dark", 360, 780, "dark"},
}

// screenshots photographs the page in every look. A page that is wider than
// its window is a fault.
func (b *browser) screenshots(name string) {
	b.t.Helper()
	for _, look := range looks {
		b.screenshot(name, look)
	}
	b.do("back to a desktop", chromedp.EmulateViewport(1280, 860))
}

func (b *browser) screenshot(name string, l look) {
	b.t.Helper()
	b.look(name, l, `document.documentElement.scrollWidth > innerWidth ? "the page is wider" : ""`)
}

// look shows the page in a look, reports the fault that an expression finds on it,
// and photographs it. Colours do not move from one scheme to the other, so that
// nobody has to wait for them.
func (b *browser) look(name string, l look, measure string) {
	b.t.Helper()
	b.do("looking at "+name, chromedp.EmulateViewport(l.width, l.height), features("prefers-color-scheme", l.scheme, "prefers-reduced-motion", "reduce"))
	// A script hears of the new size with the next frame, and may move something then.
	fault := ask(b, "measuring "+name, chromedp.Evaluate[string](measure))
	for settled := time.Now().Add(2 * time.Second); fault != "" && time.Now().Before(settled); {
		time.Sleep(20 * time.Millisecond)
		fault = ask(b, "measuring "+name, chromedp.Evaluate[string](measure))
	}
	if fault != "" {
		b.t.Errorf("%s at %d pixels: %s", name, l.width, fault)
	}
	b.photograph(name + "-" + l.name)
}

// photograph keeps a picture of what the tab shows, for people to look at. JPEG takes
// a fraction of the time of PNG.
func (b *browser) photograph(name string) {
	b.t.Helper()
	folder := os.Getenv("OSTIARY_TEST_ARTIFACTS")
	if folder == "" {
		return
	}
	quality := int64(80)
	picture := ask(b, "photographing "+name, func(ctx context.Context, t *chromedp.Target) ([]byte, error) {
		r, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatJpeg, Quality: &quality})
		return r.Data, err
	})
	if err := os.WriteFile(filepath.Join(folder, name+".jpg"), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// TestFormPostInBrowser: an answer in the mode form_post leaves the server by a
// form that sends itself, and arrives at the client's address as a post.
func TestFormPostInBrowser(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<!DOCTYPE html><p id="arrived">%s with a code: %t, an ID token: %t, state %s`,
			r.Method, r.PostFormValue("code") != "", r.PostFormValue("id_token") != "", html.EscapeString(r.PostFormValue("state")))
	}))
	t.Cleanup(site.Close)
	c, _ := h.Client("form", model.ClientSettings{
		Name: "Form", FirstParty: true, RedirectURIs: []string{site.URL + "/callback"},
		GrantTypes: []string{"authorization_code", "implicit"}, ResponseTypes: []string{"code id_token"},
	})
	b := openBrowser(t)
	b.do("signing in", browsertest.Visit(h.Issuer+servertest.AuthorizePath(c, "response_type", "code id_token", "response_mode", "form_post")),
		browsertest.Type(`input[name="login"]`, "olena"), browsertest.Type(`input[name="password"]`, "correct horse battery"),
		browsertest.Submit(`input[name="password"]`), browsertest.Visible(`#arrived`))
	b.expect(`#arrived`, "POST with a code: true, an ID token: true")
	b.expect(`#arrived`, "state the-state")
}
