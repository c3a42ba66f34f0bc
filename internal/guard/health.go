package guard

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// The two ways in which requests come to be judged.
const (
	modeProxy  = "proxy"
	modeVerify = "verify"
)

// decisions counts what became of requests.
type decisions struct {
	mu    sync.Mutex
	count map[decision]uint64
}

type decision struct {
	mode   string
	status int
}

func (d *decisions) add(one decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.count == nil {
		d.count = map[decision]uint64{}
	}
	d.count[one]++
}

// write prints the counts in the text format of Prometheus.
func (d *decisions) write(w io.Writer) {
	d.mu.Lock()
	all := maps.Clone(d.count)
	d.mu.Unlock()
	fmt.Fprint(w, "# HELP ostiary_guard_decisions_total Requests that were judged, by the status of the decision; 200 is let through.\n"+
		"# TYPE ostiary_guard_decisions_total counter\n")
	for _, one := range slices.SortedFunc(maps.Keys(all), func(a, b decision) int {
		return cmp.Or(cmp.Compare(a.mode, b.mode), cmp.Compare(a.status, b.status))
	}) {
		fmt.Fprintf(w, "ostiary_guard_decisions_total{mode=%q,status=\"%d\"} %d\n", one.mode, one.status, all[one])
	}
}

// health answers on a port of its own: none of it can be reached through the
// guarded one.
func (g *Guard) health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reason := g.unready(); reason != "" {
			say(w, http.StatusServiceUnavailable, reason)
			return
		}
		say(w, http.StatusOK, "ready")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		g.decisions.write(w)
		if g.feed != nil {
			g.feed.WriteMetrics(w)
		}
	})
	return mux
}

// unready says why requests should not be sent here, and nothing if they should.
func (g *Guard) unready() string {
	switch {
	case g.stopping.Load():
		return "stopping"
	case !g.keys.Load():
		return "the keys of the issuer have not been had yet"
	case g.feed != nil && !g.feed.State().Ready:
		return "the revocation feed has not told everything yet"
	}
	return ""
}

// prepare gets the keys before the first token arrives.
func (g *Guard) prepare(ctx context.Context) {
	for {
		err := g.api.Prepare(ctx)
		if err == nil {
			g.keys.Store(true)
			return
		}
		if ctx.Err() != nil {
			return
		}
		g.log.WarnContext(ctx, "the keys of the issuer are not available", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(2 * time.Second):
		}
	}
}

// note logs and counts a request: never its query and never a header.
func (g *Guard) note(r *http.Request, q *question, seen *watched, start time.Time) {
	status := seen.code()
	if q.mode != "" {
		one := decision{q.mode, status}
		if q.allowed {
			one.status = http.StatusOK
		}
		g.decisions.add(one)
	}
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		peer = r.RemoteAddr
	}
	method, path := r.Method, r.URL.Path
	if q.method != "" {
		method, path = q.method, q.raw
	}
	what := "request"
	if q.mode == modeVerify {
		what = "question"
	}
	g.log.LogAttrs(r.Context(), slog.LevelInfo, what,
		slog.String("method", method),
		slog.String("path", path),
		slog.Int("status", status),
		slog.Int64("bytes", seen.bytes),
		slog.Duration("took", time.Since(start)),
		slog.String("peer", peer))
}

// watched notes the status and the size of an answer.
type watched struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *watched) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

func (w *watched) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// Unwrap lets http.ResponseController reach the connection.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func say(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n") // a peer that has gone cannot be told
}

// problem answers for the guard itself, RFC 9457 §3: it is not about the token.
func problem(w http.ResponseWriter, status int, detail string) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{ // likewise
		"title": http.StatusText(status), "status": status, "detail": detail,
	})
}
