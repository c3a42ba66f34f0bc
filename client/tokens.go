package client

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Tokens is what the token endpoint handed out, RFC 6749 §5.1. It prints as
// "[redacted]".
type Tokens struct {
	Access    string    `json:"access_token"`
	Refresh   string    `json:"refresh_token,omitempty"`
	ID        string    `json:"id_token,omitempty"` // verified, as text: for id_token_hint
	Scope     []string  `json:"scope,omitempty"`    // what was granted
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RenewAt   time.Time `json:"renew_at,omitzero"` // a little earlier, so that a token does not die on its way

	// AuthSession is for the next Challenge, and for Revoke, which ends the session.
	AuthSession string `json:"auth_session,omitempty"`
}

const redacted = "[redacted]"

func (Tokens) String() string       { return redacted }
func (Tokens) GoString() string     { return redacted }
func (Tokens) LogValue() slog.Value { return slog.StringValue(redacted) }

// A token is renewed this long before it dies, or a quarter of its life.
const renewMargin = 30 * time.Second

// reached reports whether a moment, if it is known, has come.
func reached(moment, now time.Time) bool { return !moment.IsZero() && !now.Before(moment) }

// request asks the token endpoint and reads what it grants. asked is the scope
// that holds when the answer names none, RFC 6749 §5.1.
func (c *Client) request(ctx context.Context, up *upstream, form url.Values, asked []string) (Tokens, error) {
	a, err := c.post(ctx, up.TokenEndpoint, form)
	if err != nil {
		return Tokens{}, err
	}
	if a.status != http.StatusOK {
		return Tokens{}, a.unexpected()
	}
	// RFC 6749 §5.2 has 400 for it; GitHub says it with 200.
	if e := a.named(); e != nil {
		return Tokens{}, e
	}
	var g granted
	if err := json.Unmarshal(a.body, &g); err != nil {
		return Tokens{}, fmt.Errorf("%w: not a JSON object of tokens", ErrResponse)
	}
	return c.take(g, asked)
}

// granted is a successful answer, RFC 6749 §5.1.
type granted struct {
	Access  string      `json:"access_token"`
	Type    string      `json:"token_type"`
	Expires json.Number `json:"expires_in"`
	Refresh string      `json:"refresh_token"`
	ID      string      `json:"id_token"`
	Scope   *string     `json:"scope"`
	Auth    string      `json:"auth_session"`
}

// take checks what was granted, wherever it came from.
func (c *Client) take(g granted, asked []string) (Tokens, error) {
	if g.Access == "" {
		return Tokens{}, fmt.Errorf("%w: no access_token", ErrResponse)
	}
	// RFC 6749 §7.1: a type that is not understood must not be used.
	if !strings.EqualFold(g.Type, "Bearer") {
		return Tokens{}, fmt.Errorf("%w: token_type is not Bearer", ErrResponse)
	}
	t := Tokens{Access: g.Access, Refresh: g.Refresh, ID: g.ID, Scope: asked, AuthSession: g.Auth}
	if g.Scope != nil {
		t.Scope = strings.Fields(*g.Scope)
	}
	if g.Expires != "" {
		seconds, err := g.Expires.Int64()
		if err != nil || seconds < 0 || seconds > 10*365*24*3600 {
			return Tokens{}, fmt.Errorf("%w: expires_in is not a number of seconds", ErrResponse)
		}
		life := time.Duration(seconds) * time.Second
		t.ExpiresAt = c.now().Add(life)
		t.RenewAt = t.ExpiresAt.Add(-min(life/4, renewMargin))
	}
	return t, nil
}
