package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
)

// there is a second house, at which people of the first one sign in. It stands under
// another name, so that to browsers it is another site, with cookies of its own.
type there struct {
	*servertest.House
	id     model.UpstreamID
	client model.Client
	secret model.Secret
}

// upstreamSetting changes what the operator of the first house says of the second.
type upstreamSetting func(s *model.UpstreamSettings, connection map[string]any)

func signsUp(s *model.UpstreamSettings, _ map[string]any) { s.SignUp = true }

func linksByMail(s *model.UpstreamSettings, _ map[string]any) { s.LinkByMail = true }

// secondHouse sets up a second house as the identity provider id of the first.
func secondHouse(t *testing.T, h *servertest.House, id model.UpstreamID, settings ...upstreamSetting) there {
	t.Helper()
	op := servertest.Start(t, func(c *server.Config) { c.Issuer = strings.Replace(c.Issuer, "localhost", "127.0.0.1", 1) })
	c, secret := op.Client("house", model.ClientSettings{
		Name: "The first house", FirstParty: true, Scopes: []string{"openid", "profile", "email", "groups"},
		RedirectURIs:           []string{h.Issuer + "/upstream/" + string(id) + "/callback"},
		PostLogoutRedirectURIs: []string{h.Issuer + "/signed-out"},
		BackchannelURI:         h.Issuer + "/upstream/" + string(id) + "/backchannel",
		BackchannelSession:     true,
	})
	u := there{op, id, c, secret}
	u.known(t, h, settings...)
	return u
}

// known makes the second house known to the first one.
func (u there) known(t *testing.T, h *servertest.House, settings ...upstreamSetting) {
	t.Helper()
	s := model.UpstreamSettings{Kind: "oidc", Name: "Second House"}
	connection := map[string]any{"issuer": u.Issuer, "client_id": string(u.client.ID)}
	for _, set := range settings {
		set(&s, connection)
	}
	var err error
	if s.Connection, err = json.Marshal(connection); err != nil {
		t.Fatal(err)
	}
	before, err := h.Federation.Upstream(context.Background(), u.id)
	change := federation.Change{ID: u.id, After: &model.Upstream{UpstreamSettings: s}, Secrets: map[string]model.Secret{"client_secret": u.secret}}
	if err == nil {
		change.Before = &before
	}
	if _, err := h.Federation.Change(context.Background(), servertest.Operator, change); err != nil {
		t.Fatal(err)
	}
}

