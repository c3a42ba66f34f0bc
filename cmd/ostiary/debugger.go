package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"syscall"

	"github.com/ostiary/ostiary/internal/debugger"
	"github.com/urfave/cli/v3"
)

func (sh shell) debugger() *cli.Command {
	return &cli.Command{
		Name: "debugger", Usage: "a page to read, verify, change and sign tokens, on this machine",
		Description: "Tokens and keys stay in the browser. A running server has the same page at /debugger.",
		Flags:       []cli.Flag{&cli.IntFlag{Name: "port", Usage: "port of the page", DefaultText: "a free one"}},
		Action:      sh.runDebugger,
	}
}

func (sh shell) runDebugger(ctx context.Context, c *cli.Command) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process on the spot

	page, err := debugger.New(debugger.Config{})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", page)
	mux.Handle("GET /{$}", http.RedirectHandler(debugger.Path, http.StatusSeeOther))

	l, err := listenLocal(ctx, "port", c.Int("port"))
	if err != nil {
		return err
	}
	address := fmt.Sprintf("http://localhost:%d%s", l.Addr().(*net.TCPAddr).Port, debugger.Path)
	if err := sh.say(c, map[string]string{"debugger": address}, "The token debugger is at %s\nStop with Ctrl-C.", address); err != nil {
		return errors.Join(err, l.Close())
	}
	return serveSample(ctx, l, mux, nil)
}
