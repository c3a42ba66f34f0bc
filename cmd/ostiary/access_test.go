package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/theme"
)

// unseenRoutes are those that show nothing of their own, and why.
var unseenRoutes = map[string]string{
	"GET /session-state":         "a frame that nobody sees",
	"GET /interaction/{id}":      "it leads to the page that is next",
	"GET /mailbox/{letter}/html": "a letter, which stands in the frame of another page",
	"GET /sign-in":               "it leads to a sign-in",
	"GET /static/":               "style sheets, scripts and pictures",
	"GET /logo/{hash}":           "a picture",
	"GET /theme/{file}":          "a style sheet, a picture",
	"GET /theme/{client}/{file}": "a style sheet",

	"GET /upstream/{upstream}/logout": "what providers hold in a frame that nobody sees",
}

// TestAccess holds every page to WCAG 2.2 AA: what axe-core finds, and what it leaves
// to people, in both themes, on the narrowest phone and on a desktop.
func TestAccess(t *testing.T) {
	v, visited := newVisitor(t), 0
	for _, row := range accessRows {
		t.Run(row.name, func(t *testing.T) {
			v.t, v.browser.t = t, t
			row.open(v)
			v.note()
			v.check(row)
			visited++
		})
	}
	v.t, v.browser.t = t, t
	if visited < len(accessRows) { // -run names some of them
		return
	}
	for _, route := range siteMap(t) {
		if !v.routes[route] && unseenRoutes[route] == "" {
			t.Errorf("%s: no row of accessRows visits this page", route)
		}
	}
	files, err := filepath.Glob("../../internal/web/templates/*.html")
	if err != nil || len(files) == 0 {
		t.Fatal("no templates", err)
	}
	for _, f := range files {
		view := strings.TrimSuffix(filepath.Base(f), ".html")
		drawn := slices.ContainsFunc(accessRows, func(r accessRow) bool { return r.view == view })
		if !drawn && !slices.Contains([]string{"layout", "parts", "shell", "passkey", "upstream"}, view) {
			t.Errorf("no row of accessRows shows templates/%s.html", view)
		}
	}
}

// TestPagesInLanguages shows each page in the languages besides English, narrow in the
// light theme and wide in the dark one: that it is in the language, that nothing stands out of its box, and
// that no text has a hole.
func TestPagesInLanguages(t *testing.T) {
	v := newVisitor(t)
	for _, tag := range []string{"uk", "ja"} {
		v.tongue = tag
		drawn := map[string]bool{"": true, "mailbox": true} // that is for developers
		for _, row := range accessRows {
			if drawn[row.view] || row.wrong != "" {
				continue
			}
			drawn[row.view] = true
			t.Run(tag+" "+row.view, func(t *testing.T) {
				v.t, v.browser.t = t, t
				v.nobody()
				row.open(v)
				if got := ask(v.browser, "reading the language", chromedp.Evaluate[string](`document.documentElement.lang`)); got != tag {
					t.Errorf("the page is in %q", got)
				}
				v.fits("page-"+tag+"-"+row.view, narrow[0], narrow[3])
			})
		}
	}
}

// visitor is a browser on its way through the pages, and those whom it needs.
type visitor struct {
	*browser
	all    *testing.T // which outlives the rows
	h      *servertest.House
	shop   model.Client
	themed model.Client
	own    model.Client
	tv     model.Client      // a device without a browser
	keys   model.Client      // takes passkeys alone
	state  string            // who is signed in
	tongue string            // in which the pages are; empty: English
	mux    *http.ServeMux    // of the site map
	routes map[string]bool   // of it, that were seen
	titles map[string]string // of pages, and which
	people int               // that were made for one row each
	second *servertest.House // at which people of h sign in; nil: nobody does yet
}

const secret = "correct horse battery"

