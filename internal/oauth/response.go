package oauth

import (
	"net/url"
	"slices"
	"strings"
)

// How an answer travels back to the client, OAuth 2.0 Multiple Response Types
// §2.1 and OAuth 2.0 Form Post Response Mode §2.
const (
	ModeQuery    = "query"
	ModeFragment = "fragment"
	ModeFormPost = "form_post"
)

// asks reports whether a response type has a word.
func asks(responseType, word string) bool {
	return slices.Contains(strings.Fields(responseType), word)
}

// frontTokens reports whether tokens travel through the browser.
func frontTokens(responseType string) bool {
	return asks(responseType, "id_token") || asks(responseType, "token")
}

// mode says how the answer to a request goes back, also where the request is
// wrong: as it asks, if it may ask for that, and by its response type otherwise.
// Tokens never go into a query, where they end up in logs (OAuth 2.0 Multiple
// Response Types §5).
func mode(p params) string {
	tokens := frontTokens(p.get("response_type"))
	switch asked := p.get("response_mode"); {
	case asked == ModeFragment, asked == ModeFormPost, asked == ModeQuery && !tokens:
		return asked
	case tokens:
		return ModeFragment
	}
	return ModeQuery
}

// Return is the way back to a client: where the answer to an authorization
// request goes, once client and redirect URI have been checked.
type Return struct {
	URI    string
	Mode   string
	State  string
	Issuer string
}

// Answer is what the browser carries back to the client.
type Answer struct {
	URI    string
	Mode   string
	Params url.Values
}

// Error builds the answer that carries e, RFC 6749 §4.1.2.1.
func (r Return) Error(e *Error) Answer {
	v := url.Values{"error": {string(e.Code)}}
	if e.Description != "" {
		v.Set("error_description", e.Description)
	}
	return r.answer(v)
}

func (r Return) answer(v url.Values) Answer {
	if r.Mode == ModeOwn {
		return Answer{URI: r.URI, Mode: r.Mode}
	}
	if r.Mode == ModeDevice {
		if v.Has("error") {
			return Answer{URI: r.URI + "/refused", Mode: r.Mode}
		}
		return Answer{URI: r.URI + "/done", Mode: r.Mode}
	}
	if r.State != "" {
		v.Set("state", r.State) // RFC 6749 §4.1.2: exactly as received
	}
	v.Set("iss", r.Issuer) // RFC 9207 §2
	return Answer{URI: r.URI, Mode: r.Mode, Params: v}
}

// Location is the address that carries the answer, in its query or its
// fragment. An answer in the mode form_post has none: it is a form.
func (a Answer) Location() string {
	if a.Mode == ModeOwn || a.Mode == ModeDevice {
		return a.URI
	}
	u, err := url.Parse(a.URI)
	if err != nil {
		// The URI was compared with a registered one that parses.
		panic("oauth: unparsable redirect URI passed the checks")
	}
	if a.Mode == ModeFragment {
		return a.URI + "#" + a.Params.Encode() // a registered URI has no fragment
	}
	// RFC 6749 §3.1.2: a query component of the redirect URI is retained,
	// byte for byte: it is not parsed and written anew.
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += a.Params.Encode()
	return u.String()
}
