package server_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// TestBornAlive: what puts out everything up to a second does not put out what is
// granted in that second, afterwards; and what is granted afterwards says so.
func TestBornAlive(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		c, secret := h.Client("shop", front())
		for name, end := range map[string]func() error{
			"locked and unlocked": func() error {
				if err := h.Accounts.Lock(t.Context(), servertest.Operator, u.ID); err != nil {
					return err
				}
				return h.Accounts.Unlock(t.Context(), servertest.Operator, u.ID)
			},
			"a new password": func() error {
				return h.Accounts.SetPassword(t.Context(), servertest.Operator, u.ID, account.NewPassword{Password: password})
			},
			"the client disabled and enabled": func() error {
				if _, err := h.Registrar.DisableClient(t.Context(), servertest.Operator, c.ID, true); err != nil {
					return err
				}
				_, err := h.Registrar.DisableClient(t.Context(), servertest.Operator, c.ID, false)
				return err
			},
			"everything": func() error { return h.Accounts.SignOutEverybody(t.Context(), servertest.Operator) },
		} {
			t.Run(name, func(t *testing.T) {
				for _, kind := range []string{"code", "code id_token token"} {
					if err := end(); err != nil {
						t.Fatal(err)
					}
					cut := h.Clock.Now().Unix() - 1 // at least
					v, _ := answerOf(t, &servertest.Page{Left: h.Browser().SignIn(servertest.AuthorizePath(c, "response_type", kind), "olena", password)}, c.RedirectURIs[0])
					first := h.Call("/token", c, secret, url.Values{"grant_type": {"authorization_code"}, "code": {v.Get("code")}, "redirect_uri": {c.RedirectURIs[0]}, "code_verifier": {servertest.Verifier}})
					second := renew(h, c, secret, first.String("refresh_token"))
					for what, token := range map[string]string{"by the browser": v.Get("access_token"), "for the code": first.String("access_token"), "renewed": second.String("access_token")} {
						if token == "" && what == "by the browser" && kind == "code" {
							continue
						}
						issued, _ := claimsOf(t, token)["iat"].(float64)
						if !active(h, c, secret, token) || int64(issued) <= cut || int64(issued) > h.Clock.Now().Unix() {
							t.Errorf("%s, %s: issued at %v after a cut-off of %d or later: active is %t", kind, what, issued, cut, active(h, c, secret, token))
						}
					}
				}
				if err := end(); err != nil {
					t.Fatal(err)
				}
				a := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}})
				if !active(h, c, secret, a.String("access_token")) {
					t.Errorf("client_credentials: %d %s", a.Status, a.Text)
				}
			})
		}
		t.Run("nobody waits for a clock that is an hour ahead", func(t *testing.T) {
			at := h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password)
			before := h.Redeem(c, secret, at)
			if err := endAll(t, h, h.Clock.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			a := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}})
			if a.Status != http.StatusServiceUnavailable || a.String("error") != "temporarily_unavailable" || len(a.Header.Get("Retry-After")) != 4 {
				t.Errorf("%d %v %s", a.Status, a.Header, a.Text)
			}
			if at := h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password); at.Query().Get("error") != "temporarily_unavailable" {
				t.Errorf("%s", at)
			}
			if active(h, c, secret, before.String("access_token")) {
				t.Error("a token from before lives")
			}
		})
	})
}

// TestEndedWhileIssued: everything ends while a client is being given a token for itself,
// after the log was asked; and the second changes before the token is made. It is dead.
func TestEndedWhileIssued(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		c, secret := h.Client("shop", front())
		var once sync.Once
		h.Store.Observe(func(x store.Transaction) {
			if x.Kind != "ask" {
				return
			}
			once.Do(func() { // what it was told is read, and nothing is made of it yet
				if err := h.Accounts.SignOutEverybody(t.Context(), servertest.Operator); err != nil {
					t.Error(err)
				}
				h.Clock.Move(time.Second)
			})
		})
		a := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}})
		if token := a.String("access_token"); token == "" || active(h, c, secret, token) {
			t.Errorf("%d %s", a.Status, a.Text)
		}
	})
}

// endAll puts everything out, as of a time.
func endAll(t *testing.T, h *servertest.House, at time.Time) error {
	return h.Store.Update(t.Context(), func(tx *store.Tx) error {
		if err := tx.EndAll(store.NewEnding(model.CauseAdmin, at.Unix())); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: servertest.Operator, Action: "all.end"})
	})
}
