// Package servertest runs the real server for tests: on a real temporary
// database, with a clock that can be moved and a browser that keeps cookies and
// fills in forms. Tests drive it from outside, as a client and a person would.
//
// It is imported by tests only.
package servertest

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// House is a running server and what a test needs of it.
type House struct {
	*server.Server
	Issuer string
	Clock  *Clock
	Log    *Log
	t      testing.TB
	config server.Config
	stop   func()
}

// Option changes the configuration before the server starts.
type Option func(*server.Config)

// Operator is the actor of what tests do behind the doors.
var Operator = model.Actor{Kind: model.ActorShell, ID: "test"}

// Each runs fn against a server on SQLite and one on PostgreSQL.
func Each(t *testing.T, fn func(t *testing.T, h *House), options ...Option) {
	t.Run("sqlite", func(t *testing.T) { fn(t, Start(t, options...)) })
	t.Run("postgres", func(t *testing.T) {
		fn(t, Start(t, append(options, func(c *server.Config) { c.Database = storetest.PostgresURL(t) })...))
	})
}

// Start runs a server on a free loopback port until the test ends.
func Start(t testing.TB, options ...Option) *House {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	clock, log := &Clock{}, &Log{}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	c := server.Config{
		Listener: listener,
		Issuer:   "http://localhost:" + port,
		Data:     t.TempDir(),
		Password: account.Params{Memory: 8 << 10, Time: 1, Threads: 1}, // cheap: tests sign in often
		Logger:   slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:      clock.Now,

		DatabaseWait: time.Minute, // as long as a busy machine takes

		GenerateKey: spares.take,
	}
	for _, o := range options {
		o(&c)
	}
	if file := filepath.Join(c.Data, "ostiary.db"); c.Database == "" && !exists(file) {
		storetest.MakeFile(t, file)
	}
	h := &House{Clock: clock, Log: log, t: t, config: c}
	h.run()
	t.Cleanup(func() { h.stop() })
	return h
}

// run serves with the House's configuration until stop is called.
func (h *House) run() {
	h.t.Helper()
	s, err := server.New(context.Background(), h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	h.Server, h.Issuer = s, s.Config.Issuer
	h.stop = func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("the server stopped with: %v", err)
		}
	}
}

// Restart stops the server and starts another one in its place: on the same
// database, data folder and address, with nothing else left of the old one.
// Options change the configuration before.
func (h *House) Restart(options ...Option) {
	h.t.Helper()
	h.Stop()
	listener, err := net.Listen("tcp", h.config.Listener.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	h.config.Listener = listener
	for _, o := range options {
		o(&h.config)
	}
	h.run()
}

// Stop stops the server before the test ends.
func (h *House) Stop() {
	h.t.Helper()
	h.stop()
	h.stop = func() {}
}

// User makes an account with every standard claim.
func (h *House) User(login, password string) model.User {
	h.t.Helper()
	u, err := h.Accounts.Create(context.Background(), Operator, account.NewUser{
		Login: login, Password: model.Secret(password),
		Profile: model.Profile{
			Name: "Olena " + login, GivenName: "Olena", FamilyName: login, MiddleName: "M.", Nickname: login,
			PreferredUsername: login, Page: "https://people.example/" + login, Picture: "https://people.example/p.png",
			Website: "https://example.com", Gender: "female", Birthdate: "1990-02-28", Zoneinfo: "Europe/Kyiv",
			Locale: "en-GB", Email: login + "@example.com", EmailVerified: true, PhoneNumber: "+380441234567",
			Address: &model.Address{Locality: "Kyiv", Country: "Ukraine"}, Groups: []string{"staff"},
		},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return u
}

// Client registers a client and returns its secret.
func (h *House) Client(id string, s model.ClientSettings) (model.Client, model.Secret) {
	h.t.Helper()
	c, secret, err := h.Registrar.CreateClient(context.Background(), Operator, s, model.ClientID(id))
	if err != nil {
		h.t.Fatal(err)
	}
	return c, secret
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// Clock runs with the real one, and can be moved ahead or back.
type Clock struct{ offset atomic.Int64 }

// Now is the time in the house.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

// Move moves the time in the house.
func (c *Clock) Move(d time.Duration) { c.offset.Add(int64(d)) }

// Log keeps what the server logs.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

var _ io.Writer = (*Log)(nil)

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// String returns all that was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
