package server_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/credential"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// appCode is what an app shows at the server's time.
func appCode(t *testing.T, h *servertest.House, secret string) string {
	t.Helper()
	code, err := totp.GenerateCode(strings.ReplaceAll(secret, " ", ""), h.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// withApp gives a person an app for codes, whose first one is over.
func withApp(t *testing.T, h *servertest.House, id model.UserID) (secret string, codes []model.Secret) {
	t.Helper()
	holder := model.NewID()
	offered, err := h.Accounts.OfferTOTP(t.Context(), holder, id)
	if err != nil {
		t.Fatal(err)
	}
	secret = offered.Reveal()
	codes, err = h.Accounts.ConfirmTOTP(t.Context(), model.Actor{Kind: model.ActorShell}, holder, account.NewTOTP{User: id, Code: appCode(t, h, secret)})
	if err != nil {
		t.Fatal(err)
	}
	h.Clock.Move(time.Minute)
	return secret, codes
}

// TestFlowSecondFactor: P8: no way around: with the password alone every page leads to the second factor.
func TestFlowSecondFactor(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		secret, codes := withApp(t, h, u.ID)
		c, clientSecret := h.Client("shop", web)
		b := h.Browser()
		p := b.Get(servertest.AuthorizePath(c)).Submit("primary", "login", "olena", "password", password)
		if !strings.HasSuffix(p.URL.Path, "/factor") || p.Status != http.StatusOK {
			t.Fatalf("%s %d: %s", p.URL, p.Status, p.Body)
		}
		base := strings.TrimSuffix(p.URL.Path, "/factor")
		for _, page := range []string{"", "/consent", "/enrol", "/factor?method=mail", "/factor?method=nothing"} {
			if at := b.Get(base + page); !strings.HasSuffix(at.URL.Path, "/factor") || at.Left != nil {
				t.Errorf("%s leads to %s", page, at.URL)
			}
		}
		for page, form := range map[string]url.Values{
			"/consent": {"decision": {"allow"}}, "/select": {"account": {string(u.ID)}}, "/enrol": {"code": {appCode(t, h, secret)}},
			"/factor": {"method": {"password"}, "code": {password}}, "/create": {"login": {"olena"}},
		} {
			if at := b.Post(base+page, form); at.Left != nil || strings.HasSuffix(at.URL.Path, "/consent") {
				t.Errorf("%s leads to %s %v", page, at.URL, at.Left)
			}
		}
		// Another browser has no part in it, and nobody is signed in by half.
		if at := h.Browser().Get(base + "/factor"); at.Status != http.StatusBadRequest {
			t.Errorf("another browser: %d", at.Status)
		}
		if list, err := h.Accounts.Sessions(t.Context(), u.ID); err != nil || len(list) != 0 {
			t.Errorf("sessions: %v %v", list, err)
		}
		if at := b.Get(servertest.AuthorizePath(c, "prompt", "none")); at.Left == nil || at.Left.Query().Get("error") != "login_required" {
			t.Errorf("prompt=none: %v", at.Left)
		}
		p = b.Get(base + "/factor")
		p = p.Submit("primary", "code", "000000")
		if p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.Body, `role="alert"`) {
			t.Errorf("wrong code: %d", p.Status)
		}
		code := appCode(t, h, secret)
		p = p.Submit("primary", "code", code).SubmitIf("primary")
		if p.Left == nil {
			t.Fatalf("%s %d %s", p.URL, p.Status, p.Body)
		}
		claims := unverified(t, h.Redeem(c, clientSecret, p.Left).String("id_token"))
		if claims["acr"] != account.ACRMulti {
			t.Errorf("%v", claims)
		}
		// The same code again, elsewhere; then a recovery code, by the link.
		p = h.Browser().Get(servertest.AuthorizePath(c)).Submit("primary", "login", "olena", "password", password).Submit("primary", "code", code)
		if p.Status != http.StatusUnprocessableEntity {
			t.Errorf("the same code: %d", p.Status)
		}
		b = h.Browser()
		p = b.Get(servertest.AuthorizePath(c)).Submit("primary", "login", "olena", "password", password)
		p = b.Get(p.URL.Path+"?method=recovery_code").Submit("primary", "code", codes[0].Reveal()).SubmitIf("primary")
		if p.Left == nil || p.Left.Query().Get("code") == "" {
			t.Errorf("a recovery code: %s %d", p.URL, p.Status)
		}
	})
}

