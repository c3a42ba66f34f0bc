package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

// Profile is what the userinfo endpoint told about a person, OpenID Connect
// Core §5.1.
type Profile struct {
	Subject           string `json:"sub"`
	Name              string `json:"name,omitempty"`
	GivenName         string `json:"given_name,omitempty"`
	FamilyName        string `json:"family_name,omitempty"`
	Nickname          string `json:"nickname,omitempty"`
	PreferredUsername string `json:"preferred_username,omitempty"`
	Email             string `json:"email,omitempty"`
	EmailVerified     bool   `json:"email_verified,omitempty"`
	Picture           string `json:"picture,omitempty"`
	Locale            string `json:"locale,omitempty"`
	Zoneinfo          string `json:"zoneinfo,omitempty"`

	raw json.RawMessage
}

// UnmarshalJSON implements json.Unmarshaler. Names are compared exactly, as in an
// Identity. Some servers write "email_verified" as a string.
func (p *Profile) UnmarshalJSON(data []byte) error {
	var claims map[string]json.RawMessage
	if err := json.Unmarshal(data, &claims); err != nil {
		return err
	}
	*p = Profile{raw: slices.Clone(data)}
	for name, to := range map[string]*string{
		"sub": &p.Subject, "name": &p.Name, "given_name": &p.GivenName, "family_name": &p.FamilyName, "nickname": &p.Nickname,
		"preferred_username": &p.PreferredUsername, "email": &p.Email, "picture": &p.Picture, "locale": &p.Locale, "zoneinfo": &p.Zoneinfo,
	} {
		if text, ok := claims[name]; ok {
			if err := json.Unmarshal(text, to); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	switch verified := string(claims["email_verified"]); verified {
	case "true", `"true"`:
		p.EmailVerified = true
	case "", "null", "false", `"false"`:
	default:
		return errors.New("email_verified is not a boolean")
	}
	return nil
}

// Decode reads all that was told into v, a pointer to a struct or map.
func (p Profile) Decode(v any) error {
	if err := json.Unmarshal(p.raw, v); err != nil {
		return fmt.Errorf("client: userinfo: %w", err)
	}
	return nil
}

// Userinfo asks who the access token's owner is. subject is that of the ID
// token. Errors: ErrUnsupported, ErrUnavailable, ErrResponse, ErrIdentity when
// the answer is about somebody else, *Error ("invalid_token").
func (c *Client) Userinfo(ctx context.Context, t Tokens, subject string) (Profile, error) {
	up, err := c.discover(ctx)
	if err != nil {
		return Profile{}, err
	}
	if up.UserinfoEndpoint == "" {
		return Profile{}, fmt.Errorf("client: userinfo: %w", ErrUnsupported)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, up.UserinfoEndpoint, nil)
	if err != nil {
		return Profile{}, fmt.Errorf("client: userinfo: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+t.Access)
	if c.config.UserinfoAlgorithm != "" {
		req.Header.Set("Accept", "application/jwt")
	}
	a, err := c.send(req, answerBytes)
	if err != nil {
		return Profile{}, fmt.Errorf("client: userinfo: %w", err)
	}
	if a.status != http.StatusOK {
		return Profile{}, fmt.Errorf("client: userinfo: %w", a.unexpected())
	}
	p, err := c.profile(ctx, up, a)
	if err != nil {
		return Profile{}, fmt.Errorf("client: userinfo: %w", err)
	}
	// OpenID Connect Core §5.3.2: without this check another person's token
	// could be slipped in.
	if p.Subject == "" || p.Subject != subject {
		return Profile{}, fmt.Errorf("client: userinfo: %w: sub is not that of the ID token", ErrIdentity)
	}
	return p, nil
}

// profile reads an answer of the userinfo endpoint, OpenID Connect Core §5.3.2: it is
// signed if the client is registered for that, and never just because it came so.
func (c *Client) profile(ctx context.Context, up *upstream, a answer) (Profile, error) {
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	if c.config.UserinfoAlgorithm != "" {
		if kind != "application/jwt" || up.keys == nil {
			return Profile{}, fmt.Errorf("%w: it is not signed", ErrIdentity)
		}
		token, err := jwt.Verify[json.RawMessage](ctx, string(a.body), up.keys, jwt.VerifyOptions{
			Algorithms:             []jwa.Algorithm{c.config.UserinfoAlgorithm},
			Issuers:                c.issuers(),
			Audiences:              []string{c.config.ClientID},
			AllowMissingExpiration: true, // it is as fresh as the connection
			Leeway:                 c.config.Leeway,
			MaxSize:                answerBytes,
			Now:                    c.now,
		})
		if _, bad := errors.AsType[*jwt.JSONWebTokenError](err); bad {
			return Profile{}, fmt.Errorf("%w: %w", ErrIdentity, err)
		}
		if err != nil { // the keys could not be had
			return Profile{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if err := c.checkTenant(ctx, up, token.Header.KeyID, token.Claims); err != nil {
			return Profile{}, fmt.Errorf("%w: %w", ErrIdentity, err)
		}
		a.body = token.Claims
	} else if !a.isJSON() {
		return Profile{}, fmt.Errorf("%w: not a JSON object of claims", ErrResponse)
	}
	p := Profile{}
	if json.Unmarshal(a.body, &p) != nil {
		return Profile{}, fmt.Errorf("%w: not a JSON object of claims", ErrResponse)
	}
	return p, nil
}

// learn adds to rec what userinfo tells beyond the ID token.
func (c *Client) learn(ctx context.Context, rec *record, id Identity) error {
	if c.config.NoUserinfo || id.Subject == "" {
		return nil
	}
	p, err := c.Userinfo(ctx, rec.Tokens, id.Subject)
	switch {
	case errors.Is(err, ErrIdentity):
		return err
	case errors.Is(err, ErrUnsupported):
		return nil
	case err != nil:
		// Who it is was proven; what else there is to know is decoration.
		c.log.WarnContext(ctx, "userinfo failed, the session knows what the ID token says", "error", err)
		return nil
	case c.config.Store != nil:
		rec.Profile = p.raw
		return nil
	}
	// A cookie has no room for all of it.
	if rec.Profile, err = json.Marshal(p); err != nil {
		return fmt.Errorf("client: userinfo: %w", err)
	}
	return nil
}
