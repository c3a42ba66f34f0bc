// Package signal tells others what has happened here. It owns the feed of the
// revocation log, which APIs follow, and the way from the outbox to those outside:
// today OpenID Connect Back-Channel Logout, by which an application learns that a
// session is over.
//
// What there is to tell is a row that the store writes in the transaction that
// made it true, so nothing is told that did not happen and nothing that happened
// is forgotten, whatever becomes of this process. A token is signed when it is
// sent and is never stored. Each notice is delivered at least once, and as a rule
// exactly once, by whichever node claims it; the feed is the same at every node.
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

// Config says with what a Courier works; Now and Logger may be left out.
type Config struct {
	Store  *store.Store
	Keys   *keys.Ring
	Issuer string
	Fetch  *http.Client // guarded: it goes to addresses that clients named
	// Subject is how a client knows a person: its "sub".
	Subject func(context.Context, model.Client, model.UserID) (string, error)
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: slog.Default
}

// New returns a Courier, which works once it is Run.
func New(c Config) (*Courier, error) {
	if c.Store == nil || c.Keys == nil || c.Issuer == "" || c.Fetch == nil || c.Subject == nil {
		return nil, errors.New("signal: Store, Keys, Issuer, Fetch and Subject are required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Courier{Config: c, busy: map[string]bool{}, freed: make(chan struct{}, 1)}, nil
}
