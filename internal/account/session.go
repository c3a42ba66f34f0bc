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
	// Browser holds the cookies of the sessions that this browser has already, and
	// Devices those by which people who signed in there know it.
	Browser []model.Secret
	Devices map[model.UserID]model.Secret

	// Where there is no browser, these stand for its cookies: who is known to
	// sign in there, so that no Login is needed, and their session there.
	User    model.UserID
	Session model.SessionID

	page bool // of ours: it is slowed down rather than sent to another one
}

// SignedIn is a session at a browser. The cookie is nowhere else: the database
// has its hash.
type SignedIn struct {
	Session model.Session
	User    model.User
	Cookie  model.Secret
}

// Visitor is a session that was found by its cookie, and what its person has set up.
type Visitor struct {
	SignedIn
	has []model.Method
}

// errChanged says that the password hash was replaced while it was compared.
var errChanged = errors.New("the password changed meanwhile")

// Entry is a session that has just begun, or begun anew.
type Entry struct {
	SignedIn
	Beside []model.UserID // who else stays signed in at the browser
	Device model.Secret   // by which the browser is to be known from now on; empty: as until now
}

// claimed returns the person whom an attempt names, or nobody: without a hash, so
// that comparing goes on and fails.
func (a *Accounts) claimed(ctx context.Context, t Attempt) (model.User, error) {
	login, err := normalizeLogin(t.Login)
	if err != nil {
		login = "" // nobody's; looked for all the same
	}
	var user model.User
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		if t.User != "" {
			user, err = tx.User(t.User)
			return err
		}
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
	user     model.User // as the password was compared with
	compared bool       // it was, for this very session
	anew     string     // its hash at today's cost, or nothing
	browser  []model.Secret
	known    model.SessionID // of an attempt without a browser
	want     Wanted
	factors  []model.Factor
	declined bool
	session  model.Session
}

// begin stores a session: the one place where any begins. Who has not proven enough
// gets none, whatever way led here. The person is read once more, because comparing
// took its time: who was locked or given a new password meanwhile does not get in.
func (a *Accounts) begin(tx *store.Tx, b beginning) (Entry, error) {
	user, err := tx.User(b.user.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		err = ErrCredentials
	case err != nil:
	case b.compared && user.PasswordHash != b.user.PasswordHash:
		err = errChanged
	case user.Status != model.UserActive:
		err = ErrLocked
	}
	if err != nil {
		return Entry{}, err
	}
	st, err := a.stand(tx, user, b.factors, b.want.Methods)
	if err != nil {
		return Entry{}, err
	}
	if m, _, offered := a.missing(st, b.want, b.declined); m != Nothing && !offered {
		return Entry{}, ErrFactor
	}
	b.session.Factors, b.session.ACR, b.session.AMR, b.session.AuthTime = b.factors, model.ACROf(b.factors), amrOf(b.factors), authTime(b.factors)
	for _, f := range b.factors {
		if f.Until > 0 {
			b.session.ExpiresAt = min(b.session.ExpiresAt, f.Until)
			b.session.IdleAt = min(b.session.IdleAt, f.Until)
		}
	}
	actor := model.Actor{Kind: model.ActorUser, ID: string(user.ID), Address: b.session.Address}
	if err := b.rehash(tx, user); err != nil {
		return Entry{}, err
	}
	session, beside, err := a.settle(tx, actor, b)
	if err != nil {
		return Entry{}, err
	}
	return Entry{SignedIn: SignedIn{Session: session, User: outward(user)}, Beside: beside}, nil
}

// SessionFilter narrows a listing of sessions; what is empty does not.
type SessionFilter = store.SessionFilter

// AllSessions lists live sessions by their ID, of whomever they are.
func (a *Accounts) AllSessions(ctx context.Context, f SessionFilter) ([]model.Session, error) {
	var list []model.Session
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Sessions(f)
		return err
	})
	return list, err
}

// Session returns a live session and the applications that have a part in it, those
// that came last first, or ErrNoSession.
func (a *Accounts) Session(ctx context.Context, id model.SessionID) (s model.Session, in []model.Client, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		if s, err = tx.Session(id); err != nil {
			return err
		}
		in, err = tx.Participants(id, maxParticipants)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && !s.Live(a.unix()) {
		return model.Session{}, nil, ErrNoSession
	}
	return s, in, err
}

// maxParticipants is of how many applications of a session is told.
const maxParticipants = 100

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
// over already. The cause in the revocation log is "signed_out" when it is the
// person's own doing, and "admin" when it is anybody else's.
func (a *Accounts) SignOut(ctx context.Context, actor model.Actor, id model.SessionID) error {
	return a.signOut(ctx, actor, id, func(model.Session) bool { return true })
}

