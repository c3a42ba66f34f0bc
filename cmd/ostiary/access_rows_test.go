package main

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// accessRow is a page in one of its states, and how a browser comes to it.
type accessRow struct {
	name  string
	view  string // the file in web/templates that draws it, without its ending; empty: none does
	wrong string // of one that says what is wrong: the field that still holds what was typed, "none" where nothing was
	open  func(v *visitor)
}

// accessRows has every page of the server. Each row begins with who is signed in
// (nobody, one, two), so that it can be run by itself.
var accessRows = []accessRow{
	{"setup", "setup", "", func(v *visitor) { v.setup() }},
	{"setup, wrong", "setup", "login", func(v *visitor) {
		v.setup()
		v.do("filling it in", browsertest.Type(`#login`, "anna"), browsertest.Type(`#password`, "short"), browsertest.Submit(`#password`), browsertest.Visible(`[role="alert"]`))
	}},
	{"setupdone", "setupdone", "", func(v *visitor) {
		v.setup()
		v.do("filling it in", browsertest.Type(`#login`, "anna"), browsertest.Type(`#password`, secret), browsertest.Submit(`#password`), browsertest.Visible(`.state.good`))
	}},

	{"login", "login", "", func(v *visitor) { v.nobody().ask(v.shop) }},
	{"login, wrong", "login", "login", func(v *visitor) {
		v.nobody().ask(v.shop)
		v.signIn("olena", "wrong password", `[role="alert"]`)
	}},
	{"login, nothing typed", "login", "none", func(v *visitor) {
		v.nobody().ask(v.shop)
		v.do("sending it", js(`document.forms[0].noValidate = true; document.querySelector(".primary").click()`), browsertest.Visible(`[role="alert"]`))
	}},
	{"login, popup", "login", "", func(v *visitor) { v.nobody().ask(v.shop, "display", "popup") }},
	{"login, touch", "login", "", func(v *visitor) { v.nobody().ask(v.shop, "display", "touch") }},
	{"login, passkeys alone", "login", "", func(v *visitor) { v.nobody().ask(v.keys) }},
	{"login, themed", "login", "", func(v *visitor) { v.nobody().ask(v.themed) }},
	{"create", "create", "", func(v *visitor) { v.nobody().ask(v.shop, "prompt", "create") }},
	{"create, wrong", "create", "login", func(v *visitor) {
		v.nobody().ask(v.shop, "prompt", "create")
		v.do("filling it in", browsertest.Type(`#login`, "olena"), browsertest.Type(`#password`, secret), browsertest.Submit(`#password`), browsertest.Visible(`[role="alert"]`))
	}},
	{"create, wrong password", "create", "login", func(v *visitor) {
		v.nobody().ask(v.shop, "prompt", "create")
		v.do("filling it in", browsertest.Type(`#login`, "anna"), browsertest.Type(`#password`, "short"), browsertest.Submit(`#password`), browsertest.Visible(`[role="alert"]`))
	}},
	{"code, of a sign-up", "code", "", func(v *visitor) {
		v.nobody().ask(v.shop, "prompt", "create")
		v.people++
		v.do("filling it in", browsertest.Type(`#login`, fmt.Sprintf("new%d@example.com", v.people)), browsertest.Type(`#password`, "four words that rhyme"), browsertest.Submit(`#password`), browsertest.Visible(`#code`))
	}},
	{"by mail", "ask", "", func(v *visitor) { v.byMail() }},
	{"code, of a sign-in", "code", "", func(v *visitor) {
		v.byMail()
		v.do("asking for a code", browsertest.Type(`#login`, "olena"), browsertest.Submit(`#login`), browsertest.Visible(`#code`))
	}},
	{"factor", "factor", "", func(v *visitor) { v.careful() }},
	{"factor, wrong", "factor", "none", func(v *visitor) {
		v.careful()
		v.do("guessing", browsertest.Type(`#code`, "000000"), browsertest.Submit(`#code`), browsertest.Visible(`[role="alert"]`))
	}},
	{"factor, a recovery code", "factor", "", func(v *visitor) {
		v.careful()
		v.do("another way", browsertest.Click(`.links a[href*="recovery"]`), browsertest.Visible(`#code[autocomplete="off"]`))
	}},
	{"factor, a mailed code", "factor", "", func(v *visitor) { v.wantsSecond(v.h.User, `a.primary`) }},
	{"enrol", "enrol", "", func(v *visitor) { v.enrol() }},
	{"enrol, wrong", "enrol", "none", func(v *visitor) {
		v.enrol()
		v.do("guessing", browsertest.Type(`#code`, "000000"), browsertest.Submit(`#code`), browsertest.Visible(`[role="alert"]`))
	}},
	{"codes", "codes", "", func(v *visitor) {
		v.enrol()
		code := v.appCode(ask(v.browser, "reading the secret", browsertest.Text(`.secret`)))
		v.do("the first code", browsertest.Type(`#code`, code), browsertest.Submit(`#code`), browsertest.Visible(`.codes`))
	}},
	{"select", "select", "", func(v *visitor) { v.two().ask(v.shop, "prompt", "select_account") }},
	{"consent", "consent", "", func(v *visitor) { v.one().ask(v.shop, "prompt", "consent") }},
	{"consent, themed", "consent", "", func(v *visitor) { v.one().ask(v.themed, "prompt", "consent") }},
	{"consent, nothing asked", "consent", "", func(v *visitor) { v.one().ask(v.shop, "prompt", "consent", "scope", "openid", "nonce", "n") }},
	{"consent, for a device", "consent", "", func(v *visitor) {
		d := v.h.Call("/device-authorization", v.tv, "", url.Values{"scope": {"openid profile"}})
		v.one().visit("/device?user_code=" + d.String("user_code"))
		v.do("sending it", browsertest.Click(`.primary`), browsertest.Visible(`.caution`))
	}},
	{"device", "device", "", func(v *visitor) { v.nobody().visit("/device?user_code=BCDF-GHJK") }},
	{"device, wrong", "device", "user_code", func(v *visitor) {
		v.nobody().visit("/device")
		v.do("sending it", browsertest.Type(`#user_code`, "BBBB-BBBB"), browsertest.Submit(`#user_code`), browsertest.Visible(`[role="alert"]`))
	}},
	{"device, let in", "done", "", func(v *visitor) { v.nobody().visit("/device/done") }},
	{"device, refused", "done", "", func(v *visitor) { v.nobody().visit("/device/refused") }},
	{"formpost", "", "", func(v *visitor) {
		v.one().visit(servertest.AuthorizePath(v.own, "response_mode", "form_post", "redirect_uri", v.own.RedirectURIs[1])) // it sends itself, and stays
	}},

	{"home", "home", "", func(v *visitor) { v.nobody().visit("/") }},
	{"home, one account", "home", "", func(v *visitor) { v.one().visit("/") }},
	{"home, two accounts", "home", "", func(v *visitor) { v.two().visit("/") }},
	{"signout", "signout", "", func(v *visitor) { v.one().visit("/logout") }},
	{"signout, two accounts", "signout", "", func(v *visitor) { v.two().visit("/logout") }},
	{"signedout", "signedout", "", func(v *visitor) { v.nobody().visit("/signed-out") }},
	{"signedout, applications are told", "signedout", "", func(v *visitor) {
		v.nobody().ask(v.own)
		v.do("signing in", browsertest.Type(`#login`, "olena"), browsertest.Type(`#password`, secret), browsertest.Submit(`#password`), browsertest.Visible(`#arrived`))
		v.visit("/logout?" + url.Values{"client_id": {"own"}, "post_logout_redirect_uri": {v.own.PostLogoutRedirectURIs[0]}}.Encode())
		v.do("signing out", browsertest.Click(`.primary`), browsertest.Visible(`.state.good`))
		v.state = ""
	}},
	{"error", "error", "", func(v *visitor) { v.nobody().visit("/authorize?client_id=nobody") }},
	{"notfound", "notfound", "", func(v *visitor) { v.nobody().visit("/nothing/here") }},

	// The account area.
	{"account", "account", "", func(v *visitor) { v.one().visit("/account") }},
	{"profile", "profile", "", func(v *visitor) { v.one().visit("/account/profile") }},
	{"profile, saved", "profile", "", func(v *visitor) {
		v.one().visit("/account/profile")
		v.do("saving", browsertest.Click(`.primary`), browsertest.Visible(`.notice`))
	}},
	{"profile, wrong", "profile", "name", func(v *visitor) {
		v.one().visit("/account/profile")
		v.do("a date that is none", browsertest.Fill(`[name="birthdate"]`, "yesterday"), browsertest.Submit(`[name="birthdate"]`), browsertest.Visible(`[aria-invalid]`))
	}},
	{"methods", "methods", "", func(v *visitor) { v.fresh().visit("/account/sign-in") }},
	{"methods, wrong password", "methods", "none", func(v *visitor) {
		v.fresh().visit("/account/sign-in")
		v.do("guessing", browsertest.Type(`#current`, "wrong password"), browsertest.Type(`#password`, "four words that rhyme"), browsertest.Submit(`#password`), browsertest.Visible(`[aria-invalid]`))
	}},
	{"totp", "totp", "", func(v *visitor) { v.fresh().visit("/account/sign-in/totp") }},
	{"totp, wrong", "totp", "none", func(v *visitor) {
		v.fresh().visit("/account/sign-in/totp")
		v.do("guessing", browsertest.Type(`#code`, "000000\r"), browsertest.Visible(`[role="alert"]`))
	}},
	{"totp, an app", "totp", "", func(v *visitor) {
		secret := v.careful()
		v.h.Clock.Move(time.Minute) // a code is good once
		v.do("the code", browsertest.Type(`#code`, v.appCode(secret)), browsertest.Submit(`#code`), browsertest.Visible(`button[value="allow"]`))
		v.visit("/account/sign-in/totp")
	}},
	{"passkeys", "passkeys", "", func(v *visitor) { v.fresh().visit("/account/sign-in/passkeys") }},
	{"passkeys, one", "passkeys", "", func(v *visitor) {
		v.fresh()
		a := v.authenticator()
		v.t.Cleanup(a.unplug)
		v.visit("/account/sign-in/passkeys")
		v.do("adding one", browsertest.Click(`.passkey button`), browsertest.Visible(`.thing summary`), browsertest.Click(`.thing summary`), browsertest.Visible(`.thing .danger`))
	}},
	{"mail", "mail", "", func(v *visitor) { v.fresh().visit("/account/mail") }},
	{"mail, wrong", "mail", "email", func(v *visitor) {
		v.fresh().visit("/account/mail")
		v.do("no address", js(`document.querySelector("#email").form.noValidate = true`), browsertest.Fill(`#email`, "olena"), browsertest.Submit(`#email`), browsertest.Visible(`[aria-invalid]`))
	}},
	{"code, of an address", "mailcode", "", func(v *visitor) { v.changeMail() }},
	{"code, of an address, wrong", "mailcode", "none", func(v *visitor) {
		v.changeMail()
		v.do("guessing", browsertest.Type(`#code`, "000000"), browsertest.Submit(`#code`), browsertest.Visible(`[aria-invalid]`))
	}},
	{"sessions", "sessions", "", func(v *visitor) { v.one().visit("/account/sessions") }},
	{"applications", "applications", "", func(v *visitor) { v.one().visit("/account/applications") }},
	{"activity", "activity", "", func(v *visitor) { v.one().visit("/account/activity") }},
	{"data", "data", "", func(v *visitor) { v.fresh().visit("/account/data") }},
	{"delete", "delete", "", func(v *visitor) { v.fresh().visit("/account/delete") }},
	{"delete, wrong", "delete", "none", func(v *visitor) {
		v.fresh().visit("/account/delete")
		v.do("another name", browsertest.Type(`#login`, "bohdan"), browsertest.Submit(`#login`), browsertest.Visible(`[aria-invalid]`))
	}},
	{"deleted", "deleted", "", func(v *visitor) {
		v.h.User("leaving", secret)
		v.nobody().visit("/sign-in")
		v.signIn("leaving", secret, `nav`)
		v.visit("/account/delete")
		v.do("leaving", browsertest.Type(`#login`, "leaving"), browsertest.Submit(`#login`), browsertest.Visible(`.state.good`))
	}},

	// What letters lead to.
	{"recover", "ask", "", func(v *visitor) { v.nobody().visit("/recover") }},
	{"code", "code", "", func(v *visitor) { v.recover() }},
	{"code, wrong", "code", "none", func(v *visitor) {
		v.recover()
		v.do("guessing", browsertest.Type(`#code`, "000000"), browsertest.Submit(`#code`), browsertest.Visible(`[aria-invalid]`))
	}},
	{"recover, the link", "link", "", func(v *visitor) {
		v.recover()
		v.do("the link", browsertest.Visit(v.letter().Link), browsertest.Visible(`.primary`))
	}},
	{"elsewhere", "link", "", func(v *visitor) {
		v.recover()
		v.nobody().do("the link", browsertest.Visit(v.letter().Link), browsertest.Visible(`h1`))
	}},
	{"error, a link that was used", "done", "", func(v *visitor) { v.nobody().visit("/link?token=x") }},
	{"password", "password", "", func(v *visitor) { v.recovered() }},
	{"password, wrong", "password", "none", func(v *visitor) {
		v.recovered()
		v.do("a short one", browsertest.Type(`#password`, "short"), browsertest.Submit(`#password`), browsertest.Visible(`[role="alert"]`))
	}},
	{"password, or a passkey", "password", "", func(v *visitor) { v.invited() }},
	{"password, or a passkey, refused", "password", "none", func(v *visitor) {
		v.invited()
		v.do("no passkey", js(`const f = document.querySelector(".passkey"); f.elements.answer.value = "{}"; f.constructor.prototype.submit.call(f)`), browsertest.Visible(`[role="alert"]`))
	}},
	{"recovered", "done", "", func(v *visitor) {
		v.recovered()
		v.do("a new password", browsertest.Type(`#password`, "four words that rhyme"), browsertest.Submit(`#password`), browsertest.Visible(`.state.good`))
	}},
	{"code, of an applicant", "code", "", func(v *visitor) {
		v.nobody().ask(v.shop, "prompt", "create")
		v.do("an address", browsertest.Type(`#login`, "applicant@example.com"), browsertest.Type(`#password`, secret), browsertest.Submit(`#password`), browsertest.Visible(`#code`))
	}},
	{"mailbox", "mailbox", "", func(v *visitor) {
		v.recover()
		v.nobody().visit("/mailbox")
	}},
	{"recover, the letter", "mailbox", "", func(v *visitor) {
		v.recover()
		v.nobody().visit("/mailbox/" + v.letter().ID)
	}},

	// What there is to see of identity providers.
	{"login, with providers", "login", "", func(v *visitor) { v.providers().nobody().ask(v.shop) }},
	{"login, refused by a provider", "login", "none", func(v *visitor) {
		v.providers().nobody().ask(v.shop)
		at := ask(v.browser, "reading the address", chromedp.Location())
		v.do("coming back", browsertest.Visit(at+"?refused=denied&at=house"), browsertest.Visible(`[role="alert"]`))
	}},
	{"login, to connect", "login", "", func(v *visitor) { v.elsewhere("olena", `.person + .lede`) }},
	{"join", "join", "", func(v *visitor) { v.elsewhere("taras", `#name`) }},
	{"join, wrong", "join", "login", func(v *visitor) {
		v.elsewhere("taras", `#name`)
		v.do("a login that is taken", browsertest.Fill(`#login`, "olena"), browsertest.Submit(`#login`), browsertest.Visible(`[role="alert"]`))
	}},
	{"directory", "directory", "", func(v *visitor) { v.directory() }},
	{"directory, wrong", "directory", "login", func(v *visitor) {
		v.directory()
		v.do("guessing", browsertest.Fill(`#login`, "bob"), browsertest.Type(`#password`, "guessed"), browsertest.Submit(`#password`), browsertest.Visible(`[role="alert"]`))
	}},
	{"directory, to connect", "directory", "", func(v *visitor) { v.providers().fresh().visit("/account/sign-in/elsewhere/at/staff") }},
	{"identities", "identities", "", func(v *visitor) { v.providers().fresh().visit("/account/sign-in/elsewhere") }},
	{"identities, one", "identities", "", func(v *visitor) {
		v.providers().fresh().visit("/account/sign-in/elsewhere")
		v.do("connecting", browsertest.Click(`button[value="house"]`))
		v.thereAs("olena", `.thing`)
	}},
	{"error, an answer that nobody waits for", "error", "", func(v *visitor) { v.providers().nobody().visit("/upstream/house/callback?state=x&code=y") }},

	{"debugger", "", "", func(v *visitor) { v.debug() }},
	{"debugger, an example", "", "", func(v *visitor) {
		v.debug()
		v.do("the example", browsertest.Click(`#example`))
		v.expect(`#verdict`, "Signature verified")
	}},
	{"debugger, to encrypt", "", "", func(v *visitor) {
		v.debug()
		v.do("writing what is wrong", browsertest.Type(`#token`, "eyJhbGciOiJub25lIn0.e30."), browsertest.Visible(`#problems li`), browsertest.Click(`#claims-json`),
			browsertest.Click(`#mode-encrypt`), browsertest.Click(`[name=kind][value=url] + span`), browsertest.Visible(`#url`))
	}},
}

