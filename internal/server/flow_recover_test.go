package server_test

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

const fresher = "quite another password"

// wrong is a code that is not the given one.
func wrong(code string) string {
	if code == "00000000" {
		return "00000001"
	}
	return "00000000"
}

// actions lists what the audit log says of a person, or of nobody.
func actions(t *testing.T, h *servertest.House, user model.UserID) string {
	t.Helper()
	var list []string
	err := h.Store.View(context.Background(), func(tx *store.Tx) error {
		all, err := tx.Events(0, 1000)
		list = nil
		for _, e := range all {
			if e.UserID == user {
				list = append(list, e.Action)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, " ")
}

// TestRecovery: P7: somebody who has forgotten their password chooses a new one by a
// letter, in the browser that asked; everything of theirs ends, and nothing begins.
func TestRecovery(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		c, _ := h.Client("shop", front())
		elsewhere := h.Browser()
		elsewhere.SignIn(servertest.AuthorizePath(c), "olena", password)

		b := h.Browser()
		login := b.Get(servertest.AuthorizePath(c))
		ask := b.Get(hrefOf(t, login, "/recover"))
		code := ask.Submit("primary", "login", " Olena@Example.com ")
		k := h.Letter(1)
		if k.To != "olena@example.com" || servertest.CodeIn(k) == "" || !strings.HasPrefix(k.Link, h.Issuer+"/link?token=ost_li_") || !strings.Contains(k.Text, "olena") {
			t.Fatalf("the letter: %+v", k)
		}
		if p := code.Submit("primary", "code", wrong(servertest.CodeIn(k))); p.Status != 422 || !strings.Contains(p.Body, "not the code") {
			t.Fatalf("a wrong code: %d", p.Status)
		}
		digits := servertest.CodeIn(k)
		form := code.Submit("primary", "code", digits[:4]+" "+digits[4:])
		if !strings.HasSuffix(form.URL.Path, "/password") || !strings.Contains(form.Body, "olena") {
			t.Fatalf("after the code: %s %d", form.URL, form.Status)
		}
		// Replayed: neither code nor link is good again.
		if p := b.Post(code.URL.String(), url.Values{"code": {digits}}); p.Status != 422 {
			t.Errorf("a used code: %d", p.Status)
		}
		if p := b.Get(k.Link); p.Status != 400 {
			t.Errorf("the link of a used code: %d", p.Status)
		}
		if p := form.Submit("primary", "password", "short"); p.Status != 422 {
			t.Errorf("a short password: %d", p.Status)
		}
		done := form.Submit("primary", "password", fresher)
		if done.Status != 200 || !strings.Contains(done.Body, "Your new password is saved") {
			t.Fatalf("the new password: %d %s", done.Status, done.Body)
		}
		if changed := h.Letter(2); !strings.Contains(changed.Text, "password of the account olena") || servertest.CodeIn(changed) != "" {
			t.Errorf("nobody was told: %+v", changed)
		}
		if p := form.Submit("primary", "password", "one more password"); p.Status != 400 {
			t.Errorf("the form once more: %d", p.Status)
		}
		if p := elsewhere.Get("/account/mail"); !strings.Contains(p.URL.Path, "/login") {
			t.Errorf("the other session lives: %s", p.URL)
		}
		if sessions, err := h.Accounts.Sessions(context.Background(), u.ID); err != nil || len(sessions) != 0 {
			t.Errorf("sessions: %v, %v", sessions, err)
		}
		// Back at the sign-in, with the new password.
		p := b.Get(hrefOf(t, done, "/interaction/"))
		if p = p.Submit("primary", "login", "olena", "password", password); p.Status != 422 {
			t.Errorf("the old password: %d", p.Status)
		}
		if p = p.Submit("primary", "login", "olena", "password", fresher).SubmitIf("primary"); p.Left == nil || p.Left.Query().Get("code") == "" {
			t.Errorf("the new password leads to %s: %s", p.URL, p.Body)
		}
		got := actions(t, h, u.ID)
		for _, want := range []string{"recovery.ask", "mail_code.fail", "recovery.prove", "password.set"} {
			if !strings.Contains(got, want) {
				t.Errorf("the audit log lacks %s: %s", want, got)
			}
		}
		if strings.Contains(h.Log.String(), digits) || strings.Contains(h.Log.String(), "ost_li_") {
			t.Error("the log has the code or the link")
		}
	}, servertest.Mailbox)
}

func parsed(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// hrefOf is the address of the first link of a page that begins like that.
func hrefOf(t *testing.T, p *servertest.Page, prefix string) string {
	t.Helper()
	for _, href := range p.Attributes("a", "href") {
		if strings.HasPrefix(href, prefix) {
			return href
		}
	}
	t.Fatalf("%s has no link to %s: %s", p.URL, prefix, p.Body)
	return ""
}

// TestRecoveryElsewhere: nobody completes somebody else's recovery, neither with the
// link nor with the code, and programs that look at links change nothing.
func TestRecoveryElsewhere(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		b, other := h.Browser(), h.Browser()
		code := b.Get("/recover").Submit("primary", "login", "olena")
		k := h.Letter(1)
		for range 3 { // scanners
			if p := other.Get(k.Link); p.Status != 200 || !strings.Contains(p.Body, "Go back to where you began") || strings.Contains(p.Body, "olena") || len(p.Attributes("input", "name")) > 1 {
				t.Fatalf("the link in another browser: %d %s", p.Status, p.Body)
			}
		}
		token := parsed(t, k.Link).Query().Get("token")
		if p := other.Post("/link", url.Values{"token": {token}}); p.Status != 400 {
			t.Errorf("the link posted in another browser: %d", p.Status)
		}
		if p := other.Post(code.URL.String(), url.Values{"code": {servertest.CodeIn(k)}}); p.Status != 422 {
			t.Errorf("the code in another browser: %d", p.Status)
		}
		// One that has a secret of its own is no better.
		other.Get("/recover").Submit("primary", "login", "nobody at all")
		if p := other.Post(code.URL.String(), url.Values{"code": {servertest.CodeIn(k)}}); p.Status != 422 {
			t.Errorf("the code in another browser that asked as well: %d", p.Status)
		}
		// Where it was asked for, the link is good, once.
		page := b.Get(k.Link)
		form := page.Submit("primary")
		if !strings.HasSuffix(form.URL.Path, "/password") {
			t.Fatalf("the link leads to %s", form.URL)
		}
		if p := page.Submit("primary"); p.Status != 400 {
			t.Errorf("the link once more: %d", p.Status)
		}
		if p := other.Get(form.URL.String()); p.Status != 400 {
			t.Errorf("the form of the password in another browser: %d", p.Status)
		}
		if p := other.Post(form.URL.String(), url.Values{"password": {fresher}}); p.Status != 400 {
			t.Errorf("the password from another browser: %d", p.Status)
		}
		if p := form.Submit("primary", "password", fresher); p.Status != 200 {
			t.Errorf("the password: %d", p.Status)
		}
	}, servertest.Mailbox)
}

