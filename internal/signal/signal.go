// Package signal tells others what has happened here, and hears what has happened
// there: the feed of the revocation log, OpenID Connect Back-Channel Logout, and the
// streams of security events of the OpenID Shared Signals Framework (CAEP, RISC).
//
// What there is to tell is a row that the store writes in the transaction that
// made it true, so nothing is told that did not happen and nothing that happened
// is forgotten, whatever becomes of this process. A token is signed when it is
// sent and is never stored. It reaches whom it is for at least once, and as a rule
// exactly once, from whichever node claims it. What others say is verified here, and
// handed on.
//
// It never decides that something ends, and never follows a redirect.
package signal

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Config says with what a Courier and a Receiver work.
type Config struct {
	Store  *store.Store
	Keys   *keys.Ring
	Issuer string
	Fetch  *http.Client // guarded: it goes to addresses that clients named
	// Subject is how a client knows a person: its "sub".
	Subject func(context.Context, model.Client, model.UserID) (string, error)
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: slog.Default

	// Delivered is told what came of each attempt: of which queue, logout or stream,
	// and delivered, delayed or given_up; nil: nobody is.
	Delivered func(queue, outcome string)

	// The rest is for a Receiver. Poll is guarded like Fetch, and waits longer.
	Poll *http.Client
	// Heed decides what follows from an event, and does it.
	Heed func(context.Context, Received) error
	// Acts is what can follow from events, by their type.
	Acts map[string][]string
}

// New returns a Courier, which works once it is Run.
func New(c Config) (*Courier, error) {
	if c.Store == nil || c.Keys == nil || c.Issuer == "" || c.Fetch == nil || c.Subject == nil {
		return nil, errors.New("signal: Store, Keys, Issuer, Fetch and Subject are required")
	}
	c = c.withDefaults()
	return &Courier{Config: c, Streams: newStreams(c), busy: map[string]bool{}, freed: make(chan struct{}, 1)}, nil
}

func (c Config) delivered(queue, outcome string) {
	if c.Delivered != nil {
		c.Delivered(queue, outcome)
	}
}

// Outcomes of an attempt to deliver.
const (
	delivered = "delivered"
	delayed   = "delayed"
	givenUp   = "given_up"
)

// Outcomes lists them all, for whoever counts.
func Outcomes() []string { return []string{delivered, delayed, givenUp} }

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}
