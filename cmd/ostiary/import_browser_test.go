package main

import (
	"testing"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestImportedInBrowser: the identifier that somebody brings along is a part of the names
// of their cookies, which a real browser must keep and send (RFC 9110 §5.6.2).
func TestImportedInBrowser(t *testing.T) {
	h := servertest.Start(t)
	in, err := h.Accounts.NewImport(account.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" // of crypt_blowfish wrapper.c
	told, err := in.Batch(t.Context(), servertest.Operator, []account.ImportRow{
		{Login: "ada", ID: "auth0|64b7e1f0c3a5d20012f4a801", PasswordHash: hash, Profile: model.Profile{Name: "Ada"}},
		{Login: "carol", ID: "google-oauth2|103547991597142817347", PasswordHash: hash, Profile: model.Profile{Name: "Carol"}},
	})
	if err != nil || told[0].Outcome != account.ImportCreated || told[1].Outcome != account.ImportCreated {
		t.Fatal(told, err)
	}
	c, _ := h.Client("shop", model.ClientSettings{RedirectURIs: []string{h.Issuer + "/healthz"}, Scopes: []string{"openid"}, FirstParty: true})
	b := openBrowser(t)
	for _, login := range []string{"ada", "carol"} {
		b.do(login+" signs in", browsertest.Visit(h.Issuer+servertest.AuthorizePath(c, "scope", "openid", "prompt", "login")), browsertest.Visible(`input[name="password"]`),
			browsertest.Fill(`input[name="login"]`, login), browsertest.Type(`input[name="password"]`, "U*U"), browsertest.Submit(`input[name="password"]`))
		b.expect(`body`, "ok")
	}
	b.do("home", browsertest.Visit(h.Issuer+"/"), browsertest.Visible(`.accounts`))
	b.expect(`.accounts`, "Ada")
	b.expect(`.accounts`, "Carol")
	b.do("their own pages", browsertest.Visit(h.Issuer+"/account"), browsertest.Visible(`main`))
	b.expect(`main`, "Carol")
}