// TestRecoveryIsGuessed: P7: five wrong codes, and none is good.
func TestRecoveryIsGuessed(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		for _, known := range []bool{true, false} {
			b := h.Browser()
			code := b.Get("/recover").Submit("primary", "login", map[bool]string{true: "olena", false: "nobody"}[known])
			right := "12345678"
			if known {
				right = servertest.CodeIn(h.Letter(1))
			}
			for i := range 7 {
				p := code.Submit("primary", "code", wrong(right))
				if want := map[bool]string{true: "not the code", false: "tried too often"}[i < 5]; p.Status != 422 || !strings.Contains(p.Body, want) {
					t.Errorf("known %v, try %d: %d", known, i, p.Status)
				}
			}
			if p := code.Submit("primary", "code", right); p.Status != 422 {
				t.Errorf("known %v: the right code after too many wrong ones: %d", known, p.Status)
			}
		}
		// Time is over as well.
		b := h.Browser()
		code := b.Get("/recover").Submit("primary", "login", "olena")
		k := h.Letter(2)
		h.Clock.Move(31 * time.Minute)
		if p := code.Submit("primary", "code", servertest.CodeIn(k)); p.Status != 422 {
			t.Errorf("after half an hour: %d", p.Status)
		}
		if p := b.Get(k.Link); p.Status != 400 {
			t.Errorf("the link after half an hour: %d", p.Status)
		}
	}, servertest.Mailbox)
}

