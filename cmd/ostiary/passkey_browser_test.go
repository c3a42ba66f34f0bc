package main

import (
	"context"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

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

// TestPasskeysPageInBrowser: a person adds a passkey, is told why it does not go
// where it does not, and when it is removed, the authenticator forgets it.
func TestPasskeysPageInBrowser(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	b := openBrowser(t)
	a := b.authenticator()
	b.do("signing in", chromedp.Navigate(h.Issuer+passkeysPage),
		chromedp.SendKeys(`input[name="login"]`, "olena"), chromedp.SendKeys(`input[name="password"]`, "correct horse battery"),
		chromedp.Submit(`input[name="password"]`), chromedp.WaitVisible(`.passkey button`))
	b.screenshots("passkeys-none")

	a.verified(false)
	b.do("an authenticator that does not know its owner", chromedp.Click(`.passkey button`), chromedp.WaitVisible(`.passkey [role="alert"]`))
	b.expect(`.passkey [role="alert"]`, "Nothing was confirmed")
	b.screenshots("passkeys-denied")
	a.verified(true)
	b.do("adding one", chromedp.Click(`.passkey button`), chromedp.WaitVisible(`.thing`))
	b.expect(`main`, "The passkey was added")
	b.expect(`.thing`, "On several devices")
	if n := len(a.passkeys()); n != 1 {
		t.Fatalf("the authenticator has %d passkeys", n)
	}
	b.screenshots("passkeys-one")
	b.do("adding another one there", chromedp.Click(`.passkey button`), chromedp.WaitVisible(`.passkey [role="alert"]`))
	b.expect(`.passkey [role="alert"]`, "has a passkey for your account already")

	b.do("opening", chromedp.Click(`summary`), chromedp.WaitVisible(`button[value="remove"]`))
	b.screenshots("passkeys-change")
	b.do("naming", chromedp.SetValue(`input[name="name"]`, "Блакитний ключ"), chromedp.Click(`button[value="rename"]`))
	b.expect(`main`, "The name was saved")
	b.expect(`.thing`, "Блакитний ключ")
	b.do("removing", chromedp.Click(`summary`), chromedp.WaitVisible(`button[value="remove"]`), chromedp.Click(`button[value="remove"]`))
	b.expect(`main`, "The passkey was removed")
	b.expect(`main`, "You have no passkeys yet")
	if n := len(a.passkeys()); n != 0 {
		t.Errorf("the authenticator was not told: it has %d passkeys", n)
	}
}
