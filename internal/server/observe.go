package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/audit"
	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/measure"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/trace"
)

// Observation is how a server can be observed from outside: all of it is off unless it
// is set.
type Observation struct {
	MetricsListen   string       // host:port at which the metrics are, for this machine or a private network
	MetricsListener net.Listener // instead of MetricsListen
	Measure         measure.Config
	Trace           trace.Config // Client and Logger come from here

	AuditFile    string       // see audit.StreamConfig for these
	AuditOutput  io.Writer    // nil: none
	AuditWebhook string       //
	AuditSecret  model.Secret // of the webhook
}

// traceTime is how long the last spans may take to be sent.
const traceTime = 3 * time.Second

// openObservation makes what counts and what traces.
func (p *Parts) openObservation() (err error) {
	o := &p.Config.Observation
	if o.MetricsListen != "" || o.MetricsListener != nil {
		o.Measure.Now = p.Config.Now
		p.Measures = measure.New(o.Measure)
		p.Measures.Expect(account.Methods(), account.Outcomes())
	}
	o.Trace.Client, o.Trace.Logger = p.anywhere(), p.Config.Logger
	p.Tracer, err = trace.New(o.Trace)
	return err
}

// checkMetricsListen refuses an address that everybody can reach.
func checkMetricsListen(listen, public string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("metrics-listen is %q: write HOST:PORT, such as 127.0.0.1:9464", listen)
	}
	if at, err := netip.ParseAddr(host); err == nil && fetch.Public(at) {
		return fmt.Errorf("metrics-listen is %s, which is a public address: the metrics tell everybody how many sign in and what fails, so choose one of this machine or of a private network", listen)
	}
	if _, used, err := net.SplitHostPort(public); err == nil && used == port && port != "0" {
		return fmt.Errorf("metrics-listen has the port of listen, %s: the metrics have an address of their own, because what is public is not for them", port)
	}
	return nil
}

// openStream makes what streams the audit log.
func (p *Parts) openStream() (err error) {
	o := p.Config.Observation
	p.Stream, err = audit.NewStream(audit.StreamConfig{
		Log: p.Audit, Issuer: p.Config.Issuer, File: o.AuditFile, Output: o.AuditOutput, Webhook: o.AuditWebhook, Secret: o.AuditSecret,
		Client: p.anywhere(), Streamed: p.Measures.Streamed, Logger: p.Config.Logger,
		Failed: func(outlet string) { p.Measures.Failed("audit stream to " + outlet) },
	})
	return err
}

// anywhere is the client for addresses that the operator has named, wherever they are.
func (p *Parts) anywhere() *http.Client {
	return fetch.New(fetch.Config{Allow: everywhere, Roots: p.Config.OutgoingRoots, Timeout: operatorTimeout})
}

// operatorTimeout bounds a request to an address that the operator has named.
const operatorTimeout = 15 * time.Second

var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// metrics is the listener for those who scrape, and what answers there. It has no
// database in its way, and no middleware of the public address.
type metrics struct {
	listener net.Listener
	http     *http.Server
}

// openMetrics returns what answers where the metrics are, or nil where there are none.
func (p *Parts) openMetrics() *metrics {
	if p.Measures == nil {
		return nil
	}
	return &metrics{p.Config.MetricsListener, &http.Server{
		Handler: p.Measures.Handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(p.Config.Logger.Handler(), slog.LevelWarn),
	}}
}

// serve answers until close. A nil *metrics does nothing.
func (m *metrics) serve() error {
	if m == nil {
		return nil
	}
	if err := m.http.Serve(m.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the metrics: %w", err)
	}
	return nil
}

func (m *metrics) close() error {
	if m == nil {
		return nil
	}
	return errors.Join(m.http.Close(), unlessClosed(m.listener.Close()))
}

func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// MetricsAddr is the address at which the metrics are, or nil.
func (s *Server) MetricsAddr() net.Addr {
	if s.metrics == nil {
		return nil
	}
	return s.metrics.listener.Addr()
}

// closeTracer sends the last spans.
func (p *Parts) closeTracer() {
	ctx, cancel := context.WithTimeout(context.Background(), traceTime)
	defer cancel()
	if err := p.Tracer.Close(ctx); err != nil {
		p.Config.Logger.WarnContext(ctx, "the last spans were not sent", "error", err)
	}
}
