package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/ostiary/ostiary/resource"
)

// withinASecond is how long an API may go on to accept a session that has ended.
const withinASecond = time.Second

// guarded is an API that follows the revocation feed.
type guarded struct {
	*httptest.Server
	Guard *resource.Guard
	Feed  *resource.Feed
	asked atomic.Int64 // requests to the issuer
	ahead atomic.Int64 // of its clock
	t     *testing.T
}

func (g *guarded) now() time.Time { return time.Now().Add(time.Duration(g.ahead.Load())) }

// RoundTrip counts what the issuer is asked.
func (g *guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	g.asked.Add(1)
	return http.DefaultTransport.RoundTrip(r)
}

// guardOrders runs an API named orders that trusts the house, and waits until it
// knows who is out.
func guardOrders(t *testing.T, h *servertest.House, stale resource.Policy) *guarded {
	t.Helper()
	c, secret := api(h, "orders-api", orders)
	g := &guarded{t: t}
	var err error
	g.Feed, err = resource.NewFeed(resource.FeedConfig{
		Issuer: h.Issuer, ClientID: string(c.ID), ClientSecret: secret.Reveal(), HTTP: &http.Client{Transport: g}, Now: g.now,
		MaxLag:  5 * time.Second,
		OnState: func(s resource.FeedState) { t.Logf("feed: %+v", s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Feed.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	g.Guard, err = resource.New(resource.Config{
		Issuer: h.Issuer, Audience: orders, Feed: g.Feed, Stale: stale, HTTP: &http.Client{Transport: g}, Now: g.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	g.Server = httptest.NewServer(g.Guard.RequireFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(g.Close)
	wait, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	if err := g.Feed.Ready(wait); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *guarded) call(token string) servertest.Answer {
	g.t.Helper()
	req, err := http.NewRequest(http.MethodGet, g.URL, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return servertest.Do(g.t, req)
}

// refuses waits until a token is refused, for so long as it may take.
func (g *guarded) refuses(token string, status int, what string, limit time.Duration) {
	g.t.Helper()
	began := time.Now()
	for {
		a := g.call(token)
		if a.Status == http.StatusNoContent {
			if time.Since(began) > limit {
				g.t.Fatalf("still accepted after %s: %+v", time.Since(began), g.Feed.State())
			}
			time.Sleep(time.Millisecond)
			continue
		}
		if problem := readProblem(g.t, a); a.Status != status || problem["detail"] != what {
			g.t.Errorf("%d %s, want %d %q", a.Status, a.Text, status, what)
		}
		g.t.Logf("refused after %s", time.Since(began).Round(time.Millisecond))
		return
	}
}

// readProblem reads a refusal, RFC 9457.
func readProblem(t *testing.T, a servertest.Answer) map[string]any {
	t.Helper()
	var problem map[string]any
	if err := json.Unmarshal([]byte(a.Text), &problem); err != nil || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%v %v %s", err, a.Header, a.Text)
	}
	return problem
}

func (g *guarded) accepts(token string) {
	g.t.Helper()
	if a := g.call(token); a.Status != http.StatusNoContent {
		g.t.Errorf("refused: %d %s; %+v", a.Status, a.Text, g.Feed.State())
	}
}

// seat is a person at a browser, with the tokens of an application.
type seat struct {
	browser         *servertest.Browser
	user            model.User
	client          model.Client
	secret          model.Secret
	access, refresh string
	session         model.SessionID
}

// sit makes a person and an application and lets the one sign in to the other.
func sit(t *testing.T, h *servertest.House, name string) *seat {
	t.Helper()
	s := front()
	s.Audiences = []string{orders}
	x := &seat{browser: h.Browser(), user: h.User(name, password)}
	x.client, x.secret = h.Client("shop-"+name, s)
	x.signIn(t, h, password)
	return x
}

func (x *seat) signIn(t *testing.T, h *servertest.House, password string) {
	t.Helper()
	a := h.Redeem(x.client, x.secret, x.browser.SignIn(servertest.AuthorizePath(x.client), x.user.Login, password))
	x.access, x.refresh = a.String("access_token"), a.String("refresh_token")
	sid, _ := unverified(t, x.access)["sid"].(string)
	x.session = model.SessionID(sid)
	if x.access == "" || sid == "" {
		t.Fatalf("no token: %d %s", a.Status, a.Text)
	}
}

// TestOutAtOnce: whatever ends somebody's access, the API refuses their token
// within a second and says what to do next; it asks the issuer nothing.
func TestOutAtOnce(t *testing.T) {
	const session = "The session has ended"
	revoke := func(token func(*seat) string) func(*testing.T, *servertest.House, *seat) error {
		return func(_ *testing.T, h *servertest.House, x *seat) error {
			if a := h.Call("/revoke", x.client, x.secret, url.Values{"token": {token(x)}}); a.Status != 200 {
				return fmt.Errorf("%d %s", a.Status, a.Text)
			}
			return nil
		}
	}
	rows := []struct {
		name   string
		end    func(*testing.T, *servertest.House, *seat) error
		status int
		what   string
	}{
		{"the person signs out", func(_ *testing.T, _ *servertest.House, x *seat) error {
			x.browser.Get("/logout").Submit("primary")
			return nil
		}, 401, session},
		{"an operator ends the session", func(t *testing.T, h *servertest.House, x *seat) error {
			return h.Accounts.SignOut(t.Context(), servertest.Operator, x.session)
		}, 401, session},
		{"the account is locked", func(t *testing.T, h *servertest.House, x *seat) error {
			return h.Accounts.Lock(t.Context(), servertest.Operator, x.user.ID)
		}, 403, "The account is disabled. To sign in again does not help."},
		{"the account is deleted", func(t *testing.T, h *servertest.House, x *seat) error {
			return h.Accounts.Delete(t.Context(), servertest.Operator, x.user.ID)
		}, 403, "The account is disabled. To sign in again does not help."},
		{"the password changes", func(t *testing.T, h *servertest.House, x *seat) error {
			return h.Accounts.SetPassword(t.Context(), servertest.Operator, x.user.ID, account.NewPassword{Password: "another horse battery"})
		}, 401, session},
		{"the client is deleted", func(t *testing.T, h *servertest.House, x *seat) error {
			return h.Registrar.DeleteClient(t.Context(), servertest.Operator, x.client.ID)
		}, 401, "The client was revoked"},
		{"the client is disabled", func(t *testing.T, h *servertest.House, x *seat) error {
			_, err := h.Registrar.DisableClient(t.Context(), servertest.Operator, x.client.ID, true)
			return err
		}, 401, "The client was revoked"},
		{"RFC 7009 §2.1: the access token", revoke(func(x *seat) string { return x.access }), 401, session},
		{"RFC 7009 §2.1: the refresh token", revoke(func(x *seat) string { return x.refresh }), 401, session},
		{"everybody", func(t *testing.T, h *servertest.House, _ *seat) error {
			return h.Store.Update(t.Context(), func(tx *store.Tx) error {
				now := h.Clock.Now().Unix()
				if err := tx.EndAll(store.Ending{Cause: model.CauseAdmin, At: now, DropAt: now + 3600}); err != nil {
					return err
				}
				return tx.Record(model.Event{At: now, Actor: servertest.Operator, Action: "all.ended"})
			})
		}, 401, session},
	}
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		g := guardOrders(t, h, resource.Deny)
		var seats []*seat
		for i := range rows {
			seats = append(seats, sit(t, h, fmt.Sprint("person", i)))
		}
		g.accepts(seats[0].access) // fetches the keys
		asked := g.asked.Load()
		for i, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				g.t = t
				for _, x := range seats[i:] {
					g.accepts(x.access)
				}
				if err := row.end(t, h, seats[i]); err != nil {
					t.Fatal(err)
				}
				if i < len(rows)-1 {
					g.refuses(seats[i].access, row.status, row.what, withinASecond)
					g.accepts(seats[i+1].access)
					if n := g.asked.Load() - asked; n != 0 {
						t.Errorf("the issuer was asked %d times", n)
					}
					return
				}
				// The API's own token is put out as well, and so would be another
				// of the same second.
				g.refuses(seats[i].access, row.status, row.what, 3*withinASecond)
			})
		}
	})
}

// TestOutAndInAgain: who was put out by an end of all sessions signs in again,
// by a clock at the issuer that is off by a minute in either direction.
func TestOutAndInAgain(t *testing.T) {
	for _, off := range []time.Duration{time.Minute, -time.Minute} {
		t.Run(off.String(), func(t *testing.T) {
			servertest.Each(t, func(t *testing.T, h *servertest.House) {
				h.Clock.Move(off)
				g := guardOrders(t, h, resource.Deny)
				x := sit(t, h, "olena")
				g.accepts(x.access)
				if err := h.Accounts.SetPassword(t.Context(), servertest.Operator, x.user.ID, account.NewPassword{Password: "another horse battery"}); err != nil {
					t.Fatal(err)
				}
				old := x.access
				g.refuses(old, 401, "The session has ended", withinASecond)
				time.Sleep(1100 * time.Millisecond) // cut-offs are whole seconds
				x.signIn(t, h, "another horse battery")
				g.accepts(x.access)
				g.refuses(old, 401, "The session has ended", 0)
				x.browser.Get("/logout").Submit("primary")
				g.refuses(x.access, 401, "The session has ended", withinASecond)
			})
		})
	}
}

// TestOutAfterSleep: the machine of the API sleeps for an hour. Nothing is let
// through until it is known again who is out.
func TestOutAfterSleep(t *testing.T) {
	h := servertest.Start(t)
	g := guardOrders(t, h, resource.Deny)
	x := sit(t, h, "olena")
	y := sit(t, h, "petro")
	g.accepts(x.access)
	h.Clock.Move(time.Hour - 10*time.Minute) // so that tokens live when it wakes
	x.signIn(t, h, password)
	y.signIn(t, h, password)
	h.Clock.Move(10 * time.Minute)
	x.access, y.access = renewed(t, h, x), renewed(t, h, y)
	g.ahead.Store(int64(time.Hour))
	if a := g.call(y.access); a.Status != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("awake: %d %s", a.Status, a.Text)
	}
	if err := h.Accounts.SignOut(t.Context(), servertest.Operator, x.session); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the feed to be current", func() bool {
		if a := g.call(x.access); a.Status == http.StatusNoContent {
			t.Fatal("a session was accepted that had ended")
		}
		return g.call(y.access).Status == http.StatusNoContent
	})
	g.refuses(x.access, 401, "The session has ended", 0)
}

