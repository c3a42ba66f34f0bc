package server_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/credential/credentialtest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

const linkPasskey = "/link/passkey"

// Whoever is invited, or is reset, may choose a passkey in place of a password, once.
// A link stands for no second factor that somebody has.
func TestPasskeyByLink(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		c, _ := h.Client("shop", web)
		take := func(link string) (*credentialtest.Authenticator, *servertest.Page) {
			path, token := strings.TrimPrefix(link, h.Issuer), tokenOf(t, link).Reveal()
			b := h.Browser()
			if p := b.Get(path); p.Status != http.StatusOK || !strings.Contains(p.Body, linkPasskey) || !strings.Contains(p.Body, `value="`+token+`"`) {
				t.Fatalf("%d %s", p.Status, p.Body)
			}
			a := credentialtest.New(t, h.Issuer, credentialtest.ES256)
			asked := b.Post(linkPasskey+"/options", url.Values{"token": {token}})
			if asked.Status != http.StatusOK {
				t.Fatalf("%d %s", asked.Status, asked.Body)
			}
			form := url.Values{"token": {token}, "answer": {string(a.Create([]byte(asked.Body)))}}
			p := b.Post(linkPasskey, form)
			if again := h.Browser().Post(linkPasskey, form); again.Status != http.StatusBadRequest {
				t.Errorf("twice: %d %s", again.Status, again.Body)
			}
			return a, p
		}
		in, err := h.Accounts.Invite(t.Context(), servertest.Operator, account.NewUser{Login: "taras"})
		if err != nil {
			t.Fatal(err)
		}
		a, p := take(in.Link)
		if p.Status != http.StatusOK || !strings.Contains(p.Body, "The passkey was added") {
			t.Fatalf("%d %s", p.Status, p.Body)
		}
		u, err := h.Accounts.User(t.Context(), in.User.ID)
		if err != nil || u.PasswordAt != 0 || len(passkeysOf(t, h, u.ID)) != 1 {
			t.Errorf("%+v %v", u, err)
		}
		b := h.Browser()
		at := strings.TrimSuffix(b.Get(servertest.AuthorizePath(c)).URL.Path, "/login")
		if p = b.Post(at+"/passkey", url.Values{"answer": {string(a.Get(options(t, b, h, at+"/passkey")))}}).SubmitIf("primary"); p.Left == nil || p.Left.Query().Get("code") == "" {
			t.Errorf("signing in with it: %s %d", p.URL, p.Status)
		}

		// A reset: the password that was lost is good no more, and nobody stays in.
		olena := h.User("olena", password)
		own, _ := atAccount(t, h, "olena", "/account")
		reset, err := h.Accounts.Reset(t.Context(), servertest.Operator, olena.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, p = take(reset.Link); p.Status != http.StatusOK {
			t.Fatalf("%d %s", p.Status, p.Body)
		}
		if p := own.Get("/account/profile"); !strings.HasSuffix(p.URL.Path, "/login") {
			t.Errorf("the old session goes on: %s", p.URL)
		}
		if p := h.Browser().Get(servertest.AuthorizePath(c)).Submit("primary", "login", "olena", "password", password); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("the old password still opens: %d at %s", p.Status, p.URL)
		}
		for _, action := range []string{"password.remove", "passkey.add"} {
			if !slices.ContainsFunc(events(t, h, ""), func(e model.Event) bool { return e.Action == action && e.UserID == olena.ID }) {
				t.Errorf("no %s", action)
			}
		}

		// Not past an app, nor past a policy.
		roman := h.User("roman", password)
		withApp(t, h, roman.ID)
		mark := h.User("mark", password)
		_, err = h.Accounts.Update(t.Context(), servertest.Operator, mark.ID, account.Change{SignIn: &model.SignInPolicy{Methods: []model.Method{model.MethodPassword}}})
		if err != nil {
			t.Fatal(err)
		}
		for name, id := range map[string]model.UserID{"an app": roman.ID, "a policy": mark.ID} {
			link, err := h.Accounts.Reset(t.Context(), servertest.Operator, id)
			if err != nil {
				t.Fatal(err)
			}
			path, token := strings.TrimPrefix(link.Link, h.Issuer), tokenOf(t, link.Link).Reveal()
			if p := h.Browser().Get(path); p.Status != http.StatusOK || strings.Contains(p.Body, linkPasskey) {
				t.Errorf("%s: it is offered: %d", name, p.Status)
			}
			for _, to := range []string{linkPasskey + "/options", linkPasskey} {
				if p := h.Browser().Post(to, url.Values{"token": {token}, "answer": {"{}"}}); p.Status < 400 || p.Status >= 500 {
					t.Errorf("%s, %s: %d", name, to, p.Status)
				}
			}
		}
	})
}
