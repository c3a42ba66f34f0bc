// Package guard stands before an API that is written in whatever language: as a
// reverse proxy, or as an endpoint that another proxy asks about each request.
// Rules say what each path needs; package resource judges the tokens.
//
// It owns the rules, the headers that tell an API who calls, and the care that
// neither can be got around: paths that servers read in different ways are
// refused, and what only the guard may say is taken out of every request.
//
// It never verifies a token itself, never looks into a body, and reads no file:
// whoever runs it gives it the text of its rules.
package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/resource"
)

// Limits on what a stranger may send, and how slowly. How long an answer takes is
// the API's affair: streams pass.
const (
	maxHeader       = 64 << 10 // bytes
	headerTimeout   = 10 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 15 * time.Second
)

// Config says what is guarded, and whose tokens are let through.
type Config struct {
	Issuer   string // "iss" of the tokens; required
	Audience string // the name of the API, one of "aud" of the tokens; required
	Rules    *Rules // nil: every request needs a good token, and no more

	Upstream *url.URL // where requests are forwarded to; nil: nowhere
	Asker    Asker    // the proxy that asks at VerifyPath; "": none. One of the two is required

	// The client as which the guard follows the revocation feed. NoFeed says
	// that it shall not: a token is then good until it expires.
	ClientID, ClientSecret string
	NoFeed                 bool
	Stale                  resource.Policy // where a rule says nothing
	MaxLag                 time.Duration   // default 10 s

	ForwardToken    bool           // the API gets the token, too
	TrustedProxies  []netip.Prefix // peers whose X-Forwarded-* headers are passed on
	UpstreamTimeout time.Duration  // for the header of an answer; default 60 s

	Listen  string // HOST:PORT
	Metrics string // HOST:PORT of health and metrics; "": none
	// Listeners that are open already, in place of the two.
	Listener, MetricsListener net.Listener

	HTTP   *http.Client     // for asking the issuer; default: one of its own
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: none
}

// Guard judges requests. Make one with New, then Run it.
type Guard struct {
	config    Config
	api       *resource.Guard
	feed      *resource.Feed // nil with NoFeed
	proxy     *httputil.ReverseProxy
	admit     map[*Rule]func(http.Handler) http.Handler
	claims    []string // that some rule tells
	decisions decisions
	keys      atomic.Bool // of the issuer were had
	stopping  atomic.Bool
	log       *slog.Logger

	listener, metrics net.Listener
}

// New checks c and opens the ports. Nothing is served before Run; after an error
// nothing is left open.
func New(ctx context.Context, c Config) (*Guard, error) {
	switch {
	case c.Upstream == nil && c.Asker == "":
		return nil, errors.New("there is neither an upstream to forward to nor a proxy that asks")
	case c.Asker != "" && !slices.Contains(Askers, c.Asker):
		return nil, fmt.Errorf("%q is no proxy that is known", c.Asker)
	case c.Upstream != nil:
		if err := CheckUpstream(c.Upstream); err != nil {
			return nil, err
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.UpstreamTimeout == 0 {
		c.UpstreamTimeout = time.Minute
	}
	g := &Guard{config: c, log: c.Logger, admit: map[*Rule]func(http.Handler) http.Handler{}}
	if err := g.trust(); err != nil {
		return nil, err
	}
	rules := []*Rule{whole}
	if c.Rules != nil {
		rules = c.Rules.list
	}
	for _, rule := range rules {
		g.admit[rule] = g.needs(rule.Needs)
		g.claims = append(g.claims, rule.Claims...)
	}
	slices.Sort(g.claims)
	g.claims = slices.Compact(g.claims)
	if c.Upstream != nil {
		g.proxy = g.newProxy()
	}
	if err := g.open(ctx); err != nil {
		return nil, err
	}
	return g, nil
}

// CheckUpstream returns an error for an address to which no path can be appended.
func CheckUpstream(u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("it must be an address such as http://127.0.0.1:3000, without user, query and fragment")
	}
	return nil
}

// trust makes what judges tokens.
func (g *Guard) trust() (err error) {
	c := g.config
	if !c.NoFeed {
		g.feed, err = resource.NewFeed(resource.FeedConfig{
			Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: c.ClientSecret, MaxLag: c.MaxLag,
			HTTP: c.HTTP, Now: c.Now, Logger: c.Logger,
		})
		if err != nil {
			return err
		}
	}
	var scopes []string
	if c.Rules != nil {
		scopes = c.Rules.Scopes()
	}
	g.api, err = resource.New(resource.Config{
		Issuer: c.Issuer, Audience: c.Audience, Feed: g.feed, Stale: c.Stale,
		Metadata: resource.Metadata{Scopes: scopes}, HTTP: c.HTTP, Now: c.Now, Logger: c.Logger,
	})
	return err
}

func (g *Guard) open(ctx context.Context) (err error) {
	c := g.config
	g.listener, g.metrics = c.Listener, c.MetricsListener
	if g.listener == nil {
		if g.listener, err = listen(ctx, c.Listen, "--listen"); err != nil {
			return err
		}
	}
	if g.metrics == nil && c.Metrics != "" {
		if g.metrics, err = listen(ctx, c.Metrics, "--metrics-listen"); err != nil {
			return errors.Join(err, g.listener.Close())
		}
	}
	return nil
}

func listen(ctx context.Context, address, setting string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w: choose another address with %s, or stop what uses it", address, err, setting)
	}
	return l, nil
}

// Addr is the address of the guarded port.
func (g *Guard) Addr() net.Addr { return g.listener.Addr() }

// Run serves until ctx is done, then lets the requests under way finish. It
// returns nil after an orderly end.
func (g *Guard) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var work sync.WaitGroup
	work.Go(func() { g.prepare(background) })
	if g.feed != nil {
		work.Go(func() { _ = g.feed.Run(background) }) // it ends with its context only
	}
	guarded := g.server(background, http.HandlerFunc(g.serve))
	servers := []*http.Server{guarded}
	served := make(chan error, 2)
	go func() { served <- guarded.Serve(g.listener) }()
	if g.metrics != nil {
		health := g.server(background, g.health())
		servers = append(servers, health)
		go func() { served <- health.Serve(g.metrics) }()
	}
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	g.stopping.Store(true)
	shut, cancel := context.WithTimeout(background, shutdownTimeout)
	defer cancel()
	for _, s := range servers {
		if e := s.Shutdown(shut); errors.Is(e, context.DeadlineExceeded) {
			s.Close() // streams that have no end
		}
	}
	stop() // connections that have become something else, such as websockets
	work.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

func (g *Guard) server(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelWarn),
	}
}

// serve is everything on the guarded port.
func (g *Guard) serve(w http.ResponseWriter, r *http.Request) {
	seen := &watched{ResponseWriter: w}
	q := &question{raw: r.URL.EscapedPath()}
	start := time.Now()
	method, path := r.Method, r.URL.Path
	defer func() { g.note(r, q, seen, start) }()
	switch {
	case method == http.MethodConnect || !strings.HasPrefix(path, "/"):
		problem(seen, http.StatusBadRequest, "The guard answers requests for a path only.")
	case path == g.api.MetadataPath() && strings.HasPrefix(g.config.Audience, "http"):
		g.api.Metadata().ServeHTTP(seen, r)
	case g.asks(path):
		q.mode = modeVerify
		g.verify(seen, r, q)
	case g.proxy != nil:
		q.mode = modeProxy
		g.decide(seen, r, q, http.HandlerFunc(g.forward))
	default:
		problem(seen, http.StatusNotFound, "Nothing is here.")
	}
}
