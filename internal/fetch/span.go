package fetch

import (
	"net/http"

	"github.com/ostiary/ostiary/internal/trace"
)

// observed makes a span of each request that is part of something traced. It tells the
// host and no more: a path may hold a secret, and the trace is ours alone, so that the
// other server is told nothing of it (W3C Trace Context §7).
type observed struct{ *http.Transport }

func (o observed) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, span := trace.StartCall(r.Context(), r.Method)
	defer span.End()
	if trace.Traced(ctx) {
		r = r.WithContext(ctx)
	}
	span.Text("http.request.method", r.Method)
	span.Text("server.address", r.URL.Hostname())
	resp, err := o.Transport.RoundTrip(r)
	if err == nil {
		span.Number("http.response.status_code", int64(resp.StatusCode))
	}
	span.Fail(err)
	return resp, err
}
