package server_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/limit"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// behindProxy lets a test call from any address, and sets limits that it meets.
func behindProxy(r limit.Rates) servertest.Option {
	return func(c *server.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.Limits = r
	}
}

// from is how a proxy passes on what comes from an address.
type from string

func (f from) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", string(f))
	return http.DefaultTransport.RoundTrip(r)
}

// browserAt is a browser at an address.
func browserAt(h *servertest.House, address string) *servertest.Browser {
	b := h.Browser()
	b.HTTP().Transport = from(address)
	return b
}

// callFrom posts a form from an address, as a client with its secret.
func callFrom(t *testing.T, h *servertest.House, address, path string, c model.Client, secret model.Secret, form url.Values) servertest.Answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, h.Issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Forwarded-For", address)
	req.SetBasicAuth(string(c.ID), secret.Reveal())
	return servertest.Do(t, req)
}

// limited holds an answer to RFC 6585 §4, and Retry-After to RFC 9110 §10.2.3.
func limited(t *testing.T, a servertest.Answer, within int) {
	t.Helper()
	wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if a.Status != http.StatusTooManyRequests || a.String("error") != "temporarily_unavailable" || err != nil || wait < 1 || wait > within {
		t.Errorf("%d, Retry-After %q, %s; want 429, 1 to %d", a.Status, a.Header.Get("Retry-After"), a.Text, within)
	}
	// RFC 6585 §4: "Responses with the 429 status code MUST NOT be stored by a cache."
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q", a.Header.Get("Cache-Control"))
	}
}

// robot is a client that acts for itself.
func robot(h *servertest.House, id string) (model.Client, model.Secret) {
	return h.Client(id, model.ClientSettings{
		Name: id, AuthMethod: model.AuthBasic, GrantTypes: []string{model.GrantClientCredentials}, Scopes: []string{"read"}, Audiences: []string{"https://api.example"},
	})
}

var credentials = url.Values{"grant_type": {"client_credentials"}}

// Strangers are counted by their address: at the door for programs and at that for
// people, and nobody else is held up by them.
func TestLimitAddress(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		c, secret := robot(h, "robot")
		const bad, good = "198.51.100.7", "198.51.100.8"
		for range 30 {
			if a := callFrom(t, h, bad, "/token", c, "wrong", credentials); a.Status != http.StatusUnauthorized {
				t.Fatalf("%d %s", a.Status, a.Text)
			}
		}
		limited(t, callFrom(t, h, bad, "/token", c, "wrong", credentials), 3)
		limited(t, callFrom(t, h, bad, "/introspect", c, "wrong", url.Values{"token": {"x"}}), 3)
		page := browserAt(h, bad).Get("/sign-in")
		if page.Status != http.StatusTooManyRequests || page.Header.Get("Retry-After") == "" || page.Header.Get("Cache-Control") != "no-store" ||
			!strings.Contains(page.Body, "Too many requests came from this address") || !strings.Contains(page.Body, "Wait 1 minute") {
			t.Errorf("the page is %d %v %s", page.Status, page.Header, page.Body)
		}
		// What lies ready is for everybody: a page that says "wait" has its style, and
		// an API its keys.
		for _, path := range []string{"/jwks", "/.well-known/openid-configuration", "/healthz", "/readyz"} {
			if p := browserAt(h, bad).Get(path); p.Status != http.StatusOK {
				t.Errorf("%s: %d", path, p.Status)
			}
		}
		// The client whose name was used has lost nothing, nor has its address.
		for range 40 {
			if a := callFrom(t, h, good, "/token", c, secret, credentials); a.Status != http.StatusOK {
				t.Fatalf("the client itself: %d %s", a.Status, a.Text)
			}
		}
		if p := browserAt(h, good).Get("/sign-in"); p.Status != http.StatusOK {
			t.Errorf("somebody beside the client: %d", p.Status)
		}
		h.Clock.Move(3 * time.Second)
		if a := callFrom(t, h, bad, "/token", c, secret, credentials); a.Status != http.StatusOK {
			t.Errorf("three seconds later: %d %s", a.Status, a.Text)
		}
	}, behindProxy(limit.Rates{Address: 30, Client: 1000}))
}

