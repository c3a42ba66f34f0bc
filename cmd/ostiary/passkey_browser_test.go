package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// authenticator is one of a tab that keeps passkeys and says that it is there and
// sure of its owner, as long as it is told to.
type authenticator struct {
	b  *browser
	id webauthn.AuthenticatorID
}

func (b *browser) authenticator() *authenticator {
	b.t.Helper()
	a := &authenticator{b: b}
	b.do("plugging an authenticator in", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		made, err := cdp.Call(ctx, t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
			DefaultBackupEligibility: true, DefaultBackupState: true,
		}})
		a.id = made.AuthenticatorID
		return err
	}))
	return a
}

// present says whether somebody touches it when it asks.
func (a *authenticator) present(is bool) {
	a.b.t.Helper()
	a.b.do("being there", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, webauthn.SetAutomaticPresenceSimulation, webauthn.SetAutomaticPresenceSimulationParams{AuthenticatorID: a.id, Enabled: is})
		return err
	}))
}

// verified says whether it is sure that this is its owner.
func (a *authenticator) verified(is bool) {
	a.b.t.Helper()
	a.b.do("being known", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: a.id, IsUserVerified: is})
		return err
	}))
}

func (a *authenticator) passkeys() (list []*webauthn.Credential) {
	a.b.t.Helper()
	a.b.do("looking at its passkeys", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		found, err := cdp.Call(ctx, t, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: a.id})
		list = found.Credentials
		return err
	}))
	return list
}

const passkeysPage = "/account/sign-in/passkeys"

// smallest is the smallest phone: WCAG 2.2 §1.4.10.
var smallest = look{"smallest-light", 320, 640, "light"}

// TestPasskeysPageInBrowser: a person adds a passkey, is told why it does not go
// where it does not, and when it is removed, the authenticator forgets it.
func TestPasskeysPageInBrowser(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	b := openBrowser(t)
	a := b.authenticator()
	b.do("signing in", browsertest.Visit(h.Issuer+passkeysPage),
		browsertest.Type(`input[name="login"]`, "olena"), browsertest.Type(`input[name="password"]`, "correct horse battery"),
		browsertest.Submit(`input[name="password"]`), browsertest.Visible(`.passkey button`))
	b.screenshots("passkeys-none")

	a.verified(false)
	b.do("an authenticator that does not know its owner", browsertest.Click(`.passkey button`), browsertest.Visible(`.passkey [role="alert"]`))
	b.expect(`.passkey [role="alert"]`, "Nothing was confirmed")
	b.screenshots("passkeys-denied")
	a.verified(true)
	b.do("adding one", browsertest.Click(`.passkey button`), browsertest.Visible(`.thing`))
	b.expect(`main`, "The passkey was added")
	b.expect(`.thing`, "On several devices")
	if n := len(a.passkeys()); n != 1 {
		t.Fatalf("the authenticator has %d passkeys", n)
	}
	b.screenshots("passkeys-one")
	b.do("adding another one there", browsertest.Click(`.passkey button`), browsertest.Visible(`.passkey [role="alert"]`))
	b.expect(`.passkey [role="alert"]`, "has a passkey for your account already")

	b.do("opening", browsertest.Click(`summary`), browsertest.Visible(`button[value="remove"]`))
	b.screenshots("passkeys-change")
	b.screenshot("passkeys-change", smallest)
	b.do("naming", browsertest.Fill(`input[name="name"]`, "Блакитний ключ"), browsertest.Click(`button[value="rename"]`))
	b.expect(`main`, "The name was saved")
	b.expect(`.thing`, "Блакитний ключ")
	b.do("removing", browsertest.Click(`summary`), browsertest.Visible(`button[value="remove"]`), browsertest.Click(`button[value="remove"]`))
	b.expect(`main`, "The passkey was removed")
	b.expect(`main`, "You have no passkeys yet")
	if n := len(a.passkeys()); n != 0 {
		t.Errorf("the authenticator was not told: it has %d passkeys", n)
	}
}

