package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/signal"
)

const (
	// heartbeat is how often a stream says that it is alive, in seconds.
	heartbeat = 2
	// reviewEvery is how many beats pass until it is looked up anew what the client
	// may see.
	reviewEvery = 2
	// writeTime is how long a consumer may take what it is sent.
	writeTime = 10 * time.Second
	// lastTime is how long it may take when the node stops.
	lastTime = time.Second
	// maxEvent bounds an event of entries, in bytes; so many entries are in one.
	maxEvent   = 256 << 10
	maxEntries = 1000
)

// stream tells what happens as it happens, as Server-Sent Events (WHATWG HTML
// §9.2), until the consumer or its token has gone.
func (f *follower) stream() error {
	f.w.Header().Set("Content-Type", "text/event-stream")
	f.w.WriteHeader(http.StatusOK)
	defer f.hurry()()
	f.tail.Ahead = true
	hello := fmt.Sprintf(`{"log":"%s","sequence":%d,"resumed":%t,"heartbeat":%d}`, f.log, f.api.Feed.State().End, f.tail.Resumed, heartbeat)
	err := f.send(event("hello", "", hello))
	if err == nil {
		err = f.follow()
	}
	if err != nil && f.r.Context().Err() == nil {
		f.api.Logger.InfoContext(f.r.Context(), "a consumer of the revocation feed was let go", "client", f.permit.Client.ID, "error", err, "request", f.api.RequestID(f.r))
		panic(http.ErrAbortHandler) // so that it does not look like an end
	}
	return nil
}

func (f *follower) follow() error {
	batch := &signal.Batch{Audiences: f.permit.Client.Resources, MaxCount: maxEntries, MaxSize: maxEvent}
	beat := time.NewTicker(heartbeat * time.Second)
	defer beat.Stop()
	expiry := time.NewTimer(time.Unix(f.permit.ExpiresAt, 0).Sub(f.api.Authority.Now()))
	defer expiry.Stop()
	ready, due := false, false // whether the backlog was sent, and a beat is to be
	for beats := 0; ; {
		grown := f.api.Feed.Grown()
		reason, err := f.catchUp(batch)
		if err == nil && reason == "" && due && beats%reviewEvery == 0 && f.changed() {
			reason = "revoked"
		}
		switch {
		case err != nil:
			return err
		case reason != "":
			return f.send(event("bye", "", `{"reason":"`+reason+`"}`))
		case (due || !ready) && f.current():
			if err := f.send(f.mark(ready)); err != nil {
				return err
			}
			ready, due = true, false
		}
		select {
		case <-f.r.Context().Done():
			return nil
		case <-f.api.Feed.Stopping():
		case <-grown:
		case <-expiry.C:
		case <-beat.C:
			due = true
			beats++
		}
	}
}

// current reports whether the follower was sent all that there is, as far as can be
// known. What it was sent may have taken it a while.
func (f *follower) current() bool {
	state := f.api.Feed.State()
	return state.Current && state.Log == f.tail.Log && state.End == f.tail.At()
}

// mark says that there is nothing else: once that the backlog was sent, and then
// that nothing was added.
func (f *follower) mark(ready bool) []byte {
	if !ready {
		return event("ready", f.id(), fmt.Sprintf(`{"sequence":%d}`, f.tail.At()))
	}
	return event("beat", f.id(), fmt.Sprintf(`{"sequence":%d,"at":%d}`, f.tail.At(), f.api.Authority.Now().UnixMilli()))
}

// catchUp sends all that is known, page by page, as long as the follower may stay.
// What put its token out, and all before that, is still for it: when everybody is
// put out, nobody has to come again to learn of it.
func (f *follower) catchUp(batch *signal.Batch) (over string, err error) {
	for {
		over := f.over()
		if over != "" && (over != "revoked" || f.tail.At() >= f.end) {
			return over, nil
		}
		at := f.tail.At()
		page, err := f.tail.Next(f.r.Context())
		if err != nil || len(page) == 0 {
			return over, err
		}
		var out []byte
		for _, entry := range page {
			if over != "" && entry.Sequence > f.end {
				break
			}
			if !batch.Add(entry) {
				out = f.entries(out, batch, at)
				batch.Add(entry)
			}
			at = entry.Sequence
		}
		if batch.Count() > 0 {
			out = f.entries(out, batch, at)
		}
		if len(out) == 0 {
			continue
		}
		if err := f.send(out); err != nil {
			return "", err
		}
	}
}

// changed reports whether the client may not see what it sees any more, or may see
// more: it has to come again. Where that cannot be found out, nothing has changed.
func (f *follower) changed() bool {
	now, err := f.api.Authority.Follow(f.r.Context(), f.token)
	var e *oauth.Error
	if errors.As(err, &e) {
		return e.Code == oauth.InvalidToken || e.Code == oauth.InsufficientScope || e.Code == oauth.AccessDenied
	}
	return err == nil && !slices.Equal(now.Client.Resources, f.permit.Client.Resources)
}

func (f *follower) entries(out []byte, batch *signal.Batch, at int64) []byte {
	out = append(out, "event: entries\nid: "...)
	out = append(out, f.log...)
	out = append(out, ':')
	out = strconv.AppendInt(out, at, 10)
	out = append(out, "\ndata: "...)
	out = batch.AppendTo(out)
	return append(out, "\n\n"...)
}

// id is the place of the follower, by which a stream is taken up again.
func (f *follower) id() string { return f.log + ":" + strconv.FormatInt(f.tail.At(), 10) }

func event(name, id, data string) []byte {
	if id != "" {
		id = "id: " + id + "\n"
	}
	return []byte("event: " + name + "\n" + id + "data: " + data + "\n\n")
}

// hurry lets a consumer that does not take what it is sent go when the node stops,
// which would wait for it, until the function that it returns is called.
func (f *follower) hurry() (done func()) {
	over, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-f.api.Feed.Stopping():
			http.NewResponseController(f.w).SetWriteDeadline(time.Now().Add(lastTime)) // or send says that it cannot
		case <-over:
		}
	}()
	return func() { close(over); <-gone }
}

// send writes at once. A consumer that does not take it is let go: the server's
// time for an answer is not for streams, and each of them has its own.
func (f *follower) send(text []byte) error {
	c := http.NewResponseController(f.w)
	if err := supported(c.SetWriteDeadline(time.Now().Add(writeTime))); err != nil {
		return err
	}
	if _, err := f.w.Write(text); err != nil {
		return err
	}
	return c.Flush()
}
