package server_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/servertest"
)

// TestConformanceSSO has a subtest for each module of the conformance suite of the
// OpenID Foundation that is about who is signed in, by the module's name; each with
// one person at the browser and with two.
func TestConformanceSSO(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := twoAccounts(t, h)
		for name, run := range map[string]func(*testing.T, pair){
			"prompt-none-not-logged-in": promptNoneNotLoggedIn,
			"prompt-none-logged-in":     promptNoneLoggedIn,
			"id-token-hint":             idTokenHint,
			"login-hint":                loginHint,
		} {
			t.Run(name, func(t *testing.T) { run(t, p) })
		}
	})
}

// promptNoneNotLoggedIn: login_required or its like at the redirect URI, with state.
func promptNoneNotLoggedIn(t *testing.T, p pair) {
	page := p.House.Browser().Get(servertest.AuthorizePath(p.client, "prompt", "none"))
	if v := p.expected().read(t, page); v.Get("error") != "login_required" {
		t.Errorf("%v", v)
	}
}

// expected is the place where the answers to the pair's client have to come.
func (p pair) expected() expected {
	return expected{p.House.Issuer, p.client.RedirectURIs[0], "query", "the-state"}
}

// identity is whom an answer tells the client about.
func (p pair) identity(t *testing.T, page *servertest.Page) idToken {
	t.Helper()
	v := p.expected().read(t, page)
	return decoded(t, tokens(t, p.Redeem(p.client, p.secret, &url.URL{RawQuery: v.Encode()})).String("id_token"))
}

// silently asks with a further request for an answer without any page, and holds it
// against that of the first: the same sub and auth_time.
func silently(t *testing.T, p pair, b *servertest.Browser, first idToken, extra ...string) {
	t.Helper()
	page := b.Get(servertest.AuthorizePath(p.client, append(extra, "prompt", "none")...))
	got := p.identity(t, page)
	if got.Subject != first.Subject || got.AuthTime != first.AuthTime || got.AuthTime == 0 {
		t.Errorf("%+v after %+v", got, first)
	}
}

// promptNoneLoggedIn: no page at all, sub and auth_time as before.
func promptNoneLoggedIn(t *testing.T, p pair) {
	b := p.House.Browser()
	for _, login := range []string{"ada", "bob"} { // the second time, beside the first
		first := identity(t, p.House, p.client, p.secret, b.SignIn(servertest.AuthorizePath(p.client, "prompt", "login"), login, password))
		if p.name(first.Subject) != login {
			t.Fatalf("%+v", first)
		}
		silently(t, p, b, first)
	}
}

// idTokenHint: the ID token of the first request as a hint in the second: no page,
// the same sub and auth_time, whoever is the current one.
func idTokenHint(t *testing.T, p pair) {
	b := p.House.Browser()
	hints, first := map[string]string{}, map[string]idToken{}
	for _, login := range []string{"ada", "bob"} {
		at := b.SignIn(servertest.AuthorizePath(p.client, "prompt", "login"), login, password)
		hints[login] = p.Redeem(p.client, p.secret, at).String("id_token")
		first[login] = decoded(t, hints[login])
		for who, hint := range hints {
			silently(t, p, b, first[who], "id_token_hint", hint)
		}
	}
	page := b.Get(servertest.AuthorizePath(p.client, "id_token_hint", hints["ada"]))
	if p.name(p.identity(t, page).Subject) != "ada" {
		t.Errorf("without prompt=none: %d %s", page.Status, page.URL)
	}
	page = p.House.Browser().Get(servertest.AuthorizePath(p.client, "id_token_hint", hints["ada"], "prompt", "none"))
	if v := p.expected().read(t, page); v.Get("error") != "login_required" {
		t.Errorf("the hint of somebody who is not signed in: %v", v)
	}
}

// loginHint: accepted, and prefilled where nobody is signed in.
func loginHint(t *testing.T, p pair) {
	b := p.House.Browser()
	page := b.Get(servertest.AuthorizePath(p.client, "login_hint", "bob@example.com"))
	if !strings.HasSuffix(page.URL.Path, "/login") || page.Form().Values.Get("login") != "bob@example.com" {
		t.Fatalf("%s", page.URL)
	}
	answer := page.Submit("primary", "login", "bob", "password", password)
	if p.name(p.identity(t, answer).Subject) != "bob" {
		t.Errorf("%d %v", answer.Status, answer.Left)
	}
}
