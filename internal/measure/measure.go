// Package measure owns what the server says of itself in numbers, for Prometheus: what
// is counted while it works, what is looked up when somebody asks, and the page that
// tells.
//
// A label has a value that stands in the source or in the settings: a route and never
// a path, a grant and not who has it. There is one exception, which an operator has to
// choose: the tokens of each client.
//
// It never decides anything, and nobody waits for it. A nil *Set counts nothing.
package measure

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/signal"
	"github.com/ostiary/ostiary/internal/store"
)

// Config says what is counted.
type Config struct {
	Version   string // of this program
	Revision  string // of its source
	GoVersion string
	// Clients has the tokens of each client counted: one time series for every
	// client and grant.
	Clients bool
	Now     func() time.Time // nil: time.Now
}

// Set is the metrics of one server. Its methods may be called from many goroutines at
// once.
type Set struct {
	Config
	registry *prometheus.Registry
	made     []made
	routes   sync.Map // the requests of each route, by its pattern

	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	inFlight  prometheus.Gauge

	signIns      *prometheus.CounterVec
	tokens       *prometheus.CounterVec
	clientTokens *prometheus.CounterVec
	refusals     *prometheus.CounterVec
	events       *prometheus.CounterVec
	deliveries   *prometheus.CounterVec
	letters      *prometheus.CounterVec
	streamed     *prometheus.CounterVec
	failures     *prometheus.CounterVec

	transactions     *prometheus.CounterVec
	transactionTimes *prometheus.HistogramVec
	retries          prometheus.Counter
	ended            map[string]*ended // of transactions, by their kind
}

// Bounds of the histograms, in seconds. Transactions are shorter than requests.
var (
	requestBounds     = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	transactionBounds = []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5}
)

// New returns a Set that counts from nothing.
func New(c Config) *Set {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Set{Config: c, registry: prometheus.NewRegistry(), ended: map[string]*ended{}}
	s.requests = s.counters("http_requests_total", "Requests that were answered, by route pattern, method and class of the status.", "route", "method", "class")
	s.durations = s.histograms("http_request_duration_seconds", "How long requests took, to the end of the answer; those that wait on purpose, too.", requestBounds, "route", "method")
	s.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: s.make("gauge", "http_requests_in_flight"), Help: "Requests that are being answered."})
	s.signIns = s.counters("sign_ins_total", "Attempts to prove who somebody is, by method and outcome.", "method", "outcome")
	s.tokens = s.counters("tokens_issued_total", "Successful answers of the token endpoint, by grant and kind of client.", "grant", "client_kind")
	s.refusals = s.counters("token_refusals_total", "Refusals of the token endpoint, by grant and error code.", "grant", "error")
	s.events = s.counters("audit_events_total", "Entries of the audit log that this node has sealed, by action. The sum over all nodes is what happened.", "action")
	s.deliveries = s.counters("outbox_deliveries_total", "Attempts to deliver what waits in the outbox, by queue and outcome.", "queue", "outcome")
	s.letters = s.counters("letters_total", "Letters, by outcome.", "outcome")
	s.streamed = s.counters("audit_stream_entries_total", "Entries of the audit log that this node has written or sent, by outlet: file, stdout or webhook.", "outlet")
	s.failures = s.counters("background_failures_total", "Work in the background that went wrong and is tried again, by work.", "work")
	s.transactions = s.counters("database_transactions_total", "Transactions, by kind and outcome.", "kind", "outcome")
	s.transactionTimes = s.histograms("database_transaction_duration_seconds", "How long transactions took, with their wait for a turn, by kind.", transactionBounds, "kind")
	s.retries = prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: s.make("counter", "database_retries_total"), Help: "How often a transaction was run again because others were in its way."})
	s.registry.MustRegister(s.inFlight, s.retries, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if c.Clients {
		s.clientTokens = s.counters("client_tokens_issued_total", "Successful answers of the token endpoint, by client and grant; only where metrics-clients is on.", "client", "grant")
	}
	for _, kind := range store.Kinds() {
		s.ended[kind] = s.endedOf(kind)
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: s.make("gauge", "build_info", "version", "revision", "goversion"), Help: "Which program this is; always 1.",
		ConstLabels: prometheus.Labels{"version": c.Version, "revision": c.Revision, "goversion": c.GoVersion},
	})
	info.Set(1)
	s.registry.MustRegister(info)
	return s
}

