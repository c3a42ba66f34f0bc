package oauth

import (
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
)

// Whoever asks too often is refused before anything is done for them: RFC 6585 §4,
// and RFC 9110 §10.2.3 for when to try again. Each is counted by what is known of
// them: a stranger by the address; who has proven who they are by that alone.

// Admit counts a request of somebody at an address, of whom nothing is known yet.
//
// Errors: *Error, shown.
func (a *Authority) Admit(address string) error {
	if wait := a.Limits.Visit(address); wait > 0 {
		return fail(TooManyRequests, "Too many requests came from this address: try again later").later(wait)
	}
	return nil
}

// AdmitPermit counts a request with an access token of ours, once it is known to be
// good.
//
// Errors: *Error.
func (a *Authority) AdmitPermit(p Permit, address string) error {
	if p.User != "" {
		return a.admitUser(p.User, p.Client.ID, address)
	}
	return a.admitClient(p.Client.ID, address)
}

// AdmitPerson counts a visit of somebody who is signed in to a page of theirs.
//
// Errors: *Error, shown.
func (a *Authority) AdmitPerson(id model.UserID, address string) error {
	return a.admitUser(id, "", address)
}

// admitUser counts what a person does through each application by itself: none can
// use up what they have at another, or here.
func (a *Authority) admitUser(id model.UserID, through model.ClientID, address string) error {
	if wait := a.Limits.Account(id, through, address); wait > 0 {
		return fail(TooManyRequests, "Too many requests of this account: try again later").later(wait)
	}
	return nil
}

func (a *Authority) admitClient(id model.ClientID, address string) error {
	if wait := a.Limits.Client(id, address); wait > 0 {
		return fail(TooManyRequests, "Too many requests of this client: try again later").later(wait)
	}
	return nil
}

// admitCaller counts a client that has authenticated. One that proves nothing stays
// counted by its address: else anybody could use up its share in its name.
func (a *Authority) admitCaller(c *registration.Client, address string) *Error {
	if c.Public() {
		return nil
	}
	if err := a.admitClient(c.ID, address); err != nil {
		return inner(err).(*Error)
	}
	return nil
}

// later says when it may be tried again, in seconds.
func (e *Error) later(wait int64) *Error {
	e.RetryAfter = wait
	return e
}
