package main

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestLanguagesInBrowser walks through the pages in Ukrainian and in Japanese,
// chosen in the menu of the first page, and photographs each on the narrowest
// phone and on a desktop, in both themes.
func TestLanguagesInBrowser(t *testing.T) {
	for _, c := range []struct{ tag, name, cancel, allow, gone, missing, out string }{
		{"uk", "Українська", "Скасувати", "Дозволити", "Неправильний запит", "Такої сторінки немає", "Ви вийшли"},
		{"ja", "日本語", "キャンセル", "許可する", "リクエストが正しくありません", "ページが見つかりません", "ログアウトしました"},
	} {
		t.Run(c.tag, func(t *testing.T) {
			h := servertest.Start(t, func(c *server.Config) { c.SignUp = true })
			b := openBrowser(t)
			link, err := h.Accounts.SetupLink(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			setup := h.Issuer + "/setup?token=" + link.Reveal()
			b.do("opening the setup link", browsertest.Visit(setup), browsertest.Visible(`input[name="password"]`))
			b.do("choosing the language", browsertest.Click(`button[value="`+c.tag+`"]`), browsertest.Visible(`html[lang="`+c.tag+`"] [aria-current]`))
			b.expect(`[aria-current]`, c.name)
			if at := ask(b, "looking where it leads", chromedp.Location()); at != setup {
				t.Errorf("the choice leads to %s", at)
			}
			b.fits("language-" + c.tag + "-setup")

			h.User("olena", "correct horse battery")
			h.User("bohdan", "correct horse battery")
			client, _ := h.Client("shop", model.ClientSettings{
				Name: "Книгарня «Є» 書店", URI: "https://shop.example/", PolicyURI: "https://shop.example/privacy", TermsURI: "https://shop.example/terms",
				RedirectURIs: []string{"http://127.0.0.1:1/callback"}, Scopes: []string{"openid", "profile", "email", "phone", "address", "offline_access"},
			})
			visit := func(page string, pairs ...string) {
				t.Helper()
				b.do("asking for "+page, browsertest.Visit(h.Issuer+servertest.AuthorizePath(client, pairs...)), browsertest.Visible(`form .actions`))
				b.fits("language-" + c.tag + "-" + page)
			}
			visit("create", "prompt", "create")
			visit("login")
			b.expect(`.cancel`, c.cancel)
			signIn := func(login string) {
				t.Helper()
				b.do("signing in", browsertest.Fill(`input[name="login"]`, login), browsertest.Type(`input[name="password"]`, "correct horse battery"),
					browsertest.Submit(`input[name="password"]`), browsertest.Visible(`button[value="allow"]`))
			}
			b.do("a wrong password", browsertest.Fill(`input[name="login"]`, "olena"), browsertest.Type(`input[name="password"]`, "wrong password"),
				browsertest.Submit(`input[name="password"]`), browsertest.Visible(`[role="alert"]`))
			b.fits("language-" + c.tag + "-login-wrong")
			signIn("olena")
			visit("consent", "scope", "openid profile email offline_access", "claims", `{"userinfo":{"birthdate":null,"phone_number":null}}`)
			b.expect(`button[value="allow"]`, c.allow)
			show := func(page, path string) {
				t.Helper()
				b.do("visiting "+page, browsertest.Visit(h.Issuer+path), browsertest.Visible(`h1`))
				b.fits("language-" + c.tag + "-" + page)
			}
			show("home", "/")
			b.do("another person", browsertest.Visit(h.Issuer+servertest.AuthorizePath(client, "prompt", "login")), browsertest.Visible(`input[name="password"]`))
			signIn("bohdan")
			visit("select", "prompt", "select_account")
			show("home-two", "/")
			show("signout", "/logout")
			show("error", "/authorize?client_id=nobody&state=x")
			b.expect(`h1`, c.gone)
			show("notfound", "/nothing/here")
			b.expect(`h1`, c.missing)
			show("signed-out", "/signed-out")
			b.expect(`h1`, c.out)
		})
	}
}

// narrow are the looks at the narrowest width that pages are made for (WCAG 2.2
// §1.4.10), and at a wide one.
var narrow = []look{
	{"narrow-light", 320, 1100, "light"}, {"narrow-dark", 320, 1100, "dark"},
	{"desktop-light", 1280, 860, "light"}, {"desktop-dark", 1280, 860, "dark"},
}

// fits photographs a page in some looks, or in all. Nothing on it stands out of its
// box, and no text has a hole.
func (b *browser) fits(name string, in ...look) {
	b.t.Helper()
	if in == nil {
		in = narrow
	}
	for _, l := range in {
		b.look(name, l, overflowing)
	}
	if text := ask(b, "reading "+name, chromedp.Evaluate[string](`document.body.innerText`)); strings.ContainsAny(text, "{}") {
		b.t.Errorf("%s has a hole: %s", name, text)
	}
	b.do("back to a desktop", chromedp.EmulateViewport(1280, 860))
}

// overflowing names what stands out of its window, or of the box around it.
const overflowing = `(() => {
	if (document.documentElement.scrollWidth > innerWidth) return "the page";
	for (const e of document.querySelectorAll("body *")) {
		const r = e.getBoundingClientRect();
		if (!e.closest(".unseen, svg") && (r.right > innerWidth + 0.5 || r.left < -0.5)) return e.outerHTML.slice(0, 200);
		if (e.matches("button, a, label, h1, p") && !e.closest(".unseen") && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline") return e.outerHTML.slice(0, 200);
	}
	return "";
})()`
