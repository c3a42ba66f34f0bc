package resource

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"
)

const (
	introspectTime = 2 * time.Second // for one answer, with waiting for a turn
	introspectAge  = time.Second     // how old an answer may be
	introspectMost = 16              // requests at a time
	introspectKept = 4096            // tokens whose answer is remembered
)

var errTooMany = errors.New("too many tokens to ask about at once")

// asking is what the issuer is being asked about tokens.
type asking struct {
	mu    sync.Mutex
	known map[key]*asked
	turns chan struct{}
}

// asked is the answer about one token.
type asked struct {
	at     time.Time     // of asking
	done   chan struct{} // closed when what follows is there
	active bool
	err    error
}

func newAsking() asking {
	return asking{known: make(map[key]*asked), turns: make(chan struct{}, introspectMost)}
}

// introspect asks the issuer whether a token is good, RFC 7662 §2. Many who ask
// about the same one are one; an answer is good for a second, also if it is that
// there was none.
func (f *Feed) introspect(ctx context.Context, token string) (active bool, err error) {
	a := f.ask(ctx, token)
	if a == nil {
		f.counts.introspections[2].Add(1)
		return false, errTooMany
	}
	select {
	case <-a.done:
		return a.active, a.err
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// ask returns the answer about a token, or that which is being waited for, or nil
// when there is no room for one more.
func (f *Feed) ask(ctx context.Context, token string) *asked {
	k, now := f.table.key(kindToken, token), f.now()
	f.asking.mu.Lock()
	defer f.asking.mu.Unlock()
	if a := f.asking.known[k]; a != nil && a.good(now) {
		return a
	}
	if len(f.asking.known) >= introspectKept {
		for k, a := range f.asking.known {
			if !a.good(now) {
				delete(f.asking.known, k)
			}
		}
		if len(f.asking.known) >= introspectKept {
			return nil
		}
	}
	a := &asked{at: now, done: make(chan struct{})}
	f.asking.known[k] = a
	// Detached: a caller that gives up must not fail the others.
	go f.answer(context.WithoutCancel(ctx), a, token)
	return a
}

// good reports whether an answer may still be given, or is still to come.
func (a *asked) good(now time.Time) bool {
	select {
	case <-a.done:
		return elapsed(a.at, now) < introspectAge
	default:
		return true
	}
}

func (f *Feed) answer(ctx context.Context, a *asked, token string) {
	ctx, cancel := context.WithTimeout(ctx, introspectTime)
	defer cancel()
	defer close(a.done)
	select {
	case f.asking.turns <- struct{}{}:
		defer func() { <-f.asking.turns }()
		if a.err = ctx.Err(); a.err == nil { // both may have been ready
			a.active, a.err = f.party.introspect(ctx, token)
		}
	case <-ctx.Done():
		a.err = errTooMany
	}
	result := 0
	switch {
	case a.err != nil:
		result = 2
	case !a.active:
		result = 1
	}
	f.counts.introspections[result].Add(1)
}

func (p *party) introspect(ctx context.Context, token string) (active bool, err error) {
	d, err := p.discovered(ctx)
	if err == nil {
		err = d.check("introspection_endpoint", d.Introspection)
	}
	if err != nil {
		return false, err
	}
	var said struct {
		Active *bool `json:"active"`
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	if err := p.post(ctx, d.Introspection, form, &said); err != nil {
		return false, err
	}
	if said.Active == nil { // RFC 7662 §2.2: required
		return false, errors.New("the answer about a token does not say whether it is active")
	}
	return *said.Active, nil
}
