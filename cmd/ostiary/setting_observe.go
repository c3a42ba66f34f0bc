package main

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
)

var groupObserve = group{"Observation", "observe.md"}

// observing are the settings of what tells others how the server is.
var observing = []setting{
	{"metrics-listen", groupObserve, "`HOST:PORT` at which Prometheus finds the metrics, on this machine or in a private network; never the public address", "", "none", as(metricsListen)},
	{"metrics-clients", groupObserve, "`STATE` of counting tokens by client as well, a time series for each: on or off", "off", "", onOrOff(func(s *settings, on bool) { s.Measure.Clients = on })},
	{"trace-endpoint", groupObserve, "`URL` of a collector that takes OpenTelemetry traces by OTLP over HTTP, such as http://127.0.0.1:4318", "", "what OTEL_EXPORTER_OTLP_ENDPOINT says, or none", as(traceEndpoint)},
	{"trace-sample", groupObserve, "`SHARE` of the traces begun here that are recorded, from 0 to 1", "", "what OTEL_TRACES_SAMPLER says, or all", as(traceSample)},
	{"audit-file", groupObserve, "`FILE` to which each entry of the audit log is appended as a line of JSON; it may be moved away at any time", "", "none", text(func(s *settings) *string { return &s.AuditFile })},
	{"audit-stdout", groupObserve, "`STATE` of the same to standard output: on or off", "off", "", onOrOff(func(s *settings, on bool) { s.auditStdout = on })},
	{"audit-webhook", groupObserve, "`URL` to which the same is posted, signed; its secret is in " + auditSecret + " or in a file", "", "none", text(func(s *settings) *string { return &s.AuditWebhook })},
	{"audit-webhook-secret-file", groupObserve, "`FILE` with that secret, 24 characters or more", "", "none", as(auditSecretFile)},
}

// auditSecret is the variable that may hold the secret of the audit webhook.
const auditSecret = "OSTIARY_AUDIT_WEBHOOK_SECRET"

// The variables of OpenTelemetry that are heeded here; the SDK reads those about the
// sampler, the resource and the batches itself.
const (
	otelDisabled       = "OTEL_SDK_DISABLED"
	otelEndpoint       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	otelTracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	otelHeaders        = "OTEL_EXPORTER_OTLP_HEADERS"
	otelTracesHeaders  = "OTEL_EXPORTER_OTLP_TRACES_HEADERS"
)

func metricsListen(s *settings, v string) error {
	if s.MetricsListen = v; v == "" {
		return nil
	}
	return checkAddress(v)
}

func traceEndpoint(s *settings, v string) error {
	s.Trace.Endpoint = tracesAt(v)
	return nil
}

// tracesAt adds to the address of a collector the path of traces, which it has unless
// another one is named (OTLP 1.0, "OTLP/HTTP Request").
func tracesAt(v string) string {
	if u, err := url.Parse(v); err == nil && u.Host != "" && strings.Trim(u.Path, "/") == "" {
		u.Path = "/v1/traces"
		return u.String()
	}
	return v
}

func traceSample(s *settings, v string) error {
	if v == "" {
		return nil
	}
	share, err := strconv.ParseFloat(v, 64)
	if err != nil || !(share >= 0 && share <= 1) {
		return fmt.Errorf("%q is not a number from 0 to 1", v)
	}
	s.Trace.Sample = &share
	return nil
}

func auditSecretFile(s *settings, path string) error {
	if path == "" {
		return nil
	}
	data, err := readBounded(path)
	if err != nil {
		return err
	}
	if s.AuditSecret = model.Secret(strings.TrimRight(string(data), "\r\n")); s.AuditSecret == "" {
		return fmt.Errorf("%s is empty: it must hold the secret of the audit webhook", path)
	}
	return nil
}

// observe adds what comes from elsewhere than the settings: secrets, what OpenTelemetry
// has named, and what this program is.
func (sh shell) observe(s *settings) error {
	if v, ok := sh.getenv(auditSecret); ok && v != "" {
		s.AuditSecret = model.Secret(v)
	}
	if s.auditStdout {
		s.AuditOutput = sh.stdout
	}
	b := build()
	s.Measure.Version, s.Measure.Revision, s.Measure.GoVersion = b.Version, b.Revision, b.Go
	s.Trace.Version = b.Version
	if v, _ := sh.getenv(otelDisabled); strings.EqualFold(v, "true") {
		s.Trace.Endpoint = ""
		return nil
	}
	if s.Trace.Endpoint == "" {
		s.Trace.Endpoint, _ = sh.getenv(otelTracesEndpoint)
	}
	if v, _ := sh.getenv(otelEndpoint); s.Trace.Endpoint == "" && v != "" {
		s.Trace.Endpoint = strings.TrimRight(v, "/") + "/v1/traces"
	}
	return sh.traceHeaders(s)
}

// traceHeaders reads what is to be sent to the collector along with spans: NAME=VALUE,
// separated by commas (OpenTelemetry, "Protocol Exporter", "Specifying headers").
func (sh shell) traceHeaders(s *settings) error {
	name, v := otelTracesHeaders, ""
	if v, _ = sh.getenv(name); v == "" {
		name = otelHeaders
		v, _ = sh.getenv(name)
	}
	s.Trace.Headers = map[string]string{}
	for _, pair := range strings.Split(v, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !ok || err != nil || !headerName(key) || strings.ContainsAny(value, "\r\n") {
			return usagef("%s: %v", name, errors.New("it must be NAME=VALUE, separated by commas"))
		}
		s.Trace.Headers[key] = value
	}
	return nil
}

// headerName reports whether a text can be the name of a header, RFC 9110 §5.6.2.
func headerName(v string) bool {
	for _, c := range []byte(v) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return v != ""
}
