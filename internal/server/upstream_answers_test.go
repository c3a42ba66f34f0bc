package server_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// twoHouses are a house whose people sign in at another one, and a client.
type twoHouses struct {
	h      *servertest.House
	u      there
	c      model.Client
	secret model.Secret
	ours   model.User
}

// connectedHouses are two houses at which olena has an account each, connected by her address;
// mallory has one over there only.
func connectedHouses(t *testing.T, h *servertest.House, settings ...upstreamSetting) twoHouses {
	t.Helper()
	two := twoHouses{h: h, ours: h.User("olena", "our own long words")}
	two.u = secondHouse(t, h, "second", append([]upstreamSetting{linksByMail}, settings...)...)
	two.u.User("olena", "four words that rhyme")
	two.u.User("mallory", "four words that rhyme")
	two.c, two.secret = h.Client("shop", web)
	return two
}

// stopsAt makes a browser stop where a redirect leads to an address that begins like
// this, and returns how it goes on again.
func stopsAt(b *servertest.Browser, prefix string) (goOn func()) {
	was := b.HTTP().CheckRedirect
	b.HTTP().CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if strings.HasPrefix(next.URL.String(), prefix) {
			return http.ErrUseLastResponse
		}
		return was(next, via)
	}
	return func() { b.HTTP().CheckRedirect = was }
}

// answered signs somebody in over there, and returns the address at which their browser
// would bring the answer, and that of the request that waits for it.
func (two twoHouses) answered(t *testing.T, b *servertest.Browser, login string) (answer, request string) {
	t.Helper()
	defer stopsAt(b, two.h.Issuer+"/upstream/")()
	page := b.Get(servertest.AuthorizePath(two.c))
	request = strings.TrimSuffix(page.URL.Path, "/login")
	page = choose(page, b, "second")
	if strings.HasSuffix(page.URL.Path, "/login") {
		page = signInThere(t, page, login)
	}
	answer = page.Header.Get("Location")
	if !strings.HasPrefix(answer, two.h.Issuer+"/upstream/second/callback?") {
		t.Fatalf("the other house answers %d %q: %s", page.Status, answer, page.Body)
	}
	return answer, request
}

// changed changes parameters of an address (name, value, …).
func changed(t *testing.T, address string, pairs ...string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// parameter is one of an address.
func parameter(t *testing.T, address, name string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get(name)
}

// nobody checks that a browser has no session.
func (two twoHouses) nobody(t *testing.T, b *servertest.Browser, why string) {
	t.Helper()
	p := b.Get(servertest.AuthorizePath(two.c, "prompt", "none"))
	if p.Left == nil || p.Left.Query().Get("error") != "login_required" {
		t.Errorf("%s: somebody is signed in: %v", why, p.Left)
	}
}

// TestAnswerCountsOnce: an answer counts in the browser that went for it, once, in
// time, for the request that wanted it, from the provider that was asked.
func TestAnswerCountsOnce(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		two := connectedHouses(t, h)
		stale := "used already, came too late, or belongs to a sign-in in another browser"

		// Login CSRF (RFC 6749 §10.12): the answer of mallory's sign-in in a browser that
		// she has sent there.
		mallory, victim := traveller(h, two.u), traveller(h, two.u)
		answer, _ := two.answered(t, mallory, "mallory")
		page := victim.Get(answer)
		if page.Status != http.StatusBadRequest {
			t.Errorf("in another browser: %d %s", page.Status, page.URL)
		}
		says(t, page, stale)
		if strings.Contains(page.Body, parameter(t, answer, "code")) {
			t.Error("the page repeats the code")
		}
		two.nobody(t, victim, "login CSRF")

		// The other way about, a stolen one: and the right browser loses nothing by it.
		answer, _ = two.answered(t, victim, "olena")
		says(t, mallory.Get(answer), stale)
		two.nobody(t, mallory, "a stolen answer")
		for why, other := range map[string]string{
			"another state":      changed(t, answer, "state", model.NewSecret("").Reveal()),
			"no state":           strings.Replace(answer, "&state=", "&status=", 1),
			"another provider":   strings.Replace(answer, "/second/", "/third/", 1),
			"a state without it": h.Issuer + "/upstream/second/callback?code=1",
		} {
			if p := victim.Get(other); p.Status != http.StatusBadRequest {
				t.Errorf("%s: %d %s", why, p.Status, p.URL)
			}
		}
		if who := identity(t, h, two.c, two.secret, leftWith(t, victim.Get(answer))); who.Subject != string(two.ours.ID) {
			t.Errorf("signed in is %s", who.Subject)
		}
		says(t, victim.Get(answer), stale) // replayed

		late := traveller(h, two.u)
		answer, _ = two.answered(t, late, "olena")
		h.Clock.Move(federation.VisitTime + time.Second)
		says(t, late.Get(answer), stale)
		h.Clock.Move(-federation.VisitTime - time.Second)
	})
}

