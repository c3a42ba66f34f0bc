package server_test

import (
	"context"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// signedIn is a browser in which somebody has just signed in.
func signedInto(h *servertest.House, c model.Client, login, secret string) *servertest.Browser {
	b := h.Browser()
	b.SignIn(servertest.AuthorizePath(c), login, secret)
	return b
}

func userOf(t *testing.T, h *servertest.House, id model.UserID) model.User {
	t.Helper()
	u, err := h.Accounts.User(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestChangeOfAddress: the new address proves itself by a code, the old one gets a
// letter that undoes it, and undoing ends what whoever changed it has.
func TestChangeOfAddress(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		ctx := context.Background()
		u, err := h.Accounts.Create(ctx, servertest.Operator, account.NewUser{
			Login: "olena@example.com", Password: password, Profile: model.Profile{Email: "olena@example.com", EmailVerified: true, Locale: "uk"},
		})
		if err != nil {
			t.Fatal(err)
		}
		c, _ := h.Client("shop", front())
		b := signedInto(h, c, "olena@example.com", password)
		page := b.Get("/account/mail")
		if p := page.Submit("primary", "email", "no address"); p.Status != 422 || !strings.Contains(p.Body, `role="alert"`) {
			t.Errorf("no address: %d", p.Status)
		}
		code := page.Submit("primary", "email", "new@example.com")
		k := h.Letter(1)
		if k.To != "new@example.com" || strings.Contains(k.Text, "olena") {
			t.Fatalf("the letter to the new address: %+v", k)
		}
		if got := userOf(t, h, u.ID); got.Profile.Email != "olena@example.com" {
			t.Errorf("changed before it was proven: %q", got.Profile.Email)
		}
		if p := code.Submit("primary", "code", wrong(servertest.CodeIn(k))); p.Status != 422 {
			t.Errorf("a wrong code: %d", p.Status)
		}
		done := code.Submit("primary", "code", servertest.CodeIn(k))
		if done.URL.Path != "/account/mail" || !strings.Contains(done.Body, `role="status"`) || !strings.Contains(done.Body, "new@example.com") {
			t.Fatalf("after the code: %s %s", done.URL, done.Body)
		}
		if got := userOf(t, h, u.ID); got.Profile.Email != "new@example.com" || !got.Profile.EmailVerified || got.Login != "new@example.com" {
			t.Errorf("after the code: %+v", got)
		}
		var undo string
		for _, k := range h.Letters(3)[1:] {
			switch k.To {
			case "olena@example.com":
				if undo = k.Link; k.Language != "uk" || servertest.CodeIn(k) != "" {
					t.Errorf("the letter to the old address: %+v", k)
				}
			case "new@example.com":
				if !strings.Contains(k.Text, "підтверджено") {
					t.Errorf("the letter to the new address: %+v", k)
				}
			default:
				t.Errorf("a letter to %s", k.To)
			}
		}
		// The owner of the old address undoes it, in whichever browser.
		h.Clock.Move(6 * 24 * time.Hour)
		other := h.Browser()
		look := other.Get(undo)
		if look.Status != 200 || !strings.Contains(look.Body, "olena@example.com") {
			t.Fatalf("the link: %d %s", look.Status, look.Body)
		}
		if got := userOf(t, h, u.ID); got.Profile.Email != "new@example.com" {
			t.Error("looking at the link has undone it")
		}
		if p := look.Submit("primary"); p.Status != 200 || !strings.Contains(p.Body, "olena@example.com") {
			t.Fatalf("undone: %d %s", p.Status, p.Body)
		}
		if got := userOf(t, h, u.ID); got.Profile.Email != "olena@example.com" || !got.Profile.EmailVerified || got.Login != "olena@example.com" {
			t.Errorf("after undoing: %+v", got)
		}
		if sessions, err := h.Accounts.Sessions(ctx, u.ID); err != nil || len(sessions) != 0 {
			t.Errorf("sessions: %v, %v", sessions, err)
		}
		if p := look.Submit("primary"); p.Status != 400 {
			t.Errorf("undone twice: %d", p.Status)
		}
		got := actions(t, h, u.ID)
		for _, want := range []string{"mail.ask", "mail.change", "mail.undo", "mail_code.fail"} {
			if !strings.Contains(got, want) {
				t.Errorf("the audit log lacks %s: %s", want, got)
			}
		}
	}, servertest.Mailbox)
}

// TestUndoIsOver: after a week the change stays.
func TestUndoIsOver(t *testing.T) {
	h := servertest.Start(t, servertest.Mailbox)
	u := h.User("olena", password)
	c, _ := h.Client("shop", front())
	b := signedInto(h, c, "olena", password)
	code := b.Get("/account/mail").Submit("primary", "email", "new@example.com")
	code.Submit("primary", "code", servertest.CodeIn(h.Letter(1)))
	var undo string
	for _, k := range h.Letters(3) {
		if k.To == "olena@example.com" {
			undo = k.Link
		}
	}
	if got := userOf(t, h, u.ID); got.Login != "olena" || got.Profile.Email != "new@example.com" {
		t.Errorf("a login that is no address changed: %+v", got)
	}
	h.Clock.Move(7*24*time.Hour + time.Minute)
	if p := h.Browser().Get(undo); p.Status != 400 {
		t.Errorf("after a week: %d", p.Status)
	}
}

// TestAddressOfAnother: an address that is somebody's is told to nobody else; its
// owner is. One that others have typed without proof stops nobody.
func TestAddressOfAnother(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		bohdan := h.User("bohdan", password)
		squatter := h.User("squatter", password)
		squatter.Profile.Email, squatter.Profile.EmailVerified = "free@example.com", false
		if _, err := h.Accounts.Update(context.Background(), servertest.Operator, squatter.ID, account.Change{Profile: &squatter.Profile}); err != nil {
			t.Fatal(err)
		}
		c, _ := h.Client("shop", front())
		b := signedInto(h, c, "bohdan", password)
		page := b.Get("/account/mail")
		plain := func(p *servertest.Page) string {
			s := regexp.MustCompile(`/account/mail/[A-Za-z0-9_-]+`).ReplaceAllString(p.Body, "/account/mail/ID")
			return regexp.MustCompile(`[a-z]+@example.com`).ReplaceAllString(s, "ADDRESS")
		}
		taken := page.Submit("primary", "email", "olena@example.com")
		k := h.Letter(1)
		for _, digits := range []string{"00000000", ""} {
			if p := taken.Submit("primary", "code", digits); p.Status != 422 {
				t.Errorf("a code for another's address: %d", p.Status)
			}
		}
		if k.To != "olena@example.com" || servertest.CodeIn(k) != "" || !strings.Contains(k.Subject, "You have an account already") {
			t.Fatalf("the letter to the owner: %+v", k)
		}
		open := page.Submit("primary", "email", "free@example.com")
		if !strings.EqualFold(plain(taken), plain(open)) {
			t.Errorf("the pages differ: %s\n%s", plain(taken), plain(open))
		}
		if p := open.Submit("primary", "code", servertest.CodeIn(h.Letter(2))); p.Status != 200 {
			t.Errorf("an address that nobody has proven: %d", p.Status)
		}
		if got := userOf(t, h, bohdan.ID); got.Profile.Email != "free@example.com" || !got.Profile.EmailVerified {
			t.Errorf("bohdan: %+v", got.Profile)
		}
	}, servertest.Mailbox)
}