// Expect makes the series of what may not happen for long, with nothing counted: of
// attempts to prove who somebody is, by these methods and outcomes, of letters, of
// deliveries, and of what is a sign of theft. What has no series is not 0 to Prometheus:
// a comparison with it is never true, and the first that is counted is no increase.
func (s *Set) Expect(methods []model.Method, outcomes []string) {
	for _, method := range methods {
		for _, outcome := range outcomes {
			s.signIns.WithLabelValues(string(method), outcome)
		}
	}
	for _, outcome := range []string{mail.Sent, mail.Delayed, mail.GivenUp} {
		s.letters.WithLabelValues(outcome)
	}
	for _, outcome := range signal.Outcomes() {
		for _, queue := range signal.Queues() {
			s.deliveries.WithLabelValues(queue, outcome)
		}
	}
	for _, action := range []string{"code.replay", "grant.reuse"} {
		s.events.WithLabelValues(action)
	}
}

// made is a metric of ours, for whoever tells of them.
type made struct {
	name, kind string
	labels     []string
}

func (s *Set) make(kind, name string, labels ...string) string {
	s.made = append(s.made, made{namespace + "_" + name, kind, labels})
	return name
}

// namespace is what the names of all metrics begin with that are ours.
const namespace = "ostiary"

func (s *Set) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: s.make("counter", name, labels...), Help: help}, labels)
	s.registry.MustRegister(c)
	return c
}

func (s *Set) histograms(name, help string, bounds []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: s.make("histogram", name, labels...), Help: help, Buckets: bounds}, labels)
	s.registry.MustRegister(h)
	return h
}

// SignIn counts an attempt to prove who somebody is.
func (s *Set) SignIn(method model.Method, outcome string) {
	if s != nil {
		s.signIns.WithLabelValues(string(method), outcome).Inc()
	}
}

// Issued counts a successful answer of the token endpoint.
func (s *Set) Issued(grant string, to model.Client) {
	if s == nil {
		return
	}
	kind := "confidential" // RFC 6749 §2.1
	if to.AuthMethod == model.AuthNone {
		kind = "public"
	}
	s.tokens.WithLabelValues(grantName(grant), kind).Inc()
	if s.clientTokens != nil {
		s.clientTokens.WithLabelValues(string(to.ID), grantName(grant)).Inc()
	}
}

// Refused counts a refusal of the token endpoint. grant is what was sent, code one of
// our error codes.
func (s *Set) Refused(grant, code string) {
	if s != nil {
		s.refusals.WithLabelValues(grantName(grant), code).Inc()
	}
}

// grantName bounds what somebody sent to the grants that there are.
func grantName(sent string) string {
	switch sent {
	case model.GrantAuthorizationCode, model.GrantRefreshToken, model.GrantClientCredentials, model.GrantImplicit:
		return sent
	case model.GrantDeviceCode:
		return "device_code"
	}
	return "other"
}

// Sealed counts entries of the audit log, which were sealed by this node and so by no
// other.
func (s *Set) Sealed(entries []model.Event) {
	if s == nil {
		return
	}
	for _, e := range entries {
		s.events.WithLabelValues(e.Action).Inc()
	}
}

// Delivered counts an attempt to deliver what waits in a queue of the outbox.
func (s *Set) Delivered(queue, outcome string) {
	if s != nil {
		s.deliveries.WithLabelValues(queue, outcome).Inc()
	}
}

// Letter counts what became of a letter.
func (s *Set) Letter(outcome string) {
	if s != nil {
		s.letters.WithLabelValues(outcome).Inc()
	}
}

// Streamed counts entries of the audit log that have gone to an outlet.
func (s *Set) Streamed(outlet string, entries int) {
	if s != nil {
		s.streamed.WithLabelValues(outlet).Add(float64(entries))
	}
}

// Failed counts work in the background that went wrong.
func (s *Set) Failed(work string) {
	if s != nil {
		s.failures.WithLabelValues(work).Inc()
	}
}

// ended is what is counted of transactions of one kind, found beforehand.
type ended struct {
	done, refused, failed prometheus.Counter
	times                 prometheus.Observer
}

func (s *Set) endedOf(kind string) *ended {
	return &ended{
		done:    s.transactions.WithLabelValues(kind, "done"),
		refused: s.transactions.WithLabelValues(kind, "refused"),
		failed:  s.transactions.WithLabelValues(kind, "failed"),
		times:   s.transactionTimes.WithLabelValues(kind),
	}
}

// Transaction counts a transaction, for store.Store.Observe. What a rule refuses, by
// an error of its own, is no failure of the database.
func (s *Set) Transaction(t store.Transaction) {
	e := s.ended[t.Kind]
	e.times.Observe(t.Took.Seconds())
	switch {
	case t.Err == nil:
		e.done.Inc()
	case t.Refused:
		e.refused.Inc()
	default:
		e.failed.Inc()
	}
	if t.Attempts > 1 {
		s.retries.Add(float64(t.Attempts - 1))
	}
}
