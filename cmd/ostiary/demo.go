package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/examples/shop"
	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/urfave/cli/v3"
)

// The people of the demo. Their password is no secret: the demo listens on
// loopback only, and what it knows is gone when it ends.
var demoUsers = []account.NewUser{
	{Login: "alice", Admin: true, Profile: model.Profile{Name: "Alice Liddell", GivenName: "Alice", FamilyName: "Liddell", Email: "alice@example.com", EmailVerified: true}},
	{Login: "bob", Profile: model.Profile{Name: "Bob Cratchit", GivenName: "Bob", FamilyName: "Cratchit", Email: "bob@example.com", EmailVerified: true}},
}

const demoPassword = "open sesame please"

func (sh shell) demo() *cli.Command {
	port := func(name, usage string) cli.Flag {
		return &cli.IntFlag{Name: name, Usage: usage, DefaultText: "a free one"}
	}
	return &cli.Command{
		Name: "demo", Usage: "run a server, a sample shop and its API, with test users; nothing is kept",
		Flags: []cli.Flag{
			port("port", "port of the server"), port("shop-port", "port of the shop"), port("api-port", "port of the shop's API"),
			&cli.BoolFlag{Name: "verbose", Usage: "log every request"},
		},
		Action: sh.runDemo,
	}
}

// demo is what runs together.
type demo struct {
	server                      *server.Server
	logger                      *slog.Logger
	listeners                   map[string]net.Listener
	samples                     map[string]http.Handler // by the name of their listener
	serverURL, shopURL, shopAPI string
	elsewhereSecret             string                      // of the server at the stand-ins
	follow                      func(context.Context) error // the revocation feed, for the API
}

func (sh shell) runDemo(ctx context.Context, c *cli.Command) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process on the spot

	folder, err := os.MkdirTemp("", "ostiary-demo-")
	if err != nil {
		return fmt.Errorf("cannot make a temporary folder: %w: set TMPDIR to one that can be written", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()

	level := "warn"
	if c.Bool("verbose") {
		level = "info"
	}
	d := &demo{logger: sh.logger(settings{LogLevel: level, LogFormat: "text"}), listeners: map[string]net.Listener{}, samples: map[string]http.Handler{}, elsewhereSecret: rand.Text()}
	for _, name := range []string{"port", "shop-port", "api-port"} {
		if d.listeners[name], err = listenLocal(ctx, name, c.Int(name)); err != nil {
			return errors.Join(err, d.close())
		}
	}
	for _, name := range ssoListeners {
		if d.listeners[name], err = listenLocal(ctx, name, 0); err != nil {
			return errors.Join(err, d.close())
		}
	}
	if err := d.furnish(ctx, folder); err != nil {
		return errors.Join(err, d.close())
	}
	if err := sh.announce(c, d); err != nil {
		return errors.Join(err, d.close())
	}
	return d.run(ctx)
}

func listenLocal(ctx context.Context, flag string, port int) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("cannot listen on port %d: %w: choose another with --%s, or leave it out for a free one", port, err, flag)
	}
	return l, nil
}

func (d *demo) url(name string) string {
	return fmt.Sprintf("http://localhost:%d", d.listeners[name].Addr().(*net.TCPAddr).Port)
}

