package guard

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"time"

	"github.com/ostiary/ostiary/resource"
)

// Limits on an upstream and on those who send to it.
const (
	dialTimeout = 5 * time.Second
	bodyIdle    = time.Minute // between two pieces of a request's body
	idleConns   = 128
	recheck     = 500 * time.Millisecond // of a request that goes on
)

// newProxy returns what forwards the requests that were let through.
func (g *Guard) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:      g.rewrite,
		ErrorHandler: g.unreachable,
		ErrorLog:     slog.NewLogLogger(g.log.Handler(), slog.LevelWarn),
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout:    dialTimeout,
			ResponseHeaderTimeout:  g.config.UpstreamTimeout,
			MaxResponseHeaderBytes: maxHeader,
			MaxIdleConnsPerHost:    idleConns,
			IdleConnTimeout:        idleTimeout,
			DisableCompression:     true, // what the client and the API agreed on passes as it is
			ForceAttemptHTTP2:      true,
		},
	}
}

// forward sends a request on to the API, and ends it when the token is put out
// meanwhile: streams and websockets may last for hours.
func (g *Guard) forward(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &patient{r.Body, http.NewResponseController(w)}
	}
	if t := resource.Token(r.Context()); t != nil && g.feed != nil {
		ctx, end := context.WithCancelCause(r.Context())
		defer end(nil)
		defer g.watch(ctx, t, end).Stop()
		r = r.WithContext(ctx)
	}
	g.proxy.ServeHTTP(w, r)
}

// watch ends a request that goes on until its token is revoked. A token that
// merely expires does not end what was begun with it.
func (g *Guard) watch(ctx context.Context, t *resource.AccessToken, end context.CancelCauseFunc) *time.Timer {
	return time.AfterFunc(recheck, func() {
		tick := time.NewTicker(recheck)
		defer tick.Stop()
		for ctx.Err() == nil {
			if err := g.api.Revoked(t); err != nil {
				end(err)
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
}

// rewrite makes the request for the API.
func (g *Guard) rewrite(p *httputil.ProxyRequest) {
	p.SetURL(g.config.Upstream)
	p.Out.URL.RawQuery = p.In.URL.RawQuery // the API reads it, the guard need not understand it
	p.Out.Trailer = nil                    // what follows the body would come past strip
	strip(p.Out.Header, ours)
	g.tellOrigin(p)
	// After an upgrade to HTTP/2 the client would make further requests of the API,
	// past the guard. In a websocket there are none (RFC 6455 §1.2).
	if !strings.EqualFold(p.Out.Header.Get("Upgrade"), "websocket") {
		p.Out.Header.Del("Upgrade")
		p.Out.Header.Del("Connection")
	}
	q := asked(p.In)
	if q.rule.Public {
		return // a token, if there is one, is the API's own affair
	}
	if !g.config.ForwardToken {
		p.Out.Header.Del("Authorization")
	}
	// Decoding cannot fail: decide has verified the token.
	_ = identity(p.Out.Header, resource.Token(p.In.Context()), q.rule.Claims, nil)
}

// tellOrigin writes where a request came from. What is there already counts only
// if a proxy of ours has written it.
func (g *Guard) tellOrigin(p *httputil.ProxyRequest) {
	if !g.trusts(p.In.RemoteAddr) {
		strip(p.Out.Header, forwarding)
		p.SetXForwarded()
		return
	}
	p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"] // to which the peer is appended
	p.SetXForwarded()
	for _, name := range []string{"Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values := p.In.Header[name]; len(values) > 0 {
			p.Out.Header[name] = values
		}
	}
}

func (g *Guard) trusts(peer string) bool {
	at, err := netip.ParseAddrPort(peer)
	if err != nil {
		return false
	}
	for _, p := range g.config.TrustedProxies {
		if p.Contains(at.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// unreachable answers for an API that did not.
func (g *Guard) unreachable(w http.ResponseWriter, r *http.Request, err error) {
	var slow net.Error
	var ended *resource.Refusal
	switch {
	case errors.As(context.Cause(r.Context()), &ended): // before the API had begun to answer
		g.api.Refuse(w, r, ended)
	case errors.Is(err, context.Canceled):
		panic(http.ErrAbortHandler) // the client has gone, or is to go
	case errors.As(err, &slow) && slow.Timeout():
		g.log.WarnContext(r.Context(), "the upstream is slow", "error", err)
		problem(w, http.StatusGatewayTimeout, "The API behind the guard did not answer in time.")
	default:
		g.log.WarnContext(r.Context(), "the upstream does not answer", "error", err)
		problem(w, http.StatusBadGateway, "The API behind the guard does not answer.")
	}
}

// patient is a body that must keep coming: a client that stops in the middle of
// it does not hold a connection for ever.
type patient struct {
	io.ReadCloser
	control *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(bodyIdle)) // where there is no connection there is none to hold
	n, err := p.ReadCloser.Read(b)
	if err != nil { // the answer may take longer
		_ = p.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
