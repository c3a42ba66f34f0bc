package server_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// TestRefresh: RFC 6749 §6 with rotation (RFC 9700 §4.14.2). Attack rows T4 and T9;
// the rest of T4 is in TestRefreshEnds, TestPasswordChange and TestLockedAccount.
func TestRefresh(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", "correct horse battery")
		c, secret := h.Client("shop", web)
		other, otherSecret := h.Client("other", web)
		b := h.Browser()
		family := func() string {
			at := b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
			return h.Redeem(c, secret, at).String("refresh_token")
		}
		t.Run("a chain of ten", func(t *testing.T) {
			token := family()
			for range 10 {
				a := renew(h, c, secret, token)
				if a.Status != http.StatusOK || a.String("refresh_token") == token || a.String("id_token") == "" {
					t.Fatalf("%d %s", a.Status, a.Text)
				}
				token = a.String("refresh_token")
			}
		})
		t.Run("another client (RFC 6749 §6)", func(t *testing.T) {
			token := family()
			if a := renew(h, other, otherSecret, token); a.String("error") != "invalid_grant" {
				t.Errorf("%d %s", a.Status, a.Text)
			}
			if a := renew(h, c, secret, token); a.Status != http.StatusOK {
				t.Errorf("somebody else's attempt ended the family: %s", a.Text)
			}
		})
		t.Run("no authentication (RFC 6749 §6)", func(t *testing.T) {
			token := family()
			a := h.Call("/token", c, "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
			if a.Status != http.StatusUnauthorized || a.String("error") != "invalid_client" {
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
		t.Run("a narrower scope, and a wider one (RFC 6749 §6)", func(t *testing.T) {
			token := family()
			a := h.Call("/token", c, secret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "scope": {"openid"}})
			if a.Status != http.StatusOK || a.String("scope") != "openid" {
				t.Fatalf("narrower: %d %s", a.Status, a.Text)
			}
			a = h.Call("/token", c, secret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {a.String("refresh_token")}, "scope": {"openid phone"}})
			if a.String("error") != "invalid_scope" {
				t.Errorf("wider: %d %s", a.Status, a.Text)
			}
		})
		t.Run("a wider scope, when the session was last used a while ago", func(t *testing.T) {
			token := family()
			h.Clock.Move(2 * time.Minute)
			for _, wrong := range []url.Values{{"scope": {"openid phone"}}, {"resource": {"https://nowhere.example"}}} {
				wrong.Set("grant_type", "refresh_token")
				wrong.Set("refresh_token", token)
				want := map[bool]string{true: "invalid_scope", false: "invalid_target"}[wrong.Has("scope")]
				if a := h.Call("/token", c, secret, wrong); a.Status != http.StatusBadRequest || a.String("error") != want {
					t.Errorf("%s: %d %s", want, a.Status, a.Text)
				}
			}
			if a := renew(h, c, secret, token); a.Status != http.StatusOK {
				t.Errorf("a refusal used the token up: %s", a.Text)
			}
		})
		t.Run("a forged generation", func(t *testing.T) {
			token := family()
			other := map[bool]string{true: "y", false: "x"}[token[7] == 'x']
			for _, bad := range []string{token[:len(token)-1], token + "A", token[:7] + other + token[8:], "ost_rt_..", "ost_rt_a.1.", "x"} {
				if a := renew(h, c, secret, bad); a.String("error") != "invalid_grant" {
					t.Errorf("%q: %d %s", bad, a.Status, a.Text)
				}
			}
			if a := renew(h, c, secret, token); a.Status != http.StatusOK {
				t.Errorf("the good twin: %s", a.Text)
			}
		})
		t.Run("a locked account", func(t *testing.T) {
			token := family()
			if err := h.Accounts.Lock(context.Background(), servertest.Operator, u.ID); err != nil {
				t.Fatal(err)
			}
			a := renew(h, c, secret, token)
			if a.String("error") != "invalid_grant" || a.String("error_description") != "The account is locked" || a.String("ostiary_cause") != "account_disabled" {
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
	})
}

// TestRefreshRace (attack row T5): racing renewals sign nobody out; a theft ends the
// family.
func TestRefreshRace(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", "correct horse battery")
		c, secret := h.Client("shop", web)
		b := h.Browser()
		family := func() string {
			at := b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
			return h.Redeem(c, secret, at).String("refresh_token")
		}
		t.Run("the same successor within the window", func(t *testing.T) {
			token := family()
			first, again := renew(h, c, secret, token), renew(h, c, secret, token)
			if again.Status != http.StatusOK || again.String("refresh_token") != first.String("refresh_token") {
				t.Fatalf("%s\n%s", first.Text, again.Text)
			}
			if a := renew(h, c, secret, again.String("refresh_token")); a.Status != http.StatusOK {
				t.Errorf("the successor: %s", a.Text)
			}
		})
		t.Run("eight at once", func(t *testing.T) {
			token := family()
			var mu sync.Mutex
			var successors []string
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					a := renew(h, c, secret, token)
					mu.Lock()
					defer mu.Unlock()
					successors = append(successors, a.String("refresh_token"))
				})
			}
			wg.Wait()
			slices.Sort(successors)
			if len(slices.Compact(successors)) != 1 || successors[0] == "" {
				t.Fatalf("%d different successors", len(slices.Compact(successors)))
			}
		})
		t.Run("reuse after the window ends the family", func(t *testing.T) {
			token := family()
			next := renew(h, c, secret, token)
			h.Clock.Move(21 * time.Second)
			if a := renew(h, c, secret, token); a.String("error") != "invalid_grant" {
				t.Fatalf("%d %s", a.Status, a.Text)
			}
			if a := renew(h, c, secret, next.String("refresh_token")); a.String("error") != "invalid_grant" {
				t.Errorf("the thief's or the owner's token lives: %s", a.Text)
			}
			if active(h, c, secret, next.String("access_token")) {
				t.Error("the access token of the ended family is active")
			}
		})
		t.Run("reuse once the successor was used ends the family", func(t *testing.T) {
			token := family()
			second := renew(h, c, secret, token)
			third := renew(h, c, secret, second.String("refresh_token"))
			if a := renew(h, c, secret, token); a.String("error") != "invalid_grant" {
				t.Fatalf("%d %s", a.Status, a.Text)
			}
			if a := renew(h, c, secret, third.String("refresh_token")); a.String("error") != "invalid_grant" {
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
		t.Run("replays are counted", func(t *testing.T) {
			token := family()
			next := renew(h, c, secret, token)
			var last servertest.Answer
			began := time.Now()
			for range 257 {
				last = renew(h, c, secret, token)
				if took := time.Since(began); took > 5*time.Second { // a busy machine shall not outlive the window
					h.Clock.Move(-took)
					began = time.Now()
				}
			}
			if last.Status != http.StatusTooManyRequests || last.String("error") != "temporarily_unavailable" || last.Header.Get("Retry-After") != "1" {
				t.Errorf("the 257th replay: %d %s", last.Status, last.Text)
			}
			if a := renew(h, c, secret, next.String("refresh_token")); a.Status != http.StatusOK {
				t.Errorf("the successor: %d %s", a.Status, a.Text)
			}
		})
	})
}

// TestRefreshEnds: the end of a session is the end of its renewals, unless
// offline_access was granted (OpenID Connect Core §11) and the policy is that such a
// grant survives.
func TestRefreshEnds(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", "correct horse battery")
		c, secret := h.Client("shop", web)
		strict := web
		strict.OfflinePolicy = model.OfflineEnds
		d, strictSecret := h.Client("strict", strict)
		for _, row := range []struct {
			c              model.Client
			secret         model.Secret
			scope, granted string
			survives       bool
		}{
			{c, secret, "openid", "openid", false},
			{c, secret, "openid offline_access", "openid offline_access", true},
			{d, strictSecret, "openid offline_access", "openid", false}, // RFC 6749 §3.3: and the answer says so
		} {
			b, c, secret := h.Browser(), row.c, row.secret
			at := b.SignIn(servertest.AuthorizePath(c, "scope", row.scope), "olena", "correct horse battery")
			a := h.Redeem(c, secret, at)
			if a.String("scope") != row.granted {
				t.Errorf("%s: granted %s", row.scope, a.Text)
			}
			out := b.Get("/logout?id_token_hint=" + a.String("id_token"))
			if out.URL.Path != "/signed-out" {
				t.Fatalf("signing out ended at %s: %s", out.URL, out.Body)
			}
			renewed := renew(h, c, secret, a.String("refresh_token"))
			if (renewed.Status == http.StatusOK) != row.survives {
				t.Errorf("%s: %d %s", row.scope, renewed.Status, renewed.Text)
			}
			for _, token := range []string{a.String("access_token"), renewed.String("access_token"), renewed.String("refresh_token")} {
				if token != "" && active(h, c, secret, token) != row.survives {
					t.Errorf("%s: a token is active: %t", row.scope, !row.survives)
				}
			}
		}
	})
}

// TestIdleSession: a session that nobody uses ends, and its renewals with it;
// renewing counts as use.
func TestIdleSession(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	c, secret := h.Client("shop", web)
	at := h.Browser().SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
	token := h.Redeem(c, secret, at).String("refresh_token")
	for range 4 { // longer than the idle life in all
		h.Clock.Move(time.Hour)
		a := renew(h, c, secret, token)
		if a.Status != http.StatusOK {
			t.Fatalf("a session in use ended: %s", a.Text)
		}
		token = a.String("refresh_token")
	}
	h.Clock.Move(3 * time.Hour)
	if a := renew(h, c, secret, token); a.String("error") != "invalid_grant" {
		t.Errorf("an idle session renews: %d %s", a.Status, a.Text)
	}
}
