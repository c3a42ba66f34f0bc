package server_test

import (
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// TestWays: how often PostgreSQL is gone to for one operation, which is most of what it
// costs there.
func TestWays(t *testing.T) {
	proxy := storetest.NewProxy(t, storetest.PostgresURL(t))
	var sent atomic.Int64
	h := servertest.Start(t, func(c *server.Config) { c.Database = proxy.URL })
	h.User("olena", password)
	settings := web
	settings.FirstParty = true
	c, secret := h.Client("shop", settings)
	machine, machineSecret := h.Client("machine", model.ClientSettings{
		GrantTypes: []string{"client_credentials"}, Scopes: []string{"orders:write"}, AuthMethod: "client_secret_basic",
	})
	b := h.Browser()
	path := servertest.AuthorizePath(c, "scope", "openid orders:write")
	last := h.Redeem(c, secret, b.SignIn(path, "olena", password))
	good := func(a servertest.Answer) servertest.Answer {
		t.Helper()
		if a.Status != http.StatusOK {
			t.Fatal(a.Status, a.Text)
		}
		return a
	}
	for _, row := range []struct {
		what string
		ways int64
		do   func()
	}{
		{"client credentials", 1, func() {
			good(h.Call("/token", machine, machineSecret, url.Values{"grant_type": {"client_credentials"}}))
		}},
		// The session, what was put out, the grant; the code, twice.
		{"code", 5, func() { last = good(h.Redeem(c, secret, b.Get(path).Left)) }},
		{"refresh", 2, func() { last = good(renew(h, c, secret, last.String("refresh_token"))) }},
		{"introspection", 1, func() {
			good(h.Call("/introspect", c, secret, url.Values{"token": {last.String("access_token")}}))
		}},
		{"userinfo", 1, func() {
			req, err := http.NewRequest(http.MethodGet, h.Issuer+"/userinfo", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+last.String("access_token"))
			good(servertest.Do(t, req))
		}},
	} {
		// What the server does beside it goes the same way, and a client is read again
		// now and then: the fewest of some rounds are those of the operation.
		fewest := int64(1 << 30)
		proxy.Rule(func([]byte) storetest.Fate { sent.Add(1); return storetest.Pass })
		for i := 0; i < 10 || i < 300 && fewest > row.ways; i++ {
			before := sent.Load()
			row.do()
			fewest = min(fewest, sent.Load()-before)
		}
		if fewest != row.ways {
			t.Errorf("%s: the database was gone to %d times, want %d", row.what, fewest, row.ways)
		}
	}
}
