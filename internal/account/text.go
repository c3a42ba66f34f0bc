package account

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

const maxLogin = 200 // bytes, normalised

// normalizeLogin brings a login into the one form in which it is stored and
// looked for: without space around it, in lower case, with its wide letters
// made narrow and composed, RFC 8265 §3.3. An e-mail address is a login.
func normalizeLogin(s string) (string, error) {
	invalid := func(reason Reason) (string, error) { return "", ErrInvalid{"login", reason} }
	if len(s) > 4*maxLogin { // before any work; space and wide letters shrink
		return invalid(TooLong)
	}
	s = strings.TrimSpace(s)
	if s == "" {
		return invalid(Missing)
	}
	if !utf8.ValidString(s) {
		return invalid(NotText)
	}
	login, err := precis.UsernameCaseMapped.String(s)
	if err != nil {
		return invalid(NotLogin)
	}
	// What is not stable under its own rule would be stored and never found.
	if again, err := precis.UsernameCaseMapped.String(login); err != nil || again != login {
		return invalid(NotLogin)
	}
	if len(login) > maxLogin {
		return invalid(TooLong)
	}
	if local, domain, ok := strings.Cut(login, "@"); ok && (local == "" || domain == "" || strings.Contains(domain, "@")) {
		return invalid(NotEmailLogin)
	}
	return login, nil
}

// printable makes a text that a browser sent fit to be shown: valid UTF-8, no
// control characters, max bytes at most.
func printable(s string, max int) string {
	if len(s) > 4*max {
		s = s[:4*max]
	}
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, s)
	for len(s) > max {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
