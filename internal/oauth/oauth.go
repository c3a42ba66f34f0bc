// Package oauth is the protocol: OAuth 2.0 and OpenID Connect as rules over
// stored facts. It owns the authentication of clients, authorization requests,
// consents, codes, grants, tokens, and the errors that they end in.
//
// A sign-in runs Begin → Next → (Authenticated, Approve) → Issue; a program
// runs Token, Introspect, Revoke, UserInfo. Every rule takes parsed input and
// returns a value or an *Error; none of them writes HTTP, shows HTML, knows
// SQL, or knows how people prove who they are: a session is handed in.
package oauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/limit"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

// Config says what an Authority works with. Store, Keys, Registrar, Limits and
// Issuer are required; a zero life takes the default given beside it.
type Config struct {
	Store     *store.Store
	Keys      *keys.Ring
	Registrar *registration.Registrar // who is known to the server
	Limits    *limit.Limits           // how much may be asked
	Issuer    string                  // https URL without query or fragment, RFC 8414 §2
	Now       func() time.Time        // nil: time.Now
	Logger    *slog.Logger            // nil: slog.Default
	Fetch     *http.Client            // for what clients name by URL; nil: one that reaches public addresses only

	ACRValues []string // how people can prove who they are here ("acr"), the weakest first: each satisfies those before it
	// Stand says what a session is worth to a client that takes those sign-in methods;
	// nil: its acr.
	Stand func(ctx context.Context, s model.Session, methods []string) (Standing, error)

	AccessAlgorithm jwa.Algorithm // of access tokens; ES256
	AccessLife      time.Duration // of access tokens; 5 minutes
	IDLife          time.Duration // of ID tokens; 1 hour
	CodeLife        time.Duration // of codes; 60 seconds, which is also the most
	RequestLife     time.Duration // of a sign-in that waits for its person; 1 hour
	RefreshIdle     time.Duration // an unused refresh token dies; 14 days
	RefreshLife     time.Duration // a family of refresh tokens dies; 90 days
	RefreshRace     time.Duration // a predecessor is handed its successor again; 20 seconds
	Waiting         int           // how many sign-ins wait for their person at once; 100,000

	// OfflineAccess says what becomes of a grant with offline_access when its
	// session ends, where its client does not: OfflineSurvives, the default, or
	// OfflineEnds.
	OfflineAccess string

	UILocales []string // languages of the pages (BCP 47)

	Issued func(grant string, to model.Client) // is told of each answer of the token endpoint that has tokens; nil: nobody is

	SignUp bool // strangers can make themselves an account: prompt=create is supported
}

// Authority applies the rules. It is safe for concurrent use.
type Authority struct {
	Config
	refreshKey []byte
	subjectKey []byte
	stateKey   []byte
	deviceKey  []byte
	access     *jwt.Verifier[accessClaims] // of our own access tokens
	hints      *jwt.Verifier[idClaims]     // of ID tokens of ours that clients send back
	crowd      crowd
	lengths    lengths
}

// Check returns what makes no sense in the lives of tokens, as New does, in a sentence
// that names the setting.
func (c Config) Check() error { return c.settle() }