func newVisitor(t *testing.T, options ...servertest.Option) *visitor {
	v := &visitor{
		browser: openBrowser(t), all: t, h: servertest.Start(t, append(options, func(c *server.Config) { c.SignUp, c.Mailbox = true, true })...),
		mux: http.NewServeMux(), routes: map[string]bool{}, titles: map[string]string{},
	}
	// Where a sign-in leads to; elsewhere the application answers nothing, and the
	// browser stays where it is.
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/callback" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, `<main><h1 id="arrived">Signed in</h1></main>`)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(app.Close)
	v.h.User("olena", secret)
	v.h.User("bohdan.khmelnytsky-the-long-named", secret)
	settings := model.ClientSettings{
		Name: "The Lantern Shop", RedirectURIs: []string{app.URL + "/callback", app.URL + "/still"}, PostLogoutRedirectURIs: []string{app.URL + "/bye"},
		URI: "https://shop.example/", PolicyURI: "https://shop.example/privacy", TermsURI: "https://shop.example/terms",
		Scopes: []string{"openid", "profile", "email", "phone", "address", "offline_access"},
	}
	v.shop, _ = v.h.Client("shop", settings)
	settings.SignInMethods = []string{"passkey"}
	v.keys, _ = v.h.Client("keys", settings)
	settings.SignInMethods = nil
	settings.ThemeAccent, settings.ThemeAccentDark, settings.ThemeBackground, settings.ThemeBackgroundDark = "#b3261e", "#f2b8b5", "#e0e0e0", "#2b2b2b"
	v.themed, _ = v.h.Client("themed", settings)
	settings.FirstParty, settings.FrontchannelURI = true, app.URL+"/front"
	v.own, _ = v.h.Client("own", settings)
	v.tv, _ = v.h.Client("tv", model.ClientSettings{
		Name: "Television", AuthMethod: model.AuthNone, GrantTypes: []string{model.GrantDeviceCode}, Scopes: []string{"openid", "profile"},
	})
	for _, route := range siteMap(t) {
		v.mux.HandleFunc(route, func(http.ResponseWriter, *http.Request) {})
	}
	return v
}

// siteMap is every page that web has, by its pattern.
func siteMap(t *testing.T) (routes []string) {
	t.Helper()
	constants, text := map[string]string{}, ""
	for _, folder := range []string{"oauth", "web"} {
		files, err := filepath.Glob("../../internal/" + folder + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		text = ""
		for _, f := range files {
			part, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			text += string(part)
		}
		for _, m := range regexp.MustCompile(`\b(\w*[pP]ath\w*)\s+= "(/[^"]*)"`).FindAllStringSubmatch(text, -1) {
			constants[m[1]] = m[2]
		}
	}
	for _, m := range regexp.MustCompile(`\b(?:page|own)\("(GET [^"]*)"(?:\+(?:oauth\.)?(\w+))?(?:\+"([^"]*)")?,`).FindAllStringSubmatch(text, -1) {
		if m[2] != "" && constants[m[2]] == "" {
			t.Fatalf("the test does not know the address %s", m[2])
		}
		routes = append(routes, m[1]+constants[m[2]]+m[3])
	}
	if len(routes) < 10 {
		t.Fatalf("the site map is not where this test looks for it: %q", routes)
	}
	return routes
}

// note remembers which page of the site map the browser shows.
func (v *visitor) note() {
	v.t.Helper()
	at, err := url.Parse(ask(v.browser, "reading the address", chromedp.Location()))
	if err != nil {
		v.t.Fatal(err)
	}
	_, route := v.mux.Handler(&http.Request{Method: http.MethodGet, URL: at, Host: at.Host})
	v.routes[route] = true
}

// visit opens a page of the server.
func (v *visitor) visit(path string) {
	v.t.Helper()
	v.do("visiting "+path, browsertest.Visit(v.h.Issuer+path), browsertest.Visible(`main h1`))
}

// ask begins a sign-in to an application.
func (v *visitor) ask(c model.Client, pairs ...string) {
	v.t.Helper()
	v.visit(servertest.AuthorizePath(c, pairs...))
}

// signIn fills in the sign-in page and waits for what follows.
func (v *visitor) signIn(login, password, then string) {
	v.t.Helper()
	v.do("signing in", browsertest.Fill(`#login`, login), browsertest.Type(`#password`, password), browsertest.Submit(`#password`), browsertest.Visible(then))
}

// nobody signs everybody out, by forgetting all.
func (v *visitor) nobody() *visitor {
	v.t.Helper()
	v.do("forgetting", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, network.ClearBrowserCookies, cdp.Empty{})
		return chromedp.Void{}, err
	})
	if v.tongue != "" {
		v.do("choosing the language", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
			_, err := cdp.Call(ctx, t, network.SetCookie, network.SetCookieParams{Name: "ostiary_language", Value: v.tongue, URL: v.h.Issuer})
			return chromedp.Void{}, err
		})
	}
	v.state = "nobody"
	return v
}