// RFC 9470 §5: a session that is too weak is asked for the missing factor alone, and
// the token tells the acr that was asked for.
func TestFlowStepUp(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		c, clientSecret := h.Client("shop", web)
		b := h.Browser()
		first := unverified(t, h.Redeem(c, clientSecret, b.SignIn(servertest.AuthorizePath(c), "olena", password)).String("id_token"))
		secret, _ := withApp(t, h, u.ID)
		h.Clock.Move(time.Hour)
		p := b.Get(servertest.AuthorizePath(c, "acr_values", "urn:x "+account.ACRMulti))
		if !strings.HasSuffix(p.URL.Path, "/factor") {
			t.Fatalf("%s", p.URL)
		}
		p = p.Submit("primary", "code", appCode(t, h, secret)).SubmitIf("primary")
		stepped := unverified(t, h.Redeem(c, clientSecret, p.Left).String("id_token"))
		if stepped["acr"] != account.ACRMulti || stepped["auth_time"] != first["auth_time"] || stepped["sid"] != first["sid"] {
			t.Errorf("%v after %v", stepped, first)
		}
		// A wish that is not met asks nobody where no page may be shown.
		if left := b.Get(servertest.AuthorizePath(c, "acr_values", account.ACRPhishingResistant, "prompt", "none")).Left; left == nil || left.Query().Get("code") == "" {
			t.Errorf("a wish: %v", left)
		}
		// A weaker one is satisfied, and told as it was asked for.
		weak := unverified(t, h.Redeem(c, clientSecret, b.Get(servertest.AuthorizePath(c, "acr_values", account.ACRPassword)).Left).String("id_token"))
		if weak["acr"] != account.ACRPassword {
			t.Errorf("%v", weak)
		}
		for _, extra := range [][]string{{"prompt", "login"}, {"max_age", "60"}} {
			if p := b.Get(servertest.AuthorizePath(c, extra...)); !strings.HasSuffix(p.URL.Path, "/login") {
				t.Errorf("%v: %s", extra, p.URL)
			}
		}
		// A client that takes passkeys alone has no use for the session.
		keys := web
		keys.SignInMethods, keys.RequiredACR = []string{"passkey"}, account.ACRPhishingResistant
		other, _ := h.Client("vault", keys)
		if p := b.Get(servertest.AuthorizePath(other)); !strings.HasSuffix(p.URL.Path, "/login") {
			t.Errorf("%s", p.URL)
		}
		// Without a browser it is the same: the password is not enough.
		native := web
		native.Challenge, native.FirstParty = true, true
		app, appSecret := h.Client("app", native)
		form := url.Values{
			"response_type": {"code"}, "scope": {"openid"}, "username": {"olena"}, "password": {password},
			"code_challenge": {servertest.Challenge}, "code_challenge_method": {"S256"},
		}
		if a := h.Call("/challenge", app, appSecret, form); a.String("error") != "redirect_to_web" {
			t.Errorf("%d %s", a.Status, a.Text)
		}
	})
}

