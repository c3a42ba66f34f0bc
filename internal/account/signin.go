package account

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// signInLife is how long what was proven counts before the rest is, in seconds.
const signInLife = 15 * 60

// newcomer is how long after it was made an account has no browser that its person
// would be surprised by.
const newcomer = time.Hour

// Progress is how far somebody is on the way to a session.
type Progress struct {
	User    model.User // zero: nobody is known yet
	Begun   bool       // something was proven under this holder
	Factors []model.Factor
	Missing Lack
	Methods []model.Method // of which one would do, the better one first
	Offered bool           // it need not be

	session *model.Session // that counts beside what was proven; nil: none does
}

// Proven is a factor that was just proven, by whom.
type Proven struct {
	User   model.UserID
	Factor model.Factor // At may be 0: now
	// Hash is the password hash that it was compared with, where it was a password.
	Hash     string
	Remember bool // the longer life was asked for
	Trust    bool // no second factor shall be asked in this browser for a while
}

// Proved notes under a holder what a method's own verification has established. A
// factor of somebody else begins anew there; a second factor has to be of the person
// who gave the first. It returns ErrCredentials if they are not, if the account was
// removed, or the password changed, since it was compared; and ErrLocked.
func (a *Accounts) Proved(ctx context.Context, holder string, p Proven) error {
	return a.store.Upkeep(ctx, func(tx *store.Tx) error { return a.proved(tx, holder, p) })
}

func (a *Accounts) proved(tx *store.Tx, holder string, p Proven) error {
	user, err := tx.User(p.User)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return ErrCredentials
	case err != nil:
		return err
	case p.Factor.Method == model.MethodPassword && user.PasswordHash != p.Hash:
		return errChanged
	case user.Status != model.UserActive:
		return ErrLocked
	}
	s, err := a.signInOf(tx, holder)
	if err != nil {
		return err
	}
	if s.UserID != user.ID {
		if !isFirst(p.Factor.Method) && s.UserID != "" {
			return ErrCredentials
		}
		s = model.SignIn{Holder: holder, UserID: user.ID}
	}
	if p.Factor.At == 0 {
		p.Factor.At = a.unix()
	}
	s.Factors = slices.DeleteFunc(s.Factors, func(f model.Factor) bool { return f.Method == p.Factor.Method })
	s.Factors = append(s.Factors, p.Factor)
	s.Remember, s.Trust = s.Remember || p.Remember, s.Trust || p.Trust
	s.Tries = 0
	s.ExpiresAt = a.unix() + signInLife
	return tx.PutSignIn(s)
}

// signInOf returns the sign-in of a holder, or an empty one.
func (a *Accounts) signInOf(tx *store.Tx, holder string) (model.SignIn, error) {
	s, err := tx.SignIn(holder, a.unix())
	if errors.Is(err, store.ErrNotFound) {
		return model.SignIn{Holder: holder, ExpiresAt: a.unix() + signInLife}, nil
	}
	return s, err
}

// Progress says how far a holder's sign-in is, and what is missing.
func (a *Accounts) Progress(ctx context.Context, holder string, w Wanted) (p Progress, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		p, _, err = a.progress(tx, holder, w)
		return err
	})
	return p, err
}

func (a *Accounts) progress(tx *store.Tx, holder string, w Wanted) (Progress, model.SignIn, error) {
	s, err := a.signInOf(tx, holder)
	if err != nil {
		return Progress{}, s, err
	}
	if w.Session != nil {
		// It may have ended since it was read.
		switch err := tx.SessionLives(w.Session.ID, a.unix()); {
		case errors.Is(err, store.ErrNotFound):
			w.Session = nil
		case err != nil:
			return Progress{}, s, err
		}
	}
	id := s.UserID
	if id == "" && w.Session != nil {
		id = w.Session.UserID
	}
	var user model.User
	if id != "" {
		if user, err = tx.User(id); errors.Is(err, store.ErrNotFound) {
			user, s, err = model.User{}, model.SignIn{Holder: holder}, nil
		}
		if err != nil {
			return Progress{}, s, err
		}
	}
	factors := slices.Clone(s.Factors)
	if w.Session != nil && w.Session.UserID != user.ID {
		w.Session = nil // of somebody else, or of nobody any more
	}
	if w.Session != nil {
		for _, f := range w.Session.Factors {
			if !slices.ContainsFunc(factors, func(g model.Factor) bool { return f.Method == g.Method }) {
				factors = append(factors, f)
			}
		}
	}
	if a.rememberDevice > 0 && user.ID != "" {
		d, err := a.deviceOf(tx, user.ID, w.Devices)
		if err != nil {
			return Progress{}, s, err
		}
		if d.TrustedTo > a.unix() {
			factors = append(factors, model.Factor{Method: model.MethodDevice, At: a.unix()})
		}
	}
	st, err := a.stand(tx, user, factors, w.Methods)
	if err != nil {
		return Progress{}, s, err
	}
	p := Progress{User: outward(user), Begun: len(s.Factors) > 0, Factors: st.factors, session: w.Session}
	if st.trusted {
		p.Factors = append(p.Factors, model.Factor{Method: model.MethodDevice, At: a.unix()})
	}
	p.Missing, p.Methods, p.Offered = a.missing(st, w, s.Declined)
	if p.Missing == Enrol && p.session != nil && !a.fresh(st.factors) {
		// Who found a session open sets up no way to come back.
		if p.Missing, p.Methods = Nothing, nil; !p.Offered {
			p.Missing, p.Methods = First, a.firsts(user, w.Methods)
		}
	}
	return p, s, nil
}

