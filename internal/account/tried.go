package account

import (
	"errors"

	"github.com/ostiary/ostiary/internal/credential"
	"github.com/ostiary/ostiary/internal/model"
)

// What comes of an attempt to prove who somebody is, for whoever counts.
const (
	Proved  = "proved"
	Refused = "refused" // it is wrong, or of nobody
	Slowed  = "slowed"  // there were too many, or there was no place, and nothing was looked at
	Barred  = "locked"  // it is right, and the account is locked
	Failed  = "failed"  // the server, or that of somebody else, could not look
)

// Outcomes lists them all.
func Outcomes() []string { return []string{Proved, Refused, Slowed, Barred, Failed} }

// Tried counts an attempt, in Config.Tried.
func (a *Accounts) Tried(method model.Method, outcome string) {
	if a.count != nil {
		a.count(method, outcome)
	}
}

// tried counts an attempt by what it ended with.
func (a *Accounts) tried(method model.Method, err error) { a.Tried(method, outcomeOf(err)) }

func outcomeOf(err error) string {
	is := func(some ...error) bool {
		for _, one := range some {
			if errors.Is(err, one) {
				return true
			}
		}
		return false
	}
	switch {
	case err == nil:
		return Proved
	case is(ErrLocked):
		return Barred
	case is(ErrElsewhere, ErrBusy), errors.As(err, new(ErrTooSoon)):
		return Slowed
	case is(ErrCredentials, ErrPasskeyUnknown, ErrPasskeyStale, credential.ErrPasskey, credential.ErrPasskeyCopied, ErrCode, ErrConfirmation):
		return Refused
	}
	return Failed
}
