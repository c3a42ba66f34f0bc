package measure

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ostiary/ostiary/internal/audit"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/limit"
	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/signal"
	"github.com/ostiary/ostiary/internal/store"
)

const (
	// askTime is how long the database may take to say what waits: a node without a
	// database tells the rest, and soon.
	askTime = 2 * time.Second
	// askEvery bounds how often the database is asked, however many scrape.
	askEvery = 5 * time.Second
)

// Sources are what is looked up when somebody asks.
type Sources struct {
	Store  *store.Store
	Keys   *keys.Ring
	Feed   *signal.Feed
	Mail   *mail.Post
	Audit  *audit.Stream
	Limits *limit.Limits
	// Followers is how many follow the revocation feed at this node.
	Followers func() int
}

// Watch has the numbers of sources told as well, and their transactions counted.
func (s *Set) Watch(from Sources) {
	if s == nil {
		return
	}
	from.Store.Observe(s.Transaction)
	for _, one := range every {
		s.made = append(s.made, one.made)
	}
	s.registry.MustRegister(&looker{Sources: from, now: s.Now, last: answer{at: time.Now().Add(-askEvery)}})
}

// looker tells what it finds at the moment when it is asked.
type looker struct {
	Sources
	now func() time.Time

	mu     sync.Mutex // one asks the database at a time
	last   answer
	asking chan struct{} // closed when who asks has an answer; nil: nobody does
}

// answer is what the database said.
type answer struct {
	at      time.Time
	up      bool
	logout  store.Backlog
	streams store.Backlog
	audit   []audit.Lag
}

// looked is a number that is looked up when somebody asks.
type looked struct {
	*prometheus.Desc
	made
	value prometheus.ValueType
}

var every []looked

func look(value prometheus.ValueType, name, help string, labels ...string) looked {
	kind := map[prometheus.ValueType]string{prometheus.GaugeValue: "gauge", prometheus.CounterValue: "counter"}[value]
	l := looked{prometheus.NewDesc(namespace+"_"+name, help, labels, nil), made{namespace + "_" + name, kind, labels}, value}
	every = append(every, l)
	return l
}

func gauge(name, help string, labels ...string) looked {
	return look(prometheus.GaugeValue, name, help, labels...)
}

func counter(name, help string, labels ...string) looked {
	return look(prometheus.CounterValue, name, help, labels...)
}

var (
	poolLimit  = gauge("database_connections_limit", "Connections to the database that this node has at most.")
	poolOpen   = gauge("database_connections_open", "Connections to the database that this node has.")
	poolBusy   = gauge("database_connections_busy", "Connections to the database that a transaction has.")
	poolQueued = gauge("database_writers_waiting", "Transactions that wait for SQLite's one writer; on PostgreSQL always 0.")
	poolWaits  = counter("database_connection_waits_total", "How often a transaction has waited for a connection, on PostgreSQL.")
	poolWaited = counter("database_connection_wait_seconds_total", "For how long transactions have waited for a connection, on PostgreSQL.")
	databaseUp = gauge("database_up", "Whether the database answered when it was asked for what waits; 0: the numbers that only it knows are missing.")

	feedLag       = gauge("revocation_lag_seconds", "For how long this node has not read the revocation log to its end: what was ended since may be unknown to those who follow it here.")
	feedEnd       = gauge("revocation_log_position", "Up to which entry this node knows the revocation log.")
	feedFollowers = gauge("revocation_followers", "Requests that follow the revocation feed at this node.")

	keyAge  = gauge("signing_key_age_seconds", "For how long the present key of an algorithm has been signing.", "algorithm")
	keyNext = gauge("signing_key_rotation_seconds", "In how long the next key of an algorithm signs; less than 0: it is overdue.", "algorithm")
	keySum  = gauge("signing_keys", "Keys that are published, by algorithm.", "algorithm")

	outboxWaiting = gauge("outbox_waiting", "What waits to be delivered, by queue: logout (back-channel logout) or stream (security events that are pushed).", "queue")
	outboxOldest  = gauge("outbox_oldest_seconds", "For how long the oldest of it has waited, by queue.", "queue")
	lettersWait   = gauge("letters_waiting", "Letters that wait in the memory of this node.")

	limited  = counter("limit_requests_total", "Requests that a limit has counted, by limit and outcome.", "limit", "outcome")
	limitOf  = gauge("limit_callers", "Callers that the limits of this node remember.")
	unshared = counter("limit_unshared_total", "How often this node could not share with the others what its limits have counted.")

	auditBehind = gauge("audit_stream_lag_entries", "How many sealed entries of the audit log an outlet does not have yet.", "outlet")
	auditLate   = gauge("audit_stream_lag_seconds", "How old the oldest of these is.", "outlet")
)

