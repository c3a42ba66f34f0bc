package main

import (
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestTourInBrowser walks through all six scenes with a real browser, as somebody
// does who has just started the demo.
func TestTourInBrowser(t *testing.T) {
	demo := startDemo(t)
	b := openBrowser(t)
	b.do("the front", chromedp.Navigate(demo.Tour), chromedp.WaitVisible(`#begin`))
	b.screenshots("tour-front")

	b.do("to the first scene", chromedp.Click(`#begin`), chromedp.WaitVisible(`#sign-in`))
	b.screenshots("tour-sign-in-before")
	b.do("to the door", chromedp.Click(`#sign-in`), chromedp.WaitVisible(`input[name="password"]`))
	if got := ask(b, "who is expected", chromedp.Value(`input[name="login"]`)); got != demo.Users[0].Login {
		t.Errorf("the door expects %q", got)
	}
	b.do("the password", chromedp.SendKeys(`input[name="password"]`, demo.Users[0].Password), chromedp.Submit(`input[name="password"]`), chromedp.WaitVisible(`#signed-in`))
	b.expect(`#signed-in`, "Alice Liddell")
	b.ticked("sign-in")
	b.screenshots("tour-sign-in")

	b.do("to the tokens", chromedp.Click(`#next`), chromedp.WaitVisible(`#debug-access`))
	b.expect(`main`, "who: an identifier that never changes")
	b.ticked("tokens")
	b.screenshots("tour-tokens")

	b.do("to single sign-on", chromedp.Click(`#next`), chromedp.WaitVisible(`#open-shop`))
	b.unticked("single-sign-on")
	b.screenshots("tour-single-sign-on-before")
	shop := b.tab()
	shop.do("into the shop, without a password", chromedp.Navigate(demo.Shop), chromedp.Click(`#sign-in`), chromedp.WaitVisible(`button[value="allow"]`),
		chromedp.Click(`button.primary`), chromedp.WaitVisible(`#sign-out`))
	b.do("back at the tour", front, chromedp.Click(`#look`), chromedp.WaitVisible(`.rooms li.in + li.in`))
	b.ticked("single-sign-on")
	b.screenshots("tour-single-sign-on")

	b.do("to renewal", chromedp.Click(`#next`), chromedp.WaitVisible(`#renew`))
	b.unticked("renew")
	b.do("renewing", chromedp.Click(`#renew`), chromedp.WaitVisible(`#renewal`))
	for _, claim := range []string{"exp", "jti"} {
		if got := ask(b, "what changed", chromedp.Evaluate[bool](`[...document.querySelectorAll(".changed th")].some(th => th.textContent === "`+claim+`")`)); !got && claim == "jti" {
			t.Errorf("%s has not changed", claim)
		}
	}
	b.ticked("renew")
	b.screenshots("tour-renew")
	b.do("a reload", chromedp.Reload(), chromedp.WaitVisible(`#renewal`))

	b.lockedOut(demo)

	b.do("to the last scene", front, chromedp.Click(`#next`), chromedp.WaitVisible(`button[value="sub"]`))
	b.unticked("break")
	for _, how := range []string{"sub", "exp", "alg"} {
		b.do("breaking "+how, chromedp.Click(`button[value="`+how+`"]`), chromedp.WaitVisible(`#refused`))
		b.expect(`#refused`, "401")
	}
	b.ticked("break")
	b.screenshots("tour-break")
	b.do("the end", chromedp.Click(`#next`), chromedp.WaitVisible(`#finished`))
	b.screenshots("tour-finished")
	b.do("anew", chromedp.Click(`#again`), chromedp.WaitVisible(`#begin`))
	b.expect(`#begin`, "Begin")
}

// lockedOut is the fifth scene, twice: Bob works in a window of his own and is locked in
// this one.
func (b *browser) lockedOut(demo addresses) {
	b.t.Helper()
	b.do("to the lock", chromedp.Click(`#next`), chromedp.WaitVisible(`#lock`))
	b.unticked("lock")
	b.screenshots("tour-lock-before")
	bob := b.tab()
	for range 2 {
		bob.do("Bob signs in", chromedp.Navigate(demo.Tour+"/bob"), chromedp.Click(`#bob-sign-in`), chromedp.WaitVisible(`#calls`))
		bob.eventually("Bob works", `Number(document.getElementById("calls").textContent) > 5`)
		bob.screenshots("tour-bob-at-work")
		b.do("the operator's desk", front)
		b.eventually("his work is seen here too", `document.querySelectorAll("#strip i").length > 5`)
		b.screenshots("tour-lock-at-work")
		b.do("locking him", chromedp.Click(`#lock`), chromedp.WaitVisible(`#after`))
		after, err := strconv.ParseFloat(ask(b, "the measured time", chromedp.Text(`#after`)), 64)
		if err != nil || after < 0 || after >= 1000 {
			b.t.Errorf("refused after %v ms (%v)", after, err)
		}
		b.t.Logf("refused %v ms after the lock was acknowledged", after)
		b.expect(`#bob-pane`, "403")
		b.expect(`#account`, "locked")
		b.ticked("lock")
		b.screenshots("tour-lock")
		bob.do("Bob's window", front, chromedp.WaitVisible(`#refused-status`))
		bob.expect(`#refused-status`, "403")
		bob.expect(`#bob-pane`, "The account is disabled")
		bob.screenshots("tour-bob-out")
		b.do("a reload", front, chromedp.Reload(), chromedp.WaitVisible(`#after`))
		b.do("letting him in again", chromedp.Click(`#unlock`), chromedp.WaitVisible(`#bob-sign-in`))
	}
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
