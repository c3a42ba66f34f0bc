package tour

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// Bob's program calls the API so often.
	callEvery = 50 * time.Millisecond
	// The operator looks more closely at when the first call is refused, and so long.
	probeEvery = 10 * time.Millisecond
	probeFor   = 3 * time.Second
	// So many windows may be open.
	maxWindows = 16
)

// bob is a person at work in another window: a program that has signed in with his
// password and calls the API all the time. There is one of him, whoever watches.
type bob struct {
	config  Config
	windows chan struct{} // one for each that is open

	mu      sync.Mutex
	grant   grant // none: he is not signed in
	calls   int
	locked  bool
	lock    times // of the last lock
	refusal *refusal
	version int // counts changes of what is told
}

// times are moments of one lock.
type times struct {
	asked, acknowledged time.Time
}

// refusal is how Bob's work ended.
type refusal struct {
	answer
	at time.Time
}

// standing is what windows are told of Bob.
type standing struct {
	SignedIn bool     `json:"signed_in"`
	Locked   bool     `json:"locked"`
	Status   int      `json:"status,omitempty"` // of the refusal
	Says     string   `json:"says,omitempty"`
	After    *float64 `json:"after,omitempty"` // milliseconds from the acknowledgement to the first refusal
	From     *float64 `json:"from,omitempty"`  // and from the request to lock
}

func newBob(c Config) *bob { return &bob{config: c, windows: make(chan struct{}, maxWindows)} }

// errNoCall says that Bob has no token to call with.
var errNoCall = errors.New("bob is not signed in")

// signInNow lets Bob sign in as his program does: with his password, at the API.
func (b *bob) signInNow(ctx context.Context) (answer, error) {
	g, a, err := b.config.post(ctx, "/login", map[string]any{"login": b.config.Bob.Login, "password": b.config.Bob.Password, "role": "reader"})
	if err != nil || a.Status != http.StatusOK {
		return a, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grant, b.refusal, b.lock, b.locked = g, nil, times{}, false
	b.version++
	return a, nil
}

// call asks the API once with Bob's token. A token that is merely old is renewed.
func (b *bob) call(ctx context.Context) (n int, a answer, err error) {
	b.mu.Lock()
	g := b.grant
	b.mu.Unlock()
	if g.Access == "" {
		return 0, a, errNoCall
	}
	if a, err = b.config.readNotes(ctx, g.Access); err != nil {
		return 0, a, err
	}
	at := time.Now() // measured, so by the clock that cannot be set
	if a.Status == http.StatusUnauthorized {
		if next, renewed, err := b.config.post(ctx, "/renew", map[string]any{"refresh_token": g.Refresh}); err == nil && renewed.Status == http.StatusOK {
			return b.saw(g, next, answer{Status: http.StatusOK}, at)
		}
	}
	return b.saw(g, g, a, at)
}

// saw notes the answer to a call with a grant, and which grant comes next. Of many
// refusals the first counts.
func (b *bob) saw(used, next grant, a answer, at time.Time) (int, answer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.grant != used { // he has signed in anew, or another call was first
		return b.calls, a, nil
	}
	b.calls++
	b.grant = next
	if a.refused() {
		b.grant, b.refusal = grant{}, &refusal{a, at}
		b.version++
	}
	return b.calls, a, nil
}

// told notes what became of the account.
func (b *bob) told(locked bool, l times) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.locked, b.lock = locked, l
	if !locked {
		b.refusal = nil
	}
	b.version++
}

// learn notes whether the account is locked, as the server says: it may have been
// locked elsewhere.
func (b *bob) learn(locked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.locked != locked {
		b.locked = locked
		b.version++
	}
}

// stands returns what is told of Bob, and the version of it.
func (b *bob) stands() (standing, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := standing{SignedIn: b.grant.Access != "", Locked: b.locked}
	if r := b.refusal; r != nil {
		s.Status, s.Says = r.Status, r.Says
		if !b.lock.asked.IsZero() && !r.at.Before(b.lock.asked) {
			// The feed may be faster than the acknowledgement.
			s.After, s.From = milliseconds(max(0, r.at.Sub(b.lock.acknowledged))), milliseconds(r.at.Sub(b.lock.asked))
		}
	}
	return s, b.version
}

