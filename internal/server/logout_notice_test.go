package server_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/ostiary/ostiary/jwa"
)

// jwsBegins is how each token of ours begins, `{"alg":"`; its first letters alone come
// about in random identifiers.
const jwsBegins = "eyJhbGciOi"

// outbox lists what waits there.
func outbox(t *testing.T, h *servertest.House) (list []model.Notice) {
	t.Helper()
	err := h.Store.View(t.Context(), func(tx *store.Tx) (err error) {
		list, err = tx.Notices(0, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// events lists the actions in the audit log.
func eventsAbout(t *testing.T, h *servertest.House) (actions []string) {
	t.Helper()
	err := h.Store.View(t.Context(), func(tx *store.Tx) error {
		all, err := tx.Events(0, 0)
		for _, e := range all {
			actions = append(actions, e.Action)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return actions
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 600 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("waited in vain: " + what)
}

// TestLogoutNotices: every way in which a session ends is told to the clients of
// that session, once, and to no others (OpenID Connect Back-Channel Logout §2.3).
func TestLogoutNotices(t *testing.T) {
	const password = "correct horse battery"
	for _, row := range []struct {
		name string
		end  func(t *testing.T, h *servertest.House, b *servertest.Browser, u model.User, s model.SessionID) error
	}{
		{"the person signs out", func(t *testing.T, _ *servertest.House, b *servertest.Browser, _ model.User, _ model.SessionID) error {
			b.Get("/logout").Submit("primary")
			return nil
		}},
		{"an operator ends the session", func(t *testing.T, h *servertest.House, _ *servertest.Browser, _ model.User, s model.SessionID) error {
			return h.Accounts.SignOut(t.Context(), servertest.Operator, s)
		}},
		{"the account is locked", func(t *testing.T, h *servertest.House, _ *servertest.Browser, u model.User, _ model.SessionID) error {
			return h.Accounts.Lock(t.Context(), servertest.Operator, u.ID)
		}},
		{"the account is deleted", func(t *testing.T, h *servertest.House, _ *servertest.Browser, u model.User, _ model.SessionID) error {
			return h.Accounts.Delete(t.Context(), servertest.Operator, u.ID)
		}},
		{"the password changes", func(t *testing.T, h *servertest.House, _ *servertest.Browser, u model.User, _ model.SessionID) error {
			return h.Accounts.SetPassword(t.Context(), servertest.Operator, u.ID, account.NewPassword{Password: "another horse battery"})
		}},
		{"too many people sign in at the same browser", func(t *testing.T, h *servertest.House, b *servertest.Browser, _ model.User, _ model.SessionID) error {
			c, _ := h.Client("quiet", web)
			for i := range account.MaxAccounts { // the one that was unused for the longest time has to go
				h.Clock.Move(time.Second)
				login := fmt.Sprintf("user%d", i)
				h.User(login, password)
				b.SignIn(servertest.AuthorizePath(c, "prompt", "login"), login, password)
			}
			return nil
		}},
		{"the session is idle for too long", func(_ *testing.T, h *servertest.House, _ *servertest.Browser, _ model.User, _ model.SessionID) error {
			h.Clock.Move(121 * time.Minute)
			return nil
		}},
		{"the session is too old", func(t *testing.T, h *servertest.House, b *servertest.Browser, _ model.User, _ model.SessionID) error {
			for range 12 { // in use all the time
				h.Clock.Move(62 * time.Minute)
				b.Get("/")
			}
			return nil
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			servertest.Each(t, func(t *testing.T, h *servertest.House) {
				u := h.User("olena", password)
				h.User("other", password)
				a, stranger := newTold(t), newTold(t)
				c, secret := h.Client("shop", a.settings())
				h.Client("stranger", stranger.settings())
				b := h.Browser()
				hint := h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c), "olena", password)).String("id_token")
				b.SignIn(servertest.AuthorizePath(c), "olena", password) // twice in one session is once
				sid, _ := unverified(t, hint)["sid"].(string)
				if err := row.end(t, h, b, u, model.SessionID(sid)); err != nil {
					t.Fatal(err)
				}
				k := checkLogoutToken(t, h, a.waitFor(t, 1)[0], c, jwa.RS256)
				if k.SessionID != sid || k.Subject != string(u.ID) {
					t.Errorf("sid %q, sub %q; want %q, %q", k.SessionID, k.Subject, sid, u.ID)
				}
				eventually(t, "the outbox to be empty", func() bool { return len(outbox(t, h)) == 0 })
				if n, m := len(a.received()), len(stranger.received()); n != 1 || m != 0 {
					t.Errorf("told %d times, a client that had no part %d times", n, m)
				}
				if log := h.Log.String(); strings.Contains(log, a.received()[0]) || strings.Contains(log, jwsBegins) {
					t.Error("a token is in the log")
				}
			})
		})
	}
}

// TestLogoutRetries: Back-Channel Logout §2.8: what may pass is tried again, what
// will not is given up, with an audit event; nothing is told to a client that is
// gone; and a client that does not answer delays nobody.
func TestLogoutRetries(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		const password = "correct horse battery"
		h.User("olena", password)
		a, good := newTold(t), newTold(t)
		c, _ := h.Client("shop", a.settings())
		d, _ := h.Client("good", good.settings())
		signOut := func() {
			t.Helper()
			b := h.Browser()
			b.SignIn(servertest.AuthorizePath(c), "olena", password)
			b.SignIn(servertest.AuthorizePath(d), "olena", password)
			b.Get("/logout").Submit("primary")
		}
		told := 0
		for _, row := range []struct {
			status int
			again  bool
		}{{204, false}, {400, false}, {404, false}, {302, false}, {501, false}, {500, true}, {503, true}, {429, true}} {
			a.answer(row.status)
			undelivered := count(eventsAbout(t, h), "logout.undelivered")
			signOut()
			told++
			a.waitFor(t, told)
			if row.again {
				eventually(t, "the attempt to be written down", func() bool {
					list := outbox(t, h)
					return len(list) == 1 && list[0].Destination == "shop" && list[0].NextAt < h.Clock.Now().Unix()+10
				})
				a.answer(0)
				h.Clock.Move(10 * time.Second)
				told++
				a.waitFor(t, told)
			}
			eventually(t, "the outbox to be empty", func() bool { return len(outbox(t, h)) == 0 })
			want := undelivered
			if !row.again && row.status != 204 {
				want++
			}
			if got := count(eventsAbout(t, h), "logout.undelivered"); got != want {
				t.Errorf("%d: %d events, want %d", row.status, got, want)
			}
		}
		if n := len(good.received()); n != 8 {
			t.Errorf("the other client was told %d times", n)
		}
		ids := map[any]bool{}
		for _, token := range a.received() {
			ids[unverified(t, token)["jti"]] = true
		}
		if len(ids) != told {
			t.Errorf("%d tokens have %d identifiers", told, len(ids))
		}

		t.Run("after a day it is given up", func(t *testing.T) {
			a.answer(503)
			signOut()
			begun, before := h.Clock.Now(), len(a.received())
			eventually(t, "it to be given up", func() bool {
				h.Clock.Move(15 * time.Minute)
				return len(outbox(t, h)) == 0
			})
			after, attempts := h.Clock.Now().Sub(begun), len(a.received())-before
			// The clock runs many times faster than the server looks.
			if after < 20*time.Hour || after > 36*time.Hour || attempts < 3 {
				t.Errorf("given up after %v and %d attempts", after, attempts)
			}
			if got := count(eventsAbout(t, h), "logout.undelivered"); got != 5 {
				t.Errorf("%d events", got)
			}
		})
		t.Run("a clock that was ahead is put right", func(t *testing.T) {
			a.answer(503)
			h.Clock.Move(24 * time.Hour)
			signOut()
			eventually(t, "the attempt to be written down", func() bool {
				list := outbox(t, h)
				return len(list) == 1 && list[0].NextAt < h.Clock.Now().Unix()+10
			})
			before := len(a.received())
			a.answer(0)
			h.Clock.Move(-24 * time.Hour)
			a.waitFor(t, before+1)
			eventually(t, "the outbox to be empty", func() bool { return len(outbox(t, h)) == 0 })
		})
		t.Run("a client that is gone", func(t *testing.T) {
			a.answer(503)
			signOut()
			eventually(t, "an attempt", func() bool { list := outbox(t, h); return len(list) == 1 && list[0].Attempts == 1 })
			before := len(a.received())
			if err := h.Registrar.DeleteClient(t.Context(), servertest.Operator, c.ID); err != nil {
				t.Fatal(err)
			}
			a.answer(0)
			h.Clock.Move(time.Minute)
			eventually(t, "the outbox to be empty", func() bool { return len(outbox(t, h)) == 0 })
			if n := len(a.received()); n != before {
				t.Errorf("told %d times after it was deleted", n-before)
			}
		})
	})
}

func count(list []string, what string) (n int) {
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}

// TestSilentClient: one client takes no connection to its end, twenty sign-outs
// wait for it, and another client is told of each at once.
func TestSilentClient(t *testing.T) {
	h := servertest.Start(t)
	const password = "correct horse battery"
	h.User("olena", password)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	good := newTold(t)
	s := good.settings()
	s.BackchannelURI = "http://" + silent.Addr().String() + "/back"
	c, _ := h.Client("silent", s)
	d, _ := h.Client("good", good.settings())
	begun := time.Now()
	for range 20 {
		b := h.Browser()
		b.SignIn(servertest.AuthorizePath(c), "olena", password)
		b.SignIn(servertest.AuthorizePath(d), "olena", password)
		b.Get("/logout").Submit("primary")
	}
	signedOut := time.Now()
	good.waitFor(t, 20)
	if late := time.Since(signedOut); late > 4*time.Second {
		t.Errorf("the other client was told %v after the last sign-out (all took %v)", late, signedOut.Sub(begun))
	}
}

// TestTwoNodesTellOnce: two nodes on one database; whichever ends a session, and
// whichever looks first, each notice is sent once.
func TestTwoNodesTellOnce(t *testing.T) {
	database := storetest.PostgresURL(t)
	master := model.NewSecret("")
	node := func(c *server.Config) { c.Database, c.MasterKey, c.Issuer = database, master, "http://localhost:1" }
	one, two := servertest.Start(t, node), servertest.Start(t, node)
	a := newTold(t)
	s := a.settings()
	c, _ := one.Client("shop", s)
	u := one.User("olena", "correct horse battery")
	const sessions = 30
	for range sessions {
		begin(t, one, c)
	}
	errs := make(chan error, 2)
	for _, h := range []*servertest.House{one, two} {
		go func() {
			list, err := h.Accounts.Sessions(context.Background(), u.ID)
			for _, s := range list {
				// The other node may have been faster.
				_ = h.Accounts.SignOut(context.Background(), servertest.Operator, s.ID)
			}
			errs <- err
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	a.waitFor(t, sessions)
	eventually(t, "the outbox to be empty", func() bool { return len(outbox(t, one)) == 0 })
	seen := map[any]int{}
	for _, token := range a.received() {
		seen[unverified(t, token)["sid"]]++
	}
	for sid, n := range seen {
		if n != 1 {
			t.Errorf("session %v was told %d times", sid, n)
		}
	}
	if len(seen) != sessions {
		t.Errorf("%d of %d sessions were told", len(seen), sessions)
	}
}

// begin makes a session of olena in which a client takes part.
func begin(t *testing.T, h *servertest.House, c model.Client) model.Session {
	t.Helper()
	z, in := arrive(t, h, c, "olena")
	if _, err := h.Authority.Issue(t.Context(), z, in, ""); err != nil {
		t.Fatal(err)
	}
	return in
}

// arrive makes a session of somebody, and a request of a client that it can be answered with.
func arrive(t *testing.T, h *servertest.House, c model.Client, login string) (oauth.Authorization, model.Session) {
	t.Helper()
	signedIn, err := sessionOf(t.Context(), h.Accounts, login, "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	z, err := h.Authority.Begin(t.Context(), url.Values{
		"client_id": {string(c.ID)}, "redirect_uri": {c.RedirectURIs[0]}, "response_type": {"code"}, "scope": {"openid"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return z, signedIn.Session
}

// TestKillWhileTelling ends the server with SIGKILL while a client does not
// answer yet: what was to be told is told by the next process.
func TestKillWhileTelling(t *testing.T) {
	data := t.TempDir()
	a := newTold(t)
	a.answer(http.StatusServiceUnavailable)
	p, err := server.Open(t.Context(), childConfig(data))
	if err != nil {
		t.Fatal(err)
	}
	h := &servertest.House{Server: &server.Server{Parts: p}}
	if _, err := p.Accounts.Create(t.Context(), servertest.Operator, account.NewUser{Login: "olena", Password: "correct horse battery"}); err != nil {
		t.Fatal(err)
	}
	c, _, err := p.Registrar.CreateClient(t.Context(), servertest.Operator, a.settings(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	sid := begin(t, h, c).ID
	// Ended by the command, which tells nobody; the server finds it.
	if err := p.Accounts.SignOut(t.Context(), servertest.Operator, sid); err != nil {
		t.Fatal(err)
	}
	if list := outbox(t, h); len(list) != 1 || strings.Contains(list[0].Destination, jwsBegins) {
		t.Fatalf("the outbox: %+v", list)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	child, _ := startChild(t, data)
	a.waitFor(t, 1)
	child.Process.Kill()
	child.Wait() // says that it was killed
	a.answer(0)
	child, _ = startChild(t, data)
	tokens := a.waitFor(t, 2)
	child.Process.Signal(os.Interrupt)
	child.Process.Kill()
	child.Wait()
	for _, token := range tokens {
		if unverified(t, token)["sid"] != string(sid) {
			t.Errorf("told of %v, want %s", unverified(t, token)["sid"], sid)
		}
	}
}

// TestLogoutAddresses: attack rows O6 (schemes), O30 (internal addresses), each
// with its good twin.
func TestLogoutAddresses(t *testing.T) {
	h := servertest.Start(t)
	for _, row := range []struct {
		member, uri string
		ok          bool
	}{
		{"back", "https://app.example/logout?x=y", true}, {"back", "http://127.0.0.1:1/logout", true},
		{"back", "http://app.example/logout", false}, {"back", "https://app.example/logout#f", false}, {"back", "javascript:alert(1)", false},
		{"back", "file:///etc/passwd", false}, {"back", "data:text/html,x", false}, {"back", "/logout", false}, {"back", "https://u:p@app.example/", false},
		{"back", "https://a;sandbox/", false}, {"back", "com.example.app:/logout", false},
		{"front", "https://app.example/logout", true}, {"front", "https://APP.example:443/logout", true},
		{"front", "https://other.example/logout", false}, {"front", "https://app.example:444/logout", false}, {"front", "http://127.0.0.1:1/logout", false},
		{"front", "https://app.example/logout#f", false}, {"front", "javascript:alert(1)", false},
		{"post", "https://app.example/bye", true}, {"post", "http://localhost:3000/bye", true},
		{"post", "javascript:alert(1)", false}, {"post", "vbscript:x", false}, {"post", "data:text/html,x", false}, {"post", "blob:https://app.example/1", false},
		{"post", "http://app.example/bye", false}, {"post", "com.example.app:/bye", false}, {"post", "https://app.example/bye#f", false},
		{"native post", "com.example.app:/bye", true}, {"native post", "javascript:alert(1)", false},
		{"front session", "", false}, {"back session", "", false},
	} {
		s := model.ClientSettings{RedirectURIs: []string{"https://app.example/callback"}}
		switch row.member {
		case "back":
			s.BackchannelURI = row.uri
		case "front":
			s.FrontchannelURI = row.uri
		case "native post":
			s.ApplicationType = "native"
			fallthrough
		case "post":
			s.PostLogoutRedirectURIs = []string{row.uri}
		case "front session":
			s.FrontchannelSession = true
		case "back session":
			s.BackchannelSession = true
		}
		_, _, err := h.Registrar.CreateClient(t.Context(), servertest.Operator, s, "")
		if (err == nil) != row.ok {
			t.Errorf("%s %q: %v", row.member, row.uri, err)
		}
	}

	t.Run("an internal address is not gone to, and it is said", func(t *testing.T) {
		// On an issuer that is not on loopback itself, loopback is internal.
		h := servertest.Start(t, func(c *server.Config) { c.Issuer = "https://login.example.com" })
		a := newTold(t)
		c, _ := h.Client("shop", a.settings())
		h.User("olena", "correct horse battery")
		s := begin(t, h, c)
		if err := h.Accounts.SignOut(t.Context(), servertest.Operator, s.ID); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it to be given up", func() bool { return slices.Contains(eventsAbout(t, h), "logout.undelivered") })
		if n := len(a.received()); n != 0 || len(outbox(t, h)) != 0 {
			t.Errorf("an internal address was reached %d times", n)
		}
	})
}

// TestLogoutFromElsewhere: attack rows P3 (signing somebody out from another
// site) and O8 (an open redirect), with their good twins in
// TestConformanceRPInitiatedLogout.
func TestLogoutFromElsewhere(t *testing.T) {
	h := servertest.Start(t)
	const password = "correct horse battery"
	h.User("olena", password)
	c, secret := h.Client("shop", web)
	b := h.Browser()
	h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c), "olena", password))
	other := h.Browser()
	foreign := h.Redeem(c, secret, other.SignIn(servertest.AuthorizePath(c), "olena", password)).String("id_token")
	// Chromium and others take cookies from the answer to such a post, to which
	// they send none.
	bare, err := http.PostForm(h.Issuer+"/logout", url.Values{"posted_again": {"1"}})
	if err != nil {
		t.Fatal(err)
	}
	bare.Body.Close()
	if len(bare.Cookies()) != 0 || len(bare.Request.Response.Cookies()) != 0 {
		t.Errorf("a post from another site takes cookies away: %v", bare.Request.Response.Cookies())
	}
	for name, q := range map[string]url.Values{
		"nothing": {}, "the client": {"client_id": {"shop"}}, "a hint from another session": {"id_token_hint": {foreign}},
		"as if from our page": {"posted_again": {"1"}, "client_id": {"shop"}},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			p := askLogout(t, b, method, q)
			if at := b.Get(servertest.AuthorizePath(c, "prompt", "none")).Left; at.Query().Get("code") == "" {
				t.Fatalf("%s by %s signed the person out: %d", name, method, p.Status)
			}
		}
	}
	for _, to := range []string{"//evil.example", `/\evil.example`, "/\tevil", "https:evil.example", "///evil.example", "https://evil.example", "%2f%2fevil.example", "http://127.0.0.1:1/bye/../x"} {
		for _, name := range []string{"post_logout_redirect_uri", "rd", "next", "return_to"} {
			for _, path := range []string{"/logout", "/signed-out"} {
				p := h.Browser().Get(path + "?" + url.Values{"client_id": {"shop"}, name: {to}}.Encode())
				body := regexp.MustCompile(`<input type="hidden" name="back" value="/[a-z-]+\?[^"]*">`).ReplaceAllString(p.Body, "") // this very address, for a choice of language
				if p.Left != nil || strings.Contains(body, "evil") {
					t.Errorf("%s %s=%s leads to %v: %s", path, name, to, p.Left, p.Body)
				}
			}
		}
	}
}
