package server_test

import (
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// TestPutOutWhileChanging: whoever is put out while a change is on its way, by which
// they could come back, has not made it: after whichever of its transactions it happens.
func TestPutOutWhileChanging(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := confirmed(t, h, "olena", "olena@example.com")
		alter := func(fn func(*store.Tx) error) {
			t.Helper()
			err := h.Store.Update(t.Context(), func(tx *store.Tx) error {
				if err := fn(tx); err != nil {
					return err
				}
				return tx.Record(model.Event{Actor: servertest.Operator, Action: "test"})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		// What there is by which somebody could come in, but for the password of the test.
		ways := func() (found string) {
			err := h.Store.View(t.Context(), func(tx *store.Tx) error {
				who, err := tx.User(u.ID)
				if err != nil {
					return err
				}
				asked, err := tx.LastConfirmation(u.ID, model.ConfirmMail)
				found = fmt.Sprintf("password %s, letter %t", who.PasswordHash, asked != 0)
				return err
			})
			if err != nil {
				t.Error(err)
			}
			return found
		}
		for _, row := range []struct {
			name string
			form url.Values
			page string
			none bool // they have no password
		}{
			{"an address", url.Values{"email": {"mallory@example.net"}}, "/account/mail", false},
			{"a password", url.Values{"current": {password}, "password": {fresher}}, "/account/sign-in", false},
			{"a first password", url.Values{"password": {fresher}}, "/account/sign-in", true},
		} {
			for n := int64(1); n <= 14; n++ {
				if err := h.Accounts.SetPassword(t.Context(), servertest.Operator, u.ID, account.NewPassword{Password: password}); err != nil {
					t.Fatal(err)
				}
				h.Clock.Move(time.Hour) // nobody is slowed down
				b, _ := atAccount(t, h, "olena", "/account/sign-in")
				if row.none {
					alter(func(tx *store.Tx) error { return tx.SetPassword(u.ID, "", 0) })
				}
				var seen atomic.Int64
				left := ""
				h.Store.Observe(func(store.Transaction) {
					if seen.Add(1) != n {
						return
					}
					if err := h.Accounts.SignOutEverywhere(t.Context(), servertest.Operator, u.ID); err != nil {
						t.Error(err)
					}
					left = ways()
				})
				b.Post(row.page, row.form)
				h.Store.Observe(func(store.Transaction) {})
				if now := ways(); left != "" && now != left {
					t.Errorf("%s, put out after transaction %d: %s, and there was %s", row.name, n, now, left)
				}
			}
		}
	}, servertest.Mailbox)
}
