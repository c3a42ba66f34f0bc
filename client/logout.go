package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// LogoutURL returns the address at which the authorization server signs the
// person out, OpenID Connect RP-Initiated Logout §2. idToken, one that was
// issued to this client, tells it whom; state, if any, comes back to
// Config.PostLogoutRedirectURI. Errors: ErrUnsupported, ErrUnavailable.
func (c *Client) LogoutURL(ctx context.Context, idToken, state string) (string, error) {
	up, err := c.discover(ctx)
	if err != nil {
		return "", err
	}
	if up.EndSessionEndpoint == "" {
		return "", fmt.Errorf("client: sign-out: %w", ErrUnsupported)
	}
	target, err := url.Parse(up.EndSessionEndpoint)
	if err != nil {
		return "", fmt.Errorf("client: sign-out: %w: end_session_endpoint", ErrResponse)
	}
	q := target.Query()
	q.Set("client_id", c.config.ClientID)
	for name, value := range map[string]string{
		"id_token_hint":            idToken,
		"post_logout_redirect_uri": c.config.PostLogoutRedirectURI,
		"state":                    state,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	target.RawQuery = q.Encode()
	return target.String(), nil
}

// Revoke tells the authorization server that a token will not be used any more,
// RFC 7009 §2.1. hint is "refresh_token" or "access_token", or "auth_session" to end
// the session that Challenge began. Errors:
// ErrUnsupported, ErrUnavailable, ErrResponse, *Error.
func (c *Client) Revoke(ctx context.Context, token, hint string) error {
	up, err := c.discover(ctx)
	if err != nil {
		return err
	}
	if up.RevocationEndpoint == "" {
		return fmt.Errorf("client: revocation: %w", ErrUnsupported)
	}
	a, err := c.post(ctx, up.RevocationEndpoint, url.Values{"token": {token}, "token_type_hint": {hint}})
	if err != nil {
		return fmt.Errorf("client: revocation: %w", err)
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("client: revocation: %w", a.unexpected())
	}
	return nil
}
