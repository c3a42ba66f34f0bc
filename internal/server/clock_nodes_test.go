package server_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// TestClockSetBack: the clock of one of two nodes is set back, and then that of both.
// What was revoked or used stays so at either, also after the sweep, and what was
// acknowledged is good.
func TestClockSetBack(t *testing.T) {
	for _, row := range []struct {
		name string
		back []int // nodes
	}{
		{"one node", []int{1}},
		{"the other node", []int{0}},
		{"both", []int{0, 1}},
	} {
		t.Run(row.name, func(t *testing.T) {
			house := nodes(t, 2)
			here := house[0]
			u := here.User("olena", password)
			c, secret := here.Client("shop", web)
			signIn := func(h *servertest.House) servertest.Answer {
				t.Helper()
				return h.Redeem(c, secret, h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password))
			}
			at := here.Browser().SignIn(servertest.AuthorizePath(c), "olena", password)
			kept := here.Redeem(c, secret, at) // whose code is used
			kept = renew(here, c, secret, kept.String("refresh_token"))
			once := signIn(here)
			twice := renew(here, c, secret, once.String("refresh_token"))
			last := renew(here, c, secret, twice.String("refresh_token"))
			revoked, ended := signIn(here), signIn(here)
			if a := here.Call("/revoke", c, secret, url.Values{"token": {revoked.String("refresh_token")}}); a.Status != http.StatusOK {
				t.Fatal(a.Text)
			}
			session, _ := claimsOf(t, ended.String("access_token"))["sid"].(string)
			if err := here.Accounts.SignOut(t.Context(), servertest.Operator, model.SessionID(session)); err != nil {
				t.Fatal(err)
			}
			if last.String("refresh_token") == "" || kept.String("refresh_token") == "" {
				t.Fatal(last.Text, kept.Text)
			}

			for _, i := range row.back {
				house[i].Clock.Move(-40 * time.Minute)
			}
			for i, h := range house {
				if _, err := h.Store.Sweep(context.Background(), h.Clock.Now().Unix(), 0); err != nil {
					t.Fatal(err)
				}
				for name, gone := range map[string]servertest.Answer{"revoked": revoked, "ended": ended} {
					if a := renew(h, c, secret, gone.String("refresh_token")); a.String("error") != "invalid_grant" {
						t.Errorf("node %d: what was %s is renewed: %d %s", i, name, a.Status, a.Text)
					}
					if active(h, c, secret, gone.String("access_token")) {
						t.Errorf("node %d: what was %s is active", i, name)
					}
				}
			}
			for i, h := range house {
				if kept = renew(h, c, secret, kept.String("refresh_token")); kept.Status != http.StatusOK {
					t.Errorf("node %d: what was acknowledged is lost: %s", i, kept.Text)
				}
				if a := signIn(h); a.Status != http.StatusOK {
					t.Errorf("node %d: nobody can sign in: %s", i, a.Text)
				}
			}
			there := house[1]
			if a := renew(there, c, secret, once.String("refresh_token")); a.String("error") != "invalid_grant" {
				t.Errorf("a refresh token is good twice: %d %s", a.Status, a.Text)
			}
			if a := there.Redeem(c, secret, at); a.String("error") != "invalid_grant" {
				t.Errorf("a code is good twice: %d %s", a.Status, a.Text)
			}
			if err := here.Accounts.Lock(t.Context(), servertest.Operator, u.ID); err != nil {
				t.Fatal(err)
			}
			for i, h := range house {
				if a := renew(h, c, secret, kept.String("refresh_token")); a.String("error") != "invalid_grant" {
					t.Errorf("node %d: a locked person renews: %d %s", i, a.Status, a.Text)
				}
			}
		})
	}
}

// TestClientAfterClockSetBack: a client that was known from memory when the clock was set
// back is not known from memory until the clock is there again.
func TestClientAfterClockSetBack(t *testing.T) {
	h := servertest.Start(t) // on SQLite, where nobody tells what another process changes
	c, _ := h.Client("shop", web)
	name := func() string {
		t.Helper()
		c, err := h.Registrar.Client(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		return c.Name
	}
	time.Sleep(200 * time.Millisecond) // what the server heard of the client's beginning is over
	before := name()
	h.Clock.Move(-40 * time.Minute)
	other := storetest.Open(t, "sqlite:"+h.Config.Data+"/ostiary.db")
	err := other.Upkeep(t.Context(), func(tx *store.Tx) error {
		row, err := tx.Client(c.ID)
		if err != nil {
			return err
		}
		row.Name = before + " of another name"
		return tx.UpdateClient(row)
	})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); name() == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the change is not seen")
		}
	}
}
