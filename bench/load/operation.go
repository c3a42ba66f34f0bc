package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"

	"github.com/ostiary/ostiary/bench/house"
)

type client = house.Client

const (
	password = "correct horse battery"
	callback = "http://127.0.0.1:1/callback" // nobody is there, and nobody goes
)

// server is the house with two applications, and a person for each connection: who
// signs in sixteen times at once is taken for somebody who guesses.
type server struct {
	*house.House
	shop, robot client
	people      int
}

func login(number int) string { return fmt.Sprintf("olena%d", number) }

// populate creates people until there are so many.
func (s *server) populate(ctx context.Context, n int) error {
	for ; s.people < n; s.people++ {
		if err := s.User(ctx, login(s.people), password); err != nil {
			return err
		}
	}
	return nil
}

func open(ctx context.Context, o options) (_ *server, err error) {
	c := house.Config{Program: o.Binary, Nodes: o.Nodes, Share: o.Share, Settings: []string{"OSTIARY_LOG_LEVEL=warn"}}
	if o.Sweep > 0 {
		c.Settings = []string{"OSTIARY_LOG_LEVEL=info"} // which tells of the sweep
	}
	if o.Postgres || o.Nodes > 1 {
		c.Database = o.Database
	}
	s := &server{}
	if s.House, err = house.Open(ctx, c); err != nil {
		return nil, err
	}
	if err := s.furnish(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *server) furnish(ctx context.Context) (err error) {
	if s.shop, err = s.Client(ctx, "--id", "shop", "--redirect-uri", callback, "--first-party",
		"--scope", "openid", "--scope", "profile", "--id-token-algorithm", "ES256"); err != nil {
		return err
	}
	s.robot, err = s.Client(ctx, "--id", "robot", "--grant-type", "client_credentials", "--scope", "read", "--resource", s.Issuer)
	return err
}

// operation is one thing that clients and people do. What prepare returns is done
// again and again, and is all that is measured.
type operation struct {
	name    string
	bar     bar
	prepare func(context.Context, *worker) (func(context.Context) error, error)
}

// bar is what an operation may cost one node on SQLite, on the machine that the bars are
// for, and what of that nobody can do without.
type bar struct {
	ms              float64 // of processor time; 0: nothing is set
	requests        float64
	signs, verifies float64 // by ES256
}

var operations = []operation{
	{"client_credentials", bar{0.10, 1, 1, 0}, func(_ context.Context, w *worker) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			_, err := w.robotToken(ctx)
			return err
		}, nil
	}},
	{"sign-in", bar{}, func(_ context.Context, w *worker) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			w.forget()
			_, err := w.signIn(ctx)
			return err
		}, nil
	}},
	{"code", bar{0.55, 2, 2, 0}, func(ctx context.Context, w *worker) (func(context.Context) error, error) {
		if _, err := w.signIn(ctx); err != nil {
			return nil, err
		}
		return func(ctx context.Context) error {
			_, err := w.code(ctx)
			return err
		}, nil
	}},
	{"refresh", bar{0.22, 1, 2, 0}, func(ctx context.Context, w *worker) (func(context.Context) error, error) {
		said, err := w.signIn(ctx)
		if err != nil {
			return nil, err
		}
		token, err := text(said, "refresh_token")
		return func(ctx context.Context) error {
			said, err := w.ask(ctx, "/token", w.shop, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
			if err != nil {
				return err
			}
			token, err = text(said, "refresh_token")
			return err
		}, err
	}},
	{"introspection", bar{0.07, 1, 0, 0}, func(ctx context.Context, w *worker) (func(context.Context) error, error) {
		token, err := w.personToken(ctx)
		return func(ctx context.Context) error {
			said, err := w.ask(ctx, "/introspect", w.robot, url.Values{"token": {token}})
			if err == nil && said["active"] != true {
				err = fmt.Errorf("a live token is told to be %v", said["active"])
			}
			return err
		}, err
	}},
	{"userinfo", bar{0.12, 1, 0, 1}, func(ctx context.Context, w *worker) (func(context.Context) error, error) {
		token, err := w.personToken(ctx)
		return func(ctx context.Context) error { return w.fetch(ctx, "/userinfo", token) }, err
	}},
	{"revocation", bar{}, func(_ context.Context, w *worker) (func(context.Context) error, error) {
		return func(ctx context.Context) error { // of a token that was made for that
			token, err := w.robotToken(ctx)
			if err != nil {
				return err
			}
			_, err = w.ask(ctx, "/revoke", w.robot, url.Values{"token": {token}})
			return err
		}, nil
	}},
	{"keys", bar{0.03, 1, 0, 0}, func(_ context.Context, w *worker) (func(context.Context) error, error) {
		return func(ctx context.Context) error { return w.fetch(ctx, "/jwks", "") }, nil
	}},
	{"discovery", bar{0.03, 1, 0, 0}, func(_ context.Context, w *worker) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			return w.fetch(ctx, "/.well-known/openid-configuration", "")
		}, nil
	}},
}

