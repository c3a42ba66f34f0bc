package web

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/oauth"
)

// show draws a page of the given type, whatever it is.
func show(t *testing.T, p *pages, data any) *http.Response {
	t.Helper()
	return showTo(t, p, httptest.NewRequest(http.MethodGet, "/", nil), data)
}

func showTo(t *testing.T, p *pages, r *http.Request, data any) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	switch v := data.(type) {
	case loginPage:
		p.login(w, r, v)
	case factorPage:
		p.factor(w, r, v)
	case enrolPage:
		p.enrol(w, r, v)
	case codesPage:
		p.codes(w, r, v)
	case createPage:
		p.create(w, r, v)
	case joinPage:
		p.join(w, r, v)
	case directoryPage:
		p.directory(w, r, v)
	case selectPage:
		p.selectAccount(w, r, v)
	case consentPage:
		p.consent(w, r, v)
	case errorPage:
		p.error(w, r, v)
	case signOutPage:
		p.signOut(w, r, v)
	case signedOutPage:
		p.signedOut(w, r, v)
	case setupPage:
		p.setup(w, r, v)
	case setupDonePage:
		p.setupDone(w, r, v)
	case homePage:
		p.home(w, r, v)
	case notFoundPage:
		p.notFound(w, r, v)
	case askPage:
		p.ask(w, r, v)
	case codePage:
		p.code(w, r, v)
	case passwordPage:
		p.password(w, r, v)
	case devicePage:
		p.device(w, r, v)
	case donePage:
		p.done(w, r, v)
	case linkPage:
		p.link(w, r, v)
	case mailboxPage:
		p.mailbox(w, r, v)
	case selfPage:
		p.self(w, r, http.StatusOK, v)
	default:
		t.Fatalf("no method draws %T", data)
	}
	return w.Result()
}

