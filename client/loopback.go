package client

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// What a browser may send to a program that waits for it: the code is short, and so
// is the way.
const (
	loopbackRead   = 10 * time.Second
	loopbackHeader = 64 << 10
	loopbackLast   = 5 * time.Second // for the page that the person sees at the end
)

// Loopback signs a person in to a program on their own machine, RFC 8252 §7.3. It
// listens at Config.RedirectURI, whose host is 127.0.0.1 or [::1], on its port or,
// where it names none, on any that is free; has open show the address to the person
// in the browser of the system; and exchanges what comes back. Until then it waits,
// for as long as a sign-in may take, ten minutes, or until ctx is done. An error of
// open ends it. The identity is the zero value when "openid" was not asked for.
//
// Errors: those of AuthCodeURL, Exchange and open; ErrAttempt when nobody came back
// in time.
func (c *Client) Loopback(ctx context.Context, o AuthOptions, open func(address string) error) (Tokens, Identity, error) {
	listener, back, err := c.listen()
	if err != nil {
		return Tokens{}, Identity{}, fmt.Errorf("client: loopback: %w", err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, attemptLife, ErrAttempt)
	defer cancel()
	address, attempt, err := c.authCodeURL(ctx, back.String(), o)
	if err != nil {
		return Tokens{}, Identity{}, err
	}
	l := &loopback{client: c, ctx: ctx, back: back, attempt: attempt, done: make(chan outcome, 1)}
	server := &http.Server{
		Handler: l, ReadTimeout: loopbackRead, MaxHeaderBytes: loopbackHeader,
		ErrorLog: log.New(io.Discard, "", 0), // a browser that hangs up is no news
	}
	go server.Serve(listener) // ends with Shutdown or with the listener
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), loopbackLast)
		defer cancel()
		if server.Shutdown(last) != nil { // what still hangs is left alone
			server.Close()
		}
	}()
	if err := open(address); err != nil {
		return Tokens{}, Identity{}, fmt.Errorf("client: loopback: %w", err)
	}
	select {
	case got := <-l.done:
		return got.tokens, got.identity, got.err
	case <-ctx.Done():
		return Tokens{}, Identity{}, fmt.Errorf("client: loopback: %w", context.Cause(ctx))
	}
}

// listen opens the port of Config.RedirectURI and returns the address with the port.
func (c *Client) listen() (net.Listener, *url.URL, error) {
	back, err := url.Parse(c.config.RedirectURI)
	// RFC 8252 §8.3: the literal address. "localhost" may be another one.
	if err != nil || back.Scheme != "http" || !isLoopbackAddress(back.Hostname()) {
		return nil, nil, errors.New("Config.RedirectURI must be http on 127.0.0.1 or [::1]")
	}
	port := back.Port()
	if port == "" {
		port = "0"
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(back.Hostname(), port))
	if err != nil {
		return nil, nil, err
	}
	back.Host = listener.Addr().String()
	if back.Path == "" {
		back.Path = "/"
	}
	return listener, back, nil
}

// loopback waits for one browser.
type loopback struct {
	client  *Client
	ctx     context.Context
	back    *url.URL
	attempt Attempt

	mu   sync.Mutex // one answer after the other
	over bool
	done chan outcome
}

type outcome struct {
	tokens   Tokens
	identity Identity
	err      error
}

func (l *loopback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A name of somebody else's that leads here is not this address.
	if r.Method != http.MethodGet || r.URL.Path != l.back.Path || r.Host != l.back.Host {
		http.NotFound(w, r)
		return
	}
	response, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		response = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		err = ErrAttempt
	} else {
		var got outcome
		// Not with the context of r: the person may close the window at once.
		got.tokens, got.identity, got.err = l.client.Exchange(l.ctx, l.attempt, response)
		// What is not the answer to this sign-in does not end it: any page can
		// send a browser here.
		if err = got.err; !errors.Is(err, ErrAttempt) {
			l.over = true
			l.done <- got
		}
	}
	l.show(w, err)
}

func (l *loopback) show(w http.ResponseWriter, err error) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the address has the code in it
	h.Set("Connection", "close")
	sentence := "You are signed in."
	if err != nil {
		var status int
		status, sentence = Status(err)
		w.WriteHeader(status)
	}
	last.Execute(w, sentence) // the page is small and the status is out: nothing to do on failure
}

var last = template.Must(template.New("last").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Signing in</title>
<style>:root { color-scheme: light dark; font: 1.1rem/1.6 system-ui, sans-serif; } body { max-width: 30rem; margin: 20vh auto; padding: 0 1rem; }</style>
<h1>{{.}}</h1>
<p>You can close this window and go back to the program.</p>
</html>
`))
