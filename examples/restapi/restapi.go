// Package restapi is a small REST API that signs people in itself: POST /login takes
// a password and gives a token of five minutes and one to renew it with, POST /renew
// and POST /logout do what they say, and a few notes are guarded by the token.
//
// It shows how little of that an API has to do. Package client asks the
// authorization server, which alone knows passwords and sessions; package resource
// verifies tokens here, without asking anybody, and refuses those whose session was
// ended elsewhere within a second, because it follows the revocation feed.
package restapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/resource"
)

// The scopes of the API: a reader has the first, an editor has both.
const (
	ScopeRead  = "notes:read"
	ScopeWrite = "notes:write"
)

// Config says where the API stands and who knows its people.
type Config struct {
	Issuer       string // the authorization server
	ClientID     string // the API's registration there; it may ask for passwords and follow the feed
	ClientSecret string
	Audience     string // what its tokens must be for: its own address

	// Fresh is how long ago a sign-in may be for what cannot be undone. Default 10 s,
	// short enough to be tried out.
	Fresh time.Duration
	// FeedURL is where the revocation feed is. Default: where the issuer says.
	FeedURL string

	HTTP   *http.Client     // for requests to the authorization server; default: 10 s each
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: nothing is logged
}

// API serves the notes.
type API struct {
	guard  *resource.Guard
	feed   *resource.Feed
	signIn *client.Client
	config Config
	notes  notes
}

// New checks c and returns an API. It does no I/O.
func New(c Config) (*API, error) {
	if c.Fresh == 0 {
		c.Fresh = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	a := &API{config: c, notes: notes{byID: map[string]*Note{}}}
	var err error
	a.signIn, err = client.New(client.Config{
		Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: c.ClientSecret, HTTP: c.HTTP, Now: c.Now, Logger: c.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("restapi: %w", err)
	}
	a.feed, err = resource.NewFeed(resource.FeedConfig{
		Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: c.ClientSecret, URL: c.FeedURL, Now: c.Now, Logger: c.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("restapi: %w", err)
	}
	a.guard, err = resource.New(resource.Config{
		Issuer: c.Issuer, Audience: c.Audience, HTTP: c.HTTP, Now: c.Now, Logger: c.Logger,
		Metadata: resource.Metadata{Scopes: []string{ScopeRead, ScopeWrite}, Name: "Notes"},
		Feed:     a.feed,
		Stale:    resource.Deny,
		Leeway:   time.Second, // API and server share a clock here; the default is 10 s
	})
	if err != nil {
		return nil, fmt.Errorf("restapi: %w", err)
	}
	return a, nil
}

// Run follows the revocation feed until ctx is done. Before it is ready, and while it
// is cut off for longer than ten seconds, what is guarded answers 503.
func (a *API) Run(ctx context.Context) error { return a.feed.Run(ctx) }

// Ready waits until the feed is ready.
func (a *API) Ready(ctx context.Context) error { return a.feed.Ready(ctx) }

// Handler serves the API; it is its site map.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("POST /renew", a.renew)
	mux.HandleFunc("POST /logout", a.logout)

	mux.Handle("GET "+a.guard.MetadataPath(), a.guard.Metadata())
	mux.Handle("GET /notes", a.guard.RequireFunc(a.list, ScopeRead))
	mux.Handle("POST /notes", a.guard.RequireFunc(a.add, ScopeWrite))
	mux.Handle("PUT /notes/{id}", a.guard.RequireFunc(a.change, ScopeWrite))
	// What cannot be undone wants a person who has just proven who they are.
	fresh := a.guard.RequireAuthentication(resource.Authentication{MaxAge: a.config.Fresh})
	mux.Handle("DELETE /notes/{id}", fresh(a.guard.RequireFunc(a.remove, ScopeWrite)))
	return mux
}

// maxBody bounds what is read of a request, in bytes.
const maxBody = 8 << 10

// read takes a JSON body. A script of another site cannot send one: its browser would
// ask first, and nobody answers.
func read(w http.ResponseWriter, r *http.Request, v any) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "invalid_request", "The Content-Type must be application/json")
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err = d.Decode(v)
	if err == nil {
		if _, err = d.Token(); err == nil {
			err = errors.New("more than one value")
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		problem(w, http.StatusBadRequest, "invalid_request", "The body is not the JSON object that is expected here")
		return false
	}
	return true
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // the status is out: nothing to do on failure
}

// problem answers in the form that the guard uses as well, so that a client reads one
// member, "error", whoever refuses.
func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail, "error": code})
}

// later answers that it may work after a while.
func later(w http.ResponseWriter, status int, wait time.Duration, detail string) {
	if wait <= 0 {
		wait = 5 * time.Second
	}
	w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	problem(w, status, "temporarily_unavailable", detail)
}