func testPages(t *testing.T, theme Theme) *pages {
	t.Helper()
	p, err := newPages(theme)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parse(t *testing.T, r io.Reader) *html.Node {
	t.Helper()
	doc, err := html.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func elements(n *html.Node) (all []*html.Node) {
	for c := range n.Descendants() {
		if c.Type == html.ElementNode {
			all = append(all, c)
		}
	}
	return all
}

func named(n *html.Node, tags ...string) (found []*html.Node) {
	for _, e := range elements(n) {
		if slices.Contains(tags, e.Data) {
			found = append(found, e)
		}
	}
	return found
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

var (
	sampleClient = clientView{Name: "Shop", URI: "https://shop.example/", Host: "shop.example"}
	sampleUser   = userView{Name: "Anna Kovalenko", Login: "anna", Email: "anna@example.com", Admin: true}

	sampleAccounts = []accountView{{sampleUser, "u1", true}, {userView{Name: "Bohdan", Login: "bohdan", Email: "bohdan@example.com"}, "u2", false}}
)

var sampleApp = appView{Secret: "ABCD EFGH", Address: "otpauth://totp/x", Box: "0 0 29 29", Path: "M4 4h7v1H4z"}

// framesSample is the one page that holds frames of others.
const framesSample = "signedout, with applications to tell"

// letterSample is the page that frames a letter, of our own.
const letterSample = "mailbox, a letter"

// samplePages has every page at least once, and every form in each of its
// states.
var samplePages = []struct {
	name     string
	page     any
	status   int
	controls []string // of the one form, in order
	text     []string // whole sentences on the page
}{
	{"login", loginPage{Action: "/interaction/1/login", Client: sampleClient}, 200, loginControls,
		[]string{"Sign in to continue to Shop", "You will return to shop.example"}},
	{"login, wrong", loginPage{Status: 422, Action: "/interaction/1/login", Client: sampleClient, Login: "anna", Error: "No."}, 422, loginControls,
		[]string{"No."}},
	{"login, no client", loginPage{Action: "/login"}, 200, loginControls, []string{"Sign in"}},
	{"login, others are signed in", loginPage{Action: "/interaction/1/login", Select: "/interaction/1/select"}, 200, loginControls, []string{"Choose another account"}},
	{"login, sign-up is open", loginPage{Create: "/interaction/1/create"}, 200, loginControls, []string{"Create an account"}},
	{"factor", factorPage{Action: "/interaction/1/factor", Client: sampleClient, User: sampleUser, Method: "totp", Login: "/interaction/1/login?another",
		Others: []factorLink{{"recovery_code", "/r"}, {"passkey", "/p"}, {"mail", "/m"}, {"password", "/w"}}}, 200, factorControls,
		[]string{"One more step", "Confirm that it is you, anna", "Use a recovery code", "Use a passkey", "Get a code by email", "Use your password", "Sign in with another account"}},
	{"factor, wrong", factorPage{Status: 422, Method: "totp", Error: "No."}, 422, factorControls, []string{"No."}},
	{"factor, too many", factorPage{Status: 429, Method: "totp", Error: "No."}, 429, factorControls, []string{"No."}},
	{"factor, a recovery code", factorPage{Method: "recovery_code", Others: []factorLink{{"totp", "/t"}}}, 200,
		[]string{"input[hidden] method=recovery_code", "input[text] code=", "button.primary", "button.cancel decision=cancel"}, []string{"Recovery code", "Use a code from your app"}},
	{"factor, a password", factorPage{Method: "password"}, 200,
		[]string{"input[hidden] method=password", "input[password] code=", "button.primary", "button.cancel decision=cancel"}, []string{"Password"}},
	{"factor, the browser can be remembered, and it is only offered", factorPage{Method: "totp", Trust: 30, Later: true}, 200,
		[]string{"input[hidden] method=totp", "input[text] code=", "input[checkbox] trust=1", "button.primary", "button.cancel decision=later", "button.cancel decision=cancel"}, []string{"Do not ask again on this device for 30 days"}},
	{"enrol", enrolPage{Action: "/interaction/1/enrol", Client: sampleClient, App: &sampleApp}, 200,
		[]string{"input[text] code=", "button.primary", "button.cancel decision=cancel"}, []string{"Set up a second step", "ABCD EFGH", "Scan this picture with it."}},
	{"enrol, wrong, only offered", enrolPage{Status: 422, App: &sampleApp, Later: true, Error: "No."}, 422,
		[]string{"input[text] code=", "button.primary", "button.cancel decision=later", "button.cancel decision=cancel"}, []string{"No."}},
	{"codes", codesPage{Codes: []string{"abcd-efgh"}, Next: "/interaction/1"}, 200, nil, []string{"Your recovery codes", "abcd-efgh", "I have kept them"}},
	{"login, with providers", loginPage{Action: "/interaction/1/login", Upstreams: sampleUpstreams, Realms: true}, 200, loginControls,
		[]string{"Continue with Google Used last time", "Continue with Directory", "Continue with Slow Not available now"}},
	{"login, to connect", loginPage{Action: "/interaction/1/login", Login: "anna@example.com", Connect: &connectsView{"google", "Google", "anna@example.com"}}, 200, loginControls,
		[]string{"your Google account will be connected", "anna@example.com"}},
	{"join", joinPage{Action: "/interaction/1/join", Upstream: sampleChoice, There: "anna@example.com", Mail: "anna@example.com", Login: "anna", Name: "Anna"}, 200, joinControls,
		[]string{"Your new account", "with Google here for the first time", "Your email address will be anna@example.com"}},
	{"join, wrong", joinPage{Status: 422, Client: sampleClient, Upstream: sampleChoice, Error: "No.", Wrong: "login"}, 422, joinControls, []string{"No.", "Shop"}},
	{"join, wrong name", joinPage{Status: 422, Upstream: sampleChoice, Error: "No.", Wrong: "name"}, 422, joinControls, []string{"No."}},
	{"directory", directoryPage{Action: "/interaction/1/directory/corp", Upstream: sampleChoice, Back: "/interaction/1/login"}, 200, loginControls, []string{"Sign in with Google", "Other ways to sign in"}},
	{"directory, wrong", directoryPage{Status: 422, Upstream: sampleChoice, Client: sampleClient, Login: "anna", Error: "No."}, 422, loginControls, []string{"No.", "Shop"}},
	{"directory, connecting", directoryPage{Upstream: sampleChoice, Connecting: true}, 200,
		[]string{"input[text] login=", "input[password] password=", "button.primary", "button.cancel decision=cancel"}, []string{"Connect your Google account"}},
	{"identities", identitiesPage{shell: sampleShell, Action: "/account/sign-in/elsewhere",
		Identities: []identityRow{{ID: "i1", Kind: "github", Name: "GitHub", There: "anna-k", Added: sampleMoment, Used: sampleMoment, Action: "/x"}, {ID: "i2", Kind: "oidc", Name: "Old", Disabled: true}},
		Connect:    []connectRow{{"google", "google", "Google", false}, {"slow", "saml", "Slow", true}}}, 200,
		[]string{"button.small-button danger do=disconnect", "button.small-button danger do=disconnect", "button.also connect=google", "button.also connect=slow"},
		[]string{"anna-k", "Switched off", "Connect Google", "Not used yet", "Not available now"}},
	{"identities, none", identitiesPage{shell: sampleShell, Connect: []connectRow{{"google", "google", "Google", false}}}, 200, []string{"button.also connect=google"}, []string{"No account is connected yet."}},
	{"methods, elsewhere", methodsPage{shell: sampleShell, Has: true, Elsewhere: &identitiesSection{"/account/sign-in/elsewhere", "2"}}, 200,
		[]string{"input[text] username=", "input[password] current=", "input[password] password=", "button.primary"}, []string{"Connected accounts", "2 accounts are connected."}},
	{"signedout, elsewhere", signedOutPage{Client: sampleClient, Back: "https://shop.example/", Elsewhere: &elsewhereView{Kind: "google", Name: "Google", Address: "https://accounts.example/end"}}, 200, nil,
		[]string{"You are still signed in at Google", "Sign out of Google too", "Back to Shop"}},
	{"signedout, elsewhere by a form", signedOutPage{Elsewhere: &elsewhereView{Name: "Work", Address: "https://idp.example/slo", Posts: true, Fields: []hiddenField{{"SAMLRequest", "x"}}}}, 200,
		[]string{"input[hidden] SAMLRequest=x", "button.also"}, []string{"Sign out of Work too"}},
	{"login, with passkeys", loginPage{Action: "/interaction/1/login", Passkey: &passkeyView{Action: "/interaction/1/passkey", Autofill: true}}, 200, loginControls,
		[]string{"Sign in with a passkey"}},
	{"login, passkeys alone", loginPage{Action: "/interaction/1/login", Without: true, Passkey: &passkeyView{Action: "/interaction/1/passkey", Autofill: true, Main: true}}, 200,
		[]string{"input[checkbox] remember=1", "button.cancel decision=cancel"}, []string{"No password is taken here. Sign in in one of these ways.", "Sign in with a passkey"}},
	{"login, unknown passkey", loginPage{Status: 422, Action: "/interaction/1/login", Error: "No.", Field: "passkey", Passkey: &passkeyView{Autofill: true, Site: "id.example", Unknown: "AAAA"}}, 422, loginControls, []string{"No."}},
	{"create", createPage{Action: "/interaction/1/create", SignIn: "/interaction/1/login", Client: sampleClient}, 200, createControls,
		[]string{"Create an account to continue to Shop", "You will return to shop.example", "Sign in to an account you have"}},
	{"create, wrong", createPage{Status: 422, Action: "/interaction/1/create", Login: "anna", Name: "Anna", Error: "No.", Wrong: "password"}, 422, createControls, []string{"No."}},
	{"create, wrong login", createPage{Status: 422, Login: "anna", Error: "No.", Wrong: "login"}, 422, createControls, []string{"No."}},
	{"create, too many", createPage{Status: 429, Login: "anna", Error: "No."}, 429, createControls, []string{"No."}},
	{"select", selectPage{Action: "/interaction/1/select", Client: sampleClient, Accounts: sampleAccounts, Another: "/interaction/1/login?another"}, 200,
		[]string{"button.account primary account=u1", "button.account account=u2", "button.cancel decision=cancel"},
		[]string{"Choose an account for Shop", "Anna Kovalenko", "Bohdan", "bohdan@example.com", "Use another account"}},
	{"select, one account and no client", selectPage{Accounts: sampleAccounts[:1]}, 200,
		[]string{"button.account primary account=u1", "button.cancel decision=cancel"}, []string{"Choose an account"}},
	{"consent", consentPage{Action: "/interaction/1/consent", Client: sampleClient, User: sampleUser, Switch: "/interaction/1/select", Scopes: []scopeView{{"a", "See A", "All of it"}, {"b:read", "", ""}}}, 200,
		[]string{"button.primary decision=allow", "button.cancel decision=deny"},
		[]string{"Shop asks to use your account", "Anna Kovalenko", "anna@example.com", "Not you?", "See A", "All of it", "b:read"}},
	{"consent, for a device", consentPage{Client: sampleClient, User: sampleUser, Device: true}, 200, []string{"button.primary decision=allow", "button.cancel decision=deny"}, []string{"not this one"}},
	{"consent, no scopes", consentPage{Client: sampleClient, User: sampleUser}, 200,
		[]string{"button.primary decision=allow", "button.cancel decision=deny"}, nil},
	{"error", errorPage{Code: "invalid_request", Description: "The client is unknown", RequestID: "r-1"}, 400, nil,
		[]string{"This request is not valid", "The client is unknown", "invalid_request", "r-1"}},
	{"error, ours", errorPage{Status: 500, Code: "server_error"}, 500, nil, []string{"Something went wrong here", "server_error"}},
	{"error, busy", errorPage{Status: 429, Hint: "Wait."}, 429, nil, []string{"Too many requests", "Wait."}},
	{"signout", signOutPage{Action: "/logout/confirm", Client: sampleClient, Accounts: sampleAccounts[:1], Hidden: []hiddenField{{"state", "x"}}}, 200,
		[]string{"input[hidden] state=x", "input[hidden] account=u1", "button.primary decision=signout", "button.cancel decision=cancel"}, []string{"Sign out?", "Anna Kovalenko"}},
	{"signout, several", signOutPage{Action: "/logout/confirm", Accounts: sampleAccounts}, 200,
		[]string{"input[radio] account=u1", "input[radio] account=u2", "input[radio] account=all", "button.primary decision=signout", "button.cancel decision=cancel"},
		[]string{"Sign out?", "Anna Kovalenko", "Bohdan", "All accounts in this browser"}},
	{"signedout", signedOutPage{}, 200, nil, []string{"You are signed out"}},
	{framesSample, signedOutPage{Client: sampleClient, Back: "https://shop.example/", Frames: []oauth.Frame{{URI: "https://shop.example/out?iss=x", Origin: "https://shop.example"}}}, 200, nil,
		[]string{"You are signed out", "Your applications are being told, then you go back."}},
	{"signedout, back", signedOutPage{Client: sampleClient, Back: "https://shop.example/"}, 200, nil, []string{"You are signed out", "Back to Shop"}},
	{"setup", setupPage{Action: "/setup", Token: "t-1"}, 200, setupControls, []string{"Create the first account"}},
	{"setup, wrong", setupPage{Status: 422, Action: "/setup", Token: "t-1", Error: "Too short."}, 422, setupControls, []string{"Too short."}},
	{"setupdone", setupDonePage{Login: "anna", SignIn: "/"}, 200, nil, []string{"The account is ready"}},
	{"home", homePage{Accounts: sampleAccounts[:1], SignOut: "/logout/confirm"}, 200,
		[]string{"input[hidden] account=u1", "button.primary decision=signout"}, []string{"You are signed in", "Administrator"}},
	{"home, several", homePage{Accounts: sampleAccounts, SignOut: "/logout/confirm", Switch: "/switch"}, 200,
		[]string{"button.tool account=u1", "button.account account=u2", "button.tool account=u2", "button.primary account=all"},
		[]string{"Signed in here", "Anna Kovalenko", "In use", "Bohdan", "Sign out of all accounts"}},
	{"home, nobody", homePage{SignIn: "/login"}, 200, nil, []string{"Welcome", "Sign in"}},
	{"notfound", notFoundPage{}, 404, nil, []string{"There is no such page"}},
	{"ask", askPage{Action: "/recover", Title: "T", Text: "X", Submit: "S", Back: "/sign-in", Leave: "L"}, 200, []string{"input[text] login=", "button.primary"}, nil},
	{"ask, wrong", askPage{Status: 429, Action: "/recover", Title: "T", Text: "X", Submit: "S", Error: "No."}, 429, []string{"input[text] login=", "button.primary"}, []string{"No."}},
	{"code", codePage{Action: "/recover/1", Title: "T", Text: "X", Again: "/recover", Back: "/sign-in"}, 200, []string{"input[text] code=", "button.primary"}, []string{"Send another letter"}},
	{"code, wrong", codePage{Status: 422, Action: "/recover/1", Title: "T", Text: "X", Again: "/recover", Error: "No."}, 422, []string{"input[text] code=", "button.primary"}, []string{"No."}},
	{"password", passwordPage{Action: "/link", Title: "T", Text: "X", Token: "t-1", Login: "anna"}, 200, passwordControls, nil},
	{"password, or a passkey", passwordPage{Action: "/link", Title: "T", Text: "X", Token: "t-1", Login: "anna", Passkey: &passkeyView{Action: "/link/passkey", New: true, Token: "t-1"}}, 200, passwordControls,
		[]string{"You can choose a passkey in place of a password.", "Add a passkey"}},
	{"password, wrong", passwordPage{Status: 422, Action: "/link", Title: "T", Text: "X", Token: "t-1", Login: "anna", Error: "No."}, 422, passwordControls, []string{"No."}},
	{"device", devicePage{Action: "/device", Typed: "BCDF-GHJK"}, 200, []string{"input[text] user_code=BCDF-GHJK", "button.primary"}, []string{"Let a device in"}},
	{"device, wrong", devicePage{Status: 422, Action: "/device", Error: "No."}, 422, []string{"input[text] user_code=", "button.primary"}, []string{"No."}},
	{"done", donePage{Title: "T", Text: "X", Link: "/", Go: "G"}, 200, nil, []string{"T", "X", "G"}},
	{"link", linkPage{Action: "/link", Token: "t-1", Title: "T", Text: "X", Submit: "S"}, 200, []string{"input[hidden] token=t-1", "button.primary"}, nil},
	{"link, elsewhere", linkPage{Title: "T", Text: "X"}, 200, nil, nil},
	{"mailbox", mailboxPage{Base: "/mailbox/", Letters: []keptLetter{{mail.Kept{ID: "1", Written: mail.Written{Subject: "S", To: "a@example.org"}}, "now"}}}, 200, nil, []string{"Mailbox", "a@example.org"}},
	{"mailbox, none", mailboxPage{Base: "/mailbox/"}, 200, nil, []string{"No letter yet."}},
	{letterSample, mailboxPage{Base: "/mailbox/", Open: &keptLetter{mail.Kept{ID: "1", Written: mail.Written{Subject: "S", Text: "X"}}, "now"}}, 200, nil, []string{"All letters"}},
	{"mail", mailPage{shell: sampleShell, Action: "/account/mail", Mails: true, Email: "anna@example.com", Verified: true}, 200, []string{"input[email] email=", "button.primary"}, []string{"anna@example.com · Confirmed"}},
	{"mail, none", mailPage{shell: sampleShell, Action: "/account/mail", Mails: true}, 200, []string{"input[email] email=", "button.primary"}, []string{"Your account has no email address."}},
	{"mail, off", mailPage{shell: sampleShell, Email: "anna@example.com"}, 200, nil, []string{"Not confirmed", "sends no letters"}},
	{"mail, code", mailCodePage{sampleShell, codePage{Action: "/account/mail/1", Title: "T", Text: "X", Again: "/account/mail"}}, 200, []string{"input[text] code=", "button.primary"}, []string{"T"}},
	{"account", overviewPage{shell: sampleShell, Sessions: "2", Applications: "1", SignedIn: sampleMoment, Before: sampleMoment, BeforeDevice: "Firefox on Linux", Cautions: []caution{{"Look here", "/account/mail"}}}, 200, nil,
		[]string{"Welcome, Anna Kovalenko", "You are signed in at 2 places.", "1 application can use your account.", "Look here", "1 May 2026, 12:00"}},
	{"profile", profilePage{shell: sampleShell, Action: "/account/profile", From: "x", Groups: []group{{"Name", []field{{Name: "name", Label: "The name", Value: "Anna", Type: "text", Error: "No.", Hint: "Yes.", Focus: true}, {Name: "zoneinfo", Label: "Zone", Type: "select", Options: []option{{"", "None", true}}}, {Name: "address.formatted", Label: "Address", Type: "textarea", Value: "a\nb"}}}}, Email: "anna@example.com", In: []string{"staff"}}, 200,
		[]string{"input[hidden] from=x", "input[text] name=Anna", "button.primary"}, []string{"Profile", "anna@example.com", "Not verified", "staff", "No.", "Yes.", "a b"}},
	{"methods", methodsPage{shell: sampleShell, Action: "/account/sign-in", Login: "anna", Has: true, Changed: sampleMoment, Passkeys: &passkeysSection{"/account/sign-in/passkeys", "2"}}, 200,
		[]string{"input[text] username=anna", "input[password] current=", "input[password] password=", "button.primary"}, []string{"Signing in", "Change password", "You have 2 passkeys.", "See and change them"}},
	{"methods, no passkeys", methodsPage{shell: sampleShell, Has: true, Passkeys: &passkeysSection{Address: "/account/sign-in/passkeys"}}, 200,
		[]string{"input[text] username=", "input[password] current=", "input[password] password=", "button.primary"}, []string{"You have no passkeys yet.", "Add a passkey"}},
	{"methods, no password", methodsPage{shell: sampleShell, New: "Too short."}, 200, []string{"input[text] username=", "input[password] password=", "button.primary"}, []string{"Set password", "Too short."}},
	{"methods, wrong", methodsPage{shell: sampleShell, Has: true, Current: "Wrong."}, 200, []string{"input[text] username=", "input[password] current=", "input[password] password=", "button.primary"}, []string{"Wrong."}},
	{"sessions", sessionsPage{shell: sampleShell, Action: "/account/sessions", SignOut: "/logout", Others: true, Sessions: []sessionView{
		{ID: "s1", Device: "Firefox on Linux", Kind: "computer", Address: "192.0.2.1", Place: "Kyiv", First: sampleMoment, Last: sampleMoment, Current: true, Applications: []string{"Shop"}},
		{ID: "s2", Device: "Safari on iPhone", Kind: "phone"}, {ID: "s3", Device: "Chrome on iPad", Kind: "tablet", Address: "::1"},
	}}, 200, []string{"button.small-button end=s2", "button.small-button end=s3", "button.cancel danger end=others"}, []string{"Sessions and devices", "This browser", "Kyiv · 192.0.2.1", "Applications: Shop"}},
	{"applications", applicationsPage{shell: sampleShell, Action: "/account/applications", Applications: []applicationView{
		{Client: sampleClient, ID: "shop", May: []scopeView{{"a", "See A", "All of it"}, {"b:read", "", ""}}, Since: sampleMoment, Last: sampleMoment, Own: true},
		{Client: clientView{Name: "Elsewhere", Stranger: true, Site: "else.example"}, ID: "else"},
	}}, 200, []string{"button.small-button withdraw=shop", "button.small-button withdraw=else"}, []string{"See A", "All of it", "b:read", "Belongs to Ostiary", "Not verified by Ostiary. It is the application at else.example."}},
	{"applications, none", applicationsPage{shell: sampleShell}, 200, nil, []string{"No application can use your account now."}},
	{"activity", activityPage{shell: sampleShell, Events: []eventView{{Text: "Somebody came", At: sampleMoment, Device: "Firefox on Linux", Address: "192.0.2.1", Place: "Kyiv"}, {Text: "Locked", By: "by a friend", Alarming: true}}, Older: "/account/activity?before=2", Newest: "/account/activity"}, 200, nil,
		[]string{"Somebody came 1 May 2026, 12:00 Firefox on Linux · Kyiv · 192.0.2.1", "by a friend", "Older", "Newest"}},
	{"activity, none", activityPage{shell: sampleShell}, 200, nil, []string{"Nothing yet."}},
	{"data", dataPage{shell: sampleShell, Action: "/account/data", Delete: "/account/delete"}, 200, []string{"button.primary"}, []string{"Download your data"}},
	{"delete", deletePage{shell: sampleShell, Action: "/account/delete", Cancel: "/account/data", Login: "anna"}, 200, []string{"input[text] login=", "button.primary danger-fill"}, []string{"To confirm, type your username: anna"}},
	{"delete, wrong", deletePage{shell: sampleShell, Login: "anna", Wrong: "No."}, 200, []string{"input[text] login=", "button.primary danger-fill"}, []string{"No."}},
	{"deleted", deletedPage{Home: "/"}, 200, nil, []string{"The account is deleted"}},
	{"passkeys", passkeysPage{shell: sampleShell, Add: &passkeyView{Action: "/account/sign-in/passkeys", New: true}}, 200,
		nil, []string{"Passkeys", "You have no passkeys yet.", "Add a passkey"}},
	{"passkeys, one and no more", passkeysPage{shell: sampleShell, Most: "20", Passkeys: samplePasskeys[:1]}, 200, passkeyControls,
		[]string{"Blue key", "YubiKey", "On one device only", "Not used yet", "You have 20 passkeys"}},
	{"passkeys, two", passkeysPage{shell: sampleShell, Most: "20", Passkeys: samplePasskeys}, 200, slices.Concat(passkeyControls, passkeyControls),
		[]string{"Phone", "On several devices", "Last used today"}},
}

var (
	sampleChoice    = federation.Choice{ID: "google", Kind: "google", Name: "Google"}
	sampleUpstreams = []upstreamView{
		{Kind: "google", Name: "Google", Action: "/interaction/1/upstream/google", Last: true}, {Kind: "github", Name: "GitHub", Action: "/g"},
		{Kind: "microsoft", Name: "Microsoft", Action: "/m"}, {Kind: "apple", Name: "Apple", Action: "/a"}, {Kind: "facebook", Name: "Facebook", Action: "/f"},
		{Kind: "x", Name: "X", Action: "/x"}, {Kind: "ldap", Name: "Directory", Link: "/interaction/1/directory/corp"}, {Kind: "saml", Name: "Slow", Action: "/s", Unavailable: true},
	}
	joinControls = []string{"input[text] login=", "input[text] name=", "button.primary", "button.cancel decision=cancel"}
)

var sampleMoment = moment{"1 May 2026, 12:00", "2026-05-01T12:00:00+03:00"}

var samplePasskeys = []passkeyRow{
	{ID: "k1", Name: "Blue key", Where: "YubiKey", Single: true, Added: moment{"today", "x"}, Action: "/account/sign-in/passkeys/k1"},
	{ID: "k2", Name: "Phone", Synced: true, Added: moment{"today", "x"}, Used: moment{"today", "x"}, Action: "/account/sign-in/passkeys/k2"},
}

var passkeyControls = []string{"input[text] name=", "button.small-button do=rename", "button.small-button danger do=remove"}

var sampleShell = shell{Me: sampleUser, Menu: []menuLink{{"/account", "Here", true}, {"/account/profile", "There", false}}, Zone: "Europe/Kyiv"}

var (
	loginControls    = []string{"input[text] login=", "input[password] password=", "input[checkbox] remember=1", "button.primary", "button.cancel decision=cancel"}
	createControls   = []string{"input[text] login=", "input[text] name=", "input[password] password=", "button.primary", "button.cancel decision=cancel"}
	passwordControls = []string{"input[hidden] token=t-1", "input[text]", "input[password] password=", "button.primary"}
	setupControls    = []string{"input[hidden] token=t-1", "input[text] login=", "input[text] name=", "input[email] email=", "input[password] password=", "button.primary"}
	factorControls   = []string{"input[hidden] method=totp", "input[text] code=", "button.primary", "button.cancel decision=cancel"}
)

// TestPageContract holds what browsers, password managers and test drivers
// rely on: names, classes and sentences.
func TestPageContract(t *testing.T) {
	p := testPages(t, Theme{})
	for _, c := range samplePages {
		t.Run(c.name, func(t *testing.T) {
			res := show(t, p, c.page)
			if res.StatusCode != c.status {
				t.Errorf("status %d, want %d", res.StatusCode, c.status)
			}
			doc := parse(t, res.Body)
			if got := controls(t, doc); !slices.EqualFunc(got, c.controls, sameControl) {
				t.Errorf("controls\n%q, want\n%q", got, c.controls)
			}
			text := textOf(doc)
			for _, s := range c.text {
				if !strings.Contains(text, s) {
					t.Errorf("%q is not on the page: %s", s, text)
				}
			}
			checkAccess(t, doc)
		})
	}
}

// controls lists the fields and buttons of the page's form, beside the one of the
// languages and that of a passkey.
func controls(t *testing.T, doc *html.Node) (list []string) {
	forms := slices.DeleteFunc(named(doc, "form"), func(f *html.Node) bool {
		return attr(f, "class") == "languages" || attr(f, "class") == "passkey"
	})
	if len(forms) > 1 && len(named(doc, "nav")) == 0 { // the account area changes one thing at a time
		t.Errorf("%d forms", len(forms))
	}
	for _, f := range forms {
		if attr(f, "method") != "post" || !has(f, "action") {
			t.Error("the form must post to an action")
		}
		for _, e := range named(f, "input", "button") {
			s := e.Data + "." + attr(e, "class")
			if e.Data == "input" {
				s = "input[" + attr(e, "type") + "]"
			}
			if has(e, "name") {
				s += " " + attr(e, "name") + "=" + attr(e, "value")
			}
			list = append(list, s)
		}
	}
	return list
}

// sameControl compares, but for what a person typed before.
func sameControl(got, want string) bool {
	return got == want || strings.HasSuffix(want, "=") && strings.HasPrefix(got, want)
}

// checkAccess holds what a screen reader and a keyboard need.
func checkAccess(t *testing.T, doc *html.Node) { checkAccessOf(t, doc, "Ostiary") }

func checkAccessOf(t *testing.T, doc *html.Node, installation string) {
	ids := map[string]int{}
	for _, e := range elements(doc) {
		if has(e, "id") {
			ids[attr(e, "id")]++
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("id %q stands %d times", id, n)
		}
	}
	labels := map[string]bool{}
	for _, e := range named(doc, "label") {
		labels[attr(e, "for")] = true
	}
	for _, e := range elements(doc) {
		for _, ref := range strings.Fields(attr(e, "aria-describedby") + " " + attr(e, "aria-labelledby") + " " + attr(e, "for")) {
			if ids[ref] == 0 {
				t.Errorf("<%s> refers to %q, which is not there", e.Data, ref)
			}
		}
		if e.Data == "input" && attr(e, "type") != "hidden" && !labels[attr(e, "id")] {
			t.Errorf("input %q has no label", attr(e, "name"))
		}
		if attr(e, "role") == "alert" && textOf(e) == "" {
			t.Error("an empty alert")
		}
	}
	if h := named(doc, "h1"); len(h) != 1 || textOf(h[0]) == "" {
		t.Errorf("%d h1", len(h))
	}
	if root := named(doc, "html"); attr(root[0], "lang") == "" || attr(root[0], "dir") != "ltr" {
		t.Error("the page does not say its language")
	}
	if title := named(doc, "title"); len(title) != 1 || !strings.HasSuffix(textOf(title[0]), " · "+installation) {
		t.Error("the title does not name page and installation")
	}
}

func TestLoginForm(t *testing.T) {
	p := testPages(t, Theme{})
	doc := parse(t, show(t, p, loginPage{Client: sampleClient, Login: "anna", Error: "No.", Remember: true}).Body)
	byName := map[string]*html.Node{}
	for _, e := range named(doc, "input") {
		byName[attr(e, "name")] = e
	}
	login, password := byName["login"], byName["password"]
	if attr(login, "autocomplete") != "username" || attr(password, "autocomplete") != "current-password" {
		t.Error("password managers are not told what the fields are")
	}
	if attr(login, "value") != "anna" || has(password, "value") || !has(byName["remember"], "checked") {
		t.Error("the login and the choice are kept, the password is not")
	}
	for _, e := range []*html.Node{login, password} {
		if attr(e, "aria-describedby") != "alert" || attr(e, "aria-invalid") != "true" {
			t.Errorf("%s does not announce the error", attr(e, "name"))
		}
	}
	if has(login, "autofocus") || !has(password, "autofocus") {
		t.Error("after a wrong password the cursor belongs into that field")
	}
	// HTML, implicit submission: Enter presses the first submit button.
	buttons := named(doc, "button")
	if attr(buttons[0], "class") != "primary" || has(buttons[0], "formnovalidate") {
		t.Error("Enter must sign in")
	}
	if !has(buttons[1], "formnovalidate") {
		t.Error("cancelling must not ask for a password")
	}
	if title := textOf(named(doc, "title")[0]); !strings.HasPrefix(title, "Error: ") {
		t.Errorf("title %q does not begin with the error", title)
	}
}

func TestPageHeaders(t *testing.T) {
	p := testPages(t, Theme{})
	want := map[string]string{
		"Content-Type":           "text/html; charset=utf-8",
		"Referrer-Policy":        "no-referrer", // RFC 9700 §4.2.4
		"X-Frame-Options":        "DENY",        // RFC 9700 §4.16
		"X-Content-Type-Options": "nosniff",
		"Cache-Control":          "no-store",
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
			"base-uri 'none'; frame-ancestors 'none'",
	}
	if got := (loginPage{Passkey: &passkeyView{}}).policy(); got != "; script-src 'self'; connect-src 'self'" || (loginPage{}).policy() != "" {
		t.Errorf("where passkeys are asked for, the policy goes on with %q", got)
	}
	own := []string{"setup", "setupdone", "home", "notfound", "mailbox"}
	for _, c := range samplePages {
		h := show(t, p, c.page).Header
		for k, v := range want {
			if k == "Content-Security-Policy" && c.name == framesSample {
				v += "; frame-src https://shop.example"
			}
			if one, may := c.page.(scripted); k == "Content-Security-Policy" && may {
				v += one.policy() // for passkeys
			}
			if k == "Content-Security-Policy" && strings.HasPrefix(c.name, "mailbox") {
				v += "; frame-src 'self'"
			}
			if h.Get(k) != v {
				t.Errorf("%s: %s: %q, want %q", c.name, k, h.Get(k), v)
			}
		}
		name, _, _ := strings.Cut(c.name, ",")
		opener := "unsafe-none" // a sign-in in a popup must find its opener again
		if _, self := c.page.(selfPage); self || slices.Contains(own, name) {
			opener = "same-origin"
		}
		if h.Get("Cross-Origin-Opener-Policy") != opener {
			t.Errorf("%s: Cross-Origin-Opener-Policy: %q, want %q", c.name, h.Get("Cross-Origin-Opener-Policy"), opener)
		}
		if !strings.Contains(h.Get("Permissions-Policy"), "camera=()") {
			t.Errorf("%s: no Permissions-Policy", c.name)
		}
	}
}

// hostile are texts that break a careless page.
var hostile = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`' onfocus=alert(1) autofocus='`,
	`</title></textarea></style><svg onload=alert(1)>`,
	`javascript:alert(1)`,
	"a\r\nSet-Cookie: x=1\x00\x1b[31m",
	"{{.Login}}{client}{host}",
	"\u202egpj.exe\u2069\u2066",
	"متجر الكتب", "👩‍👩‍👧‍👦🏴‍☠️", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢", "\xff\xfe\xf0",
	strings.Repeat("W", 300), strings.Repeat("long name ", 30),
}

// TestHostileText puts each text into every field of every page. The page must
// have the same elements with the same attributes as for an ordinary name (attack row
// P15).
func TestHostileText(t *testing.T) {
	p := testPages(t, Theme{})
	for name, zero := range pageData {
		want := skeleton(parse(t, show(t, p, filled(zero, "Anna")).Body))
		for _, text := range hostile {
			body, err := io.ReadAll(show(t, p, filled(zero, text)).Body)
			if err != nil {
				t.Fatal(err)
			}
			doc := parse(t, strings.NewReader(string(body)))
			if got := skeleton(doc); got != want {
				t.Errorf("%s changes shape with %q:\n%s\nwant\n%s", name, text, got, want)
			}
			if strings.Contains(strings.ReplaceAll(string(body), `<script src="`+asset("passkey.js")+`" defer></script>`, ""), "<script") {
				t.Errorf("%s lets %q through", name, text)
			}
			for _, e := range elements(doc) {
				for _, a := range e.Attr {
					if slices.Contains([]string{"href", "src", "action"}, a.Key) && strings.HasPrefix(strings.ToLower(a.Val), "javascript") {
						t.Errorf("%s: %s=%q", name, a.Key, a.Val)
					}
				}
			}
		}
	}
}

// filled returns a copy of a page with text in every string it holds.
func filled(page any, text string) any {
	v := reflect.New(reflect.TypeOf(page)).Elem()
	fillText(v, text)
	return v.Interface()
}

func fillText(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Struct:
		for i := range v.NumField() {
			fillText(v.Field(i), text)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fillText(v.Index(0), text)
		fillText(v.Index(1), text)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillText(v.Elem(), text)
	}
}

func skeleton(doc *html.Node) string {
	var b strings.Builder
	for _, e := range elements(doc) {
		fmt.Fprintf(&b, "<%s", e.Data)
		for _, a := range e.Attr {
			b.WriteString(" " + a.Key)
		}
		b.WriteString(">")
	}
	return b.String()
}

// TestNothingActive: no script, no inline style, nothing from another host.
func TestNothingActive(t *testing.T) {
	p := testPages(t, Theme{Base: "/auth"})
	for _, c := range samplePages {
		for _, e := range elements(parse(t, show(t, p, c.page).Body)) {
			if c.name == framesSample && e.Data == "iframe" {
				// The one page that loads anything from elsewhere: where its
				// policy says, and no more than it must be able to do.
				if attr(e, "sandbox") != "allow-same-origin allow-scripts" || !strings.HasPrefix(attr(e, "src"), "https://shop.example/") {
					t.Errorf("%s: %v", c.name, e.Attr)
				}
				continue
			}
			if e.Data == "script" && attr(e, "src") == "/auth"+asset("passkey.js") && has(e, "defer") && textOf(e) == "" {
				continue // the one script of ours that stands on such a page
			}
			if c.name == letterSample && e.Data == "iframe" {
				// A letter runs nothing; its links open elsewhere.
				if attr(e, "sandbox") != "allow-popups allow-popups-to-escape-sandbox" || !strings.HasPrefix(attr(e, "src"), "/mailbox/") {
					t.Errorf("%s: %v", c.name, e.Attr)
				}
				continue
			}
			if slices.Contains([]string{"script", "style", "iframe", "object", "embed", "base", "template"}, e.Data) {
				t.Errorf("%s: <%s>", c.name, e.Data)
			}
			for _, a := range e.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") || a.Key == "src" {
					t.Errorf("%s: <%s %s=%q>", c.name, e.Data, a.Key, a.Val)
				}
				if e.Data == "link" && a.Key == "href" && !strings.HasPrefix(a.Val, "/auth/static/") {
					t.Errorf("%s: %q is not below the base path", c.name, a.Val)
				}
			}
		}
	}
}

func TestClientLinks(t *testing.T) {
	p := testPages(t, Theme{})
	for uri, shown := range map[string]bool{
		"https://shop.example/": true, "http://localhost:3000": true, "": false, "shop.example": false, "/relative": false, "//shop.example": false,
		"javascript:alert(1)": false, "JavaScript://shop.example/%0aalert(1)": false, "data:text/html,x": false, "vbscript:x": false,
		"file:///etc/passwd": false, "blob:https://shop.example/1": false, "https:": false, "https://": false, "ht\ntps://shop.example": false,
	} {
		c := clientView{Name: "Shop", URI: uri, Host: "shop.example"}
		for _, page := range []any{consentPage{Client: c}, signedOutPage{Client: c, Back: uri}} {
			var found bool
			for _, a := range named(parse(t, show(t, p, page).Body), "a") {
				if attr(a, "href") == "/" {
					continue
				}
				found = true
				if attr(a, "target") == "_blank" && !strings.Contains(attr(a, "rel"), "noopener") {
					t.Errorf("%T: a new window could steer ours", page)
				}
			}
			if found != shown {
				t.Errorf("%T links to %q: %v, want %v", page, uri, found, shown)
			}
		}
	}
}
