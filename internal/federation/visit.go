package federation

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/upstream"
)

const (
	// visitLife is how long somebody may stay at a provider, in seconds: to find a
	// device, or a lost password.
	visitLife = 15 * 60
	// VisitTime is how long the cookie of a visit is good for.
	VisitTime = visitLife * time.Second
	// callTime bounds what a provider takes to answer, in all requests together.
	callTime = 10 * time.Second
	// maxAnswer bounds what a provider may send with the browser, in bytes.
	maxAnswer = 256 << 10
	// maxKept bounds what a connector has to remember, in bytes.
	maxKept = 32 << 10
)

// Departing is somebody who is about to go to a provider.
type Departing struct {
	Upstream model.UpstreamID
	Allowed  []string // the providers that the client takes; nil: all
	Holder   string   // under which is noted what is proven
	Wish     Wish     // its State is set here
	Remember bool     // the longer life is asked for

	// Connect is the session in which somebody connects an account that they have
	// elsewhere; they have just proven who they are. Empty: they sign in.
	Connect model.SessionID
}

// Leaving is a browser on its way to a provider.
type Leaving struct {
	Departure
	Cookie Cookie
}

// Cookie binds a visit to the browser that went. It is good for VisitTime.
type Cookie struct {
	Name  string // "visit_" and 8 characters, which tell visits apart; the door adds its prefix
	Value model.Secret
}

// kept is what has to be known when the browser comes back.
type kept struct {
	Kept     upstream.Kept `json:"kept"`
	Back     string        `json:"back,omitempty"` // where somebody comes to who has left
	MaxAge   *int64        `json:"max_age,omitempty"`
	Remember bool          `json:"remember,omitempty"`
}

// Begin sends a browser to a provider. It takes the place of another visit under the
// same holder. It returns a Refusal, and account.ErrNoSession.
func (f *Federation) Begin(ctx context.Context, d Departing) (Leaving, error) {
	e, err := f.find(ctx, d.Upstream)
	if err != nil {
		return Leaving{}, err
	}
	visitor, ok := e.connector.(upstream.Visitor)
	if !ok || d.Connect == "" && !allowed(d.Allowed, e.ID) {
		return Leaving{}, refuse(Unknown, quoted(string(d.Upstream))+" is not to be visited here")
	}
	v := model.Visit{Holder: d.Holder, UpstreamID: e.ID, Purpose: model.VisitSignIn, SessionID: d.Connect, ExpiresAt: f.unix() + visitLife}
	if d.Connect != "" {
		s, _, err := f.Accounts.Session(ctx, d.Connect)
		if err != nil {
			return Leaving{}, err
		}
		v.Purpose, v.UserID = model.VisitConnect, s.UserID
	}
	state, browser := model.NewSecret(""), model.NewSecret("")
	v.StateHash, v.BrowserHash = state.Hash(), browser.Hash()
	d.Wish.State = state.Reveal()
	leaving, err := f.depart(ctx, e, visitor, d.Wish)
	if err != nil {
		return Leaving{}, err
	}
	err = f.keep(ctx, v, kept{Kept: leaving.Kept, MaxAge: d.Wish.MaxAge, Remember: d.Remember})
	if err != nil {
		return Leaving{}, err
	}
	leaving.Kept = nil
	return Leaving{leaving, Cookie{cookieName(state.Reveal()), browser}}, nil
}

// keep stores a visit with what has to be known when the browser comes back.
func (f *Federation) keep(ctx context.Context, v model.Visit, k kept) error {
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if len(text) > maxKept {
		return refuse(Misconfigured, "the connector has too much to remember")
	}
	if v.Kept, err = f.Keys.Seal(keys.PurposeVisit, v.StateHash, text); err != nil {
		return err
	}
	return f.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.PutVisit(v) })
}

// depart asks a connector where the browser goes.
func (f *Federation) depart(ctx context.Context, e *entry, v upstream.Visitor, w Wish) (Departure, error) {
	release, err := f.call(e)
	if err != nil {
		return Departure{}, err
	}
	defer release()
	if err := f.admit(ctx, e); err != nil {
		return Departure{}, err
	}
	within, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	d, err := v.Begin(within, w)
	if err != nil {
		r := refusal(err)
		if ctx.Err() == nil && r.Code == Unavailable { // not because the browser has gone
			f.fared(ctx, e, r)
		}
		return Departure{}, r
	}
	return d, nil
}

// cookieName is of the cookie of a visit.
func cookieName(state string) string { return "visit_" + model.Secret(state).Hash()[:8] }

// StateOf is the state that comes with an answer, of whichever protocol; empty: none.
func StateOf(a Answer) string {
	for _, name := range []string{"state", "RelayState"} { // RFC 6749 §4.1.2; SAML V2.0 Bindings §3.4.3
		if state := a.Values.Get(name); state != "" && len(state) <= 128 {
			return state
		}
	}
	return ""
}

// CookieFor names the cookie by which the browser of an answer is known.
func CookieFor(a Answer) string { return cookieName(StateOf(a)) }

