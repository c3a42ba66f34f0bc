package server_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/credential/credentialtest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

const passkeysPath = "/account/sign-in/passkeys"

// options asks, as the script of a page does, what to ask an authenticator.
func options(t *testing.T, b *servertest.Browser, h *servertest.House, path string) []byte {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, h.Issuer+path+"/options", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	p := b.Do(req)
	if p.Status != 200 || p.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d at %s: %s", p.Status, p.URL, p.Body)
	}
	return []byte(p.Body)
}

// withPasskey gives a person a passkey by their account page, in a browser of its
// own.
func withPasskey(t *testing.T, h *servertest.House, login string) *credentialtest.Authenticator {
	t.Helper()
	a := credentialtest.New(t, h.Issuer, credentialtest.ES256)
	b, _ := atAccount(t, h, login, passkeysPath)
	if p := b.Post(passkeysPath, url.Values{"answer": {string(a.Create(options(t, b, h, passkeysPath)))}}); p.Status != 200 || !strings.Contains(p.Body, "The passkey was added") {
		t.Fatalf("%d at %s: %s", p.Status, p.URL, p.Body)
	}
	return a
}

func passkeysOf(t *testing.T, h *servertest.House, id model.UserID) []model.Passkey {
	t.Helper()
	list, _, err := h.Accounts.Passkeys(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestPasskeysPage: people add, name and remove their passkeys.
func TestPasskeysPage(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		user := h.User("olena", password)
		b, p := atAccount(t, h, "olena", passkeysPath)
		if !strings.Contains(p.Body, "You have no passkeys yet") || !strings.Contains(p.Header.Get("Content-Security-Policy"), "script-src 'self'") {
			t.Fatal(p.Body)
		}
		a := credentialtest.New(t, h.Issuer, credentialtest.EdDSA)
		a.AAGUID = [16]byte{0xd5, 0x48, 0x82, 0x6e, 0x79, 0xb4, 0xdb, 0x40, 0xa3, 0xd8, 0x11, 0x11, 0x6f, 0x7e, 0x83, 0x49}
		a.Eligible, a.BackedUp = true, true
		answer := a.Create(options(t, b, h, passkeysPath))
		p = b.Post(passkeysPath, url.Values{"answer": {string(answer)}})
		list := passkeysOf(t, h, user.ID)
		if p.Status != 200 || len(list) != 1 || list[0].Name != "Bitwarden" || !list[0].BackedUp ||
			!strings.Contains(p.Body, "Bitwarden") || !strings.Contains(p.Body, "On several devices") || !strings.Contains(p.Body, "Not used yet") {
			t.Fatalf("%+v: %d %s", list, p.Status, p.Body)
		}
		if a.Handle == string(user.ID) || strings.Contains(p.Body, `data-handle="`+string(user.ID)) || !strings.Contains(p.Body, `data-handle="`+a.Handle+`"`) {
			t.Errorf("the user handle is %q", a.Handle)
		}
		// §7.1 step 26, and §7.1 step 8: the same answer again, and to another question.
		if p = b.Post(passkeysPath, url.Values{"answer": {string(answer)}}); p.Status != 422 || !strings.Contains(p.Body, "This took too long") {
			t.Errorf("a replay: %d %s", p.Status, p.Body)
		}
		if p = b.Post(passkeysPath, url.Values{"answer": {string(a.Create(options(t, b, h, passkeysPath)))}}); p.Status != 422 || !strings.Contains(p.Body, "in use already") {
			t.Errorf("the same passkey again: %d %s", p.Status, p.Body)
		}
		row := passkeysPath + "/" + string(list[0].ID)
		if p = b.Post(row, url.Values{"do": {"rename"}, "name": {" <b>My</b> phone "}}); p.Status != 200 || !strings.Contains(p.Body, "&lt;b&gt;My&lt;/b&gt; phone") || strings.Contains(p.Body, "<b>My") {
			t.Errorf("%d %s", p.Status, p.Body)
		}
		for _, name := range []string{"", strings.Repeat("x", 101), "two\nlines", strings.Repeat("y", 20<<10)} {
			if p = b.Post(row, url.Values{"do": {"rename"}, "name": {name}}); p.Status != 422 || !strings.Contains(p.Body, "Give the passkey a name") {
				t.Errorf("a name of %d bytes: %d", len(name), p.Status)
			}
		}
		// Somebody else's is not there for them.
		h.User("bohdan", password)
		other, _ := atAccount(t, h, "bohdan", passkeysPath)
		for _, do := range []string{"rename", "remove"} {
			if p = other.Post(row, url.Values{"do": {do}, "name": {"mine"}}); p.Status != 422 || !strings.Contains(p.Body, "removed already") {
				t.Errorf("%s by somebody else: %d %s", do, p.Status, p.Body)
			}
		}
		if p = b.Post(row, url.Values{"do": {"remove"}}); p.Status != 200 || !strings.Contains(p.Body, "The passkey was removed") || len(passkeysOf(t, h, user.ID)) != 0 {
			t.Errorf("%d %s", p.Status, p.Body)
		}
		if p = b.Post(row, url.Values{"do": {"remove"}}); p.Status != 422 {
			t.Errorf("removed twice: %d", p.Status)
		}
		if p = b.Post(row, url.Values{"do": {"paint"}}); p.Status != 400 {
			t.Errorf("%d", p.Status)
		}
		want := "passkey.add passkey.rename passkey.remove"
		if got := actionsOf(t, h, "passkey"); got != want {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

// TestPasskeyEnrolRefused: what is not the answer that was asked for makes no
// passkey, and no error of ours.
func TestPasskeyEnrolRefused(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		user := h.User("olena", password)
		h.User("bohdan", password)
		b, _ := atAccount(t, h, "olena", passkeysPath)
		other, _ := atAccount(t, h, "bohdan", passkeysPath)
		for name, send := range map[string]func(a *credentialtest.Authenticator) string{
			"another origin": func(a *credentialtest.Authenticator) string {
				a.Origin = "https://evil.test"
				return string(a.Create(options(t, b, h, passkeysPath)))
			},
			"another site": func(a *credentialtest.Authenticator) string {
				a.RPID = "evil.test"
				return string(a.Create(options(t, b, h, passkeysPath)))
			},
			"nobody verified": func(a *credentialtest.Authenticator) string {
				a.Verifies = false
				return string(a.Create(options(t, b, h, passkeysPath)))
			},
			"the question of another": func(a *credentialtest.Authenticator) string {
				options(t, b, h, passkeysPath)
				return string(a.Create(options(t, other, h, passkeysPath)))
			},
			"nothing": func(*credentialtest.Authenticator) string { options(t, b, h, passkeysPath); return "" },
			"more than anybody answers": func(*credentialtest.Authenticator) string {
				options(t, b, h, passkeysPath)
				return strings.Repeat("{", 20<<10)
			},
		} {
			p := b.Post(passkeysPath, url.Values{"answer": {send(credentialtest.New(t, h.Issuer, credentialtest.ES256))}})
			if p.Status != 422 || !strings.Contains(p.Body, "could not be checked") {
				t.Errorf("%s: %d %s", name, p.Status, p.Body)
			}
		}
		// The form of another site is stopped before it is read.
		req, err := http.NewRequest(http.MethodPost, h.Issuer+passkeysPath+"/options", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		if p := b.Do(req); p.Status != 403 {
			t.Errorf("from another site: %d", p.Status)
		}
		if got := passkeysOf(t, h, user.ID); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		// After ten minutes nobody waits for an answer, and the page wants to know again
		// who is there.
		a := credentialtest.New(t, h.Issuer, credentialtest.ES256)
		answer := a.Create(options(t, b, h, passkeysPath))
		h.Clock.Move(10 * time.Minute)
		if p := b.Post(passkeysPath, url.Values{"answer": {string(answer)}}); !strings.HasSuffix(p.URL.Path, "/login") {
			t.Errorf("too late: %d at %s", p.Status, p.URL)
		}
		if log := h.Log.String(); strings.Contains(log, `"level":"ERROR"`) {
			t.Error(log)
		}
	})
}

// TestLastPasskey: nobody takes the last way in from themselves.
func TestLastPasskey(t *testing.T) {
	h := servertest.Start(t)
	user := h.User("olena", password)
	withPasskey(t, h, "olena")
	k := passkeysOf(t, h, user.ID)[0]
	b, _ := atAccount(t, h, "olena", passkeysPath)
	dropPassword(t, h, user.ID)
	if p := b.Post(passkeysPath+"/"+string(k.ID), url.Values{"do": {"remove"}}); p.Status != 422 || !strings.Contains(p.Body, "your last way to sign in") {
		t.Errorf("%d %s", p.Status, p.Body)
	}
	// Who gets a code by mail has another way.
	h.Restart(func(c *server.Config) { c.Mailbox = true })
	known := user.Profile
	known.Email, known.EmailVerified = "olena@example.org", true
	if _, err := h.Accounts.Update(t.Context(), servertest.Operator, user.ID, account.Change{Profile: &known}); err != nil {
		t.Fatal(err)
	}
	if p := b.Post(passkeysPath+"/"+string(k.ID), url.Values{"do": {"remove"}}); p.Status != 200 || len(passkeysOf(t, h, user.ID)) != 0 {
		t.Errorf("%d %s", p.Status, p.Body)
	}
}

// TestRemoveLastPasskey: whoever administers can put somebody right again.
func TestRemoveLastPasskey(t *testing.T) {
	h := servertest.Start(t)
	user := h.User("olena", password)
	withPasskey(t, h, "olena")
	dropPassword(t, h, user.ID)
	k := passkeysOf(t, h, user.ID)[0]
	if err := h.Accounts.RemovePasskey(t.Context(), servertest.Operator, account.PasskeyRef{User: user.ID, ID: k.ID}); err != nil {
		t.Error(err)
	}
}

// TestNoPasskeys: where the issuer has no domain there are none, and no error.
func TestNoPasskeys(t *testing.T) {
	h := servertest.Start(t, func(c *server.Config) { c.Issuer = strings.Replace(c.Issuer, "localhost", "127.0.0.1", 1) })
	h.User("olena", password)
	if site := h.Accounts.PasskeySite(); site != "" {
		t.Errorf("passkeys are bound to %q", site)
	}
	b := h.Browser()
	p := b.Get(passkeysPath)
	if strings.Contains(p.Body, "passkey") {
		t.Errorf("a sign-in offers passkeys: %s", p.Body)
	}
	if p = p.Submit("primary", "login", "olena", "password", password); p.Status != 404 {
		t.Errorf("%d %s", p.Status, p.Body)
	}
}

// actions lists what the audit log has of a noun, the oldest first.
func actionsOf(t *testing.T, h *servertest.House, noun string) string {
	t.Helper()
	var list []string
	for _, action := range eventsAbout(t, h) {
		if strings.HasPrefix(action, noun+".") {
			list = append(list, action)
		}
	}
	return strings.Join(list, " ")
}

// dropPassword leaves a person without a password.
func dropPassword(t *testing.T, h *servertest.House, id model.UserID) {
	t.Helper()
	err := h.Store.Upkeep(t.Context(), func(tx *store.Tx) error { return tx.SetPassword(id, "", 0) })
	if err != nil {
		t.Fatal(err)
	}
}

// signInWith takes a browser to the sign-in page of a client and answers there by an
// authenticator.
func signInWith(t *testing.T, h *servertest.House, b *servertest.Browser, path string, a *credentialtest.Authenticator) *servertest.Page {
	t.Helper()
	page := b.Get(path)
	if !strings.HasSuffix(page.URL.Path, "/login") {
		t.Fatalf("no sign-in page: %d at %s", page.Status, page.URL)
	}
	at := strings.TrimSuffix(page.URL.Path, "/login") + "/passkey"
	return b.Post(at, url.Values{"answer": {string(a.Get(options(t, b, h, at)))}})
}

func idClaims(t *testing.T, h *servertest.House, c model.Client, secret model.Secret, left *url.URL) map[string]any {
	t.Helper()
	if left == nil {
		t.Fatal("the sign-in did not end at the client")
	}
	return claimsOf(t, h.Redeem(c, secret, left).String("id_token"))
}

func sameStrings(got any, want ...string) bool {
	list, ok := got.([]any)
	return ok && slices.EqualFunc(list, want, func(a any, b string) bool { return a == b })
}

// TestPasskeySignIn: with nothing typed, a passkey is two factors, and resists
// phishing.
func TestPasskeySignIn(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		user := h.User("olena", password)
		c, secret := h.Client("shop", model.ClientSettings{Name: "Shop", FirstParty: true, RedirectURIs: []string{"https://shop.example/cb"}})
		a := withPasskey(t, h, "olena")
		b := h.Browser()
		if p := b.Get(servertest.AuthorizePath(c)); !strings.Contains(p.Body, `autocomplete="username webauthn"`) || !strings.Contains(p.Header.Get("Content-Security-Policy"), "connect-src 'self'") {
			t.Errorf("the sign-in page does not ask for passkeys: %s", p.Body)
		}
		p := signInWith(t, h, b, servertest.AuthorizePath(c, "acr_values", "phr"), a)
		claims := idClaims(t, h, c, secret, p.Left)
		if claims["sub"] != string(user.ID) || claims["acr"] != "phr" || !sameStrings(claims["amr"], "pop", "user", "mfa") {
			t.Errorf("%v", claims)
		}
		if k := passkeysOf(t, h, user.ID)[0]; k.UsedAt == 0 || k.Counter != a.Counter {
			t.Errorf("%+v", k)
		}
		// A second sign-in in another browser; one that may be at several devices says so.
		a = credentialtest.New(t, h.Issuer, credentialtest.RS256)
		a.Eligible, a.Still = true, true // and counts nothing
		enrolled, _ := atAccount(t, h, "olena", passkeysPath)
		enrolled.Post(passkeysPath, url.Values{"answer": {string(a.Create(options(t, enrolled, h, passkeysPath)))}})
		for range 2 {
			claims = idClaims(t, h, c, secret, signInWith(t, h, h.Browser(), servertest.AuthorizePath(c), a).Left)
			if !sameStrings(claims["amr"], "pop", "swk", "user", "mfa") {
				t.Errorf("%v", claims)
			}
		}
		// Whom they are is who holds the passkey, and no hint changes it; but where somebody
		// is demanded, nobody else will do.
		h.User("bohdan", password)
		claims = idClaims(t, h, c, secret, signInWith(t, h, h.Browser(), servertest.AuthorizePath(c, "login_hint", "bohdan"), a).Left)
		if claims["sub"] != string(user.ID) {
			t.Errorf("%v", claims)
		}
	})
}

// TestPasskeyRefused: what does not prove who somebody is signs nobody in, and says
// so without an error of ours.
func TestPasskeyRefused(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		user := h.User("olena", password)
		h.User("bohdan", password)
		c, _ := h.Client("shop", model.ClientSettings{Name: "Shop", FirstParty: true, RedirectURIs: []string{"https://shop.example/cb"}})
		path := servertest.AuthorizePath(c)
		theirs := withPasskey(t, h, "bohdan")
		start := func(b *servertest.Browser) string {
			t.Helper()
			return strings.TrimSuffix(b.Get(path).URL.Path, "/login") + "/passkey"
		}
		plain := func(lie func(a *credentialtest.Authenticator)) func(*servertest.Browser, string, *credentialtest.Authenticator) string {
			return func(b *servertest.Browser, at string, a *credentialtest.Authenticator) string {
				lie(a)
				return string(a.Get(options(t, b, h, at)))
			}
		}
		const invalid, unknown, stale = "could not be checked", "not known here any more", "This took too long"
		rows := []struct {
			name   string
			answer func(b *servertest.Browser, at string, a *credentialtest.Authenticator) string
			want   string
			event  string
		}{
			{"another origin", plain(func(a *credentialtest.Authenticator) { a.Origin = "https://evil.test" }), invalid, "passkey.fail"},
			{"the host that a request names", plain(func(a *credentialtest.Authenticator) {
				a.Origin = strings.Replace(h.Issuer, "localhost", "127.0.0.1", 1)
			}), invalid, "passkey.fail"},
			{"rpIdHash of another site", plain(func(a *credentialtest.Authenticator) { a.RPID = "evil.test" }), invalid, "passkey.fail"},
			{"nobody verified", plain(func(a *credentialtest.Authenticator) { a.Verifies = false }), invalid, "passkey.fail"},
			{"nobody there", plain(func(a *credentialtest.Authenticator) { a.Absent = true }), invalid, "passkey.fail"},
			{"the user handle of somebody else", plain(func(a *credentialtest.Authenticator) { a.Handle = theirs.Handle }), invalid, "passkey.fail"},
			{"the credential of somebody else", plain(func(a *credentialtest.Authenticator) { a.ID = theirs.ID }), invalid, "passkey.fail"},
			{"a counter that goes back", plain(func(a *credentialtest.Authenticator) { a.Counter, a.Still = 0, true }), "There may be a copy", "passkey.regress"},
			{"a counter that stands still", plain(func(a *credentialtest.Authenticator) { a.Counter = 0 }), "There may be a copy", "passkey.regress"},
			{"a credential that nobody has", plain(func(a *credentialtest.Authenticator) { a.ID = []byte("nobody's") }), unknown, ""},
			{"no question", func(_ *servertest.Browser, _ string, a *credentialtest.Authenticator) string {
				return string(a.Get([]byte(`{"challenge":"AAAA","rpId":"localhost"}`)))
			}, stale, ""},
			{"the question of another browser", func(b *servertest.Browser, at string, a *credentialtest.Authenticator) string {
				options(t, b, h, at)
				other := h.Browser()
				return string(a.Get(options(t, other, h, start(other))))
			}, invalid, "passkey.fail"},
			{"the question before", func(b *servertest.Browser, at string, a *credentialtest.Authenticator) string {
				first := options(t, b, h, at)
				options(t, b, h, at)
				return string(a.Get(first))
			}, invalid, "passkey.fail"},
			{"the question for a new passkey", func(b *servertest.Browser, at string, a *credentialtest.Authenticator) string {
				mine, _ := atAccount(t, h, "olena", passkeysPath)
				asked := options(t, mine, h, passkeysPath)
				options(t, b, h, at)
				return string(a.Get([]byte(strings.Replace(string(asked), `"rp":`, `"rpId":"localhost","rp":`, 1))))
			}, invalid, "passkey.fail"},
			{"a new passkey", func(b *servertest.Browser, at string, _ *credentialtest.Authenticator) string {
				asked := options(t, b, h, at)
				return string(credentialtest.New(t, h.Issuer, credentialtest.ES256).Create(asked))
			}, invalid, ""},
			{"ten minutes later", func(b *servertest.Browser, at string, a *credentialtest.Authenticator) string {
				answer := string(a.Get(options(t, b, h, at)))
				h.Clock.Move(10 * time.Minute)
				return answer
			}, stale, ""},
			{"nothing", func(b *servertest.Browser, at string, _ *credentialtest.Authenticator) string {
				options(t, b, h, at)
				return ""
			}, invalid, ""},
			{"no JSON", func(b *servertest.Browser, at string, _ *credentialtest.Authenticator) string {
				options(t, b, h, at)
				return "\x00{{"
			}, invalid, ""},
			{"more than anybody answers", func(b *servertest.Browser, at string, _ *credentialtest.Authenticator) string {
				options(t, b, h, at)
				return strings.Repeat("{", 20<<10)
			}, invalid, ""},
		}
		a := withPasskey(t, h, "olena")
		for _, row := range rows {
			lying := *a
			before := len(strings.Fields(actionsOf(t, h, "passkey")))
			b := h.Browser()
			at := start(b)
			p := b.Post(at, url.Values{"answer": {row.answer(b, at, &lying)}})
			if p.Status != 422 || p.Left != nil || !strings.Contains(p.Body, row.want) || !strings.Contains(p.Body, `role="alert"`) {
				t.Errorf("%s: %d at %s: %s", row.name, p.Status, p.URL, p.Body)
			}
			if row.want == unknown && !strings.Contains(p.Body, `data-unknown="bm9ib2R5J3M"`) {
				t.Errorf("%s: the browser is not told", row.name)
			}
			if got := strings.Join(strings.Fields(actionsOf(t, h, "passkey"))[before:], " "); got != row.event {
				t.Errorf("%s: events %q, want %q", row.name, got, row.event)
			}
			a.Counter = max(a.Counter, lying.Counter)
			// Nobody is signed in by it, whatever follows.
			if p := b.Get(path); !strings.HasSuffix(p.URL.Path, "/login") {
				t.Errorf("%s: signed in, at %s", row.name, p.URL)
			}
		}
		// The right answer is good once.
		b := h.Browser()
		at := start(b)
		answer := url.Values{"answer": {string(a.Get(options(t, b, h, at)))}}
		if p := b.Post(at, answer); p.Left == nil {
			t.Errorf("%d at %s: %s", p.Status, p.URL, p.Body)
		}
		if p := b.Post(at, answer); p.Left != nil || p.Status < 400 {
			t.Errorf("a replay: %d at %s", p.Status, p.URL)
		}
		other := h.Browser()
		at = start(other)
		options(t, other, h, at)
		if p := other.Post(at, answer); p.Status != 422 {
			t.Errorf("a replay elsewhere: %d at %s", p.Status, p.URL)
		}
		// Who is locked is told so after the proof, and is not let in.
		if err := h.Accounts.Lock(t.Context(), servertest.Operator, user.ID); err != nil {
			t.Fatal(err)
		}
		if p := signInWith(t, h, h.Browser(), path, a); p.Status != 403 || !strings.Contains(p.Body, "locked") {
			t.Errorf("locked: %d at %s", p.Status, p.URL)
		}
		if log := h.Log.String(); strings.Contains(log, `"level":"ERROR"`) {
			t.Error(log)
		}
	})
}

