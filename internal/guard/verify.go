package guard

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ostiary/ostiary/resource"
)

// Asker is a proxy that asks the guard about each request, and so decides how the
// request is told.
type Asker string

// The proxies whose questions the guard understands.
const (
	NGINX   Asker = "nginx"   // auth_request, with X-Original-Method and X-Original-URI
	Caddy   Asker = "caddy"   // forward_auth, with X-Forwarded-Method and X-Forwarded-Uri
	Traefik Asker = "traefik" // ForwardAuth, with the same
	Envoy   Asker = "envoy"   // ext_authz: the method is the request's, and its path stands behind VerifyPath
)

// Askers are all of them.
var Askers = []Asker{NGINX, Caddy, Traefik, Envoy}

// VerifyPath is where proxies ask. RefusalPath answers the same question with a
// refusal in any case, for a proxy that cannot pass on the answer to the first.
const (
	VerifyPath  = "/verify"
	RefusalPath = VerifyPath + "/refusal"
)

// headers that tell the method and the address of the original request. Only the
// headers that a proxy always sets itself are read: those of another proxy would
// be the client's, who could choose a rule by them.
var headers = map[Asker][2]string{
	NGINX:   {"X-Original-Method", "X-Original-Uri"},
	Caddy:   {"X-Forwarded-Method", "X-Forwarded-Uri"},
	Traefik: {"X-Forwarded-Method", "X-Forwarded-Uri"},
}

// asks reports whether a path is one at which proxies ask.
func (g *Guard) asks(path string) bool {
	switch g.config.Asker {
	case "":
		return false
	case Envoy:
		return strings.HasPrefix(path, VerifyPath+"/")
	}
	return path == VerifyPath || path == RefusalPath
}

// verify answers whether the request that a proxy asks about is let through: 200
// with the headers for the API, or the refusal for the client.
func (g *Guard) verify(w http.ResponseWriter, r *http.Request, q *question) {
	refuse := r.URL.Path == RefusalPath && g.config.Asker != Envoy
	original, err := g.original(r)
	if err != nil {
		g.log.WarnContext(r.Context(), "a question without the request", "proxy", g.config.Asker, "error", err)
		problem(w, http.StatusBadRequest, "The proxy in front of the guard does not say which request it asks about.")
		return
	}
	q.method, q.raw = original.Method, original.URL.Path
	g.decide(w, original, q, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		if refuse { // what was wrong a moment ago has passed
			g.api.Refuse(w, r, &resource.Refusal{
				Status: http.StatusServiceUnavailable, Code: resource.CodeTemporarilyUnavailable,
				Description: "Try again", RetryAfter: time.Second,
			})
			return
		}
		if err := identity(h, resource.Token(r.Context()), q.rule.Claims, g.claims); err != nil {
			g.api.Refuse(w, r, err)
			return
		}
		w.WriteHeader(http.StatusOK) // Envoy takes no other status of 2xx
	}))
}

// original returns the request that a proxy asks about: its method, its address
// (with the path as it was sent in URL.Path) and its headers, as far as the proxy
// tells them.
func (g *Guard) original(r *http.Request) (*http.Request, error) {
	method, address := r.Method, ""
	if names, ok := headers[g.config.Asker]; ok {
		values := make([]string, len(names))
		for i, name := range names {
			if len(r.Header[name]) != 1 {
				return nil, fmt.Errorf("the header %s is there %d times, not once", name, len(r.Header[name]))
			}
			values[i] = r.Header.Get(name)
		}
		method, address = values[0], values[1]
	} else {
		address = strings.TrimPrefix(r.RequestURI, VerifyPath)
	}
	path, query, _ := strings.Cut(address, "?")
	original := r.WithContext(r.Context())
	original.Method, original.URL = method, &url.URL{Path: path, RawQuery: query}
	return original, nil
}