// Nobody is led round in silence: what does not do is said.
func TestFlowNothingDoes(t *testing.T) {
	h := servertest.Start(t)
	u := h.User("olena", password)
	policy := func(p model.SignInPolicy) {
		if _, err := h.Accounts.Update(t.Context(), model.Actor{Kind: model.ActorShell}, u.ID, account.Change{SignIn: &p}); err != nil {
			t.Fatal(err)
		}
	}
	keys := web
	keys.SignInMethods = []string{"passkey"}
	c, _ := h.Client("vault", keys)
	p := h.Browser().Get(servertest.AuthorizePath(c))
	if p.Status != http.StatusOK || strings.Contains(p.Body, `type="password"`) || !strings.Contains(p.Body, "No password is taken here") {
		t.Errorf("a client that takes passkeys alone: %d %s", p.Status, p.Body)
	}
	policy(model.SignInPolicy{Methods: []model.Method{model.MethodPasskey}})
	p = h.Browser().Get("/account/profile").Submit("primary", "login", "olena", "password", password)
	if p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.Body, "takes other ways only") {
		t.Errorf("a method that this person may not use: %d %s", p.Status, p.Body)
	}
	// Such a policy is refused, and yet there is one when the server's methods have changed.
	dead := model.SignInPolicy{SecondFactor: model.SecondRequired, Methods: []model.Method{model.MethodPassword}}
	if _, err := h.Accounts.Update(t.Context(), servertest.Operator, u.ID, account.Change{SignIn: &dead}); !errors.As(err, new(account.ErrInvalid)) {
		t.Errorf("a policy that nobody could meet: %v", err)
	}
	err := h.Store.Update(t.Context(), func(tx *store.Tx) error {
		u.SignIn = dead
		if err := tx.UpdateUser(u); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: servertest.Operator, Action: "user.update", UserID: u.ID})
	})
	if err != nil {
		t.Fatal(err)
	}
	p = h.Browser().Get("/account/profile").Submit("primary", "login", "olena", "password", password)
	if p.Status != http.StatusBadRequest || !strings.Contains(p.Body, "unmet_authentication_requirements") {
		t.Errorf("a second factor that nobody could give: %d at %s: %s", p.Status, p.URL, p.Body)
	}
	c, _ = h.Client("shop", web)
	p = h.Browser().Get(servertest.AuthorizePath(c)).Submit("primary", "login", "olena", "password", password)
	if p.Left == nil || p.Left.Query().Get("error") != "unmet_authentication_requirements" {
		t.Errorf("%s %d", p.URL, p.Status)
	}
}

// Where everybody has to have a second factor, who has none sets one up on the way.
func TestFlowEnrol(t *testing.T) {
	h := servertest.Start(t, func(c *server.Config) { c.SecondFactor = model.SecondRequired })
	h.User("olena", password)
	c, _ := h.Client("shop", web)
	b := h.Browser()
	p := b.Get(servertest.AuthorizePath(c)).Submit("primary", "login", "olena", "password", password)
	if !strings.HasSuffix(p.URL.Path, "/enrol") {
		t.Fatalf("%s %d", p.URL, p.Status)
	}
	secret := regexp.MustCompile(`class="secret" dir="ltr">([A-Z2-7 ]+)<`).FindStringSubmatch(p.Body)
	if secret == nil || !strings.Contains(p.Body, "<svg class=\"qr\"") {
		t.Fatal(p.Body)
	}
	if again := p.Submit("primary", "code", "000000"); again.Status != http.StatusUnprocessableEntity || !strings.Contains(again.Body, secret[1]) {
		t.Errorf("a wrong code: %d", again.Status)
	}
	if at := b.Post(strings.TrimSuffix(p.URL.Path, "/enrol")+"/enrol", url.Values{"decision": {"later"}}); strings.HasSuffix(at.URL.Path, "/consent") || at.Left != nil {
		t.Errorf("what is demanded was declined: %s", at.URL)
	}
	p = p.Submit("primary", "code", appCode(t, h, secret[1]))
	if codes := regexp.MustCompile(`<code dir="ltr">[0-9a-z]{4}(-[0-9a-z]{4}){3}</code>`).FindAllString(p.Body, -1); len(codes) != 10 {
		t.Fatalf("%d codes: %s", len(codes), p.Body)
	}
	if p = b.Get(strings.TrimSuffix(p.URL.Path, "/enrol")).SubmitIf("primary"); p.Left == nil || p.Left.Query().Get("code") == "" {
		t.Errorf("%s %d", p.URL, p.Status)
	}
}