// TestRemovedPasskey: what was removed opens nothing, and a browser in which somebody
// is half signed in by it does not either.
func TestRemovedPasskey(t *testing.T) {
	h := servertest.Start(t)
	user := h.User("olena", password)
	c, _ := h.Client("shop", model.ClientSettings{Name: "Shop", FirstParty: true, RedirectURIs: []string{"https://shop.example/cb"}})
	a := withPasskey(t, h, "olena")
	k := passkeysOf(t, h, user.ID)[0]
	if err := h.Accounts.RemovePasskey(t.Context(), servertest.Operator, account.PasskeyRef{User: user.ID, ID: k.ID}); err != nil {
		t.Fatal(err)
	}
	if p := signInWith(t, h, h.Browser(), servertest.AuthorizePath(c), a); p.Status != 422 || !strings.Contains(p.Body, "not known here any more") {
		t.Errorf("%d at %s: %s", p.Status, p.URL, p.Body)
	}
}

// TestPasskeyAsSecondFactor: beside a password it need not know its owner.
func TestPasskeyAsSecondFactor(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		h.User("bohdan", password)
		c, secret := h.Client("shop", model.ClientSettings{Name: "Shop", FirstParty: true, RedirectURIs: []string{"https://shop.example/cb"}})
		a, theirs := withPasskey(t, h, "olena"), withPasskey(t, h, "bohdan")
		path := servertest.AuthorizePath(c, "acr_values", "phr", "claims", `{"id_token":{"acr":{"essential":true,"values":["phr"]}}}`)
		b := h.Browser()
		p := b.Get(path).Submit("primary", "login", "olena", "password", password)
		if p.Left != nil || !strings.HasSuffix(p.URL.Path, "/factor") || !strings.Contains(p.Body, `class="passkey"`) {
			t.Fatalf("%d at %s: %s", p.Status, p.URL, p.Body)
		}
		at := p.URL.Path + "/passkey"
		asked := options(t, b, h, at)
		if !strings.Contains(string(asked), `"userVerification":"preferred"`) || strings.Count(string(asked), `"public-key"`) != 1 {
			t.Errorf("%s", asked)
		}
		theirs.Verifies = false
		if p = b.Post(at, url.Values{"answer": {string(theirs.Get(asked))}}); p.Status != 422 || !strings.Contains(p.Body, "could not be checked") || !strings.HasSuffix(p.URL.Path, "/factor/passkey") {
			t.Errorf("that of somebody else: %d at %s: %s", p.Status, p.URL, p.Body)
		}
		a.Verifies = false
		p = b.Post(at, url.Values{"answer": {string(a.Get(options(t, b, h, at)))}})
		claims := idClaims(t, h, c, secret, p.Left)
		if claims["acr"] != "phr" || !sameStrings(claims["amr"], "pwd", "pop", "user", "mfa") {
			t.Errorf("%v", claims)
		}
		// Without a password before it, such a one is nothing.
		if p = signInWith(t, h, h.Browser(), path, a); p.Status != 422 {
			t.Errorf("%d at %s", p.Status, p.URL)
		}
	})
}

