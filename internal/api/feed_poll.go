package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/signal"
)

// maxPolledSize bounds the entries of one answer, in bytes.
const maxPolledSize = 1 << 20

// poll answers once: with what there is, or when there is something, or with
// nothing when the time is over.
func (f *follower) poll() error {
	batch := &signal.Batch{Audiences: f.permit.Client.Resources, MaxCount: maxPolled, MaxSize: maxPolledSize}
	deadline := time.NewTimer(f.asked.wait)
	defer deadline.Stop()
	for late := f.asked.wait == 0; ; {
		grown := f.api.Feed.Grown()
		switch reason := f.over(); reason {
		case "":
		case "stopping":
			return f.api.unavailable(f.w, f.r)
		default:
			f.api.challenge(f.w, f.r, &oauth.Error{Code: oauth.InvalidToken, Description: "The access token expired, was revoked, or is not valid"})
			return nil
		}
		more, err := f.fill(batch)
		if err != nil {
			return err
		}
		if more || late || batch.Count() > 0 || !f.tail.Resumed {
			return f.answer(batch, more)
		}
		select {
		case <-f.r.Context().Done():
			return nil // nobody is there any more
		case <-f.api.Feed.Stopping():
		case <-grown:
		case <-deadline.C:
			late = true
		}
	}
}

// fill puts what follows into a batch, and reports whether there is more.
func (f *follower) fill(batch *signal.Batch) (more bool, err error) {
	for scanned := 0; scanned < maxScanned; {
		at := f.tail.At()
		page, err := f.tail.Next(f.r.Context())
		if err != nil || len(page) == 0 {
			return false, err
		}
		for _, entry := range page {
			if !batch.Add(entry) {
				f.tail.Back(at)
				return true, nil
			}
			at = entry.Sequence
		}
		scanned += len(page)
	}
	return true, nil
}

// answer is the answer to a poll. That it comes at all says that nothing else was
// known, so it must not come from a node that is behind.
func (f *follower) answer(batch *signal.Batch, more bool) error {
	if !f.api.ready(f.api.Feed.State()) {
		return f.api.unavailable(f.w, f.r)
	}
	b := []byte(`{"log":"` + f.log + `"`)
	b = strconv.AppendInt(append(b, `,"sequence":`...), f.tail.At(), 10)
	b = strconv.AppendBool(append(b, `,"resumed":`...), f.tail.Resumed)
	b = strconv.AppendBool(append(b, `,"more":`...), more)
	b = batch.AppendTo(append(b, `,"entries":`...))
	f.w.Header().Set("Content-Type", "application/json")
	if err := supported(http.NewResponseController(f.w).SetWriteDeadline(time.Now().Add(writeTime))); err != nil {
		return err
	}
	f.w.Write(append(b, '}', '\n')) // a peer that has gone cannot be told
	return nil
}