// Keep keeps an answer that came by a POST from another site, which brings no cookie,
// until the browser comes back with its state alone. The first one counts; whether it
// is that of the right browser is seen then. It returns a Refusal.
func (f *Federation) Keep(ctx context.Context, id model.UpstreamID, a Answer) (state string, err error) {
	if state = StateOf(a); state == "" {
		return "", refuse(Stale, "the answer has no state")
	}
	text, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	if len(text) > maxAnswer {
		return "", refuse(Untrusted, "the answer has more than "+strconv.Itoa(maxAnswer)+" bytes")
	}
	hash := model.Secret(state).Hash()
	sealed, err := f.Keys.Seal(keys.PurposeVisit, hash, text)
	if err != nil {
		return "", err
	}
	err = f.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.KeepAnswer(hash, id, f.unix(), sealed) })
	if errors.Is(err, store.ErrNotFound) {
		return "", refuse(Stale, "nobody waits for the answer, or there is one already")
	}
	return state, err
}

// Return is a browser that comes back from a provider.
type Return struct {
	Upstream model.UpstreamID
	Answer   Answer       // with the state; one that was kept takes its place
	Browser  model.Secret // the cookie named CookieFor
	Address  string       // network address
}

// Finish reads what a browser brings back, once, and says what comes of it. It returns
// a Refusal; the Outcome says even then where the visit came from, if it is known.
func (f *Federation) Finish(ctx context.Context, r Return) (_ Outcome, err error) {
	e, err := f.find(ctx, r.Upstream)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Upstream: e.choice()}
	state := model.Secret(StateOf(r.Answer)).Hash()
	var v model.Visit
	err = f.Store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		v, err = tx.TakeVisit(state, r.Browser.Hash(), e.ID, f.unix())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return out, refuse(Stale, "nobody waits for the answer in this browser")
	}
	if err != nil {
		return out, err
	}
	if v.Purpose == model.VisitLeave {
		return out, refuse(Stale, "it is no sign-in that was begun")
	}
	out.Holder, out.Connecting = v.Holder, v.Purpose == model.VisitConnect
	if !out.Connecting {
		defer func() { f.tried(err) }()
	}
	k, answer, err := f.recall(v, r.Answer)
	if err != nil {
		return out, err
	}
	p, err := f.finish(ctx, e, k, answer)
	if err == nil {
		err = f.tooOld(k, p)
	}
	if err == nil {
		err = checkPerson(p)
	}
	if err == nil {
		c := coming{entry: e, person: p, holder: v.Holder, address: r.Address, remember: k.Remember, user: v.UserID, session: v.SessionID}
		return f.settle(ctx, c, out)
	}
	var no *Refusal
	if errors.As(err, &no) {
		err = f.refused(ctx, e.ID, r.Address, no)
	}
	return out, err
}

// recall unseals what was kept of a visit.
func (f *Federation) recall(v model.Visit, a Answer) (k kept, answer Answer, err error) {
	text, err := f.Keys.Unseal(keys.PurposeVisit, v.StateHash, v.Kept)
	if err != nil {
		return k, a, err
	}
	if err := json.Unmarshal(text, &k); err != nil {
		return k, a, err
	}
	if v.Answer == "" {
		return k, a, nil
	}
	if text, err = f.Keys.Unseal(keys.PurposeVisit, v.StateHash, v.Answer); err != nil {
		return k, a, err
	}
	return k, answer, json.Unmarshal(text, &answer)
}

func (f *Federation) finish(ctx context.Context, e *entry, k kept, a Answer) (upstream.Person, error) {
	release, err := f.call(e)
	if err != nil {
		return upstream.Person{}, err
	}
	defer release()
	// The answer is used up: it is read to the end, also when the browser is gone.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	p, err := e.connector.(upstream.Visitor).Finish(within, k.Kept, a)
	if err != nil {
		r := refusal(err)
		f.fared(ctx, e, r)
		return upstream.Person{}, r
	}
	f.fared(ctx, e, nil)
	return p, nil
}

// tooOld refuses a sign-in that is older than was asked for: a provider need not heed
// that it was (OpenID Connect Core §3.1.2.1).
func (f *Federation) tooOld(k kept, p upstream.Person) error {
	if k.MaxAge == nil || p.AuthTime == 0 || f.unix()-p.AuthTime <= *k.MaxAge+int64(model.Leeway/time.Second) {
		return nil
	}
	return refuse(TooOld, "the sign-in is older than was asked for")
}

// The bounds of who somebody is over there. Issuer and subject stand in an index.
const (
	maxIssuer  = 512
	maxSubject = 1024
	maxClaims  = 64 << 10 // bytes of JSON
)

func checkPerson(p upstream.Person) error {
	text, err := json.Marshal(p.Claims)
	switch {
	case p.Subject == "" || p.Issuer == "":
		return refuse(Untrusted, "the answer does not say of whom it is")
	case len(p.Subject) > maxSubject || len(p.Issuer) > maxIssuer:
		return refuse(Untrusted, "the answer has a subject or an issuer that is too long")
	case err != nil || len(text) > maxClaims:
		return refuse(Untrusted, "the answer has too many claims")
	}
	return nil
}
