package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
)

// tongue is a browser that accepts languages.
type tongue struct {
	*servertest.Browser
	t      *testing.T
	h      *servertest.House
	accept string
}

func (b tongue) get(path string) *servertest.Page {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, b.h.Issuer+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.accept != "" {
		req.Header.Set("Accept-Language", b.accept)
	}
	return b.Do(req)
}

// speaks fails unless a page is in a language, and says so.
func speaks(t *testing.T, page *servertest.Page, want string) {
	t.Helper()
	if got := page.Attributes("html", "lang"); len(got) != 1 || got[0] != want || page.Header.Get("Content-Language") != want ||
		!strings.Contains(strings.Join(page.Header.Values("Vary"), ","), "Accept-Language") {
		t.Errorf("%s is in %v (Content-Language %q, Vary %q), want %s", page.URL, got, page.Header.Get("Content-Language"), page.Header.Values("Vary"), want)
	}
}

// chosen is the choice of a language, in the menu of a page.
func chosen(page *servertest.Page, b tongue, tag string) *servertest.Page {
	return b.Post("/language", url.Values{"language": {tag}, "back": {page.URL.RequestURI()}})
}

// TestLanguageOfPages: a person's choice goes before what the application asks for
// (OpenID Connect Core §3.1.2.1), that before their account's (§5.1), that before
// their browser's (RFC 9110 §12.5.4), and that before the installation's.
func TestLanguageOfPages(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		p := newParty(h, "code", "")
		b := tongue{h.Browser(), t, h, ""}
		speaks(t, b.get("/"), "ja")
		b.accept = "fr-CH, fr;q=0.9, uk-UA;q=0.8, en;q=0.7"
		speaks(t, b.get("/"), "uk")
		speaks(t, b.get("/nothing"), "uk")
		login := b.get(p.path("ui_locales", "fr en-GB uk"))
		speaks(t, login, "en")
		speaks(t, b.get(p.path("ui_locales", "fr-CA se")), "uk")
		if _, err := h.Accounts.Update(t.Context(), servertest.Operator, u.ID, account.Change{Profile: &model.Profile{Locale: "ja-JP"}}); err != nil {
			t.Fatal(err)
		}
		consent := login.Submit("primary", "login", "olena", "password", password)
		speaks(t, consent, "en") // what the application asked for
		speaks(t, b.get("/"), "ja")
		speaks(t, b.get("/nothing"), "ja")
		speaks(t, b.get(p.path("prompt", "consent")), "ja")
		home := chosen(b.get("/"), b, "uk")
		speaks(t, home, "uk")
		if home.URL.Path != "/" {
			t.Errorf("the choice leads to %s", home.URL)
		}
		speaks(t, b.get(p.path("prompt", "consent", "ui_locales", "en")), "uk")
	}, func(c *server.Config) { c.Language = "ja" })
}

