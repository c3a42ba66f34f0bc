package registration

import (
	"errors"
	"fmt"
	"strings"
)

// Code is the code of an error: what a program switches on.
type Code string

// The codes of registration. Each is told by when it comes, and has the clause that
// defines it.
const (
	// A redirect URI cannot be registered.
	InvalidRedirectURI Code = "invalid_redirect_uri" // RFC 7591 §3.2.2
	// Another member is wrong, or not allowed here; the description names it.
	InvalidClientMetadata Code = "invalid_client_metadata" // RFC 7591 §3.2.2
	// The software statement is not signed by its issuer, has expired or is malformed.
	InvalidSoftwareStatement Code = "invalid_software_statement" // RFC 7591 §3.2.2
	// The software statement is of an issuer that is not trusted here.
	UnapprovedSoftwareStatement Code = "unapproved_software_statement" // RFC 7591 §3.2.2
	// The token is missing, wrong, used up or expired, or not that of this client; the same for a client that does not exist.
	InvalidToken Code = "invalid_token" // RFC 6750 §3.1
	// Registration is off, or an operator has shut the client out.
	AccessDenied Code = "access_denied" // RFC 6749 §4.1.2.1
	// Too many registrations from this address, or too many documents to fetch; Retry-After says when to try again.
	TooManyRequests Code = "temporarily_unavailable" // RFC 6749 §4.1.2.1
)

// InvalidClient says that a metadata document cannot be used. Package oauth answers with
// the code that fits where the client_id came.
const InvalidClient Code = "invalid_client" // RFC 6749 §5.2

// Error is how a program is told that it cannot register, or that its client
// cannot be known. Description is fit for anybody's eyes and consists of the
// characters that RFC 6749 §5.2 allows; the cause is for the log alone.
type Error struct {
	Code        Code
	Description string
	RetryAfter  int64 // when it may be tried again, in seconds; 0: nobody knows

	cause error
}

func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Description, e.cause)
	}
	return string(e.Code) + ": " + e.Description
}

func (e *Error) Unwrap() error { return e.cause }

// fail makes an Error. What is put into the description must come from us, or
// be known to consist of safe characters (see ascii).
func fail(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Description: fmt.Sprintf(format, args...)}
}

// InvalidClientError says which setting of a client is wrong, and why.
type InvalidClientError struct {
	Setting string // the JSON name
	Reason  string
}

func (e *InvalidClientError) Error() string { return e.Setting + ": " + e.Reason }

func invalid(setting, format string, args ...any) error {
	return &InvalidClientError{setting, fmt.Sprintf(format, args...)}
}

// join lists values for a Reason.
func join[T ~string](values []T) string {
	var all []string
	for _, v := range values {
		all = append(all, string(v))
	}
	return strings.Join(all, ", ")
}

// refusal turns what is wrong with a client's settings into an error of RFC 7591
// §3.2.2.
func refusal(err error) error {
	var wrong *InvalidClientError
	if !errors.As(err, &wrong) {
		return err
	}
	code, name := InvalidClientMetadata, wrong.Setting
	switch name {
	case "redirect_uris":
		code = InvalidRedirectURI
	case "scopes":
		name = "scope"
	}
	return fail(code, "%s", ascii(name+": "+wrong.Reason))
}

// ascii makes a text fit for an error_description (RFC 6749 §5.2) and bounds it.
func ascii(text string) string {
	text = strings.Map(func(c rune) rune {
		switch {
		case c == '"':
			return '\''
		case c < 0x20 || c > 0x7e || c == '\\':
			return '?'
		}
		return c
	}, text)
	if len(text) > 300 {
		text = text[:300]
	}
	return text
}
