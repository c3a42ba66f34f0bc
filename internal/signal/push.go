package signal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
)

const (
	// maxQueued is how many events wait in a stream before it is paused; what
	// happens after that is not held.
	maxQueued = 10_000
	// boundEvery is how often that is looked at.
	boundEvery = 10 * time.Second
	// givenUpAfter is for how long, in seconds, an endpoint may fail before its
	// stream is paused.
	givenUpAfter = 24 * 60 * 60
)

// Why the server itself pauses a stream.
const (
	reasonFull = "More events wait than are held"
	reasonDead = "The endpoint has not taken an event for a day"
)

// dispatchStreams opens a lane for each stream in which something waits to be
// pushed.
func (c *Courier) dispatchStreams(ctx context.Context, lanes *sync.WaitGroup) {
	var waiting []model.StreamID
	err := c.Store.View(ctx, func(tx *store.Tx) (err error) {
		waiting, err = tx.DueStreams(due(c.unix(), longestPause))
		return err
	})
	if err != nil {
		c.failed(ctx, err)
		return
	}
	for _, id := range waiting {
		lane := "stream " + string(id) // no client_id has a space
		if !c.occupy(lane) {
			continue
		}
		lanes.Go(func() {
			defer c.free(lane)
			for ctx.Err() == nil && c.pushSome(ctx, id) {
			}
		})
	}
}

// pushSome pushes a few events of a stream, one after the other: what is about
// one person must arrive in its order. It reports whether to go on.
func (c *Courier) pushSome(ctx context.Context, id model.StreamID) bool {
	// What has been begun is brought to its end, which Config.Fetch bounds.
	ctx = context.WithoutCancel(ctx)
	now := c.unix()
	until := now + lease
	var s model.Stream
	err := c.Store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		s, err = tx.ClaimStream(id, due(now, longestPause), until)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return false // another node has it
	}
	var client model.Client
	var events []model.Signal
	if err == nil {
		err = c.Store.View(ctx, func(tx *store.Tx) (err error) {
			events = nil
			if client, err = tx.Client(s.ClientID); err != nil || client.Disabled {
				return err // what waits is kept for a client that is put out, and not sent
			}
			events, err = tx.Signals(s, now, batch)
			return err
		})
	}
	if err != nil {
		c.failed(ctx, err)
		return false
	}
	good := c.pushAll(ctx, &s, client, events)
	err = c.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.ReleaseStream(s, until) })
	if err == nil && !good {
		err = c.pauseDead(ctx, s)
	}
	if err != nil {
		c.failed(ctx, err)
	}
	return err == nil && good && len(events) > 0
}

// pushAll pushes events until one fails, or somebody changes the stream, and writes into
// the stream how that went.
func (c *Courier) pushAll(ctx context.Context, s *model.Stream, client model.Client, events []model.Signal) bool {
	for i, g := range events {
		changed, err := false, error(nil)
		if i > 0 { // the ones before may have taken long
			changed, err = c.changed(ctx, *s)
		}
		if err != nil {
			c.failed(ctx, err)
			s.NextAt = c.unix() + firstPause
			return false
		}
		if changed {
			break // what is left goes where it has to go now, or waits
		}
		r := c.push(ctx, *s, client, g)
		log := c.Logger.With("stream", s.ID, "client", s.ClientID, "event", g.ID)
		switch {
		case r.done:
			c.delivered(queueStream, delivered)
			log.InfoContext(ctx, "event pushed", "status", r.status, "reason", r.reason)
			err = c.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.DeleteSignal(s.ID, g.ID) })
		case r.again:
			s.Attempts++
			s.NextAt = c.unix() + pause(s.Attempts)
			if s.FailingSince == 0 {
				s.FailingSince = c.unix()
			}
			c.delivered(queueStream, delayed)
			log.WarnContext(ctx, "event not pushed and will be tried again", "status", r.status, "reason", r.reason, "error", r.cause, "next", s.NextAt)
			return false
		default:
			c.delivered(queueStream, givenUp)
			log.ErrorContext(ctx, "event refused", "status", r.status, "reason", r.reason, "error", r.cause)
			err = c.Store.Update(ctx, func(tx *store.Tx) error { return dropSignal(tx, *s, g.ID, r.reason) })
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) { // the stream may be gone
			c.failed(ctx, err)
			s.NextAt = c.unix() + firstPause
			return false
		}
	}
	s.NextAt, s.Attempts, s.FailingSince = 0, 0, 0
	return true
}

