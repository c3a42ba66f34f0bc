// Command shop runs the sample shop and its API.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/ostiary/ostiary/examples/shop"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("shop", flag.ExitOnError)
	issuer := flags.String("issuer", "http://localhost:8080", "the authorization server")
	id := flags.String("client-id", "shop", "the shop's registration there; its secret is read from SHOP_CLIENT_SECRET")
	listen := flags.String("listen", "localhost:8081", "address of the shop")
	apiListen := flags.String("api-listen", "localhost:8082", "address of its API")
	apiID := flags.String("api-client-id", "shop-api", "the registration of the API, with which it follows the revocation feed; its secret is read from SHOP_API_CLIENT_SECRET, and without one it follows none")
	formPost := flags.Bool("form-post", false, "sign in by id_token token and form_post, unless a visitor turns the switch")
	encrypt := flags.Bool("encrypt-cart", false, "likewise, encrypt carts")
	audience := flags.String("audience", "https://api.shop.example", "what access tokens must be for")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	s, err := shop.New(shop.Config{
		Issuer: *issuer, ClientID: *id, ClientSecret: os.Getenv("SHOP_CLIENT_SECRET"),
		BaseURL: "http://" + *listen, APIURL: "http://" + *apiListen,
		FormPost: *formPost, EncryptCart: *encrypt, Logger: log,
	})
	if err != nil {
		return err
	}
	config := shop.APIConfig{Issuer: *issuer, Audience: *audience, URL: "http://" + *apiListen, Logger: log}
	if secret := os.Getenv("SHOP_API_CLIENT_SECRET"); secret != "" {
		config.ClientID, config.ClientSecret = *apiID, secret
	} else {
		log.Warn("the API follows no revocation feed: a stolen token works until it expires")
	}
	api, err := shop.NewAPI(config)
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	go func() { failed <- api.Run(ctx) }()
	for _, server := range []*http.Server{{Addr: *listen, Handler: s.Handler()}, {Addr: *apiListen, Handler: api.Handler()}} {
		server.ReadHeaderTimeout, server.IdleTimeout = 5*time.Second, time.Minute
		go func() { failed <- server.ListenAndServe() }()
		defer shutdown(server)
	}
	log.Info("the shop is open", "url", "http://"+*listen)
	select {
	case err := <-failed:
		if ctx.Err() == nil {
			return err
		}
	case <-ctx.Done():
	}
	return nil
}

func shutdown(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, http.ErrServerClosed) {
		slog.Error("not shut down in time", "error", err)
	}
}
