package main

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// street is what "demo --json" prints of the two applications and of the houses
// elsewhere.
type street struct {
	Server, App1, App2, Harbour, Workbench string
	Users                                  []struct{ Login, Password string }
}

// bySignInPage signs the second user of the demo in from the welcome of an application.
func (b *browser) bySignInPage(s street) {
	b.t.Helper()
	b.do("to the sign-in page", chromedp.Click(`#sign-in`), chromedp.WaitVisible(`#password`))
	b.do("signing in", chromedp.SendKeys(`#login`, s.Users[1].Login), chromedp.SendKeys(`#password`, s.Users[1].Password), chromedp.Submit(`#password`), chromedp.WaitVisible(`#sign-out`))
}

// TestSSOInBrowser is one person at two applications on two sites: signed in once, and
// out once, whichever of them it is.
func TestSSOInBrowser(t *testing.T) {
	s := start[street](t, "demo")
	b := openBrowser(t)
	b.do("the first application", chromedp.Navigate(s.App1), chromedp.WaitVisible(`#nobody`))
	b.expect(`#said`, "login_required") // OpenID Connect Core §3.1.2.6
	b.screenshots("sso-nobody")
	b.bySignInPage(s)
	b.expect(`#came`, "sign-in page")
	b.expect(`#person`, "Bob Cratchit")
	b.expect(`#own`, "200 OK")
	b.expect(`#entries`, "Oil the hinges")

	two := b.tab()
	two.do("the second application", front, chromedp.Navigate(s.App2), chromedp.WaitVisible(`#came`))
	two.expect(`#came`, "without a screen")
	two.expect(`#person`, "Bob Cratchit")
	two.expect(`#entries`, "Lamp oil")
	for name, tab := range map[string]*browser{"almanac": b, "ledger": two} {
		tab.do("the other one's API", front, chromedp.Click(`#try`), chromedp.WaitVisible(`#tried`))
		tab.expect(`#tried`, "401 Unauthorized")
		tab.expect(`#challenge`, `error="invalid_token"`) // RFC 6750 §3.1
		tab.expect(`#own`, "200 OK")
		tab.screenshots("sso-" + name)
	}

	b.do("signing out of the first", front, chromedp.Click(`#sign-out`), chromedp.WaitVisible(`#nobody`))
	b.expect(`#said`, "of the server, and of Ledger")
	two.do("the second", front, chromedp.WaitVisible(`#nobody`))
	two.expect(`#nobody`, "You were signed out")
	two.expect(`#heard`, "front channel")
	two.screenshots("sso-out")
	two.do("asking again", chromedp.Click(`#quietly`), chromedp.WaitVisible(`#nobody`))
	two.expect(`#said`, "login_required")

	two.bySignInPage(s)
	b.do("the first again", front, chromedp.Click(`#quietly`), chromedp.WaitVisible(`#came`))
	b.expect(`#came`, "without a screen")
	two.do("signing out of the second", front, chromedp.Click(`#sign-out`), chromedp.WaitVisible(`#nobody`))
	two.expect(`#said`, "of the server, and of Almanac")
	b.do("the first", front, chromedp.WaitVisible(`#nobody`))
	b.expect(`#nobody`, "You were signed out")
	b.expect(`#heard`, "back channel")
}

// TestSSOWaysInBrowser: the ways in that lead to other houses, and one that leads
// nowhere.
func TestSSOWaysInBrowser(t *testing.T) {
	s := start[street](t, "demo")
	b := openBrowser(t)
	b.do("the first application", chromedp.Navigate(s.App1), chromedp.Click(`#sign-in`), chromedp.WaitVisible(`button[formaction*="/upstream/harbour"]`))
	b.screenshots("sso-sign-in")
	b.do("to the harbour", chromedp.Click(`button[formaction*="/upstream/harbour"]`), chromedp.WaitVisible(`.person`))
	b.expect(`.kind`, "an OpenID Provider")
	b.screenshots("sso-harbour")
	b.do("saying no", chromedp.Click(`#nobody`), chromedp.WaitVisible(`[role="alert"]`))
	b.do("to the harbour again", chromedp.Click(`button[formaction*="/upstream/harbour"]`), chromedp.WaitVisible(`.person`))
	b.do("being Mina", chromedp.Click(`button[value="248289761001"]`), chromedp.WaitVisible(`#name`))
	b.screenshots("sso-join")
	b.do("the account that would be made", chromedp.Click(`.primary`), chromedp.WaitVisible(`#came`))
	b.expect(`#person`, "Mina Murray")
	two := b.tab()
	two.do("the second application", front, chromedp.Navigate(s.App2), chromedp.WaitVisible(`#came`))
	two.expect(`#came`, "without a screen")

	two.do("the harbour's own page", chromedp.Navigate(s.Harbour), chromedp.WaitVisible(`#leave`))
	two.expect(`#person`, "Mina Murray")
	two.screenshots("sso-harbour-home")
	two.do("signing out there", chromedp.Click(`#leave`), chromedp.WaitVisible(`#message`))
	b.do("the first application", front, chromedp.WaitVisible(`#nobody`))
	b.expect(`#nobody`, "You were signed out") // by two back channels, from house to house
	b.expect(`#heard`, "back channel")

	b.do("to the workbench by a hint", chromedp.Click(`#with-workbench`), chromedp.WaitVisible(`.person`))
	b.expect(`.kind`, "an OAuth 2.0 server")
	b.screenshots("sso-workbench")
	b.do("being Ada", chromedp.Click(`button[value="583231"]`), chromedp.WaitVisible(`#name`), chromedp.Click(`.primary`), chromedp.WaitVisible(`#came`))
	b.expect(`#came`, "by Workbench")
	b.expect(`#person`, "Ada Lovelace")
	b.do("signing out", chromedp.Click(`#sign-out`), chromedp.WaitVisible(`#nobody`))

	// Both sides have made sure of Bob's address at the harbour, and nobody of
	// Mallory's.
	b.do("to the workbench as Mallory", chromedp.Click(`#with-workbench`), chromedp.WaitVisible(`.person`), chromedp.Click(`button[value="583232"]`), chromedp.WaitVisible(`h1`))
	b.expect(`h1`, "Create an account") // which is not Bob's
	b.screenshots("sso-mallory")
	b.do("back at the application", chromedp.Navigate(s.App1), chromedp.WaitVisible(`#nobody`))
	b.do("to the harbour as Bob", chromedp.Click(`#with-harbour`), chromedp.WaitVisible(`.person`), chromedp.Click(`button[value="248289761002"]`), chromedp.WaitVisible(`#came`))
	b.expect(`#came`, "by Harbour")
	b.expect(`#person`, "Bob Cratchit")
	b.do("signing out", chromedp.Click(`#sign-out`), chromedp.WaitVisible(`a.also`))
	b.expect(`.lede`, "Harbour")
	b.do("over there as well", chromedp.Click(`a.also`), chromedp.WaitNotPresent(`a.also`))
	b.do("the harbour", chromedp.Navigate(s.Harbour), chromedp.WaitVisible(`#nobody`))
}