// settle fills in and checks how long things live, and what becomes of grants.
func (c *Config) settle() error {
	for _, d := range []struct {
		name     string // the setting, where there is one
		value    *time.Duration
		standard time.Duration
		most     time.Duration
	}{
		{"access-token-life", &c.AccessLife, 5 * time.Minute, model.MaxAccessLife},
		{"id-token-life", &c.IDLife, time.Hour, 24 * time.Hour},
		{"the life of a code", &c.CodeLife, time.Minute, time.Minute}, // RFC 9700 §2.1.1 and FAPI 2.0 §5.3.2.1: at most 60 s
		{"the life of a request", &c.RequestLife, time.Hour, 24 * time.Hour},
		{"refresh-token-idle", &c.RefreshIdle, 14 * 24 * time.Hour, 3650 * 24 * time.Hour},
		{"refresh-token-life", &c.RefreshLife, 90 * 24 * time.Hour, 3650 * 24 * time.Hour},
		{"refresh-race", &c.RefreshRace, 20 * time.Second, 5 * time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
		if *d.value < time.Second || *d.value > d.most {
			return fmt.Errorf("%s is %v and must be from a second to %v", d.name, *d.value, d.most)
		}
	}
	if p := c.OfflineAccess; p != "" && p != model.OfflineSurvives && p != model.OfflineEnds {
		return fmt.Errorf("offline-access must be %s or %s", model.OfflineSurvives, model.OfflineEnds)
	}
	return nil
}

// New checks the configuration and returns an Authority.
func New(c Config) (*Authority, error) {
	if c.Store == nil || c.Keys == nil || c.Registrar == nil || c.Limits == nil {
		return nil, errors.New("oauth: Store, Keys, Registrar and Limits are required")
	}
	if err := CheckIssuer(c.Issuer); err != nil {
		return nil, fmt.Errorf("the issuer %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Fetch == nil {
		c.Fetch = fetch.New(fetch.Config{})
	}
	if c.Waiting == 0 {
		c.Waiting = 100_000
	}
	if c.AccessAlgorithm == "" {
		c.AccessAlgorithm = jwa.ES256
	}
	if err := c.settle(); err != nil {
		return nil, err
	}
	a := &Authority{
		Config:     c,
		refreshKey: c.Keys.Derive("refresh token"), subjectKey: c.Keys.Derive("pairwise subject"), stateKey: c.Keys.Derive("browser state"),
		deviceKey: c.Keys.Derive("device code"),
	}
	var err error
	a.access, err = jwt.NewVerifier[accessClaims](c.Keys, jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{c.AccessAlgorithm},
		Types:      []string{accessTokenType},
		Issuers:    []string{c.Issuer},
		CacheSize:  8192, // a token comes again: with each question of an API, and each visit to userinfo
		Now:        c.Now,
	})
	if err != nil {
		return nil, err
	}
	a.hints, err = jwt.NewVerifier[idClaims](c.Keys, jwt.VerifyOptions{
		Algorithms:       registration.IDAlgorithms,
		Types:            []string{idTokenType},
		Issuers:          []string{c.Issuer},
		IgnoreExpiration: true, // an expired ID token is a good hint
		Leeway:           model.Leeway,
		Now:              c.Now,
	})
	return a, err
}

func (a *Authority) unix() int64 { return a.Now().Unix() }

func (a *Authority) ending(cause model.Cause) store.Ending { return store.NewEnding(cause, a.unix()) }

// update runs fn in a transaction and turns what the store says into errors of
// the protocol, so that no rule has to.
func (a *Authority) update(ctx context.Context, fn func(*store.Tx) error) error {
	return inner(a.Store.Update(ctx, fn))
}

func (a *Authority) view(ctx context.Context, fn func(*store.Tx) error) error {
	return inner(a.Store.View(ctx, fn))
}

// ask is view for one question.
func (a *Authority) ask(ctx context.Context, fn func(*store.Tx) error) error {
	return inner(a.Store.Ask(ctx, fn))
}

// inner is Unforeseen for what may be nil, or an *Error already.
func inner(err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return Unforeseen(err)
}

// Unforeseen hides an error that no rule foresaw behind server_error; what a client is
// told by the package registration passes. Where nothing was changed and later it may
// work, it says so. It returns an *Error as it is.
func Unforeseen(err error) *Error {
	var e *Error
	var unknown *registration.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &unknown):
		return &Error{Code: Code(unknown.Code), Description: unknown.Description, RetryAfter: unknown.RetryAfter, cause: unknown.Unwrap()}
	case errors.Is(err, store.ErrBusy):
		return &Error{Code: TooManyRequests, Description: "The server is busy: try again in a moment", Busy: true, RetryAfter: 1, cause: err}
	case errors.Is(err, store.ErrAway), errors.Is(err, store.ErrDoubt):
		return errDatabase(err)
	}
	return &Error{Code: ServerError, Description: "The server could not do this now; it has been logged", cause: err}
}

// errDatabase tells of a database that is away: nothing was changed, or nobody knows.
func errDatabase(cause error) *Error {
	e := fail(TooManyRequests, "The server cannot reach its database now: try again in a moment")
	if errors.Is(cause, store.ErrDoubt) {
		e = fail(ServerError, "The server lost its database while it did this, and does not know whether it was done")
	}
	e.Busy, e.RetryAfter, e.cause = true, 5, cause
	return e
}
