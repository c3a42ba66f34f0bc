package federation

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/upstream"
)

// Code says what went wrong, in a word that a person is told of in their language.
type Code = upstream.Code

// The codes: those of the connectors, and what only the house knows.
const (
	Denied        = upstream.Denied
	Unavailable   = upstream.Unavailable
	Misconfigured = upstream.Misconfigured
	Untrusted     = upstream.Untrusted
	Asks          = upstream.Asks

	Unknown   Code = "unknown"    // there is no such provider, or it may not be used here
	Stale     Code = "stale"      // an answer that nobody waits for: used, too late, in another browser
	TooOld    Code = "too_old"    // the sign-in over there is older than was asked for
	Locked    Code = "locked"     // the account is locked
	Taken     Code = "taken"      // that account elsewhere is connected with another one here
	TooMany   Code = "too_many"   // the person has as many as they can have
	NoAccount Code = "no_account" // nobody here is known by it, and none is made
)

// Codes lists them all.
func Codes() []Code {
	return []Code{Denied, Unavailable, Misconfigured, Untrusted, Asks, Unknown, Stale, TooOld, Locked, Taken, TooMany, NoAccount}
}

// Refusal is why somebody could not sign in, or be connected. Reason is for the log.
type Refusal struct {
	Code   Code
	Reason string

	hearsay bool // it was the browser that said so
	cause   error
}

func (r *Refusal) Error() string { return fmt.Sprintf("federation: %s: %s", r.Code, r.Reason) }

func (r *Refusal) Unwrap() error { return r.cause }

func refuse(code Code, reason string) *Refusal { return &Refusal{Code: code, Reason: reason} }

// tried counts a sign-in by an account elsewhere, by what it ended with.
func (f *Federation) tried(err error) {
	var no *Refusal
	outcome := account.Failed
	switch {
	case err == nil:
		outcome = account.Proved
	case errors.As(err, new(account.ErrTooSoon)):
		outcome = account.Slowed
	case errors.Is(err, account.ErrCredentials):
		outcome = account.Refused
	case !errors.As(err, &no) || no.Code == Unavailable || no.Code == Misconfigured:
	case no.Code == Locked:
		outcome = account.Barred
	default:
		outcome = account.Refused
	}
	f.Accounts.Tried(model.MethodUpstream, outcome)
}

// maxReason bounds what a provider may say in our log, in bytes.
const maxReason = 500

// refusal gives the error of a connector its name. What is unknown is the provider's
// fault, and no more of it is told.
func refusal(err error) *Refusal {
	var e *upstream.Error
	switch {
	case errors.As(err, &e):
		return &Refusal{Code: e.Code, Reason: e.Reason, hearsay: e.Hearsay, cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Refusal{Code: Unavailable, Reason: "it does not answer in time", cause: err}
	}
	reason := err.Error()
	return &Refusal{Code: Untrusted, Reason: reason[:min(len(reason), maxReason)], cause: err}
}

func quoted(s string) string { return strconv.Quote(s[:min(len(s), 64)]) }

// maxRefused is how many refusals of one kind at one provider are written down in an
// hour: nobody fills the log.
const maxRefused = 20

// refused writes down an answer that does not prove what it says, or that would give
// somebody's account away.
func (f *Federation) refused(ctx context.Context, id model.UpstreamID, address string, r *Refusal) error {
	if r.Code != Untrusted && r.Code != Taken {
		return r
	}
	var n int64
	err := f.Store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.Tally("identity refused "+string(r.Code)+" at "+string(id), f.unix(), f.unix()+int64(time.Hour/time.Second))
		return err
	})
	if err == nil && n <= maxRefused {
		err = f.Store.Update(ctx, func(tx *store.Tx) error {
			return tx.Record(model.Event{
				Actor: account.Stranger(address), Action: "identity.refuse", Detail: "upstream=" + string(id) + " cause=" + string(r.Code),
			})
		})
	}
	if err != nil {
		return errors.Join(r, err)
	}
	return r
}