// signOut ends a session that may be meant.
func (a *Accounts) signOut(ctx context.Context, actor model.Actor, id model.SessionID, may func(model.Session) bool) error {
	err := a.store.Update(ctx, func(tx *store.Tx) error {
		s, err := tx.Session(id)
		if err == nil && !may(s) {
			err = store.ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := tx.EndSession(id, a.ending(leaving(actor, s.UserID))); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "session.end", UserID: s.UserID, Detail: "session=" + string(id)})
	})
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoSession
	}
	return err
}

// SignOutOf is SignOut for a session of a person's own: one that is somebody else's
// is as good as none. It returns ErrNoSession.
func (a *Accounts) SignOutOf(ctx context.Context, actor model.Actor, whose model.UserID, id model.SessionID) error {
	return a.signOut(ctx, actor, id, func(s model.Session) bool { return s.UserID == whose })
}

// SignOutEverywhere ends all sessions of a person and all that applications hold
// of theirs, what they may use while the person is away as well. Nothing keeps the
// person from signing in again. It returns ErrNoUser.
func (a *Accounts) SignOutEverywhere(ctx context.Context, actor model.Actor, id model.UserID) error {
	return a.update(ctx, func(tx *store.Tx) error {
		if _, err := tx.User(id); err != nil { // first: see store.Ending
			return err
		}
		if err := tx.EndUser(id, a.ending(leaving(actor, id))); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "user.sign_out", UserID: id})
	})
}

// SignOutOthers ends the sessions of a person but the one they keep, which is how
// they put out whoever uses one of their devices. What applications may use while
// the person is away stays. It returns ErrNoUser, and ErrNoSession if the session
// that is to be kept is over or not theirs.
func (a *Accounts) SignOutOthers(ctx context.Context, actor model.Actor, id model.UserID, keep model.SessionID) error {
	return a.update(ctx, func(tx *store.Tx) error {
		if _, err := tx.User(id); err != nil { // first: see store.Ending
			return err
		}
		if err := a.within(tx, id, keep); err != nil {
			return err
		}
		others := func() ([]model.Session, error) { return tx.SessionsBeside(id, keep) }
		if err := endSessions(tx, a.ending(leaving(actor, id)), others); err != nil {
			return err
		}
		if err := tx.DropHalves(id); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "user.sign_out", UserID: id, Detail: "all but session=" + string(keep)})
	})
}

// within holds a change to the session of a person in which it is made: whoever was put
// out since somebody looked whether it lives changes nothing any more, and least of all
// how they could come back. It returns ErrNoSession.
func (a *Accounts) within(tx *store.Tx, id model.UserID, session model.SessionID) error {
	s, err := tx.Session(session)
	if errors.Is(err, store.ErrNotFound) || err == nil && (s.UserID != id || !s.Live(a.unix())) {
		return ErrNoSession
	}
	return err
}

// withinAny is within for a change that need not be made in a session.
func (a *Accounts) withinAny(tx *store.Tx, id model.UserID, session model.SessionID) error {
	if session == "" {
		return nil
	}
	return a.within(tx, id, session)
}

// Stay is a session of a person, with the applications that have a part in it,
// those that came last first.
type Stay struct {
	model.Session
	Applications []model.Client
}

// Stays lists the live sessions of a person, the youngest first.
func (a *Accounts) Stays(ctx context.Context, id model.UserID) (list []Stay, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) error {
		sessions, err := tx.SessionsOf(id)
		list = nil
		for i := 0; err == nil && i < len(sessions); i++ {
			var in []model.Client
			in, err = tx.Participants(sessions[i].ID, maxParticipants)
			list = append(list, Stay{sessions[i], in})
		}
		return err
	})
	return list, err
}

// SignOutEverybody ends every session and every grant, and makes every token
// useless that was issued until now: for the day when a key has leaked. Nothing
// keeps anybody from signing in again.
func (a *Accounts) SignOutEverybody(ctx context.Context, actor model.Actor) error {
	return a.store.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.LastRevocation(); err != nil { // first: see store.Ending
			return err
		}
		if err := tx.EndAll(a.ending(model.CauseAdmin)); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: actor, Action: "all.sign_out"})
	})
}

// leaving is why something of a person ends at somebody's wish.
func leaving(actor model.Actor, whose model.UserID) model.Cause {
	if actor.Kind == model.ActorUser && actor.ID == string(whose) {
		return model.CauseSignedOut
	}
	return model.CauseAdmin
}

// expireBatch is how many sessions are ended in one transaction, for which all else that
// writes waits.
const expireBatch = 10

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