// traveller is a browser that follows redirects between the houses, and stops where
// they lead out of all of them.
func traveller(h *servertest.House, others ...there) *servertest.Browser {
	b := h.Browser()
	b.HTTP().CheckRedirect = func(next *http.Request, via []*http.Request) error {
		at := next.URL.Scheme + "://" + next.URL.Host
		known := at == h.Issuer || slices.ContainsFunc(others, func(u there) bool { return u.Issuer == at })
		if !known || len(via) > 20 {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return b
}

// choose presses the button of a provider on the sign-in page.
func choose(p *servertest.Page, b *servertest.Browser, id model.UpstreamID) *servertest.Page {
	return b.Post(strings.TrimSuffix(p.URL.Path, "/login")+"/upstream/"+string(id), url.Values{"login": {""}, "password": {""}})
}

// signInThere signs somebody in at the second house.
func signInThere(t *testing.T, p *servertest.Page, login string) *servertest.Page {
	t.Helper()
	if !strings.HasSuffix(p.URL.Path, "/login") || p.URL.Hostname() != "127.0.0.1" {
		t.Fatalf("not the sign-in page of the second house but %s: %d %s", p.URL, p.Status, p.Body)
	}
	return p.Submit("primary", "login", login, "password", "four words that rhyme")
}

// leftWith checks that a sign-in has ended at the client with a code.
func leftWith(t *testing.T, p *servertest.Page) *url.URL {
	t.Helper()
	for p.Left == nil && strings.HasSuffix(p.URL.Path, "/consent") {
		p = p.Submit("primary")
	}
	if p.Left == nil || p.Left.Query().Get("code") == "" {
		t.Fatalf("no code but %s: %d %v %s", p.URL, p.Status, p.Left, p.Body)
	}
	return p.Left
}

func says(t *testing.T, p *servertest.Page, text string) {
	t.Helper()
	if !strings.Contains(p.Body, text) {
		t.Errorf("%s does not say %q: %d %s", p.URL, text, p.Status, p.Body)
	}
}

// TestSignInElsewhere: who is unknown sees what would be made, and gets an account
// when they say so. From then on no page of ours comes between.
func TestSignInElsewhere(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("admin", "four words that rhyme")
		u := secondHouse(t, h, "second", signsUp)
		u.User("olena", "four words that rhyme")
		c, secret := h.Client("shop", web)

		b := traveller(h, u)
		page := b.Get(servertest.AuthorizePath(c))
		says(t, page, "Continue with Second House")
		page = signInThere(t, choose(page, b, "second"), "olena")
		if !strings.HasSuffix(page.URL.Path, "/join") {
			t.Fatalf("not the page that makes an account: %s %d %s", page.URL, page.Status, page.Body)
		}
		says(t, page, "olena@example.com")
		if f := page.Form(); f.Values.Get("login") != "olena" || f.Values.Get("name") != "Olena olena" {
			t.Errorf("the page proposes %v", f.Values)
		}
		taken := page.Submit("primary", "login", "admin")
		if taken.Status != http.StatusUnprocessableEntity {
			t.Errorf("a login that is taken: %d", taken.Status)
		}
		says(t, taken, "That username is taken")
		foreign := taken.Submit("primary", "login", "somebody@else.example")
		says(t, foreign, "nobody has made sure that it is yours")
		who := identity(t, h, c, secret, leftWith(t, foreign.Submit("primary", "login", "olena")))
		user, err := h.Accounts.ByLogin(context.Background(), "olena")
		if err != nil || string(user.ID) != who.Subject || !user.Profile.EmailVerified || user.PasswordHash != "" {
			t.Errorf("the account is %+v (%v), the client knows %s", user, err, who.Subject)
		}

		another := traveller(h, u)
		page = another.Get(servertest.AuthorizePath(c))
		page = signInThere(t, choose(page, another, "second"), "olena")
		if again := identity(t, h, c, secret, leftWith(t, page)); again.Subject != who.Subject {
			t.Errorf("the second time it is %s", again.Subject)
		}
		if log := h.Log.String(); strings.Contains(log, u.secret.Reveal()) {
			t.Error("the log has the secret")
		}
		// The choice is remembered, and nothing of who made it.
		fresh := another.Get(servertest.AuthorizePath(c, "prompt", "login"))
		says(t, fresh, "Used last time")
	})
}

// TestJoinCancelled: who does not want an account gets none, and the client is told.
func TestJoinCancelled(t *testing.T) {
	h := servertest.Start(t)
	h.User("admin", "four words that rhyme")
	u := secondHouse(t, h, "second", signsUp)
	u.User("olena", "four words that rhyme")
	c, _ := h.Client("shop", web)
	b := traveller(h, u)
	page := signInThere(t, choose(b.Get(servertest.AuthorizePath(c)), b, "second"), "olena")
	join := page.URL.Path
	page = page.Submit("cancel")
	if page.Left == nil || page.Left.Query().Get("error") != "access_denied" {
		t.Errorf("the client is told %v", page.Left)
	}
	if again := b.Get(join); strings.HasSuffix(again.URL.Path, "/join") {
		t.Error("the page is still there")
	}
	if _, err := h.Accounts.ByLogin(context.Background(), "olena"); err == nil {
		t.Error("there is an account")
	}
}

