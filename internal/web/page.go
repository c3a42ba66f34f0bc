package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/internal/language"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/theme"
)

//go:embed templates/*.html
var templateFS embed.FS

// Theme is what an installation may say about the look of its pages.
type Theme struct {
	Name     string // of the installation; empty: "Ostiary"
	Base     string // path of the issuer, "" or like "/auth": links to our own pages and files begin with it
	Language string // of language.Tags, for whoever wishes for none of them; empty: English
	Look     theme.Look
}

// contentPolicy is the Content-Security-Policy of every page. There is no
// script on them and no inline style, so none is allowed.
//
// form-action is left out on purpose. Chromium applies it to the redirects that
// follow a form's submission as well, so 'self' would stop people on the last
// step, from here to the client's address; and that address is not known to
// the page that holds the form. What could be injected to need it is kept out by
// the escaping of the templates.
const contentPolicy = "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; base-uri 'none'; frame-ancestors 'none'"

// featurePolicy takes away what no page here uses. Passkeys
// (publickey-credentials-get, -create) are not on the list: sign-in wants them.
const featurePolicy = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()"

// How a page stands to the window that opened it.
const (
	// A client may open the sign-in in a popup and wait for it. Any other
	// value than this one would cut the popup from its opener for good, even
	// after it has returned to the client's own address, and the client would
	// never learn of the result.
	openerFlow = "unsafe-none"
	// No client has business with the pages that are ours alone.
	openerOwn = "same-origin"
)

// pages draws every page that a browser sees. It is safe for concurrent use.
type pages struct {
	theme    Theme
	chooser  chooser
	editions map[string]*edition // by language
	menu     []menuItem

	passwordLength int // characters of a new password, at least

	brand brand
	files map[string]staticFile // of the theme, by the last part of their addresses
}

// menuItem is a language that can be chosen.
type menuItem struct{ Tag, Name string }

// frame is a page with what stands around it.
type frame struct {
	Page   any
	Back   string   // where a choice of language leads; empty: none is offered
	Sheets []string // addresses of style sheets beside ours
}

// newPages makes the pages of an installation.
func newPages(theme Theme) (*pages, error) {
	all, err := language.All()
	if err != nil {
		return nil, err
	}
	return pagesOf(templateFS, theme, all)
}

func pagesOf(files fs.FS, theme Theme, all map[string]language.Texts) (*pages, error) {
	if theme.Name = tidy(theme.Name); theme.Name == "" {
		theme.Name = "Ostiary"
	}
	theme.Base = strings.TrimRight(theme.Base, "/")
	if theme.Base != "" && (theme.Base[0] != '/' || strings.HasPrefix(theme.Base, "//")) {
		return nil, fmt.Errorf("web: the base path %q must begin with one slash", theme.Base)
	}
	tags := slices.Sorted(maps.Keys(all))
	if theme.Language == "" {
		theme.Language = language.Source
	}
	if !slices.Contains(tags, theme.Language) {
		return nil, fmt.Errorf("web: there are no pages in the language %q", theme.Language)
	}
	p := &pages{theme: theme, chooser: newChooser(tags, theme.Language), editions: map[string]*edition{}}
	for _, tag := range tags {
		p.menu = append(p.menu, menuItem{tag, all[tag].Name})
	}
	p.dress(theme.Look)
	for _, tag := range tags {
		p.editions[tag] = p.newEdition(files, all[tag])
	}
	return p, nil
}

// edition is the one for the person who sent r.
func (p *pages) edition(r *http.Request) *edition { return p.editions[p.chooser.of(r)] }

// text returns a text for the person who sent r, for the fields of pages that
// are shown as they are (Error, Description, Hint); the pairs are words and their
// values, as in language.Texts.Fill. An unknown key comes back as it is.
func (p *pages) text(r *http.Request, key string, pairs ...string) string {
	s, err := p.edition(r).words.Fill(key, pairs...)
	if err != nil {
		slog.ErrorContext(r.Context(), "text missing", "error", err)
		return key
	}
	return s
}

// scopes explains scopes to the person who sent r: the standard ones (OpenID
// Connect Core §5.4, §11) in words, all others by their names.
func (p *pages) scopes(r *http.Request, names []string) []scopeView {
	views := make([]scopeView, 0, len(names))
	words := p.edition(r).words
	for _, name := range names {
		v := scopeView{Name: name, Title: name}
		if words.Has("scope." + name + ".detail") {
			v.Title, v.Detail = p.text(r, "scope."+name), p.text(r, "scope."+name+".detail")
		}
		views = append(views, v)
	}
	return views
}

