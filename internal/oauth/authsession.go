package oauth

import (
	"context"
	"errors"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
)

// authSessionPrefix makes a leaked auth session recognisable to scanners. It has
// 256 bits of entropy behind it (draft-ietf-oauth-first-party-apps-04 §5.3.1).
const authSessionPrefix = "ost_as_"

// authSessionLife is how long a client may take between two steps, in seconds.
const authSessionLife = 10 * 60

// maxTries bounds how often in a row an auth session may ask for more (draft §9.3).
const maxTries = 20

func errAuthSession(cause error) *Error {
	return &Error{Code: InvalidSession, Description: "The auth_session is not valid, was replaced, or has expired", cause: cause}
}

// authSession finds the auth session of a call; the zero one where it has none.
func (a *Authority) authSession(ctx context.Context, p params) (s model.AuthSession, err error) {
	text := p.get("auth_session")
	if text == "" {
		return s, nil
	}
	if !strings.HasPrefix(text, authSessionPrefix) {
		return s, errAuthSession(errors.New("malformed"))
	}
	err = a.Store.View(ctx, func(tx *store.Tx) (err error) {
		s, err = tx.AuthSession(model.Secret(text).Hash(), a.unix())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return s, errAuthSession(err)
	}
	return s, inner(err)
}

// recall puts into a challenge what its auth session stands for.
func (a *Authority) recall(ctx context.Context, z *Challenge) error {
	if z.auth.UserID == "" {
		return nil
	}
	return a.view(ctx, func(tx *store.Tx) error {
		user, err := tx.User(z.auth.UserID)
		if errors.Is(err, store.ErrNotFound) {
			return errAuthSession(err)
		}
		if err != nil {
			return err
		}
		z.Person, z.Session = user.ID, nil
		session, err := tx.Session(z.auth.SessionID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return nil
		case err != nil:
			return err
		case session.Live(a.unix()) && session.UserID == user.ID && user.Status == model.UserActive:
			z.Session = &session
		}
		return nil
	})
}

// Insufficient asks for more, draft §5.2.2.1: it keeps the request, and what is
// known, under a new auth session.
//
// Errors: always one, an *Error.
func (a *Authority) Insufficient(ctx context.Context, z Challenge, description string) error {
	now, secret := a.unix(), model.NewSecret(authSessionPrefix)
	next := z.auth
	if next.ID == "" {
		if err := a.room(ctx, z.Collected.Address); err != nil {
			return err
		}
		next.ID, next.ClientID = model.NewID(), z.Client.ID
	}
	next.Hash, next.Asked = secret.Hash(), &z.Request.Asked
	if next.UserID == "" {
		next.ExpiresAt = 0 // somebody's lasts as long as it did
	}
	next.ExpiresAt = max(next.ExpiresAt, now+authSessionLife)
	err := a.Store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		// Of many who come with it at once, each counts.
		next.Tries = 1
		if z.auth.ID != "" {
			next.Tries, err = tx.TryAuthSession(z.auth.ID)
		}
		if errors.Is(err, store.ErrNotFound) {
			return errAuthSession(err) // it was given back, or has served
		}
		if err != nil {
			return err
		}
		if next.Tries <= maxTries {
			return tx.PutAuthSession(next)
		}
		if err := tx.DeleteAuthSession(next.ID); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return nil
	})
	switch {
	case err != nil:
		return inner(err)
	case next.Tries > maxTries:
		return errAuthSession(errors.New("it has been tried too often"))
	}
	e := fail(InsufficientAuthorization, "%s", description)
	e.AuthSession = secret
	return e
}

// revokeAuthSession ends an auth session and the session that it stands for: how a
// client without a browser signs its person out (RFC 7009 §4.1.2). One under which nobody
// has signed in is a request that waits, and no more: anybody can begin such ones in the
// name of a public client and give them back, so nothing of it is written down.
func (a *Authority) revokeAuthSession(ctx context.Context, c *registration.Client, call Call, text string) error {
	hash := model.Secret(text).Hash()
	return inner(a.Store.Upkeep(ctx, func(tx *store.Tx) error {
		s, err := tx.AuthSession(hash, a.unix())
		if errors.Is(err, store.ErrNotFound) || err == nil && s.ClientID != c.ID {
			return nil // RFC 7009 §2.2
		}
		if err != nil {
			return err
		}
		if err := tx.DeleteAuthSession(s.ID); err != nil || s.UserID == "" {
			return err
		}
		event := model.Event{
			Actor:  model.Actor{Kind: model.ActorClient, ID: string(c.ID), Address: call.Address},
			Action: "auth_session.revoke", UserID: s.UserID, ClientID: c.ID,
		}
		if s.SessionID == "" {
			return tx.Record(event)
		}
		err = tx.EndSession(s.SessionID, a.ending(model.CauseSignedOut))
		switch {
		case err == nil:
			event.Action, event.Detail = "session.end", "session="+string(s.SessionID)
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		return tx.Record(event)
	}))
}
