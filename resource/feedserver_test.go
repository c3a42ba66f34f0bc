package resource

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	feedIssuer = "https://id.example"
	feedLog    = "log-1"
)

// sent is an entry as the server of the tests keeps it.
type sent struct {
	Sequence int64  `json:"sequence"`
	Kind     string `json:"kind"`
	Value    string `json:"value,omitempty"`
	CutOff   int64  `json:"cut_off,omitempty"`
	Cause    string `json:"cause"`
	At       int64  `json:"at"`
	DropAt   int64  `json:"drop_at"`
}

// feedServer is a small issuer with a revocation feed, strict about what it is
// asked, that can be told to do wrong.
type feedServer struct {
	t testing.TB

	mu      sync.Mutex
	log     string
	entries []sent
	grown   chan struct{}

	tokens, streams, polls, introspections int
	asked                                  []string // log:after of each request for the feed
	valid                                  map[string]time.Time

	// What it does wrong.
	metadata   func(map[string]any)
	tokenLife  time.Duration
	tokenFails int // status; 0: none
	feedFails  int
	retryAfter string
	silent     bool // no beats
	mute       bool // streams say nothing at all
	raw        func(w io.Writer) bool
	clock      time.Duration
	inactive   map[string]bool
	introspect func(w http.ResponseWriter) bool
	noWait     bool
}

func newFeedServer(t testing.TB) *feedServer {
	return &feedServer{t: t, log: feedLog, grown: make(chan struct{}), valid: map[string]time.Time{}, tokenLife: 5 * time.Minute, inactive: map[string]bool{}}
}

// set changes what it does.
func (s *feedServer) set(change func(*feedServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// end adds an entry to the log, and returns its sequence.
func (s *feedServer) end(kind, value string, change ...func(*sent)) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().Add(s.clock).Unix()
	e := sent{Sequence: 1, Kind: kind, Value: value, Cause: "signed_out", At: now, DropAt: now + 900}
	if n := len(s.entries); n > 0 {
		e.Sequence = s.entries[n-1].Sequence + 1
	}
	if kind == "subject" || kind == "client" || kind == "all" {
		e.CutOff = now
	}
	for _, f := range change {
		f(&e)
	}
	s.entries = append(s.entries, e)
	close(s.grown)
	s.grown = make(chan struct{})
	return e.Sequence
}

func (s *feedServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	w.Header().Set("Date", time.Now().Add(s.clock).UTC().Format(http.TimeFormat))
	s.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		m := map[string]any{
			"issuer": feedIssuer, "jwks_uri": feedIssuer + "/jwks", "token_endpoint": feedIssuer + "/token",
			"introspection_endpoint": feedIssuer + "/introspect", "revocation_feed_endpoint": feedIssuer + "/revocations",
		}
		s.mu.Lock()
		if s.metadata != nil {
			s.metadata(m)
		}
		s.mu.Unlock()
		json.NewEncoder(w).Encode(m)
	case "/token":
		s.token(w, r)
	case "/introspect":
		s.introspection(w, r)
	case "/revocations":
		s.revocations(w, r)
	default:
		http.NotFound(w, r)
	}
}

func fails(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": "as told by the test"})
}

// client checks RFC 6749 §2.3.1: form-encoded, then Basic.
func (s *feedServer) client(r *http.Request) bool {
	id, secret, ok := r.BasicAuth()
	return ok && id == "orders%3Aapi" && secret == "s%C3%A9cret+%2B" && r.Header.Get("Content-Type") == "application/x-www-form-urlencoded"
}

func (s *feedServer) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokenFails != 0 {
		if s.retryAfter != "" {
			w.Header().Set("Retry-After", s.retryAfter)
		}
		fails(w, s.tokenFails, "temporarily_unavailable")
		return
	}
	if err := r.ParseForm(); err != nil || !s.client(r) || r.PostForm.Encode() != "grant_type=client_credentials&resource=https%3A%2F%2Fid.example&scope=ostiary%3Afeed" {
		s.t.Errorf("a request for a token: %v %v", r.Header, r.PostForm)
		fails(w, 400, "invalid_request")
		return
	}
	s.tokens++
	token := fmt.Sprintf("feed-token-%d", s.tokens)
	s.valid[token] = time.Now().Add(s.tokenLife)
	json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "bearer", "expires_in": int(s.tokenLife / time.Second), "scope": "ostiary:feed"})
}

