package account

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// touchEvery is how often the use of a session is written down at most.
const touchEvery = time.Minute

// What a cookie and what is told of a browser may be long, in bytes.
const (
	maxCookie    = 128
	maxUserAgent = 256
	maxAddress   = 64
)

// cookiePrefix lets secret scanners find a leaked cookie.
const cookiePrefix = "ost_se_"

// Attempt is what somebody who wants to sign in sends.
type Attempt struct {
	Login     string
	Password  model.Secret
	Remember  bool   // the longer life
	UserAgent string // shown to the person in their list of sessions
	Address   string // network address
	// Replace is the cookie of the session that this browser has already, if
	// any; it ends with the sign-in.
	Replace model.Secret
}

// SignedIn is a new session. The cookie is nowhere else: the database has its
// hash.
type SignedIn struct {
	Session model.Session
	User    model.User
	Cookie  model.Secret
}

// errChanged says that the password hash was replaced while it was compared.
var errChanged = errors.New("the password changed meanwhile")

// SignIn compares the password and begins a session, with a new cookie, always.
// Somebody who signs in again in the same browser renews the session that they
// have there, so that what their applications hold stays good; anybody else's
// session there ends. It returns ErrCredentials, for an unknown login as for
// a wrong password and after the same work; ErrLocked, only after the right
// password; and ErrBusy.
func (a *Accounts) SignIn(ctx context.Context, t Attempt) (SignedIn, error) {
	for range 3 {
		in, err := a.signIn(ctx, t)
		if !errors.Is(err, errChanged) {
			return in, err
		}
	}
	return SignedIn{}, ErrBusy
}

func (a *Accounts) signIn(ctx context.Context, t Attempt) (SignedIn, error) {
	user, err := a.claimed(ctx, t.Login)
	if err != nil {
		return SignedIn{}, err
	}
	stale, err := a.passwords.verify(ctx, t.Password, user.PasswordHash)
	if err != nil {
		return SignedIn{}, err
	}
	var anew string
	if stale {
		// A password that cannot be hashed anew now (no place, too short for
		// today) is still the right one: the next sign-in tries again.
		anew, _ = a.passwords.hash(ctx, t.Password)
	}
	in := SignedIn{Cookie: model.NewSecret(cookiePrefix)}
	b := beginning{user: user, anew: anew, replace: t.Replace, session: a.newSession(user.ID, t, in.Cookie)}
	err = a.store.Update(ctx, func(tx *store.Tx) (err error) {
		in.User, in.Session, err = a.begin(tx, b)
		return err
	})
	if err != nil {
		return SignedIn{}, err
	}
	return in, nil
}

// claimed returns the person of that login, or nobody: without a hash, so that
// comparing goes on and fails.
func (a *Accounts) claimed(ctx context.Context, typed string) (model.User, error) {
	login, err := normalizeLogin(typed)
	if err != nil {
		login = "" // nobody's; looked for all the same
	}
	var user model.User
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		user, err = tx.UserByLogin(login)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return model.User{}, nil
	}
	return user, err
}

func (a *Accounts) newSession(id model.UserID, t Attempt, cookie model.Secret) model.Session {
	now, life := a.unix(), a.life[t.Remember]
	return model.Session{
		ID:         model.SessionID(model.NewID()),
		CookieHash: cookie.Hash(),
		UserID:     id,
		AuthTime:   now,
		ACR:        ACRPassword,
		AMR:        []string{"pwd"}, // RFC 8176 §2
		Remember:   t.Remember,
		CreatedAt:  now,
		SeenAt:     now,
		IdleAt:     now + life.idle,
		ExpiresAt:  now + life.absolute,
		UserAgent:  printable(t.UserAgent, maxUserAgent),
		Address:    printable(t.Address, maxAddress),
	}
}

// beginning is a session that shall begin.
type beginning struct {
	user    model.User // as the password was compared with
	anew    string     // its hash at today's cost, or nothing
	replace model.Secret
	session model.Session
}

// begin stores a session. The person is read once more, because comparing took
// its time: who was locked or given a new password meanwhile does not get in.
func (a *Accounts) begin(tx *store.Tx, b beginning) (model.User, model.Session, error) {
	user, err := tx.User(b.user.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		err = ErrCredentials
	case err != nil:
	case user.PasswordHash != b.user.PasswordHash:
		err = errChanged
	case user.Status != model.UserActive:
		err = ErrLocked
	}
	if err != nil {
		return model.User{}, model.Session{}, err
	}
	actor := model.Actor{Kind: model.ActorUser, ID: string(user.ID), Address: b.session.Address}
	if b.anew != "" {
		if err := tx.SetPassword(user.ID, b.anew, user.PasswordAt); err != nil {
			return model.User{}, model.Session{}, err
		}
		if err := tx.Record(model.Event{Actor: actor, Action: "password.rehash", UserID: user.ID}); err != nil {
			return model.User{}, model.Session{}, err
		}
	}
	session, err := a.replace(tx, actor, b)
	if err != nil {
		return model.User{}, model.Session{}, err
	}
	return outward(user), session, nil
}

