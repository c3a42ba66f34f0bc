package api

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/signal"
)

const (
	// maxWait is how long, in seconds, a long poll may wait.
	maxWait = 25
	// maxPolled is how many entries answer a poll, maxScanned how many of the log
	// are looked at for one.
	maxPolled  = 5000
	maxScanned = 200_000
	// retryAfter is when to come again, in seconds, after this node could not say
	// anything for sure.
	retryAfter = "1"
)

// Followers is how many requests follow the revocation feed at this node.
func (s *API) Followers() int { return s.followers.size() }

// follower is one who follows the revocation feed.
type follower struct {
	api    *API
	w      http.ResponseWriter
	r      *http.Request
	token  string
	permit oauth.Permit
	log    string // its name, for this follower
	tail   *signal.Tail
	asked  place
	seen   int64 // the log was searched up to here for what puts out the token
	end    int64 // the entry that does
}

// revocations is the revocation feed, docs/revocation-feed.md: for APIs, which have
// to know which tokens are not good any more although nothing in them says so.
func (s *API) revocations(w http.ResponseWriter, r *http.Request) error {
	// First how far the log is known, and then whether the token is good: what puts
	// it out after that is found in the log.
	state := s.Feed.State()
	token, e := bearer(r)
	var asked place
	if e == nil {
		asked, e = readPlace(r)
	}
	if e != nil {
		s.challenge(w, r, e)
		return nil
	}
	permit, err := s.Authority.Follow(r.Context(), token)
	if err == nil {
		err = s.Authority.AdmitPermit(permit, s.Address(r))
	}
	if err != nil {
		return s.refuseFollower(w, r, err)
	}
	if !s.ready(state) {
		return s.unavailable(w, r)
	}
	if !s.followers.enter(permit.Client.ID, s.MaxFollowers) {
		w.Header().Set("Retry-After", "5")
		s.Logger.WarnContext(r.Context(), "refused", "path", r.URL.Path, "status", http.StatusTooManyRequests, "client", permit.Client.ID, "request", s.RequestID(r))
		writeError(w, http.StatusTooManyRequests, oauth.TooManyRequests, "This client follows the feed "+strconv.Itoa(s.MaxFollowers)+" times already")
		return nil
	}
	defer s.followers.leave(permit.Client.ID)
	f := &follower{
		api: s, w: w, r: r, token: token, permit: permit, asked: asked,
		log: logFor(state.Log, permit.Client.Resources), seen: state.End,
	}
	if asked.log == f.log {
		asked.log = state.Log
	} else {
		asked.log = ""
	}
	f.tail = s.Feed.Tail(asked.log, asked.after)
	if f.tail.Log != state.Log { // a backup was restored at this very moment
		return s.unavailable(w, r)
	}
	// The time that a request may take is not for those who wait.
	if err := supported(http.NewResponseController(w).SetReadDeadline(time.Time{})); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx: pass on what comes
	if asked.stream {
		return f.stream()
	}
	return f.poll()
}

