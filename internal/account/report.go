package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// clockLeeway is how far the clock of a transmitter may be from ours, in seconds:
// what began so shortly after an event ends with it all the same.
const clockLeeway = 10

// Report is what another server says has happened to a person, verified: it was
// signed by it and meant for us.
type Report struct {
	Naming
	ID        string // "jti"
	Type      string // of the event
	Subject   model.SubjectID
	At        int64  // when it happened there
	Reason    string // of RISC 1.0 §2.3, or none
	KeepUntil int64  // so long it is remembered that it was heeded
}

// Heeded says what came of a report.
type Heeded struct {
	Act      string       // as model.ActEnd; model.ActIgnore: nothing
	UserID   model.UserID // empty: nobody here is meant
	Repeated bool         // it was heeded before
}

// acts is what follows from an event unless an operator has said otherwise. What
// is not here is ignored. Letting somebody in on another's word has to be asked for.
var acts = map[string]string{
	model.EventSessionRevoked:       model.ActEnd,
	model.EventSessionsRevoked:      model.ActEnd,
	model.EventCredentialChange:     model.ActEnd,
	model.EventCredentialCompromise: model.ActEnd,
	model.EventAccountDisabled:      model.ActLock,
	model.EventAccountPurged:        model.ActLock,
	model.EventAccountEnabled:       model.ActIgnore,
}

// Acts returns what can follow from events, by the type: the usual first.
func Acts() map[string][]string {
	may := map[string][]string{}
	for kind, usual := range acts {
		switch kind {
		case model.EventAccountEnabled:
			may[kind] = []string{usual, model.ActUnlock}
		default:
			may[kind] = []string{usual}
			for _, other := range []string{model.ActEnd, model.ActLock, model.ActIgnore} {
				if other != usual {
					may[kind] = append(may[kind], other)
				}
			}
		}
	}
	return may
}

// shortType is the last word of the type of an event, by which an operator names
// it.
func shortType(kind string) string { return kind[strings.LastIndexByte(kind, '/')+1:] }

// act is what follows from a report.
func (r Report) act() string {
	if said := r.Transmitter.Events[shortType(r.Type)]; said != "" {
		return said
	}
	if usual := acts[r.Type]; usual != "" {
		return usual
	}
	return model.ActIgnore
}

// Heed decides what follows from a report and does it, once: when the same comes
// again, nothing happens. Nobody is put out whom it does not name, and of what
// began after the event nothing ends.
func (a *Accounts) Heed(ctx context.Context, r Report) (Heeded, error) {
	var h Heeded
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		h, err = r.decide(tx)
		return err
	})
	if err != nil {
		return Heeded{}, err
	}
	run := a.store.Update
	if h.Act == model.ActIgnore { // there is nothing to account for
		run = a.store.Upkeep
	}
	actor := model.Actor{Kind: model.ActorTransmitter, ID: string(r.Transmitter.ID)}
	err = run(ctx, func(tx *store.Tx) error {
		if err := tx.TakeToken(r.Transmitter.ID, r.ID, r.KeepUntil); err != nil {
			return err
		}
		if h.Act == model.ActIgnore {
			return nil
		}
		done, err := a.carryOut(tx, actor, r, h)
		if err != nil {
			return err
		}
		detail := fmt.Sprintf("transmitter=%s event=%s act=%s done=%t", r.Transmitter.ID, shortType(r.Type), h.Act, done)
		return tx.Record(model.Event{Actor: actor, Action: "signal.heed", UserID: h.UserID, Detail: detail})
	})
	if errors.Is(err, store.ErrConflict) {
		h.Repeated, err = true, nil
	}
	return h, err
}

// decide finds out who is meant and what follows. A subject that cannot name
// anybody here is as good as that of a stranger: a transmitter has others to tell
// things, too.
func (r Report) decide(tx *store.Tx) (Heeded, error) {
	h := Heeded{Act: r.act()}
	if h.Act == model.ActIgnore {
		return h, nil
	}
	user, err := named(tx, r.Naming, r.Subject)
	if id, ok := r.session(); ok && err != nil {
		var s model.Session
		if s, err = tx.Session(id); err == nil {
			user.ID = s.UserID
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, ErrSubject):
		return Heeded{Act: model.ActIgnore}, nil
	case err != nil:
		return Heeded{}, err
	}
	h.UserID = user.ID
	return h, nil
}

