package oauth

import (
	"context"
	"errors"
	"net/url"
	"sync/atomic"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/trace"
)

// Authorization is an authorization request that has passed the checks.
type Authorization struct {
	Request model.Request
	Client  model.Client
	Logo    string // hash of the client's logo, for Registrar.Logo; empty: none is kept
	way     Return
	stored  bool
	decided *decision
	leave   Answer // of a request of our own: where a person goes who does not want to sign in
}

// Refuse turns an error into the answer for this request's client.
func (z Authorization) Refuse(e *Error) Answer { return z.way.Error(e) }

// Cancel is the answer when the person says no, RFC 6749 §4.1.2.1.
func (z Authorization) Cancel() Answer {
	if z.Own() {
		return z.leave
	}
	return z.Refuse(fail(AccessDenied, "The person refused"))
}

// Begin checks an authorization request against the check table. Nothing is
// stored.
//
// Errors: *Error, which says itself whether it is shown or sent to the client.
func (a *Authority) Begin(ctx context.Context, form url.Values) (Authorization, error) {
	ctx, span := trace.Start(ctx, "oauth.Begin")
	defer span.End()
	p, fault := parse(form)
	d := &draft{Authority: a, ctx: ctx, form: form, params: p, fault: fault}
	for _, c := range checks {
		if e := c.run(d); e != nil {
			if d.way.URI != "" {
				e.To = &d.way
			}
			return Authorization{}, e
		}
	}
	now := a.unix()
	return Authorization{
		Request: model.Request{
			ID:        model.RequestID(model.NewID()),
			ClientID:  d.client.ID,
			CreatedAt: now,
			ExpiresAt: now + seconds(a.RequestLife),
			Asked:     d.asked,
		},
		Client:  d.client.Client,
		Logo:    a.Registrar.ShownLogo(d.client),
		decided: &decision{},
		way:     d.way,
	}, nil
}

// crowd is what a node knows of how many requests wait. Anybody can begin any number
// of them, so there is a bound; they are counted now and then, which takes longer
// than to keep one, and so there can be somewhat more.
type crowd struct {
	kept  atomic.Int64
	full  atomic.Int64 // when to count again after there were too many; 0: there were not
	dense atomic.Bool  // more than half of the room is taken
}

const (
	countEvery = 64 // requests
	crowdPause = 5  // seconds
)

// room reports whether one more request of somebody at an address may wait. Those of
// one address leave room for those of others.
func (a *Authority) room(ctx context.Context, address string) error {
	if wait := a.Limits.Begin(address, a.crowd.dense.Load()); wait > 0 {
		return fail(TooManyRequests, "Too many sign-ins were begun at this address: try again later").later(wait)
	}
	now, full := a.unix(), a.crowd.full.Load()
	if full == 0 && a.crowd.kept.Add(1)%countEvery != 0 {
		return nil
	}
	if now >= full || now < full-crowdPause { // or the clock was put back
		waiting := 0
		err := a.Store.View(ctx, func(tx *store.Tx) (err error) {
			if waiting, err = tx.CountRequests(a.Waiting); err != nil {
				return err
			}
			others, err := tx.CountAuthSessions(now+authSessionLife, a.Waiting)
			waiting += others
			if err != nil {
				return err
			}
			devices, err := tx.CountDeviceCodes(a.Waiting)
			waiting += devices
			return err
		})
		if err != nil {
			return inner(err)
		}
		a.crowd.dense.Store(waiting > a.Waiting/2)
		if waiting < a.Waiting {
			a.crowd.full.Store(0)
			return nil
		}
		a.crowd.full.Store(now + crowdPause)
	}
	return fail(TooManyRequests, "Too many sign-ins wait for their person: try again in a minute").later(60)
}

// Keep stores a request that must wait for its person at an address, bound to the
// browser that holds the returned secret.
//
// Errors: *Error, shown.
func (a *Authority) Keep(ctx context.Context, z *Authorization, address string) (browser model.Secret, err error) {
	if err := a.room(ctx, address); err != nil {
		return "", err
	}
	browser = model.NewSecret("")
	z.Request.BrowserHash = browser.Hash()
	// One bounded row that expires: all that a stranger can leave behind.
	err = a.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.InsertRequest(z.Request) })
	if err != nil {
		return "", inner(err)
	}
	z.stored = true
	return browser, nil
}

// errGone says that a request waits no more, or not for this browser.
func errGone() *Error {
	return fail(InvalidRequest, "This sign-in has ended, took too long, or was begun in another browser")
}

// Resume finds a waiting request. It must come from the browser that began it:
// otherwise a link could make one person finish what another began.
//
// Errors: *Error, shown.
func (a *Authority) Resume(ctx context.Context, id model.RequestID, browser model.Secret) (Authorization, error) {
	ctx, span := trace.Start(ctx, "oauth.Resume")
	defer span.End()
	if id == "" || len(id) > 64 || !clean(string(id)) {
		return Authorization{}, errGone()
	}
	var r model.Request
	err := a.Store.Ask(ctx, func(tx *store.Tx) (err error) { r, err = tx.Request(id); return err })
	if errors.Is(err, store.ErrNotFound) || err == nil && (r.ExpiresAt <= a.unix() || !browser.Matches(r.BrowserHash)) {
		return Authorization{}, errGone()
	}
	if err != nil {
		return Authorization{}, inner(err)
	}
	if r.ClientID == "" {
		z := a.own(r)
		z.stored = true
		return z, nil
	}
	c, err := a.Registrar.Client(ctx, r.ClientID)
	if errors.Is(err, store.ErrNotFound) {
		return Authorization{}, fail(UnauthorizedClient, "The application is no longer registered here")
	}
	if err != nil {
		return Authorization{}, inner(err)
	}
	// The client may have changed since: the address is checked again before
	// anything is sent to it.
	if r.Asked.Device == "" && !c.Redirects(r.Asked.RedirectURI) {
		return Authorization{}, fail(InvalidRequest, "The redirect_uri is no longer registered for this client")
	}
	return Authorization{
		Request: r,
		Client:  c.Client,
		Logo:    a.Registrar.ShownLogo(c),
		decided: &decision{},
		way:     a.wayBack(r.Asked),
		stored:  true,
	}, nil
}

// wayBack is where the answer to a stored request goes.
func (a *Authority) wayBack(asked model.Asked) Return {
	if asked.Device != "" {
		return Return{URI: a.BasePath() + PathDevice, Mode: ModeDevice}
	}
	return Return{URI: asked.RedirectURI, Mode: asked.ResponseMode, State: asked.State, Issuer: a.Issuer}
}

// Stored reports whether the request waits in the store.
func (z Authorization) Stored() bool { return z.stored }
