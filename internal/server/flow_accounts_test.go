package server_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwt"
)

// identity is whom a code tells a client about.
func identity(t *testing.T, h *servertest.House, c model.Client, secret model.Secret, at *url.URL) idToken {
	t.Helper()
	if at == nil {
		t.Fatal("the browser was not sent to the client")
	}
	return decoded(t, h.Redeem(c, secret, at).String("id_token"))
}

func decoded(t *testing.T, token string) idToken {
	t.Helper()
	tok, err := jwt.DecodeUnverified[idToken](token)
	if err != nil {
		t.Fatal(err)
	}
	return tok.Claims
}

// pair is a browser at which Ada and Bob are signed in, Bob last, and a client to
// which both have given consent.
type pair struct {
	t *testing.T
	*servertest.House
	*servertest.Browser
	ada, bob model.User
	client   model.Client
	secret   model.Secret
	adaToken string // an ID token
	bobToken string
}

func twoAccounts(t *testing.T, h *servertest.House) pair {
	t.Helper()
	p := pair{t: t, House: h, Browser: h.Browser(), ada: h.User("ada", password), bob: h.User("bob", password)}
	p.client, p.secret = h.Client("shop", web)
	at := p.SignIn(servertest.AuthorizePath(p.client), "ada", password)
	p.adaToken = h.Redeem(p.client, p.secret, at).String("id_token")
	h.Clock.Move(2 * time.Second)
	chooser := p.Get(servertest.AuthorizePath(p.client, "prompt", "select_account"))
	login := p.follow(chooser, "Use another account").Submit("primary", "login", "bob", "password", password)
	p.bobToken = h.Redeem(p.client, p.secret, login.Submit("primary").Left).String("id_token")
	if p.adaToken == "" || p.bobToken == "" {
		t.Fatal("two people cannot sign in at one browser")
	}
	h.Clock.Move(2 * time.Second)
	return p
}

// follow clicks on the link with that text.
func (p pair) follow(page *servertest.Page, text string) *servertest.Page {
	before, _, ok := strings.Cut(page.Body, text)
	at := strings.LastIndex(before, `href="`)
	if !ok || at < 0 {
		p.t.Fatalf("%s has no link %q: %s", page.URL, text, page.Body)
	}
	href, _, _ := strings.Cut(before[at+len(`href="`):], `"`)
	to, err := page.URL.Parse(strings.ReplaceAll(href, "&amp;", "&"))
	if err != nil {
		p.t.Fatal(err)
	}
	return p.Get(to.String())
}

// press presses the button of a page that stands for an account, with that text in
// it or next to it.
func (p pair) press(page *servertest.Page, action string, id model.UserID) *servertest.Page {
	p.t.Helper()
	if !strings.Contains(page.Body, `name="account" value="`+string(id)+`"`) {
		p.t.Fatalf("%s has no button for %s: %s", page.URL, p.name(string(id)), page.Body)
	}
	return p.Post(action, url.Values{"account": {string(id)}})
}

// choose picks somebody on the page that lists who is signed in.
func (p pair) choose(page *servertest.Page, u model.User) *servertest.Page {
	p.t.Helper()
	return p.press(page, page.Form().Action, u.ID)
}

// switchTo makes somebody the current one on the home page.
func (p pair) switchTo(u model.User) *servertest.Page {
	p.t.Helper()
	return p.press(p.Get("/"), "/switch", u.ID)
}

// signOut signs somebody out on the home page.
func (p pair) signOut(u model.User) *servertest.Page {
	p.t.Helper()
	return p.press(p.Get("/"), "/logout/confirm", u.ID)
}

// silent asks for an answer without a page and says for whom it is, or why not.
func (p pair) silent(t *testing.T, extra ...string) string {
	t.Helper()
	page := p.Get(servertest.AuthorizePath(p.client, append([]string{"prompt", "none"}, extra...)...))
	if page.Left == nil {
		t.Fatalf("prompt=none shows a page: %d %s", page.Status, page.URL)
	}
	if code := page.Left.Query().Get("error"); code != "" {
		return code
	}
	return p.name(identity(t, p.House, p.client, p.secret, page.Left).Subject)
}

func (p pair) name(sub string) string {
	switch sub {
	case string(p.ada.ID):
		return "ada"
	case string(p.bob.ID):
		return "bob"
	}
	return sub
}

