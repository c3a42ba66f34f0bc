// Command restapi runs the sample REST API and, as "restapi client", the program that
// uses it from a terminal.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/ostiary/ostiary/examples/restapi"
	"github.com/ostiary/ostiary/examples/restapi/terminal"
	"golang.org/x/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := serve
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "client" {
		run, args = use, args[1:]
	}
	err := run(ctx, args)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "restapi:", err)
	if e, ok := errors.AsType[*terminal.Error](err); ok {
		os.Exit(int(e.Outcome))
	}
	os.Exit(1)
}

func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("restapi", flag.ExitOnError)
	issuer := flags.String("issuer", "http://localhost:8080", "the authorization server")
	id := flags.String("client-id", "restapi", "the API's registration there; its secret is read from RESTAPI_SECRET")
	listen := flags.String("listen", "localhost:8081", "address of the API")
	audience := flags.String("audience", "", "what access tokens must be for; default: http:// and the address")
	feed := flags.String("feed", "", "address of the revocation feed; default: where the issuer says")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *audience == "" {
		*audience = "http://" + *listen
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	a, err := restapi.New(restapi.Config{
		Issuer: *issuer, ClientID: *id, ClientSecret: os.Getenv("RESTAPI_SECRET"), Audience: *audience, FeedURL: *feed, Logger: log,
	})
	if err != nil {
		return err
	}
	server := &http.Server{Addr: *listen, Handler: a.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	ended := make(chan error, 2)
	go func() { ended <- a.Run(ctx) }()
	go func() { ended <- server.ListenAndServe() }()
	log.Info("the API is open", "url", "http://"+*listen)
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	// For five seconds net/http waits for connections on which nobody has asked anything.
	shut, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, server.Shutdown(shut))
}

// use is the program for the terminal.
func use(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	api := flags.String("api", "http://localhost:8081", "")
	file := flags.String("state", "", "")
	if err := flags.Parse(args); err != nil {
		return &terminal.Error{Outcome: terminal.Usage, Detail: terminal.Help}
	}
	if *file == "" {
		folder, err := os.UserConfigDir()
		if err != nil {
			return fmt.Errorf("there is no place for tokens: name a file with --state: %w", err)
		}
		*file = filepath.Join(folder, "ostiary-restapi", "session.json")
	}
	p := terminal.Program{
		API: *api, State: *file, Stdout: os.Stdout, Steps: os.Stderr, Password: password,
		Colour: term.IsTerminal(int(os.Stderr.Fd())) && os.Getenv("NO_COLOR") == "",
		HTTP:   &http.Client{Timeout: 30 * time.Second}, Now: time.Now, Sleep: sleep,
	}
	return p.Run(ctx, flags.Args())
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// password asks on a terminal, and reads one line of standard input otherwise. It is
// never an argument: those are seen by everybody on the machine.
func password(question string) (string, error) {
	if in := int(os.Stdin.Fd()); term.IsTerminal(in) {
		fmt.Fprint(os.Stderr, question)
		text, err := term.ReadPassword(in)
		fmt.Fprintln(os.Stderr)
		return string(text), err
	}
	line, err := bufio.NewReader(io.LimitReader(os.Stdin, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}
