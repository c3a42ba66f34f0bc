package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/client"
)

// Requests that race with an expired token are all served by one renewal.
func TestSessionRenewal(t *testing.T) {
	eachStore(t, func(t *testing.T, a *app) {
		_, before := a.get("/private/")
		old := a.session()
		a.fake.set(func() { a.fake.pause = 20 * time.Millisecond })
		a.fake.clock.advance(10 * time.Minute)
		access := make([]string, 50)
		var wg sync.WaitGroup
		for i := range access {
			wg.Go(func() {
				req, _ := http.NewRequest("GET", a.Server.URL+"/private/", nil)
				req.AddCookie(old)
				res, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				_, s := a.read(res)
				access[i] = s.Access
			})
		}
		wg.Wait()
		for _, got := range access {
			if got == "" || got == before.Access || got != access[0] {
				t.Fatalf("access tokens differ: %v", access)
			}
		}
		if n := a.fake.count("refresh_token"); n != 1 {
			t.Errorf("%d renewals, want 1", n)
		}
		if _, s := a.get("/"); s.Access != access[0] {
			t.Error("the old cookie does not lead to the new token")
		}
		if _, s := a.get("/"); s.Access != access[0] || s.ID != before.ID || s.Name != before.Name {
			t.Errorf("the session has changed: %+v", s)
		}
	})
}

// Renew does not wait for the token to grow old, and nobody is signed in by it.
func TestRenew(t *testing.T) {
	eachStore(t, func(t *testing.T, a *app) {
		if status, _ := a.get("/renew"); status != http.StatusUnauthorized {
			t.Errorf("nobody is signed in, and it answers %d", status)
		}
		_, before := a.get("/private/")
		_, first := a.get("/renew")
		_, second := a.get("/renew")
		if first.Access == "" || first.Access == before.Access || second.Access == first.Access {
			t.Errorf("renewed from %q to %q to %q", before.Access, first.Access, second.Access)
		}
		if second.ID != before.ID || second.Subject != before.Subject || second.Name != before.Name {
			t.Errorf("the session has changed: %+v, was %+v", second, before)
		}
		if _, now := a.get("/"); now.Access != second.Access {
			t.Error("the new token is not kept")
		}

		a.fake.set(func() { a.fake.down = true })
		if status, _ := a.get("/renew"); status != http.StatusBadGateway {
			t.Errorf("the server is down, and it answers %d", status)
		}
		if _, now := a.get("/"); now.Access != second.Access {
			t.Error("a failed renewal has cost the session")
		}
		a.fake.set(func() {
			a.fake.down = false
			for _, family := range a.fake.families {
				family.ended = true
			}
		})
		a.fake.clock.advance(4 * time.Second) // a failure is remembered for so long
		if status, _ := a.get("/renew"); status != http.StatusUnauthorized {
			t.Errorf("the grant is over, and it answers %d", status)
		}
		if _, now := a.get("/"); now.Subject != "" || a.session() != nil {
			t.Error("still signed in")
		}
	})
}

func TestSessionRenewalFails(t *testing.T) {
	t.Run("invalid_grant: the person was put out", func(t *testing.T) {
		eachStore(t, func(t *testing.T, a *app) {
			a.get("/private/")
			a.fake.set(func() {
				for _, family := range a.fake.families {
					family.ended = true
				}
			})
			a.fake.clock.advance(10 * time.Minute)
			if _, s := a.get("/"); s.Subject != "" || a.session() != nil {
				t.Errorf("still signed in: %+v", s)
			}
		})
	})
	t.Run("server down: the session stays, its token dies", func(t *testing.T) {
		eachStore(t, func(t *testing.T, a *app) {
			a.get("/private/")
			a.fake.set(func() { a.fake.down = true })
			a.fake.clock.advance(5*time.Minute - 10*time.Second)
			if _, s := a.get("/"); s.Subject == "" || s.Access == "expired" {
				t.Errorf("in the last moments: %+v", s)
			}
			a.fake.clock.advance(time.Minute)
			if _, s := a.get("/"); s.Subject == "" || s.Access != "expired" {
				t.Errorf("after the last moment: %+v", s)
			}
			a.fake.set(func() { a.fake.down = false })
			a.fake.clock.advance(time.Minute)
			if _, s := a.get("/"); s.Subject == "" || s.Access == "expired" {
				t.Errorf("after the outage: %+v", s)
			}
		})
	})
	t.Run("the session has a last day", func(t *testing.T) {
		eachStore(t, func(t *testing.T, a *app) {
			a.get("/private/")
			cookie := a.session()
			a.fake.clock.advance(12 * time.Hour)
			req := httptest.NewRequest("GET", "/", nil)
			req.AddCookie(cookie)
			if _, err := a.client.Session(httptest.NewRecorder(), req); !errors.Is(err, client.ErrNoSession) {
				t.Errorf("error is %v", err)
			}
		})
	})
}

