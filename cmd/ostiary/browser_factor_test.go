package main

import (
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestFactorInBrowser sets up an app for codes on the way to an application, signs in
// with a code and with a recovery code, and sees to the app in the account area, in a
// real browser. Screenshots of each page are left in OSTIARY_TEST_ARTIFACTS.
func TestFactorInBrowser(t *testing.T) {
	h := servertest.Start(t, func(c *server.Config) {
		c.SecondFactor, c.RememberDevice = model.SecondRequired, 30*24*time.Hour
	})
	h.User("olena", "correct horse battery")
	c, _ := h.Client("shop", model.ClientSettings{
		Name: "The Lantern Shop", FirstParty: true, RedirectURIs: []string{h.Issuer + "/healthz"}, Scopes: []string{"openid", "profile", "email"},
	})
	b := openBrowser(t)
	code := func(secret string) string {
		text, err := totp.GenerateCode(strings.ReplaceAll(secret, " ", ""), h.Clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	signIn := func() {
		b.do("signing in", browsertest.Visit(h.Issuer+servertest.AuthorizePath(c, "prompt", "login")), browsertest.Visible(`input[name="password"]`),
			browsertest.Fill(`input[name="login"]`, "olena"), browsertest.Type(`input[name="password"]`, "correct horse battery"),
			browsertest.Submit(`input[name="password"]`), browsertest.Visible(`input[name="code"]`))
	}
	signIn()
	b.screenshots("factor-enrol")
	secret := ask(b, "reading the key", browsertest.Text(`.secret`))
	b.do("a wrong code", browsertest.Type(`input[name="code"]`, "000000"), browsertest.Submit(`input[name="code"]`), browsertest.Visible(`[role="alert"]`))
	b.screenshots("factor-enrol-wrong")
	b.do("the right one", browsertest.Type(`input[name="code"]`, code(secret)), browsertest.Submit(`input[name="code"]`), browsertest.Visible(`.codes`))
	b.screenshots("factor-codes")
	recovery := ask(b, "reading a recovery code", browsertest.Text(`.codes code`))
	b.do("on", browsertest.Click(`a.primary`))
	b.expect(`body`, "ok")

	h.Clock.Move(time.Minute)
	signIn()
	b.screenshots("factor")
	b.do("a wrong code", browsertest.Type(`input[name="code"]`, "000000"), browsertest.Submit(`input[name="code"]`), browsertest.Visible(`[role="alert"]`))
	b.screenshots("factor-wrong")
	b.do("the right one", browsertest.Type(`input[name="code"]`, code(secret)), browsertest.Submit(`input[name="code"]`))
	b.expect(`body`, "ok")

	signIn()
	b.do("another way", browsertest.Click(`a[href$="method=recovery_code"]`), browsertest.Visible(`input[name="method"][value="recovery_code"] + .field`))
	b.screenshots("factor-recovery")
	b.do("a recovery code", browsertest.Type(`input[name="code"]`, recovery), browsertest.Submit(`input[name="code"]`))
	b.expect(`body`, "ok")

	b.do("the methods", browsertest.Visit(h.Issuer+"/account/sign-in"), browsertest.Visible(`a[href$="/sign-in/totp"]`))
	b.screenshots("account-methods-app")
	b.do("the app", browsertest.Click(`a[href$="/sign-in/totp"]`), browsertest.Visible(`button[value="remove"]`))
	b.expect(`main`, "9 recovery codes are left.")
	b.screenshots("account-totp")
	b.do("new codes", browsertest.Click(`button[value="codes"]`), browsertest.Visible(`.codes`), browsertest.Click(`a.primary`), browsertest.Visible(`button[value="remove"]`))
	b.expect(`main`, "10 recovery codes are left.")
	b.do("away with it", browsertest.Click(`button[value="remove"]`), browsertest.Visible(`[role="status"]`))
	b.expect(`main`, "The app has been removed.")
}
