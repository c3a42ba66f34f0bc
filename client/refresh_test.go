package client_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/client"
)

// Fifty requests that carry the same old cookie cause one renewal, and all get
// its outcome: the fake ends the family at the first reuse.
func TestRefreshRace(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f)
	old := mustSignIn(t, c)
	f.set(func() { f.pause = 20 * time.Millisecond })
	f.clock.advance(10 * time.Minute)

	const n = 50
	got := make([]client.Tokens, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var err error
			if got[i], err = c.Refresh(t.Context(), old); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if asked := f.count("refresh_token"); asked != 1 {
		t.Errorf("%d renewals, want 1", asked)
	}
	for _, tokens := range got {
		if tokens.Access != got[0].Access || tokens.Refresh == old.Refresh || tokens.ID == "" {
			t.Fatal("requests got different sets")
		}
	}
	// A late one, still with the old cookie.
	f.clock.advance(time.Minute)
	late, err := c.Refresh(t.Context(), old)
	if err != nil || late.Access != got[0].Access || f.count("refresh_token") != 1 {
		t.Errorf("late request: %v", err)
	}
	// The next generation is another renewal, which also the oldest cookie sees.
	f.clock.advance(4 * time.Minute)
	next, err := c.Refresh(t.Context(), late)
	if err != nil || next.Access == late.Access {
		t.Fatalf("next generation: %v", err)
	}
	if again, err := c.Refresh(t.Context(), late); err != nil || again.Access != next.Access {
		t.Errorf("after the next generation: %v", err)
	}
}

// A request with a grandparent's token gets the youngest set.
func TestRefreshChain(t *testing.T) {
	f := newFake(t)
	f.answer = func(a map[string]any) { a["expires_in"] = 40 }
	c := newClient(t, f)
	first := mustSignIn(t, c)
	second, err := c.Refresh(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	f.clock.advance(35 * time.Second)
	third, err := c.Refresh(t.Context(), first)
	if err != nil || third.Access == second.Access {
		t.Fatalf("the second set was dying and was handed out: %v", err)
	}
	if got, err := c.Refresh(t.Context(), first); err != nil || got.Access != third.Access {
		t.Errorf("error is %v", err)
	}
	if n := f.count("refresh_token"); n != 2 {
		t.Errorf("%d renewals, want 2", n)
	}
}

func TestRefreshFails(t *testing.T) {
	t.Run("RFC 6749 §5.2: invalid_grant", func(t *testing.T) {
		f := newFake(t)
		c := newClient(t, f)
		tokens := mustSignIn(t, c)
		f.set(func() { f.families[tokens.Refresh].ended = true })
		_, err := c.Refresh(t.Context(), tokens)
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Code != "invalid_grant" || errors.Is(err, client.ErrUnavailable) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("a server that is down is asked rarely, and then again", func(t *testing.T) {
		f := newFake(t)
		c := newClient(t, f)
		tokens := mustSignIn(t, c)
		f.set(func() { f.down = true })
		for range 5 {
			if _, err := c.Refresh(t.Context(), tokens); !errors.Is(err, client.ErrUnavailable) {
				t.Errorf("error is %v", err)
			}
		}
		if n := f.count("/token"); n != 2 { // one of them for the code
			t.Errorf("asked %d times, want 2", n)
		}
		f.set(func() { f.down = false })
		f.clock.advance(4 * time.Second)
		if _, err := c.Refresh(t.Context(), tokens); err != nil {
			t.Error(err)
		}
	})
	t.Run("no refresh token", func(t *testing.T) {
		f := newFake(t)
		c := newClient(t, f)
		if _, err := c.Refresh(t.Context(), client.Tokens{Access: "x"}); !errors.Is(err, client.ErrExpired) {
			t.Errorf("error is %v", err)
		}
	})
}

// OpenID Connect Core §12.2: the ID token of a renewal is about the same sign-in.
func TestRefreshIdentity(t *testing.T) {
	for _, row := range []struct {
		name string
		lie  func(f *fake)
		good bool
	}{
		{"good", func(*fake) {}, true},
		{"no nonce", claim("nonce", nil), true},
		{"another nonce", claim("nonce", "x"), false},
		{"another sub", claim("sub", "other"), false},
		{"another iss", claim("iss", "https://evil.example"), false},
		{"another aud", claim("aud", "other"), false},
		{"aud has grown", func(f *fake) {
			f.claims = func(c map[string]any) { c["aud"], c["azp"] = []string{fakeID, "trusted"}, fakeID }
		}, false},
		{"another azp", claim("azp", fakeID), false},
		{"another auth_time", func(f *fake) { claim("auth_time", f.clock.Now().Unix()+1)(f) }, false},
		{"no auth_time", claim("auth_time", nil), true},
		{"no ID token", func(f *fake) { f.answer = func(a map[string]any) { delete(a, "id_token") } }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFake(t)
			c := newClient(t, f, func(c *client.Config) { c.TrustedAudiences = []string{"trusted"} })
			tokens := mustSignIn(t, c)
			f.set(func() { row.lie(f) })
			next, err := c.Refresh(t.Context(), tokens)
			if row.good != (err == nil) || !row.good && !errors.Is(err, client.ErrIdentity) {
				t.Fatalf("error is %v", err)
			}
			if row.good && next.ID == "" {
				t.Error("the ID token was lost")
			}
		})
	}
}

// RFC 6749 §6: a server need not rotate.
func TestRefreshNotRotated(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f)
	tokens := mustSignIn(t, c)
	f.set(func() {
		f.answer = func(a map[string]any) {
			f.families[tokens.Refresh].live = tokens.Refresh
			delete(a, "refresh_token")
		}
	})
	seen := map[string]bool{}
	for range 3 {
		next, err := c.Refresh(t.Context(), tokens)
		if err != nil || next.Refresh != tokens.Refresh || seen[next.Access] {
			t.Fatalf("error is %v", err)
		}
		seen[next.Access] = true
		tokens = next
		f.clock.advance(time.Minute)
	}
}
