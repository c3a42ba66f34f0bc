package federation

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/credential"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/ostiary/ostiary/internal/upstream"
	"github.com/ostiary/ostiary/jwa"
)

var operator = model.Actor{Kind: model.ActorShell, ID: "test"}

// nowhere is a client for connectors that ask nobody.
var nowhere = &http.Client{Transport: http.NewFileTransport(http.Dir("/nowhere"))}

func noDial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("nobody there")
}

// elsewhere is somebody else's house: what its connectors tell, by the code or the
// login that is brought.
type elsewhere struct {
	mu      sync.Mutex
	people  map[string]upstream.Person
	fails   error // what every call returns; nil: it works
	wishes  []upstream.Wish
	ends    map[string]upstream.Ending
	left    []upstream.Stay
	request string // by which Leave is asked, where the answer comes to us; empty: it does not
	calls   int
	answers []upstream.Answer
}

// visited is a connector to which the browser goes.
type visited struct {
	*elsewhere
	c upstream.Config
}

func (v visited) Probe(context.Context) error { return v.failing() }

func (e *elsewhere) failing() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	return e.fails
}

func (v visited) Begin(_ context.Context, w upstream.Wish) (upstream.Departure, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls++
	v.wishes = append(v.wishes, w)
	return upstream.Departure{Address: "https://elsewhere.example/authorize?state=" + w.State, Kept: upstream.Kept{"nonce": "n-" + w.State}}, v.fails
}

func (v visited) Finish(_ context.Context, kept upstream.Kept, a upstream.Answer) (upstream.Person, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls++
	v.answers = append(v.answers, a)
	if v.fails != nil {
		return upstream.Person{}, v.fails
	}
	p, ok := v.people[a.Values.Get("code")]
	if !ok || kept["nonce"] != "n-"+StateOf(a) {
		return upstream.Person{}, &upstream.Error{Code: upstream.Untrusted, Reason: "the code is not known"}
	}
	return p, nil
}

func (v visited) Leave(_ context.Context, s upstream.Stay, back, state string) (upstream.Departure, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.left = append(v.left, s)
	d := upstream.Departure{Address: "https://elsewhere.example/logout?" + url.Values{"back": {back}, "state": {state}}.Encode()}
	if v.request != "" {
		d.Kept = upstream.Kept{"request": v.request}
	}
	return d, nil
}

func (v visited) Ended(_ context.Context, a upstream.Answer) (upstream.Ending, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e, ok := v.ends[a.Values.Get("logout_token")]
	if !ok {
		return e, &upstream.Error{Code: upstream.Untrusted, Reason: "the token is not known"}
	}
	return e, nil
}

// directory is a connector that compares passwords.
type directory struct{ *elsewhere }

func (d directory) Probe(context.Context) error { return d.failing() }

func (d directory) Password(_ context.Context, login string, password model.Secret) (upstream.Person, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if d.fails != nil {
		return upstream.Person{}, d.fails
	}
	p, ok := d.people[login+"/"+password.Reveal()]
	if !ok {
		return upstream.Person{}, upstream.ErrWrongPassword
	}
	return p, nil
}

// clock is a time that moves when it is told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// house is one federation on one real database, and what stands elsewhere.
type house struct {
	*Federation
	t     *testing.T
	clock *clock
	there *elsewhere
	box   *mail.Box
	post  *mail.Post
	log   *logged
}

type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func each(t *testing.T, fn func(h house)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, s *store.Store) { fn(open(t, s)) })
}