// renewed gets a new access token.
func renewed(t *testing.T, h *servertest.House, x *seat) string {
	t.Helper()
	a := h.Call("/token", x.client, x.secret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {x.refresh}})
	if a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	x.refresh = a.String("refresh_token")
	return a.String("access_token")
}

// cable leads from an API to its issuer: it can be cut, and lead to another node.
type cable struct {
	net.Listener
	mu   sync.Mutex
	to   string // "": nowhere
	open []net.Conn
}

func newCable(t *testing.T) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &cable{Listener: l}
	t.Cleanup(func() { l.Close(); g.lead("") })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go g.carry(c)
		}
	}()
	return g
}

func (g *cable) url() string { return "http://" + g.Addr().String() }

// lead cuts all connections, and leads new ones to an address.
func (g *cable) lead(to string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.to = to
	for _, c := range g.open {
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0) // no polite end
		}
		c.Close()
	}
	g.open = nil
}

func (g *cable) carry(c net.Conn) {
	g.mu.Lock()
	to := g.to
	g.open = append(g.open, c)
	g.mu.Unlock()
	if to == "" {
		g.mu.Lock()
		c.Close()
		g.mu.Unlock()
		return
	}
	d, err := net.Dial("tcp", to)
	if err != nil {
		c.Close()
		return
	}
	g.mu.Lock()
	g.open = append(g.open, d)
	g.mu.Unlock()
	go func() { io.Copy(d, c); d.Close() }()
	io.Copy(c, d)
	c.Close()
}

