package signal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

const (
	maxPolled    = 100              // events in one answer
	pollWait     = 25 * time.Second // how long a poll waits for an event: less than proxies do
	maxWaiting   = 4                // polls of one stream that wait on this node
	maxAllPolls  = 2000             // polls that wait on this node
	maxAnswered  = 1000             // events that one poll acknowledges
	maxErrorCode = 64               // bytes
)

// Poll is what a receiver asks for, RFC 8936 §2.2.
type Poll struct {
	MaxEvents   *int64              `json:"maxEvents"` // nil: no limit of its own; 0: none
	Immediately bool                `json:"returnImmediately"`
	Ack         []string            `json:"ack"`
	Errors      map[string]SetError `json:"setErrs"`
}

// SetError is what was wrong with an event for its receiver, RFC 8936 §2.6.
type SetError struct {
	Code        string `json:"err"`
	Description string `json:"description"`
}

// Polled is the answer, RFC 8936 §2.3.
type Polled struct {
	Sets map[string]string `json:"sets"` // tokens by their "jti"
	More bool              `json:"moreAvailable,omitempty"`
}

// Poll takes what a receiver acknowledges and hands out what waits for it. When
// nothing does it waits, unless it is not to, until something comes: RFC 8936 §2.5.
// It returns ErrInvalid and ErrNoStream.
func (s *Streams) Poll(ctx context.Context, client model.Client, id model.StreamID, p Poll) (Polled, error) {
	t, err := s.find(ctx, client.ID, id)
	switch {
	case err != nil:
		return Polled{}, err
	case t.Method != model.DeliverPoll:
		return Polled{}, wrong("The events of the stream are pushed")
	case p.MaxEvents != nil && *p.MaxEvents < 0:
		return Polled{}, wrong("The member maxEvents must not be negative")
	case len(p.Ack)+len(p.Errors) > maxAnswered:
		return Polled{}, wrong("At most %d events can be acknowledged at once", maxAnswered)
	}
	if err := s.settle(ctx, t, p); err != nil {
		return Polled{}, err
	}
	most := maxPolled
	if p.MaxEvents != nil {
		most = int(min(*p.MaxEvents, maxPolled))
	}
	if most == 0 { // "an acknowledge-only request", RFC 8936 §2.4.2
		return Polled{Sets: map[string]string{}}, nil
	}
	waits := !p.Immediately && s.enter(id)
	if waits {
		defer s.leave(id)
	}
	timer := time.NewTimer(pollWait)
	defer timer.Stop()
	for {
		changed := s.changes()
		answer, err := s.take(ctx, client, id, most)
		if err != nil || len(answer.Sets) > 0 || !waits {
			return answer, err
		}
		again := time.NewTimer(pollEvery) // for what other nodes and the command write
		select {
		case <-changed:
		case <-again.C:
		case <-timer.C:
			waits = false
		case <-s.stopped:
			waits = false
		case <-ctx.Done():
			again.Stop()
			return Polled{}, ctx.Err()
		}
		again.Stop()
	}
}

// settle forgets what a receiver has, or will never take: it need not be sent
// again (RFC 8936 §2.2).
func (s *Streams) settle(ctx context.Context, t model.Stream, p Poll) error {
	if len(p.Ack) > 0 {
		err := s.Store.Upkeep(ctx, func(tx *store.Tx) error {
			for _, id := range p.Ack {
				if err := tx.DeleteSignal(t.ID, id); err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(p.Errors) == 0 {
		return nil
	}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		for id, e := range p.Errors {
			err := dropSignal(tx, t, id, fmt.Sprintf("it reports %s", printable(e.Code)))
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}

// take signs what waits, the oldest first.
func (s *Streams) take(ctx context.Context, client model.Client, id model.StreamID, most int) (Polled, error) {
	var events []model.Signal
	err := s.Store.View(ctx, func(tx *store.Tx) error {
		t, err := own(tx, client.ID, id)
		if err != nil || t.Status == model.StreamDisabled {
			return err
		}
		events, err = tx.Signals(t, s.unix(), most+1)
		return err
	})
	if err != nil {
		return Polled{}, err
	}
	answer := Polled{Sets: map[string]string{}, More: len(events) > most}
	for _, g := range events[:min(len(events), most)] {
		token, err := s.sign(ctx, client, g)
		if errors.Is(err, errNothingToSay) {
			err = s.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.DeleteSignal(id, g.ID) })
			if err == nil || errors.Is(err, store.ErrNotFound) {
				continue
			}
		}
		if err != nil {
			return Polled{}, err
		}
		answer.Sets[g.ID] = token
	}
	return answer, nil
}

// enter reports whether one more poll of a stream may wait.
func (s *Streams) enter(id model.StreamID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[id] >= maxWaiting || len(s.waiting) >= maxAllPolls {
		return false
	}
	s.waiting[id]++
	return true
}

func (s *Streams) leave(id model.StreamID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[id]--; s.waiting[id] == 0 {
		delete(s.waiting, id)
	}
}

// changes is closed when something new may be in a stream.
func (s *Streams) changes() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Streams) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Stop lets the polls that wait return, and none wait any more.
func (s *Streams) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.stopped:
	default:
		close(s.stopped)
	}
}

// eventCode is why a security event was not taken.
type eventCode = string

// The codes by which security events are refused, in the member err of an answer (400)
// or of a poll: RFC 8935 §2.4, and the last of OpenID Shared Signals Framework §8.1.4.1.
const (
	errRequest        eventCode = "invalid_request"       // it is no security event token of one event, or not as RFC 8417 §2 wants it
	errKey            eventCode = "invalid_key"           // no key of the transmitter fits its signature
	errIssuer         eventCode = "invalid_issuer"        // it is of another issuer than the transmitter's
	errAudience       eventCode = "invalid_audience"      // it is for somebody else
	errAuthentication eventCode = "authentication_failed" // the Authorization header is not that of this transmitter
	errAccess         eventCode = "access_denied"         // the transmitter may not say this
	errState          eventCode = "invalid_state"         // the state of a verification is not the one that was asked for
)

// errorCode reads the code of an error of a receiver, RFC 8935 §2.3.
func errorCode(body []byte) string {
	var e SetError
	if json.Unmarshal(body, &e) != nil || e.Code == "" {
		return "without a code"
	}
	return printable(e.Code)
}

// printable is a code of somebody else's, fit for a log.
func printable(code string) string {
	if len(code) > maxErrorCode {
		return "with a code that is too long"
	}
	for _, c := range []byte(code) {
		if c <= 0x20 || c > 0x7e {
			return "with a code that is none"
		}
	}
	return code
}