// TestAddressElsewhere: neither another browser nor another person takes the answer.
func TestAddressElsewhere(t *testing.T) {
	h := servertest.Start(t, servertest.Mailbox)
	u := h.User("olena", password)
	h.User("bohdan", password)
	c, _ := h.Client("shop", front())
	b := signedInto(h, c, "olena", password)
	code := b.Get("/account/mail").Submit("primary", "email", "new@example.com")
	k := h.Letter(1)
	for name, other := range map[string]*servertest.Browser{"another person": signedInto(h, c, "bohdan", password), "the same person": signedInto(h, c, "olena", password)} {
		if p := other.Post(code.URL.String(), url.Values{"code": {servertest.CodeIn(k)}}); p.Status != 400 {
			t.Errorf("%s in another browser: %d", name, p.Status)
		}
		if p := other.Get(k.Link); !strings.Contains(p.Body, "Go back to where you began") {
			t.Errorf("%s: the link in another browser: %s", name, p.Body)
		}
	}
	if p := b.Get(k.Link).Submit("primary"); p.Status != 200 || !strings.Contains(p.Body, "new@example.com") {
		t.Errorf("the link: %d", p.Status)
	}
	if got := userOf(t, h, u.ID); got.Profile.Email != "new@example.com" {
		t.Errorf("after the link: %q", got.Profile.Email)
	}
}

// TestAddressWantsProof: who has not just signed in is asked to, before anything is
// sent.
func TestAddressWantsProof(t *testing.T) {
	h := servertest.Start(t, servertest.Mailbox)
	h.User("olena", password)
	c, _ := h.Client("shop", front())
	b := signedInto(h, c, "olena", password)
	page := b.Get("/account/mail")
	h.Clock.Move(11 * time.Minute)
	if p := page.Submit("primary", "email", "new@example.com"); !strings.HasSuffix(p.URL.Path, "/login") {
		t.Errorf("without a fresh proof: %s", p.URL)
	}
	h.NoLetter(0)
}

// create walks to the page where an account is made.
func create(t *testing.T, h *servertest.House, b *servertest.Browser, c model.Client) *servertest.Page {
	t.Helper()
	login := b.Get(servertest.AuthorizePath(c))
	return b.Get(login.URL.Path[:strings.LastIndex(login.URL.Path, "/")] + "/create")
}

