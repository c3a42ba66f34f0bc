// Package upstream signs people in with an account that they have elsewhere: by
// OpenID Connect, OAuth 2.0, SAML 2.0 and LDAP.
//
// A connector speaks with one provider and tells who somebody is there. It never
// knows whose account that is here, keeps nothing between two calls but what can be
// fetched again, and decides nothing. What it has to remember from the way out to
// the way back it hands to its caller.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

// Config is what a connector is made of.
type Config struct {
	ID         model.UpstreamID
	Kind       string
	Connection []byte                  // JSON; see the connection type of the kind
	Secrets    map[string]model.Secret // by the names that Secrets lists for the kind
	// Addresses of ours, which are registered at the provider.
	Callback string // takes the answer, by GET and POST
	Logout   string // where SAML and front-channel logout come
	Metadata string // our SAML metadata, which is our entity ID as well
	// Client sends every request: see internal/fetch. It follows no redirect to
	// another host.
	Client *http.Client
	Dial   Dial // connects to directories, guarded as Client is
	Now    func() time.Time
}

// Connector signs people in at one provider. It is safe for concurrent use.
type Connector interface {
	// Probe asks whether the provider can be spoken to now.
	Probe(ctx context.Context) error
}

// Visitor is a connector to which the browser goes.
type Visitor interface {
	Connector
	// Begin says where the browser is to go, and what Finish has to know then.
	Begin(ctx context.Context, w Wish) (Departure, error)
	// Finish reads what the browser brought back, once: the caller sees to that.
	Finish(ctx context.Context, kept Kept, a Answer) (Person, error)
}

// Directory is a connector that compares passwords which are typed here.
type Directory interface {
	Connector
	// Password returns ErrWrongPassword for an unknown login as for a wrong password.
	Password(ctx context.Context, login string, password model.Secret) (Person, error)
}

// Leaver is a connector that can sign somebody out over there as well.
type Leaver interface {
	// Leave says where the browser goes to end the session there. It comes back to
	// back, if the provider can do that.
	Leave(ctx context.Context, p Stay, back, state string) (Departure, error)
}

// Hearer is a connector that hears of sign-outs over there.
type Hearer interface {
	// Ended reads a logout token (OpenID Connect Back-Channel Logout §2.6), the
	// parameters of a front-channel logout, or a SAML LogoutRequest or LogoutResponse.
	Ended(ctx context.Context, a Answer) (Ending, error)
}

// Describer is a connector with metadata for its provider.
type Describer interface {
	Describe() (body []byte, mediaType string, err error)
}

// Wish is what the sign-in over there should be like.
type Wish struct {
	State     string // of 256 bits; comes back with the answer (RelayState in SAML)
	Prompt    []string
	MaxAge    *int64 // seconds
	LoginHint string
	ACRValues []string
	Locales   []string // ui_locales
}

// Departure is where a browser goes: to Address by GET, or there by a form that it
// posts.
type Departure struct {
	Address string
	Form    url.Values // nil: GET
	Kept    Kept       // what Finish has to know; secret
}

// Kept is what a connector has to remember from Begin until Finish.
type Kept map[string]string

// Answer is what came to the callback.
type Answer struct {
	Method string // GET or POST
	Values url.Values
	Query  string // as it came: SAML signs the text itself
	At     string // the address of ours to which it came
}

// Person is who somebody is over there.
type Person struct {
	Issuer, Subject string
	Claims          map[string]any // at most 64 KiB of JSON, 8 deep; numbers are json.Number
	AuthTime        int64          // 0: not told
	ACR             string
	AMR             []string
	Stay            Stay
	Tokens          *Tokens // nil: there are none
	Message         Message // what said so, if it could be brought again
}

// Message counts once: until ExpiresAt its ID, which is the provider's own, has to be
// remembered. An empty ID need not be.
type Message struct {
	ID        string
	ExpiresAt int64
}

// Stay is a session over there: what ends it, and what an end of it is known by.
type Stay struct {
	Issuer, Subject, Session string
	Hint                     string // an ID token, or a name ID with its format; secret
	ExpiresAt                int64  // when the session ends by itself; 0: not told
}

// Tokens are those of the provider for its own APIs.
type Tokens struct {
	Access, Refresh, Type, Scope string
	ExpiresAt                    int64
}

// Ending is a session that has ended over there: by its ID, or all of a subject's.
// Issuer, Subject and Session are those of a Stay.
type Ending struct {
	Issuer, Subject, Session string
	// Answers is the request of ours (Kept["request"] of Leave) that is answered: then
	// nothing else has ended, and a request that is not the one is nobody's.
	Answers   string
	ID        string    // of the message, which counts once
	ExpiresAt int64     // until then its ID has to be remembered
	Reply     Departure // what is answered; the zero value: nothing
}

// Code says what went wrong, in a word that a person is told of in their language.
type Code string

const (
	Denied        Code = "denied"        // the person, or the provider, said no
	Unavailable   Code = "unavailable"   // no answer in time, or none that makes sense as one
	Misconfigured Code = "misconfigured" // the provider does not know us, or not like this
	Untrusted     Code = "untrusted"     // an answer that does not prove what it says
	Asks          Code = "asks"          // it would have to ask the person, and prompt=none forbids it
)

// Error is why somebody could not be signed in. Reason is for the operator's log: it
// has no secret in it, and is bounded.
type Error struct {
	Code   Code
	Reason string
	// Hearsay says that it was the browser that brought it. Anybody can make that up, so
	// it is no sign of how the provider is.
	Hearsay bool
	cause   error
}

func (e *Error) Error() string { return fmt.Sprintf("upstream: %s: %s", e.Code, e.Reason) }

func (e *Error) Unwrap() error { return e.cause }

// ErrWrongPassword says that a directory does not know a login with that password.
var ErrWrongPassword = errors.New("upstream: wrong login or password")

// ErrUnsupported says that the provider does not offer this, such as to sign out there.
var ErrUnsupported = errors.New("upstream: the provider does not offer this")

// ErrInvalid says which part of a connection is wrong, and why.
type ErrInvalid struct{ Member, Reason string }

func (e ErrInvalid) Error() string { return "upstream: " + e.Member + " " + e.Reason }
