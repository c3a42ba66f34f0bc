package client

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"
)

const (
	// A renewal is remembered for those who still come with the old refresh
	// token: a browser sends requests in parallel, and each carries the cookie
	// that it had when it was sent.
	renewalMemory = 2 * time.Minute
	// A server that is down is not asked again by every request.
	renewalRetry = 3 * time.Second
	// A chain of renewals is followed so far; two minutes hold no more.
	renewalChain = 16
)

// Refresh exchanges t's refresh token for a new set, RFC 6749 §6. Callers that
// come with the same refresh token at the same time, or up to two minutes later,
// share one request and its outcome. What the answer leaves out (the ID token,
// a new refresh token) is kept from t.
//
// An *Error with the code "invalid_grant" says that the grant is over: the
// person must sign in again; with "insufficient_authorization" they must prove anew
// who they are, by Challenge with the AuthSession of the error. After any other error
// t stays as good as it was.
func (c *Client) Refresh(ctx context.Context, t Tokens) (Tokens, error) {
	if t.Refresh == "" {
		return Tokens{}, fmt.Errorf("client: renewal: %w and there is no refresh token", ErrExpired)
	}
	// Whoever comes with a grandparent gets the youngest of the family.
	for range renewalChain {
		next, ok := c.renewals.peek(digest(t.Refresh))
		if !ok || next.Refresh == t.Refresh {
			break
		}
		if t = next; !reached(t.RenewAt, c.now()) {
			return t, nil
		}
	}
	return c.renewals.do(ctx, digest(t.Refresh), func(ctx context.Context) (Tokens, time.Duration, error) {
		next, err := c.renew(ctx, t)
		switch {
		case err == nil && next.Refresh != t.Refresh:
			return next, renewalMemory, nil
		case err == nil:
			// Not rotated: the same key will be used for the next renewal.
			return next, renewalRetry, nil
		case hasCode(err, "invalid_grant"):
			return Tokens{}, 0, err
		default:
			return Tokens{}, renewalRetry, err
		}
	})
}

func (c *Client) renew(ctx context.Context, t Tokens) (Tokens, error) {
	up, err := c.discover(ctx)
	if err != nil {
		return Tokens{}, err
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.Refresh}}
	next, err := c.request(ctx, up, form, t.Scope)
	if err != nil {
		return Tokens{}, fmt.Errorf("client: renewal: %w", err)
	}
	if next.Refresh == "" { // RFC 6749 §6: the old one goes on
		next.Refresh = t.Refresh
	}
	if next.AuthSession == "" {
		next.AuthSession = t.AuthSession
	}
	if next.ID == "" {
		next.ID = t.ID
		return next, nil
	}
	if t.ID == "" {
		next.ID = ""
		return next, nil
	}
	if err := c.sameIdentity(ctx, up, t, next); err != nil {
		return Tokens{}, fmt.Errorf("client: renewal: %w", err)
	}
	return next, nil
}

// sameIdentity checks the ID token of a renewal, OpenID Connect Core §12.2.
func (c *Client) sameIdentity(ctx context.Context, up *upstream, before, after Tokens) error {
	was, err := identityOf(before.ID)
	if err != nil {
		return err
	}
	is, err := c.identify(ctx, up, after, expected{renewal: true, nonce: was.Nonce})
	if err != nil {
		return err
	}
	switch {
	case is.Subject != was.Subject:
		return fmt.Errorf("%w: sub has changed", ErrIdentity)
	case !slices.Equal(is.Audience, was.Audience):
		return fmt.Errorf("%w: aud has changed", ErrIdentity)
	case is.AuthorizedParty != was.AuthorizedParty:
		return fmt.Errorf("%w: azp has changed", ErrIdentity)
	case !is.AuthTime.IsZero() && !is.AuthTime.Equal(was.AuthTime):
		return fmt.Errorf("%w: auth_time has changed", ErrIdentity)
	}
	return nil
}
