package federation

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/upstream"
)

// ErrStays says that somebody cannot be signed out over there: they did not come from
// a provider, or it has no way for it.
var ErrStays = errors.New("there is nowhere else to sign out")

// Elsewhere returns the provider at which the person of a session, over or not, can
// sign out as well; or ErrStays.
func (f *Federation) Elsewhere(ctx context.Context, session model.SessionID) (Choice, error) {
	e, _, err := f.stays(ctx, session)
	if err != nil {
		return Choice{}, err
	}
	return e.choice(), nil
}

// stays finds where somebody stays who has a session here.
func (f *Federation) stays(ctx context.Context, session model.SessionID) (*entry, model.Stay, error) {
	var list []model.Stay
	err := f.Store.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.StaysOf(session)
		return err
	})
	if err != nil {
		return nil, model.Stay{}, err
	}
	for _, s := range list {
		e, err := f.find(ctx, s.UpstreamID)
		var no *Refusal
		if errors.As(err, &no) {
			continue
		}
		if err != nil {
			return nil, model.Stay{}, err
		}
		if _, ok := e.connector.(upstream.Leaver); ok {
			return e, s, nil
		}
	}
	return nil, model.Stay{}, ErrStays
}

// Leaver is somebody who signs out over there as well.
type Leaver struct {
	Session model.SessionID // over or not
	Back    string          // where the browser comes back to: of ours
	State   string          // comes back with it
}

// Leave says where the browser goes to end the session over there. It returns ErrStays
// and a Refusal.
func (f *Federation) Leave(ctx context.Context, l Leaver) (Departure, error) {
	e, s, err := f.stays(ctx, l.Session)
	if err != nil {
		return Departure{}, err
	}
	stay := upstream.Stay{Issuer: s.Issuer, Subject: s.Subject, Session: s.Session}
	if s.Hint != "" {
		hint, err := f.Keys.Unseal(keys.PurposeStay, s.ID, s.Hint)
		if err != nil {
			return Departure{}, err
		}
		stay.Hint = string(hint)
	}
	release, err := f.call(e)
	if err != nil {
		return Departure{}, err
	}
	defer release()
	within, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	d, err := e.connector.(upstream.Leaver).Leave(within, stay, l.Back, l.State)
	if errors.Is(err, upstream.ErrUnsupported) {
		return Departure{}, ErrStays
	}
	if err != nil {
		return Departure{}, refusal(err)
	}
	if len(d.Kept) == 0 {
		return d, nil
	}
	// Its answer comes to our own address, from where the browser goes on to Back.
	hash := model.Secret(l.State).Hash()
	v := model.Visit{Holder: "leave " + hash, StateHash: hash, BrowserHash: hash, UpstreamID: e.ID, Purpose: model.VisitLeave, ExpiresAt: f.unix() + visitLife}
	if err := f.keep(ctx, v, kept{Kept: d.Kept, Back: withState(l.Back, l.State)}); err != nil {
		return Departure{}, err
	}
	d.Kept = nil
	return d, nil
}

// withState adds the state to the address to which somebody comes back, as providers do
// that go there themselves (OpenID Connect RP-Initiated Logout §3).
func withState(back, state string) string {
	sep := "?"
	if strings.Contains(back, "?") {
		sep = "&"
	}
	return back + sep + url.Values{"state": {state}}.Encode()
}

// hasLeft takes the answer to a request of ours, and says where the browser goes on.
func (f *Federation) hasLeft(ctx context.Context, id model.UpstreamID, a Answer, request string) (Departure, error) {
	hash := model.Secret(StateOf(a)).Hash()
	var v model.Visit
	err := f.Store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		v, err = tx.TakeVisit(hash, hash, id, f.unix())
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && v.Purpose != model.VisitLeave {
		return Departure{}, refuse(Stale, "nobody waits for the answer")
	}
	if err != nil {
		return Departure{}, err
	}
	k, _, err := f.recall(v, a)
	if err != nil {
		return Departure{}, err
	}
	if k.Kept["request"] != request {
		return Departure{}, refuse(Untrusted, "it answers another request")
	}
	return Departure{Address: k.Back}, nil
}

// Ended hears that a session over there is over, and ends those of ours that stand on
// it. A message counts once. What answers Leave ends nothing: it leads back. It returns
// where the browser goes on, or nowhere, and a Refusal.
func (f *Federation) Ended(ctx context.Context, id model.UpstreamID, a Answer, address string) (Departure, error) {
	e, err := f.find(ctx, id)
	if err != nil {
		return Departure{}, err
	}
	hearer, ok := e.connector.(upstream.Hearer)
	if !ok {
		return Departure{}, refuse(Unknown, quoted(string(id))+" does not tell of such things")
	}
	release, err := f.call(e)
	if err != nil {
		return Departure{}, err
	}
	defer release()
	within, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	end, err := hearer.Ended(within, a)
	if err != nil {
		return Departure{}, f.refused(ctx, id, address, refusal(err))
	}
	if end.Answers != "" {
		return f.hasLeft(ctx, id, a, end.Answers)
	}
	actor := model.Actor{Kind: model.ActorUpstream, ID: string(id), Address: address}
	err = f.Store.Upkeep(ctx, func(tx *store.Tx) error { return f.endStays(tx, actor, id, end) })
	if errors.Is(err, store.ErrConflict) {
		err = refuse(Stale, "the message was taken before")
	}
	if err != nil {
		return Departure{}, err
	}
	return end.Reply, nil
}

// endStays ends the sessions of ours that stand on what is over. What somebody has begun
// to prove by it is forgotten.
func (f *Federation) endStays(tx *store.Tx, actor model.Actor, id model.UpstreamID, end upstream.Ending) error {
	if end.ID != "" {
		if err := tx.TakeMessage(id, model.Secret(end.ID).Hash(), end.ExpiresAt); err != nil {
			return err
		}
	}
	for after := ""; ; {
		list, err := tx.StaysAt(id, end.Subject, end.Session, after)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, s := range list {
			if err := f.endStay(tx, actor, s, end); err != nil {
				return err
			}
			after = s.ID
		}
	}
}

func (f *Federation) endStay(tx *store.Tx, actor model.Actor, s model.Stay, end upstream.Ending) error {
	if end.Issuer != "" && end.Issuer != s.Issuer {
		return nil
	}
	if s.SessionID == "" {
		if err := tx.DeleteSignIn(s.Holder); err != nil {
			return err
		}
	} else if err := f.endOurs(tx, actor, s.SessionID); err != nil {
		return err
	}
	return tx.DeleteStay(s.ID)
}

func (f *Federation) endOurs(tx *store.Tx, actor model.Actor, id model.SessionID) error {
	s, err := tx.Session(id)
	if err == nil {
		err = tx.EndSession(id, store.NewEnding(model.CauseUpstream, f.unix()))
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil // it is over already
	}
	if err != nil {
		return err
	}
	return tx.Record(model.Event{Actor: actor, Action: "session.end", UserID: s.UserID, Detail: "session=" + string(id)})
}

// ErrPlain says that a provider needs no description of us.
var ErrPlain = errors.New("there is no metadata for this provider")

// Describe returns our metadata for a provider. It returns ErrPlain and a Refusal.
func (f *Federation) Describe(ctx context.Context, id model.UpstreamID) (body []byte, mediaType string, err error) {
	e, err := f.find(ctx, id)
	if err != nil {
		return nil, "", err
	}
	d, ok := e.connector.(upstream.Describer)
	if !ok {
		return nil, "", ErrPlain
	}
	return d.Describe()
}
