package debugger

import (
	_ "embed"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// The page wants to fetch a key set from an address that only its visitor
// knows, but a policy is fixed when a page is sent, and one that allowed every
// address would allow tokens to leave as well. So the page itself connects to
// nothing, ever. For one key set it starts a worker from here, and a worker
// obeys the policy that its own script came with: this one may connect to the
// one origin in its address. The page tells the worker the address of the set
// and gets its text back. The worker never sees a token or a key, has no
// document and no storage, and lives for this one answer.
//
// The origin is all that this server learns. It stands in the query because
// that is what a server does not log (internal/server).

//go:embed worker/fetch.js
var workerScript []byte

// serveWorker sends the script of the worker with a policy for one origin.
func serveWorker(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'")
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query) != 1 || len(query["origin"]) != 1 || !plainOrigin(query.Get("origin")) {
		http.Error(w, "origin must be one https origin, or http on this machine", http.StatusBadRequest)
		return
	}
	h.Set("Content-Type", types[".js"])
	h.Set("Content-Length", strconv.Itoa(len(workerScript)))
	h.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; connect-src %s", query.Get("origin")))
	w.Write(workerScript)
}

// origins is scheme, host and port as browsers write them: lower case, names in
// their ASCII form. Nothing that means something else in a policy gets through:
// no space, semicolon, comma, quote, star, path or user. Addresses of IPv6 do
// not either, since a policy cannot name them (CSP 3 §2.3.1).
var origins = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(https?)://((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?::([1-9][0-9]{0,4}))?$`)
})

// plainOrigin reports whether text is one https origin, or one http origin on
// the machine of the browser.
func plainOrigin(text string) bool {
	if len(text) > 300 {
		return false
	}
	m := origins().FindStringSubmatch(text)
	if m == nil || len(m[2]) > 253 {
		return false
	}
	scheme, host := m[1], m[2]
	if _, err := strconv.ParseUint(m[3], 10, 16); m[3] != "" && err != nil {
		return false
	}
	// Browsers read a host that ends in a number as an address, and write it
	// in one way only (URL Standard §3.5).
	last := host[strings.LastIndexByte(host, '.')+1:]
	ip, err := netip.ParseAddr(host)
	if number.MatchString(last) && err != nil {
		return false
	}
	return scheme == "https" || host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
}

var number = regexp.MustCompile(`^(?:[0-9]+|0x[0-9a-f]*)$`)
