package server_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// confirmed is a person with a login and a confirmed address.
func confirmed(t *testing.T, h *servertest.House, login, address string) model.User {
	t.Helper()
	u, err := h.Accounts.Create(context.Background(), servertest.Operator, account.NewUser{
		Login: login, Password: password, Profile: model.Profile{Email: address, EmailVerified: address != ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// letterTo waits for the letter to an address that says something.
func letterTo(t *testing.T, h *servertest.House, address string, says func(mail.Kept) bool) mail.Kept {
	t.Helper()
	for range 200 {
		for _, k := range h.Mail.Box().Letters() {
			if k.To == address && says(k) {
				return k
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no such letter to %s", address)
	return mail.Kept{}
}

// askMail asks for a letter to an address that none went to yet.
func askMail(t *testing.T, h *servertest.House, id model.UserID, address string) account.Answer {
	t.Helper()
	browser := model.NewSecret("ost_br_")
	waits, err := h.Accounts.AskMail(context.Background(), id, address, account.Asker{Browser: browser})
	if err != nil {
		t.Fatal(err)
	}
	k := letterTo(t, h, address, func(k mail.Kept) bool { return servertest.CodeIn(k) != "" })
	return account.Answer{ID: waits, Code: servertest.CodeIn(k), Browser: browser}
}

// TestAddressPendingEnds: whoever was put out cannot take the account over by a change
// of its address that they have begun before.
func TestAddressPendingEnds(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		ctx := context.Background()
		in := func(login string) model.SessionID {
			e, err := sessionOf(ctx, h.Accounts, login, password)
			if err != nil {
				t.Fatal(err)
			}
			return e.Session.ID
		}
		for i, row := range []struct {
			name string
			end  func(u model.User) error
		}{
			{"locked and let in again", func(u model.User) error {
				return errors.Join(h.Accounts.Lock(ctx, servertest.Operator, u.ID), h.Accounts.Unlock(ctx, servertest.Operator, u.ID))
			}},
			{"a new password", func(u model.User) error {
				return h.Accounts.SetPassword(ctx, servertest.Operator, u.ID, account.NewPassword{Password: fresher})
			}},
			{"a new password of their own", func(u model.User) error {
				return h.Accounts.ChangePassword(ctx, servertest.Operator, u.ID, account.NewPassword{Current: password, Password: fresher, Keep: in(u.Login)})
			}},
			{"signed out everywhere", func(u model.User) error { return h.Accounts.SignOutEverywhere(ctx, servertest.Operator, u.ID) }},
			{"signed out elsewhere", func(u model.User) error { return h.Accounts.SignOutOthers(ctx, servertest.Operator, u.ID, in(u.Login)) }},
			{"one session ended", func(u model.User) error { return h.Accounts.SignOut(ctx, servertest.Operator, in(u.Login)) }},
			{"everybody signed out", func(model.User) error { return h.Accounts.SignOutEverybody(ctx, servertest.Operator) }},
		} {
			login := "person" + string(rune('a'+i))
			u := confirmed(t, h, login, login+"@example.com")
			answer := askMail(t, h, u.ID, "mallory-"+login+"@example.net")
			if err := row.end(u); err != nil {
				t.Fatalf("%s: %v", row.name, err)
			}
			if _, err := h.Accounts.ConfirmMail(ctx, answer); !errors.Is(err, account.ErrConfirmation) {
				t.Errorf("%s: the answer from before: %v", row.name, err)
			}
			if got := userOf(t, h, u.ID); got.Profile.Email != u.Profile.Email {
				t.Errorf("%s: the address is %s", row.name, got.Profile.Email)
			}
		}
		u := confirmed(t, h, "locked", "locked@example.com")
		if err := h.Accounts.Lock(ctx, servertest.Operator, u.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Accounts.ConfirmMail(ctx, askMail(t, h, u.ID, "mallory@example.net")); !errors.Is(err, account.ErrConfirmation) {
			t.Errorf("somebody who is locked: %v", err)
		}
	}, servertest.Mailbox)
}
