package main

import (
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/browsertest"
)

// TestTourInBrowser walks through all six scenes with a real browser, as somebody
// does who has just started the demo.
func TestTourInBrowser(t *testing.T) {
	demo := startDemo(t)
	b := openBrowser(t)
	b.do("the front", browsertest.Visit(demo.Tour), browsertest.Visible(`#begin`))
	b.seen("tour-front")

	b.do("to the first scene", browsertest.Click(`#begin`), browsertest.Visible(`#sign-in`))
	b.seen("tour-sign-in-before")
	b.do("to the door", browsertest.Click(`#sign-in`), browsertest.Visible(`input[name="password"]`))
	if got := ask(b, "who is expected", browsertest.Value(`input[name="login"]`)); got != demo.Users[0].Login {
		t.Errorf("the door expects %q", got)
	}
	b.do("the password", browsertest.Type(`input[name="password"]`, demo.Users[0].Password), browsertest.Submit(`input[name="password"]`), browsertest.Visible(`#signed-in`))
	b.expect(`#signed-in`, "Alice Liddell")
	b.ticked("sign-in")
	b.seen("tour-sign-in")

	b.do("to the tokens", browsertest.Click(`#next`), browsertest.Visible(`#debug-access`))
	b.expect(`main`, "who: an identifier that never changes")
	b.ticked("tokens")
	b.seen("tour-tokens")

	for which, says := range map[string]string{"id": "nonce", "access": "client_id"} {
		debugger := b.tab()
		debugger.do("the debugger", browsertest.Visit(demo.Tour+"/debugger/"+which), browsertest.Visible(`#verdict`))
		debugger.expect(`#verdict`, "Signature verified")
		debugger.expect(`#claims-view`, says)
		if got := ask(debugger, "where", chromedp.Location()); got != demo.Server+"/debugger" {
			t.Errorf("the token is in the address: %s", got)
		}
	}

	b.do("to single sign-on", browsertest.Front, browsertest.Click(`#next`), browsertest.Visible(`#open-shop`))
	b.unticked("single-sign-on")
	b.seen("tour-single-sign-on-before")
	almanac := b.tab()
	almanac.do("into the Almanac", browsertest.Visit(demo.App1), browsertest.Visible(`#came`))
	almanac.expect(`#came`, "without a screen")
	b.do("back at the tour", browsertest.Front, browsertest.Click(`#look`), browsertest.Visible(`.rooms li.in + li.in`))
	b.ticked("single-sign-on")
	b.seen("tour-single-sign-on")

	b.do("to renewal", browsertest.Click(`#next`), browsertest.Visible(`#renew`))
	b.unticked("renew")
	b.do("renewing", browsertest.Follow(`#renew`), browsertest.Visible(`#renewal`))
	b.eventually("another token", `[...document.querySelectorAll(".changed th")].some(th => th.textContent === "jti")`)
	b.eventually("of the same session", `[...document.querySelectorAll("tr:not(.changed) th")].some(th => th.textContent === "sid")`)
	b.ticked("renew")
	b.seen("tour-renew")
	b.do("a reload", browsertest.Reload(), browsertest.Visible(`#renewal`))

	b.lockedOut(demo)

	b.do("to the last scene", browsertest.Front, browsertest.Click(`#next`), browsertest.Visible(`button[value="sub"]`))
	b.unticked("break")
	b.brokenInDebugger(demo)
	b.do("back at the tour", browsertest.Front)
	for _, how := range []string{"sub", "exp", "alg"} {
		b.do("breaking "+how, browsertest.Follow(`button[value="`+how+`"]`), browsertest.Visible(`#refused`))
		b.expect(`#refused`, "401")
	}
	b.ticked("break")
	b.seen("tour-break")
	b.do("the end", browsertest.Click(`#next`), browsertest.Visible(`#finished`))
	b.seen("tour-finished")
	b.do("anew", browsertest.Click(`#again`), browsertest.Visible(`#begin`))
	b.expect(`#begin`, "Begin")
}

