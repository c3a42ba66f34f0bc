package server_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
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

// unconfirmed is a person whose profile says an address that they have not proven.
func unconfirmed(t *testing.T, h *servertest.House, login, address string) model.User {
	t.Helper()
	u, err := h.Accounts.Create(context.Background(), servertest.Operator, account.NewUser{
		Login: login, Profile: model.Profile{Email: address},
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// tokenOf is the secret of a link.
func tokenOf(t *testing.T, link string) model.Secret {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil || u.Query().Get("token") == "" {
		t.Fatalf("%q is not a link", link)
	}
	return model.Secret(u.Query().Get("token"))
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

// move gives a person another address, and returns the link that undoes it.
func move(t *testing.T, h *servertest.House, u model.User, address string) model.Secret {
	t.Helper()
	from := userOf(t, h, u.ID).Profile.Email
	if _, err := h.Accounts.ConfirmMail(context.Background(), askMail(t, h, u.ID, address)); err != nil {
		t.Fatal(err)
	}
	k := letterTo(t, h, from, func(k mail.Kept) bool { return strings.Contains(k.Link, "token=") && servertest.CodeIn(k) == "" })
	return tokenOf(t, k.Link)
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
		whose := confirmed(t, h, "whose", "whose@example.com")
		answer := askMail(t, h, whose.ID, "whose2@example.com")
		answer.User = "somebody else"
		if _, err := h.Accounts.ConfirmMail(ctx, answer); !errors.Is(err, account.ErrConfirmation) {
			t.Errorf("an answer to somebody else's letter: %v", err)
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

// TestLinkToFormerAddress: what went to an address is good no more when the account
// has another one, however it came to that.
func TestLinkToFormerAddress(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		ctx := context.Background()
		for i, row := range []struct {
			name   string
			change func(u model.User)
		}{
			{"changed by an administrator", func(u model.User) {
				u.Profile.Email = "new-" + u.Profile.Email
				if _, err := h.Accounts.Update(ctx, servertest.Operator, u.ID, account.Change{Profile: &u.Profile}); err != nil {
					t.Fatal(err)
				}
			}},
			{"changed by the person", func(u model.User) { move(t, h, u, "moved@example.com") }},
		} {
			login := "person" + string(rune('a'+i))
			u := confirmed(t, h, login, login+"@example.com")
			reset, err := h.Accounts.Reset(ctx, servertest.Operator, u.ID)
			if err != nil || !reset.Mailed {
				t.Fatal(reset.Mailed, err)
			}
			row.change(u)
			if _, err := h.Accounts.Accept(ctx, account.Answer{Link: tokenOf(t, reset.Link)}, fresher); !errors.Is(err, account.ErrConfirmation) {
				t.Errorf("%s: the link that went to the former address: %v", row.name, err)
			}
			if _, err := sessionOf(ctx, h.Accounts, login, password); err != nil {
				t.Errorf("%s: the password: %v", row.name, err)
			}
		}
		// An invitation as well; and one that was handed over has no address.
		invited, err := h.Accounts.Invite(ctx, servertest.Operator, account.NewUser{Login: "invited", Profile: model.Profile{Email: "invited@example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		profile := model.Profile{Email: "other@example.com"}
		if _, err := h.Accounts.Update(ctx, servertest.Operator, invited.User.ID, account.Change{Profile: &profile}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Accounts.Accept(ctx, account.Answer{Link: tokenOf(t, invited.Link)}, fresher); !errors.Is(err, account.ErrConfirmation) {
			t.Errorf("an invitation to a former address: %v", err)
		}
		handed, err := h.Accounts.Invite(ctx, servertest.Operator, account.NewUser{Login: "handed"})
		if err != nil || handed.Mailed {
			t.Fatal(handed.Mailed, err)
		}
		if _, err := h.Accounts.Update(ctx, servertest.Operator, handed.User.ID, account.Change{Profile: &model.Profile{Email: "handed@example.com"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Accounts.Accept(ctx, account.Answer{Link: tokenOf(t, handed.Link)}, fresher); err != nil {
			t.Errorf("a link that was handed over: %v", err)
		}
	}, servertest.Mailbox)
}

// TestRecoveryBesideUnproven: whoever says of an address that it is theirs, and has
// not proven it, keeps nobody from recovering who has.
func TestRecoveryBesideUnproven(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		ctx := context.Background()
		for i := range 5 {
			unconfirmed(t, h, "squatter"+string(rune('a'+i)), "Olena@example.com")
		}
		u := confirmed(t, h, "olena", "olena@example.com")
		for i := range 5 {
			unconfirmed(t, h, "latecomer"+string(rune('a'+i)), "olena@EXAMPLE.com")
		}
		if _, err := h.Accounts.AskRecovery(ctx, "olena@example.com", account.Asker{Browser: model.NewSecret("ost_br_")}); err != nil {
			t.Fatal(err)
		}
		letterTo(t, h, u.Profile.Email, func(k mail.Kept) bool { return servertest.CodeIn(k) != "" })
	}, servertest.Mailbox)
}

// TestUndoAddress: undoing forgets that browsers are trusted, gives back a login only
// if it went with the address, and cannot be undone by whoever moved on meanwhile.
func TestUndoAddress(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		ctx := context.Background()
		undo := func(link model.Secret) error {
			_, err := h.Accounts.UndoMail(ctx, account.Answer{Link: link})
			return err
		}
		u := confirmed(t, h, "olena", "olena@example.com")
		link := move(t, h, u, "new@example.com")
		now := h.Clock.Now().Unix()
		trusted := model.Device{Hash: "a device", UserID: u.ID, TrustedTo: now + 3600, CreatedAt: now, SeenAt: now, ExpiresAt: now + 3600}
		if err := h.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.PutDevice(trusted) }); err != nil {
			t.Fatal(err)
		}
		login := "pchilka"
		if _, err := h.Accounts.Update(ctx, servertest.Operator, u.ID, account.Change{Login: &login}); err != nil {
			t.Fatal(err)
		}
		if err := undo(link); err != nil {
			t.Fatal(err)
		}
		if got := userOf(t, h, u.ID); got.Login != "pchilka" || got.Profile.Email != "olena@example.com" {
			t.Errorf("undone: %s, %s", got.Login, got.Profile.Email)
		}
		err := h.Store.View(ctx, func(tx *store.Tx) (err error) {
			trusted, err = tx.Device(u.ID, "a device", now)
			return err
		})
		if err != nil || trusted.TrustedTo != 0 {
			t.Errorf("a browser is trusted still: %+v, %v", trusted, err)
		}

		u = confirmed(t, h, "taras@example.com", "taras@example.com")
		first := move(t, h, u, "mallory@example.net")
		second := move(t, h, u, "mallory2@example.net") // in the same second
		if err := undo(second); err != nil {
			t.Fatal(err)
		}
		if err := undo(first); err != nil {
			t.Fatalf("the owner of the first address: %v", err)
		}
		if got := userOf(t, h, u.ID); got.Login != "taras@example.com" || got.Profile.Email != "taras@example.com" {
			t.Errorf("undone twice: %s, %s", got.Login, got.Profile.Email)
		}

		u = confirmed(t, h, "maria@example.com", "maria@example.com")
		first = move(t, h, u, "mallory3@example.net")
		second = move(t, h, u, "mallory4@example.net")
		h.Clock.Move(time.Minute)
		if err := undo(first); err != nil {
			t.Fatal(err)
		}
		if err := undo(second); !errors.Is(err, account.ErrConfirmation) {
			t.Errorf("whoever moved on undoes the undoing: %v", err)
		}
		if got := userOf(t, h, u.ID); got.Login != "maria@example.com" || got.Profile.Email != "maria@example.com" {
			t.Errorf("undone at once: %s, %s", got.Login, got.Profile.Email)
		}
	}, servertest.Mailbox)
}
