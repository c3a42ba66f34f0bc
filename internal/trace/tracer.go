package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// Bounds on what one span may hold and on what waits for the collector: with one that
// is away, spans are dropped, and nothing else waits.
const (
	maxAttributes = 16
	maxText       = 200 // of an attribute, in characters
	maxQueue      = 2048
	maxBatch      = 512
	batchEvery    = 2 * time.Second
)

// Config says where spans go.
type Config struct {
	// Endpoint is the URL that takes an ExportTraceServiceRequest (OTLP 1.0, HTTP),
	// as a rule one that ends in /v1/traces.
	Endpoint string
	Headers  map[string]string // sent along, such as an Authorization
	// Sample is the share of the traces begun here that are recorded, from 0 to 1;
	// nil: all of them, or what OTEL_TRACES_SAMPLER says.
	Sample  *float64
	Version string       // of this program
	Client  *http.Client // nil: http.DefaultClient
	Logger  *slog.Logger // nil: slog.Default
}

// Tracer records spans and sends them to a collector. Its methods may be called from
// many goroutines at once. A nil *Tracer records nothing.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   oteltrace.Tracer
}

// Check returns what makes no sense, as New does, in a sentence that names the setting.
func (c Config) Check() error {
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return errors.New("trace-endpoint must be the http or https URL of a collector, without a user, such as http://127.0.0.1:4318/v1/traces")
	}
	if c.Sample != nil && (*c.Sample < 0 || *c.Sample > 1) {
		return fmt.Errorf("trace-sample is %v and must be from 0 to 1", *c.Sample)
	}
	return nil
}

// New returns a Tracer, or nil where no endpoint is set.
func New(c Config) (*Tracer, error) {
	if c.Endpoint == "" {
		return nil, nil //nolint:nilnil // a nil Tracer is one that is off, and works
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Client == nil {
		c.Client = http.DefaultClient
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	// What the environment says (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) wins.
	about, err := resource.Merge(resource.NewSchemaless(
		attribute.String("service.name", "ostiary"), attribute.String("service.version", c.Version),
	), resource.Environment())
	if err != nil {
		return nil, fmt.Errorf("the attributes in OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	limits := sdk.NewSpanLimits()
	limits.AttributeCountLimit, limits.AttributeValueLengthLimit = maxAttributes, maxText
	options := []sdk.TracerProviderOption{
		sdk.WithResource(about), sdk.WithRawSpanLimits(limits),
		sdk.WithBatcher(newExporter(c), sdk.WithMaxQueueSize(maxQueue), sdk.WithMaxExportBatchSize(maxBatch), sdk.WithBatchTimeout(batchEvery)),
	}
	if c.Sample != nil {
		options = append(options, sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(*c.Sample))))
	}
	provider := sdk.NewTracerProvider(options...)
	return &Tracer{provider, provider.Tracer(scope)}, nil
}

// Close sends what waits, as long as ctx lasts.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Within returns a context in which Begin begins traces.
func (t *Tracer) Within(ctx context.Context) context.Context {
	if t == nil {
		return ctx
	}
	return context.WithValue(ctx, tracerKey{}, t)
}

// Visit is the span of a request to this server.
type Visit struct{ Span }

// Request begins the span of a request. A traceparent (W3C Trace Context §3.2) is
// followed if the caller is trusted: else anybody could choose what is recorded, and
// mix their spans with those of others.
func (t *Tracer) Request(r *http.Request, trusted bool) (context.Context, Visit) {
	ctx := r.Context()
	if t == nil {
		return ctx, Visit{}
	}
	if trusted {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	// Named anew at the end, by the route.
	ctx, span := t.tracer.Start(ctx, "request", oteltrace.WithSpanKind(oteltrace.SpanKindServer))
	return ctx, Visit{Span{span}}
}

// Answered ends the span of a request. route is the pattern that answered it, without
// a method; id is the request's name in the log.
func (v Visit) Answered(method, route string, status int, id string) {
	if v.span == nil {
		return
	}
	// OpenTelemetry semantic conventions for HTTP spans, "HTTP server".
	v.span.SetName(method + " " + route)
	v.span.SetAttributes(
		attribute.String("http.request.method", method), attribute.String("http.route", route),
		attribute.Int("http.response.status_code", status), attribute.String("ostiary.request", id),
	)
	if status >= http.StatusInternalServerError {
		v.span.SetStatus(codes.Error, "")
	}
	v.span.End()
}