// TestOutWhenTheServerDies: while nobody answers, sessions go on until the feed
// is stale, and each policy does what it says; when the server is back, the feed
// goes on where it was, and what ended meanwhile is refused.
func TestOutWhenTheServerDies(t *testing.T) {
	databases := map[string]func(*testing.T, *server.Config){
		"sqlite":   func(*testing.T, *server.Config) {},
		"postgres": func(t *testing.T, c *server.Config) { c.Database = storetest.PostgresURL(t) },
	}
	for name, database := range databases {
		t.Run(name, func(t *testing.T) {
			cable := newCable(t)
			h := servertest.Start(t, func(c *server.Config) { database(t, c); c.Issuer = cable.url() })
			cable.lead(h.Addr().String())
			g := guardOrders(t, h, resource.Deny)
			x, y := sit(t, h, "olena"), sit(t, h, "petro")
			g.accepts(x.access)
			g.accepts(y.access)
			log := g.Feed.State().Log

			cable.lead("")
			h.Restart()
			if err := h.Accounts.SignOut(t.Context(), servertest.Operator, x.session); err != nil {
				t.Fatal(err)
			}
			g.accepts(y.access) // not known, and not yet stale
			began := time.Now()
			eventually(t, "the feed to be stale", func() bool { return g.Feed.State().Stale })
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("stale after %s", took)
			}
			a := g.call(y.access)
			if a.Status != 503 || a.Header.Get("Retry-After") == "" || a.Header.Get("WWW-Authenticate") != "" || readProblem(t, a)["error"] != "temporarily_unavailable" {
				t.Errorf("Deny: %d %s", a.Status, a.Text)
			}
			asking := g.Guard.Stale(resource.Introspect)
			if _, err := asking.Verify(t.Context(), x.access); !errors.Is(err, resource.ErrStale) {
				t.Errorf("Introspect: %v", err)
			}
			if _, err := g.Guard.Stale(resource.Allow).Verify(t.Context(), y.access); err != nil {
				t.Errorf("Allow: %v", err)
			}
			cable.lead(h.Addr().String()) // the way is open, and the feed perhaps not yet back
			if _, err := asking.Verify(t.Context(), y.access); err != nil {
				t.Errorf("Introspect: %v", err)
			}
			time.Sleep(time.Second) // so long is an answer good, also that there was none
			if _, err := asking.Verify(t.Context(), x.access); !errors.Is(err, resource.ErrRevoked) {
				t.Errorf("Introspect: %v", err)
			}
			eventually(t, "the feed to be current", func() bool {
				if g.call(x.access).Status == http.StatusNoContent {
					t.Fatal("a session was accepted that had ended")
				}
				return !g.Feed.State().Stale
			})
			g.accepts(y.access)
			if s := g.Feed.State(); s.Log != log || s.Mode != "stream" || s.Err != nil {
				t.Errorf("%+v", s)
			}
			if err := h.Accounts.Lock(t.Context(), servertest.Operator, y.user.ID); err != nil {
				t.Fatal(err)
			}
			g.refuses(y.access, 403, "The account is disabled. To sign in again does not help.", withinASecond)
		})
	}
}

