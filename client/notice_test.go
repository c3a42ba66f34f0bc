package client_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// logoutToken makes a good logout token of the fake server, OpenID Connect
// Back-Channel Logout §2.4, but for what change does to it.
func (a *app) logoutToken(key *jwk.Key, change func(claims map[string]any, o *jwt.SignOptions)) string {
	a.t.Helper()
	now := a.fake.clock.Now()
	claims := map[string]any{
		"iss": a.fake.URL, "aud": fakeID, "sub": fakePerson, "sid": "session-1", "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": "notice-1",
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	o := jwt.SignOptions{Type: "logout+jwt", Now: a.fake.clock.Now}
	if change != nil {
		change(claims, &o)
	}
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	o.NoTimestamp = claims["iat"] == nil
	token, err := jwt.Sign(claims, key, o)
	if err != nil {
		a.t.Fatal(err)
	}
	return token
}

func (a *app) notify(form url.Values) *http.Response {
	a.t.Helper()
	res, err := http.PostForm(a.Server.URL+"/back", form)
	if err != nil {
		a.t.Fatal(err)
	}
	res.Body.Close()
	return res
}

// TestBackChannelLogout: a notice signs a person out of this application in every
// browser, whether sessions are in cookies or in a store.
func TestBackChannelLogout(t *testing.T) {
	for name, change := range map[string]func(map[string]any, *jwt.SignOptions){
		"by sid and sub":                   nil,
		"by sid":                           func(c map[string]any, _ *jwt.SignOptions) { c["sub"] = nil },
		"by sub: all of a person's":        func(c map[string]any, _ *jwt.SignOptions) { c["sid"] = nil },
		"from a server that says JWT":      func(_ map[string]any, o *jwt.SignOptions) { o.Type = "JWT" },
		"with the full name of the type":   func(_ map[string]any, o *jwt.SignOptions) { o.Type = "application/logout+jwt" },
		"with another event beside it":     func(c map[string]any, _ *jwt.SignOptions) { c["events"].(map[string]any)["urn:x"] = map[string]any{} },
		"with a claim that we do not know": func(c map[string]any, _ *jwt.SignOptions) { c["x"] = "y" },
	} {
		t.Run(name, func(t *testing.T) {
			eachStore(t, func(t *testing.T, a *app) {
				if _, s := a.get("/private/"); s.Subject != fakePerson {
					t.Fatal("not signed in")
				}
				other := newBrowser(t)
				if _, err := other.Get(a.Server.URL + "/private/"); err != nil {
					t.Fatal(err)
				}
				res := a.notify(url.Values{"logout_token": {a.logoutToken(a.fake.key, change)}})
				if res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != "no-store" { // §2.8
					t.Errorf("%d %v", res.StatusCode, res.Header)
				}
				if _, s := a.get("/"); s.Subject != "" {
					t.Error("still signed in")
				}
				a.browser = other
				if _, s := a.get("/"); s.Subject != "" {
					t.Error("still signed in in another browser")
				}
				// The next session is another one.
				a.fake.claims = func(c map[string]any) { c["sid"] = "session-2" }
				a.fake.clock.advance(2 * time.Second)
				if _, s := a.get("/private/"); s.Subject != fakePerson {
					t.Error("cannot sign in again")
				}
			})
		})
	}
}

// TestBackChannelLogoutAttacks: attack row T26, and each rule of §2.6. Nobody is
// signed out by any of them.
func TestBackChannelLogoutAttacks(t *testing.T) {
	a := newApp(t)
	if _, s := a.get("/private/"); s.Subject != fakePerson {
		t.Fatal("not signed in")
	}
	event := "http://schemas.openid.net/event/backchannel-logout"
	now := a.fake.clock.Now()
	claim := func(name string, value any) func(map[string]any, *jwt.SignOptions) {
		return func(c map[string]any, _ *jwt.SignOptions) { c[name] = value }
	}
	forms := map[string]url.Values{}
	for name, change := range map[string]func(map[string]any, *jwt.SignOptions){
		"rule 4: another issuer":             claim("iss", "https://evil.example"),
		"rule 4: another audience":           claim("aud", "bank"),
		"rule 4: no audience":                claim("aud", nil),
		"rule 4: expired":                    claim("exp", now.Add(-time.Minute).Unix()),
		"rule 4: without exp":                claim("exp", nil),
		"rule 4: without iat":                claim("iat", nil),
		"rule 4: from the future":            claim("iat", now.Add(time.Hour).Unix()),
		"rule 4: older than a day":           claim("iat", now.Add(-25*time.Hour).Unix()),
		"rule 5: neither sub nor sid":        func(c map[string]any, _ *jwt.SignOptions) { c["sub"], c["sid"] = nil, nil },
		"rule 5: sid is no text":             claim("sid", 5),
		"rule 6: no events":                  claim("events", nil),
		"rule 6: another event":              claim("events", map[string]any{"urn:x": map[string]any{}}),
		"rule 6: an event that is no object": claim("events", map[string]any{event: "x"}),
		"rule 6: an event that is null":      claim("events", map[string]any{event: nil}),
		"rule 6: a list of events":           claim("events", []string{event}),
		"rule 7: a nonce":                    claim("nonce", "n"),
		"rule 7: a nonce that is empty":      claim("nonce", ""),
		"no jti":                             claim("jti", nil),
		"RFC 8725 §3.11: an access token":    func(_ map[string]any, o *jwt.SignOptions) { o.Type = "at+jwt" },
		"rule 2: another algorithm":          func(_ map[string]any, o *jwt.SignOptions) { o.Algorithm = jwa.PS256 },
	} {
		forms[name] = url.Values{"logout_token": {a.logoutToken(a.fake.key, change)}}
	}
	good := a.logoutToken(a.fake.key, nil)
	part := strings.Split(good, ".")
	forms["rule 2: a foreign key"] = url.Values{"logout_token": {a.logoutToken(a.fake.alien, nil)}}
	forms["rule 3: alg none"] = url.Values{"logout_token": {base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"logout+jwt"}`)) + "." + part[1] + "."}}
	forms["without its signature"] = url.Values{"logout_token": {part[0] + "." + part[1] + "."}}
	forms["nothing"] = url.Values{}
	forms["twice"] = url.Values{"logout_token": {good, good}}
	forms["an ID token"] = url.Values{"logout_token": {a.fake.idToken(&fakeFamily{request: url.Values{}, began: now}, "x")}}
	forms["too long"] = url.Values{"logout_token": {good}, "x": {strings.Repeat("x", 70<<10)}}
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			if res := a.notify(form); res.StatusCode != http.StatusBadRequest || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("answered %d %v", res.StatusCode, res.Header)
			}
			if _, s := a.get("/"); s.Subject != fakePerson {
				t.Error("signed out")
			}
		})
	}
	t.Run("in the address", func(t *testing.T) {
		res, err := http.Post(a.Server.URL+"/back?logout_token="+good, "application/x-www-form-urlencoded", nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if _, s := a.get("/"); res.StatusCode != http.StatusBadRequest || s.Subject != fakePerson {
			t.Errorf("%d", res.StatusCode)
		}
	})
	t.Run("by GET", func(t *testing.T) {
		if res := a.step("GET", "/back"); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%d", res.StatusCode)
		}
	})
	t.Run("rule 8: the good one, and again", func(t *testing.T) {
		if res := a.notify(url.Values{"logout_token": {good}}); res.StatusCode != http.StatusOK {
			t.Fatalf("%d", res.StatusCode)
		}
		if _, s := a.get("/"); s.Subject != "" {
			t.Error("still signed in")
		}
		if res := a.notify(url.Values{"logout_token": {good}}); res.StatusCode != http.StatusBadRequest {
			t.Errorf("a replay: %d", res.StatusCode)
		}
	})
}

// While the keys cannot be had, the notice is neither believed nor refused for
// good.
func TestBackChannelLogoutWhileServerIsDown(t *testing.T) {
	a := newApp(t)
	a.fake.set(func() { a.fake.down = true })
	if res := a.notify(url.Values{"logout_token": {a.logoutToken(a.fake.key, nil)}}); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%d", res.StatusCode)
	}
}

// TestFrontChannelLogout: OpenID Connect Front-Channel Logout §2 and §3, without a
// cookie, as in a frame on another site.
func TestFrontChannelLogout(t *testing.T) {
	eachStore(t, func(t *testing.T, a *app) {
		if _, s := a.get("/private/"); s.Subject != fakePerson {
			t.Fatal("not signed in")
		}
		front := func(q url.Values) *http.Response {
			res, err := http.Get(a.Server.URL + "/front?" + q.Encode())
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			return res
		}
		for name, q := range map[string]url.Values{
			"nothing": {}, "no sid": {"iss": {a.fake.URL}}, "no iss": {"sid": {"session-1"}}, "an empty sid": {"iss": {a.fake.URL}, "sid": {""}},
			"another issuer": {"iss": {"https://evil.example"}, "sid": {"session-1"}}, "twice": {"iss": {a.fake.URL}, "sid": {"session-1", "x"}},
		} {
			if res := front(q); res.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %d", name, res.StatusCode)
			}
		}
		front(url.Values{"iss": {a.fake.URL}, "sid": {"session-9"}})
		if _, s := a.get("/"); s.Subject != fakePerson {
			t.Fatal("signed out by another session")
		}
		res := front(url.Values{"iss": {a.fake.URL}, "sid": {"session-1"}})
		if res.StatusCode != http.StatusOK || !strings.Contains(res.Header.Get("Cache-Control"), "no-store") ||
			!strings.HasSuffix(res.Header.Get("Content-Security-Policy"), "frame-ancestors "+a.fake.URL) {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
		if _, s := a.get("/"); s.Subject != "" {
			t.Error("still signed in")
		}
	})
}

// failing is a store that cannot be written for a while.
type failing struct {
	client.Store
	down atomic.Bool
}

func (f *failing) Save(ctx context.Context, id string, data []byte, expires time.Time) error {
	if f.down.Load() {
		return errors.New("the store is away")
	}
	return f.Store.Save(ctx, id, data, expires)
}

// What could not be kept was not received: the server sends it again, as it is told to,
// and rule 8 is not in its way.
func TestBackChannelLogoutAgain(t *testing.T) {
	kept := &failing{}
	a := newApp(t, func(c *client.Config) {
		withStore(c)
		kept.Store, c.Store = c.Store, kept
	})
	if _, s := a.get("/private/"); s.Subject != fakePerson {
		t.Fatal("not signed in")
	}
	token := url.Values{"logout_token": {a.logoutToken(a.fake.key, nil)}}
	kept.down.Store(true)
	if res := a.notify(token); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("while the store is away: %d", res.StatusCode)
	}
	kept.down.Store(false)
	if res := a.notify(token); res.StatusCode != http.StatusOK {
		t.Errorf("the second attempt: %d", res.StatusCode)
	}
	if _, s := a.get("/"); s.Subject != "" {
		t.Error("still signed in")
	}
	if res := a.notify(token); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a replay: %d", res.StatusCode)
	}
}

// A notice that was long on its way, and comes after a younger one, brings nobody back
// whom that one has put out.
func TestBackChannelLogoutOutOfOrder(t *testing.T) {
	eachStore(t, func(t *testing.T, a *app) {
		before := a.fake.clock.Now()
		a.fake.clock.advance(time.Minute)
		if _, s := a.get("/private/"); s.Subject != fakePerson {
			t.Fatal("not signed in")
		}
		a.fake.clock.advance(time.Minute)
		for i, at := range []time.Time{a.fake.clock.Now(), before} {
			res := a.notify(url.Values{"logout_token": {a.logoutToken(a.fake.key, func(c map[string]any, _ *jwt.SignOptions) {
				delete(c, "sid")
				c["iat"], c["jti"] = at.Unix(), fmt.Sprint("notice-", i)
			})}})
			if res.StatusCode != http.StatusOK {
				t.Fatalf("%d", res.StatusCode)
			}
			if _, s := a.get("/"); s.Subject != "" {
				t.Errorf("signed in after notice %d", i)
			}
		}
	})
}

// A frame comes from anybody: however many sessions strangers make up, what the server
// has said stays known, and those who are signed in stay so.
func TestFrontChannelLogoutFlood(t *testing.T) {
	flood := func(a *app, n int) {
		front := a.client.FrontChannelLogout()
		for i := range n {
			q := url.Values{"iss": {a.fake.URL}, "sid": {fmt.Sprint("made-up-", i)}}
			front.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/front?"+q.Encode(), nil))
		}
	}
	t.Run("who was put out", func(t *testing.T) {
		a := newApp(t)
		if _, s := a.get("/private/"); s.Subject != fakePerson {
			t.Fatal("not signed in")
		}
		if res := a.notify(url.Values{"logout_token": {a.logoutToken(a.fake.key, nil)}}); res.StatusCode != http.StatusOK {
			t.Fatal(res.Status)
		}
		flood(a, 100_000)
		if _, s := a.get("/"); s.Subject != "" {
			t.Error("signed in again")
		}
	})
	t.Run("who is signed in", func(t *testing.T) {
		a := newApp(t, func(c *client.Config) {
			var err error
			if c.Store, err = client.NewMemory(client.MemoryConfig{Sessions: 1000, Now: c.Now}); err != nil {
				t.Fatal(err)
			}
		})
		if _, s := a.get("/private/"); s.Subject != fakePerson {
			t.Fatal("not signed in")
		}
		flood(a, 1000)
		if _, s := a.get("/"); s.Subject != fakePerson {
			t.Error("signed out")
		}
	})
}
