package measure

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// methods are those by which requests are counted; all others are one.
var methods = [...]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions, "other"}

// classes of status codes, RFC 9110 §15.
var classes = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// route is what is counted of one route. What is found once is kept: to find it takes
// longer than to count.
type route struct {
	counts [len(methods)][len(classes)]atomic.Pointer[prometheus.Counter]
	times  [len(methods)]atomic.Pointer[prometheus.Observer]
}

// Begun counts a request that is being answered.
func (s *Set) Begun() {
	if s != nil {
		s.inFlight.Inc()
	}
}

// Answered counts a request that Begun has counted, and was answered by the route with
// that pattern, which is one of those that the server has, without a method.
func (s *Set) Answered(pattern, method string, status int, took time.Duration) {
	if s == nil {
		return
	}
	s.inFlight.Dec()
	known, ok := s.routes.Load(pattern)
	if !ok {
		known, _ = s.routes.LoadOrStore(pattern, &route{})
	}
	r, m, c := known.(*route), methodOf(method), min(max(status/100, 1), len(classes))-1
	count := r.counts[m][c].Load()
	if count == nil {
		found := s.requests.WithLabelValues(pattern, methods[m], classes[c])
		count = &found
		r.counts[m][c].Store(count)
	}
	(*count).Inc()
	times := r.times[m].Load()
	if times == nil {
		found := s.durations.WithLabelValues(pattern, methods[m])
		times = &found
		r.times[m].Store(times)
	}
	(*times).Observe(took.Seconds())
}

// Method bounds what somebody sent to the methods that are told apart.
func Method(sent string) string { return methods[methodOf(sent)] }

func methodOf(method string) int {
	for i, m := range methods {
		if m == method {
			return i
		}
	}
	return len(methods) - 1
}
