package jwt

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

// What may be wrong with a token or with a call. An error of this package wraps
// exactly one of these, or else comes from a key source that could not answer
// (jwk.ErrUnavailable).
var (
	ErrMalformed   = errors.New("jwt malformed")               // no compact JWS, or its JSON is not strict
	ErrCritical    = errors.New("jwt critical header unknown") // an extension is marked critical; RFC 7515 §4.1.11
	ErrAlgorithm   = errors.New("jwt algorithm not accepted")  // not in the list, or not the key's
	ErrKey         = errors.New("jwt key not found")           // no key for this token, or none to sign with
	ErrSignature   = errors.New("jwt signature invalid")       // missing or wrong
	ErrDecryption  = errors.New("jwt not decrypted")           // encrypted to another key, or changed
	ErrType        = errors.New("jwt type not accepted")       // "typ" of the header
	ErrClaims      = errors.New("jwt claims invalid")          // a claim has the wrong JSON type
	ErrExpired     = errors.New("jwt is expired")              // "exp", or "iat" and MaxAge
	ErrNotYetValid = errors.New("jwt is not active yet")       // "nbf"
	ErrMissing     = errors.New("jwt lacks a required claim")  // "exp", "iat" with MaxAge, or one of Required
	ErrIssuer      = errors.New("jwt issuer not accepted")     // "iss"
	ErrAudience    = errors.New("jwt audience not accepted")   // "aud"
	ErrSubject     = errors.New("jwt subject not accepted")    // "sub"
	ErrID          = errors.New("jwt identifier not accepted") // "jti"
	ErrNonce       = errors.New("jwt nonce not accepted")      // "nonce"
	ErrOptions     = errors.New("jwt options invalid")         // of the call, not of the token
)

// JSONWebTokenError is what is wrong with a token, in the words of the library
// jsonwebtoken for Node. Every error about a token can be had as a
// *JSONWebTokenError by errors.As; those about time are a *TokenExpiredError or a
// *NotBeforeError besides.
type JSONWebTokenError struct {
	// Message is a fixed text: "jwt malformed", "invalid signature",
	// "jwt audience invalid. expected: …". It repeats nothing of the token.
	Message string

	// Kind is one of the errors above.
	Kind error

	// Cause says more, if there is more to say. It may quote names and
	// identifiers from the token, escaped and shortened; it is for logs.
	Cause error
}

// Error returns the message.
func (e *JSONWebTokenError) Error() string { return e.Message }

// Unwrap returns the kind and the cause.
func (e *JSONWebTokenError) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// LogValue gives a structured log the message and the cause.
func (e *JSONWebTokenError) LogValue() slog.Value {
	if e.Cause == nil {
		return slog.StringValue(e.Message)
	}
	return slog.StringValue(e.Message + ": " + e.Cause.Error())
}

// TokenExpiredError is a token that was good and is too old: its "exp" has passed
// ("jwt expired") or its "iat" is longer ago than MaxAge ("maxAge exceeded"). The
// signature has been verified.
type TokenExpiredError struct {
	JSONWebTokenError
	ExpiredAt time.Time // when it expired
}

// Unwrap makes errors.As find the JSONWebTokenError.
func (e *TokenExpiredError) Unwrap() error { return &e.JSONWebTokenError }

// NotBeforeError is a token that is not good yet ("jwt not active"). The signature
// has been verified.
type NotBeforeError struct {
	JSONWebTokenError
	Date time.Time // from when on it is
}

// Unwrap makes errors.As find the JSONWebTokenError.
func (e *NotBeforeError) Unwrap() error { return &e.JSONWebTokenError }

func invalid(kind error, format string, args ...any) error {
	return &JSONWebTokenError{Message: fmt.Sprintf(format, args...), Kind: kind}
}

func expired(message string, at time.Time) error {
	return &TokenExpiredError{JSONWebTokenError{Message: message, Kind: ErrExpired}, at}
}

// signatureErrors are the errors of package jws in the words of this one. The
// first row that matches counts: ErrUnsigned is a kind of ErrSignature.
var signatureErrors = []struct {
	of      error
	kind    error
	message string
}{
	{jws.ErrUnsigned, ErrSignature, "jwt signature is required"},
	{jws.ErrSignature, ErrSignature, "invalid signature"},
	{jws.ErrAlgorithm, ErrAlgorithm, "invalid algorithm"},
	{jws.ErrCritical, ErrCritical, "jwt critical header unknown"},
	{jws.ErrKey, ErrKey, "no key to use"},
	{jws.ErrParts, ErrMalformed, "jwt malformed"},
	{jws.ErrTooLong, ErrMalformed, "jwt malformed"},
	{jws.ErrMalformed, ErrMalformed, "invalid token"},
	{jws.ErrOptions, ErrOptions, "jwt options invalid"},
	{jwk.ErrUse, ErrKey, "no key to use"},
}

// fromSignature adds to the table what depends on the options.
func (o *VerifyOptions) fromSignature(err error) error {
	var mismatch *jws.MismatchError
	if errors.As(err, &mismatch) && errors.Is(err, jws.ErrAlgorithm) {
		if o.Algorithms != nil || sameFamily(mismatch) {
			return &JSONWebTokenError{Message: describeMismatch("secretOrPublicKey", mismatch), Kind: ErrAlgorithm, Cause: err}
		}
	}
	if errors.Is(err, jws.ErrOptions) && errors.Is(err, jws.ErrAlgorithm) {
		return &JSONWebTokenError{Message: "invalid algorithm", Kind: ErrOptions, Cause: err}
	}
	return fromSignature(err)
}

// fromSignature translates an error of package jws. One that is not in the table
// is no fault of the token, and stays what it is.
func fromSignature(err error) error {
	for _, row := range signatureErrors {
		if errors.Is(err, row.of) {
			return &JSONWebTokenError{Message: row.message, Kind: row.kind, Cause: err}
		}
	}
	return fmt.Errorf("jwt: %w", err)
}
