// Package fetch makes the requests that the server sends to addresses which
// somebody else has named: key sets, request objects, sector documents, logos,
// logout notices. It owns the guard that such a request passes.
//
// A client registers a URL, and the server, which stands inside a network, goes
// there. So the address is judged after the name is resolved and at the moment
// of the connection, when nothing can change it any more; no proxy of the
// environment is used, redirects stay on their host, and every answer is bounded
// in size and time. It never decides which URL may be registered.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrInternal says that a name resolved to an address that is not on the public
// Internet and was not allowed.
var ErrInternal = errors.New("the address is not a public one")

// Config says what may be reached, and how it is recognised.
type Config struct {
	// Allow names internal networks that may be reached all the same.
	Allow []netip.Prefix
	// Roots are the certificate authorities that are trusted; nil: the system's.
	Roots *x509.CertPool
	// Timeout bounds a request with its answer; zero: 5 seconds.
	Timeout time.Duration
}

// Bounds on a request that the caller does not have to choose.
const (
	defaultTimeout = 5 * time.Second
	maxHeader      = 64 << 10 // bytes
	maxRedirects   = 3
	maxIdle        = 64
	maxPerHost     = 16 // so that a slow host holds few connections, whoever sends us there
	idleTimeout    = 30 * time.Second
)

// New returns a client that is guarded as c says.
func New(c Config) *http.Client {
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	dialer := &net.Dialer{Timeout: c.Timeout, ControlContext: c.control}
	return &http.Client{
		Timeout:       c.Timeout,
		CheckRedirect: stay,
		Transport: observed{&http.Transport{
			Proxy:                  nil, // a proxy would resolve names where nobody judges them
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots},
			TLSHandshakeTimeout:    c.Timeout,
			ResponseHeaderTimeout:  c.Timeout,
			MaxResponseHeaderBytes: maxHeader,
			MaxIdleConns:           maxIdle,
			MaxIdleConnsPerHost:    2,
			MaxConnsPerHost:        maxPerHost,
			IdleConnTimeout:        idleTimeout,
			ForceAttemptHTTP2:      true,
		}},
	}
}

// Dialer returns what connects to servers of other protocols, guarded as c says.
func Dialer(c Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	return (&net.Dialer{Timeout: c.Timeout, ControlContext: c.control}).DialContext
}

// control sees the address that is about to be connected to.
func (c Config) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !strings.HasPrefix(network, "tcp") {
		return ErrInternal
	}
	addr := at.Addr().Unmap() // ::ffff:127.0.0.1 is 127.0.0.1
	if Public(addr) || slices.ContainsFunc(c.Allow, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return nil
	}
	return ErrInternal
}

// stay keeps a redirect on the host that was asked: elsewhere is not what was
// registered.
func stay(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case r.URL.Scheme != first.Scheme || r.URL.Host != first.Host:
		return errors.New("the answer redirects to another host")
	case len(via) > maxRedirects:
		return errors.New("the answer redirects too often")
	}
	return nil
}

// The IANA special-purpose address registries (RFC 6890), as far as they lie
// within what is otherwise unicast: none of these is a public server.
var special = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
	"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)

// globalUnicast is what of IPv6 is given out at all (RFC 4291 §2.4, IANA). The
// translated IPv4 addresses of 64:ff9b::/96, the unique local and the link-local
// ones lie outside.
var globalUnicast = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range list {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// Public reports whether an address belongs to a server on the public Internet.
func Public(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" || addr.Is6() && !globalUnicast.Contains(addr) {
		return false
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Limits bounds what Get takes.
type Limits struct {
	Bytes int64    // the longest body
	Types []string // media types, without parameters; empty: any
}

// Document is what Get brought.
type Document struct {
	Body   []byte
	Type   string // media type, without parameters, in lower case
	Header http.Header
}

// Get fetches one document with a client that New made. The error says what is
// wrong and repeats nothing of the answer: it may be shown to whoever named the
// URL, who must not read an inner network by it.
func Get(ctx context.Context, client *http.Client, url string, l Limits) (Document, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Document{}, errors.New("it is not a URL")
	}
	if len(l.Types) > 0 {
		req.Header.Set("Accept", strings.Join(l.Types, ", "))
	}
	resp, err := client.Do(req)
	if err != nil {
		return Document{}, &unreachable{err}
	}
	defer resp.Body.Close()
	d := Document{Header: resp.Header}
	if resp.StatusCode != http.StatusOK {
		return Document{}, fmt.Errorf("its server answered %d", resp.StatusCode)
	}
	d.Type, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if len(l.Types) > 0 && !slices.Contains(l.Types, d.Type) {
		return Document{}, fmt.Errorf("its media type must be %s", strings.Join(l.Types, " or "))
	}
	if d.Body, err = io.ReadAll(io.LimitReader(resp.Body, l.Bytes+1)); err != nil {
		return Document{}, &unreachable{err}
	}
	if int64(len(d.Body)) > l.Bytes {
		return Document{}, fmt.Errorf("it is longer than %d bytes", l.Bytes)
	}
	return d, nil
}

// unreachable says one thing of every failure to connect, so that nobody can
// map an inner network by the differences; the cause is for the log.
type unreachable struct{ cause error }

func (e *unreachable) Error() string { return "it cannot be fetched" }
func (e *unreachable) Unwrap() error { return e.cause }