// Abandon forgets what was proven under a holder.
func (a *Accounts) Abandon(ctx context.Context, holder string) error {
	return a.store.Upkeep(ctx, func(tx *store.Tx) error { return tx.DeleteSignIn(holder) })
}

// Decline notes that somebody does not want the factor that they were offered.
func (a *Accounts) Decline(ctx context.Context, holder string) error {
	return a.store.Upkeep(ctx, func(tx *store.Tx) error {
		s, err := a.signInOf(tx, holder)
		if err != nil {
			return err
		}
		s.Declined = true
		return tx.PutSignIn(s)
	})
}

// Finish begins the session for which a holder has proven enough, or begins anew the
// one that the same person has in this browser, with a new cookie, always. It returns
// ErrFactor when something is missing, or the account is gone, and ErrLocked.
func (a *Accounts) Finish(ctx context.Context, holder string, w Wanted, t Attempt) (Entry, error) {
	cookie, device := model.NewSecret(cookiePrefix), model.NewSecret(devicePrefix)
	var in Entry
	err := a.store.Update(ctx, func(tx *store.Tx) error {
		p, s, err := a.progress(tx, holder, w)
		if err != nil {
			return err
		}
		if p.Missing == First { // of a person who is gone as well
			return ErrFactor
		}
		t.Remember = s.Remember
		b := beginning{user: p.User, browser: t.Browser, want: w, factors: p.Factors, declined: s.Declined, session: a.newSession(p.User.ID, t, cookie)}
		if old := p.session; old != nil {
			// Whoever adds a factor does not stay longer for it.
			b.session.Remember, b.session.ExpiresAt = old.Remember, old.ExpiresAt
			b.session.IdleAt = min(a.unix()+a.life[old.Remember].idle, b.session.ExpiresAt)
		}
		if in, err = a.begin(tx, b); err != nil {
			return err
		}
		if in.Device, err = a.keepDevice(tx, in.User.ID, t.Devices, device, s.Trust); err != nil {
			return err
		}
		return tx.DeleteSignIn(holder)
	})
	if err != nil {
		return Entry{}, err
	}
	in.Cookie = cookie
	if in.Device != "" && a.unix()-in.User.CreatedAt > int64(newcomer/time.Second) {
		a.notify(ctx, in.User, notice{Kind: mail.Device, From: t.Address})
	}
	return in, nil
}

// Standing is what a session is worth to a client, by the policies about people.
type Standing struct {
	ACR   string // of what the client takes; empty: nothing
	Short bool   // a policy wants a further factor
	Best  string // what the person could reach
}

// Standing says what a session is worth to a client that takes those methods.
func (a *Accounts) Standing(ctx context.Context, session model.Session, methods []string) (Standing, error) {
	s, err := a.standOf(ctx, session, methods)
	if errors.Is(err, store.ErrNotFound) {
		return Standing{}, nil
	}
	if err != nil {
		return Standing{}, err
	}
	return a.worth(s), nil
}

// StandingOf is Standing of a session that was found by its cookie, by what was read with
// it.
func (a *Accounts) StandingOf(in Visitor, methods []string) Standing {
	return a.worth(a.standWith(in.User, in.has, in.Session.Factors, methods))
}

func (a *Accounts) worth(s standing) Standing {
	out := Standing{ACR: model.ACROf(s.factors)}
	out.Short = a.wantsSecond(s) && !s.trusted && rank(out.ACR) < rank(ACRMulti)
	if best := s.best(); best >= 0 {
		out.Best = ACRs()[best]
	}
	return out
}

// Weak reports whether a session is too weak to change how its person signs in: a
// policy wants a second factor of them, and it has none. That the browser is
// remembered does not do there.
func (a *Accounts) Weak(ctx context.Context, session model.Session) (bool, error) {
	if rank(session.ACR) >= rank(ACRMulti) {
		return false, nil
	}
	s, err := a.standOf(ctx, session, nil)
	return err == nil && a.wantsSecond(s), err
}

// standOf is stand for the person of a session.
func (a *Accounts) standOf(ctx context.Context, session model.Session, methods []string) (s standing, err error) {
	err = a.store.Ask(ctx, func(tx *store.Tx) error {
		user, n, err := tx.UserAndFactors(session.UserID)
		if err == nil {
			s = a.standWith(user, methodsOf(user, n), session.Factors, methods)
		}
		return err
	})
	return s, err
}
