// Package jwt signs and verifies JSON Web Tokens, RFC 7519.
//
// Sign makes a token from claims, a struct or a map. Verify checks a token and
// returns its claims in a type of your choice; on any error it returns the zero
// value, never claims that somebody might use all the same. SignNested and
// VerifyNested do the same for tokens that are encrypted besides. What you verify
// more than once you build once, with [NewVerifier] and [NewSigner].
//
// The package is strict by default. The algorithm is a matter of the key and of
// VerifyOptions, never of the token; a token without expiry is refused unless
// AllowMissingExpiration is set; JSON with a member twice is refused; an error of
// the signature is never hidden behind an expiry. Claims are decoded after the
// signature has been verified, names are compared exactly, numbers stay exact.
//
// The package uses no network; a key source may (jwk.Remote).
package jwt

import (
	"reflect"
	"strconv"
	"time"

	"github.com/ostiary/ostiary/internal/strictjson"
	"github.com/ostiary/ostiary/jws"
)

// A Token is a token that has been verified, or decoded by DecodeUnverified.
type Token[C any] struct {
	Header    jws.Header
	Claims    C
	Signature string // the third part, in base64url
}

// Registered has the claims of RFC 7519 §4.1. Embed it in a struct with claims of
// your own:
//
//	type Claims struct {
//		jwt.Registered
//		Scope string `json:"scope"`
//	}
type Registered struct {
	Issuer    string   `json:"iss,omitempty"`
	Subject   string   `json:"sub,omitempty"`
	Audience  Audience `json:"aud,omitempty"`
	ExpiresAt Time     `json:"exp,omitzero"`
	NotBefore Time     `json:"nbf,omitzero"`
	IssuedAt  Time     `json:"iat,omitzero"`
	ID        string   `json:"jti,omitempty"`
}

// Audience is the "aud" claim, RFC 7519 §4.1.3: a string or a list of strings. A
// list of one is written as a string.
type Audience []string

// MarshalJSON writes a list of one as a string.
func (a Audience) MarshalJSON() ([]byte, error) {
	return appendAudience(nil, reflect.ValueOf(a)), nil
}

// UnmarshalJSON reads a string or a list of strings.
func (a *Audience) UnmarshalJSON(data []byte) error {
	value, err := strictjson.Parse(string(data))
	if err != nil {
		return err
	}
	list, ok := audienceOf(value)
	if !ok {
		return errAudienceType
	}
	*a = list
	return nil
}

// Time is a NumericDate, RFC 7519 §2: seconds since 1970. It is written as an
// integer; a fraction is read and kept.
type Time struct{ time.Time }

// At returns the Time of t, cut to whole seconds.
func At(t time.Time) Time { return Time{t.Truncate(time.Second)} }

// MarshalJSON writes whole seconds.
func (t Time) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, t.Unix(), 10), nil
}

// UnmarshalJSON reads a number, and nothing that merely looks like one.
func (t *Time) UnmarshalJSON(data []byte) error {
	value, err := strictjson.Parse(string(data))
	if err != nil {
		return err
	}
	date, ok := dateOf(value)
	if !ok {
		return errDateType
	}
	t.Time = date
	return nil
}
