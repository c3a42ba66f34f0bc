package server

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

// surround is what every request passes, from the outside in: a name, the log,
// a net for panics, headers, limits.
func (p *Parts) surround(next http.Handler, larger func(path string) int64) http.Handler {
	next = bounded(next, larger)
	next = p.headers(next)
	next = p.recover(next)
	next = p.access(next)
	return named(next)
}

// bounded bounds bodies, those to some paths by more than maxBody.
func bounded(next http.Handler, larger func(path string) int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.MaxBytesHandler(next, max(maxBody, larger(r.URL.Path))).ServeHTTP(w, r)
	})
}

type requestIDKey struct{}

// named gives a request an id of ours: one from outside could forge the log.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := model.NewID()
		w.Header().Set("X-Request-Id", id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

func requestID(r *http.Request) string {
	id, _ := r.Context().Value(requestIDKey{}).(string)
	return id
}

// access logs each request: never the query, which may hold a code, a state or
// a token, and never a header.
func (p *Parts) access(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		seen := &watched{ResponseWriter: w}
		next.ServeHTTP(seen, r)
		p.Config.Logger.LogAttrs(r.Context(), slog.LevelInfo, "request",
			slog.String("method", r.Method),
			slog.String("path", r.URL.Path),
			slog.Int("status", seen.code()),
			slog.Int64("bytes", seen.bytes),
			slog.Duration("took", time.Since(start)),
			slog.String("peer", p.address(r)),
			slog.String("request", requestID(r)))
	})
}

// watched notes the status and the size of an answer.
type watched struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *watched) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
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

// recover turns a panic into a plain 500 and a log entry with the stack, which
// nobody outside sees.
func (p *Parts) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			fault := recover()
			if fault == nil {
				return
			}
			if fault == http.ErrAbortHandler {
				panic(fault)
			}
			p.Config.Logger.ErrorContext(r.Context(), "panic", "fault", fault, "stack", string(debug.Stack()), "request", requestID(r))
			http.Error(w, "server_error: the server could not do this now; it has been logged as "+requestID(r), http.StatusInternalServerError)
		}()
		next.ServeHTTP(w, r)
	})
}

func (p *Parts) headers(next http.Handler) http.Handler {
	secure := strings.HasPrefix(p.Config.Issuer, "https:")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // codes and states stand in URLs, RFC 9700 §4.2.4
		if secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}
