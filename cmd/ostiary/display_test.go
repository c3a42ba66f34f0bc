package main

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestDisplayInBrowser photographs the pages in the looks that a client can ask
// for, with a consent to single claims, and measures what a look promises.
func TestDisplayInBrowser(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	c, _ := h.Client("shop", model.ClientSettings{
		Name: "Shop", RedirectURIs: []string{"http://127.0.0.1:1/callback"}, Scopes: []string{"openid", "profile", "email", "phone", "address"},
	})
	b := openBrowser(t)
	height := func(selector string) float64 {
		return ask(b, "measuring "+selector, chromedp.Evaluate[float64](`document.querySelector('`+selector+`').getBoundingClientRect().height`))
	}
	ordinary := map[string]float64{}
	for _, display := range []string{"page", "popup", "touch"} {
		b.do("asking for the "+display, browsertest.Visit(h.Issuer+servertest.AuthorizePath(c, "display", display, "prompt", "login", "scope", "openid email",
			"claims", `{"userinfo":{"birthdate":null,"phone_number":{"essential":true}},"id_token":{"given_name":null}}`)),
			browsertest.Visible(`input[name="password"]`))
		b.screenshots("display-" + display + "-sign-in")
		for _, selector := range []string{".primary", "input[name=login]", ".brand"} {
			switch now := height(selector); display {
			case "page":
				ordinary[selector] = now
			case "touch":
				if selector != ".brand" && now <= ordinary[selector] {
					t.Errorf("with a finger, %s is %v high, and %v with a mouse", selector, now, ordinary[selector])
				}
			}
		}
		b.do("signing in",
			browsertest.Fill(`input[name="login"]`, "olena"), browsertest.Type(`input[name="password"]`, "correct horse battery"),
			browsertest.Submit(`input[name="password"]`), browsertest.Visible(`button[value="allow"]`))
		b.expect(`main`, "Date of birth, given name, phone number")
		b.screenshots("display-" + display + "-consent")
		if top := ask(b, "measuring", chromedp.Evaluate[float64](`document.querySelector('.brand').getBoundingClientRect().top`)); display == "popup" && top > 40 {
			t.Errorf("a popup begins %v pixels below its edge", top)
		}
	}
}
