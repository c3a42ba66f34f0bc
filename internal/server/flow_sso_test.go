package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestOneLoginForAll: one sign-in is enough for every client, and once consent is
// given no page is shown at all; a restart of the server changes nothing of it.
func TestOneLoginForAll(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := twoAccounts(t, h)
		first := web
		first.FirstParty = true
		trusted, trustedSecret := h.Client("trusted", first)
		second, secondSecret := h.Client("second", web)

		answer := p.Get(servertest.AuthorizePath(trusted))
		if answer.Left == nil || p.name(identity(t, h, trusted, trustedSecret, answer.Left).Subject) != "bob" {
			t.Fatalf("a trusted client: %d %s", answer.Status, answer.URL)
		}
		consent := p.Get(servertest.AuthorizePath(second))
		if !strings.HasSuffix(consent.URL.Path, "/consent") {
			t.Fatalf("a second client asks for more than consent: %s", consent.URL)
		}
		consent.Submit("primary")
		all := func(when string) {
			t.Helper()
			sid := ""
			for _, one := range []struct {
				client model.Client
				secret model.Secret
			}{{p.client, p.secret}, {trusted, trustedSecret}, {second, secondSecret}} {
				page := p.Get(servertest.AuthorizePath(one.client, "prompt", "none"))
				if page.Left == nil || page.Left.Query().Get("code") == "" {
					t.Fatalf("%s: %s shows %d %s %v", when, one.client.ID, page.Status, page.URL, page.Left)
				}
				got := identity(t, h, one.client, one.secret, page.Left)
				if p.name(got.Subject) != "bob" || sid != "" && got.SID != sid {
					t.Errorf("%s: %s is told %+v", when, one.client.ID, got)
				}
				sid = got.SID
			}
		}
		all("before")
		waiting := p.Get(servertest.AuthorizePath(second, "prompt", "consent", "login_hint", "bob"))
		h.Restart()
		all("after a restart")
		if who := p.silent(t, "id_token_hint", p.adaToken); who != "ada" {
			t.Errorf("the other account after a restart: %s", who)
		}
		if answer := waiting.Submit("primary"); answer.Left == nil {
			t.Errorf("the page that was open: %d %s", answer.Status, answer.URL)
		}
	})
}

// TestTwoPeopleInTabs: two people, two clients, two tabs each, in any order: every
// tab ends with the one who signed in or was chosen in it.
func TestTwoPeopleInTabs(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := pair{t: t, House: h, Browser: h.Browser(), ada: h.User("ada", password), bob: h.User("bob", password)}
		first := web
		first.FirstParty = true
		one, oneSecret := h.Client("one", first)
		two, twoSecret := h.Client("two", first)
		type tab struct {
			client model.Client
			secret model.Secret
			login  string
			page   *servertest.Page
		}
		for _, order := range [][]int{{0, 1, 2, 3}, {3, 1, 0, 2}, {2, 3, 1, 0}} {
			p.Browser = h.Browser()
			tabs := []tab{{one, oneSecret, "ada", nil}, {one, oneSecret, "bob", nil}, {two, twoSecret, "ada", nil}, {two, twoSecret, "bob", nil}}
			for i := range tabs {
				tabs[i].page = p.Get(servertest.AuthorizePath(tabs[i].client))
			}
			for _, i := range order {
				answer := tabs[i].page.Submit("primary", "login", tabs[i].login, "password", password)
				if answer.Left == nil {
					t.Fatalf("tab %d of %v: %d %s", i, order, answer.Status, answer.URL)
				}
				if got := identity(t, h, tabs[i].client, tabs[i].secret, answer.Left); p.name(got.Subject) != tabs[i].login {
					t.Errorf("tab %d of %v: %s", i, order, got.Subject)
				}
			}
			for i := range tabs {
				tabs[i].page = p.Get(servertest.AuthorizePath(tabs[i].client, "prompt", "select_account"))
			}
			for _, i := range order {
				u := map[string]model.User{"ada": p.ada, "bob": p.bob}[tabs[i].login]
				answer := p.choose(tabs[i].page, u)
				if got := identity(t, h, tabs[i].client, tabs[i].secret, answer.Left); p.name(got.Subject) != tabs[i].login {
					t.Errorf("chosen in tab %d of %v: %s", i, order, got.Subject)
				}
			}
		}
	})
}