// A client is counted by who it is, from wherever it calls, and only once it has
// proven that.
func TestLimitClient(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		c, secret := robot(h, "robot")
		other, itsSecret := robot(h, "other")
		for range 50 {
			callFrom(t, h, "198.51.100.9", "/token", c, "wrong", credentials)
		}
		n := 0
		for ; n < 100; n++ {
			a := callFrom(t, h, "203.0.113."+strconv.Itoa(n%4), "/token", c, secret, credentials)
			if a.Status != http.StatusOK {
				limited(t, a, 3)
				break
			}
		}
		if n < 40 || n > 43 { // a little runs out meanwhile
			t.Errorf("the client was refused after %d, want 40", n)
		}
		if a := callFrom(t, h, "203.0.113.1", "/token", other, itsSecret, credentials); a.Status != http.StatusOK {
			t.Errorf("another client: %d %s", a.Status, a.Text)
		}
	}, behindProxy(limit.Rates{Address: 100, Client: 40}))
}

// A person is counted by who they are, and through each application by itself.
func TestLimitAccount(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		h.User("taras", password)
		b, other := browserAt(h, "198.51.100.1"), browserAt(h, "198.51.100.1")
		if p := b.Get("/account/profile").Submit("primary", "login", "olena", "password", password); p.Status != http.StatusOK {
			t.Fatalf("%d %s", p.Status, p.Body)
		}
		if p := other.Get("/account/profile").Submit("primary", "login", "taras", "password", password); p.Status != http.StatusOK {
			t.Fatalf("%d %s", p.Status, p.Body)
		}
		n, page := 0, b.Get("/account/profile")
		for ; page.Status == http.StatusOK && n < 200; n++ {
			page = b.Get("/account/profile")
		}
		if page.Status != http.StatusTooManyRequests || n < 10 || n > 35 || !strings.Contains(page.Body, "Too many requests of this account") {
			t.Errorf("after %d: %d %s", n, page.Status, page.Body)
		}
		if p := other.Get("/account/profile"); p.Status != http.StatusOK {
			t.Errorf("somebody else at the same address: %d", p.Status)
		}
	}, behindProxy(limit.Rates{Address: 60, Account: 30}))
}

// No stranger can keep somebody out: not by wrong passwords from elsewhere, whatever
// they try, where that person has signed in before.
func TestLimitLocksNobodyOut(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		home := browserAt(h, "198.51.100.1")
		if p := home.Get("/sign-in").Submit("primary", "login", "olena", "password", password); p.Status != http.StatusOK {
			t.Fatalf("%d %s", p.Status, p.Body)
		}
		if p := home.Get("/logout").Submit("primary"); p.Status != http.StatusOK {
			t.Fatalf("%d %s", p.Status, p.Body)
		}
		for i := range 10 {
			stranger := browserAt(h, "203.0.113."+strconv.Itoa(i))
			p := stranger.Get("/sign-in")
			for range 7 {
				if p.Status == http.StatusOK || p.Status == http.StatusUnprocessableEntity {
					p = p.Submit("primary", "login", "olena", "password", "a wrong guess of theirs")
				}
			}
		}
		if p := home.Get("/sign-in").Submit("primary", "login", "olena", "password", password); p.Status != http.StatusOK || p.URL.Path != "/account" {
			t.Errorf("at home: %d %s %s", p.Status, p.URL, p.Body)
		}
	}, behindProxy(limit.Rates{Address: 60, Account: 60}))
}

