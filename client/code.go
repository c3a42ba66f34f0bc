package client

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AuthOptions shapes one authorization request. The zero value asks for what
// Config says.
type AuthOptions struct {
	Scopes    []string      // in place of Config.Scopes
	Prompt    []string      // "none", "login", "consent", "select_account"
	MaxAge    time.Duration // the sign-in may be so old at most; negative: it must be done now
	ACRValues []string
	LoginHint string
	UILocales []string
	ReturnTo  string     // local path of the page to go back to; default "/"
	State     string     // of at least 128 random bits, from those who keep attempts by it; default: a fresh one
	Extra     url.Values // further parameters; they cannot replace those of the protocol

	// ResponseType is ResponseCode, the default, or ResponseTokens.
	ResponseType string
}

// Attempt is one sign-in that has begun. Those who keep attempts their own way
// must keep it where only this browser can bring it back, and use it once. It
// holds a secret: the code verifier.
type Attempt struct {
	Issuer   string    `json:"iss"`                    // whom the browser was sent to
	Redirect string    `json:"redirect_uri,omitempty"` // empty: Config.RedirectURI
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`          // RFC 7636 §4.1
	MaxAge   *int64    `json:"max_age,omitempty"` // seconds, as asked
	Scopes   []string  `json:"scopes,omitempty"`
	ReturnTo string    `json:"return_to,omitempty"`
	Began    time.Time `json:"began"`
	// ResponseType is what was asked for; empty: ResponseCode.
	ResponseType string `json:"response_type,omitempty"`
}

func (Attempt) String() string   { return redacted }
func (Attempt) GoString() string { return redacted }

// AuthCodeURL returns the address to send the browser to, and the Attempt that
// Exchange needs when it comes back. Errors: ErrUnavailable, ErrIssuer,
// ErrResponse.
func (c *Client) AuthCodeURL(ctx context.Context, o AuthOptions) (string, Attempt, error) {
	if c.config.RedirectURI == "" {
		return "", Attempt{}, errors.New("client: Config.RedirectURI is missing")
	}
	return c.authCodeURL(ctx, "", o)
}

// authCodeURL is AuthCodeURL for a way back that is only now known; empty: that of
// Config.
func (c *Client) authCodeURL(ctx context.Context, redirect string, o AuthOptions) (string, Attempt, error) {
	up, err := c.discover(ctx)
	if err != nil {
		return "", Attempt{}, err
	}
	a := Attempt{
		Issuer: c.config.Issuer, Redirect: redirect, State: random(), Nonce: random(), Verifier: random(),
		Scopes: o.Scopes, ReturnTo: localPath(o.ReturnTo), Began: c.now(),
	}
	if o.State != "" {
		a.State = o.State
	}
	if len(a.Scopes) == 0 {
		a.Scopes = c.config.Scopes
	}
	if a.ResponseType, err = responseType(o.ResponseType, a.Scopes); err != nil {
		return "", Attempt{}, err
	}
	if o.MaxAge != 0 {
		seconds := max(int64(o.MaxAge/time.Second), 0)
		a.MaxAge = &seconds
	}
	target, err := url.Parse(up.AuthorizationEndpoint)
	if err != nil {
		return "", Attempt{}, fmt.Errorf("client: %w: authorization_endpoint", ErrResponse)
	}
	q := target.Query() // RFC 6749 §3.1: the endpoint's own query stays
	for name, values := range o.Extra {
		q[name] = values
	}
	c.ask(q, a, o)
	// RFC 6749 appendix B has both ways to write a space; some servers read this one alone.
	target.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return target.String(), a, nil
}

// ask sets the parameters of the request, RFC 6749 §4.1.1, RFC 7636 §4.3 and
// OpenID Connect Core §3.1.2.1.
func (c *Client) ask(q url.Values, a Attempt, o AuthOptions) {
	challenge := sha256.Sum256([]byte(a.Verifier))
	q.Set("response_type", ResponseCode)
	q.Set("client_id", c.config.ClientID)
	q.Set("redirect_uri", cmp.Or(a.Redirect, c.config.RedirectURI))
	q.Set("state", a.State)
	// Also where no code is asked for: servers that insist on it (RFC 9700 §2.1.1) may
	// do so of every request.
	q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(challenge[:]))
	q.Set("code_challenge_method", "S256")
	if slices.Contains(a.Scopes, "openid") {
		q.Set("nonce", a.Nonce)
	}
	if a.inBrowser() {
		q.Set("response_type", a.ResponseType)
		q.Set("response_mode", "form_post") // never in an address, where tokens end up in logs and histories
	}
	if a.MaxAge != nil {
		q.Set("max_age", strconv.FormatInt(*a.MaxAge, 10))
	}
	for name, value := range map[string]string{
		"scope":      strings.Join(a.Scopes, " "),
		"prompt":     strings.Join(o.Prompt, " "),
		"acr_values": strings.Join(o.ACRValues, " "),
		"login_hint": o.LoginHint,
		"ui_locales": strings.Join(o.UILocales, " "),
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
}

// Exchange checks an authorization response against the attempt that it must
// belong to and exchanges its code for tokens; a response to ResponseTokens has
// them in it. The identity is the zero value when "openid" was not asked for.
//
// Errors: ErrAttempt, ErrIssuer, ErrResponse, ErrIdentity, ErrUnavailable, and
// *Error for what the authorization server refused ("access_denied",
// "login_required", …).
func (c *Client) Exchange(ctx context.Context, a Attempt, response url.Values) (Tokens, Identity, error) {
	up, err := c.discover(ctx)
	if err != nil {
		return Tokens{}, Identity{}, err
	}
	err = c.checkResponse(up, a, response)
	var t Tokens
	if err == nil {
		t, err = c.tokens(ctx, up, a, response)
	}
	var id Identity
	if err == nil {
		t, id, err = c.identified(ctx, up, a, t)
	}
	if err != nil {
		return Tokens{}, Identity{}, fmt.Errorf("client: sign-in: %w", err)
	}
	return t, id, nil
}

// tokens returns what a checked response brings: tokens, or a code for them.
func (c *Client) tokens(ctx context.Context, up *upstream, a Attempt, response url.Values) (Tokens, error) {
	if a.inBrowser() {
		return c.takeTokens(a, response)
	}
	code := response.Get("code")
	if code == "" {
		return Tokens{}, fmt.Errorf("%w: neither code nor error", ErrResponse)
	}
	return c.request(ctx, up, url.Values{ // RFC 6749 §4.1.3, RFC 7636 §4.5
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {cmp.Or(a.Redirect, c.config.RedirectURI)},
		"code_verifier": {a.Verifier},
	}, a.Scopes)
}

// identified checks whom the tokens of an attempt are about.
func (c *Client) identified(ctx context.Context, up *upstream, a Attempt, t Tokens) (Tokens, Identity, error) {
	if !slices.Contains(a.Scopes, "openid") {
		t.ID = "" // unasked and therefore unchecked
		return t, Identity{}, nil
	}
	// OpenID Connect Core §3.1.3.3: an ID token is always part of the answer.
	if t.ID == "" {
		return Tokens{}, Identity{}, fmt.Errorf("%w: no id_token", ErrResponse)
	}
	id, err := c.identify(ctx, up, t, expected{nonce: a.Nonce, maxAge: a.MaxAge, accessHash: a.inBrowser()})
	if err != nil {
		return Tokens{}, Identity{}, err
	}
	return t, id, nil
}

// checkResponse checks that an authorization response belongs to the attempt, and
// returns the error that it carries, if any.
func (c *Client) checkResponse(up *upstream, a Attempt, response url.Values) error {
	// RFC 6749 §3.1: parameters must not be sent more than once.
	for _, name := range []string{"code", "state", "iss", "error", "error_description", "access_token", "token_type", "expires_in", "scope", "id_token"} {
		if len(response[name]) > 1 {
			return fmt.Errorf("%w: %s was sent twice", ErrResponse, name)
		}
	}
	// RFC 6749 §10.12: the response belongs to this browser's own request.
	if a.State == "" || subtle.ConstantTimeCompare([]byte(response.Get("state")), []byte(a.State)) != 1 {
		return ErrAttempt
	}
	// RFC 9700 §4.4.2: nor was the browser sent to another server.
	if a.Issuer != c.config.Issuer || c.now().Sub(a.Began) >= attemptLife {
		return ErrAttempt
	}
	// RFC 9207 §2.4: the issuer is checked before the code, and before an
	// error, is looked at; a mixed-up server learns nothing.
	if iss, sent := response["iss"]; sent && !c.mayIssue(iss[0]) {
		return fmt.Errorf("%w: iss of the response", ErrIssuer)
	} else if !sent && up.SendsIssuer {
		return fmt.Errorf("%w: the response has no iss", ErrIssuer)
	}
	// RFC 6749 §4.1.2.1.
	if named := response.Get("error"); named != "" {
		return &Error{Code: printable(named, 100), Description: printable(response.Get("error_description"), 300)}
	}
	return nil
}