// TestChooser: OpenID Connect Core §3.1.2.1, prompt=select_account: the page lists
// who is signed in, and who is picked answers this request and is the current one.
func TestChooser(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := twoAccounts(t, h)
		if who := p.silent(t); who != "bob" {
			t.Errorf("the current account is %s, want the latest", who)
		}
		page := p.Get(servertest.AuthorizePath(p.client, "prompt", "select_account"))
		for _, want := range []string{"Olena ada", "ada@example.com", "Olena bob", "bob@example.com", "Use another account", "Choose an account for"} {
			if !strings.Contains(page.Body, want) {
				t.Errorf("%q is not on the page: %s", want, page.Body)
			}
		}
		answer := p.choose(page, p.ada)
		if answer.Left == nil || p.name(identity(t, h, p.client, p.secret, answer.Left).Subject) != "ada" {
			t.Fatalf("chose ada: %d %v", answer.Status, answer.Left)
		}
		if who := p.silent(t); who != "ada" {
			t.Errorf("after choosing ada the current one is %s", who)
		}
		// The main button is the preselected one.
		page = p.Get(servertest.AuthorizePath(p.client, "prompt", "select_account", "login_hint", "BOB@example.com"))
		if answer := page.Submit("primary"); p.name(identity(t, h, p.client, p.secret, answer.Left).Subject) != "bob" {
			t.Errorf("the hinted one is not preselected: %v", answer.Left)
		}
		page = p.Get(servertest.AuthorizePath(p.client, "prompt", "select_account"))
		if answer := page.Submit("cancel"); answer.Left == nil || answer.Left.Query().Get("error") != "access_denied" {
			t.Errorf("cancelled: %d %v", answer.Status, answer.Left)
		}
		for _, forged := range []string{"", "nobody", string(h.User("eve", password).ID)} {
			answer := p.Post(page.Form().Action, url.Values{"account": {forged}})
			if answer.Left != nil || !strings.HasSuffix(answer.URL.Path, "/select") {
				t.Errorf("chose %q: %d %v", forged, answer.Status, answer.Left)
			}
		}
		nobody := h.Browser().Get(servertest.AuthorizePath(p.client, "prompt", "select_account"))
		if nobody.Status != http.StatusOK || !strings.HasSuffix(nobody.URL.Path, "/login") {
			t.Errorf("with nobody to choose: %d %s", nobody.Status, nobody.URL)
		}
	})
}

// TestChosenMustSignIn: max_age and prompt=login hold for whoever was chosen, whose
// name stands on the sign-in page; to sign in as somebody else there is a choice too.
func TestChosenMustSignIn(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := twoAccounts(t, h)
		for _, row := range []struct {
			name  string
			extra []string
		}{
			{"prompt=login", []string{"prompt", "select_account login"}},
			{"max_age", []string{"prompt", "select_account", "max_age", "1"}},
		} {
			t.Run(row.name, func(t *testing.T) {
				before := h.Clock.Now().Unix()
				login := p.choose(p.Get(servertest.AuthorizePath(p.client, row.extra...)), p.ada)
				if !strings.HasSuffix(login.URL.Path, "/login") || login.Form().Values.Get("login") != "ada" {
					t.Fatalf("%s %q", login.URL, login.Form().Values.Get("login"))
				}
				answer := login.Submit("primary", "password", password)
				if got := identity(t, h, p.client, p.secret, answer.Left); p.name(got.Subject) != "ada" || got.AuthTime < before {
					t.Errorf("%+v", got)
				}
				h.Clock.Move(2 * time.Second)
				login = p.choose(p.Get(servertest.AuthorizePath(p.client, row.extra...)), p.ada)
				answer = login.Submit("primary", "login", "bob", "password", password)
				if got := identity(t, h, p.client, p.secret, answer.Left); p.name(got.Subject) != "bob" {
					t.Errorf("signed in as bob: %+v", got)
				}
				h.Clock.Move(2 * time.Second)
			})
		}
		t.Run("from the sign-in page to the list and back", func(t *testing.T) {
			login := p.Get(servertest.AuthorizePath(p.client, "prompt", "login"))
			chooser := p.follow(login, "Choose another account")
			if login := p.follow(chooser, "Use another account"); login.Form().Values.Get("login") != "" {
				t.Error("somebody else's sign-in page has a name on it")
			}
			if login := p.choose(chooser, p.ada); login.Form().Values.Get("login") != "ada" {
				t.Errorf("%s", login.URL)
			}
		})
		t.Run("chosen is another one than the id_token_hint names", func(t *testing.T) {
			page := p.Get(servertest.AuthorizePath(p.client, "prompt", "select_account", "id_token_hint", p.adaToken))
			if answer := p.choose(page, p.bob); answer.Left == nil || answer.Left.Query().Get("error") != "login_required" {
				t.Errorf("%d %v", answer.Status, answer.Left)
			}
			page = p.Get(servertest.AuthorizePath(p.client, "prompt", "select_account", "id_token_hint", p.adaToken))
			if answer := page.Submit("primary"); p.name(identity(t, h, p.client, p.secret, answer.Left).Subject) != "ada" {
				t.Errorf("the good twin: %v", answer.Left)
			}
		})
	})
}

