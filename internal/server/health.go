package server

import (
	"context"
	"net/http"
	"time"
)

// healthz says that the process is alive.
func (p *Parts) healthz(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, "ok")
}

// readyz says whether requests should be sent here: not while the database is
// away, and not while the server stops.
func (p *Parts) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	switch {
	case p.stopping.Load():
		answer(w, http.StatusServiceUnavailable, "stopping")
	case p.Store.Ping(ctx) != nil:
		answer(w, http.StatusServiceUnavailable, "the database does not answer")
	default:
		answer(w, http.StatusOK, "ready")
	}
}

func answer(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write([]byte(text + "\n")) // a peer that has gone cannot be told
}