// Describe implements prometheus.Collector.
func (l *looker) Describe(to chan<- *prometheus.Desc) {
	for _, one := range every {
		to <- one.Desc
	}
}

// Collect implements prometheus.Collector.
func (l *looker) Collect(to chan<- prometheus.Metric) {
	tell := func(l looked, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(l.Desc, l.value, value, labels...)
	}
	p := l.Store.Pool()
	tell(poolLimit, float64(p.Limit))
	tell(poolOpen, float64(p.Open))
	tell(poolBusy, float64(p.Busy))
	tell(poolQueued, float64(p.Queued))
	tell(poolWaits, float64(p.Waits))
	tell(poolWaited, p.Waited.Seconds())
	tell(feedLag, l.Feed.Lag().Seconds())
	tell(feedEnd, float64(l.Feed.State().End))
	tell(feedFollowers, float64(l.Followers()))
	tell(lettersWait, float64(l.Mail.Waiting()))
	for _, c := range l.Limits.Counts() {
		tell(limited, float64(c.Admitted), c.Kind.String(), "admitted")
		tell(limited, float64(c.Refused), c.Kind.String(), "refused")
	}
	tell(limitOf, float64(l.Limits.Held()))
	tell(unshared, float64(l.Limits.Unshared()))
	for _, a := range l.Keys.Ages() {
		tell(keyAge, a.Signing.Seconds(), string(a.Algorithm))
		tell(keyNext, a.Next.Seconds(), string(a.Algorithm))
		tell(keySum, float64(a.Published), string(a.Algorithm))
	}
	said := l.ask()
	if !said.up {
		tell(databaseUp, 0)
		return
	}
	tell(databaseUp, 1)
	for queue, b := range map[string]store.Backlog{"logout": said.logout, "stream": said.streams} {
		tell(outboxWaiting, float64(b.Waiting), queue)
		tell(outboxOldest, l.since(b.Oldest), queue)
	}
	for _, lag := range said.audit {
		tell(auditBehind, float64(lag.Entries), lag.Outlet)
		tell(auditLate, l.since(lag.Oldest), lag.Outlet)
	}
}

// since is how long ago a time was, in seconds; 0: there is none.
func (l *looker) since(at int64) float64 {
	if at == 0 {
		return 0
	}
	return max(float64(l.now().Unix()-at), 0)
}

// ask returns what the database says, or said a moment ago. It waits no longer than
// askTime, also for a database that does not notice that nobody waits any more.
func (l *looker) ask() answer {
	l.mu.Lock()
	if time.Since(l.last.at) < askEvery {
		defer l.mu.Unlock()
		return l.last
	}
	done := l.asking
	if done == nil {
		done = make(chan struct{})
		l.asking = done
		go l.fetch(done)
	}
	l.mu.Unlock()
	select {
	case <-done:
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.last
	case <-time.After(askTime):
		return answer{}
	}
}

func (l *looker) fetch(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	var a answer
	err := l.Store.View(ctx, func(tx *store.Tx) (err error) {
		if a.logout, err = tx.NoticesWaiting(); err != nil {
			return err
		}
		a.streams, err = tx.SignalsWaiting()
		return err
	})
	if err == nil {
		a.audit, err = l.Audit.Lags(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a.at, a.up = time.Now(), err == nil
	l.last, l.asking = a, nil
	close(done)
}
