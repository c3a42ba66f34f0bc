package client

import (
	"errors"
	"fmt"
	"net/http"
)

var (
	// ErrUnavailable says that the authorization server could not be reached,
	// did not answer in time, or failed itself. Trying later may help; nothing
	// that the application holds has become invalid.
	ErrUnavailable = errors.New("the authorization server is unavailable")
	// ErrNoSession says that nobody is signed in.
	ErrNoSession = errors.New("nobody is signed in")
	// ErrExpired says that the access token has expired and was not renewed.
	ErrExpired = errors.New("the access token has expired")
	// ErrAttempt says that a response belongs to no sign-in that this browser
	// began: unknown or expired state, another browser, or a second use.
	ErrAttempt = errors.New("this sign-in was not begun here, has expired or was completed before")
	// ErrIssuer says that a document, a response or a token comes from another
	// issuer than the configured one.
	ErrIssuer = errors.New("another issuer than the configured one")
	// ErrIdentity says that an ID token failed a check.
	ErrIdentity = errors.New("the ID token is not acceptable")
	// ErrNotice says that a logout token failed a check.
	ErrNotice = errors.New("the logout token is not acceptable")
	// ErrResponse says that an answer does not follow the protocol.
	ErrResponse = errors.New("the answer does not follow the protocol")
	// ErrUnsupported says that the authorization server does not offer this.
	ErrUnsupported = errors.New("the authorization server does not offer this")
	// ErrTooLarge says that a session does not fit into a cookie.
	ErrTooLarge = errors.New("the session does not fit into a cookie")
)

// Error is an error that the authorization server named: RFC 6749 §4.1.2.1 for
// the authorization endpoint, §5.2 for the token endpoint, RFC 6750 §3 for
// userinfo.
type Error struct {
	Code        string // "invalid_grant", "access_denied", …
	Description string // the server's prose, for logs; never decide by it
	Status      int    // HTTP status of the answer; 0: came by redirect

	// Cause says with "invalid_grant" why what was granted has ended, as Ostiary
	// tells it: "account_disabled" means that signing in again will not help.
	// Empty: it is not told.
	Cause string
}

func (e *Error) Error() string {
	if e.Description == "" {
		return "the authorization server answered " + e.Code
	}
	return fmt.Sprintf("the authorization server answered %s (%s)", e.Code, e.Description)
}

// Is makes a failure of the server itself match ErrUnavailable.
func (e *Error) Is(target error) bool {
	return target == ErrUnavailable && (e.Status >= 500 || e.Status == http.StatusTooManyRequests ||
		e.Code == "server_error" || e.Code == "temporarily_unavailable")
}

// hasCode reports whether err is an OAuth error of that code.
func hasCode(err error, code string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}

// printable shortens s and drops what could confuse a log or a page.
func printable(s string, max int) string {
	out := make([]byte, 0, min(len(s), max))
	for i := 0; i < len(s) && len(out) < max; i++ {
		if c := s[i]; c >= 0x20 && c < 0x7f {
			out = append(out, c)
		}
	}
	return string(out)
}
