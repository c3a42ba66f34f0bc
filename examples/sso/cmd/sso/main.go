// Command sso runs the two sample applications and their APIs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/ostiary/ostiary/examples/sso"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sso:", err)
		os.Exit(1)
	}
}

// app is one of the two: its port on this machine, and its API's.
type app struct {
	trade        sso.Trade
	host         string
	port, api    *int
	secret       string
	frontChannel bool
}

func (a app) url() string    { return fmt.Sprintf("http://%s:%d", a.host, *a.port) }
func (a app) apiURL() string { return fmt.Sprintf("http://localhost:%d", *a.api) }

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("sso", flag.ExitOnError)
	issuer := flags.String("issuer", "http://localhost:8080", "the authorization server")
	apps := []app{
		{sso.Almanac, "app1.localhost", flags.Int("app1-port", 8081, "port of the almanac"), flags.Int("api1-port", 8083, "port of its API"), os.Getenv("ALMANAC_SECRET"), false},
		{sso.Ledger, "app2.localhost", flags.Int("app2-port", 8082, "port of the ledger"), flags.Int("api2-port", 8084, "port of its API"), os.Getenv("LEDGER_SECRET"), true},
	}
	var ways []sso.Way
	flags.Func("way", "`ID=NAME` of an identity provider of the server, for a button; may be repeated", func(text string) error {
		id, name, ok := strings.Cut(text, "=")
		if !ok || id == "" || name == "" {
			return errors.New("it is not ID=NAME")
		}
		ways = append(ways, sso.Way{ID: id, Name: name})
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	failed := make(chan error, 2*len(apps))
	for i, a := range apps {
		other := apps[1-i]
		front, err := sso.New(sso.Config{
			Trade: a.trade, Issuer: *issuer, ClientID: string(a.trade), ClientSecret: a.secret, BaseURL: a.url(), APIURL: a.apiURL(),
			OtherURL: other.url(), OtherAPIURL: other.apiURL(), Ways: ways, FrontChannel: a.frontChannel, Logger: log,
		})
		if err != nil {
			return err
		}
		api, err := sso.NewAPI(sso.APIConfig{Trade: a.trade, Issuer: *issuer, Audience: a.apiURL(), Logger: log})
		if err != nil {
			return err
		}
		for port, handler := range map[int]http.Handler{*a.port: front.Handler(), *a.api: api.Handler()} {
			l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("localhost:%d", port))
			if err != nil {
				return err
			}
			server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
			go func() { failed <- server.Serve(l) }()
			defer shutdown(server)
		}
	}
	log.Info("the house is open", "almanac", apps[0].url(), "ledger", apps[1].url())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

func shutdown(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, http.ErrServerClosed) {
		slog.Error("not shut down in time", "error", err)
	}
}