func (s *feedServer) introspection(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.introspections++
	other := s.introspect
	s.mu.Unlock()
	if other != nil && other(w) {
		return
	}
	if err := r.ParseForm(); err != nil || !s.client(r) || r.PostForm.Get("token_type_hint") != "access_token" {
		s.t.Errorf("introspection: %v %v", r.Header, r.PostForm)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	json.NewEncoder(w).Encode(map[string]any{"active": !s.inactive[r.PostForm.Get("token")]})
}

func (s *feedServer) revocations(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	expires, ok := s.valid[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	fail, retry := s.feedFails, s.retryAfter
	q := r.URL.Query()
	s.asked = append(s.asked, q.Get("log")+":"+q.Get("after"))
	s.mu.Unlock()
	switch {
	case fail != 0:
		if retry != "" {
			w.Header().Set("Retry-After", retry)
		}
		fails(w, fail, "temporarily_unavailable")
		return
	case !ok || !time.Now().Before(expires):
		fails(w, 401, "invalid_token")
		return
	}
	after, resumed := int64(0), false
	if q.Has("log") || q.Has("after") {
		var err error
		if after, err = strconv.ParseInt(q.Get("after"), 10, 64); err != nil || !q.Has("log") {
			s.t.Errorf("a request for the feed: %s", r.URL)
		}
		s.mu.Lock()
		resumed = q.Get("log") == s.log && after <= s.sequence()
		s.mu.Unlock()
		if !resumed {
			after = 0
		}
	}
	switch r.Header.Get("Accept") {
	case "text/event-stream":
		s.stream(w, r, after, resumed, expires)
	case "application/json":
		s.poll(w, r, after, resumed)
	default:
		s.t.Errorf("Accept: %s", r.Header.Get("Accept"))
	}
}

// sequence is for who holds the lock.
func (s *feedServer) sequence() int64 {
	if len(s.entries) == 0 {
		return 0
	}
	return s.entries[len(s.entries)-1].Sequence
}

// since returns entries and what to wait for.
func (s *feedServer) since(after int64) ([]sent, int64, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []sent
	for _, e := range s.entries {
		if e.Sequence > after {
			all = append(all, e)
		}
	}
	return all, s.sequence(), s.grown
}

func (s *feedServer) stream(w http.ResponseWriter, r *http.Request, after int64, resumed bool, expires time.Time) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	s.mu.Lock()
	s.streams++
	mute, raw, log, sequence := s.mute, s.raw, s.log, s.sequence()
	s.mu.Unlock()
	if mute {
		<-r.Context().Done()
		return
	}
	if raw != nil && raw(w) {
		return
	}
	say := func(name string, id int64, data any) bool {
		text, _ := json.Marshal(data)
		line := "event: " + name + "\n"
		if id >= 0 {
			line += fmt.Sprintf("id: %s:%d\n", log, id)
		}
		_, err := fmt.Fprintf(w, "%sdata: %s\n\n", line, text)
		return err == nil
	}
	say("hello", -1, map[string]any{"log": log, "sequence": sequence, "resumed": resumed, "heartbeat": 2})
	beat := time.NewTicker(2 * time.Second)
	defer beat.Stop()
	expired := time.NewTimer(time.Until(expires))
	defer expired.Stop()
	for first := true; ; first = false {
		all, sequence, grown := s.since(after)
		after = sequence
		for chunk := range slices.Chunk(all, 1000) {
			say("entries", chunk[len(chunk)-1].Sequence, chunk)
		}
		if first {
			say("ready", sequence, map[string]any{"sequence": sequence})
		}
		select {
		case <-grown:
		case <-expired.C:
			say("bye", -1, map[string]string{"reason": "token_expired"})
			return
		case <-r.Context().Done():
			return
		case <-beat.C:
			s.mu.Lock()
			silent, clock := s.silent, s.clock
			s.mu.Unlock()
			if !silent && !say("beat", after, map[string]any{"sequence": after, "at": time.Now().Add(clock).UnixMilli()}) {
				return
			}
		}
	}
}

func (s *feedServer) poll(w http.ResponseWriter, r *http.Request, after int64, resumed bool) {
	s.mu.Lock()
	s.polls++
	log, noWait := s.log, s.noWait
	s.mu.Unlock()
	wait, err := strconv.Atoi(r.URL.Query().Get("wait"))
	if err != nil || wait < 0 || wait > 25 {
		s.t.Errorf("wait: %s", r.URL)
	}
	late := time.NewTimer(time.Duration(wait) * time.Second)
	defer late.Stop()
	for over := wait == 0 || noWait || !resumed; ; {
		all, sequence, grown := s.since(after)
		if len(all) > 0 || over {
			more := len(all) > 100
			if more {
				all = all[:100]
				sequence = all[99].Sequence
			}
			if all == nil {
				all = []sent{}
			}
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(map[string]any{"log": log, "sequence": sequence, "resumed": resumed, "more": more, "entries": all})
			return
		}
		select {
		case <-grown:
		case <-late.C:
			over = true
		case <-r.Context().Done():
			return
		}
	}
}

// feedHouse is a feed with its server, for tests in a bubble with a clock of its
// own.
type feedHouse struct {
	*feedServer
	wire   *wire
	feed   *Feed
	states []FeedState
	asleep time.Duration // that the clocks of the API missed nothing of
	mu     sync.Mutex
	stop   func()
}

// follow starts a feed that is followed until the test ends. It must be called
// in a bubble of synctest.
func follow(t *testing.T, change ...func(*feedHouse, *FeedConfig)) *feedHouse {
	t.Helper()
	h := &feedHouse{feedServer: newFeedServer(t)}
	h.wire = &wire{handler: h.feedServer}
	c := FeedConfig{
		Issuer: feedIssuer, ClientID: "orders:api", ClientSecret: "sécret +", HTTP: &http.Client{Transport: h.wire},
		Now: h.now,
		OnState: func(s FeedState) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.states = append(h.states, s)
		},
	}
	for _, f := range change {
		f(h, &c)
	}
	var err error
	if h.feed, err = NewFeed(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := h.feed.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	h.stop = func() { cancel(); <-done }
	return h
}

// now is the API's clock.
func (h *feedHouse) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.asleep)
}