func milliseconds(d time.Duration) *float64 {
	ms := float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
	return &ms
}

// bobSignsIn answers the button "Bob signs in".
func (t *Tour) bobSignsIn(w http.ResponseWriter, r *http.Request) {
	a, err := t.bob.signInNow(r.Context())
	switch {
	case err != nil:
		t.oops(w, r, err)
	case a.Status == http.StatusForbidden:
		t.bob.learn(true)
		http.Redirect(w, r, back(r), http.StatusSeeOther)
	case a.Status != http.StatusOK:
		t.message(w, r, notice{http.StatusBadGateway, "Bob could not sign in", fmt.Sprintf("The API answered %d: %s.", a.Status, a.Says)})
	default:
		http.Redirect(w, r, back(r), http.StatusSeeOther)
	}
}

// back is the page that a form of Bob's was on.
func back(r *http.Request) string {
	if r.FormValue("from") == "window" {
		return "/bob"
	}
	return "/lock"
}

// lock does what the operator's button says, and watches Bob's calls until one is
// refused.
func (t *Tour) lock(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	who, err := t.operator.find(ctx, t.config.Bob.Login)
	if err != nil {
		t.oops(w, r, err)
		return
	}
	asked := time.Now()
	if err := t.operator.lock(ctx, who.ID); err != nil {
		t.oops(w, r, err)
		return
	}
	t.bob.told(true, times{asked, time.Now()})
	if t.bob.untilRefused(ctx) {
		t.did(w, r, sceneLock)
	}
	http.Redirect(w, r, "/lock", http.StatusSeeOther)
}

// untilRefused calls as Bob until a call is refused, and reports whether one was.
func (b *bob) untilRefused(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probeFor)
	defer cancel()
	for ctx.Err() == nil {
		if _, _, err := b.call(ctx); errors.Is(err, errNoCall) {
			break
		}
		pause(ctx, probeEvery)
	}
	s, _ := b.stands()
	return s.After != nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// unlock lets Bob in again: he signs in anew.
func (t *Tour) unlock(w http.ResponseWriter, r *http.Request) {
	who, err := t.operator.find(r.Context(), t.config.Bob.Login)
	if err == nil {
		err = t.operator.unlock(r.Context(), who.ID)
	}
	if err != nil {
		t.oops(w, r, err)
		return
	}
	t.bob.told(false, times{})
	http.Redirect(w, r, "/lock", http.StatusSeeOther)
}

// watch streams Bob's calls to a window, and whatever changes about him: server-sent
// events, https://html.spec.whatwg.org/multipage/server-sent-events.html. The calls
// are made here and not in the window, because browsers slow down what is behind
// another window.
func (t *Tour) watch(w http.ResponseWriter, r *http.Request) {
	select {
	case t.bob.windows <- struct{}{}:
		defer func() { <-t.bob.windows }()
	default:
		t.message(w, r, notice{http.StatusServiceUnavailable, "Too many windows", "Close some of Bob's windows."})
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-t.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	out := http.NewResponseController(w)
	// Errors: a writer that knows no deadlines has none to lift.
	out.SetReadDeadline(time.Time{})
	out.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	known := -1
	for ctx.Err() == nil {
		if s, version := t.bob.stands(); version != known {
			known = version
			if send(w, out, "standing", s) != nil {
				return
			}
		}
		n, a, err := t.bob.call(ctx)
		switch {
		case errors.Is(err, errNoCall):
		case err != nil && ctx.Err() == nil:
			t.log.WarnContext(ctx, "Bob's call failed", "error", err)
		case err == nil:
			if send(w, out, "call", map[string]int{"n": n, "status": a.Status}) != nil {
				return
			}
		}
		pause(ctx, callEvery)
	}
}

// send writes one event.
func send(w http.ResponseWriter, out *http.ResponseController, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("tour: %w", err)
	}
	if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data); err != nil {
		return err
	}
	return out.Flush()
}