// one has one person signed in.
func (v *visitor) one() *visitor {
	v.t.Helper()
	if v.state != "one" {
		v.nobody().ask(v.shop, "prompt", "consent login")
		v.signIn("olena", secret, `button[value="allow"]`)
		v.do("allowing it", browsertest.Click(`.primary`), browsertest.Visible(`#arrived`))
		v.state = "one"
	}
	return v
}

// two has two.
func (v *visitor) two() *visitor {
	v.t.Helper()
	if v.state != "two" {
		v.one().ask(v.shop, "prompt", "consent login")
		v.signIn("bohdan.khmelnytsky-the-long-named", secret, `button[value="allow"]`)
		v.state = "two"
	}
	return v
}

// debug opens the token debugger.
func (v *visitor) debug() {
	v.t.Helper()
	v.do("opening the debugger", browsertest.Visit(v.h.Issuer+"/debugger"), browsertest.Visible(`#token`))
}

// setup opens the page that makes the first account, at a server without any.
func (v *visitor) setup() {
	v.t.Helper()
	h := servertest.Start(v.t)
	link, err := h.Accounts.SetupLink(v.t.Context())
	if err != nil {
		v.t.Fatal(err)
	}
	v.do("opening the setup link", browsertest.Visit(h.Issuer+"/setup?token="+link.Reveal()), browsertest.Visible(`#password`))
}

// TestAccessFinds: what the checks look for they find, on a page that has it all.
func TestAccessFinds(t *testing.T) {
	const page = `<!DOCTYPE html><title>Faults</title><style>
		:focus { outline: none } #faint:focus { outline: 2px solid #ddd } #under:focus { outline: 2px solid #000 }
		#moves { transition: color 1s } #wide { width: 2000px } #bare { border: 0 } #cut { height: 10px; overflow: hidden }
		#cover { position: fixed; inset: 50% 0 0 0; background: #fff } #under { position: fixed; bottom: 0 } #box { width: 40px; display: block; white-space: nowrap }
		</style><main><p style="color: #bbb">Faint text</p><p id="wide">Wide</p><p id="moves">Moves</p><p id="cut">Cut<br>off</p>
		<button id="box">A long text</button><input id="bare" name="login"><input name="code" autocomplete="one-time-code" aria-invalid="true" id="code">
		<a href="/" style="font-size: 3px">Tiny</a> <a href="/" style="font-size: 3px">Small</a>
		<button id="faint">Faint focus</button><button id="under">Covered</button><div id="cover"></div>
		<div tabindex="0" role="button"></div><p role="alert" id="alert">Wrong</p></main>
		<script>code.addEventListener("paste", e => e.preventDefault())</script>`
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, page)
	}))
	t.Cleanup(site.Close)
	v := &visitor{browser: openBrowser(t)}
	v.do("opening", chromedp.EmulateViewport(800, 600), browsertest.Visit(site.URL), browsertest.Visible("#cover"), browsertest.Front)
	v.measure()
	for expression, wants := range map[string][]string{
		`access.axe()`:                         {"color-contrast", "html-has-lang", "label", "target-size", "aria-command-name", "page-has-heading-one"},
		`access.colours()`:                     {"color-contrast"},
		`access.overflow()`:                    {"the page is ", "out of the window: <p id=\"wide\"", "out of its box: <button id=\"box\"", "cut off: <p id=\"cut\""},
		`access.focus()`:                       {"nobody sees the focus on <input id=\"bare\"", "a contrast of 1.", "covers <button id=\"under\""},
		`access.moving()`:                      {"it moves: <p id=\"moves\""},
		`access.forced()`:                      {"a field without an edge: <input id=\"bare\""},
		`access.fields({login: ["username"]})`: {`autocomplete="", want one of "username"`, `does not know what the field "code" is for`, "does not take what is pasted"},
		`access.announced("login")`:            {"does not say what is wrong with it", "the focus is not where the mistake is", "login must be typed again"},
	} {
		found := ask(v.browser, expression, chromedp.Evaluate[[]string](expression, chromedp.EvalAwaitPromise))
		for _, want := range wants {
			if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, want) }) {
				t.Errorf("%s does not find %q, but\n%s", expression, want, strings.Join(found, "\n"))
			}
		}
	}
}