// providers makes identity providers known to the server, from then on.
func (v *visitor) providers() *visitor {
	v.t.Helper()
	if v.second == nil {
		v.second = addHouse(v.all, v.h)
		addDirectory(v.all, v.h)
		addProvider(v.all, v.h, "google", model.UpstreamSettings{Kind: "google", Position: 10}, map[string]any{"client_id": "1"}, map[string]model.Secret{"client_secret": "a secret"})
		v.second.User("olena", secret)
		v.second.User("taras", secret)
	}
	return v
}

// elsewhere signs somebody in at the second house, who is not known here by it.
func (v *visitor) elsewhere(login, then string) {
	v.t.Helper()
	v.providers().nobody().ask(v.shop)
	v.do("to the second house", browsertest.Click(`button[formaction$="/upstream/house"]`))
	v.thereAs(login, then)
}

// thereAs fills in the page of the second house.
func (v *visitor) thereAs(login, then string) {
	v.t.Helper()
	v.expect(`header.brand`, "The second house")
	v.do("signing in there", browsertest.Visible(`#password`), browsertest.Fill(`#login`, login), browsertest.Type(`#password`, secret), browsertest.Submit(`#password`), browsertest.Visible(then))
}

// directory opens the page of a sign-in by a directory.
func (v *visitor) directory() {
	v.t.Helper()
	v.providers().nobody().ask(v.shop)
	v.do("the directory", browsertest.Click(`a[href$="/directory/staff"]`), browsertest.Gone(`.upstreams`), browsertest.Visible(`#password`))
}

