package oauth

import (
	"fmt"

	"github.com/ostiary/ostiary/internal/model"
)

// Code is an error code of the protocol: what a program switches on.
type Code string

// The error codes, each with the clause that defines it.
const (
	InvalidRequest           Code = "invalid_request"            // RFC 6749 §4.1.2.1, §5.2
	InvalidClient            Code = "invalid_client"             // RFC 6749 §5.2
	InvalidGrant             Code = "invalid_grant"              // RFC 6749 §5.2
	UnauthorizedClient       Code = "unauthorized_client"        // RFC 6749 §4.1.2.1, §5.2
	UnsupportedGrantType     Code = "unsupported_grant_type"     // RFC 6749 §5.2
	UnsupportedResponseType  Code = "unsupported_response_type"  // RFC 6749 §4.1.2.1
	InvalidScope             Code = "invalid_scope"              // RFC 6749 §4.1.2.1, §5.2
	AccessDenied             Code = "access_denied"              // RFC 6749 §4.1.2.1
	ServerError              Code = "server_error"               // RFC 6749 §4.1.2.1
	InvalidToken             Code = "invalid_token"              // RFC 6750 §3.1
	InsufficientScope        Code = "insufficient_scope"         // RFC 6750 §3.1
	LoginRequired            Code = "login_required"             // OpenID Connect Core §3.1.2.6
	ConsentRequired          Code = "consent_required"           // OpenID Connect Core §3.1.2.6
	InteractionRequired      Code = "interaction_required"       // OpenID Connect Core §3.1.2.6
	AccountSelectionRequired Code = "account_selection_required" // OpenID Connect Core §3.1.2.6
	InvalidRequestObject     Code = "invalid_request_object"     // OpenID Connect Core §3.1.2.6, RFC 9101 §7
	InvalidRequestURI        Code = "invalid_request_uri"        // OpenID Connect Core §3.1.2.6, RFC 9101 §7
	RegistrationUnsupported  Code = "registration_not_supported"
	UnmetAuthentication      Code = "unmet_authentication_requirements" // OpenID Connect Core Error Code unmet_authentication_requirements §1
	InvalidTarget            Code = "invalid_target"                    // RFC 8707 §2
	NotFound                 Code = "not_found"                         // of the endpoints for administration
	TooManyRequests          Code = "temporarily_unavailable"           // RFC 6749 §4.1.2.1

	AuthorizationPending Code = "authorization_pending" // RFC 8628 §3.5
	SlowDown             Code = "slow_down"             // RFC 8628 §3.5
	ExpiredToken         Code = "expired_token"         // RFC 8628 §3.5

	InsufficientAuthorization Code = "insufficient_authorization" // draft-ietf-oauth-first-party-apps-04 §5.2.2.1, §6.2
	RedirectToWeb             Code = "redirect_to_web"            // draft-ietf-oauth-first-party-apps-04 §5.2.2.1
	InvalidSession            Code = "invalid_session"            // draft-ietf-oauth-first-party-apps-04 §5.2.2.1
)

// Error is how a rule says no. Description is fit for anybody's eyes and
// consists of the characters that RFC 6749 §5.2 allows; the cause is for the
// log alone.
type Error struct {
	Code        Code
	Description string

	// To is the way back to the client. Where it is nil the answer is shown
	// to the person instead, because there is no address that could be trusted
	// (RFC 6749 §4.1.2.1).
	To *Return

	// Scope is what is wanted, with InsufficientScope; empty: no scope would help.
	Scope string

	// RetryAfter is when it may be tried again, in seconds; 0: nobody knows.
	RetryAfter int64
	// Busy says that it is the server that cannot now, and not the caller who
	// asked too often.
	Busy bool

	// Ended says with InvalidGrant why what was granted has ended, in the words of
	// the revocation log; empty: that is not told.
	Ended model.Cause

	// AuthSession is to be sent with the next step, draft-ietf-oauth-first-party-apps-04
	// §5.2.2; of InsufficientAuthorization only.
	AuthSession model.Secret

	// Format and Values are what Description was made of: by its format a sentence
	// is found in other languages. Format is empty where that is not offered.
	Format string
	Values []any

	cause error
}

func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Description, e.cause)
	}
	return string(e.Code) + ": " + e.Description
}

func (e *Error) Unwrap() error { return e.cause }

// Shown reports whether the error is for the person's eyes, not the client's.
func (e *Error) Shown() bool { return e.To == nil }

// fail makes an Error. What is put into the description must come from us, or
// be known to consist of safe characters (see plain).
func fail(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Description: fmt.Sprintf(format, args...), Format: format, Values: args}
}

// plain returns s if every character of it may stand in an error description
// (RFC 6749 §5.2: %x20-21 / %x23-5B / %x5D-7E) and it is short, and a neutral
// word otherwise: nobody's input is ever reflected unchecked.
func plain(s string) string {
	if s == "" || len(s) > 64 {
		return "value"
	}
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return "value"
		}
	}
	return s
}
