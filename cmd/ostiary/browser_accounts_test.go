package main

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestAccountsInBrowser signs up, signs a second person in beside, chooses, switches
// and signs out, in a real browser and by keyboard where it counts. Screenshots of
// each page are left in OSTIARY_TEST_ARTIFACTS.
func TestAccountsInBrowser(t *testing.T) {
	h := servertest.Start(t, func(c *server.Config) { c.SignUp = true })
	h.User("bohdan.khmelnytsky-the-long-named", "correct horse battery")
	h.User("olena", "correct horse battery")
	c, _ := h.Client("shop", model.ClientSettings{
		Name: "The Lantern Shop", RedirectURIs: []string{h.Issuer + "/healthz"}, Scopes: []string{"openid", "profile", "email"},
	})
	b := openBrowser(t)
	ask := func(extra ...string) chromedp.Action[chromedp.Void] {
		return browsertest.Visit(h.Issuer + servertest.AuthorizePath(c, extra...))
	}

	b.do("signing in, with a link to sign-up", ask(), browsertest.Visible(`input[name="password"]`))
	b.screenshots("accounts-sign-in")
	b.do("to sign-up", browsertest.Click(`.links a`), browsertest.Visible(`input[name="name"]`))
	b.screenshots("accounts-create")
	b.do("a login that is taken",
		browsertest.Type(`input[name="login"]`, "olena"), browsertest.Type(`input[name="name"]`, "Olena the Second"),
		browsertest.Type(`input[name="password"]`, "four words that rhyme"), browsertest.Submit(`input[name="password"]`), browsertest.Visible(`[role="alert"]`))
	b.screenshots("accounts-create-taken")
	// The cursor stands where the mistake is: by keyboard alone from here.
	b.do("another one", chromedp.KeyEvent(kb.End+strings.Repeat(kb.Backspace, len("olena"))+"anna@example.com\t\tfour words that rhyme\r"), browsertest.Visible(`button[value="allow"]`))
	b.expect(`.person`, "Olena the Second")
	b.screenshots("accounts-consent")
	b.do("consent", browsertest.Click(`button.primary`))
	b.expect(`body`, "ok")

	b.do("home with one account", browsertest.Visit(h.Issuer+"/"), browsertest.Visible(`main`))
	b.expect(`main`, "You are signed in")
	b.do("the list of one", ask("prompt", "select_account"), browsertest.Visible(`.accounts`))
	b.screenshots("accounts-select-one")
	for _, login := range []string{"olena", "bohdan.khmelnytsky-the-long-named"} {
		b.do("another account", ask("prompt", "select_account"), browsertest.Visible(`.accounts`), browsertest.Click(`a.account`), browsertest.Visible(`input[name="password"]`))
		b.do("signing in", browsertest.Type(`input[name="login"]`, login), browsertest.Type(`input[name="password"]`, "correct horse battery"),
			browsertest.Submit(`input[name="password"]`), browsertest.Visible(`button[value="allow"]`))
		b.do("consent", browsertest.Click(`button.primary`))
		b.expect(`body`, "ok")
	}
	b.do("the list of three", ask("prompt", "select_account"), browsertest.Visible(`.accounts`))
	b.do("the cursor on the first", chromedp.KeyEvent("\t\t")) // the house's name, then the list
	b.screenshots("accounts-select")
	b.do("the second one, by keyboard", chromedp.KeyEvent("\t\r"))
	b.expect(`body`, "ok")
	b.do("a sign-in anew", ask("prompt", "login"), browsertest.Visible(`input[name="password"]`))
	b.screenshots("accounts-sign-in-again")

	b.do("home", browsertest.Visit(h.Issuer+"/"), browsertest.Visible(`.accounts`))
	b.screenshots("accounts-home")
	b.do("switching", browsertest.Click(`button[formaction]`))
	b.expect(`.accounts li:first-child`, "bohdan")
	b.do("asking to sign out", browsertest.Visit(h.Issuer+"/logout"), browsertest.Visible(`fieldset`))
	b.screenshots("accounts-sign-out")
	b.do("one of them", browsertest.Click(`fieldset label:nth-of-type(2)`), browsertest.Click(`button.primary`), browsertest.Visible(`ul.accounts li:nth-child(2)`))
	b.do("all of them", browsertest.Click(`button.primary`), browsertest.Visible(`main`))
	b.expect(`main`, "You are signed out")
}