// logFor is the name under which a follower knows the log: that of the log, and with
// it which audiences the follower is told of. Whoever comes to stand for another API
// has a place in a log in which nothing of that one was; it goes on in another.
func logFor(log string, audiences []string) string {
	h := sha256.New()
	for _, a := range slices.Sorted(slices.Values(audiences)) {
		fmt.Fprintf(h, "%d %s,", len(a), a)
	}
	return log + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// supported lets pass that a connection knows no deadlines: a recorder does not.
func supported(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// ready reports whether this node can answer for the log.
func (s *API) ready(state signal.FeedState) bool {
	select {
	case <-s.Feed.Stopping():
		return false
	default:
		return state.Current
	}
}

// unavailable says that nothing is known for sure: never 401, or a consumer would
// throw its good token away.
func (s *API) unavailable(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Retry-After", retryAfter)
	s.Logger.InfoContext(r.Context(), "refused", "path", r.URL.Path, "status", http.StatusServiceUnavailable, "request", s.RequestID(r))
	writeError(w, http.StatusServiceUnavailable, oauth.TooManyRequests, "This node stops, or cannot read its database now")
	return nil
}

// noResources is the type of the problem that a client stands for no API, which is what
// it follows the revocation feed for; its operator registers one (--resource).
const noResources = "urn:ostiary:problem:no-resources"

// refuseFollower answers as RFC 6750 §3 says; a client that stands for no API is
// told how it comes to stand for one.
func (s *API) refuseFollower(w http.ResponseWriter, r *http.Request, err error) error {
	var e *oauth.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case oauth.TooManyRequests:
		return err
	case oauth.ServerError:
		s.Logger.ErrorContext(r.Context(), "refused", "path", r.URL.Path, "error", err, "request", s.RequestID(r))
		return s.unavailable(w, r)
	case oauth.AccessDenied:
		s.Logger.InfoContext(r.Context(), "refused", "path", r.URL.Path, "status", http.StatusForbidden, "error", err, "request", s.RequestID(r))
		return writeProblem(w, problem{
			Type: noResources, Title: "The client stands for no API", Status: http.StatusForbidden, Detail: e.Description,
		})
	}
	s.challenge(w, r, e)
	return nil
}

// over tells why the follower has to go, "" if it may stay.
func (f *follower) over() string {
	feed := f.api.Feed
	select {
	case <-feed.Stopping():
		return "stopping"
	default:
	}
	if feed.State().Log != f.tail.Log { // a backup was restored
		return "stopping"
	}
	if f.api.Authority.Now().Unix() >= f.permit.ExpiresAt {
		return "token_expired"
	}
	for {
		page, err := feed.Since(f.r.Context(), f.seen)
		if err != nil {
			return "stopping"
		}
		if len(page) == 0 {
			return ""
		}
		for _, entry := range page {
			if f.permit.EndedBy(entry) {
				f.end = entry.Sequence
				return "revoked"
			}
		}
		f.seen = page[len(page)-1].Sequence
	}
}

// place is where in the log somebody wants to go on, and how.
type place struct {
	stream bool
	log    string // empty: from the beginning
	after  int64
	wait   time.Duration // of a long poll
}

// maxLogName bounds the name of a log.
const maxLogName = 64

// readPlace reads the query, and "Last-Event-ID", with which a stream that broke off
// is taken up again and which is the newer of the two.
func readPlace(r *http.Request) (p place, e *oauth.Error) {
	malformed := func(why string) (place, *oauth.Error) {
		return place{}, &oauth.Error{Code: oauth.InvalidRequest, Description: why}
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return malformed("The query is malformed")
	}
	for _, name := range []string{"log", "after", "wait"} {
		if len(q[name]) > 1 {
			return malformed("The parameter " + name + " comes twice")
		}
	}
	log, after := q.Get("log"), q.Get("after")
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		log, after, _ = strings.Cut(last, ":")
	}
	switch {
	case (log == "") != (after == ""):
		return malformed("The parameters log and after come together")
	case len(log) > maxLogName:
		return malformed("The parameter log is none that this server gave")
	case after != "":
		if p.after, err = strconv.ParseInt(after, 10, 64); err != nil || p.after < 0 {
			return malformed("The parameter after must be a whole number")
		}
		p.log = log
	}
	if wait := q.Get("wait"); wait != "" {
		n, err := strconv.Atoi(wait)
		if err != nil || n < 0 || n > maxWait {
			return malformed("The parameter wait must be a number of seconds up to " + strconv.Itoa(maxWait))
		}
		p.wait = time.Duration(n) * time.Second
	}
	p.stream = r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	return p, nil
}

// crowd counts who follows, by client.
type crowd struct {
	mu    sync.Mutex
	count map[model.ClientID]int
}

func (c *crowd) enter(id model.ClientID, most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count[id] >= most {
		return false
	}
	if c.count == nil {
		c.count = map[model.ClientID]int{}
	}
	c.count[id]++
	return true
}

func (c *crowd) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := 0
	for _, n := range c.count {
		all += n
	}
	return all
}

func (c *crowd) leave(id model.ClientID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count[id]--; c.count[id] == 0 {
		delete(c.count, id)
	}
}