// fresh has one person signed in a moment ago.
func (v *visitor) fresh() *visitor {
	v.t.Helper()
	v.state = ""
	return v.one()
}

// recover asks for the letter to somebody who has forgotten the password.
func (v *visitor) recover() {
	v.t.Helper()
	v.people++
	login := fmt.Sprintf("forgetful%d", v.people) // one may ask for a few letters only
	v.h.User(login, secret)
	v.nobody().visit("/recover")
	v.do("asking for a letter", browsertest.Type(`#login`, login), browsertest.Submit(`#login`), browsertest.Visible(`#code`))
}

// invited follows the link of an invitation, in answer to which one may choose a passkey.
func (v *visitor) invited() {
	v.t.Helper()
	v.people++
	name := fmt.Sprintf("forgetful%d", v.people)
	if _, err := v.h.Accounts.Invite(v.t.Context(), servertest.Operator, account.NewUser{Login: name, Profile: model.Profile{Email: name + "@example.com"}}); err != nil {
		v.t.Fatal(err)
	}
	v.nobody().do("the link", browsertest.Visit(v.letter().Link), browsertest.Visible(`.passkey button`))
}

// recovered has the letter answered.
func (v *visitor) recovered() {
	v.t.Helper()
	v.recover()
	v.do("the code", browsertest.Type(`#code`, regexp.MustCompile(`\b\d{6,8}\b`).FindString(v.letter().Text)), browsertest.Submit(`#code`), browsertest.Visible(`#password`))
}