// What a stranger leaves in the database is bounded by address, and more narrowly where
// there is little room.
func TestLimitBegun(t *testing.T) {
	begin := func(t *testing.T, h *servertest.House, address string, most int) (n int, refused *servertest.Page) {
		t.Helper()
		for ; n < most; n++ {
			if p := browserAt(h, address).Get("/sign-in"); p.Status != http.StatusOK {
				return n, p
			}
		}
		return n, nil
	}
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		tv, _ := h.Client("television", television())
		n, p := begin(t, h, "198.51.100.1", 100)
		if p == nil || p.Status != http.StatusTooManyRequests || n < 40 || n > 43 || !strings.Contains(p.Body, "Too many sign-ins were begun") {
			t.Fatalf("after %d: %+v", n, p)
		}
		// Devices and sign-ins share what there is.
		req, _ := http.NewRequest(http.MethodPost, h.Issuer+"/device-authorization", strings.NewReader(url.Values{"client_id": {string(tv.ID)}, "scope": {"films:watch"}}.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Forwarded-For", "198.51.100.1")
		limited(t, servertest.Do(t, req), 3)
		// More than half of the room is taken once it has been counted, which is done
		// with every 64th.
		if n, _ := begin(t, h, "198.51.100.2", 15); n != 15 {
			t.Fatalf("another address after %d", n)
		}
		if n, _ := begin(t, h, "198.51.100.3", 100); n > 15 {
			t.Errorf("where there is little room an address begins %d", n)
		}
	}, behindProxy(limit.Rates{Address: 1000, Begun: 40}), func(c *server.Config) { c.Waiting = 100 })
}

// However many type a wrong code at once, as many are looked at as one after the
// other.
func TestLimitDeviceCodes(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		var looked, refused atomic.Int64
		var work sync.WaitGroup
		for range 60 {
			work.Go(func() {
				switch p := browserAt(h, "198.51.100.1").Post("/device", url.Values{"user_code": {"BCDF-GHJK"}}); p.Status {
				case http.StatusTooManyRequests:
					refused.Add(1)
				case http.StatusServiceUnavailable: // PostgreSQL was too contended
				default:
					looked.Add(1)
				}
			})
		}
		work.Wait()
		if looked.Load() > 20 || refused.Load() < 1 {
			t.Errorf("%d were looked at and %d refused, want 20 looked at", looked.Load(), refused.Load())
		}
		// A right code takes nothing from what is left elsewhere.
		tv, _ := h.Client("television", television())
		h.User("olena", password)
		for range 25 {
			d := beginDevice(t, h, tv)
			if p := browserAt(h, "198.51.100.2").Post("/device", url.Values{"user_code": {d.String("user_code")}}); p.Status != http.StatusOK {
				t.Fatalf("a right code: %d %s", p.Status, p.Body)
			}
		}
	}, behindProxy(limit.Rates{}))
}

// Two nodes count together.
func TestLimitNodes(t *testing.T) {
	database, master := storetest.PostgresURL(t), model.Secret(strings.Repeat("ab", 32))
	node := func(c *server.Config) { c.Database, c.MasterKey = database, master }
	limits := behindProxy(limit.Rates{Address: 600})
	first := servertest.Start(t, node, limits)
	second := servertest.Start(t, node, limits, func(c *server.Config) { c.Issuer = first.Issuer })
	// Another address on this machine, for the second node, which has the same name.
	at := "http://" + second.Addr().String()
	ask := func(base string) int {
		req, err := http.NewRequest(http.MethodGet, base+"/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", "198.51.100.1")
		return servertest.Do(t, req).Status
	}
	for ask("http://"+first.Addr().String()) != http.StatusTooManyRequests {
	}
	for end := time.Now().Add(time.Minute); ask(at) != http.StatusTooManyRequests; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the second node never heard of the first")
		}
		// The first goes on being asked, as it is where somebody does so in earnest.
		ask("http://" + first.Addr().String())
	}
	if n := second.Limits.Counts()[limit.Address].Admitted; n > 590 {
		t.Errorf("the second node let through %d of its own: it has heard nothing", n)
	}
}
