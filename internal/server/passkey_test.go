package server_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/credential/credentialtest"
	"github.com/ostiary/ostiary/internal/model"
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
		if got := actions(t, h, "passkey"); got != want {
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
	// Whoever administers can put them right again.
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
func actions(t *testing.T, h *servertest.House, noun string) string {
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