// furnish makes the server, its users, and the shop that is its client.
func (d *demo) furnish(ctx context.Context, folder string) (err error) {
	d.serverURL, d.shopURL, d.shopAPI = d.url("port"), d.url("shop-port"), d.url("api-port")
	d.server, err = server.New(ctx, server.Config{
		Listener: d.listeners["port"], Issuer: d.serverURL, Data: folder, Logger: d.logger, Mailbox: true,
	})
	if err != nil {
		return err
	}
	by := model.Actor{Kind: model.ActorSystem}
	for _, u := range demoUsers {
		u.Password = demoPassword
		if _, err := d.server.Accounts.Create(ctx, by, u); err != nil {
			return err
		}
	}
	registered, secret, err := d.server.Registrar.CreateClient(ctx, by, model.ClientSettings{
		Name: "The Gatehouse", URI: d.shopURL,
		RedirectURIs: []string{d.shopURL + "/callback"}, PostLogoutRedirectURIs: []string{d.shopURL + "/"},
		BackchannelURI: d.shopURL + "/signed-out-elsewhere", BackchannelSession: true,
		GrantTypes:    []string{model.GrantAuthorizationCode, model.GrantRefreshToken, model.GrantImplicit},
		ResponseTypes: []string{client.ResponseCode, client.ResponseTokens},
		Scopes:        shop.Scopes, Audiences: []string{d.shopAPI},
	}, "shop")
	if err != nil {
		return err
	}
	follower, followerSecret, err := d.server.Registrar.CreateClient(ctx, by, model.ClientSettings{
		Name: "The Gatehouse, orders", GrantTypes: []string{model.GrantClientCredentials},
		Scopes: []string{"ostiary:feed"}, Resources: []string{d.shopAPI},
	}, "shop-api")
	if err != nil {
		return err
	}
	front, err := shop.New(shop.Config{
		Issuer: d.serverURL, ClientID: string(registered.ID), ClientSecret: secret.Reveal(),
		BaseURL: d.shopURL, APIURL: d.shopAPI, Logger: d.logger,
	})
	if err != nil {
		return err
	}
	back, err := shop.NewAPI(shop.APIConfig{
		Issuer: d.serverURL, Audience: d.shopAPI, URL: d.shopAPI,
		ClientID: string(follower.ID), ClientSecret: followerSecret.Reveal(), Logger: d.logger,
	})
	if err != nil {
		return err
	}
	d.samples["shop-port"], d.samples["api-port"], d.follow = front.Handler(), back.Handler(), back.Run
	return d.furnishSSO(ctx, by)
}

// announce prints where everything is, once it can be visited.
func (sh shell) announce(c *cli.Command, d *demo) error {
	type person struct {
		Login    string `json:"login"`
		Password string `json:"password"`
		Admin    bool   `json:"admin"`
	}
	people := []person{}
	rows := [][]string{}
	for _, u := range demoUsers {
		people = append(people, person{u.Login, demoPassword, u.Admin})
		note := ""
		if u.Admin {
			note = "administrator"
		}
		rows = append(rows, []string{u.Login, demoPassword, note})
	}
	if c.Bool("json") {
		return sh.printJSON(map[string]any{"server": d.serverURL, "shop": d.shopURL, "api": d.shopAPI, "mailbox": d.serverURL + "/mailbox", "users": people,
			"app1": d.at("app1.localhost", "app1"), "app2": d.at("app2.localhost", "app2"), "harbour": d.at("127.0.0.1", "harbour"), "workbench": d.at("127.0.0.1", "workbench")})
	}
	addresses := table{columns: []string{"WHAT", "ADDRESS", ""}, rows: [][]string{
		{"The shop", d.shopURL, "begin here"}, {"Its API", d.shopAPI, "what the access token is for"},
		{"Almanac", d.at("app1.localhost", "app1"), "one of two applications with one sign-in"}, {"Ledger", d.at("app2.localhost", "app2"), "the other one"},
		{"Harbour", d.at("127.0.0.1", "harbour"), "stands in for somebody else's OpenID Provider"}, {"Workbench", d.at("127.0.0.1", "workbench"), "stands in for somebody else's OAuth 2.0 server"},
		{"Ostiary", d.serverURL, "the server that signs people in"},
		{"Its mailbox", d.serverURL + "/mailbox", "all letters that it writes"},
	}}
	if err := sh.printTable(c, addresses); err != nil {
		return err
	}
	fmt.Fprintln(sh.stdout)
	if err := sh.printTable(c, table{columns: []string{"USER", "PASSWORD", ""}, rows: rows}); err != nil {
		return err
	}
	_, err := fmt.Fprintln(sh.stdout, "\nNothing is kept. Stop with Ctrl-C.")
	return err
}

// run serves all of them until ctx is done or one of them fails.
func (d *demo) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	ended := make(chan error, 2+len(d.samples))
	all.Go(func() { ended <- d.server.Run(ctx); cancel() })
	all.Go(func() { ended <- d.follow(ctx); cancel() })
	for name, handler := range d.samples {
		all.Go(func() { ended <- serveSample(ctx, d.listeners[name], handler); cancel() })
	}
	all.Wait()
	close(ended)
	var err error
	for one := range ended {
		err = errors.Join(err, one)
	}
	return err
}

func serveSample(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		shut, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return s.Shutdown(shut)
	}
}

// close frees what was opened before run.
func (d *demo) close() error {
	var err error
	if d.server != nil {
		err = d.server.Close()
		delete(d.listeners, "port")
	}
	for _, l := range d.listeners {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
	}
	return err
}
