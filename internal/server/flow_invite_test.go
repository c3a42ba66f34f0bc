package server_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestInvitation: who is invited chooses a password by the link, once, in whichever
// browser, and has a confirmed address then.
func TestInvitation(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		ctx := context.Background()
		in, err := h.Accounts.Invite(ctx, servertest.Operator, account.NewUser{Login: "olena@example.com", Profile: model.Profile{Name: "Olena", Locale: "ja"}})
		if err != nil || !in.Mailed || in.User.Profile.EmailVerified {
			t.Fatal(in.Mailed, err)
		}
		k := h.Letter(1)
		if k.To != "olena@example.com" || k.Link != in.Link || k.Language != "ja" || strings.Contains(k.Text, "Olena") {
			t.Fatalf("the letter: %+v", k)
		}
		b := h.Browser()
		for range 2 { // scanners
			h.Browser().Get(in.Link)
		}
		page := b.Get(in.Link)
		if page.Status != 200 || !strings.Contains(page.Body, "olena@example.com") {
			t.Fatalf("the link: %d %s", page.Status, page.Body)
		}
		if p := page.Submit("primary", "password", "short"); p.Status != 422 {
			t.Errorf("a short password: %d", p.Status)
		}
		done := page.Submit("primary", "password", password)
		if done.Status != 200 || !strings.Contains(done.Body, "Your new password is saved") {
			t.Fatalf("accepted: %d %s", done.Status, done.Body)
		}
		if p := page.Submit("primary", "password", fresher); p.Status != 400 {
			t.Errorf("the link once more: %d", p.Status)
		}
		if u := userOf(t, h, in.User.ID); !u.Profile.EmailVerified {
			t.Error("the address is not confirmed")
		}
		if p := b.Get(hrefOf(t, done, "/sign-in")).Submit("primary", "login", "olena@example.com", "password", password); p.URL.Path != "/account" {
			t.Errorf("signed in at %s", p.URL)
		}
		h.NoLetter(1)

		// One that is lost is replaced, and the older link is good no more.
		lost, err := h.Accounts.Invite(ctx, servertest.Operator, account.NewUser{Login: "bohdan", Profile: model.Profile{Email: "bohdan@example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		h.Letter(2)
		again, err := h.Accounts.Reset(ctx, servertest.Operator, lost.User.ID)
		if err != nil || !again.Mailed {
			t.Fatal(again.Mailed, err)
		}
		if k := h.Letter(3); !strings.Contains(k.Subject, "An account waits for you") {
			t.Errorf("the second letter: %q", k.Subject)
		}
		if p := h.Browser().Get(lost.Link); p.Status != 400 {
			t.Errorf("the older link: %d", p.Status)
		}
		h.Clock.Move(account.InvitationLife + time.Minute)
		if p := h.Browser().Get(again.Link); p.Status != 400 {
			t.Errorf("after a week: %d", p.Status)
		}
	}, servertest.Mailbox)
}

// TestInvitationWithoutMail: the link is the administrator's to hand over, and says
// nothing about an address.
func TestInvitationWithoutMail(t *testing.T) {
	h := servertest.Start(t)
	ctx := context.Background()
	in, err := h.Accounts.Invite(ctx, servertest.Operator, account.NewUser{Login: "olena@example.com"})
	if err != nil || in.Mailed {
		t.Fatal(in.Mailed, err)
	}
	if p := h.Browser().Get(in.Link).Submit("primary", "password", password); p.Status != 200 {
		t.Errorf("accepted: %d", p.Status)
	}
	if u := userOf(t, h, in.User.ID); u.Profile.EmailVerified {
		t.Error("an address is confirmed to which nothing was sent")
	}
	off := servertest.Start(t, func(c *server.Config) { c.NoInvites = true })
	if _, err := off.Accounts.Invite(ctx, servertest.Operator, account.NewUser{Login: "olena"}); !errors.Is(err, account.ErrInvitesOff) {
		t.Errorf("invitations are off: %v", err)
	}
}

// TestReset: an administrator lets somebody choose a new password; until they do,
// nothing has changed, and then everything ends.
func TestReset(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		ctx := context.Background()
		u := h.User("olena", password)
		c, _ := h.Client("shop", front())
		b := signedInto(h, c, "olena", password)
		in, err := h.Accounts.Reset(ctx, servertest.Operator, u.ID)
		if err != nil || !in.Mailed {
			t.Fatal(in.Mailed, err)
		}
		if p := b.Get("/account/mail"); p.Status != 200 || p.URL.Path != "/account/mail" {
			t.Errorf("the session has ended before: %s", p.URL)
		}
		if k := h.Letter(1); k.Link != in.Link || k.To != "olena@example.com" {
			t.Errorf("the letter: %+v", k)
		}
		if p := h.Browser().Get(in.Link).Submit("primary", "password", fresher); p.Status != 200 {
			t.Fatalf("a new password: %d", p.Status)
		}
		if p := b.Get("/account/mail"); !strings.HasSuffix(p.URL.Path, "/login") {
			t.Errorf("the session lives: %s", p.URL)
		}
		if k := h.Letter(2); !strings.Contains(k.Text, "password of the account olena") {
			t.Errorf("nobody was told: %+v", k)
		}
		locked, err := h.Accounts.Reset(ctx, servertest.Operator, u.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Accounts.Lock(ctx, servertest.Operator, u.ID); err != nil {
			t.Fatal(err)
		}
		if p := h.Browser().Get(locked.Link).Submit("primary", "password", password); p.Status != 403 {
			t.Errorf("somebody who is locked: %d", p.Status)
		}
		if _, err := h.Accounts.Reset(ctx, servertest.Operator, "nobody"); !errors.Is(err, account.ErrNoUser) {
			t.Errorf("nobody: %v", err)
		}
		got := actions(t, h, u.ID)
		for _, want := range []string{"user.reset", "password.set"} {
			if !strings.Contains(got, want) {
				t.Errorf("the audit log lacks %s: %s", want, got)
			}
		}
	}, servertest.Mailbox)
}

// TestLinksOfOthers: a link that is none says so, and no more.
func TestLinksOfOthers(t *testing.T) {
	h := servertest.Start(t, servertest.Mailbox)
	b := h.Browser()
	for _, token := range []string{"", "x", "ost_li_" + strings.Repeat("A", 43), strings.Repeat("x", 5000), "a\x00b", "<script>alert(1)</script>"} {
		if p := b.Get("/link?token=" + url.QueryEscape(token)); p.Status != 400 || strings.Contains(p.Body, "<script>") {
			t.Errorf("GET %.20q: %d", token, p.Status)
		}
		if p := b.Post("/link", url.Values{"token": {token}, "password": {password}}); p.Status != 400 {
			t.Errorf("POST %.20q: %d", token, p.Status)
		}
	}
	for _, path := range []string{"/recover/x", "/recover/x/password", "/account/mail/x", "/recover/%3Cscript%3E"} {
		if p := b.Get(path); p.Status == 500 || strings.Contains(p.Body, "<script>") {
			t.Errorf("%s: %d", path, p.Status)
		}
	}
}
