package server

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/measure"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/trace"
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

// bounded bounds bodies, those to some paths by more than maxBody. The request is a
// copy of ours since it has a name, and is changed as it is.
func bounded(next http.Handler, larger func(path string) int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, max(maxBody, larger(r.URL.Path)))
		}
		next.ServeHTTP(w, r)
	})
}

type visitKey struct{}

// visit is what is noted of a request.
type visit struct {
	id    string
	route string // the pattern that answered it; empty: none has yet
}

// named gives a request an id of ours: one from outside could forge the log.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{id: model.NewID()}
		w.Header().Set("X-Request-Id", v.id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
	})
}

func visitOf(r *http.Request) *visit {
	v, _ := r.Context().Value(visitKey{}).(*visit)
	if v == nil {
		return &visit{}
	}
	return v
}

func requestID(r *http.Request) string { return visitOf(r).id }

// visited notes the route that answers a request: the pattern, for a path may hold
// what somebody invents.
func visited(r *http.Request) {
	visitOf(r).route = r.Pattern[strings.LastIndexByte(r.Pattern, ' ')+1:]
}

// routed notes the route of what no mux within notes.
func routed(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if visitOf(r).route == "" {
				visited(r)
			}
		}()
		mux.ServeHTTP(w, r)
	})
}

// access logs each request: never the query, which may hold a code, a state or
// a token, and never a header.
func (p *Parts) access(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		seen, v := &watched{ResponseWriter: w}, visitOf(r)
		p.Measures.Begun()
		ctx, span := p.Tracer.Request(r, p.trusts(hostOf(r.RemoteAddr)))
		if trace.Traced(ctx) {
			r = r.WithContext(ctx)
		}
		defer func() { // also when the answer breaks off, with a panic
			took, route, method := time.Since(start), cmp.Or(v.route, "none"), measure.Method(r.Method)
			p.Measures.Answered(route, method, seen.code(), took)
			span.Answered(method, route, seen.code(), v.id)
			p.log(r, seen, took)
		}()
		next.ServeHTTP(seen, r)
	})
}

// log writes what was answered.
func (p *Parts) log(r *http.Request, seen *watched, took time.Duration) {
	ctx := r.Context()
	if !p.Config.Logger.Enabled(ctx, slog.LevelInfo) {
		return
	}
	said := []slog.Attr{
		slog.String("method", r.Method),
		slog.String("path", r.URL.Path),
		slog.Int("status", seen.code()),
		slog.Int64("bytes", seen.bytes),
		slog.Duration("took", took),
		slog.String("peer", p.address(r)),
		slog.String("request", requestID(r)),
	}
	if id := trace.ID(ctx); id != "" {
		said = append(said, slog.String("trace", id))
	}
	p.Config.Logger.LogAttrs(ctx, slog.LevelInfo, "request", said...)
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
