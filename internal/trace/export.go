package trace

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	wireresource "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	wire "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// exportTime bounds one attempt to send spans, maxTries the attempts.
	exportTime = 10 * time.Second
	maxTries   = 4
	firstPause = time.Second
	maxPause   = 10 * time.Second
	// tellEvery is how often at most the log tells that spans are lost.
	tellEvery = time.Minute
)

// exporter sends spans as OTLP over HTTP, in binary protobuf. The one of OpenTelemetry
// itself would bring gRPC along, which is a sixth of this program.
type exporter struct {
	config Config
	mu     sync.Mutex
	told   time.Time
}

func newExporter(c Config) *exporter { return &exporter{config: c} }

// ExportSpans implements sdk.SpanExporter.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	body, err := proto.Marshal(request(spans))
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	pack := gzip.NewWriter(&packed)
	if _, err := pack.Write(body); err != nil {
		return err
	}
	if err := pack.Close(); err != nil {
		return err
	}
	pause := firstPause
	for try := 1; ; try++ {
		wait, err := e.send(ctx, packed.Bytes())
		if err == nil {
			return nil
		}
		if wait < 0 || try == maxTries {
			e.lost(ctx, len(spans), err)
			return nil // told once, here: the SDK would tell for each batch
		}
		select {
		case <-time.After(max(pause, min(wait, maxPause))):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause *= 2
	}
}

// Shutdown implements sdk.SpanExporter.
func (e *exporter) Shutdown(context.Context) error { return nil }

// send makes one attempt. When it fails, wait is how long to wait at least before the
// next; less than zero: there shall be none.
func (e *exporter) send(ctx context.Context, body []byte) (wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, exportTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.config.Endpoint, bytes.NewReader(body))
	if err != nil {
		return -1, err
	}
	for name, value := range e.config.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "gzip")
	resp, err := e.config.Client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 16<<10) // so that the connection can be used again
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout: // OTLP 1.0, "Retryable Response Codes"
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return time.Duration(max(seconds, 0)) * time.Second, fmt.Errorf("the collector answers %d", resp.StatusCode)
	}
	return -1, fmt.Errorf("the collector answers %d", resp.StatusCode)
}

// lost tells now and then that spans did not arrive.
func (e *exporter) lost(ctx context.Context, spans int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Since(e.told) < tellEvery {
		return
	}
	e.told = time.Now()
	e.config.Logger.LogAttrs(ctx, slog.LevelWarn, "spans are lost: the collector does not take them", slog.Int("spans", spans), slog.Any("error", err))
}

// request puts spans, which are all of this program, into the words of OTLP.
func request(spans []sdk.ReadOnlySpan) *collector.ExportTraceServiceRequest {
	if len(spans) == 0 {
		return &collector.ExportTraceServiceRequest{}
	}
	list := make([]*wire.Span, len(spans))
	for i, s := range spans {
		list[i] = written(s)
	}
	about := &wireresource.Resource{Attributes: attributes(spans[0].Resource().Attributes())}
	return &collector.ExportTraceServiceRequest{ResourceSpans: []*wire.ResourceSpans{{
		Resource: about, ScopeSpans: []*wire.ScopeSpans{{Scope: &common.InstrumentationScope{Name: scope}, Spans: list}},
	}}}
}

func written(s sdk.ReadOnlySpan) *wire.Span {
	at, parent := s.SpanContext(), s.Parent()
	trace, span := at.TraceID(), at.SpanID()
	w := &wire.Span{
		TraceId: trace[:], SpanId: span[:], TraceState: at.TraceState().String(), Flags: uint32(at.TraceFlags()),
		Name: s.Name(), Kind: kinds[s.SpanKind()],
		StartTimeUnixNano: uint64(s.StartTime().UnixNano()), EndTimeUnixNano: uint64(s.EndTime().UnixNano()),
		Attributes: attributes(s.Attributes()), DroppedAttributesCount: uint32(s.DroppedAttributes()),
		Status: &wire.Status{Code: wire.Status_STATUS_CODE_UNSET},
	}
	if parent.HasSpanID() {
		id := parent.SpanID()
		w.ParentSpanId = id[:]
	}
	switch s.Status().Code {
	case codes.Error:
		w.Status.Code = wire.Status_STATUS_CODE_ERROR
	case codes.Ok:
		w.Status.Code = wire.Status_STATUS_CODE_OK
	}
	return w
}

var kinds = map[oteltrace.SpanKind]wire.Span_SpanKind{
	oteltrace.SpanKindInternal: wire.Span_SPAN_KIND_INTERNAL,
	oteltrace.SpanKindServer:   wire.Span_SPAN_KIND_SERVER,
	oteltrace.SpanKindClient:   wire.Span_SPAN_KIND_CLIENT,
}

func attributes(list []attribute.KeyValue) []*common.KeyValue {
	all := make([]*common.KeyValue, 0, len(list))
	for _, a := range list {
		value := &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: a.Value.String()}}
		if a.Value.Type() == attribute.INT64 {
			value = &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: a.Value.AsInt64()}}
		}
		all = append(all, &common.KeyValue{Key: string(a.Key), Value: value})
	}
	return all
}
