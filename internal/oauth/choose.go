package oauth

import (
	"context"
	"errors"
	"slices"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Pick says for which of the people who are signed in at a browser a request is,
// by the index of their session; -1: for none of them. The current one comes first
// in sessions; hinted is whom the login_hint means, if it is one of them.
//
// It is a pure function. A request that was bound to one session is for no other
// one, also when that one is over: what one person saw, another must not answer.
func Pick(r model.Request, sessions []model.Session, hinted model.UserID) int {
	of := func(id model.UserID) int {
		return slices.IndexFunc(sessions, func(s model.Session) bool { return s.UserID == id })
	}
	if r.Chosen != "" {
		return slices.IndexFunc(sessions, func(s model.Session) bool { return s.ID == r.Chosen })
	}
	// OpenID Connect Core §3.1.2.1: id_token_hint before login_hint, for it is proof.
	for _, id := range []model.UserID{r.Asked.Subject, hinted} {
		if i := of(id); id != "" && i >= 0 {
			return i
		}
	}
	return min(len(sessions), 1) - 1
}

// Choose binds a request to one of the people who are signed in at its browser.
// That they have signed in for it, or agreed to anything, is not said by that;
// what somebody else did for it before is forgotten.
func (a *Authority) Choose(ctx context.Context, z *Authorization, session model.Session) error {
	if z.Request.Chosen == session.ID {
		return nil
	}
	z.Request.Chosen, z.Request.SessionID, z.Request.Approved = session.ID, "", nil
	if !z.stored {
		return nil // it will be
	}
	return a.note(ctx, *z)
}

// Authenticated notes on a waiting request that its person has just signed in
// for it. What somebody else may have agreed to before is forgotten.
func (a *Authority) Authenticated(ctx context.Context, z *Authorization, session model.Session) error {
	z.Request.Chosen, z.Request.SessionID, z.Request.Approved = session.ID, session.ID, nil
	return a.note(ctx, *z)
}

// note stores what has been proven for a waiting request.
func (a *Authority) note(ctx context.Context, z Authorization) error {
	err := a.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.UpdateRequest(z.Request) })
	if errors.Is(err, store.ErrNotFound) {
		return errGone()
	}
	return inner(err)
}