// TestTwoSignInsAtOnce: what two tabs do in the same moment takes nothing away from
// either person.
func TestTwoSignInsAtOnce(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("ada", password)
		h.User("bob", password)
		first := web
		first.FirstParty = true
		c, _ := h.Client("shop", first)
		b := h.Browser()
		one, two := b.Get(servertest.AuthorizePath(c)), b.Get(servertest.AuthorizePath(c))
		var both sync.WaitGroup
		for login, page := range map[string]*servertest.Page{"ada": one, "bob": two} {
			both.Go(func() { page.Submit("primary", "login", login, "password", password) })
		}
		both.Wait()
		if body := b.Get("/").Body; !strings.Contains(body, "Olena ada") || !strings.Contains(body, "Olena bob") {
			t.Errorf("not both are signed in: %s", body)
		}
	})
}

// TestSessionCookiesAreNew: P1 and P2 of the attacks: what a browser held before a sign-in
// is worth nothing after it, and a name is not believed.
func TestSessionCookiesAreNew(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := twoAccounts(t, h)
		house, _ := url.Parse(h.Issuer)
		cookies := func() map[string]string {
			found := map[string]string{}
			for _, k := range p.HTTP().Jar.Cookies(house) {
				if !strings.HasPrefix(k.Name, "ostiary_device_") { // by which nobody is signed in
					found[k.Name] = k.Value
				}
			}
			return found
		}
		before := cookies()
		ada, bob := "ostiary_session_"+string(p.ada.ID), "ostiary_session_"+string(p.bob.ID)
		if len(before) != 4 || before["ostiary_state"] == "" || before[ada] == "" || before[bob] == "" || before["ostiary_account"] != string(p.bob.ID) {
			t.Fatalf("cookies %v", before)
		}
		p.SignIn(servertest.AuthorizePath(p.client, "prompt", "login"), "ada", password)
		after := cookies()
		if after[ada] == before[ada] || after[bob] != before[bob] || after["ostiary_account"] != string(p.ada.ID) {
			t.Errorf("the cookies were %v and are %v", before, after)
		}
		who := func(set map[string]string) string {
			req, err := http.NewRequest(http.MethodGet, h.Issuer+servertest.AuthorizePath(p.client, "prompt", "none"), nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range set {
				req.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			page := h.Browser().Do(req)
			if code := page.Left.Query().Get("error"); code != "" {
				return code
			}
			return p.name(identity(t, h, p.client, p.secret, page.Left).Subject)
		}
		for _, row := range []struct {
			name string
			set  map[string]string
			want string
		}{
			{"the good twin", map[string]string{ada: after[ada]}, "ada"},
			{"the cookie from before the sign-in", map[string]string{ada: before[ada]}, "login_required"},
			{"under somebody else's name", map[string]string{bob: after[ada]}, "login_required"},
			{"under a new name", map[string]string{"ostiary_session_x": after[ada]}, "login_required"},
			{"under no name", map[string]string{"ostiary_session_": after[ada], "ostiary_session": after[ada]}, "login_required"},
			{"the current account alone", map[string]string{"ostiary_account": string(p.ada.ID)}, "login_required"},
			{"a current account that is not there", map[string]string{"ostiary_account": string(p.ada.ID), bob: after[bob]}, "bob"},
			{"both and none is current: the latest sign-in", map[string]string{ada: after[ada], bob: after[bob]}, "ada"},
			{"both and an older one is current", map[string]string{ada: after[ada], bob: after[bob], "ostiary_account": string(p.bob.ID)}, "bob"},
		} {
			if got := who(row.set); got != row.want {
				t.Errorf("%s: %s, want %s", row.name, got, row.want)
			}
		}
		// A cookie that stands for nothing is taken away at the next sign-in.
		p.HTTP().Jar.SetCookies(house, []*http.Cookie{{Name: "ostiary_session_dead", Value: "x", Path: "/"}})
		p.SignIn(servertest.AuthorizePath(p.client, "prompt", "login"), "ada", password)
		if left := cookies(); len(left) != 4 {
			t.Errorf("cookies %v", left)
		}
	})
}