// TestAccessOfThemes holds pages in the colours of an operator to the same, with a logo
// beside the name and with one in its place.
func TestAccessOfThemes(t *testing.T) {
	logo := func(size, shape string) *theme.Picture {
		p, err := theme.ParsePicture([]byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ` + size + `">` + shape + `</svg>`))
		if err != nil {
			t.Fatal(err)
		}
		return &p
	}
	look := theme.Look{
		Colours: theme.Colours{Accent: "#0b5cad", Background: "#e3ecf6", BackgroundDark: "#101a26"},
		Logo:    logo("24 24", `<circle cx="12" cy="12" r="11" fill="#0b5cad"/><path d="M7 12h10" stroke="#fff" stroke-width="3"/>`),
		Sheet:   ".card { border-radius: .25rem }",
	}
	wordmark := look
	wordmark.Logo = logo("120 32", `<rect width="120" height="32" rx="6" fill="#0b5cad"/><text x="60" y="22" font-size="18" text-anchor="middle" fill="#fff">ACME</text>`)
	wordmark.LogoDark = logo("120 32", `<rect width="120" height="32" rx="6" fill="#9cc4f5"/><text x="60" y="22" font-size="18" text-anchor="middle" fill="#000">ACME</text>`)
	for name, l := range map[string]theme.Look{"theme": look, "wordmark": wordmark} {
		t.Run(name, func(t *testing.T) {
			v := newVisitor(t, func(c *server.Config) { c.Name, c.Look = "ACME Accounts", l })
			looked, wanted := 0, []string{"login, wrong", "consent", "account"}
			for _, row := range accessRows {
				if slices.Contains(wanted, row.name) {
					looked++
					row.open(v)
					row.name = name + ", " + row.name
					v.check(row)
				}
			}
			if looked != len(wanted) {
				t.Errorf("%d rows of %q were looked at", looked, wanted)
			}
		})
	}
}

// TestAccessOfLetters holds a letter to WCAG 2.2 AA, as a mail program shows it. Marks
// of a page, such as its main part, are not for letters.
func TestAccessOfLetters(t *testing.T) {
	v := newVisitor(t)
	v.recover()
	v.showLetter(v.letter().HTML) // at its own address no script runs, and so no test
	v.measure()
	for _, l := range narrow {
		v.do("looking at "+l.name, chromedp.EmulateViewport(l.width, l.height), features("prefers-color-scheme", l.scheme))
		v.says(l.name+", axe", `access.axe([])`)
		v.says(l.name+", its box", `access.overflow()`)
		v.keep("letter", l.name)
	}
}