// sleepFor lets the API's clock jump, as after a sleep of its machine.
func (h *feedHouse) sleepFor(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asleep += d
}

// waitReady waits until the feed is.
func (h *feedHouse) waitReady(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.feed.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}

// knows waits until the feed is ready and a session is known to have ended.
func (h *feedHouse) knows(t *testing.T, session string) {
	t.Helper()
	h.waitReady(t)
	h.want(t, "told", soon, func() bool { return h.holds(session) })
}

// met reports whether the feed was told to be in an error at some time.
func (h *feedHouse) met(text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.states, func(s FeedState) bool { return s.Err != nil && strings.Contains(s.Err.Error(), text) })
}

// holds reports whether a session is known to have ended.
func (h *feedHouse) holds(session string) bool { return h.feed.table.has(kindSession, session) }

// want waits until a condition holds, and says how long it took.
func (h *feedHouse) want(t *testing.T, what string, limit time.Duration, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > limit {
			t.Fatalf("after %s still not: %s; state %+v", limit, what, h.feed.State())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

// used returns how many streams, polls and tokens there were.
func (h *feedHouse) used() (streams, polls, tokens int) {
	h.feedServer.mu.Lock()
	defer h.feedServer.mu.Unlock()
	return h.streams, h.polls, h.tokens
}

// askedFor returns the positions that were asked for.
func (h *feedHouse) askedFor() []string {
	h.feedServer.mu.Lock()
	defer h.feedServer.mu.Unlock()
	return slices.Clone(h.asked)
}
