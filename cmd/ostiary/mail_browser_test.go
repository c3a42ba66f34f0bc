package main

import (
	"encoding/base64"
	"testing"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/browsertest"
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
				b.do("waiting for "+page, browsertest.Visible(wait))
				b.fits("letters-" + tag + "-" + page)
			}
			b.do("asking", browsertest.Visit(h.Issuer+"/recover"), browsertest.Click(`button[value="`+tag+`"]`), browsertest.Visible(`html[lang="`+tag+`"] #login`))
			seen("recover", `#login`)
			b.do("for whom", browsertest.Type(`#login`, "olena"), browsertest.Submit(`#login`))
			seen("code", `#code`)
			asked := h.Letter(1)
			if asked.Language != tag {
				t.Errorf("the letter is in %s", asked.Language)
			}
			b.do("guessing", browsertest.Type(`#code`, "00000000"), browsertest.Submit(`#code`))
			seen("code-wrong", `[role="alert"]`)
			b.do("the link", browsertest.Visit(asked.Link))
			seen("link", `.primary`)
			b.do("its button", browsertest.Click(`.primary`))
			seen("password", `#password`)
			b.do("a new one", browsertest.Type(`#password`, "quite another password"), browsertest.Submit(`#password`))
			seen("done", `.state.good`)

			b.do("signing in", browsertest.Visit(h.Issuer+"/account/mail"), browsertest.Visible(`#login`), browsertest.Type(`#login`, "olena"),
				browsertest.Type(`#password`, "quite another password"), browsertest.Submit(`#password`))
			seen("mail", `#email`)
			b.do("another address", browsertest.Fill(`#email`, "new@example.com"), browsertest.Submit(`#email`))
			seen("mail-code", `#code`)
			b.do("the code", browsertest.Type(`#code`, servertest.CodeIn(h.Letter(3))), browsertest.Submit(`#code`))
			seen("mail-done", `.notice`)
			if _, err := h.Accounts.Invite(t.Context(), servertest.Operator, account.NewUser{Login: "taras@example.com", Profile: model.Profile{Locale: tag}}); err != nil {
				t.Fatal(err)
			}
			letters := h.Letters(6)
			b.do("the mailbox", browsertest.Visit(h.Issuer+"/mailbox"))
			seen("mailbox", `.letters a`)
			b.do("a letter", browsertest.Visit(h.Issuer+"/mailbox/"+asked.ID))
			seen("mailbox-letter", `iframe`)
			b.do("an invitation", browsertest.Visit(letters[5].Link))
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
	b.do("the letter", browsertest.Visit("data:text/html;charset=utf-8;base64,"+base64.StdEncoding.EncodeToString([]byte(html))), browsertest.Visible(`h1`))
}