func TestSessionCookie(t *testing.T) {
	a := newApp(t)
	a.get("/private/")
	good := a.session()
	look := func(c *client.Client, value string) (string, *http.Cookie) {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: good.Name, Value: value})
		s, err := c.Session(w, r)
		if err != nil {
			if !errors.Is(err, client.ErrNoSession) {
				t.Errorf("error is %v", err)
			}
			return "", nil
		}
		set := w.Result().Cookies()
		if len(set) == 0 {
			return s.Subject, nil
		}
		return s.Subject, set[0]
	}
	if who, set := look(a.client, good.Value); who != fakePerson || set != nil {
		t.Errorf("good cookie: %q, sets %v", who, set)
	}
	flipped := []byte(good.Value)
	flipped[40] ^= 1
	for name, value := range map[string]string{
		"one bit": string(flipped), "cut": good.Value[:100], "longer": good.Value + "A", "empty": "", "noise": "!!!",
	} {
		if who, _ := look(a.client, value); who != "" {
			t.Errorf("%s: accepted", name)
		}
	}
	same := func(c *client.Config) {
		c.CookieName = good.Name
		c.SessionKeys = [][]byte{[]byte("0123456789abcdef0123456789abcdef")}
	}
	young := []byte("a new key of thirty-two bytes...")
	rotated := newClient(t, a.fake, same, func(c *client.Config) { c.SessionKeys = append([][]byte{young}, c.SessionKeys...) })
	who, set := look(rotated, good.Value)
	if who != fakePerson || set == nil {
		t.Fatalf("old key: %q, sets %v", who, set)
	}
	retired := newClient(t, a.fake, same, func(c *client.Config) { c.SessionKeys = [][]byte{young} })
	if who, _ := look(retired, good.Value); who != "" {
		t.Error("retired key: accepted")
	}
	if who, _ := look(retired, set.Value); who != fakePerson {
		t.Error("sealed anew: refused")
	}
	other := newClient(t, a.fake, same, func(c *client.Config) { c.ClientID = "other" })
	if who, _ := look(other, good.Value); who != "" {
		t.Error("another client's cookie: accepted")
	}
	// A planted cookie of the same name does not hide the good one.
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", good.Name+"=planted; "+good.Name+"="+good.Value)
	if s, err := a.client.Session(w, r); err != nil || s.Subject != fakePerson {
		t.Errorf("beside a planted cookie: %v", err)
	}
}

func TestSessionTooLarge(t *testing.T) {
	var name strings.Builder
	for name.Len() < 5000 { // random, or it would be packed small
		name.WriteString(rand.Text())
	}
	big := func(c map[string]any) { c["name"] = name.String() }
	var failure error
	note := func(c *client.Config) {
		c.Failed = func(w http.ResponseWriter, _ *http.Request, err error) {
			failure = err
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
	a := newApp(t, note)
	a.fake.userinfo = big
	if status, _ := a.get("/private/"); status != http.StatusInternalServerError || !errors.Is(failure, client.ErrTooLarge) {
		t.Errorf("%d %v", status, failure)
	}
	b := newApp(t, note, withStore)
	b.fake.userinfo = big
	if status, s := b.get("/private/"); status != http.StatusOK || s.Name != name.String() {
		t.Errorf("in a store: %d", status)
	}
}

// TestFailureLevel: whoever asks with prompt=none is not to have a log full of warnings.
func TestFailureLevel(t *testing.T) {
	for code, want := range map[string]string{
		"login_required": "INFO", "consent_required": "INFO", "access_denied": "INFO", "server_error": "WARN", "invalid_scope": "WARN",
	} {
		var log strings.Builder
		a := newApp(t, func(c *client.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		a.fake.response = func(v url.Values) { v.Del("code"); v.Set("error", code) }
		a.get("/private/")
		if !strings.Contains(log.String(), "level="+want+` msg="sign-in or sign-out failed"`) {
			t.Errorf("%s: %s", code, log.String())
		}
	}
}

func TestStoreHoldsNothingReadable(t *testing.T) {
	spy := &spyStore{}
	a := newApp(t, withStore, func(c *client.Config) {
		spy.Store = c.Store
		c.Store = spy
	})
	_, s := a.get("/private/")
	if len(spy.saved) == 0 || strings.Contains(spy.saved, s.Access) || strings.Contains(spy.saved, fakePerson) || strings.Contains(spy.ids, a.session().Value) {
		t.Error("the store can be read")
	}
	if len(s.Groups) != 1 {
		t.Errorf("claims beyond the profile are lost: %+v", s)
	}
	spy.broken = true
	if res := a.step("GET", "/"); res.StatusCode != http.StatusInternalServerError {
		t.Errorf("a broken store: %d", res.StatusCode)
	}
}

// keeping is a store that knows what was saved last.
type keeping struct {
	client.Store
	last string
}

func (k *keeping) Save(ctx context.Context, id string, data []byte, expires time.Time) error {
	k.last = id
	return k.Store.Save(ctx, id, data, expires)
}

// Who signs out at one process while another renews their tokens is not signed in again
// by what that one writes afterwards.
func TestSignOutDuringRenewalElsewhere(t *testing.T) {
	kept := &keeping{}
	a := newApp(t, func(c *client.Config) {
		withStore(c)
		kept.Store, c.Store = c.Store, kept
	})
	if _, s := a.get("/private/"); s.Subject != fakePerson {
		t.Fatal("not signed in")
	}
	a.fake.clock.advance(time.Hour)
	session := kept.last
	a.fake.claims = func(map[string]any) { kept.Delete(t.Context(), session) } // as the other process does
	if _, s := a.get("/"); s.Subject != "" {
		t.Error("signed in while signed out elsewhere")
	}
	a.fake.claims = nil
	if _, s := a.get("/"); s.Subject != "" {
		t.Error("signed in again")
	}
}