// replace begins a session in the place of the one that the same browser had.
// If that is the same person's and still live, it goes on under the new cookie;
// otherwise it ends: nobody could sign it out any more.
func (a *Accounts) replace(tx *store.Tx, actor model.Actor, b beginning) (model.Session, error) {
	s := b.session
	old, err := a.replaced(tx, b.replace)
	if err != nil {
		return s, err
	}
	if old.UserID == s.UserID && old.Live(s.AuthTime) {
		s.ID, s.CreatedAt = old.ID, old.CreatedAt
		if err := tx.RenewSession(s); err != nil {
			return s, err
		}
		return s, tx.Record(model.Event{Actor: actor, Action: "session.renew", UserID: s.UserID, Detail: "session=" + string(s.ID)})
	}
	if old.ID != "" {
		if err := tx.EndSession(old.ID, a.ending(model.CauseSignedOut)); err != nil {
			return s, err
		}
		err := tx.Record(model.Event{Actor: actor, Action: "session.end", UserID: old.UserID, Detail: "replaced session=" + string(old.ID)})
		if err != nil {
			return s, err
		}
	}
	if err := tx.InsertSession(s); err != nil {
		return s, err
	}
	return s, tx.Record(model.Event{Actor: actor, Action: "session.start", UserID: s.UserID, Detail: "session=" + string(s.ID)})
}

// replaced returns the session of a cookie that nobody ended yet, or none.
func (a *Accounts) replaced(tx *store.Tx, cookie model.Secret) (model.Session, error) {
	if cookie == "" || len(cookie) > maxCookie {
		return model.Session{}, nil
	}
	old, err := tx.SessionByCookie(cookie.Hash())
	if errors.Is(err, store.ErrNotFound) || err == nil && old.EndedAt != 0 {
		return model.Session{}, nil
	}
	return old, err
}

// Session returns the live session behind a cookie and its person, and notes
// once a minute that it is in use. It returns ErrNoSession, also when the
// account is locked.
func (a *Accounts) Session(ctx context.Context, cookie model.Secret) (model.Session, model.User, error) {
	if cookie == "" || len(cookie) > maxCookie {
		return model.Session{}, model.User{}, ErrNoSession
	}
	var s model.Session
	var user model.User
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		if s, err = tx.SessionByCookie(cookie.Hash()); err != nil {
			return err
		}
		user, err = tx.User(s.UserID)
		return err
	})
	now := a.unix()
	if err == nil && (!s.Live(now) || user.Status != model.UserActive) {
		err = ErrNoSession
	}
	if err == nil && now-s.SeenAt >= int64(touchEvery/time.Second) {
		s.SeenAt, s.IdleAt = now, now+a.life[s.Remember].idle
		err = a.store.Upkeep(ctx, func(tx *store.Tx) error { return tx.TouchSession(s.ID, s.SeenAt, s.IdleAt) })
	}
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNoSession
	}
	if err != nil {
		return model.Session{}, model.User{}, err
	}
	return s, outward(user), nil
}

// Sessions lists the live sessions of a person, the youngest first.
func (a *Accounts) Sessions(ctx context.Context, id model.UserID) ([]model.Session, error) {
	var list []model.Session
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.SessionsOf(id)
		return err
	})
	return list, err
}

// SignOut ends a session with its grants. It returns ErrNoSession when it is
// over already. The cause in the revocation log is "admin" when a person or an
// operator ends the session of somebody else.
func (a *Accounts) SignOut(ctx context.Context, actor model.Actor, id model.SessionID) error {
	err := a.store.Update(ctx, func(tx *store.Tx) error {
		s, err := tx.Session(id)
		if err != nil {
			return err
		}
		cause := model.CauseSignedOut
		if actor.Kind == model.ActorShell || actor.Kind == model.ActorUser && actor.ID != string(s.UserID) {
			cause = model.CauseAdmin
		}
		if err := tx.EndSession(id, a.ending(cause)); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "session.end", UserID: s.UserID, Detail: "session=" + string(id)})
	})
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoSession
	}
	return err
}

// expireBatch is how many sessions are ended in one transaction.
const expireBatch = 100

// Expire ends the sessions that are over by themselves, because they were not
// used or are too old, so that the applications learn of it. A thousand of them
// at most; the next call goes on.
func (a *Accounts) Expire(ctx context.Context) error {
	var due []model.Session
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		due, err = tx.DueSessions(a.unix(), 0)
		return err
	})
	if err != nil {
		return err
	}
	for some := range slices.Chunk(due, expireBatch) {
		if err := a.store.Update(ctx, func(tx *store.Tx) error { return a.expire(tx, some) }); err != nil {
			return err
		}
	}
	return nil
}

func (a *Accounts) expire(tx *store.Tx, due []model.Session) error {
	for _, s := range due {
		err := tx.ExpireSession(s.ID, a.ending(model.CauseExpired))
		if errors.Is(err, store.ErrNotFound) {
			continue // another node was faster, or it was used meanwhile
		}
		if err != nil {
			return err
		}
		err = tx.Record(model.Event{Actor: model.Actor{Kind: model.ActorSystem}, Action: "session.expire", UserID: s.UserID, Detail: "session=" + string(s.ID)})
		if err != nil {
			return err
		}
	}
	return nil
}

// ending is an end at this moment, told for as long as a token can live.
func (a *Accounts) ending(cause model.Cause) store.Ending {
	now := a.unix()
	return store.Ending{Cause: cause, At: now, DropAt: now + a.tokenLife}
}