// byMail opens the page of a sign-in by a mailed code.
func (v *visitor) byMail() {
	v.t.Helper()
	v.nobody().ask(v.shop)
	v.do("by mail", browsertest.Click(`.links a[href$="/mail"]`), browsertest.Visible(`input[autocomplete="username"]`), browsertest.Gone(`#password`))
}

// careful brings somebody who has an app to its page, and returns the app's secret.
func (v *visitor) careful() string {
	v.t.Helper()
	v.people++
	user := v.h.User(fmt.Sprintf("careful%d", v.people), secret)
	holder := string(user.ID) // of the proofs: any name that is no sign-in's
	app, err := v.h.Accounts.OfferTOTP(v.t.Context(), holder, user.ID)
	if err != nil {
		v.t.Fatal(err)
	}
	if _, err := v.h.Accounts.ConfirmTOTP(v.t.Context(), servertest.Operator, holder, account.NewTOTP{User: user.ID, Name: "Phone", Code: v.appCode(app.Reveal())}); err != nil {
		v.t.Fatal(err)
	}
	v.nobody().ask(v.shop)
	v.signIn(user.Login, secret, `#code`)
	return app.Reveal()
}

// enrol brings somebody who has no second factor, and no address for a mailed one, to
// where one is wanted.
func (v *visitor) enrol() {
	v.t.Helper()
	v.wantsSecond(func(login, password string) model.User {
		user, err := v.h.Accounts.Create(v.t.Context(), servertest.Operator, account.NewUser{Login: login, Password: model.Secret(password)})
		if err != nil {
			v.t.Fatal(err)
		}
		return user
	}, `.qr`)
}