// claims explains the claims that a client asks for one by one, OpenID Connect
// Core §5.5, as one thing more beside the scopes.
func (p *pages) claims(r *http.Request, names []string) []scopeView {
	if len(names) == 0 {
		return nil
	}
	var words []string
	for _, name := range names {
		words = append(words, p.text(r, "claim."+name))
	}
	list := strings.Join(words, p.text(r, "consent.claims.and"))
	return []scopeView{{Name: "claims", Title: p.text(r, "consent.claims"), Detail: capital(list)}}
}

// draw writes a page, whole or not at all.
func (p *pages) draw(w http.ResponseWriter, r *http.Request, d drawing) {
	var body bytes.Buffer
	e := p.edition(r)
	headers := pageHeaders{kind: "text/html; charset=utf-8", policy: contentPolicy + d.policy, opener: d.opener, language: e.words.Tag}
	around := frame{Page: d.data, Sheets: p.sheets(r)}
	if !d.once {
		around.Back = p.backTo(r)
	}
	view, err := e.views[d.view]()
	if err == nil {
		err = view.Execute(&body, around)
	}
	if err != nil {
		slog.ErrorContext(r.Context(), "page not drawn", "page", d.view, "error", err)
		body.Reset()
		body.WriteString("internal error\n")
		d.status = http.StatusInternalServerError
		headers.kind, headers.language = "text/plain; charset=utf-8", language.Source
	}
	p.write(w, d.status, headers, body.Bytes())
}

// pageHeaders are those in which pages differ.
type pageHeaders struct {
	kind, policy, opener string
	language             string // empty: there is nothing to read
	framed               bool   // by others
}