// TestPasskeySignInInBrowser: a person signs in with nothing typed, by what the
// browser offers in the field or by the button; a passkey that is gone is told of, and
// the browser forgets it; and after a password it is the second factor.
func TestPasskeySignInInBrowser(t *testing.T) {
	const password = "correct horse battery"
	h := servertest.Start(t)
	user := h.User("olena", password)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<!DOCTYPE html><title>Shop</title><p id="arrived">code: %t`, r.FormValue("code") != "")
	}))
	t.Cleanup(site.Close)
	c, secret := h.Client("shop", model.ClientSettings{Name: "Shop", FirstParty: true, RedirectURIs: []string{site.URL + "/callback"}})
	b := openBrowser(t)
	a := b.authenticator()
	b.do("signing in", browsertest.Visit(h.Issuer+passkeysPage),
		browsertest.Type(`input[name="login"]`, "olena"), browsertest.Type(`input[name="password"]`, password),
		browsertest.Submit(`input[name="password"]`), browsertest.Visible(`.passkey button`))
	b.do("adding a passkey", browsertest.Click(`.passkey button`), browsertest.Visible(`.thing`))

	afresh := func() { b.do("being nobody", forget) }
	claims := func() map[string]any {
		t.Helper()
		at, err := url.Parse(ask(b, "where it ended", chromedp.Location()))
		if err != nil {
			t.Fatal(err)
		}
		return payload(t, h.Redeem(c, secret, at).String("id_token"))
	}
	authorize := func(further ...string) string { return h.Issuer + servertest.AuthorizePath(c, further...) }

	afresh()
	b.do("autofill", browsertest.Visit(authorize()), browsertest.Visible(`#arrived`))
	if got := claims(); got["sub"] != string(user.ID) || got["acr"] != "phr" || fmt.Sprint(got["amr"]) != "[pop swk user mfa]" {
		t.Errorf("%v", got)
	}

	afresh()
	a.present(false)
	b.do("a sign-in page", browsertest.Visit(authorize()), browsertest.Visible(`.passkey button`))
	b.screenshots("passkey-login")
	b.screenshot("passkey-login", smallest)
	a.present(true) // from the next question on
	b.do("the button", browsertest.Click(`#remember`), browsertest.Click(`.passkey button`), browsertest.Visible(`#arrived`))
	if got := claims(); got["acr"] != "phr" {
		t.Errorf("%v", got)
	}
	sessions, err := h.Accounts.Sessions(t.Context(), user.ID)
	if err != nil || len(sessions) == 0 || !sessions[0].Remember {
		t.Errorf("not remembered: %+v, %v", sessions, err)
	}

	// As a second factor, where the client wants one that resists phishing.
	afresh()
	a.present(false)
	b.do("a password", browsertest.Visit(authorize("claims", `{"id_token":{"acr":{"essential":true,"values":["phr"]}}}`)), browsertest.Visible(`.passkey button`),
		browsertest.Type(`input[name="login"]`, "olena"), browsertest.Type(`input[name="password"]`, password),
		browsertest.Submit(`input[name="password"]`), browsertest.Visible(`form[action$="/factor/passkey"] button`))
	b.screenshots("passkey-factor")
	a.present(true)
	b.do("the passkey", browsertest.Click(`.passkey button`), browsertest.Visible(`#arrived`))
	if got := claims(); got["acr"] != "phr" || fmt.Sprint(got["amr"]) != "[pwd pop swk user mfa]" {
		t.Errorf("%v", got)
	}

	// One that was removed elsewhere is refused, and the browser offers it no more.
	list, _, err := h.Accounts.Passkeys(t.Context(), user.ID)
	if err == nil {
		err = h.Accounts.RemovePasskey(t.Context(), servertest.Operator, account.PasskeyRef{User: user.ID, ID: list[0].ID})
	}
	if err != nil {
		t.Fatal(err)
	}
	afresh()
	b.do("a passkey that is gone", browsertest.Visit(authorize()), browsertest.Visible(`[role="alert"]`))
	b.expect(`[role="alert"]`, "This passkey is not known here any more")
	b.screenshots("passkey-gone")
	if n := len(a.passkeys()); n != 0 {
		t.Errorf("the authenticator was not told: it has %d passkeys", n)
	}
	b.do("none is left", browsertest.Click(`.passkey button`), browsertest.Visible(`.passkey [role="alert"]`))
	b.screenshots("passkey-none")
}

// forget takes a browser's cookies away.
var forget = chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
	_, err := cdp.Call(ctx, t, network.ClearBrowserCookies, cdp.Empty{})
	return err
})

// payload reads a token's claims, unverified.
func payload(t *testing.T, token string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", token)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestPasskeysWithoutScript: whoever runs no script is told what it is for, and has
// the other ways.
func TestPasskeysWithoutScript(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	b := openBrowser(t)
	b.do("no script", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	texts := map[string]string{"uk": "Для ключів доступу потрібен JavaScript", "ja": "パスキーには JavaScript が必要です", "en": "Passkeys need JavaScript"}
	inEach := func(name string, l look) {
		for tag, text := range texts {
			b.do("in "+tag, browsertest.Follow(`button[lang="`+tag+`"]`), browsertest.Visible(`html[lang="`+tag+`"] .passkey`))
			b.expect(`.passkey`, text)
			b.screenshot(name+"-"+tag, l)
		}
	}
	b.do("a sign-in page", browsertest.Visit(h.Issuer+passkeysPage), browsertest.Visible(`input[name="password"]`))
	inEach("passkey-noscript", looks[0])
	b.do("by the password", browsertest.Type(`input[name="login"]`, "olena"), browsertest.Type(`input[name="password"]`, "correct horse battery"),
		browsertest.Submit(`input[name="password"]`), browsertest.Visible(`.menu`))
	inEach("passkeys-noscript", looks[2])
}
