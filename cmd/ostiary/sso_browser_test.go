package main

import (
	"testing"

	"github.com/ostiary/ostiary/internal/browsertest"
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
	b.do("to the sign-in page", browsertest.Click(`#sign-in`), browsertest.Visible(`#password`))
	b.do("signing in", browsertest.Type(`#login`, s.Users[1].Login), browsertest.Type(`#password`, s.Users[1].Password), browsertest.Submit(`#password`), browsertest.Visible(`#sign-out`))
}

// TestSSOInBrowser is one person at two applications on two sites: signed in once, and
// out once, whichever of them it is.
func TestSSOInBrowser(t *testing.T) {
	s := start[street](t, "demo")
	b := openBrowser(t)
	b.do("the first application", browsertest.Visit(s.App1), browsertest.Visible(`#nobody`))
	b.expect(`#said`, "login_required") // OpenID Connect Core §3.1.2.6
	b.screenshots("sso-nobody")
	b.bySignInPage(s)
	b.expect(`#came`, "sign-in page")
	b.expect(`#person`, "Bob Cratchit")
	b.expect(`#own`, "200 OK")
	b.expect(`#entries`, "Oil the hinges")

	two := b.tab()
	two.do("the second application", browsertest.Front, browsertest.Visit(s.App2), browsertest.Visible(`#came`))
	two.expect(`#came`, "without a screen")
	two.expect(`#person`, "Bob Cratchit")
	two.expect(`#entries`, "Lamp oil")
	for name, tab := range map[string]*browser{"almanac": b, "ledger": two} {
		tab.do("the other one's API", browsertest.Front, browsertest.Click(`#try`), browsertest.Visible(`#tried`))
		tab.expect(`#tried`, "401 Unauthorized")
		tab.expect(`#challenge`, `error="invalid_token"`) // RFC 6750 §3.1
		tab.expect(`#own`, "200 OK")
		tab.screenshots("sso-" + name)
	}

	b.do("signing out of the first", browsertest.Front, browsertest.Click(`#sign-out`), browsertest.Visible(`#nobody`))
	b.expect(`#said`, "of the server, and of Ledger")
	two.do("the second", browsertest.Front, browsertest.Visible(`#nobody`))
	two.expect(`#nobody`, "You were signed out")
	two.expect(`#heard`, "front channel")
	two.screenshots("sso-out")
	two.do("asking again", browsertest.Click(`#quietly`), browsertest.Visible(`#nobody`))
	two.expect(`#said`, "login_required")

	two.bySignInPage(s)
	b.do("the first again", browsertest.Front, browsertest.Click(`#quietly`), browsertest.Visible(`#came`))
	b.expect(`#came`, "without a screen")
	two.do("signing out of the second", browsertest.Front, browsertest.Click(`#sign-out`), browsertest.Visible(`#nobody`))
	two.expect(`#said`, "of the server, and of Almanac")
	b.do("the first", browsertest.Front, browsertest.Visible(`#nobody`))
	b.expect(`#nobody`, "You were signed out")
	b.expect(`#heard`, "back channel")
}

// TestSSOWaysInBrowser: the ways in that lead to other houses, and one that leads
// nowhere.
func TestSSOWaysInBrowser(t *testing.T) {
	s := start[street](t, "demo")
	b := openBrowser(t)
	b.do("the first application", browsertest.Visit(s.App1), browsertest.Click(`#sign-in`), browsertest.Visible(`button[formaction*="/upstream/harbour"]`))
	b.screenshots("sso-sign-in")
	b.do("to the harbour", browsertest.Click(`button[formaction*="/upstream/harbour"]`), browsertest.Visible(`.person`))
	b.expect(`.kind`, "an OpenID Provider")
	b.screenshots("sso-harbour")
	b.do("saying no", browsertest.Click(`#nobody`), browsertest.Visible(`[role="alert"]`))
	b.do("to the harbour again", browsertest.Click(`button[formaction*="/upstream/harbour"]`), browsertest.Visible(`.person`))
	b.do("being Mina", browsertest.Click(`button[value="248289761001"]`), browsertest.Visible(`#name`))
	b.screenshots("sso-join")
	b.do("the account that would be made", browsertest.Click(`.primary`), browsertest.Visible(`#came`))
	b.expect(`#person`, "Mina Murray")
	two := b.tab()
	two.do("the second application", browsertest.Front, browsertest.Visit(s.App2), browsertest.Visible(`#came`))
	two.expect(`#came`, "without a screen")

	two.do("the harbour's own page", browsertest.Visit(s.Harbour), browsertest.Visible(`#leave`))
	two.expect(`#person`, "Mina Murray")
	two.screenshots("sso-harbour-home")
	two.do("signing out there", browsertest.Click(`#leave`), browsertest.Visible(`#message`))
	b.do("the first application", browsertest.Front, browsertest.Visible(`#nobody`))
	b.expect(`#nobody`, "You were signed out") // by two back channels, from house to house
	b.expect(`#heard`, "back channel")

	b.do("to the workbench by a hint", browsertest.Click(`#with-workbench`), browsertest.Visible(`.person`))
	b.expect(`.kind`, "an OAuth 2.0 server")
	b.screenshots("sso-workbench")
	b.do("being Ada", browsertest.Click(`button[value="583231"]`), browsertest.Visible(`#name`), browsertest.Click(`.primary`), browsertest.Visible(`#came`))
	b.expect(`#came`, "by Workbench")
	b.expect(`#person`, "Ada Lovelace")
	b.do("signing out", browsertest.Click(`#sign-out`), browsertest.Visible(`#nobody`))

	// Both sides have made sure of Bob's address at the harbour, and nobody of
	// Mallory's.
	b.do("to the workbench as Mallory", browsertest.Click(`#with-workbench`), browsertest.Visible(`.person`), browsertest.Click(`button[value="583232"]`), browsertest.Visible(`h1`))
	b.expect(`h1`, "Create an account") // which is not Bob's
	b.screenshots("sso-mallory")
	b.do("back at the application", browsertest.Visit(s.App1), browsertest.Visible(`#nobody`))
	b.do("to the harbour as Bob", browsertest.Click(`#with-harbour`), browsertest.Visible(`.person`), browsertest.Click(`button[value="248289761002"]`), browsertest.Visible(`#came`))
	b.expect(`#came`, "by Harbour")
	b.expect(`#person`, "Bob Cratchit")
	b.do("signing out", browsertest.Click(`#sign-out`), browsertest.Visible(`a.also`))
	b.expect(`.lede`, "Harbour")
	b.do("over there as well", browsertest.Click(`a.also`), browsertest.Gone(`a.also`))
	b.do("the harbour", browsertest.Visit(s.Harbour), browsertest.Visible(`#nobody`))
}