// TestSignOutOfSeveral: on the home page, and by OpenID Connect RP-Initiated Logout §2:
// the session that the hint names ends, and without one the person chooses.
func TestSignOutOfSeveral(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		p := twoAccounts(t, h)
		here := func() (names string) {
			t.Helper()
			body := p.Get("/").Body
			for _, name := range []string{"ada", "bob"} {
				if strings.Contains(body, "Olena "+name) {
					names += name + " "
				}
			}
			return names
		}
		again := func() {
			t.Helper()
			h.Clock.Move(2 * time.Second)
			for _, login := range []string{"ada", "bob"} {
				at := p.SignIn(servertest.AuthorizePath(p.client, "prompt", "login"), login, password)
				token := h.Redeem(p.client, p.secret, at).String("id_token")
				if login == "ada" {
					p.adaToken = token
				}
			}
			if got := here(); got != "ada bob " {
				t.Fatalf("signed in are: %s", got)
			}
		}
		logout := func(pairs ...string) *servertest.Page {
			v := url.Values{}
			for i := 0; i < len(pairs); i += 2 {
				v.Set(pairs[i], pairs[i+1])
			}
			return p.Get("/logout?" + v.Encode())
		}
		const bye = "http://127.0.0.1:1/bye"
		again()

		t.Run("switching on the home page", func(t *testing.T) {
			if page := p.switchTo(p.ada); page.URL.Path != "/" || p.silent(t) != "ada" {
				t.Errorf("%d %s", page.Status, page.URL)
			}
			if p.switchTo(p.bob); p.silent(t) != "bob" {
				t.Error("not back")
			}
			if p.Post("/switch", url.Values{"account": {"nobody"}}); p.silent(t) != "bob" {
				t.Error("switched to nobody")
			}
		})
		t.Run("one on the home page", func(t *testing.T) {
			if page := p.signOut(p.bob); page.URL.Path != "/" || here() != "ada " || p.silent(t) != "ada" {
				t.Errorf("%s %s", page.URL, here())
			}
			if page := p.Get("/").Submit("primary"); page.URL.Path != "/signed-out" || here() != "" {
				t.Errorf("%s %s", page.URL, here())
			}
			again()
		})
		t.Run("all on the home page", func(t *testing.T) {
			if page := p.Get("/").Submit("primary"); page.URL.Path != "/signed-out" || here() != "" || p.silent(t) != "login_required" {
				t.Errorf("%s %s", page.URL, here())
			}
			again()
		})
		t.Run("by a hint: that one, which is not the current one", func(t *testing.T) {
			page := logout("id_token_hint", p.adaToken, "post_logout_redirect_uri", bye)
			if page.Left == nil || page.Left.String() != bye || here() != "bob " {
				t.Errorf("%d %v %s", page.Status, page.Left, here())
			}
			again()
		})
		t.Run("without a hint: the person chooses one", func(t *testing.T) {
			page := logout("client_id", "shop", "post_logout_redirect_uri", bye)
			if f := page.Form(); f.Values.Get("account") != string(p.bob.ID) || !strings.Contains(page.Body, "All accounts in this browser") {
				t.Fatalf("%s", page.Body)
			}
			if page.Submit("cancel"); here() != "ada bob " {
				t.Errorf("cancelled: %s", here())
			}
			if answer := page.Submit("primary", "account", string(p.ada.ID)); answer.Left == nil || answer.Left.String() != bye || here() != "bob " {
				t.Errorf("%v %s", answer.Left, here())
			}
			// The same page once more: Ada is gone, and nobody goes in her place.
			if page.Submit("primary", "account", string(p.ada.ID)); here() != "bob " {
				t.Errorf("twice: %s", here())
			}
			again()
		})
		t.Run("without a hint: the person chooses all", func(t *testing.T) {
			if answer := logout().Submit("primary", "account", "all"); !strings.Contains(answer.Body, "You are signed out") || here() != "" {
				t.Errorf("%s %s", answer.URL, here())
			}
			again()
		})
		t.Run("the page for one stays for that one", func(t *testing.T) {
			p.signOut(p.ada)
			page := logout("client_id", "shop")
			again() // in another tab
			p.switchTo(p.ada)
			if page.Submit("primary"); here() != "ada " {
				t.Errorf("%s", here())
			}
		})
	})
}