// TestPasskeyEnrolledOnTheWay: who has to have a second factor sets one up, and uses
// it.
func TestPasskeyEnrolledOnTheWay(t *testing.T) {
	h := servertest.Start(t)
	user := h.User("olena", password)
	c, secret := h.Client("shop", model.ClientSettings{Name: "Shop", FirstParty: true, RedirectURIs: []string{"https://shop.example/cb"}})
	path := servertest.AuthorizePath(c, "claims", `{"id_token":{"acr":{"essential":true,"values":["phr"]}}}`)
	b := h.Browser()
	p := b.Get(path).Submit("primary", "login", "olena", "password", password)
	if !strings.HasSuffix(p.URL.Path, "/enrol") {
		t.Fatalf("%d at %s: %s", p.Status, p.URL, p.Body)
	}
	at := p.URL.Path + "/passkey"
	a := credentialtest.New(t, h.Issuer, credentialtest.ES256)
	a.Verifies = false
	if p = b.Post(at, url.Values{"answer": {string(a.Create(options(t, b, h, at)))}}); p.Status != 422 || !strings.Contains(p.Body, "could not be checked") {
		t.Errorf("%d at %s: %s", p.Status, p.URL, p.Body)
	}
	a.Verifies = true
	if p = b.Post(at, url.Values{"answer": {string(a.Create(options(t, b, h, at)))}}); !strings.HasSuffix(p.URL.Path, "/factor") || len(passkeysOf(t, h, user.ID)) != 1 {
		t.Fatalf("%d at %s: %s", p.Status, p.URL, p.Body)
	}
	at = p.URL.Path + "/passkey"
	p = b.Post(at, url.Values{"answer": {string(a.Get(options(t, b, h, at)))}})
	if claims := idClaims(t, h, c, secret, p.Left); claims["acr"] != "phr" || !sameStrings(claims["amr"], "pwd", "pop", "user", "mfa") {
		t.Errorf("%v", claims)
	}
}

