package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ostiary/ostiary/resource"
)

// consumerMode is the argument that makes this program an API.
const consumerMode = "consumer"

// order is what an API is told to do.
type order struct {
	// The first: what it is.
	Issuer, Audience, ID, Secret string
	Node                         string // host:port that it speaks to, whatever the issuer's name says

	Do     string   // "watch", "stop", "feed", "fresh" or "introspect"
	Tokens []string // that will be put out, in that order; or to call with
	Live   []string // that will not
	Rate   int      // requests a second
	Calls  int
}

// answer is what it tells.
type answer struct {
	Error    string  `json:",omitempty"`
	Refused  []int64 // when each token was refused for the first time, unix nanoseconds
	Verified int64
	Wrong    int64 // live tokens that were refused
	Took     float64
	CPU      float64 // microseconds of this process
	Heap     float64 // in use, MiB
	Entries  int     // in the table of the feed
	Calls    int
}

// api is one API: a handler behind a guard with a feed.
type api struct {
	guard   *resource.Guard
	handler http.Handler
	feed    *resource.Feed
	web     *http.Client
	first   order
}

// consume is an API process: a line of JSON in, a line out.
func consume(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	e := json.NewEncoder(out)
	var a *api
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var w *watch
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		var said answer
		var err error
		switch {
		case a == nil:
			began := time.Now()
			a, err = open(ctx, o)
			said.Took = time.Since(began).Seconds()
		case o.Do == "size":
			said.Heap, said.Entries = heap(), a.feed.State().Entries
		case o.Do == "watch":
			w = a.watch(ctx, o)
		case o.Do == "stop":
			said = w.stop()
		case o.Do == "introspect":
			said, err = a.calls(o, a.introspected)
		default:
			said, err = a.calls(o, a.verified)
		}
		if err != nil {
			said.Error = err.Error()
		}
		if err := e.Encode(said); err != nil {
			return err
		}
	}
	return lines.Err()
}

func open(ctx context.Context, o order) (*api, error) {
	a := &api{first: o}
	a.web = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 4,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, o.Node)
		},
	}}
	var err error
	a.feed, err = resource.NewFeed(resource.FeedConfig{
		Issuer: o.Issuer, ClientID: o.ID, ClientSecret: o.Secret,
		HTTP: &http.Client{Transport: a.web.Transport}, // a stream has no time-out
	})
	if err != nil {
		return nil, err
	}
	go a.feed.Run(ctx)
	a.guard, err = resource.New(resource.Config{Issuer: o.Issuer, Audience: o.Audience, HTTP: a.web, Feed: a.feed})
	if err != nil {
		return nil, err
	}
	a.handler = a.guard.Require()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	ready, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := a.feed.Ready(ready); err != nil {
		return nil, fmt.Errorf("the feed is not ready: %w (%v)", err, a.feed.State().Err)
	}
	return a, nil
}

// verified calls the API, behind its connection, and returns its status.
func (a *api) verified(token string) (int, error) {
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: http.Header{"Authorization": {"Bearer " + token}}}
	w := status{header: http.Header{}}
	a.handler.ServeHTTP(&w, r)
	return w.code, nil
}

// status is an answer of which nothing else counts.
type status struct {
	code   int
	header http.Header
}

func (s *status) Header() http.Header         { return s.header }
func (s *status) Write(b []byte) (int, error) { return len(b), nil }
func (s *status) WriteHeader(code int)        { s.code = code }

// introspected is an API that asks the server each time (RFC 7662).
func (a *api) introspected(token string) (int, error) {
	form := url.Values{"token": {token}}.Encode()
	r, err := http.NewRequest(http.MethodPost, a.first.Issuer+"/introspect", strings.NewReader(form))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(a.first.ID), url.QueryEscape(a.first.Secret))
	res, err := a.web.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var told struct{ Active bool }
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&told); err != nil {
		return 0, err
	}
	io.Copy(io.Discard, res.Body)
	if !told.Active {
		return http.StatusUnauthorized, nil
	}
	return http.StatusNoContent, nil
}

// calls makes calls one after the other and tells what they cost this process.
func (a *api) calls(o order, call func(string) (int, error)) (answer, error) {
	before, began := processorTime(), time.Now()
	for i := range o.Calls {
		status, err := call(o.Tokens[i%len(o.Tokens)])
		if err != nil {
			return answer{}, err
		}
		if status != http.StatusNoContent {
			return answer{}, fmt.Errorf("a live token was answered with %d", status)
		}
	}
	return answer{Calls: o.Calls, CPU: processorTime() - before, Took: time.Since(began).Seconds()}, nil
}

// processorTime is what this process has used up, in microseconds.
func processorTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // cannot be: it asks about itself
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e3
}

// heap is what this process holds, in MiB.
func heap() float64 {
	runtime.GC()
	runtime.GC() // what has finalizers goes the second time
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// watch is an API at work: it verifies live tokens all the time, and notes when it
// refuses each of those that are put out.
type watch struct {
	api             *api
	cancel          context.CancelFunc
	work            sync.WaitGroup
	refused         []int64
	verified, wrong atomic.Int64
	began           time.Time
}

func (a *api) watch(ctx context.Context, o order) *watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{api: a, cancel: cancel, began: time.Now()}
	w.work.Go(func() { w.refusals(ctx, o.Tokens) })
	w.work.Go(func() { w.load(ctx, o) })
	return w
}

// resolution is how often it is looked whether a token is refused.
const resolution = 5 * time.Millisecond

// refusals presents the token that is to be put out next, again and again.
func (w *watch) refusals(ctx context.Context, tokens []string) {
	look := time.NewTicker(resolution)
	defer look.Stop()
	for len(w.refused) < len(tokens) {
		_, err := w.api.guard.Verify(ctx, tokens[len(w.refused)])
		if errors.Is(err, resource.ErrRevoked) {
			w.refused = append(w.refused, time.Now().UnixNano())
			continue
		}
		if err != nil {
			w.wrong.Add(1)
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// load verifies live tokens at the rate, in small handfuls.
func (w *watch) load(ctx context.Context, o order) {
	const every = 20 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	due, n := 0.0, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due += float64(o.Rate) * every.Seconds(); due >= 1; due-- {
			status, _ := w.api.verified(o.Live[n%len(o.Live)])
			if n++; status != http.StatusNoContent {
				w.wrong.Add(1)
			}
			w.verified.Add(1)
		}
	}
}

func (w *watch) stop() answer {
	took := time.Since(w.began).Seconds()
	w.cancel()
	w.work.Wait()
	return answer{Refused: w.refused, Verified: w.verified.Load(), Wrong: w.wrong.Load(), Took: took}
}
