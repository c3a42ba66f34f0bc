package doctor

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/server"
)

// nobody is an address that no computer has (RFC 5737 §3): a caller who is taken for
// it could be taken for anybody.
const nobody = "192.0.2.77"

// longAddress is how many bytes an address may have that holds a long state.
const longAddress = 32 << 10

// proxy asks the server, through whatever is in front of it, how it sees the request,
// and holds its answer to what came out at this end.
func (v *visit) proxy(ctx context.Context) []Finding {
	switch {
	case !v.answers:
		return []Finding{unknown("What is between here and the server was not looked at: %s.", v.notSaid)}
	case v.parts == nil:
		return []Finding{unknown("What is between here and the server was not looked at: %s.", v.closed)}
	}
	// The server sees the same port only if nothing is in between.
	var port string
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		_, port, _ = net.SplitHostPort(c.Conn.LocalAddr().String())
	}})
	answer, body, err := v.ask(ctx, v.base+discovery, map[string]string{server.ProbeHeader: v.parts.ProbeToken(), "X-Forwarded-For": nobody})
	if err != nil {
		return []Finding{unknown("What is between here and the server was not looked at: %s.", reason(err))}
	}
	var p server.Probe
	if json.Unmarshal(body, &p) != nil || p.Peer == "" {
		return []Finding{unknown("The server does not say how it sees a request. It is of an older version, has another master key, or a proxy answers in its place or takes away the header %s.", server.ProbeHeader)}
	}
	found := []Finding{callers(p, port), v.host(p), v.long(ctx)}
	found = append(found, headers(p, answer.Header)...)
	return append(found, v.cookies(answer))
}

// callers tells whom the server takes for the caller, who came from a port.
func callers(p server.Probe, port string) Finding {
	said := strings.Split(strings.ReplaceAll(strings.Join(p.Headers["X-Forwarded-For"], ","), " ", ""), ",")
	last := said[len(said)-1] // whom the proxy was called by: this command
	untouched := slices.Equal(said, []string{nobody})
	switch {
	case untouched && p.Port == port && p.Trusted:
		return good("There is no proxy between here and the server; this command came from %s, which may speak for others: it is in trusted-proxies.", p.Peer)
	case untouched && p.Port == port:
		return good("There is no proxy between here and the server; this command came from %s.", p.Peer)
	case untouched && p.Address == nobody:
		return wrong("let the proxy write the header itself (nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for), and name nobody but proxies in trusted-proxies",
			"Whoever calls can pass for anybody: the server believes what a caller writes into X-Forwarded-For.")
	case untouched, last == "":
		return wrong("let the proxy send X-Forwarded-For (nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for)",
			"The proxy at %s does not say who calls: all people come from that one address, and share the limits that go by address.", p.Peer)
	case !p.Trusted:
		return wrong("set trusted-proxies to the network of the proxy, such as "+network(p.Peer),
			"The proxy at %s says who calls, and the server does not believe it: all people come from that one address.", p.Peer)
	}
	// Where this runs beside the proxy, last is a proxy itself, and p.Address is whom it
	// would speak for.
	return good("The proxy at %s says who calls, and is believed: this command came from %s.", p.Peer, last)
}

func network(peer string) string {
	if strings.Contains(peer, ":") {
		return peer + "/128"
	}
	return peer + "/32"
}

func (v *visit) host(p server.Probe) Finding {
	u, err := url.Parse(v.base)
	if err != nil || p.Host == u.Host {
		return good("The name %s arrives at the server as it was asked for.", p.Host)
	}
	return warning("let the proxy pass it on (nginx: proxy_set_header Host $host)", "The server is told that it was asked for as %s, not as %s.", p.Host, u.Host)
}

// protecting are the headers that a page is not safe without.
var protecting = []string{
	"Content-Security-Policy", "Cross-Origin-Opener-Policy", "Permissions-Policy", "Referrer-Policy", "Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options", "Cache-Control",
}

func headers(p server.Probe, got http.Header) (found []Finding) {
	var gone, other []string
	for _, name := range protecting {
		sent := p.Sent[name]
		switch {
		case sent == nil:
		case got.Values(name) == nil:
			gone = append(gone, name)
		case !slices.Equal(sent, got.Values(name)):
			other = append(other, name)
		}
	}
	const next = "let the proxy pass on the headers of answers as they are"
	if len(gone) > 0 {
		found = append(found, wrong(next, "On the way from the server these headers get lost, which protect the pages: %s.", strings.Join(gone, ", ")))
	}
	if len(other) > 0 {
		found = append(found, warning(next, "On the way from the server these headers are changed, or doubled: %s.", strings.Join(other, ", ")))
	}
	if found == nil {
		found = append(found, good("The headers that protect the pages arrive as the server sends them."))
	}
	for i := range found {
		found[i].About = "headers"
	}
	return found
}

// cookies asks whether a browser would take those of a session.
func (v *visit) cookies(answer *http.Response) Finding {
	f := v.judgeCookie(answer.Cookies())
	f.About = "cookies"
	return f
}

func (v *visit) judgeCookie(all []*http.Cookie) Finding {
	const next = "let the proxy leave cookies as they are (nginx: no proxy_cookie_… directive)"
	i := slices.IndexFunc(all, func(c *http.Cookie) bool { return strings.HasSuffix(c.Name, "ostiary_probe") })
	if i < 0 {
		return wrong(next, "The cookie that the server sets does not arrive: nobody can sign in.")
	}
	c := all[i]
	if strings.HasPrefix(v.base, "http:") {
		if c.HttpOnly && c.Domain == "" {
			return good("Browsers on this machine take the cookies.")
		}
		return warning(next, "The cookie of the server is changed on the way.")
	}
	// RFC 6265bis §4.1.3.2: a browser refuses the name without these.
	switch {
	case !strings.HasPrefix(c.Name, "__Host-"):
		return wrong(next, "The proxy gives cookies other names (%s): the server does not know them again.", c.Name)
	case !c.Secure || c.Path != "/" || c.Domain != "":
		return wrong(next, "The proxy changes cookies (Secure %t, Path %q, Domain %q): browsers refuse those of the server, and nobody can sign in.", c.Secure, c.Path, c.Domain)
	case !c.HttpOnly || c.SameSite != http.SameSiteLaxMode:
		return warning(next, "The proxy takes protection from cookies (HttpOnly %t, SameSite=Lax %t).", c.HttpOnly, c.SameSite == http.SameSiteLaxMode)
	}
	return good("Browsers take the cookies of the server as they arrive.")
}

// long asks whether an address comes through that holds as much as the server takes.
func (v *visit) long(ctx context.Context) Finding {
	answer, _, err := v.ask(ctx, v.base+discovery+"?state="+strings.Repeat("x", longAddress), nil)
	const next = "let the proxy take addresses of 64 KiB (nginx: large_client_header_buffers 4 64k)"
	switch {
	case err != nil:
		return warning(next, "An address of %d KiB does not come through: %s.", longAddress>>10, reason(err))
	case answer.StatusCode != http.StatusOK:
		return warning(next, "An address of %d KiB does not come through: the answer is %d. A request with a long state fails.", longAddress>>10, answer.StatusCode)
	}
	return good("Long addresses come through.")
}