// TestSentByAnother: whoever follows an address of a provider that somebody else has
// begun with is not signed in by it (session fixation), nor gets their request.
func TestSentByAnother(t *testing.T) {
	h := servertest.Start(t)
	two := connectedHouses(t, h)
	mallory, victim := traveller(h, two.u), traveller(h, two.u)
	goOn := stopsAt(mallory, two.u.Issuer)
	begun := mallory.Get(servertest.AuthorizePath(two.c))
	request := strings.TrimSuffix(begun.URL.Path, "/login")
	address := choose(begun, mallory, "second").Header.Get("Location")
	goOn()
	page := signInThere(t, victim.Get(address), "olena")
	if page.Status != http.StatusBadRequest || page.Left != nil {
		t.Errorf("the victim is at %s: %d", page.URL, page.Status)
	}
	two.nobody(t, victim, "fixation")
	// What mallory waits for has not come to pass, and her request is not the victim's.
	if p := mallory.Get(request); !strings.HasSuffix(p.URL.Path, "/login") {
		t.Errorf("mallory is at %s", p.URL)
	}
	if p := victim.Get(request); p.Status != http.StatusBadRequest {
		t.Errorf("the victim sees mallory's request: %d", p.Status)
	}
	// And a visit that was begun by another site is none.
	req, err := http.NewRequest(http.MethodPost, h.Issuer+request+"/upstream/second", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	req.Header.Set("Origin", "https://evil.example")
	if p := mallory.Do(req); p.Status != http.StatusForbidden {
		t.Errorf("posted from another site: %d", p.Status)
	}
}

// TestTabsElsewhere: each tab finishes its own sign-in, in any order; an answer does
// not fit another's.
func TestTabsElsewhere(t *testing.T) {
	h := servertest.Start(t)
	two := connectedHouses(t, h)
	b := traveller(h, two.u)
	first, _ := two.answered(t, b, "olena")
	second, _ := two.answered(t, b, "olena")
	third, _ := two.answered(t, b, "olena")

	// The code of one with the state of another (RFC 9700 §4.5): the other house compares
	// the PKCE challenge, and we the nonce.
	injected := b.Get(changed(t, third, "code", parameter(t, first, "code")))
	if injected.Left != nil || !strings.HasSuffix(injected.URL.Path, "/login") {
		t.Errorf("an injected code leads to %s: %d %v", injected.URL, injected.Status, injected.Left)
	}
	two.nobody(t, b, "an injected code")

	leftWith(t, b.Get(second))
	fourth, _ := two.answered(t, traveller(h, two.u), "olena")
	says(t, b.Get(fourth), "belongs to a sign-in in another browser")
}

// TestMixUp: what another provider answers does not count as the answer of the one that
// was asked (RFC 9700 §4.4, RFC 9207 §2.4), and is not sent to the wrong one. Attack row
// O27.
func TestMixUp(t *testing.T) {
	h := servertest.Start(t)
	two := connectedHouses(t, h)
	evil := secondHouse(t, h, "evil", linksByMail)
	evil.User("olena", "four words that rhyme")
	b := traveller(h, two.u, evil)
	answer, request := two.answered(t, b, "olena")
	page := b.Get(strings.Replace(answer, "/second/", "/evil/", 1))
	says(t, page, "belongs to a sign-in in another browser")
	page = b.Get(changed(t, answer, "iss", evil.Issuer))
	says(t, page, "could not be trusted")
	if page.URL.Path != request+"/login" {
		t.Errorf("they are at %s", page.URL)
	}
	two.nobody(t, b, "another issuer")
	if strings.Contains(evil.Log.String(), `"path":"/token"`) {
		t.Error("the code was sent to the other provider")
	}
	missing, _ := two.answered(t, b, "olena")
	page = b.Get(strings.Replace(missing, "&iss=", "&was=", 1)) // the house says that it sends it
	says(t, page, "could not be trusted")
	good, _ := two.answered(t, b, "olena")
	leftWith(t, b.Get(good))
}

// TestAnswerByForm: an answer that another site posts comes without our cookies. It is
// kept, and counts when the browser comes back by itself: the same rules hold.
func TestAnswerByForm(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		two := connectedHouses(t, h, func(_ *model.UpstreamSettings, connection map[string]any) { connection["response_mode"] = "form_post" })
		post := func(form url.Values) *http.Response {
			req, err := http.NewRequest(http.MethodPost, h.Issuer+"/upstream/second/callback", strings.NewReader(form.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Sec-Fetch-Site", "cross-site")
			req.Header.Set("Origin", two.u.Issuer)
			client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			return res
		}
		b := traveller(h, two.u)
		page := signInThere(t, choose(b.Get(servertest.AuthorizePath(two.c)), b, "second"), "olena")
		form := page.Form()
		if form.Action != h.Issuer+"/upstream/second/callback" || form.Values.Get("code") == "" {
			t.Fatalf("the form goes to %s with %v", form.Action, form.Values)
		}
		res := post(form.Values)
		to := res.Header.Get("Location")
		if res.StatusCode != http.StatusSeeOther || to != "/upstream/second/callback?state="+form.Values.Get("state") {
			t.Fatalf("the post is answered with %d %s", res.StatusCode, to)
		}
		if again := post(form.Values); again.StatusCode != http.StatusBadRequest {
			t.Errorf("posted twice: %d", again.StatusCode)
		}
		thief := traveller(h, two.u)
		says(t, thief.Get(to), "belongs to a sign-in in another browser")
		leftWith(t, b.Get(to))
		says(t, b.Get(to), "used already")
		for why, form := range map[string]url.Values{
			"nothing":         {},
			"another state":   {"state": {model.NewSecret("").Reveal()}, "code": {"1"}},
			"an endless code": {"state": {form.Values.Get("state")}, "code": {strings.Repeat("x", 300<<10)}},
		} {
			if res := post(form); res.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %d", why, res.StatusCode)
			}
		}
		if res := post(url.Values{"state": {"x"}, "code": {strings.Repeat("x", 400<<10)}}); res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("more than a request may have: %d", res.StatusCode)
		}
	})
}

