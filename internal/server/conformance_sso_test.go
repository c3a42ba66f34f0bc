package server_test

import (
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
			"oidcc-prompt-none-not-logged-in": promptNoneNotLoggedIn,
			"oidcc-prompt-none-logged-in":     promptNoneLoggedIn,
			"oidcc-id-token-hint":             idTokenHint,
			"oidcc-login-hint":                loginHint,
		} {
			t.Run(name, func(t *testing.T) { run(t, p) })
		}
	})
}

// promptNoneNotLoggedIn: login_required or its like at the redirect URI, with state.
func promptNoneNotLoggedIn(t *testing.T, p pair) {
	page := p.House.Browser().Get(servertest.AuthorizePath(p.client, "prompt", "none"))
	if page.Left == nil || page.Left.Query().Get("error") != "login_required" || page.Left.Query().Get("state") != "the-state" || page.Left.Query().Has("code") {
		t.Errorf("%d %v", page.Status, page.Left)
	}
}

// silently asks with a further request for an answer without any page, and holds it
// against that of the first: the same sub and auth_time.
func silently(t *testing.T, p pair, b *servertest.Browser, first idToken, extra ...string) {
	t.Helper()
	page := b.Get(servertest.AuthorizePath(p.client, append(extra, "prompt", "none")...))
	if page.Left == nil || page.Left.Query().Get("code") == "" || page.Left.Query().Get("state") != "the-state" {
		t.Fatalf("%d %v", page.Status, page.Left)
	}
	got := identity(t, p.House, p.client, p.secret, page.Left)
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
	if page.Left == nil || p.name(identity(t, p.House, p.client, p.secret, page.Left).Subject) != "ada" {
		t.Errorf("without prompt=none: %d %s", page.Status, page.URL)
	}
	page = p.House.Browser().Get(servertest.AuthorizePath(p.client, "id_token_hint", hints["ada"], "prompt", "none"))
	if page.Left == nil || page.Left.Query().Get("error") != "login_required" {
		t.Errorf("the hint of somebody who is not signed in: %v", page.Left)
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
	if answer.Left == nil || p.name(identity(t, p.House, p.client, p.secret, answer.Left).Subject) != "bob" {
		t.Errorf("%d %v", answer.Status, answer.Left)
	}
}
