package server_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwa"
	"github.com/pquerna/otp/totp"
)

// byMail walks to the page that mails a code.
func byMail(t *testing.T, b *servertest.Browser, c model.Client) *servertest.Page {
	t.Helper()
	return b.Get(hrefOf(t, b.Get(servertest.AuthorizePath(c)), "/interaction/"))
}

// TestSignInByMail: a code, or a link, that was mailed is a factor of a sign-in, in
// the browser that asked and nowhere else.
func TestSignInByMail(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		c, secret := h.Client("shop", front())
		n := 0
		for _, way := range []string{"code", "link"} {
			b, other := h.Browser(), h.Browser()
			code := byMail(t, b, c).Submit("primary", "login", "olena")
			n++
			k := h.Letter(n)
			if p := code.Submit("primary", "code", wrong(servertest.CodeIn(k))); p.Status != 422 {
				t.Errorf("a wrong code: %d", p.Status)
			}
			if p := other.Get(code.URL.String()); p.Status == 200 {
				t.Errorf("another browser: %d at %s", p.Status, p.URL)
			}
			if p := other.Get(k.Link); !strings.Contains(p.Body, "Go back to where you began") {
				t.Errorf("the link in another browser: %s", p.Body)
			}
			p := code
			if way == "code" {
				p = code.Submit("primary", "code", servertest.CodeIn(k))
			} else {
				p = b.Get(k.Link).Submit("primary")
			}
			if p = p.SubmitIf("primary"); p.Left == nil {
				t.Fatalf("%s: %s %s", way, p.URL, p.Body)
			}
			told := readID(t, h, c, jwa.RS256, h.Redeem(c, secret, p.Left).String("id_token"))
			if told.ACR != account.ACRMail || !slices.Equal(told.AMR, []string{"otp"}) {
				t.Errorf("%s: %+v", way, told)
			}
		}
	}, servertest.Mailbox)
}

// TestMailCodeIsBounded: five tries and ten minutes; then a new one, and the older is
// good no more.
func TestMailCodeIsBounded(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		c, _ := h.Client("shop", front())
		b := h.Browser()
		ask := byMail(t, b, c)
		first := ask.Submit("primary", "login", "olena")
		one := servertest.CodeIn(h.Letter(1))
		second := ask.Submit("primary", "login", "olena")
		two := servertest.CodeIn(h.Letter(2))
		if one != two {
			if p := first.Submit("primary", "code", one); p.Status != 422 {
				t.Errorf("the older code: %d", p.Status)
			}
		}
		for range 4 {
			second.Submit("primary", "code", wrong(two))
		}
		if p := second.Submit("primary", "code", two); p.Status != 422 {
			t.Errorf("after five tries: %d", p.Status)
		}
		third := ask.Submit("primary", "login", "olena")
		three := servertest.CodeIn(h.Letter(3))
		h.Clock.Move(11 * time.Minute)
		if p := third.Submit("primary", "code", three); p.Left != nil {
			t.Error("after eleven minutes it is good")
		}
	}, servertest.Mailbox)
}

// TestMailCodeTellsNobody: nothing differs for who does not exist.
func TestMailCodeTellsNobody(t *testing.T) {
	h := servertest.Start(t, servertest.Mailbox)
	h.User("olena", password)
	c, _ := h.Client("shop", front())
	var texts []string
	for _, name := range []string{"olena", "nobody", ""} {
		p := byMail(t, h.Browser(), c).Submit("primary", "login", name)
		wrong := p.Submit("primary", "code", "99999999")
		if p.Status != 200 || wrong.Status != 422 {
			t.Errorf("%q: %d, %d", name, p.Status, wrong.Status)
		}
		id := strings.Split(p.URL.Path, "/")[2]
		texts = append(texts, strings.ReplaceAll(p.Body+wrong.Body, id, "ID"))
	}
	if texts[0] != texts[1] || texts[1] != texts[2] {
		t.Error("the pages differ")
	}
	h.NoLetter(1)
}