// lockedOut is the fifth scene, twice: Bob works in a window of his own and is locked in
// this one.
func (b *browser) lockedOut(demo addresses) {
	b.t.Helper()
	b.do("to the lock", browsertest.Click(`#next`), browsertest.Visible(`#lock`))
	b.unticked("lock")
	b.seen("tour-lock-before")
	bob := b.tab()
	for range 2 {
		bob.do("Bob signs in", browsertest.Visit(demo.Tour+"/bob"), browsertest.Click(`#bob-sign-in`), browsertest.Visible(`#calls`))
		bob.eventually("Bob works", `Number(document.getElementById("calls").textContent) > 5`)
		bob.seen("tour-bob-at-work")
		b.do("the operator's desk", browsertest.Front)
		b.eventually("his work is seen here too", `document.querySelectorAll("#strip i").length > 5`)
		b.seen("tour-lock-at-work")
		b.do("locking him", browsertest.Click(`#lock`), browsertest.Visible(`#after`))
		after, err := strconv.ParseFloat(ask(b, "the measured time", browsertest.Text(`#after`)), 64)
		if err != nil || after < 0 || after >= 1000 {
			b.t.Errorf("refused after %v ms (%v)", after, err)
		}
		b.t.Logf("refused %v ms after the lock was acknowledged", after)
		b.expect(`#bob-pane`, "403")
		b.expect(`#account`, "locked")
		b.ticked("lock")
		b.seen("tour-lock")
		bob.do("Bob's window", browsertest.Front, browsertest.Visible(`#refused-status`))
		bob.expect(`#refused-status`, "403")
		bob.expect(`#bob-pane`, "The account is disabled")
		bob.seen("tour-bob-out")
		b.do("a reload", browsertest.Front, browsertest.Reload(), browsertest.Visible(`#after`))
		b.do("letting him in again", browsertest.Click(`#unlock`), browsertest.Visible(`#bob-sign-in`))
	}
}

// brokenInDebugger changes one letter of the token where the scene says so, and brings the
// token back.
func (b *browser) brokenInDebugger(demo addresses) {
	b.t.Helper()
	debugger := b.tab()
	debugger.do("the debugger", browsertest.Visit(demo.Tour+"/debugger/access"), browsertest.Visible(`#verdict`))
	debugger.expect(`#verdict`, "Signature verified")
	broken := ask(debugger, "changing one letter", chromedp.Evaluate[string](`(field => {
		const at = field.value.indexOf(".") + 20
		field.value = field.value.slice(0, at) + (field.value[at] === "A" ? "B" : "A") + field.value.slice(at + 1)
		field.dispatchEvent(new Event("input", { bubbles: true }))
		return field.value
	})(document.getElementById("token"))`))
	debugger.eventually("the verdict changes", `document.getElementById("verdict").dataset.state === "bad"`)
	debugger.screenshots("tour-debugger-broken")
	b.do("bringing it back", browsertest.Front, browsertest.Click(`.says summary`), browsertest.Type(`#token`, broken), browsertest.Click(`#bring`), browsertest.Visible(`#refused`))
	b.expect(`#refused`, "401")
}

// seen photographs a page of the tour, and holds it to WCAG 2.2 AA.
func (b *browser) seen(name string) {
	b.t.Helper()
	v := &visitor{browser: b}
	v.measure()
	for scheme, check := range map[string]string{"light": "axe", "dark": "colours"} {
		v.do(scheme, features("prefers-color-scheme", scheme, "prefers-reduced-motion", "reduce"))
		v.says(name+" "+scheme, "access."+check+"()")
	}
	b.screenshots(name)
}

// ticked waits until the list of scenes shows one as done.
func (b *browser) ticked(scene string) {
	b.t.Helper()
	b.eventually(scene+" is ticked off", `document.querySelector('[data-step="`+scene+`"]').classList.contains("done")`)
}

// unticked checks that a scene is not done before it is done.
func (b *browser) unticked(scene string) {
	b.t.Helper()
	if got := ask(b, "the ticks", chromedp.Evaluate[string](`[...document.querySelectorAll(".rail .done")].map(li => li.dataset.step).join(" ")`)); strings.Contains(got, scene) {
		b.t.Errorf("done is %q, before %s was", got, scene)
	}
}
