// Package server puts the house together: it opens the store, hands the parts
// to each other, mounts the two doors on one mux, and runs the work that no
// request asks for. It is the only package that knows all the others.
//
// It never decides anything: there is no rule of the protocol, no SQL and no
// HTML here.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/api"
	"github.com/ostiary/ostiary/internal/debugger"
	"github.com/ostiary/ostiary/internal/measure"
	"github.com/ostiary/ostiary/internal/web"
)

// Limits on what a stranger may send, and how slowly.
const (
	maxBody       = 64 << 10 // bytes
	maxHeader     = 64 << 10 // bytes
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
)

// shutdownTimeout is how long requests under way may take to finish.
const shutdownTimeout = 15 * time.Second

// Server is a running Ostiary. Make it with New, then Run it.
type Server struct {
	*Parts
	listener net.Listener
	http     *http.Server
	metrics  *metrics // nil: there are none
	work     sync.WaitGroup
}

// New opens the parts and the port. Nothing is served before Run; after an
// error nothing is left open.
func New(ctx context.Context, c Config) (_ *Server, err error) {
	parts, err := Open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, parts.Close())
		}
	}()
	if err := parts.openStream(); err != nil {
		return nil, err
	}
	handler, err := parts.handler()
	if err != nil {
		return nil, errors.Join(err, parts.Stream.Close())
	}
	metrics, err := parts.openMetrics(ctx)
	if err != nil {
		return nil, errors.Join(err, parts.Stream.Close())
	}
	listener := c.Listener
	if listener == nil {
		listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", parts.Config.Listen)
		if err != nil {
			err = fmt.Errorf("cannot listen on %s: %w: choose another address with --listen, or stop what uses it", parts.Config.Listen, err)
			return nil, errors.Join(err, metrics.close(), parts.Stream.Close())
		}
	}
	return &Server{
		Parts:    parts,
		listener: listener,
		metrics:  metrics,
		http: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeader,
			ErrorLog:          slog.NewLogLogger(parts.Config.Logger.Handler(), slog.LevelWarn),
		},
	}, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Handler answers every request; tests and embedding programs may call it
// without the network.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Run serves until ctx is done, then lets the requests under way finish and
// closes everything. It returns nil after an orderly end.
func (s *Server) Run(ctx context.Context) error {
	background, stop := context.WithCancel(s.Tracer.Within(context.WithoutCancel(ctx)))
	s.work.Go(func() { s.tick(background) })
	s.work.Go(func() { s.seal(background) })
	s.work.Go(func() { s.sweep(background) })
	s.work.Go(func() { s.shareLimits(background) })
	for range logoFetchers {
		s.work.Go(func() { s.Registrar.FetchLogos(background) })
	}
	s.work.Go(func() { s.Mail.Run(background) })
	s.work.Go(func() { s.Courier.Run(background) })
	s.work.Go(func() { s.Receiver.Run(background) })
	s.work.Go(func() { s.Feed.Run(background) })
	s.work.Go(func() { s.Stream.Run(background) })
	s.work.Go(func() { s.failed(background, "metrics", s.metrics.serve()) })
	<-s.Feed.Begun()
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()

	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		s.stopping.Store(true)
		s.Feed.Stop() // else those who follow would have to be waited for
		s.Courier.Streams.Stop()
		shut, cancel := context.WithTimeout(background, shutdownTimeout)
		err = s.http.Shutdown(shut)
		cancel()
	}
	s.Feed.Stop()
	stop()
	closed := s.metrics.close()
	s.work.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, closed, s.Parts.Close())
}

// Close frees what New opened, if Run was never called.
func (s *Server) Close() error {
	return errors.Join(s.listener.Close(), s.metrics.close(), s.Stream.Close(), s.Parts.Close())
}

// handler mounts the two doors: exact paths for programs, all the rest for
// people.
func (p *Parts) handler() (http.Handler, error) {
	doors, endpoints, err := p.doors()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathAlive, p.healthz)
	mux.HandleFunc("GET "+pathReady, p.readyz)
	for _, r := range endpoints.Routes() {
		mux.Handle(r.Path, r.Handler)
	}
	if err := p.mountDebugger(mux); err != nil {
		return nil, err
	}
	mux.Handle("/", doors.Handler())
	p.Measures.Watch(measure.Sources{Store: p.Store, Keys: p.Keys, Feed: p.Feed, Mail: p.Mail, Audit: p.Stream, Followers: endpoints.Followers})
	larger := func(path string) int64 { return max(endpoints.Body(path), doors.Body(path)) }
	return p.surround(p.probed(routed(mux)), larger), nil
}

// doors returns that for people and that for programs.
func (p *Parts) doors() (*web.Web, *api.API, error) {
	doors, err := web.New(web.Config{
		Accounts: p.Accounts, Federation: p.Federation, Registrar: p.Registrar, Authority: p.Authority, Box: p.Mail.Box(), Theme: web.Theme{Name: p.Config.Name, Language: p.Config.Language, Look: p.Config.Look},
		Logger: p.Config.Logger, RequestID: requestID, Address: p.address, Places: p.Config.Places, Visited: visited,
	})
	if err != nil {
		return nil, nil, err
	}
	endpoints, err := api.New(api.Config{
		Registrar: p.Registrar, Authority: p.Authority, Accounts: p.Accounts, Federation: p.Federation, Streams: p.Courier.Streams, Receiver: p.Receiver, Feed: p.Feed, MaxFollowers: p.Config.Followers,
		Keys: p.Keys, Logger: p.Config.Logger, RequestID: requestID, Address: p.address, Refused: p.Measures.Refused,
	})
	return doors, endpoints, err
}

func (p *Parts) mountDebugger(mux *http.ServeMux) error {
	if p.Config.NoDebugger {
		return nil
	}
	base := p.Authority.BasePath()
	page, err := debugger.New(debugger.Config{Name: p.Config.Name, Base: base})
	if err != nil {
		return err
	}
	mux.Handle(base+debugger.Path, page)
	mux.Handle(base+debugger.Path+"/", page)
	return nil
}