// TestUnverifiedMail: an address that the provider has not made sure of connects
// nobody, also where addresses connect (attack row P10; the good twin is in
// TestAnswerCountsOnce).
func TestUnverifiedMail(t *testing.T) {
	h := servertest.Start(t)
	two := connectedHouses(t, h)
	ctx := context.Background()
	_, err := two.u.Accounts.Create(ctx, servertest.Operator, account.NewUser{
		Login: "pretender", Password: "four words that rhyme", Profile: model.Profile{Name: "Olena", Email: "boss@example.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	boss := h.User("boss", "our own long words")
	b := traveller(h, two.u)
	answer, _ := two.answered(t, b, "pretender")
	says(t, b.Get(answer), "No account here is connected with your Second House account")
	two.nobody(t, b, "an unverified address")
	if list, err := h.Federation.Identities(ctx, boss.ID); err != nil || len(list) != 0 {
		t.Errorf("connected is %v (%v)", list, err)
	}
}

// TestProviderGone: who comes back from a provider that was switched off meanwhile is
// not signed in; nor is one who has left a session behind.
func TestProviderGone(t *testing.T) {
	h := servertest.Start(t)
	two := connectedHouses(t, h)
	b := traveller(h, two.u)
	answer, _ := two.answered(t, b, "olena")
	before, err := h.Federation.Upstream(context.Background(), "second")
	if err != nil {
		t.Fatal(err)
	}
	off := before
	off.Disabled = true
	if _, err := h.Federation.Change(context.Background(), servertest.Operator, federation.Change{ID: "second", Before: &before, After: &off}); err != nil {
		t.Fatal(err)
	}
	says(t, b.Get(answer), "You cannot sign in with that provider here")
	two.nobody(t, b, "a provider that is switched off")
	page := b.Get(servertest.AuthorizePath(two.c))
	if strings.Contains(page.Body, "Second House") {
		t.Error("there is a button still")
	}
	says(t, choose(page, b, "second"), "You cannot sign in with that provider here")
}
