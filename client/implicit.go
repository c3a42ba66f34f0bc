package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
)

// The response types that are spoken.
const (
	// ResponseCode brings a code through the browser and exchanges it for tokens
	// behind its back.
	ResponseCode = "code"
	// ResponseTokens brings the tokens themselves through the browser, by a form that
	// posts itself: the implicit flow of OpenID Connect Core §3.2. It needs no call to
	// the token endpoint, and gets no refresh token. It is for servers that speak
	// nothing better; the client must be registered for it.
	ResponseTokens = "id_token token"
)

// responseType checks what a sign-in is to ask for. ResponseCode is told as "", so
// that attempts which others keep stay as they are.
func responseType(asked string, scopes []string) (string, error) {
	switch {
	case asked == "" || asked == ResponseCode:
		return "", nil
	case asked != ResponseTokens:
		return "", fmt.Errorf("client: AuthOptions.ResponseType: %q is neither %q nor %q", asked, ResponseCode, ResponseTokens)
	case !slices.Contains(scopes, "openid"):
		// Without an ID token nothing would tell whom the access token was made for,
		// RFC 6749 §10.16.
		return "", errors.New("client: AuthOptions.ResponseType: " + ResponseTokens + " needs the scope openid")
	}
	return asked, nil
}

// inBrowser reports whether the tokens of an attempt come through the browser.
func (a Attempt) inBrowser() bool { return a.ResponseType == ResponseTokens }

// takeTokens reads the tokens of a response, OpenID Connect Core §3.2.2.5. What else
// is in it counts for nothing (RFC 6749 §4.2.2), a refresh token above all, which
// never comes this way.
func (c *Client) takeTokens(a Attempt, response url.Values) (Tokens, error) {
	g := granted{
		Access: response.Get("access_token"), Type: response.Get("token_type"), ID: response.Get("id_token"),
		Expires: json.Number(response.Get("expires_in")),
	}
	if scope, sent := response["scope"]; sent {
		g.Scope = &scope[0]
	}
	return c.take(g, a.Scopes)
}