// changed reports whether a stream is to be pushed in another way than it was, or not at
// all: it was paused (OpenID Shared Signals Framework §8.1.2.1), leads elsewhere or is
// gone, or its client was put out.
func (c *Courier) changed(ctx context.Context, s model.Stream) (bool, error) {
	var now model.Stream
	var client model.Client
	err := c.Store.View(ctx, func(tx *store.Tx) (err error) {
		if now, err = tx.Stream(s.ID); err == nil {
			client, err = tx.Client(s.ClientID)
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	return client.Disabled || now.Status != s.Status || now.Method != s.Method || now.Endpoint != s.Endpoint || now.Authorization != s.Authorization, err
}

// dropSignal forgets an event that its receiver will never take, and tells the
// operators.
func dropSignal(tx *store.Tx, s model.Stream, id, reason string) error {
	if err := tx.DeleteSignal(s.ID, id); err != nil {
		return err
	}
	return tx.Record(model.Event{
		Actor: model.Actor{Kind: model.ActorSystem}, Action: "signal.refused", ClientID: s.ClientID,
		Detail: fmt.Sprintf("stream=%s event=%s reason=%s", s.ID, id, reason),
	})
}

// push makes one attempt to deliver an event, RFC 8935 §2.
func (c *Courier) push(ctx context.Context, s model.Stream, client model.Client, g model.Signal) result {
	ctx, span := trace.Begin(ctx, "signal.Push")
	defer span.End()
	token, err := c.sign(ctx, client, g)
	if errors.Is(err, errNothingToSay) {
		return result{done: true, reason: err.Error()}
	}
	if err != nil {
		return result{again: true, reason: "the token cannot be signed", cause: err}
	}
	m := fetch.Message{ // RFC 8935 §2.1
		URL: s.Endpoint, Type: "application/secevent+jwt", Accept: "application/json", Body: token,
	}
	if s.Authorization != "" {
		header, err := c.Keys.Unseal(keys.PurposeStreamHeader, string(s.ID), s.Authorization)
		if err != nil {
			return result{again: true, reason: "the header for the endpoint cannot be unsealed", cause: err}
		}
		m.Authorization = string(header) // OpenID Shared Signals Framework §6.1.1: "with every HTTP request"
	}
	answer, err := fetch.Send(ctx, c.Fetch, m)
	switch {
	case errors.Is(err, fetch.ErrInternal):
		return result{again: true, reason: "its address is an internal one", cause: errors.Unwrap(err)}
	case err != nil:
		return result{again: true, reason: "it does not answer", cause: errors.Unwrap(err)}
	}
	return taken(answer)
}

// taken judges the answer of a receiver. It has the event with 202 (RFC 8935 §2.2);
// other answers of success are as good. With 400 it says what is wrong (§2.3): with
// the token, which will not become better, or with how we come to it (§2.4), which
// somebody can mend. Anything else may pass.
func taken(a fetch.Answer) result {
	r := result{status: a.Status}
	switch a.Status {
	case http.StatusAccepted, http.StatusOK, http.StatusNoContent:
		r.done = true
		return r
	case http.StatusBadRequest:
		code := errorCode(a.Body)
		r.reason = "it answers 400 " + code
		r.again = code == errAuthentication || code == errAccess
		return r
	}
	r.again, r.reason = true, fmt.Sprintf("it answers %d", a.Status)
	return r
}

// pauseDead pauses a stream whose endpoint has failed for a day.
func (c *Courier) pauseDead(ctx context.Context, s model.Stream) error {
	if s.Status != model.StreamEnabled || s.FailingSince == 0 || s.FailingSince+givenUpAfter > c.unix() {
		return nil
	}
	return c.pauseStream(ctx, s, reasonDead)
}

// pauseStream pauses a stream on our own, which its receiver is told (OpenID Shared
// Signals Framework §8.1.5) and so are the operators.
func (c *Courier) pauseStream(ctx context.Context, s model.Stream, reason string) error {
	now := c.unix()
	err := c.Store.Update(ctx, func(tx *store.Tx) error {
		is, err := tx.Stream(s.ID)
		if err != nil {
			return err
		}
		dropped, err := tx.TrimSignals(s.ID, maxQueued)
		if err != nil {
			return err
		}
		if is.Status == model.StreamEnabled {
			if err := tx.SetStreamStatus(s.ID, model.StreamPaused, reason, now); err != nil {
				return err
			}
			err = tx.InsertSignal(model.Signal{
				StreamID: s.ID, Type: model.EventStreamUpdated, At: now, Detail: model.SignalDetail{Status: string(model.StreamPaused), Reason: reason},
			})
			if err != nil {
				return err
			}
		} else if dropped == 0 {
			return nil
		}
		return tx.Record(model.Event{
			Actor: model.Actor{Kind: model.ActorSystem}, Action: "stream.pause", ClientID: s.ClientID,
			Detail: fmt.Sprintf("stream=%s dropped=%d reason=%s", s.ID, dropped, reason),
		})
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil // it is gone
	}
	return err
}

// boundStreams pauses the streams in which too much waits.
func (c *Courier) boundStreams(ctx context.Context) {
	var full []model.Stream
	err := c.Store.View(ctx, func(tx *store.Tx) (err error) {
		full, err = tx.FullStreams(maxQueued)
		return err
	})
	for _, s := range full {
		if err == nil {
			c.Logger.ErrorContext(ctx, "too many events wait in a stream", "stream", s.ID, "client", s.ClientID)
			err = c.pauseStream(ctx, s, reasonFull)
		}
	}
	if err != nil {
		c.failed(ctx, err)
	}
}