func names() []string {
	var all []string
	for _, op := range operations {
		all = append(all, op.name)
	}
	return all
}

// fetch takes a document, packed if it can be had so, and leaves it packed: to unpack it
// costs a client more than the answer costs the server, whose processor it is.
func (w *worker) fetch(ctx context.Context, path, token string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Issuer+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept-Encoding", "gzip")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	a, err := w.do(r)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("%s answers %d %.300s", path, a.status, a.body)
	}
	return err
}

func (w *worker) robotToken(ctx context.Context) (string, error) {
	said, err := w.ask(ctx, "/token", w.robot, url.Values{"grant_type": {"client_credentials"}})
	if err != nil {
		return "", err
	}
	return text(said, "access_token")
}

func (w *worker) personToken(ctx context.Context) (string, error) {
	said, err := w.signIn(ctx)
	if err != nil {
		return "", err
	}
	return text(said, "access_token")
}

// request is an authorization request with PKCE, and its verifier.
func (w *worker) request() (address, verifier string) {
	verifier = rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	return w.Issuer + "/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {w.shop.ID}, "redirect_uri": {callback}, "scope": {"openid profile"},
		"state": {rand.Text()}, "nonce": {rand.Text()},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode(), verifier
}

// code is the whole flow in a browser where somebody is signed in.
func (w *worker) code(ctx context.Context) (map[string]any, error) {
	address, verifier := w.request()
	a, err := w.get(ctx, address)
	if err != nil {
		return nil, err
	}
	return w.redeem(ctx, a, verifier)
}

// signIn is the whole flow with the password.
func (w *worker) signIn(ctx context.Context) (map[string]any, error) {
	address, verifier := w.request()
	page, err := w.get(ctx, address)
	if err != nil {
		return nil, err
	}
	action, form, loginField, passwordField, err := passwordForm(page.body)
	if err != nil {
		return nil, fmt.Errorf("%s: %d: %w", page.at.Path, page.status, err)
	}
	to, err := page.at.Parse(action)
	if err != nil {
		return nil, err
	}
	form.Set(loginField, w.login)
	form.Set(passwordField, password)
	a, err := w.send(ctx, to.String(), form)
	if err != nil {
		return nil, err
	}
	return w.redeem(ctx, a, verifier)
}

// redeem takes the code that an answer sends the browser away with.
func (w *worker) redeem(ctx context.Context, a answer, verifier string) (map[string]any, error) {
	if a.left == nil || a.left.Query().Get("code") == "" {
		return nil, fmt.Errorf("%s answers %d and gives no code: %.300s", a.at.Path, a.status, a.body)
	}
	return w.ask(ctx, "/token", w.shop, url.Values{
		"grant_type": {"authorization_code"}, "code": {a.left.Query().Get("code")}, "redirect_uri": {callback}, "code_verifier": {verifier},
	})
}
