package client

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Credentials is a source of access tokens for the application itself, RFC 6749
// §4.4. It is safe for use by several goroutines.
type Credentials struct {
	c      *Client
	scopes []string
	extra  url.Values
}

// Credentials returns a source of access tokens with these scopes. extra holds
// further parameters of the request, such as "resource" (RFC 8707) or an
// "audience"; it may be nil.
func (c *Client) Credentials(extra url.Values, scopes ...string) *Credentials {
	return &Credentials{c: c, scopes: slices.Clone(scopes), extra: extra}
}

// Token returns an access token that lives for a while yet: the last one, or a
// new one shortly before it expires. Errors: ErrUnavailable, ErrResponse, *Error.
func (s *Credentials) Token(ctx context.Context) (string, error) {
	scope := strings.Join(s.scopes, " ")
	t, err := s.c.machine.do(ctx, scope+"\x00"+s.extra.Encode(), func(ctx context.Context) (Tokens, time.Duration, error) {
		up, err := s.c.discover(ctx)
		if err != nil {
			return Tokens{}, 0, err
		}
		form := url.Values{}
		for name, values := range s.extra {
			form[name] = values
		}
		form.Set("grant_type", "client_credentials")
		if scope != "" {
			form.Set("scope", scope)
		}
		t, err := s.c.request(ctx, up, form, s.scopes)
		if err != nil {
			return Tokens{}, renewalRetry, fmt.Errorf("client: credentials: %w", err)
		}
		if t.RenewAt.IsZero() { // unknown, RFC 6749 §5.1: asked again soon
			return t, time.Minute, nil
		}
		return t, t.RenewAt.Sub(s.c.now()), nil
	})
	return t.Access, err
}