// TestOutOnAnotherNode: a session that is ended at one node is refused by an API
// that follows another one; and when that is lost, the API goes on with the first.
func TestOutOnAnotherNode(t *testing.T) {
	cable := newCable(t)
	database, master := storetest.PostgresURL(t), model.NewSecret("")
	node := func(c *server.Config) { c.Database, c.MasterKey, c.Issuer = database, master, cable.url() }
	one, two := servertest.Start(t, node), servertest.Start(t, node)
	cable.lead(one.Addr().String())
	g := guardOrders(t, one, resource.Deny)
	seats := []*seat{sit(t, one, "a"), sit(t, one, "b"), sit(t, one, "c")}
	for _, x := range seats {
		g.accepts(x.access)
	}
	end := func(x *seat) {
		t.Helper()
		if err := two.Accounts.SignOut(t.Context(), servertest.Operator, x.session); err != nil {
			t.Fatal(err)
		}
	}
	end(seats[0])
	g.refuses(seats[0].access, 401, "The session has ended", withinASecond)
	cable.lead(two.Addr().String()) // the first is lost
	end(seats[1])
	g.refuses(seats[1].access, 401, "The session has ended", 3*time.Second)
	g.accepts(seats[2].access)
	// The first may have told of the second end before its connection was cut.
	eventually(t, "the feed to follow the other node", func() bool {
		s := g.Feed.State()
		return !s.Stale && s.Mode == "stream"
	})
	end(seats[2])
	g.refuses(seats[2].access, 401, "The session has ended", withinASecond)
}