// wantsSecond signs somebody in of whom a second factor is wanted.
func (v *visitor) wantsSecond(create func(login, password string) model.User, then string) {
	v.t.Helper()
	v.people++
	login := fmt.Sprintf("careless%d", v.people)
	user, wanted := create(login, secret), model.SignInPolicy{SecondFactor: model.SecondRequired}
	if _, err := v.h.Accounts.Update(v.t.Context(), servertest.Operator, user.ID, account.Change{SignIn: &wanted}); err != nil {
		v.t.Fatal(err)
	}
	v.nobody().ask(v.shop)
	v.signIn(login, secret, then)
}

// appCode is what an app with a secret shows now.
func (v *visitor) appCode(secret string) string {
	v.t.Helper()
	code, err := totp.GenerateCode(strings.Join(strings.Fields(secret), ""), v.h.Clock.Now())
	if err != nil {
		v.t.Fatal(err)
	}
	return code
}

// unplug takes an authenticator away.
func (a *authenticator) unplug() {
	a.b.do("unplugging", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, webauthn.RemoveVirtualAuthenticator, webauthn.RemoveVirtualAuthenticatorParams{AuthenticatorID: a.id})
		return err
	}))
}

// changeMail asks for the letter to a new address.
func (v *visitor) changeMail() {
	v.t.Helper()
	v.fresh().visit("/account/mail")
	v.do("another address", browsertest.Fill(`#email`, "new@example.com"), browsertest.Submit(`#email`), browsertest.Visible(`#code`))
}

// letter is the last to who has forgotten the password; it is on its way for a moment.
func (v *visitor) letter() mail.Kept {
	v.t.Helper()
	to := fmt.Sprintf("forgetful%d@example.com", v.people)
	for end := time.Now().Add(browsertest.Patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, l := range v.h.Mail.Box().Letters() {
			if strings.Contains(l.To, to) {
				return l
			}
		}
	}
	v.t.Fatal("there is no letter to " + to)
	return mail.Kept{}
}
