package account

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/credential"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/ostiary/ostiary/jwa"
)

// cheap is the lowest cost that is allowed.
var cheap = Params{Memory: credential.MinMemory, Time: 1, Threads: 1}

var admin = model.Actor{Kind: model.ActorUser, ID: "the-admin", Address: "192.0.2.1"}

const goodPassword = model.Secret("correct horse battery")

// clock is a time that moves when it is told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now().Truncate(time.Second)} }

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

// house is one account package on one real database.
type house struct {
	*Accounts
	t     *testing.T
	clock *clock
}

func each(t *testing.T, fn func(h house)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, s *store.Store) { fn(open(t, s)) })
}

func open(t *testing.T, s *store.Store) house {
	t.Helper()
	c := newClock()
	a, err := New(Config{Store: s, Keys: ring(t, s), Now: c.now, Password: cheap, TokenLife: 6 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return house{a, t, c}
}

// ring is the keys of a server, of which people's secrets need the master key alone.
func ring(t testing.TB, s *store.Store) *keys.Ring {
	t.Helper()
	master, err := keys.LoadMaster(keys.MasterConfig{Value: model.Secret(strings.Repeat("5a", 32))})
	if err != nil {
		t.Fatal(err)
	}
	r, err := keys.Open(t.Context(), keys.Config{Store: s, Master: master, Algorithms: []jwa.Algorithm{jwa.ES256}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (h house) ctx() context.Context { return h.t.Context() }

// ok fails the test on an error.
func (h house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// is fails the test unless the error is the one wanted.
func (h house) is(got, want error) {
	h.t.Helper()
	if !errors.Is(got, want) {
		h.t.Fatalf("error is %v, want %v", got, want)
	}
}

func (h house) user(login string) model.User {
	h.t.Helper()
	u, err := h.Create(h.ctx(), admin, NewUser{Login: login, Password: goodPassword})
	h.ok(err)
	return u
}

// SignIn begins a session with a password, as the pages do.
func (h house) SignIn(ctx context.Context, t Attempt) (Entry, error) {
	holder := model.NewID()
	if err := h.Password(ctx, holder, t); err != nil {
		return Entry{}, err
	}
	return h.Finish(ctx, holder, Wanted{}, t)
}

// SignUp begins a session with a new account, as the pages do.
func (h house) SignUp(ctx context.Context, name string, t Attempt) (Entry, error) {
	holder := model.NewID()
	if _, err := h.Accounts.SignUp(ctx, holder, name, t); err != nil {
		return Entry{}, err
	}
	return h.Finish(ctx, holder, Wanted{}, t)
}

func (h house) signedIn(login string) Entry {
	h.t.Helper()
	in, err := h.SignIn(h.ctx(), Attempt{Login: login, Password: goodPassword})
	h.ok(err)
	return in
}

func (h house) alive(cookie model.Secret) bool {
	h.t.Helper()
	return h.used(cookie).Session.ID != ""
}

// used returns the live session behind a cookie, which is in use now, or none.
func (h house) used(cookie model.Secret) SignedIn {
	h.t.Helper()
	list, err := h.Held(h.ctx(), []model.Secret{cookie})
	h.ok(err)
	if len(list) == 0 {
		return SignedIn{}
	}
	list[0].Session, err = h.Touch(h.ctx(), list[0].Session)
	h.ok(err)
	return list[0].SignedIn
}

func (h house) view(fn func(*store.Tx) error) {
	h.t.Helper()
	h.ok(h.store.View(h.ctx(), fn))
}

// actions returns what the audit log tells, oldest first.
func (h house) actions() (list []string) {
	h.t.Helper()
	h.view(func(tx *store.Tx) error {
		events, err := tx.Events(0, 1000)
		list = nil
		for _, e := range events {
			if e.Action != "master.use" && e.Action != "key.create" { // of the ring that every house has
				list = append(list, e.Action)
			}
		}
		return err
	})
	return list
}

func (h house) revocations() (list []model.Revocation) {
	h.t.Helper()
	h.view(func(tx *store.Tx) (err error) {
		list, err = tx.Revocations(0, 1000)
		return err
	})
	return list
}

func TestNewRefuses(t *testing.T) {
	s := storetest.SQLite(t)
	good := Config{Store: s, Keys: ring(t, s), TokenLife: time.Minute}
	for name, change := range map[string]func(*Config){
		"no store":                   func(c *Config) { c.Store = nil },
		"no keys":                    func(c *Config) { c.Keys = nil },
		"a method that there is not": func(c *Config) { c.Methods = []model.Method{"password", "voice"} },
		"no method to begin with":    func(c *Config) { c.Methods = []model.Method{model.MethodTOTP} },
		"a policy that there is not": func(c *Config) { c.SecondFactor = "always" },
		"a second factor that nobody can have": func(c *Config) {
			c.SecondFactor, c.Methods = model.SecondRequired, []model.Method{model.MethodPassword}
		},
		"browsers remembered for too long":   func(c *Config) { c.RememberDevice = 1000 * 24 * time.Hour },
		"no token life":                      func(c *Config) { c.TokenLife = 0 },
		"idle under two minutes":             func(c *Config) { c.Idle = time.Minute },
		"negative idle":                      func(c *Config) { c.Idle = -time.Hour },
		"absolute under idle":                func(c *Config) { c.Idle, c.Absolute = 2*time.Hour, time.Hour },
		"remembered absolute under its idle": func(c *Config) { c.RememberAbsolute = time.Hour },
		"negative number of hashes":          func(c *Config) { c.Hashes = -1 },
		"negative limit of sign-ups":         func(c *Config) { c.SignUpLimit = -1 },
		"passwords of seven characters":      func(c *Config) { c.PasswordLength = 7 },
		"passwords of 65 characters":         func(c *Config) { c.PasswordLength = 65 },
		"negative wait":                      func(c *Config) { c.HashWait = -1 },
		"memory too small":                   func(c *Config) { c.Password = Params{Memory: 1024, Time: 2, Threads: 1} },
		"memory too large":                   func(c *Config) { c.Password = Params{Memory: credential.MaxMemory + 1, Time: 2, Threads: 1} },
		"no passes":                          func(c *Config) { c.Password = Params{Memory: 19456, Threads: 1} },
		"too many passes":                    func(c *Config) { c.Password = Params{Memory: 19456, Time: credential.MaxTime + 1, Threads: 1} },
		"no threads":                         func(c *Config) { c.Password = Params{Memory: 19456, Time: 2} },
		"too many threads":                   func(c *Config) { c.Password = Params{Memory: 19456, Time: 2, Threads: credential.MaxThreads + 1} },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	a, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	if a.passwords.Params != credential.DefaultParams || a.life[false] != (life{2 * 3600, 12 * 3600}) || a.life[true] != (life{14 * 86400, 90 * 86400}) {
		t.Errorf("defaults are %v %v", a.passwords.Params, a.life)
	}
}

// Nothing that is a secret may be found in the files of the database.
func TestNothingSecretAtRest(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(dir, "ostiary.db")})
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, s)
	token, err := h.SetupLink(h.ctx())
	h.ok(err)
	_, err = h.CompleteSetup(h.ctx(), token, NewUser{Login: "ada-at-rest", Password: goodPassword}, "")
	h.ok(err)
	in := h.signedIn("ada-at-rest")
	h.ok(s.Close())

	found := false
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, secret := range []model.Secret{token, in.Cookie, goodPassword} {
			if bytes.Contains(data, []byte(secret.Reveal())) {
				t.Errorf("%s holds a secret in clear", filepath.Base(path))
			}
		}
		found = found || bytes.Contains(data, []byte("ada-at-rest"))
		return err
	})
	h.ok(err)
	if !found {
		t.Error("the login was not found either: the test looked in the wrong place")
	}
}
