package oauth

import (
	"context"
	"errors"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// An entry of the revocation log that puts out many tokens together does it by a
// second: all that were issued then or before. In that very second a person may be
// unlocked, sign in and be given a token, which would be dead at birth. So a grant
// says from when its tokens are ("iat"), and who asks earlier waits for the next
// second. What a cut-off puts out is never less for it.
//
// The log is looked at once, before a grant is made. A cut-off that comes later
// ends the grant, so that renewing it need not look again.

// maxWait is how long an answer waits for the second from which its token is. More
// than one is needed only where the clocks of two nodes differ.
const maxWait = 5 // seconds

// notBefore returns the "iat" that tokens of a person at a client must have at
// least, 0 where now will do. It is asked before the transaction that makes the
// grant, and outside of it (see store.CutOff).
func (a *Authority) notBefore(ctx context.Context, user model.UserID, client model.ClientID) (int64, error) {
	var cut int64
	err := a.ask(ctx, func(tx *store.Tx) (err error) { cut, err = tx.CutOff(user, client); return err })
	if err != nil || cut < a.unix() {
		return 0, err
	}
	return cut + 1, nil
}

// issuedAt is the "iat" of what is issued in a transaction: its own time, not that
// of the signature after it, so that whatever ends it afterwards has a cut-off that
// is no earlier. It refuses where somebody would have to wait too long.
func (a *Authority) issuedAt(notBefore int64) (int64, *Error) { return issuedAt(a.unix(), notBefore) }

// issuedAt is that of what is issued without a transaction, as of now: a time before the
// log was asked for a cut-off.
func issuedAt(now, notBefore int64) (int64, *Error) {
	if wait := notBefore - now; wait > maxWait {
		return 0, &Error{Code: TooManyRequests, Description: "Tokens of this moment were put out: try again later", Busy: true, RetryAfter: wait,
			cause: errors.New("a cut-off lies in the future: the clocks of two nodes differ, or one was put back")}
	}
	return max(now, notBefore), nil
}

// await waits until tokens of that time can be told.
func (a *Authority) await(ctx context.Context, issuedAt int64) error {
	wait := time.Unix(issuedAt, 0).Sub(a.Now())
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
