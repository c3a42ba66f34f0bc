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
	main    *port
	ports   []*port  // main, and the plain one beside it if there is one
	keep    keeper   // nil: the server speaks plain HTTP
	metrics *metrics // nil: there are none
	work    sync.WaitGroup
}

// New opens the port and the parts. Nothing is served before Run; after an
// error nothing is left open, and after one about an address or a setting
// nothing was made either.
func New(ctx context.Context, c Config) (_ *Server, err error) {
	c.serving = true
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	taken, err := c.occupy(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, leave(taken))
		}
	}()
	if err != nil {
		return nil, err
	}
	parts, err := Open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, parts.Close())
		}
	}()
	s := &Server{Parts: parts}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.shut())
		}
	}()
	if err := parts.openStream(); err != nil {
		return nil, err
	}
	handler, err := parts.handler()
	if err != nil {
		return nil, err
	}
	s.metrics = parts.openMetrics()
	if s.keep, err = parts.keeper(ctx); err != nil {
		return nil, err
	}
	s.main = parts.port(c.Listener, handler)
	s.ports = append(s.ports, s.main)
	if s.keep != nil {
		s.main.secure(s.keep)
	}
	if parts.Config.plain() {
		s.ports = append(s.ports, parts.port(c.HTTPListener, parts.outside(s.keep)))
	}
	return s, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.main.listener.Addr() }

// PlainAddr is the address of the plain listener; nil: there is none.
func (s *Server) PlainAddr() net.Addr {
	if len(s.ports) < 2 {
		return nil
	}
	return s.ports[1].listener.Addr()
}

// Handler answers every request; tests and embedding programs may call it
// without the network.
func (s *Server) Handler() http.Handler { return s.main.http.Handler }

// Run serves until ctx is done, then lets the requests under way finish and
// closes everything. It returns nil after an orderly end.
func (s *Server) Run(ctx context.Context) error {
	background, stop := context.WithCancel(s.Tracer.Within(context.WithoutCancel(ctx)))
	s.work.Go(func() { s.tick(background) })
	s.work.Go(func() { s.follow(background) })
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
	served := make(chan error, len(s.ports))
	for _, o := range s.ports {
		go func() { served <- o.serve() }()
	}
	if s.keep != nil {
		s.work.Go(func() { s.keep.Run(background) })
	}

	var err error
	select {
	case err = <-served:
		err = errors.Join(err, s.finish(background)) // one port alone is no server
	case <-ctx.Done():
		err = s.finish(background)
	}
	stop()
	closed := s.metrics.close()
	s.work.Wait()
	return errors.Join(err, closed, s.Parts.Close())
}

// finish lets the requests under way end, at all ports at once. Those that wait for news
// are told that there will be none.
func (s *Server) finish(ctx context.Context) error {
	s.stopping.Store(true)
	s.Feed.Stop()
	s.Courier.Streams.Stop()
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	failed := make([]error, len(s.ports))
	var all sync.WaitGroup
	for i, o := range s.ports {
		all.Go(func() { failed[i] = o.http.Shutdown(ctx) })
	}
	all.Wait()
	return errors.Join(failed...)
}

// shut closes what New opened beside the parts, if nothing was served.
func (s *Server) shut() error {
	err := errors.Join(s.metrics.close(), s.Stream.Close())
	for _, o := range s.ports {
		err = errors.Join(err, o.listener.Close())
	}
	return err
}

// Close frees what New opened, if Run was never called.
func (s *Server) Close() error { return errors.Join(s.shut(), s.Parts.Close()) }

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
	p.mountDebugger(mux)
	mux.Handle("/", doors.Handler())
	p.Measures.Watch(measure.Sources{Store: p.Store, Keys: p.Keys, Feed: p.Feed, Mail: p.Mail, Audit: p.Stream, Limits: p.Limits, Followers: endpoints.Followers})
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

// mountDebugger mounts a page that is made when somebody visits it first: few do.
func (p *Parts) mountDebugger(mux *http.ServeMux) {
	if p.Config.NoDebugger {
		return
	}
	base := p.Authority.BasePath()
	page := sync.OnceValue(func() http.Handler {
		d, err := debugger.New(debugger.Config{Name: p.Config.Name, Base: base})
		if err != nil {
			panic(err) // its files are a part of the program, and its tests make it
		}
		return d
	})
	visit := func(w http.ResponseWriter, r *http.Request) { page().ServeHTTP(w, r) }
	mux.HandleFunc(base+debugger.Path, visit)
	mux.HandleFunc(base+debugger.Path+"/", visit)
}