// TestSilentWithTwo: OpenID Connect Core §3.1.2.6 with two people at one browser.
func TestSilentWithTwo(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := twoAccounts(t, h)
		more := []string{"scope", "openid phone"}
		page := p.Get(servertest.AuthorizePath(p.client, append(more, "id_token_hint", p.adaToken)...))
		if answer := page.Submit("primary"); answer.Left == nil { // Ada alone agrees to more
			t.Fatalf("%d %s", answer.Status, answer.URL)
		}
		for _, row := range []struct {
			name  string
			extra []string
			want  string
		}{
			{"the current one", nil, "bob"},
			{"id_token_hint", []string{"id_token_hint", p.adaToken}, "ada"},
			{"login_hint by login", []string{"login_hint", "ada"}, "ada"},
			{"login_hint by address", []string{"login_hint", "Ada@example.com"}, "ada"},
			{"login_hint for nobody here", []string{"login_hint", "eve"}, "bob"},
			{"id_token_hint against login_hint", []string{"id_token_hint", p.bobToken, "login_hint", "ada"}, "bob"},
			{"only the other one agreed", more, "account_selection_required"},
			{"the hinted one did not", append(more, "id_token_hint", p.bobToken), "consent_required"},
			{"the hinted one did", append(more, "id_token_hint", p.adaToken), "ada"},
			{"nobody agreed", []string{"scope", "openid address"}, "consent_required"},
			{"nobody is young enough", []string{"max_age", "0"}, "login_required"},
		} {
			t.Run(row.name, func(t *testing.T) {
				if got := p.silent(t, row.extra...); got != row.want {
					t.Errorf("got %s, want %s", got, row.want)
				}
			})
		}
	})
}

// TestConsentOfOneIsNotTheOthers: O25 and O26 of the attacks: what one person was
// shown another one of the same browser cannot agree to, and what one agreed to
// counts for nobody else.
func TestConsentOfOneIsNotTheOthers(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := twoAccounts(t, h)
		more, _ := h.Client("more", web)

		consent := p.Get(servertest.AuthorizePath(more, "login_hint", "ada"))
		if !strings.Contains(consent.Body, "Olena ada") || strings.Contains(consent.Body, "Olena bob") {
			t.Fatalf("whose page is it: %s", consent.Body)
		}
		p.switchTo(p.bob)
		if answer := consent.Submit("primary"); answer.Left == nil {
			t.Fatalf("%d %s", answer.Status, answer.URL)
		}
		for u, want := range map[model.UserID]bool{p.ada.ID: true, p.bob.ID: false} {
			if got := consented(t, h, u, more.ID); got != want {
				t.Errorf("%s has consented: %t", p.name(string(u)), got)
			}
		}
		page := p.Get(servertest.AuthorizePath(more, "prompt", "none", "login_hint", "bob"))
		if page.Left == nil || page.Left.Query().Get("error") == "" {
			t.Errorf("ada's consent counts for bob: %v", page.Left)
		}

		t.Run("the one who read it is gone", func(t *testing.T) {
			other, _ := h.Client("other", web)
			consent := p.Get(servertest.AuthorizePath(other, "login_hint", "ada"))
			p.signOut(p.ada)
			if answer := consent.Submit("primary"); answer.Left != nil || !strings.HasSuffix(answer.URL.Path, "/login") {
				t.Errorf("%d %v %s", answer.Status, answer.Left, answer.URL)
			}
			if consented(t, h, p.bob.ID, other.ID) || consented(t, h, p.ada.ID, other.ID) {
				t.Error("somebody agreed to what they were not shown")
			}
		})
		t.Run("the other one is chosen on the way", func(t *testing.T) {
			third, secret := h.Client("third", web)
			ada := p.SignIn(servertest.AuthorizePath(p.client, "prompt", "login"), "ada", password)
			if ada == nil {
				t.Fatal("ada is not back")
			}
			consent := p.Get(servertest.AuthorizePath(third, "login_hint", "ada"))
			mine := p.choose(p.follow(consent, "Not you?"), p.bob)
			if !strings.Contains(mine.Body, "Olena bob") {
				t.Fatalf("%s %s", mine.URL, mine.Body)
			}
			answer := consent.Submit("primary") // the older page, in another tab: the request is bob's now
			if p.name(identity(t, h, third, secret, answer.Left).Subject) != "bob" || consented(t, h, p.ada.ID, third.ID) {
				t.Errorf("%v", answer.Left)
			}
		})
	})
}

func consented(t *testing.T, h *servertest.House, u model.UserID, c model.ClientID) bool {
	t.Helper()
	err := h.Store.View(t.Context(), func(tx *store.Tx) error { _, err := tx.Consent(u, c); return err })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}
