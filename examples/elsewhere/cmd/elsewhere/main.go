// Command elsewhere runs the two stand-ins for identity providers.
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
	"time"

	"github.com/ostiary/ostiary/examples/elsewhere"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "elsewhere:", err)
		os.Exit(1)
	}
}

var (
	harbourPeople = []elsewhere.Person{
		{ID: "248289761001", Login: "mina", Name: "Mina Murray", Email: "mina@harbour.example", EmailVerified: true},
		{ID: "248289761002", Login: "bob", Name: "Bob Cratchit", Email: "bob@example.com", EmailVerified: true},
	}
	workbenchPeople = []elsewhere.Person{
		{ID: "583231", Login: "ada", Name: "Ada Lovelace", Email: "ada@workbench.example", EmailVerified: true},
		{ID: "583232", Login: "mallory", Name: "Mallory", Email: "bob@example.com", About: "Claims the address of somebody else."},
	}
)

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("elsewhere", flag.ExitOnError)
	server := flags.String("server", "http://localhost:8080", "the server that sends people here")
	name := flags.String("server-name", "Ostiary", "its name on the pages")
	id := flags.String("client-id", "ostiary", "its registration here; its secret is read from ELSEWHERE_SECRET")
	harbour := flags.Int("harbour-port", 8081, "port of Harbour, the OpenID Provider")
	workbench := flags.Int("workbench-port", 8082, "port of Workbench, the OAuth 2.0 server")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	config := func(name, path string, port int, people []elsewhere.Person, client elsewhere.Client) elsewhere.Config {
		client.ID, client.Secret, client.RedirectURI = *id, os.Getenv("ELSEWHERE_SECRET"), *server+"/upstream/"+path+"/callback"
		return elsewhere.Config{URL: fmt.Sprintf("http://127.0.0.1:%d", port), Name: name, People: people, Client: client, Logger: log}
	}
	openID, err := elsewhere.NewOpenID(config("Harbour", "harbour", *harbour, harbourPeople, elsewhere.Client{
		Name: *name, PostLogoutRedirectURI: *server + "/signed-out", BackchannelURI: *server + "/upstream/harbour/backchannel",
	}))
	if err != nil {
		return err
	}
	plain, err := elsewhere.NewOAuth(config("Workbench", "workbench", *workbench, workbenchPeople, elsewhere.Client{Name: *name}))
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	for port, handler := range map[int]http.Handler{*harbour: openID.Handler(), *workbench: plain.Handler()} {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		s := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
		go func() { failed <- s.Serve(l) }()
		defer shutdown(s)
	}
	log.Info("the street is open", "harbour", *harbour, "workbench", *workbench)
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