// session returns the session of ours that is meant, where the report is about
// one, of whomever: CAEP 1.0 §3.1. A session of the transmitter's own says nothing
// here, and then all sessions of the person are meant.
func (r Report) session() (model.SessionID, bool) {
	if r.Type != model.EventSessionRevoked || !slices.Contains(r.Match, model.MatchOwn) {
		return "", false
	}
	switch s := r.Subject; {
	case s.Format == model.FormatOpaque:
		return model.SessionID(s.ID), true
	case s.Format != model.FormatComplex || s.Session == nil || s.Session.Format != model.FormatOpaque:
		return "", false
	case s.User == nil, s.User.Format == model.FormatIssSub && s.User.Issuer == r.Issuer:
		return model.SessionID(s.Session.ID), true
	}
	return "", false
}

// carryOut does what was decided, and reports whether there was something to do.
func (a *Accounts) carryOut(tx *store.Tx, actor model.Actor, r Report, h Heeded) (done bool, err error) {
	switch h.Act {
	case model.ActLock:
		return a.lockByWord(tx, actor, r, h.UserID)
	case model.ActUnlock:
		return a.unlockByWord(tx, actor, r, h.UserID)
	}
	cause := model.CauseSignal
	if r.Type == model.EventCredentialChange || r.Type == model.EventCredentialCompromise {
		cause = model.CauseCredentialChange
	}
	if id, ok := r.session(); ok {
		return a.endNamed(tx, id, h.UserID, cause)
	}
	return true, a.endBegun(tx, h.UserID, r.At+clockLeeway, cause)
}

// endNamed ends one session, if it is that person's and not over.
func (a *Accounts) endNamed(tx *store.Tx, id model.SessionID, user model.UserID, cause model.Cause) (bool, error) {
	s, err := tx.Session(id)
	if err == nil && s.UserID == user {
		err = tx.EndSession(id, a.ending(cause))
		if err == nil {
			return true, nil
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return false, err
}

// endBegun ends what a person had at a time: an event may have been long on its
// way, and whoever has signed in since then has proven who they are.
func (a *Accounts) endBegun(tx *store.Tx, id model.UserID, at int64, cause model.Cause) error {
	young, err := tx.CountBegunSince(id, at)
	if err != nil {
		return err
	}
	if young == 0 {
		return tx.EndUser(id, a.ending(cause))
	}
	if err := tx.DropConfirmations(id, model.ConfirmMail); err != nil { // nobody knows of which session
		return err
	}
	ending := a.ending(cause)
	if err := endSessions(tx, ending, func() ([]model.Session, error) { return tx.SessionsBegun(id, at) }); err != nil {
		return err
	}
	return endGrants(tx, ending, func() ([]model.Grant, error) { return tx.GrantsBegun(id, at) })
}

// lockByWord locks an account, unless the transmitter has said something later. Of
// the last administrator everything ends, and no more. It remembers whether it was by that word: only then can it be undone by it.
func (a *Accounts) lockByWord(tx *store.Tx, actor model.Actor, r Report, id model.UserID) (bool, error) {
	user, err := tx.User(id)
	if err != nil {
		return false, err
	}
	switch err := keepAdmin(tx, actor, user); {
	case errors.Is(err, ErrLastAdmin):
		// Another server cannot leave this one without anybody; it can put them out.
		return true, a.endBegun(tx, id, r.At+clockLeeway, model.CauseSignal)
	case err != nil:
		return false, err
	}
	by, err := tx.LockedBy(r.Transmitter.ID, id)
	if err != nil {
		return false, err
	}
	err = tx.PutVerdict(r.Transmitter.ID, id, r.At, by || user.Status == model.UserActive)
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, a.lock(tx, actor, id, r.Reason)
}

// unlockByWord undoes a lock by the word of the same transmitter, and no other.
func (a *Accounts) unlockByWord(tx *store.Tx, actor model.Actor, r Report, id model.UserID) (bool, error) {
	by, err := tx.LockedBy(r.Transmitter.ID, id)
	if err != nil {
		return false, err
	}
	err = tx.PutVerdict(r.Transmitter.ID, id, r.At, false)
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	if err != nil || !by {
		return false, err
	}
	return true, a.unlock(tx, actor, id)
}