// TestOutPairwise: an API that knows people by pairwise subjects is told of them
// under those.
func TestOutPairwise(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		g := guardOrders(t, h, resource.Deny)
		s := front()
		s.Audiences, s.SubjectType = []string{orders}, model.SubjectPairwise
		x := &seat{browser: h.Browser(), user: h.User("olena", password)}
		x.client, x.secret = h.Client("private", s)
		x.signIn(t, h, password)
		if sub := unverified(t, x.access)["sub"]; sub == string(x.user.ID) {
			t.Fatal("the subject is not pairwise")
		}
		g.accepts(x.access)
		if err := h.Accounts.Lock(t.Context(), servertest.Operator, x.user.ID); err != nil {
			t.Fatal(err)
		}
		// The sessions end in the same transaction, and before the account.
		eventually(t, "the account to be disabled", func() bool { return g.call(x.access).Status == 403 })
	})
}

// TestOutOfAMachine: a client's own token is put out with its client, and by
// nothing that happens to people.
func TestOutOfAMachine(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		g := guardOrders(t, h, resource.Deny)
		c, secret := h.Client("robot", model.ClientSettings{Scopes: []string{"orders:write"}, Audiences: []string{orders}})
		token := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}}).String("access_token")
		x := sit(t, h, "olena")
		if err := h.Accounts.Lock(t.Context(), servertest.Operator, x.user.ID); err != nil {
			t.Fatal(err)
		}
		g.refuses(x.access, 403, "The account is disabled. To sign in again does not help.", withinASecond)
		g.accepts(token)
		if err := h.Registrar.DeleteClient(t.Context(), servertest.Operator, c.ID); err != nil {
			t.Fatal(err)
		}
		g.refuses(token, 401, "The client was revoked", withinASecond)
	})
}

// TestOutFeedClient: the API's own client loses its right to follow the feed; the
// feed says so, and goes stale.
func TestOutFeedClient(t *testing.T) {
	h := servertest.Start(t)
	g := guardOrders(t, h, resource.Deny)
	x := sit(t, h, "olena")
	g.accepts(x.access)
	if _, err := h.Registrar.DisableClient(t.Context(), servertest.Operator, "orders-api", true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the feed to say why", func() bool { return g.Feed.State().Err != nil })
	eventually(t, "the feed to be stale", func() bool { return g.call(x.access).Status == 503 })
	if _, err := h.Registrar.DisableClient(t.Context(), servertest.Operator, "orders-api", false); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the feed to be current", func() bool { return g.call(x.access).Status == http.StatusNoContent })
}
