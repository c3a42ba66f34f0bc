package main

import (
	"encoding/base64"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestLettersInBrowser walks through a recovery and a change of address in each
// language, and photographs the pages and the letters as a mail program shows them.
func TestLettersInBrowser(t *testing.T) {
	for _, tag := range []string{"en", "uk", "ja"} {
		t.Run(tag, func(t *testing.T) {
			h := servertest.Start(t, servertest.Mailbox)
			_, err := h.Accounts.Create(t.Context(), servertest.Operator, account.NewUser{
				Login: "olena", Password: "correct horse battery", Profile: model.Profile{Name: "Olena", Email: "olena@example.com", EmailVerified: true, Locale: tag},
			})
			if err != nil {
				t.Fatal(err)
			}
			b := openBrowser(t)
			seen := func(page, wait string) {
				t.Helper()
				b.do("waiting for "+page, chromedp.WaitVisible(wait))
				b.fits("letters-" + tag + "-" + page)
			}
			b.do("asking", chromedp.Navigate(h.Issuer+"/recover"), chromedp.Click(`button[value="`+tag+`"]`), chromedp.WaitVisible(`html[lang="`+tag+`"] #login`))
			seen("recover", `#login`)
			b.do("for whom", chromedp.SendKeys(`#login`, "olena"), chromedp.Submit(`#login`))
			seen("code", `#code`)
			asked := h.Letter(1)
			if asked.Language != tag {
				t.Errorf("the letter is in %s", asked.Language)
			}
			b.do("guessing", chromedp.SendKeys(`#code`, "00000000"), chromedp.Submit(`#code`))
			seen("code-wrong", `[role="alert"]`)
			b.do("the link", chromedp.Navigate(asked.Link))
			seen("link", `.primary`)
			b.do("its button", chromedp.Click(`.primary`))
			seen("password", `#password`)
			b.do("a new one", chromedp.SendKeys(`#password`, "quite another password"), chromedp.Submit(`#password`))
			seen("done", `.state.good`)

			b.do("signing in", chromedp.Navigate(h.Issuer+"/account/mail"), chromedp.WaitVisible(`#login`), chromedp.SendKeys(`#login`, "olena"),
				chromedp.SendKeys(`#password`, "quite another password"), chromedp.Submit(`#password`))
			seen("mail", `#email`)
			b.do("another address", chromedp.SetValue(`#email`, "new@example.com"), chromedp.Submit(`#email`))
			seen("mail-code", `#code`)
			b.do("the code", chromedp.SendKeys(`#code`, servertest.CodeIn(h.Letter(3))), chromedp.Submit(`#code`))
			seen("mail-done", `.notice`)
			if _, err := h.Accounts.Invite(t.Context(), servertest.Operator, account.NewUser{Login: "taras@example.com", Profile: model.Profile{Locale: tag}}); err != nil {
				t.Fatal(err)
			}
			letters := h.Letters(6)
			b.do("the mailbox", chromedp.Navigate(h.Issuer+"/mailbox"))
			seen("mailbox", `.letters a`)
			b.do("a letter", chromedp.Navigate(h.Issuer+"/mailbox/"+asked.ID))
			seen("mailbox-letter", `iframe`)
			b.do("an invitation", chromedp.Navigate(letters[5].Link))
			seen("invite", `#password`)
			for _, k := range letters {
				name := map[string]string{asked.ID: "recover", letters[1].ID: "password", letters[2].ID: "verify", letters[5].ID: "invite"}[k.ID]
				if name == "" {
					name = map[bool]string{true: "moved", false: "address"}[k.To == "olena@example.com"]
				}
				b.showLetter(k.HTML)
				b.fits("letter-" + tag + "-" + name)
			}
		})
	}
}

// showLetter shows a letter as a mail program would. It is a page of its own, since a
// document that is written into another one is not always noticed.
func (b *browser) showLetter(html string) {
	b.t.Helper()
	b.do("the letter", chromedp.Navigate("data:text/html;charset=utf-8;base64,"+base64.StdEncoding.EncodeToString([]byte(html))), chromedp.WaitVisible(`h1`))
}
