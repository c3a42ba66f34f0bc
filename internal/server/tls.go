package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/certificate"
	"github.com/ostiary/ostiary/internal/model"
	"golang.org/x/crypto/acme"
)

// TLS says with which certificate the server speaks TLS itself: one in files, or one
// of an authority.
type TLS struct {
	Certificate, Key string // PEM files

	ACME       bool         // see certificate.ACMEConfig for these
	Agreed     bool         // to the terms of the authority
	Directory  string       // of the authority
	Mail       string       // of the operator
	BindingID  string       // of an account there
	BindingKey model.Secret // likewise, its key as bytes

	Every, Pause time.Duration // see certificate.ACMEConfig
}

// on reports whether the server speaks TLS itself.
func (t TLS) on() bool { return t.ACME || t.Certificate != "" || t.Key != "" }

// keeper has the certificate of the moment, and looks after it.
type keeper interface {
	TLS() *tls.Config
	Run(ctx context.Context)
}

// keeper returns what keeps the certificate; nil: the server speaks plain HTTP.
func (p *Parts) keeper(ctx context.Context) (keeper, error) {
	if err := p.Config.checkTLS(); err != nil { // again: the issuer may be that of the database
		return nil, &SettingError{err}
	}
	c := p.Config.TLS
	if !c.on() {
		return nil, nil
	}
	issuer, err := url.Parse(p.Config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("the issuer %w", err)
	}
	if !c.ACME {
		return certificate.OpenFiles(certificate.FilesConfig{
			Certificate: c.Certificate, Key: c.Key, Host: issuer.Hostname(), Every: c.Every, Logger: p.Config.Logger, Now: p.Config.Now,
		})
	}
	with := p.Config.acme(issuer.Hostname())
	with.Store, with.Keys = p.Store, p.Keys
	return certificate.OpenACME(ctx, with)
}

// plain reports whether there is a plain listener beside the one that speaks TLS.
func (c Config) plain() bool { return c.HTTPListen != "" || c.HTTPListener != nil }

// port is an address that the server listens on, and what answers there.
type port struct {
	listener net.Listener
	http     *http.Server
}

// occupy takes the addresses that the server listens on, and returns those that it took.
// It comes before the database: the issuer of a new one may be made of the port, and
// must not be of a port that another program has.
func (c *Config) occupy(ctx context.Context) (taken []net.Listener, err error) {
	for _, at := range []struct {
		listener         *net.Listener
		address, setting string
	}{
		{&c.Listener, c.Listen, "listen"},
		{&c.HTTPListener, c.HTTPListen, "http-listen"},
		{&c.MetricsListener, c.MetricsListen, "metrics-listen"},
	} {
		if *at.listener != nil || at.address == "" {
			continue
		}
		if *at.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", at.address); err != nil {
			return taken, fmt.Errorf("cannot listen on %s: %w: choose another address with --%s, or stop what uses it", at.address, err, at.setting)
		}
		taken = append(taken, *at.listener)
	}
	return taken, nil
}

// leave gives addresses back; some may be closed already.
func leave(taken []net.Listener) (err error) {
	for _, l := range taken {
		err = errors.Join(err, unlessClosed(l.Close()))
	}
	return err
}

func (p *Parts) port(listener net.Listener, answers http.Handler) *port {
	return &port{listener, &http.Server{
		Handler:           answers,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(p.Config.Logger.Handler(), slog.LevelWarn),
	}}
}

// secure makes a port speak TLS.
func (o *port) secure(k keeper) {
	o.http.TLSConfig = k.TLS()
	o.http.Protocols = new(http.Protocols)
	o.http.Protocols.SetHTTP1(true)
	o.http.Protocols.SetHTTP2(true)
	// RFC 8737 §3: a validation is over with the handshake.
	o.http.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){acme.ALPNProto: func(*http.Server, *tls.Conn, http.Handler) {}}
}

func (o *port) serve() error {
	if o.http.TLSConfig != nil {
		return o.http.ServeTLS(o.listener, "", "")
	}
	return o.http.Serve(o.listener)
}

// validations is where an authority looks for the answer to the challenge HTTP-01,
// RFC 8555 §8.3.
const validations = "/.well-known/acme-challenge/"

// outside answers at the plain listener: people are sent to https, an authority gets
// what it looks for, and whoever looks after the server is told how it is. Nothing
// else is served there. RFC 6797 §7.2: nor is there a Strict-Transport-Security.
func (p *Parts) outside(k keeper) http.Handler {
	a, _ := k.(*certificate.ACME)
	// Not a ServeMux: that would send a path which it finds untidy somewhere itself.
	answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, validation := strings.CutPrefix(r.URL.Path, validations)
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			answer(w, http.StatusForbidden, "this address speaks https alone: what was sent has been read by nobody here, and perhaps by others on the way")
		case r.URL.Path == pathAlive:
			p.healthz(w, r)
		case r.URL.Path == pathReady:
			p.readyz(w, r)
		case validation && a != nil:
			p.validate(w, r, a, token)
		default:
			p.redirect(w, r)
		}
	})
	return named(p.recover(http.MaxBytesHandler(answers, maxBody)))
}

func (p *Parts) validate(w http.ResponseWriter, r *http.Request, a *certificate.ACME, token string) {
	response, err := a.Response(r.Context(), token)
	if err != nil {
		if !errors.Is(err, certificate.ErrNoChallenge) {
			p.Config.Logger.ErrorContext(r.Context(), "a challenge cannot be met", "error", err, "request", requestID(r))
		}
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream") // RFC 8555 §8.3
	w.Header().Set("Cache-Control", "no-store")
	w.Write([]byte(response)) // a peer that has gone cannot be told
}

// redirect sends whoever asks in the clear to the same page of the issuer: never where
// the request says, for anybody can write a Host. A form is not sent a second time.
func (p *Parts) redirect(w http.ResponseWriter, r *http.Request) {
	issuer, err := url.Parse(p.Config.Issuer)
	if err != nil || !strings.HasPrefix(r.URL.Path, "/") {
		http.Error(w, "not an address of this server", http.StatusBadRequest)
		return
	}
	to := url.URL{Scheme: "https", Host: issuer.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, to.String(), http.StatusMovedPermanently)
}