// TestRecoveryTellsNobody: who asks learns nothing, by text, status or cookie, of
// whether there is an account; and nobody is written to who has not confirmed their
// address, is locked, or does not exist.
func TestRecoveryTellsNobody(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		ctx := context.Background()
		h.User("olena", password)
		locked := h.User("locked", password)
		unproven := h.User("unproven", password)
		unproven.Profile.EmailVerified = false
		if _, err := h.Accounts.Update(ctx, servertest.Operator, unproven.ID, account.Change{Profile: &unproven.Profile}); err != nil {
			t.Fatal(err)
		}
		if err := h.Accounts.Lock(ctx, servertest.Operator, locked.ID); err != nil {
			t.Fatal(err)
		}
		plain := func(p *servertest.Page) string {
			id := regexp.MustCompile(`/recover/[A-Za-z0-9_-]+`)
			return id.ReplaceAllString(p.Body, "/recover/ID")
		}
		var first *servertest.Page
		for _, name := range []string{"olena", "olena@example.com", "locked", "unproven", "nobody", "nobody@example.com", "", "a\x00b", strings.Repeat("x", 5000), "<script>", "@@"} {
			b := h.Browser()
			p := b.Get("/recover").Submit("primary", "login", name)
			if first == nil {
				first = p
			}
			if p.Status != first.Status || plain(p) != plain(first) || len(p.Header) != len(first.Header) {
				t.Errorf("%.20q is answered in another way: %d %s", name, p.Status, p.Body)
			}
			if p := p.Submit("primary", "code", "99999999"); p.Status != 422 || !strings.Contains(p.Body, "not the code") {
				t.Errorf("%.20q: a wrong code is answered in another way: %d", name, p.Status)
			}
		}
		h.NoLetter(2)
	}, servertest.Mailbox)
}

// TestLettersAreBounded: nobody is flooded with letters, and whoever is written to is
// not told to whoever asks; a network is.
func TestLettersAreBounded(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		b := h.Browser()
		for i := range 31 {
			name := "olena"
			if i >= 10 {
				name = "nobody"
			}
			p := b.Get("/recover").Submit("primary", "login", name)
			want := http.StatusOK
			if i == 30 {
				want = http.StatusTooManyRequests
			}
			if p.Status != want {
				t.Errorf("letter %d: %d, want %d", i, p.Status, want)
			}
		}
		h.NoLetter(6)
		if got := actions(t, h, ""); strings.Count(got, "mail.throttle") != 2+1 { // olena, nobody, the network
			t.Errorf("events: %s", got)
		}
		h.Clock.Move(time.Hour + time.Minute)
		if p := b.Get("/recover").Submit("primary", "login", "olena"); p.Status != 200 {
			t.Errorf("an hour later: %d", p.Status)
		}
		h.Letter(7)
	}, servertest.Mailbox)
}

// TestLinksAreOfTheIssuer: whatever Host somebody sends, the letter leads to us.
func TestLinksAreOfTheIssuer(t *testing.T) {
	h := servertest.Start(t, servertest.Mailbox)
	h.User("olena", password)
	for i, host := range []string{"evil.example", "localhost:1", "evil.example@localhost"} {
		req := must(http.NewRequest(http.MethodPost, h.Issuer+"/recover", strings.NewReader("login=olena")))
		req.Host = host
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Forwarded-Host", "evil.example")
		req.Header.Set("Forwarded", "host=evil.example")
		req.Header.Set("Origin", h.Issuer)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		h.Browser().Do(req)
		k := h.Letter(i + 1)
		if !strings.HasPrefix(k.Link, h.Issuer+"/link?") || strings.Contains(k.Text+k.HTML, "evil") {
			t.Errorf("%s: the letter leads to %s", host, k.Link)
		}
	}
}

// TestWithoutMail: what needs letters is not there, and all else is.
func TestWithoutMail(t *testing.T) {
	h := servertest.Start(t, func(c *server.Config) { c.SignUp = true })
	h.User("olena", password)
	c, _ := h.Client("shop", front())
	b := h.Browser()
	login := b.Get(servertest.AuthorizePath(c))
	for _, href := range login.Attributes("a", "href") {
		if strings.Contains(href, "/recover") || strings.HasSuffix(href, "/mail") {
			t.Errorf("the sign-in page offers %s", href)
		}
	}
	for _, path := range []string{"/recover", "/mailbox", "/mailbox/x", "/mailbox/x/html"} {
		if p := b.Get(path); p.Status != 404 {
			t.Errorf("%s: %d", path, p.Status)
		}
	}
	if p := b.Post("/recover", url.Values{"login": {"olena"}}); p.Status != 404 {
		t.Errorf("POST /recover: %d", p.Status)
	}
	if p := b.Get(login.URL.Path[:strings.LastIndex(login.URL.Path, "/")] + "/mail"); !strings.HasSuffix(p.URL.Path, "/login") {
		t.Errorf("a code by mail is offered at %s", p.URL)
	}
	b.SignIn(servertest.AuthorizePath(c), "olena", password)
	if p := b.Get("/account/mail"); p.Status != 200 || !strings.Contains(p.Body, "sends no letters") {
		t.Errorf("the address page: %d", p.Status)
	}
}
