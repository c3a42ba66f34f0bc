// Package trace owns what the server says of itself in spans: which request, which
// rule, which transaction and which statement took how long. It speaks the words of
// OpenTelemetry, and OTLP over HTTP to a collector.
//
// A span is named after what stands in the source: a route, a rule, a statement. It
// never holds what somebody sent or what is stored: no path, no query, no header, no
// parameter of a statement, no text of an error.
//
// Where nobody traces, Start finds no span in the context and does nothing.
package trace

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// scope is the name under which all spans are made.
const scope = "github.com/ostiary/ostiary"

// Span is something that takes its time. The zero Span is one that nobody traces, and
// its methods do nothing.
type Span struct{ span oteltrace.Span }

// Start begins a span within the one in ctx, if there is one that is recorded.
func Start(ctx context.Context, name string) (context.Context, Span) {
	return start(ctx, name, oteltrace.SpanKindInternal)
}

// StartCall is Start for a request to another server.
func StartCall(ctx context.Context, name string) (context.Context, Span) {
	return start(ctx, name, oteltrace.SpanKindClient)
}

func start(ctx context.Context, name string, kind oteltrace.SpanKind) (context.Context, Span) {
	parent := oteltrace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := parent.TracerProvider().Tracer(scope).Start(ctx, name, oteltrace.WithSpanKind(kind))
	return ctx, Span{span}
}

type tracerKey struct{}

// Begin is Start for work that no request asks for: it begins a trace, if ctx comes
// from Tracer.Within.
func Begin(ctx context.Context, name string) (context.Context, Span) {
	if oteltrace.SpanContextFromContext(ctx).IsValid() {
		return Start(ctx, name)
	}
	t, _ := ctx.Value(tracerKey{}).(*Tracer)
	if t == nil {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(ctx, name, oteltrace.WithSpanKind(oteltrace.SpanKindInternal))
	return ctx, Span{span}
}

// Traced reports whether what is done in ctx is recorded.
func Traced(ctx context.Context) bool { return oteltrace.SpanFromContext(ctx).IsRecording() }

// ID returns the identifier of the trace in ctx, or nothing.
func ID(ctx context.Context) string {
	if c := oteltrace.SpanContextFromContext(ctx); c.IsSampled() {
		return c.TraceID().String()
	}
	return ""
}

// Text notes a text that is no secret, and of which there are few.
func (s Span) Text(key, value string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// Number notes a number.
func (s Span) Number(key string, value int64) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int64(key, value))
	}
}

// Fail notes that it went wrong, if it did: the type of the error, for its text may
// repeat what somebody sent.
func (s Span) Fail(err error) {
	if s.span != nil && err != nil {
		s.span.SetAttributes(attribute.String("error.type", fmt.Sprintf("%T", err)))
		s.span.SetStatus(codes.Error, "")
	}
}

// End ends the span.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}
