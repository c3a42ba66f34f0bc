package resource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Policy says what happens to a good token while the feed is stale, when nobody
// here can know whether it was revoked.
type Policy int

const (
	Deny       Policy = iota // refuse with 503 and Retry-After: the client keeps its token and tries again
	Introspect               // ask the issuer about this token; refuse with 503 if that fails
	Allow                    // let it through: the signature and the expiry alone count
)

func (p Policy) String() string {
	switch p {
	case Deny:
		return "deny"
	case Introspect:
		return "introspect"
	case Allow:
		return "allow"
	default:
		return fmt.Sprintf("Policy(%d)", int(p))
	}
}

// What errors.Is finds in a Refusal that is due to a feed.
var (
	// ErrRevoked: what the token stands for was ended at the issuer.
	ErrRevoked = errors.New("revoked")
	// ErrAccountDisabled: the account was locked or deleted. It is an ErrRevoked.
	ErrAccountDisabled = fmt.Errorf("%w: the account is disabled", ErrRevoked)
	// ErrStale: nobody here knows whether the token was revoked.
	ErrStale = errors.New("the revocation feed is stale")
)

// AccountDisabled is the type of the problem that the person's account is locked or
// deleted, with which a request is refused. To sign in again does not help.
const AccountDisabled = "urn:ostiary:problem:account-disabled"

// staleRetry is what clients are told to wait. A feed that was cut off is back
// within it, mostly.
const staleRetry = 2 * time.Second

// Stale returns the same guard with another policy, for the routes that want it.
// It panics if the policy is none, or Introspect where a feed has no client.
func (g *Guard) Stale(p Policy) *Guard {
	for url, i := range g.issuers {
		if err := i.feed.can(p); err != nil {
			panic(fmt.Sprintf("resource: %s: %v", url, err))
		}
	}
	own := *g
	own.stale = p
	return &own
}

// Revoked returns a *Refusal if a token that was let through has been revoked
// since, as far as a feed tells, and nil otherwise: for what goes on after the
// check, such as a stream. That the token has expired does not count, nor that
// the feed is stale.
func (g *Guard) Revoked(t *AccessToken) error {
	i, ok := g.issuers[t.Issuer]
	if !ok || i.feed == nil {
		return nil
	}
	if v := i.feed.table.check(t); v.ended {
		i.feed.counts.refused[v.kind].Add(1)
		return ended(v)
	}
	return nil
}

// can reports whether a policy is one that the feed can carry out.
func (f *Feed) can(p Policy) error {
	switch {
	case p < Deny || p > Allow:
		return fmt.Errorf("%d is not a policy", p)
	case p == Introspect && f != nil && f.config.ClientID == "":
		return errors.New("to introspect, the feed needs ClientID and ClientSecret")
	}
	return nil
}

// current refuses a token that was good when it was issued and has been revoked
// since.
func (i *issuer) current(ctx context.Context, t *AccessToken, token string, stale Policy) *Refusal {
	f := i.feed
	if f == nil {
		return nil
	}
	if v := f.table.check(t); v.ended {
		f.counts.refused[v.kind].Add(1)
		return ended(v)
	}
	if stale == Allow || !f.stale() {
		return nil
	}
	cause := ErrStale
	if stale == Introspect {
		active, err := f.introspect(ctx, token)
		switch {
		case err != nil:
			cause = fmt.Errorf("%w: %w", ErrStale, err)
		case active:
			return nil
		default:
			return badToken("The session has ended", fmt.Errorf("%w: says the issuer", ErrRevoked))
		}
	}
	f.counts.stale.Add(1)
	return &Refusal{
		Status: http.StatusServiceUnavailable, Code: CodeTemporarilyUnavailable,
		Description: "It is not known whether the session goes on", RetryAfter: staleRetry, cause: cause,
	}
}

// ended is how a revoked token is refused.
func ended(v verdict) *Refusal {
	cause := fmt.Errorf("%w: its %s", ErrRevoked, v.kind)
	switch {
	case v.disabled:
		return &Refusal{
			Status: http.StatusForbidden, Description: "The account is disabled", cause: ErrAccountDisabled,
			problem: &Problem{Type: AccountDisabled, Title: "Account disabled", Detail: "The account is disabled. To sign in again does not help."},
		}
	case v.kind == kindClient:
		return badToken("The client was revoked", cause)
	default:
		return badToken("The session has ended", cause)
	}
}
