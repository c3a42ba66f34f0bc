// Package resource is the API's side of OAuth 2.0: middleware for net/http that
// lets a request through if it carries an access token (RFC 9068) of a trusted
// issuer, for this API, with the scopes that a route wants.
//
// Tokens are verified here, without a call to the issuer; its keys are fetched
// once and kept. With a Feed, what the issuer revokes is known here as well, and
// a session that ended is refused within a second, still without a call. A
// refusal says by its status what the client should do: 401 a new token helps,
// 403 no token of this person does, 503 try later.
//
// The package never looks for a token anywhere but in the Authorization header,
// never reads a request's body, and never answers 401 for a fault of its own.
package resource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// Config says whose tokens a Guard lets through.
type Config struct {
	Issuer   string // "iss" of the tokens, exactly; required
	Audience string // one of "aud" of the tokens: the name of this API; required
	// Keys of the issuer. Default: found through its metadata when the first
	// token arrives.
	Keys jwk.Source
	// Others are further issuers whose tokens are as good.
	Others []Issuer

	// Algorithms of signatures. Default: ES256, RS256, PS256, EdDSA and Ed25519.
	Algorithms []jwa.Algorithm
	Leeway     time.Duration // for clocks that differ; default 10 s, negative: none

	// CacheSize is how many tokens of each issuer are remembered, so that one that
	// comes again costs no signature; all that may have changed is checked each time,
	// and so is the feed. Default 4096, which is a few megabytes at most; negative:
	// none.
	CacheSize int

	// Feed tells what Issuer has revoked. Without one, a token is good until it
	// expires. Run it beside the server.
	Feed  *Feed
	Stale Policy // while a feed is cut off; default Deny

	Realm    string   // in challenges; default: Audience
	Metadata Metadata // for clients, RFC 9728

	HTTP   *http.Client     // for finding keys; default: 10 s for a request
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // refusals at debug level, own faults as warnings; default: none
}

// Issuer is an authorization server whose tokens are accepted.
type Issuer struct {
	URL  string     // its "iss", exactly
	Keys jwk.Source // default: found through its metadata
	Feed *Feed      // what it has revoked; default: nobody knows
}

// Guard lets requests with good access tokens through. It is safe for use by
// several goroutines.
type Guard struct {
	issuers   map[string]*issuer
	only      *issuer // if there is but one
	stale     Policy
	described described
	challenge string // what every challenge begins with
	leeway    time.Duration
	now       func() time.Time
	log       *slog.Logger
}

// issuer verifies the tokens of one issuer.
type issuer struct {
	verifier *jwt.Verifier[AccessToken]
	keys     jwk.Source
	feed     *Feed // nil: none
}

// New checks c and returns a Guard. It does no I/O.
func New(c Config) (*Guard, error) {
	g, err := build(c)
	if err != nil {
		return nil, fmt.Errorf("resource: %w", err)
	}
	return g, nil
}