// The page tells nobody who has an account: not by its status, nor its text, nor the
// work that is done; and after some guesses it says when to try again.
func TestLoginGuesses(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	h.User("keyed", "")
	c, _ := h.Client("shop", web)
	answers := map[string]string{}
	for _, login := range []string{"olena", "keyed", "nobody", "my-secret-password", "\x00\xff"} {
		b := h.Browser()
		p := b.Get(servertest.AuthorizePath(c))
		var said []string
		for i := range 8 {
			p = p.Submit("primary", "login", login, "password", "wrong password")
			said = append(said, p.Header.Get("Retry-After"), http.StatusText(p.Status))
			// The first pause is a second, which a busy machine may let pass; the next
			// ones are longer.
			for again := 0; i == 7 && p.Status != http.StatusTooManyRequests && again < 3; again++ {
				p = p.Submit("primary", "login", login, "password", "wrong password")
			}
			if i == 7 && (p.Status != http.StatusTooManyRequests || p.Header.Get("Retry-After") == "" || !strings.Contains(p.Body, "Too many attempts. Try again in ")) {
				t.Errorf("%q: %d %s", login, p.Status, p.Body)
			}
		}
		answers[login] = strings.Join(said[:12], " ")
	}
	for login, said := range answers {
		if said != answers["olena"] {
			t.Errorf("%q: %s, want %s", login, said, answers["olena"])
		}
	}
	for _, e := range events(t, h, "") {
		if strings.Contains(e.Detail, "secret") || strings.Contains(e.Actor.ID, "secret") {
			t.Errorf("the log tells what was typed: %+v", e)
		}
	}
}

// Two hundred who sign in at once from one network wait for their turn, or are told
// to come back; the memory of a hash is taken for a few of them at a time.
func TestManySignIns(t *testing.T) {
	h := servertest.Start(t, func(c *server.Config) { c.Password, c.Hashes = credential.DefaultParams, 2 })
	h.User("olena", password)
	c, _ := h.Client("shop", web)
	pages := make([]*servertest.Page, 200)
	for i := range pages {
		pages[i] = h.Browser().Get(servertest.AuthorizePath(c))
	}
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	var most atomic.Uint64
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
				runtime.ReadMemStats(&now)
				most.Store(max(most.Load(), now.HeapInuse))
			}
		}
	}()
	var wait sync.WaitGroup
	var busy, late, in atomic.Int64
	for i, p := range pages {
		wait.Go(func() {
			// Each is somebody else, whom no guess before has made wait: so all want a hash.
			p := p.Submit("primary", "login", fmt.Sprintf("somebody-%d", i), "password", password)
			switch p.Status {
			case http.StatusServiceUnavailable, http.StatusTooManyRequests:
				if p.Header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
				if p.Status == http.StatusTooManyRequests {
					late.Add(1)
				} else {
					busy.Add(1)
				}
			case http.StatusUnprocessableEntity:
				in.Add(1)
			default:
				t.Errorf("%d", p.Status)
			}
		})
	}
	wait.Wait()
	close(done)
	// One network has a hundred guesses before it has to wait: those want a hash.
	if wanted := in.Load() + busy.Load(); in.Load() == 0 || wanted < 100 || wanted+late.Load() != 200 {
		t.Errorf("%d were looked at, %d found it busy, %d had to wait", in.Load(), busy.Load(), late.Load())
	}
	// Two hashes take 38 MiB; a hundred would take 1.9 GiB.
	if grown := int64(most.Load()) - int64(before.HeapInuse); grown > 400<<20 {
		t.Errorf("%d MiB more", grown>>20)
	}
}
