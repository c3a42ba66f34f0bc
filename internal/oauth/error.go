package oauth

import (
	"fmt"

	"github.com/ostiary/ostiary/internal/model"
)

// Code is an error code of the protocol: what a program switches on.
type Code string

// The codes of endpoints for programs, some of which the authorization endpoint has as
// well. Each is told by when it comes, and has the clause that defines it.
const (
	// A parameter or a member is missing, malformed, too long, comes twice, or has a value that it may not have; the method, the media type or the body is another than the endpoint takes.
	InvalidRequest Code = "invalid_request" // RFC 6749 §4.1.2.1, §5.2
	// The client has not proven who it is, or there is none of that ID; both look the same.
	InvalidClient Code = "invalid_client" // RFC 6749 §5.2
	// The code or refresh token is wrong, was used, has expired, is of another client or does not fit the request; what was granted has ended, or the account is locked. The person signs in again.
	InvalidGrant Code = "invalid_grant" // RFC 6749 §5.2
	// The client is not registered for this grant or response type.
	UnauthorizedClient Code = "unauthorized_client" // RFC 6749 §4.1.2.1, §5.2
	// There is no such grant here.
	UnsupportedGrantType Code = "unsupported_grant_type" // RFC 6749 §5.2
	// There is no such response type here.
	UnsupportedResponseType Code = "unsupported_response_type" // RFC 6749 §4.1.2.1
	// A scope is missing, unknown, more than was granted, or not the client's to ask for.
	InvalidScope Code = "invalid_scope" // RFC 6749 §4.1.2.1, §5.2
	// A resource is malformed, or none of this client's.
	InvalidTarget Code = "invalid_target" // RFC 8707 §2
	// The person, or a rule, said no.
	AccessDenied Code = "access_denied" // RFC 6749 §4.1.2.1
	// The access token is missing, malformed, expired, ended, or not for this server.
	InvalidToken Code = "invalid_token" // RFC 6750 §3.1
	// The access token is good, and lacks a scope or the person the right to use it.
	InsufficientScope Code = "insufficient_scope" // RFC 6750 §3.1
	// What is asked about does not exist, or is over. Of the endpoints for administration.
	NotFound Code = "not_found"
	// Too many requests, a busy server, or one whose database is away; Retry-After says when to try again. Nothing has changed.
	TooManyRequests Code = "temporarily_unavailable" // RFC 6749 §4.1.2.1
	// The server could not do it; its log knows why. Nothing was used up, unless the description says that nobody knows.
	ServerError Code = "server_error" // RFC 6749 §4.1.2.1

	// The person has not yet answered for a device: it asks again after the interval.
	AuthorizationPending Code = "authorization_pending" // RFC 8628 §3.5
	// The device asks too often: it waits five seconds longer, this time and from now on.
	SlowDown Code = "slow_down" // RFC 8628 §3.5
	// Nobody has answered for the device in time: it begins anew.
	ExpiredToken Code = "expired_token" // RFC 8628 §3.5
	// A proof is missing or wrong in a sign-in without a redirect, or the sign-in is too old; the answer has the auth session to go on with.
	InsufficientAuthorization Code = "insufficient_authorization" // draft-ietf-oauth-first-party-apps-04 §5.2.2.1, §6.2
	// The sign-in needs a page, in a browser.
	RedirectToWeb Code = "redirect_to_web" // draft-ietf-oauth-first-party-apps-04 §5.2.2.1
	// The auth session is not valid, was replaced or has expired.
	InvalidSession Code = "invalid_session" // draft-ietf-oauth-first-party-apps-04 §5.2.2.1
)

// The codes that only a request to the authorization endpoint can have. They are taken
// to the application by the browser, or are shown to the person where no address of the
// application can be trusted.
const (
	// The request says prompt=none, and the person must sign in; or another person is signed in than it is for.
	LoginRequired Code = "login_required" // OpenID Connect Core §3.1.2.6
	// The request says prompt=none, and the person must agree.
	ConsentRequired Code = "consent_required" // OpenID Connect Core §3.1.2.6
	// The request says prompt=none, and a page is needed for another reason.
	InteractionRequired Code = "interaction_required" // OpenID Connect Core §3.1.2.6
	// The request says prompt=none, and another one of the people who are signed in would do.
	AccountSelectionRequired Code = "account_selection_required" // OpenID Connect Core §3.1.2.6
	// The claim acr is essential, and none of its values can be reached.
	UnmetAuthentication Code = "unmet_authentication_requirements" // OpenID Connect Core Error Code unmet_authentication_requirements §1
	// The request object is not signed by the client, has expired, is for somebody else or contradicts the request.
	InvalidRequestObject Code = "invalid_request_object" // OpenID Connect Core §3.1.2.6, RFC 9101 §7
	// The request_uri is not registered, or what is there cannot be had.
	InvalidRequestURI Code = "invalid_request_uri" // OpenID Connect Core §3.1.2.6, RFC 9101 §7
	// The request has the parameter registration.
	RegistrationUnsupported Code = "registration_not_supported" // OpenID Connect Core §3.1.2.6
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