func build(c Config) (*Guard, error) {
	if c.Audience == "" {
		return nil, errors.New("Audience is missing: tokens for other APIs would be accepted")
	}
	if c.Realm == "" {
		c.Realm = c.Audience
	}
	if !quotable(c.Realm) {
		return nil, errors.New("Realm must be printable ASCII without quotes and backslashes")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Leeway == 0 {
		c.Leeway = 10 * time.Second
	}
	if c.CacheSize == 0 {
		c.CacheSize = 4096
	}
	c.CacheSize = max(c.CacheSize, 0)
	g := &Guard{issuers: make(map[string]*issuer), stale: c.Stale, leeway: max(c.Leeway, 0), now: c.Now, log: c.Logger}
	if err := g.trust(c); err != nil {
		return nil, err
	}
	urls := []string{c.Issuer}
	for _, o := range c.Others {
		urls = append(urls, o.URL)
	}
	var err error
	if g.described, err = describe(c.Metadata, c.Audience, urls); err != nil {
		return nil, fmt.Errorf("Metadata.Resource: %w", err)
	}
	g.challenge = fmt.Sprintf(`Bearer realm="%s"`, c.Realm)
	if g.described.url != "" { // RFC 9728 §5.1
		g.challenge += fmt.Sprintf(`, resource_metadata="%s"`, g.described.url)
	}
	return g, nil
}

// trust makes a verifier for each issuer.
func (g *Guard) trust(c Config) error {
	if len(c.Algorithms) == 0 {
		c.Algorithms = []jwa.Algorithm{jwa.ES256, jwa.RS256, jwa.PS256, jwa.EdDSA, jwa.Ed25519}
	}
	for _, alg := range c.Algorithms {
		// RFC 9068 §4: signed. A shared secret would let every API that
		// verifies tokens make them.
		if row, ok := alg.Signature(); !ok || row.KeyType == jwa.Oct {
			return fmt.Errorf("Algorithms: %q is not an algorithm of public keys", alg)
		}
	}
	web := withoutRedirects(c.HTTP)
	for _, i := range append([]Issuer{{URL: c.Issuer, Keys: c.Keys, Feed: c.Feed}}, c.Others...) {
		if err := checkURL(i.URL); err != nil || strings.Contains(i.URL, "?") {
			return fmt.Errorf("Issuer %q must be an https URL without query and fragment, or http on this machine only", i.URL)
		}
		if g.issuers[i.URL] != nil {
			return fmt.Errorf("Issuer %q is named twice", i.URL)
		}
		if i.Feed != nil && i.Feed.config.Issuer != i.URL {
			return fmt.Errorf("Feed: it is of %s, not of %s", i.Feed.config.Issuer, i.URL)
		}
		if err := i.Feed.can(c.Stale); err != nil {
			return fmt.Errorf("Stale: %w", err)
		}
		if i.Keys == nil {
			i.Keys = &discovered{issuer: i.URL, http: web, now: c.Now}
		}
		verifier, err := jwt.NewVerifier[AccessToken](i.Keys, jwt.VerifyOptions{
			Algorithms: c.Algorithms,
			Types:      []string{"at+jwt"}, // RFC 9068 §4: no other kind of token
			Issuers:    []string{i.URL},
			Audiences:  []string{c.Audience},
			Leeway:     g.leeway,
			MaxSize:    maxHeader,
			CacheSize:  c.CacheSize,
			Now:        c.Now,
		})
		if err != nil {
			return err
		}
		g.only = &issuer{verifier, i.Keys, i.Feed}
		g.issuers[i.URL] = g.only
	}
	if len(g.issuers) > 1 {
		g.only = nil
	}
	return nil
}

// withoutRedirects: a redirect could lead to where nobody checked the address.
func withoutRedirects(c *http.Client) *http.Client {
	if c == nil {
		c = &http.Client{Timeout: discoveryTime}
	}
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// Require lets only requests through whose access token has all of these
// scopes; with none, every good access token will do. The next handler reads the
// token with Token. It panics if a scope is not a scope-token (RFC 6749 §3.3).
func (g *Guard) Require(scopes ...string) func(http.Handler) http.Handler {
	for _, s := range scopes {
		if !quotable(s) || strings.Contains(s, " ") {
			panic(fmt.Sprintf("resource: %q is not a scope", s))
		}
	}
	return g.require(func(t *AccessToken) error {
		if t.Has(scopes...) {
			return nil
		}
		return &Refusal{
			Status: http.StatusForbidden, Code: CodeInsufficientScope, Scope: scopes,
			Description: "The access token lacks a scope",
		}
	})
}

// RequireFunc is Require for a function.
func (g *Guard) RequireFunc(next http.HandlerFunc, scopes ...string) http.Handler {
	return g.Require(scopes...)(next)
}

// require lets requests through whose token is good and passes a further check.
func (g *Guard) require(check func(*AccessToken) error) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Guards may stand in one another: verify once, check each time.
			admitted, _ := r.Context().Value(contextKey{}).(*admission)
			if admitted == nil || admitted.guard != g {
				t, err := g.Authenticate(r)
				if err != nil {
					g.Refuse(w, r, err)
					return
				}
				admitted = &admission{guard: g, token: t}
				r = r.WithContext(context.WithValue(r.Context(), contextKey{}, admitted))
			}
			if err := check(admitted.token); err != nil {
				g.Refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

type contextKey struct{}

// admission is a token that a guard has verified.
type admission struct {
	guard *Guard
	token *AccessToken
}

// Token returns the verified access token of a request that a Guard let through,
// and nil of any other request.
func Token(ctx context.Context) *AccessToken {
	if a, ok := ctx.Value(contextKey{}).(*admission); ok {
		return a.token
	}
	return nil
}

// Authenticate returns the verified access token of a request. Every error is a
// *Refusal, to be answered by Refuse.
func (g *Guard) Authenticate(r *http.Request) (*AccessToken, error) {
	token, refusal := credentials(r)
	if refusal != nil {
		return nil, refusal
	}
	return g.Verify(r.Context(), token)
}

// Verify returns what an access token says, if it is good and, as far as a feed
// tells, was not revoked. Every error is a *Refusal; errors.Is finds the cause in
// it, from package jwt, or ErrRevoked, ErrAccountDisabled and ErrStale.
func (g *Guard) Verify(ctx context.Context, token string) (*AccessToken, error) {
	from, err := g.from(token)
	if err != nil {
		return nil, refusalFor(err)
	}
	verified, err := from.verifier.Verify(ctx, token)
	if err != nil {
		return nil, refusalFor(err)
	}
	t := &verified.Claims
	if missing := t.missing(); missing != "" { // RFC 9068 §2.2
		return nil, badToken("The access token has no "+missing, nil)
	}
	// RFC 9449 §7.2: bound to a key of the client, whose possession nobody has
	// shown here.
	if t.bound {
		return nil, badToken("The access token is bound to a key and is no bearer token", nil)
	}
	if refusal := from.current(ctx, t, token, g.stale); refusal != nil {
		return nil, refusal
	}
	return t, nil
}

// from returns the issuer that token claims to be from. Nothing is believed of
// it before the signature was checked with that issuer's keys.
func (g *Guard) from(token string) (*issuer, error) {
	if g.only != nil {
		return g.only, nil
	}
	t, err := jwt.DecodeUnverified[struct {
		Issuer string `json:"iss"`
	}](token)
	if err != nil {
		return nil, err
	}
	i, ok := g.issuers[t.Claims.Issuer]
	if !ok {
		return nil, jwt.ErrIssuer
	}
	return i, nil
}

// causes gives each way in which a token fails its description, the first that
// matches. RFC 6750 §3 allows no quotes and no backslashes in it.
var causes = []struct {
	err         error
	description string
}{
	{jwt.ErrExpired, "The access token expired"},
	{jwt.ErrNotYetValid, "The access token is not valid yet"},
	{jwt.ErrAlgorithm, "The algorithm of the access token is not accepted"},
	{jwt.ErrKey, "The key of the access token is not known"},
	{jwt.ErrSignature, "The signature of the access token is not valid"},
	{jwt.ErrType, "The token is not an access token"},
	{jwt.ErrIssuer, "The access token is of another issuer"},
	{jwt.ErrAudience, "The access token is for another audience"},
	{jwt.ErrMissing, "The access token has no exp"},
	{jwt.ErrClaims, "A claim of the access token is of the wrong type"},
	{jwt.ErrCritical, "The access token has a critical header that is not understood"},
	{jwt.ErrMalformed, "The access token is malformed"},
}

// refusalFor tells a bad token from keys that could not be had.
func refusalFor(err error) *Refusal {
	for _, c := range causes {
		if errors.Is(err, c.err) {
			return badToken(c.description, err)
		}
	}
	// Nothing is wrong with the token as far as anybody knows: a 401 would make
	// clients throw it away.
	return &Refusal{
		Status: http.StatusServiceUnavailable, Code: CodeTemporarilyUnavailable,
		Description: "The keys of the issuer are not available", RetryAfter: discoveryRetry, cause: err,
	}
}

// quotable reports whether s can stand in a quoted string as it is and is not
// empty: the characters of RFC 6750 §3 for "scope" and the rest.
func quotable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}
