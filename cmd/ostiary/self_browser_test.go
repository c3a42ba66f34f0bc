package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/device"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestAccountPagesInBrowser walks through the pages where people see what is theirs,
// in each language, and photographs each on the narrowest phone and on a desktop, in
// both themes. No script runs on them.
func TestAccountPagesInBrowser(t *testing.T) {
	places, err := device.ReadPlaces(strings.NewReader("127.0.0.0/8,Київ · Kyiv · キーウ\n"))
	if err != nil {
		t.Fatal(err)
	}
	h := servertest.Start(t, func(c *server.Config) { c.Places = places })
	olena := h.User("olena", "correct horse battery")
	busyLife(t, h, olena)
	b := openBrowser(t)
	b.do("asking for the profile", browsertest.Visit(h.Issuer+"/account/profile"), browsertest.Visible(`input[name="password"]`),
		browsertest.Fill(`input[name="login"]`, "olena"), browsertest.Type(`input[name="password"]`, "correct horse battery"),
		browsertest.Submit(`input[name="password"]`), browsertest.Visible(`nav.menu`))
	for _, c := range []struct{ tag, profile, wrong string }{
		{"en", "Profile", "Write a date as 1990-02-28, or a year as 1990."},
		{"uk", "Профіль", "Уведіть дату у вигляді 1990-02-28 або рік: 1990."},
		{"ja", "プロフィール", "1990-02-28 のような日付か、1990 のような年を入力してください。"},
	} {
		now, err := h.Accounts.User(t.Context(), olena.ID)
		if err != nil {
			t.Fatal(err)
		}
		now.Profile.Locale = c.tag
		if _, err := h.Accounts.Update(t.Context(), servertest.Operator, olena.ID, account.Change{Profile: &now.Profile}); err != nil {
			t.Fatal(err)
		}
		show := func(page, path string) {
			t.Helper()
			b.do("visiting "+page, browsertest.Visit(h.Issuer+path), browsertest.Visible(`html[lang="`+c.tag+`"] h1`))
			b.fits("account-" + c.tag + "-" + page)
		}
		show("overview", "/account")
		show("profile", "/account/profile")
		b.expect(`h1`, c.profile)
		b.do("a wrong date", browsertest.Fill(`#field-birthdate`, "yesterday"), browsertest.Submit(`#field-birthdate`), browsertest.Visible(`.wrong`))
		b.expect(`.wrong`, c.wrong)
		b.do("the focus on it", browsertest.Visible(`#field-birthdate:focus`)) // a browser sets it when it has drawn the page
		b.fits("account-" + c.tag + "-profile-wrong")
		show("methods", "/account/sign-in")
		b.do("a wrong password", browsertest.Type(`#current`, "not the password"), browsertest.Type(`#password`, "four words that rhyme"),
			browsertest.Submit(`#password`), browsertest.Visible(`#current-error`))
		b.fits("account-" + c.tag + "-methods-wrong")
		show("sessions", "/account/sessions")
		show("applications", "/account/applications")
		show("activity", "/account/activity")
		show("data", "/account/data")
		show("delete", "/account/delete")
		show("home", "/")
	}
	b.do("the overview", browsertest.Visit(h.Issuer+"/account"), browsertest.Visible(`nav.menu`))
	byKeyboard(b)
}

// busyLife gives somebody sessions at several devices, applications, and a past.
func busyLife(t *testing.T, h *servertest.House, user model.User) {
	t.Helper()
	admin := true
	now := user.Profile
	now.Name, now.EmailVerified = "Олена Ковальчук-Длинноимённая 山田花子", false
	if _, err := h.Accounts.Update(t.Context(), servertest.Operator, user.ID, account.Change{Profile: &now, Admin: &admin}); err != nil {
		t.Fatal(err)
	}
	shop, _ := h.Client("shop", model.ClientSettings{
		Name: "Книгарня «Є» 書店", URI: "https://shop.example/", RedirectURIs: []string{"http://127.0.0.1:1/callback"},
		Scopes: []string{"openid", "profile", "email", "phone", "address", "offline_access"}, AuthMethod: model.AuthNone,
	})
	h.Client("intranet", model.ClientSettings{Name: "Intranet", RedirectURIs: []string{"http://127.0.0.1:1/callback"}, Scopes: []string{"openid"}, FirstParty: true, AuthMethod: model.AuthNone})
	for _, agent := range []string{
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/133.0 Mobile/15E148 Safari/605.1.15",
		"a program that nobody knows",
	} {
		b := h.Browser()
		p := b.Get("/account/profile")
		form := p.Form().Values
		form.Set("login", "olena")
		form.Set("password", "correct horse battery")
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p.URL.String(), strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		req.Header.Set("User-Agent", agent)
		b.Do(req)
		for _, path := range []string{
			servertest.AuthorizePath(shop, "scope", "openid profile email offline_access", "claims", `{"userinfo":{"birthdate":null,"phone_number":null}}`),
			"/authorize?" + url.Values{"response_type": {"code"}, "client_id": {"intranet"}, "redirect_uri": {"http://127.0.0.1:1/callback"}, "scope": {"openid"}, "code_challenge": {servertest.Challenge}, "code_challenge_method": {"S256"}}.Encode(),
		} {
			b.Get(path).SubmitIf("primary")
		}
	}
}

// byKeyboard: the first key leads past the menu, and every link of the menu can be
// reached and is seen to be.
func byKeyboard(b *browser) {
	b.t.Helper()
	b.do("a key", chromedp.KeyEvent("\t"))
	if first := ask(b, "what has the focus", chromedp.Evaluate[string](`document.activeElement.className + " " + (document.activeElement.getBoundingClientRect().top >= 0)`)); first != "skip true" {
		b.t.Errorf("the first key leads to %q", first)
	}
	seen := map[string]bool{}
	for range 14 {
		b.do("a key", chromedp.KeyEvent("\t"))
		at := ask(b, "what has the focus", chromedp.Evaluate[string](`document.activeElement.closest("nav.menu") ? document.activeElement.pathname + " " + getComputedStyle(document.activeElement).outlineStyle : ""`))
		if path, outline, ok := strings.Cut(at, " "); ok {
			seen[path] = outline == "solid"
		}
	}
	for _, path := range strings.Fields("/account /account/profile /account/sign-in /account/sessions /account/applications /account/activity /account/data /") {
		if !seen[path] {
			b.t.Errorf("the keyboard does not reach %s, or it cannot be seen: %v", path, seen)
		}
	}
}