// write sends a page with the headers that all of them have.
func (p *pages) write(w http.ResponseWriter, status int, differ pageHeaders, body []byte) {
	h := w.Header()
	h.Set("Content-Type", differ.kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Content-Security-Policy", differ.policy)
	h.Set("Cross-Origin-Opener-Policy", differ.opener)
	h.Set("Permissions-Policy", featurePolicy)
	h.Set("Referrer-Policy", "no-referrer") // RFC 9700 §4.2.4: addresses here hold what others must not learn
	h.Set("X-Content-Type-Options", "nosniff")
	if !differ.framed {
		h.Set("X-Frame-Options", "DENY") // RFC 9700 §4.16, for browsers that do not know frame-ancestors
	}
	h.Set("Cache-Control", "no-store")
	if differ.language != "" {
		h.Set("Content-Language", differ.language)
		h.Add("Vary", "Accept-Language")
	}
	w.WriteHeader(status)
	w.Write(body) // a browser that went away is nobody's error
}

// drawing is one page about to be drawn.
type drawing struct {
	view   string
	status int
	opener string
	policy string // what contentPolicy is followed by
	once   bool   // coming back to it would not show it again
	data   any
}

// statusOr returns status, or fallback where none was given.
func statusOr(status, fallback int) int {
	if status == 0 {
		return fallback
	}
	return status
}

// The methods below draw one page each. Actions and links are addresses as the
// browser shall use them, with the base path; texts are shown as they are.

// clientView is what a page shows of a client.
type clientView struct {
	Name   string
	URI    string // its own site; this and the next two are shown only if they are web addresses
	Policy string // what it does with data
	Terms  string // on which it serves
	Host   string // of the redirect URI, so that people can recognise a look-alike
	Logo   string // hash of its picture, which we serve ourselves; empty: none

	Stranger bool   // no operator registered it: nobody here knows whose it is
	Site     string // host of the address by which it is known; empty: it is not known by one
}

// userView is what a page shows of the person who is signed in.
type userView struct {
	Name, Login, Email string
	Admin              bool
}

// Display is the person's name, or the login of one who gave none.
func (u userView) Display() string {
	if u.Name != "" {
		return u.Name
	}
	return u.Login
}

// Detail is what tells apart two people of the same name.
func (u userView) Detail() string {
	switch {
	case u.Email != "":
		return u.Email
	case u.Name != u.Login && u.Name != "":
		return u.Login
	}
	return ""
}

// accountView is one of the people who are signed in at a browser.
type accountView struct {
	User    userView
	ID      string
	Current bool
}

// selectPage asks for whom of those who are signed in a request is. It posts
// account, the ID of one of them, or decision=cancel.
type selectPage struct {
	Action   string
	Client   clientView
	Accounts []accountView // at least one, and one of them current
	Another  string        // address of a sign-in page for somebody else
}

func (p *pages) selectAccount(w http.ResponseWriter, r *http.Request, v selectPage) {
	p.draw(w, r, drawing{view: "select", status: http.StatusOK, opener: openerFlow, data: v})
}

// loginPage asks who somebody is. It posts login, password, remember ("1" or
// absent) and, from the second button, decision=cancel.
type loginPage struct {
	Status   int // 0: 200
	Action   string
	Select   string     // address of the page that lists who is signed in; empty: none
	Create   string     // address of the page that makes an account; empty: none
	Mail     string     // address of the page that mails a code; empty: none
	Recover  string     // address of the page for who has forgotten their password; empty: none
	Client   clientView // zero: nobody sent them
	Login    string     // what was typed before
	Error    string     // empty: none
	Field    string     // "passkey", "method" where it is about that, and not about what was typed
	Without  bool       // no password is taken
	Remember bool
	Display  string       // "popup" or "touch" (OpenID Connect Core §3.1.2.1); empty: a page
	Passkey  *passkeyView // nil: none is asked for

	Upstreams []upstreamView
	Realms    bool          // a login alone may lead to one of them
	Connect   *connectsView // nil: nobody waits
}

func (v loginPage) policy() string { return v.Passkey.policy() }

func (p *pages) login(w http.ResponseWriter, r *http.Request, v loginPage) {
	p.draw(w, r, drawing{view: "login", status: statusOr(v.Status, http.StatusOK), opener: openerFlow, policy: v.policy(), data: v})
}

// createPage makes an account for somebody who asks for one. It posts login, name,
// password and, from the second button, decision=cancel.
type createPage struct {
	Status      int // 0: 200
	Action      string
	SignIn      string     // address of the sign-in page; empty: none
	Client      clientView // zero: nobody sent them
	Login, Name string     // what was typed before
	Error       string     // empty: none
	Wrong       string     // the field that it is about; empty: none
}

func (p *pages) create(w http.ResponseWriter, r *http.Request, v createPage) {
	p.draw(w, r, drawing{view: "create", status: statusOr(v.Status, http.StatusOK), opener: openerFlow, data: v})
}

// consentPage asks whether a client may have what it wants. It posts
// decision=allow or decision=deny.
type consentPage struct {
	Status  int // 0: 200
	Action  string
	Client  clientView
	Device  bool // it asks for a device that is not this one
	User    userView
	Switch  string // address of the page that lists who is signed in
	Scopes  []scopeView
	Display string // as that of loginPage
}

// scopeView is a scope in words.
type scopeView struct{ Name, Title, Detail string }

func (p *pages) consent(w http.ResponseWriter, r *http.Request, v consentPage) {
	p.draw(w, r, drawing{view: "consent", status: statusOr(v.Status, http.StatusOK), opener: openerFlow, data: v})
}

// errorPage tells a person what cannot be told to a client (RFC 6749 §4.1.2.1).
type errorPage struct {
	Status      int    // 0: 400
	Code        string // of the protocol, as "invalid_request"
	Description string // what is wrong, one sentence
	Detail      string // the same for whoever runs the application, in English; empty: Description says it
	Hint        string // what to do about it; empty: a general hint
	RequestID   string // by which the log is searched
	At          int64  // when it happened; 0: it is not told
	Wait        int64  // seconds after which it may be tried again; 0: nobody knows
	Once        bool   // its address must not be asked for again, nor stand on the page
}

// Minutes is Wait for people, a minute at least.
func (v errorPage) Minutes() string { return strconv.FormatInt(max(1, (v.Wait+59)/60), 10) }

// Kind picks the words: the fault is not always in the request.
func (v errorPage) Kind() string {
	switch {
	case v.Status >= 500:
		return ".server"
	case v.Status == http.StatusTooManyRequests:
		return ".busy"
	}
	return ""
}

func (p *pages) error(w http.ResponseWriter, r *http.Request, v errorPage) {
	p.draw(w, r, drawing{view: "error", status: statusOr(v.Status, http.StatusBadRequest), opener: openerFlow, once: v.Once, data: v})
}

// signOutPage asks whether somebody really wants to sign out, and who, if several
// are signed in. It posts the hidden fields, account (the ID of one of them, or
// "all") and decision=signout or decision=cancel.
type signOutPage struct {
	Action   string
	Client   clientView // zero: no client asked for it
	Accounts []accountView
	Hidden   []hiddenField
}

// hiddenField is handed through a form unchanged.
type hiddenField struct{ Name, Value string }

func (p *pages) signOut(w http.ResponseWriter, r *http.Request, v signOutPage) {
	p.draw(w, r, drawing{view: "signout", status: http.StatusOK, opener: openerFlow, data: v})
}

// signedOutPage is the end of a session.
type signedOutPage struct {
	Client clientView
	Back   string        // a way back that the client has registered; empty: none
	Frames []oauth.Frame // what the browser has to load before it goes there

	Elsewhere *elsewhereView // nil: there is nowhere else to sign out
}

// Refresh makes the browser go back by itself, without a script: as soon as the
// page has loaded, and with it the frames of the applications (HTML, "completely
// loaded"). A time to wait would be one that nobody can change (WCAG 2.2 §2.2.1);
// and where an application does not answer, there is the link. The address of a
// native application may have a scheme of its own, which is why it is not one
// that html/template would take.
func (v signedOutPage) Refresh() template.HTMLAttr {
	return template.HTMLAttr(fmt.Sprintf(`content="0; url=%s"`, template.HTMLEscapeString(string(v.Link()))))
}

// Link is the way back for a click, if it is of a kind that can be registered: of
// the web, or with a scheme with a dot, which javascript: and its kin have not.
func (v signedOutPage) Link() template.URL {
	u, err := url.Parse(v.Back)
	if err != nil || website(v.Back) == "" && !strings.Contains(u.Scheme, ".") {
		return ""
	}
	return template.URL(v.Back)
}

func (p *pages) signedOut(w http.ResponseWriter, r *http.Request, v signedOutPage) {
	d := drawing{view: "signedout", status: http.StatusOK, opener: openerFlow, once: len(v.Frames) > 0, data: v}
	if len(v.Frames) > 0 {
		d.policy = "; frame-src"
		for _, f := range v.Frames {
			d.policy += " " + f.Origin
		}
	}
	p.draw(w, r, d)
}

// selfPage is a page of the account area.
type selfPage interface{ view() string }

func (p *pages) self(w http.ResponseWriter, r *http.Request, status int, v selfPage) {
	d := drawing{view: v.view(), status: status, opener: openerOwn, data: v}
	if s, ok := v.(scripted); ok {
		d.policy = s.policy()
	}
	p.draw(w, r, d)
}

// scripted is a page that may do more than contentPolicy lets it.
type scripted interface{ policy() string }

// pageData lists every page with data of its type.
var pageData = map[string]any{
	"login":     loginPage{},
	"select":    selectPage{},
	"create":    createPage{},
	"join":      joinPage{},
	"directory": directoryPage{},
	"factor":    factorPage{},
	"enrol":     enrolPage{},
	"codes":     codesPage{},
	"totp":      totpPage{},
	"consent":   consentPage{},
	"error":     errorPage{},
	"signout":   signOutPage{},
	"signedout": signedOutPage{},
	"setup":     setupPage{},
	"setupdone": setupDonePage{},
	"ask":       askPage{},
	"code":      codePage{},
	"password":  passwordPage{},
	"done":      donePage{},
	"device":    devicePage{},
	"link":      linkPage{},
	"mailbox":   mailboxPage{},
	"home":      homePage{},
	"notfound":  notFoundPage{},

	"account":      overviewPage{},
	"profile":      profilePage{},
	"mail":         mailPage{},
	"mailcode":     mailCodePage{},
	"methods":      methodsPage{},
	"sessions":     sessionsPage{},
	"applications": applicationsPage{},
	"activity":     activityPage{},
	"data":         dataPage{},
	"delete":       deletePage{},
	"deleted":      deletedPage{},
	"identities":   identitiesPage{Identities: []identityRow{{}}, Connect: []connectRow{{}}},
	"passkeys":     passkeysPage{Add: &passkeyView{}, Passkeys: []passkeyRow{{}}},
}