// TestSignUpByMail: the account is there when the letter is answered, with a confirmed
// address; and who never answers leaves nothing.
func TestSignUpByMail(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		ctx := context.Background()
		h.User("admin", password)
		c, _ := h.Client("shop", front())
		for i, way := range []string{"code", "link"} {
			b, address := h.Browser(), way+"@example.com"
			code := create(t, h, b, c).Submit("primary", "login", " "+strings.ToUpper(address), "name", "Visit http://evil.example", "password", password)
			k := h.Letter(i + 1)
			if k.To != address || strings.Contains(k.Text+k.HTML, "evil") {
				t.Fatalf("the letter: %+v", k)
			}
			if _, err := h.Accounts.ByLogin(ctx, address); err == nil {
				t.Error("there is an account before the letter was answered")
			}
			if p := code.Submit("primary", "code", wrong(servertest.CodeIn(k))); p.Status != 422 {
				t.Errorf("a wrong code: %d", p.Status)
			}
			var p *servertest.Page
			if way == "code" {
				p = code.Submit("primary", "code", servertest.CodeIn(k))
			} else {
				p = b.Get(k.Link).Submit("primary")
			}
			if p = p.SubmitIf("primary"); p.Left == nil || p.Left.Query().Get("code") == "" {
				t.Fatalf("%s: signed up, and at %s: %s", way, p.URL, p.Body)
			}
			u, err := h.Accounts.ByLogin(ctx, address)
			if err != nil || u.Profile.Email != address || !u.Profile.EmailVerified {
				t.Errorf("%s: %+v, %v", way, u, err)
			}
		}
		// Somebody who never answers.
		code := create(t, h, h.Browser(), c).Submit("primary", "login", "never@example.com", "name", "", "password", password)
		k := h.Letter(3)
		h.Clock.Move(31 * time.Minute)
		if p := code.Submit("primary", "code", servertest.CodeIn(k)).SubmitIf("primary"); p.Left != nil {
			t.Errorf("after half an hour: %s", p.Left)
		}
		if n, err := h.Store.Sweep(ctx, h.Clock.Now().Unix(), 100); err != nil || n.Rows == 0 {
			t.Errorf("swept %d, %v", n, err)
		}
		if _, err := h.Accounts.ByLogin(ctx, "never@example.com"); err == nil {
			t.Error("somebody who never answered has an account")
		}
	}, servertest.Mailbox, signUpOpen)
}

// TestSignUpTellsNobody: whoever gives an address that has an account, by login or by
// a confirmed address, sees what everybody sees, at the same cost; its owner is told.
func TestSignUpTellsNobody(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password) // with the address olena@example.com
		_, err := h.Accounts.Create(context.Background(), servertest.Operator, account.NewUser{Login: "byname@example.com", Password: password})
		if err != nil {
			t.Fatal(err)
		}
		c, _ := h.Client("shop", front())
		plain := func(p *servertest.Page) string {
			s := regexp.MustCompile(`/interaction/[A-Za-z0-9_-]+`).ReplaceAllString(p.Body, "/interaction/ID")
			return regexp.MustCompile(`[a-z]+@example.com`).ReplaceAllString(s, "ADDRESS")
		}
		var first string
		for i, address := range []string{"new@example.com", "olena@example.com", "byname@example.com"} {
			p := create(t, h, h.Browser(), c).Submit("primary", "login", address, "name", "X", "password", password)
			k := h.Letter(i + 1)
			if first == "" {
				first = plain(p)
			}
			if p.Status != 200 || plain(p) != first {
				t.Errorf("%s is answered in another way: %d\n%s\n%s", address, p.Status, plain(p), first)
			}
			if exists := strings.Contains(k.Subject, "already"); k.To != address || exists != (i > 0) || exists && servertest.CodeIn(k) != "" {
				t.Errorf("%s gets %q", k.To, k.Subject)
			}
			if p := p.Submit("primary", "code", "99999999"); p.Status != 422 || !strings.Contains(p.Body, "not the code") {
				t.Errorf("%s: a wrong code: %d", address, p.Status)
			}
		}
	}, servertest.Mailbox, signUpOpen)
}

// TestSignUpRaces: of two who apply with one address, who answers first has it.
func TestSignUpRaces(t *testing.T) {
	h := servertest.Start(t, servertest.Mailbox, signUpOpen)
	h.User("admin", password)
	c, _ := h.Client("shop", front())
	one := create(t, h, h.Browser(), c).Submit("primary", "login", "same@example.com", "name", "One", "password", password)
	two := create(t, h, h.Browser(), c).Submit("primary", "login", "same@example.com", "name", "Two", "password", fresher)
	k := h.Letters(2)
	if p := two.Submit("primary", "code", servertest.CodeIn(k[0])); p.Status != 422 {
		t.Errorf("the code of another's application: %d", p.Status)
	}
	two.Submit("primary", "code", servertest.CodeIn(k[1]))
	if p := one.Submit("primary", "code", servertest.CodeIn(k[0])); p.Status != 409 {
		t.Errorf("the second one: %d %s", p.Status, p.Body)
	}
	if u, err := h.Accounts.ByLogin(context.Background(), "same@example.com"); err != nil || u.Profile.Name != "Two" {
		t.Errorf("%+v, %v", u, err)
	}
}