// TestConnectByProof: where an account has the address, its person signs in to it in
// the same sign-in, and both are connected; nobody else's account is.
func TestConnectByProof(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		ours, other := h.User("olena", "our own long words"), h.User("taras", "our own long words")
		u := secondHouse(t, h, "second", signsUp)
		u.User("olena", "four words that rhyme")
		c, secret := h.Client("shop", web)

		// Somebody else signs in at the page: nothing is connected.
		b := traveller(h, u)
		page := signInThere(t, choose(b.Get(servertest.AuthorizePath(c)), b, "second"), "olena")
		says(t, page, "There is an account here with this email address")
		if page.Form().Values.Get("login") != "olena@example.com" {
			t.Errorf("the page proposes %q", page.Form().Values.Get("login"))
		}
		who := identity(t, h, c, secret, leftWith(t, page.Submit("primary", "login", "taras", "password", "our own long words")))
		if who.Subject != string(other.ID) {
			t.Errorf("signed in is %s", who.Subject)
		}
		if list, err := h.Federation.Identities(context.Background(), other.ID); err != nil || len(list) != 0 {
			t.Errorf("somebody else's account has %v (%v)", list, err)
		}

		b = traveller(h, u)
		page = signInThere(t, choose(b.Get(servertest.AuthorizePath(c)), b, "second"), "olena")
		wrong := page.Submit("primary", "password", "guessed")
		if wrong.Status != http.StatusUnprocessableEntity {
			t.Errorf("a wrong password: %d", wrong.Status)
		}
		who = identity(t, h, c, secret, leftWith(t, wrong.Submit("primary", "login", "olena", "password", "our own long words")))
		if who.Subject != string(ours.ID) {
			t.Errorf("signed in is %s", who.Subject)
		}
		if list, err := h.Federation.Identities(context.Background(), ours.ID); err != nil || len(list) != 1 || list[0].Name == "" {
			t.Errorf("the account has %v (%v)", list, err)
		}
		b = traveller(h, u)
		page = signInThere(t, choose(b.Get(servertest.AuthorizePath(c)), b, "second"), "olena")
		if who := identity(t, h, c, secret, leftWith(t, page)); who.Subject != string(ours.ID) {
			t.Errorf("by the other house it is %s", who.Subject)
		}
	})
}

// TestNoAccountElsewhere: where no account is made and none is connected, a page says
// what to do; and where addresses connect, they do.
func TestNoAccountElsewhere(t *testing.T) {
	h := servertest.Start(t)
	h.User("admin", "four words that rhyme")
	u := secondHouse(t, h, "second")
	u.User("olena", "four words that rhyme")
	c, secret := h.Client("shop", web)
	b := traveller(h, u)
	page := signInThere(t, choose(b.Get(servertest.AuthorizePath(c)), b, "second"), "olena")
	says(t, page, "No account here is connected with your Second House account")
	if !strings.HasSuffix(page.URL.Path, "/login") {
		t.Errorf("they are at %s", page.URL)
	}
	for _, lang := range []string{"uk", "ja"} {
		req, err := http.NewRequest(http.MethodGet, page.URL.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Language", lang)
		if told := b.Do(req); !strings.Contains(told.Body, "Second House") || strings.Contains(told.Body, "No account here") {
			t.Errorf("in %s it says %s", lang, told.Body)
		}
	}
	ours := h.User("olena", "our own long words")
	u.known(t, h, linksByMail)
	b = traveller(h, u)
	page = signInThere(t, choose(b.Get(servertest.AuthorizePath(c)), b, "second"), "olena")
	if who := identity(t, h, c, secret, leftWith(t, page)); who.Subject != string(ours.ID) {
		t.Errorf("signed in is %s", who.Subject)
	}
}

// TestRefusedElsewhere: who says no over there is back at the sign-in page, which says
// so, and is not sent away from it again.
func TestRefusedElsewhere(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "our own long words")
	u := secondHouse(t, h, "second", func(s *model.UpstreamSettings, _ map[string]any) { s.Default = true })
	c, _ := h.Client("shop", web)
	b := traveller(h, u)
	page := b.Get(servertest.AuthorizePath(c))
	if page.URL.Hostname() != "127.0.0.1" {
		t.Fatalf("the default provider is not gone to: %s", page.URL)
	}
	page = page.Submit("cancel")
	if page.URL.Hostname() != "localhost" {
		t.Fatalf("they are at %s", page.URL)
	}
	says(t, page, "Second House did not sign you in")
	leftWith(t, page.Submit("primary", "login", "olena", "password", "our own long words"))
	if !strings.Contains(h.Log.String(), `"code":"denied"`) {
		t.Error("the operator is not told")
	}
}
