package client

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ChallengeOptions is what an application has asked its person itself, and what it
// wants for it. It prints as "[redacted]".
type ChallengeOptions struct {
	Username    string
	Password    string
	Remember    bool   // the person stays signed in for longer
	AuthSession string // of the Tokens or of the *Error that came last; it saves the user name

	Scopes    []string      // in place of Config.Scopes
	MaxAge    time.Duration // the sign-in may be so old at most; negative: it must be done now
	ACRValues []string
	Extra     url.Values // further parameters; they cannot replace those of the protocol

	// Where the person is, from an application that has a server of its own and
	// proves itself: otherwise all of them would count as one address.
	UserAddress, UserAgent string
}

func (ChallengeOptions) String() string       { return redacted }
func (ChallengeOptions) GoString() string     { return redacted }
func (ChallengeOptions) LogValue() slog.Value { return slog.StringValue(redacted) }

// Challenge signs a person in without a browser, by the draft OAuth 2.0 for
// First-Party Applications: the application asks for the password itself and sends
// it here. Use it only where the application and the authorization server are of
// one house; every other application uses AuthCodeURL, or Login. The identity is
// the zero value when "openid" was not asked for.
//
// Errors: ErrUnsupported, ErrUnavailable, ErrIssuer, ErrResponse, ErrIdentity, and
// *Error, whose Code says what to do: "insufficient_authorization" to ask the person
// (again) and to send the AuthSession that comes with it; "redirect_to_web" to use
// AuthCodeURL and a browser; "access_denied" to give up, because the account is
// locked. With too many wrong passwords it is ErrUnavailable and RetryAfter tells
// how long.
func (c *Client) Challenge(ctx context.Context, o ChallengeOptions) (Tokens, Identity, error) {
	t, id, err := c.challenge(ctx, o)
	if hasCode(err, "invalid_session") && o.AuthSession != "" && o.Username != "" {
		// It was only to save a question that has been asked all the same.
		o.AuthSession = ""
		t, id, err = c.challenge(ctx, o)
	}
	if err != nil {
		return Tokens{}, Identity{}, fmt.Errorf("client: sign-in: %w", err)
	}
	return t, id, nil
}

func (c *Client) challenge(ctx context.Context, o ChallengeOptions) (Tokens, Identity, error) {
	up, err := c.discover(ctx)
	if err != nil {
		return Tokens{}, Identity{}, err
	}
	if up.ChallengeEndpoint == "" {
		return Tokens{}, Identity{}, ErrUnsupported
	}
	if len(o.Scopes) == 0 {
		o.Scopes = c.config.Scopes
	}
	a := Attempt{Nonce: random(), Verifier: random(), Scopes: o.Scopes}
	if o.MaxAge != 0 {
		seconds := max(int64(o.MaxAge/time.Second), 0)
		a.MaxAge = &seconds
	}
	answer, err := c.post(ctx, up.ChallengeEndpoint, challengeForm(o, a))
	if err != nil {
		return Tokens{}, Identity{}, err
	}
	if answer.status != http.StatusOK {
		return Tokens{}, Identity{}, answer.unexpected()
	}
	var granted struct {
		Code string `json:"authorization_code"`
	}
	if err := json.Unmarshal(answer.body, &granted); err != nil || granted.Code == "" {
		return Tokens{}, Identity{}, fmt.Errorf("%w: no authorization_code", ErrResponse)
	}
	// Draft §6: there was no redirect_uri, so there is none to repeat.
	t, err := c.request(ctx, up, url.Values{
		"grant_type": {"authorization_code"}, "code": {granted.Code}, "code_verifier": {a.Verifier},
	}, o.Scopes)
	if err != nil {
		return Tokens{}, Identity{}, err
	}
	return c.identified(ctx, up, a, t)
}

// challengeForm is a whole request, draft §5.1, also where it goes on: so each has
// a code_challenge of its own.
func challengeForm(o ChallengeOptions, a Attempt) url.Values {
	form := url.Values{}
	maps.Copy(form, o.Extra)
	challenge := sha256.Sum256([]byte(a.Verifier))
	form.Set("response_type", "code")
	form.Set("scope", strings.Join(a.Scopes, " "))
	form.Set("code_challenge", base64.RawURLEncoding.EncodeToString(challenge[:]))
	form.Set("code_challenge_method", "S256")
	if slices.Contains(a.Scopes, "openid") {
		form.Set("nonce", a.Nonce)
	}
	if a.MaxAge != nil {
		form.Set("max_age", strconv.FormatInt(*a.MaxAge, 10))
	}
	if o.Remember {
		form.Set("remember", "true")
	}
	for name, value := range map[string]string{
		"username": o.Username, "password": o.Password, "auth_session": o.AuthSession, "acr_values": strings.Join(o.ACRValues, " "),
		"user_address": o.UserAddress, "user_agent": o.UserAgent,
	} {
		if value != "" {
			form.Set(name, value)
		}
	}
	return form
}