// TestLanguageMenu: the choice leads back to the page that it was made on, keeps
// nothing but the language, and takes no orders from other sites.
func TestLanguageMenu(t *testing.T) {
	h := servertest.Start(t, func(c *server.Config) { c.Issuer = "https://login.example.com/auth" })
	send := func(back, tag, site string) *http.Response {
		form := url.Values{"back": {back}, "language": {tag}}
		r := httptest.NewRequest(http.MethodPost, "https://login.example.com/auth/language", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", site)
		w := httptest.NewRecorder()
		h.Handler().ServeHTTP(w, r)
		return w.Result()
	}
	for back, want := range map[string]string{
		"/auth/":                            "/auth/",
		"/auth/authorize?client_id=a&b=%20": "/auth/authorize?client_id=a&b=%20",
		"/auth/setup?token=x":               "/auth/setup?token=x",
		"":                                  "/auth/", "/": "/auth/", "/other": "/auth/", "/authority": "/auth/",
		"//evil.test/auth/": "/auth/", "https://evil.test/auth/": "/auth/", `/auth/\evil.test`: "/auth/", `/\evil.test`: "/auth/",
		"/auth/\r\nSet-Cookie: a=b": "/auth/", "javascript:alert(1)": "/auth/", "/auth/" + strings.Repeat("x", 5000): "/auth/",
	} {
		res := send(back, "uk", "same-origin")
		if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != want {
			t.Errorf("back to %.60q: %d %q", back, res.StatusCode, res.Header.Get("Location"))
		}
		k := only(t, res)
		if k.Name != "__Host-ostiary_language" || k.Value != "uk" || k.Path != "/" || !k.HttpOnly || !k.Secure || k.SameSite != http.SameSiteLaxMode || k.MaxAge != 365*24*3600 {
			t.Errorf("cookie %s", k)
		}
	}
	for _, tag := range []string{"", "fr", "UK", "uk-UA", "uk\r\nx", "../en", strings.Repeat("uk-", 1000)} {
		if res := send("/auth/", tag, "same-origin"); res.StatusCode != http.StatusBadRequest || len(res.Cookies()) != 0 {
			t.Errorf("language %.20q: %d %v", tag, res.StatusCode, res.Cookies())
		}
	}
	if res := send("/auth/", "uk", "cross-site"); res.StatusCode != http.StatusForbidden || len(res.Cookies()) != 0 {
		t.Errorf("from another site: %d %v", res.StatusCode, res.Cookies())
	}
}

// TestLanguageIsBounded: what comes from outside about languages is read up to a
// bound, and never an error but where the parameter itself is too long.
func TestLanguageIsBounded(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	p := newParty(h, "code", "")
	for accept, want := range map[string]string{
		"uk": "uk", "UK-ua": "uk", "ja-JP-u-ca-japanese": "ja", "*": "en", "": "en", "uk;q=0, ja;q=0.1": "ja", "ru": "en", "zh-TW": "en",
		strings.Repeat("fr, ", 9) + "uk": "uk", strings.Repeat("fr, ", 10) + "uk": "en", strings.Repeat("x-", 20_000) + ", uk": "en",
		"uk, " + strings.Repeat("fr;q=0.5, ", 5_000): "uk", strings.Repeat("-", 30_000): "en", "\xff\xfe": "en", "uk;q=zero": "en",
	} {
		speaks(t, tongue{h.Browser(), t, h, accept}.get("/"), want)
	}
	for asked, want := range map[string]string{
		"ja uk": "ja", "JA": "ja", "fr-CA uk": "uk", "!! uk": "uk", strings.Repeat("fr ", 2) + "uk": "uk", "aa ab ae af ak am an ar as av uk": "en",
		strings.Repeat("a", 36) + " ja": "ja", "uk_UA": "uk", "<script> ja": "ja",
	} {
		speaks(t, h.Browser().Get(p.path("ui_locales", asked)), want)
	}
	for _, planted := range []string{"fr", "uk-UA", strings.Repeat("uk", 100), "<b>"} {
		req, err := http.NewRequest(http.MethodGet, h.Issuer+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", "ostiary_language="+planted)
		speaks(t, h.Browser().Do(req), "en")
	}
}

// TestErrorsInOtherLanguages: what is wrong is said in the person's language, and
// beside that in the words that the developers of the application know.
func TestErrorsInOtherLanguages(t *testing.T) {
	h := servertest.Start(t, signUpOpen)
	h.User("olena", password)
	c, _ := h.Client("shop", web)
	b := tongue{h.Browser(), t, h, "uk"}
	shows := func(page *servertest.Page, want ...string) {
		t.Helper()
		speaks(t, page, "uk")
		for _, s := range want {
			if !strings.Contains(page.Body, s) {
				t.Errorf("%s does not say %q: %s", page.URL, s, page.Body)
			}
		}
	}
	shows(b.get("/authorize"), "Бракує параметра client_id", "The parameter client_id is missing", "invalid_request", "UTC")
	shows(b.get("/authorize?client_id=nobody"), "Застосунку з таким client_id тут не зареєстровано")
	shows(b.get("/authorize?client_id=shop&redirect_uri=https://evil.test/"), "Цю адресу redirect_uri не зареєстровано")
	shows(b.get("/interaction/none"), "Цей вхід завершено, він тривав задовго, або його почато в іншому браузері")
	shows(b.get("/logout?post_logout_redirect_uri=https://evil.test/"), "Для post_logout_redirect_uri потрібен")
	shows(b.get("/setup?token=none"), "Перший обліковий запис тут уже створено")
	b.accept = "ja"
	asked := b.get(servertest.AuthorizePath(c, "prompt", "create", "ui_locales", "uk"))
	shows(asked, "Створення облікового запису", "Щонайменше 15\u00a0символів")
	for _, one := range []struct{ login, name, password, want string }{
		{"", "", goodPassword, "Введіть електронну адресу або ім’я користувача."},
		{"a\x00b", "", goodPassword, "містить недопустимі символи"},
		{strings.Repeat("x", 300), "", goodPassword, "Задовга електронна адреса або ім’я користувача."},
		{"a@b@c", "", goodPassword, "Це не електронна адреса."},
		{"eve", "a\nb", goodPassword, "Ім’я має бути одним рядком"},
		{"eve", strings.Repeat("x", 300), goodPassword, "Задовге ім’я."},
		{"eve", "", "", "Введіть пароль."},
		{"eve", "", "short", "Пароль має містити щонайменше 15\u00a0символів."},
		{"eve", "", strings.Repeat("x", 2000), "Задовгий пароль."},
		{"olena", "", goodPassword, "вже існує"},
	} {
		shows(asked.Submit("primary", "login", one.login, "name", one.name, "password", one.password), one.want)
	}
	b.accept = "uk"
	empty := servertest.Start(t)
	link, err := empty.Accounts.SetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	setup := empty.Browser().Get("/setup?token=" + link.Reveal())
	setup = tongue{empty.Browser(), t, empty, ""}.Post("/language", url.Values{"language": {"uk"}, "back": {setup.URL.RequestURI()}})
	shows(setup, "Створіть перший обліковий запис")
	shows(setup.Submit("primary", "login", "olena", "email", "none", "password", goodPassword), "Це не електронна адреса.")
}

const goodPassword = "four words that rhyme"

// TestSignOutInOtherLanguages: the last page speaks as the one before it did, also
// when nobody is there any more whose account says how.
func TestSignOutInOtherLanguages(t *testing.T) {
	h := servertest.Start(t)
	u := h.User("olena", password)
	if _, err := h.Accounts.Update(t.Context(), servertest.Operator, u.ID, account.Change{Profile: &model.Profile{Locale: "uk"}}); err != nil {
		t.Fatal(err)
	}
	p := newParty(h, "code", "")
	for query, want := range map[string]string{"": "uk", "?ui_locales=ja": "ja"} { // RP-Initiated Logout §2
		b := h.Browser()
		b.Get(p.path()).Submit("primary", "login", "olena", "password", password)
		ask := b.Get("/logout" + query)
		speaks(t, ask, want)
		out := ask.Submit("primary")
		speaks(t, out, want)
		if out.URL.Path != "/signed-out" {
			t.Errorf("%q leads to %s", query, out.URL)
		}
	}
	speaks(t, h.Browser().Get("/signed-out"), "en")
}

// TestUnknownLanguage: a server without pages in its own language does not start.
func TestUnknownLanguage(t *testing.T) {
	_, err := server.Open(t.Context(), server.Config{Data: t.TempDir(), Language: "fr"})
	if err == nil || !strings.Contains(err.Error(), "set --language to one of en, ja, uk") {
		t.Errorf("%v", err)
	}
}