func open(t *testing.T, s *store.Store) house {
	t.Helper()
	master, err := keys.LoadMaster(keys.MasterConfig{Value: model.Secret(strings.Repeat("5a", 32))})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Open(t.Context(), keys.Config{Store: s, Master: master, Algorithms: []jwa.Algorithm{jwa.ES256}})
	if err != nil {
		t.Fatal(err)
	}
	h := house{t: t, clock: &clock{at: time.Now().Truncate(time.Second)}, there: &elsewhere{people: map[string]upstream.Person{}, ends: map[string]upstream.Ending{}}, box: &mail.Box{}, log: &logged{}}
	h.post, err = mail.New(mail.Config{Box: h.box, Name: "Here", Issuer: "https://id.example", Language: "en", Now: h.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := account.New(account.Config{
		Store: s, Keys: ring, Now: h.clock.now, TokenLife: time.Hour, Post: h.post, Issuer: "https://id.example",
		Password: account.Params{Memory: credential.MinMemory, Time: 1, Threads: 1}, SignUpLimit: 5,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Federation, err = New(Config{
		Store: s, Keys: ring, Accounts: accounts, Issuer: "https://id.example", Now: h.clock.now, Logger: slog.New(slog.NewTextHandler(h.log, nil)),
		Client: nowhere, Internal: nowhere, Dial: noDial, InternalDial: noDial,
		Kinds: []Kind{
			{"visited", []string{"client_secret"}, nil, func(c upstream.Config) (upstream.Connector, error) {
				if strings.Contains(string(c.Connection), "broken") {
					return nil, upstream.ErrInvalid{Member: "issuer", Reason: "must be an address"}
				}
				return visited{h.there, c}, nil
			}},
			{"directory", nil, nil, func(upstream.Config) (upstream.Connector, error) { return directory{h.there}, nil }},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h house) ctx() context.Context { return h.t.Context() }

func (h house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// refuses fails the test unless an error is a refusal with that code.
func (h house) refuses(err error, code Code) {
	h.t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || r.Code != code {
		h.t.Fatalf("error is %v, want a refusal: %s", err, code)
	}
}

// add adds a provider.
func (h house) add(id string, s model.UpstreamSettings) model.Upstream {
	h.t.Helper()
	if s.Kind == "" {
		s.Kind = "visited"
	}
	if s.Connection == nil {
		s.Connection = []byte(`{}`)
	}
	u, err := h.Change(h.ctx(), operator, Change{ID: model.UpstreamID(id), After: &model.Upstream{UpstreamSettings: s}})
	h.ok(err)
	return u
}

const goodPassword = model.Secret("correct horse battery")

// user makes an account with a confirmed address.
func (h house) user(login, address string) model.User {
	h.t.Helper()
	u, err := h.Accounts.Create(h.ctx(), operator, account.NewUser{
		Login: login, Password: goodPassword, Profile: model.Profile{Name: "Ada", Email: address, EmailVerified: address != ""},
	})
	h.ok(err)
	return u
}

// person is somebody over there with a confirmed address.
func person(subject, address string) upstream.Person {
	p := upstream.Person{Issuer: "https://elsewhere.example", Subject: subject, Claims: map[string]any{"sub": subject, "name": "Ada Lovelace"}}
	if address != "" {
		p.Claims["email"], p.Claims["email_verified"] = address, true
	}
	return p
}

// visit goes there and comes back with a code.
func (h house) visit(id, holder, code string) (Outcome, error) {
	h.t.Helper()
	return h.come(h.leave(id, holder), id, code)
}

func (h house) leave(id, holder string) Leaving {
	h.t.Helper()
	l, err := h.Begin(h.ctx(), Departing{Upstream: model.UpstreamID(id), Holder: holder})
	h.ok(err)
	return l
}

func stateIn(l Leaving) string { return l.Address[strings.Index(l.Address, "state=")+6:] }

func (h house) come(l Leaving, id, code string) (Outcome, error) {
	a := Answer{Method: "GET", Values: url.Values{"state": {stateIn(l)}, "code": {code}}}
	if CookieFor(a) != l.Cookie.Name {
		h.t.Errorf("the cookie is %q, and %q is looked for", l.Cookie.Name, CookieFor(a))
	}
	return h.Finish(h.ctx(), Return{Upstream: model.UpstreamID(id), Answer: a, Browser: l.Cookie.Value, Address: "192.0.2.7"})
}

// begin begins the session of what was proven under a holder.
func (h house) begin(holder string) account.Entry {
	h.t.Helper()
	in, err := h.Accounts.Finish(h.ctx(), holder, account.Wanted{}, account.Attempt{Address: "192.0.2.7"})
	h.ok(err)
	return in
}

// connectAs connects somebody over there with a person, by a session of theirs.
func (h house) connectAs(user model.User, id, code string) (Outcome, error) {
	h.t.Helper()
	s := h.session(user)
	l, err := h.Begin(h.ctx(), Departing{Upstream: model.UpstreamID(id), Holder: "own " + string(s.ID), Connect: s.ID})
	h.ok(err)
	return h.come(l, id, code)
}

func (h house) session(user model.User) model.Session {
	h.t.Helper()
	holder := model.NewID()
	h.ok(h.Accounts.Password(h.ctx(), holder, account.Attempt{Login: user.Login, Password: goodPassword}))
	return h.begin(holder).Session
}

func (h house) identities(user model.User) []Identity {
	h.t.Helper()
	list, err := h.Identities(h.ctx(), user.ID)
	h.ok(err)
	return list
}

// events lists the actions of the audit log that begin so.
func (h house) events(prefix string) (list []model.Event) {
	h.t.Helper()
	h.ok(h.Store.View(h.ctx(), func(tx *store.Tx) error {
		all, err := tx.Events(0, 0)
		for _, e := range all {
			if strings.HasPrefix(e.Action, prefix) {
				list = append(list, e)
			}
		}
		return err
	}))
	return list
}

// unconfirmed makes an account with an address of which nobody has made sure.
func (h house) unconfirmed(login, address string) model.User {
	h.t.Helper()
	u, err := h.Accounts.Create(h.ctx(), operator, account.NewUser{Login: login, Password: goodPassword, Profile: model.Profile{Email: address}})
	h.ok(err)
	return u
}

// letters are those about how somebody signs in.
func (h house) letters() []mail.Kept {
	h.post.Flush(h.ctx())
	return h.box.Letters()
}

// together does something n times at once and counts for how many it went well.
func (h house) together(n int, do func(i int) bool) (won int) {
	results := make(chan bool, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { results <- do(i) })
	}
	group.Wait()
	for range n {
		if <-results {
			won++
		}
	}
	return won
}
