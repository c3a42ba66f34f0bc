package measure

import (
	"net/http"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ostiary/ostiary/internal/fetch"
)

// Path is where the metrics are.
const Path = "/metrics"

// maxScrapes is how many may ask at once.
const maxScrapes = 4

// Handler serves the metrics, in Prometheus's text format and in OpenMetrics, to
// callers on this machine and in private networks: how many sign in, and which routes
// fail, is nobody else's business, and to find it out has its cost.
func (s *Set) Handler() http.Handler {
	tell := promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: maxScrapes,
		ErrorHandling: promhttp.ContinueOnError, // what is known is told
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !private(r.RemoteAddr) {
			http.Error(w, "the metrics are for this machine and private networks", http.StatusForbidden)
			return
		}
		tell.ServeHTTP(w, r)
	})
	return mux
}

// private reports whether a peer is no address of the public Internet.
func private(peer string) bool {
	at, err := netip.ParseAddrPort(peer)
	return err == nil && !fetch.Public(at.Addr().WithZone(""))
}

// Described lists what there is of ours, by name and type, each with its labels: also
// what has no series yet.
func (s *Set) Described() map[string][]string {
	all := map[string][]string{}
	for _, m := range s.made {
		all[m.name+" "+m.kind] = m.labels
	}
	return all
}
