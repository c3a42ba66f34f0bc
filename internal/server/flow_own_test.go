package server_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// atAccount opens a browser in which somebody has signed in for a page of ours.
func atAccount(t *testing.T, h *servertest.House, login, page string) (*servertest.Browser, *servertest.Page) {
	t.Helper()
	b := h.Browser()
	begin := page
	if page == "/account" {
		begin = "/sign-in" // which it only offers
	}
	p := b.Get(begin).Submit("primary", "login", login, "password", password)
	if p.Status != 200 || p.URL.Path != page {
		t.Fatalf("%d at %s: %s", p.Status, p.URL, p.Body)
	}
	return b, p
}

// TestOwnSignIn: people sign in for a page of ours without an application, and end
// where they wanted to be.
func TestOwnSignIn(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		h.User("bohdan", password)
		b := h.Browser()
		for _, offers := range []string{"/", "/account"} {
			if p := b.Get(offers); p.Status != 200 || p.URL.Path != offers || !strings.Contains(p.Body, `href="/sign-in"`) {
				t.Fatalf("%s offers no sign-in: %d at %s", offers, p.Status, p.URL)
			}
		}
		p := b.Get("/account/profile")
		if !strings.HasSuffix(p.URL.Path, "/login") || strings.Contains(p.Body, "to continue to") {
			t.Fatalf("no sign-in page of our own: %s", p.URL)
		}
		if p = p.Submit("cancel"); p.URL.Path != "/account" || p.Status != 200 {
			t.Errorf("who does not want to is at %s", p.URL)
		}
		p = b.Get("/account/profile").Submit("primary", "login", "olena", "password", "wrong password")
		if p.Status != 422 {
			t.Errorf("a wrong password: %d", p.Status)
		}
		if p = p.Submit("primary", "login", "olena", "password", password); p.URL.Path != "/account/profile" || !strings.Contains(p.Body, "Olena olena") {
			t.Fatalf("after the sign-in: %s %s", p.URL, p.Body)
		}
		// Another one beside her: the current account is whose pages are shown.
		p = b.Get("/sign-in")
		if !strings.HasSuffix(p.URL.Path, "/select") {
			t.Fatalf("where somebody is signed in it asks who else: %s", p.URL)
		}
		p = b.Get(strings.TrimSuffix(p.URL.Path, "/select")+"/login?another").Submit("primary", "login", "bohdan", "password", password)
		if p.URL.Path != "/account" || !strings.Contains(p.Body, "Olena bohdan") || strings.Contains(p.Body, "Olena olena") {
			t.Errorf("the second account: %s %s", p.URL, p.Body)
		}
		if log := h.Log.String(); strings.Contains(log, password) {
			t.Error("a password is in the log")
		}
	})
}

// TestOwnSignInLeadsNowhereElse: no address from outside becomes the end of a
// sign-in of our own, and such a sign-in gives nothing to anybody.
func TestOwnSignInLeadsNowhereElse(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	b := h.Browser()
	for _, address := range []string{
		"/sign-in?to=https://evil.test/", "/sign-in?redirect_uri=https%3A%2F%2Fevil.test", "/account/profile?next=//evil.test",
		"/account/../..//evil.test", "/account//evil.test", "/account/profile/..%2f..%2f%2fevil.test", "/account/%2F%2Fevil.test",
	} {
		p := b.Get(address)
		if p.Left != nil {
			t.Fatalf("%s leads to %s", address, p.Left)
		}
		if strings.HasSuffix(p.URL.Path, "/login") {
			p = p.Submit("primary", "login", "olena", "password", password)
			if p.Left != nil || !strings.HasPrefix(p.URL.Path, "/account") || p.URL.RawQuery != "" {
				t.Errorf("%s leads to %v, %s", address, p.Left, p.URL)
			}
			b = h.Browser()
		}
	}
	// As a client's request it is none: there is no client without a name.
	if p := b.Get("/authorize?response_type=code&redirect_uri=" + url.QueryEscape("/account")); p.Status != 400 || p.Left != nil {
		t.Errorf("a request without a client: %d", p.Status)
	}
	// Another browser cannot go on with it (session fixation).
	at := h.Browser().Get("/account/profile").URL.Path
	if p := h.Browser().Get(at); p.Status != 400 {
		t.Errorf("another browser goes on with the sign-in: %d", p.Status)
	}
	if p := h.Browser().Post(at, url.Values{"login": {"olena"}, "password": {password}}); p.Status != 400 {
		t.Errorf("another browser signs in with it: %d", p.Status)
	}
}

// TestOwnSignInBesideApplications: what applications hold of somebody stays good, and a
// half-finished sign-in of an application is not touched.
func TestOwnSignInBesideApplications(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	c, _ := h.Client("shop", model.ClientSettings{Name: "Shop", RedirectURIs: []string{"https://shop.example/cb"}, Scopes: []string{"openid", "profile", "email"}, AuthMethod: model.AuthNone})
	b := h.Browser()
	waiting := b.Get(servertest.AuthorizePath(c))
	b.Get("/account/profile").Submit("primary", "login", "olena", "password", password)
	p := b.Get(strings.TrimSuffix(waiting.URL.Path, "/login"))
	if !strings.HasSuffix(p.URL.Path, "/consent") {
		t.Fatalf("the session counts for the application as well: %s", p.URL)
	}
	if p = p.Submit("primary"); p.Left == nil || p.Left.Query().Get("code") == "" {
		t.Errorf("no code: %v", p.Left)
	}
}

// TestFreshProof: before what others could use to get in, the person proves anew
// who they are, if that was ten minutes ago.
func TestFreshProof(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	h.User("bohdan", password)
	b, _ := atAccount(t, h, "olena", "/account/data")
	h.Clock.Move(9*time.Minute + 50*time.Second)
	if p := b.Get("/account/data"); p.URL.Path != "/account/data" {
		t.Fatalf("a fresh proof counts: %s", p.URL)
	}
	h.Clock.Move(10 * time.Second)
	if p := b.Get("/account/profile"); p.URL.Path != "/account/profile" {
		t.Errorf("what is harmless needs none: %s", p.URL)
	}
	p := b.Get("/account/data")
	if !strings.HasSuffix(p.URL.Path, "/login") || !strings.Contains(p.Body, `value="olena"`) {
		t.Fatalf("ten minutes later: %s %s", p.URL, p.Body)
	}
	waiting := p.URL.Path
	if q := b.Post("/account/data", url.Values{"decision": {"export"}}); !strings.HasSuffix(q.URL.Path, "/login") {
		t.Errorf("what is sent without a fresh proof is not done: %s", q.URL)
	}
	if q := p.Submit("cancel"); q.URL.Path != "/account" {
		t.Errorf("who does not want to is at %s", q.URL)
	}
	if q := b.Get(waiting).Submit("primary", "login", "olena", "password", password); q.URL.Path != "/account/data" {
		t.Errorf("after it: %s", q.URL)
	}
	// Somebody else who proves who they are sees what is theirs, never hers.
	h.Clock.Move(time.Hour)
	p = b.Get("/account/data").Submit("primary", "login", "bohdan", "password", password)
	if p.URL.Path != "/account/data" || strings.Contains(p.Body, "olena") {
		t.Errorf("%s %s", p.URL, p.Body)
	}
}