// TestMailIsNoSecondFactorOfWhoHasOne: a password may have been recovered by a letter,
// so another letter beside it is nothing more for somebody who has an app.
func TestMailIsNoSecondFactorOfWhoHasOne(t *testing.T) {
	h := servertest.Start(t, servertest.Mailbox)
	u := h.User("olena", password)
	both := model.Session{UserID: u.ID, Factors: []model.Factor{{Method: model.MethodPassword, At: 1}, {Method: model.MethodMail, At: 1}}}
	st, err := h.Accounts.Standing(context.Background(), both, nil)
	if err != nil || st.ACR != account.ACRMulti {
		t.Errorf("who has nothing else: %+v, %v", st, err)
	}
	err = h.Store.Update(t.Context(), func(tx *store.Tx) error {
		if err := tx.InsertTOTP(model.TOTP{ID: "app", UserID: u.ID, Sealed: "x"}); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: servertest.Operator, Action: "totp.add", UserID: u.ID})
	})
	if err != nil {
		t.Fatal(err)
	}
	st, err = h.Accounts.Standing(context.Background(), both, nil)
	if err != nil || st.ACR != account.ACRPassword || !st.Short {
		t.Errorf("who has an app: %+v, %v", st, err)
	}
}

// TestMailIsNotTaken: where the server or the client takes no codes by mail, there is
// no page for them.
func TestMailIsNotTaken(t *testing.T) {
	h := servertest.Start(t, servertest.Mailbox, func(c *server.Config) {
		c.SignInMethods = []model.Method{model.MethodPassword, model.MethodTOTP}
	})
	h.User("olena", password)
	c, _ := h.Client("shop", front())
	b := h.Browser()
	login := b.Get(servertest.AuthorizePath(c))
	for _, href := range login.Attributes("a", "href") {
		if strings.HasSuffix(href, "/mail") {
			t.Errorf("offered: %s", href)
		}
	}
	if p := b.Get(strings.TrimSuffix(login.URL.Path, "/login") + "/mail"); !strings.HasSuffix(p.URL.Path, "/login") {
		t.Errorf("the page is there: %s", p.URL)
	}
}

// TestNewDevice: who signs in at a browser that was not known is written to, and not
// again.
func TestNewDevice(t *testing.T) {
	h := servertest.Start(t, servertest.Mailbox, func(c *server.Config) { c.DeviceMail = true })
	h.User("olena", password)
	c, _ := h.Client("shop", front())
	signedInto(h, c, "olena", password)
	h.NoLetter(0) // a new account has no browser to be surprised by
	h.Clock.Move(2 * time.Hour)
	b := signedInto(h, c, "olena", password)
	if k := h.Letter(1); !strings.Contains(k.Subject, "New sign-in") || k.To != "olena@example.com" {
		t.Errorf("the letter: %+v", k)
	}
	h.Clock.Move(24 * time.Hour)
	b.SignIn(servertest.AuthorizePath(c), "olena", password)
	h.NoLetter(1)
}

// TestNotices: whoever changes how somebody signs in, that person is written to at the
// address that they have confirmed.
func TestNotices(t *testing.T) {
	h := servertest.Start(t, servertest.Mailbox)
	u := h.User("olena", password)
	ctx, me := t.Context(), model.Actor{Kind: model.ActorUser, ID: string(u.ID), Address: "192.0.2.7"}
	n := 0
	told := func(what string, err error) {
		t.Helper()
		if n++; err != nil {
			t.Fatal(err)
		}
		if k := h.Letter(n); k.To != "olena@example.com" || !strings.Contains(k.Text, what) || !strings.Contains(k.Text, "192.0.2.7") || strings.Contains(k.Text, "/link") {
			t.Errorf("letter %d: %+v", n, k)
		}
	}
	secret, err := h.Accounts.OfferTOTP(ctx, "holder", u.ID)
	if err != nil {
		t.Fatal(err)
	}
	code, err := totp.GenerateCode(secret.Reveal(), h.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Accounts.ConfirmTOTP(ctx, me, "holder", account.NewTOTP{User: u.ID, Name: "app", Code: code})
	told("An authenticator app was set up", err)
	_, err = h.Accounts.NewRecoveryCodes(ctx, me, u.ID, "")
	told("has new recovery codes", err)
	told("authenticator app of the account olena at Ostiary was removed", h.Accounts.ResetFactors(ctx, me, u.ID))
	told("The password of the account olena", h.Accounts.SetPassword(ctx, me, u.ID, account.NewPassword{Password: fresher}))
	told("was deleted", h.Accounts.Delete(ctx, me, u.ID))
}
