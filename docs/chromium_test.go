package docs_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/browsertest"
)

// tab is a tab of a headless Chromium, for what only a real browser can try: scripts,
// frames, and what browsers let them do.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// openTab starts a Chromium, which ends with the test.
func openTab(t *testing.T) tab {
	t.Helper()
	ctx, stop, err := browsertest.Start()
	t.Cleanup(stop)
	if err != nil {
		t.Fatal(err)
	}
	b := tab{t, ctx}
	b.do("in front", browsertest.Front)
	return b
}

func (b tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browsertest.Patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v; the page says %q", what, err, b.text("body"))
	}
}

// text is what an element says, and empty where that cannot be read.
func (b tab) text(selector string) string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, browsertest.Text(selector))
	if err != nil {
		return ""
	}
	return text
}

// expect waits until an element says something.
func (b tab) expect(selector, want string) {
	b.t.Helper()
	for deadline := time.Now().Add(browsertest.Patience); !strings.Contains(b.text(selector), want); {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s says %q, want %q in it; the page says %q", selector, b.text(selector), want, b.text("body"))
		}
	}
}

// finds runs a script that returns whether something is so.
func (b tab) finds(what, script string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browsertest.Patience)
	defer cancel()
	is, err := chromedp.Run(ctx, chromedp.Evaluate[bool](script))
	if err != nil || !is {
		b.t.Errorf("it is not so that %s (%v)", what, err)
	}
}

// count runs a script that returns a number.
func (b tab) count(script string) int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browsertest.Patience)
	defer cancel()
	n, err := chromedp.Run(ctx, chromedp.Evaluate[int](script))
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// signIn is the person at the pages of the server.
func (b tab) signIn() {
	b.t.Helper()
	b.do("signing in", browsertest.Visible(`input[name="password"]`),
		browsertest.Type(`input[name="login"]`, "alice"), browsertest.Type(`input[name="password"]`, "correct horse battery"),
		browsertest.Submit(`input[name="password"]`))
}

// agree lets the application have what it asks for.
func (b tab) agree() {
	b.t.Helper()
	b.do("agreeing", browsertest.Visible(`button[value="allow"]`), browsertest.Click(`button[value="allow"]`))
}

// clickThrough visits both applications of "Single-page applications".
func clickThrough(t *testing.T, s *session) {
	b := openTab(t)
	withBackend(b, "http://localhost:"+s.ports["8081"]+"/")
	withoutBackend(b, s, "http://localhost:"+s.ports["8083"]+"/")
}

const noTokens = `JSON.stringify(localStorage).indexOf("eyJ") < 0 && JSON.stringify(sessionStorage).indexOf("eyJ") < 0`

func withBackend(b tab, address string) {
	b.t.Helper()
	b.do("the page", browsertest.Visit(address), browsertest.Visible(`#in`), browsertest.Click(`#in a`))
	b.signIn()
	b.agree()
	b.expect("#who", "Hello, Alice Liddell.")
	b.expect("#orders", "One lantern")
	b.finds("scripts see neither the session nor a token", `!document.cookie.includes("session-") && location.search === "" && `+noTokens)
	b.do("again", browsertest.Visit(address))
	b.expect("#orders", "Two bells")
	b.do("signing out", browsertest.Click(`#out button`), browsertest.Visible(`#in`))
}

func withoutBackend(b tab, s *session, address string) {
	b.t.Helper()
	// A token that is renewed while somebody watches: a minute before its end.
	update := exec.Command(binary(b.t), "client", "update", "--data", s.root+"/work/data", "--token-life", "65s", "spa")
	if out, err := update.CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	b.do("the page", browsertest.Visit(address), browsertest.Visible(`#in`), browsertest.Click(`#in`))
	b.signIn()
	b.agree()
	b.expect("#who", "Hello, Alice Liddell.")
	b.expect("#orders", "One lantern")
	b.finds("no token outlives the page", `location.search === "" && `+noTokens)
	const calls = `performance.getEntriesByType("resource").filter((e) => e.name.endsWith("/token")).length`
	for deadline := time.Now().Add(browsertest.Patience); b.count(calls) < 3; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("the page has asked for tokens %d times only", b.count(calls))
		}
	}
	b.do("again", browsertest.Visit(address))
	b.expect("#orders", "Two bells")
	b.do("signing out", browsertest.Click(`#out`), browsertest.Visible(`#in`))
}