// TestPasskeyLetters: a person is written to when a passkey comes or goes, whoever
// did it.
func TestPasskeyLetters(t *testing.T) {
	h := servertest.Start(t, servertest.Mailbox)
	user := h.User("olena", password)
	withPasskey(t, h, "olena")
	k := passkeysOf(t, h, user.ID)[0]
	if err := h.Accounts.RemovePasskey(t.Context(), servertest.Operator, account.PasskeyRef{User: user.ID, ID: k.ID}); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, letter := range h.Letters(2) {
		all.WriteString(letter.Text)
	}
	for _, want := range []string{"A passkey was added to the account olena", "A passkey of the account olena", "was removed"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("nobody was told %q: %s", want, all.String())
		}
	}
}

// TestPasskeyAdministration: an operator sees the passkeys of a person, and takes one
// away, or all with the other factors.
func TestPasskeyAdministration(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		ops, secret := h.Client("console", console)
		token := ownToken(t, h, ops, secret, oauth.ScopeUsers)
		user, other := h.User("olena", password), h.User("taras", password)
		withPasskey(t, h, "olena")
		withPasskey(t, h, "olena")
		path := "/api/users/" + string(user.ID)
		a := administer(t, h, token, "GET", path+"/passkeys")
		list, _ := a.JSON["passkeys"].([]any)
		if a.Status != http.StatusOK || len(list) != 2 || strings.Contains(a.Text, "public_key") {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		id := passkeysOf(t, h, user.ID)[0].ID
		if a := administer(t, h, token, "GET", "/api/users/"+string(other.ID)+"/passkeys"); a.Status != http.StatusOK || !strings.Contains(a.Text, `"passkeys":[]`) {
			t.Errorf("nobody's: %d %s", a.Status, a.Text)
		}
		for name, wrong := range map[string]string{
			"nobody": "/api/users/nobody/passkeys/" + string(id), "somebody else": "/api/users/" + string(other.ID) + "/passkeys/" + string(id), "nothing": path + "/passkeys/nothing",
		} {
			if a := administer(t, h, token, "DELETE", wrong); a.Status != http.StatusNotFound {
				t.Errorf("%s: %d %s", name, a.Status, a.Text)
			}
		}
		if a := administer(t, h, token, "GET", "/api/users/nobody/passkeys"); a.Status != http.StatusNotFound {
			t.Errorf("of nobody: %d", a.Status)
		}
		if a := administer(t, h, ownToken(t, h, ops, secret, oauth.ScopeSessions), "DELETE", path+"/passkeys/"+string(id)); a.Status != http.StatusForbidden {
			t.Errorf("without the scope: %d", a.Status)
		}
		if a := administer(t, h, token, "DELETE", path+"/passkeys/"+string(id)); a.Status != http.StatusNoContent || len(passkeysOf(t, h, user.ID)) != 1 {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		if a := administer(t, h, token, "POST", path+"/reset-factors"); a.Status != http.StatusNoContent || len(passkeysOf(t, h, user.ID)) != 0 {
			t.Errorf("%d %s", a.Status, a.Text)
		}
	})
}
