package main

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

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
		b.do("signing in", chromedp.Navigate(h.Issuer+servertest.AuthorizePath(c, "prompt", "login")), chromedp.WaitVisible(`input[name="password"]`),
			chromedp.SetValue(`input[name="login"]`, "olena"), chromedp.SendKeys(`input[name="password"]`, "correct horse battery"),
			chromedp.Submit(`input[name="password"]`), chromedp.WaitVisible(`input[name="code"]`))
	}
	signIn()
	b.screenshots("factor-enrol")
	secret := ask(b, "reading the key", chromedp.Text(`.secret`))
	b.do("a wrong code", chromedp.SendKeys(`input[name="code"]`, "000000"), chromedp.Submit(`input[name="code"]`), chromedp.WaitVisible(`[role="alert"]`))
	b.screenshots("factor-enrol-wrong")
	b.do("the right one", chromedp.SendKeys(`input[name="code"]`, code(secret)), chromedp.Submit(`input[name="code"]`), chromedp.WaitVisible(`.codes`))
	b.screenshots("factor-codes")
	recovery := ask(b, "reading a recovery code", chromedp.Text(`.codes code`))
	b.do("on", chromedp.Click(`a.primary`))
	b.expect(`body`, "ok")

	h.Clock.Move(time.Minute)
	signIn()
	b.screenshots("factor")
	b.do("a wrong code", chromedp.SendKeys(`input[name="code"]`, "000000"), chromedp.Submit(`input[name="code"]`), chromedp.WaitVisible(`[role="alert"]`))
	b.screenshots("factor-wrong")
	b.do("the right one", chromedp.SendKeys(`input[name="code"]`, code(secret)), chromedp.Submit(`input[name="code"]`))
	b.expect(`body`, "ok")

	signIn()
	b.do("another way", chromedp.Click(`a[href$="method=recovery_code"]`), chromedp.WaitVisible(`input[name="method"][value="recovery_code"] + .field`))
	b.screenshots("factor-recovery")
	b.do("a recovery code", chromedp.SendKeys(`input[name="code"]`, recovery), chromedp.Submit(`input[name="code"]`))
	b.expect(`body`, "ok")

	b.do("the methods", chromedp.Navigate(h.Issuer+"/account/sign-in"), chromedp.WaitVisible(`a[href$="/sign-in/totp"]`))
	b.screenshots("account-methods-app")
	b.do("the app", chromedp.Click(`a[href$="/sign-in/totp"]`), chromedp.WaitVisible(`button[value="remove"]`))
	b.expect(`main`, "9 recovery codes are left.")
	b.screenshots("account-totp")
	b.do("new codes", chromedp.Click(`button[value="codes"]`), chromedp.WaitVisible(`.codes`), chromedp.Click(`a.primary`), chromedp.WaitVisible(`button[value="remove"]`))
	b.expect(`main`, "10 recovery codes are left.")
	b.do("away with it", chromedp.Click(`button[value="remove"]`), chromedp.WaitVisible(`[role="status"]`))
	b.expect(`main`, "The app has been removed.")
}
