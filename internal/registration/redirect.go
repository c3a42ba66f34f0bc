package registration

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Loopback reports whether a URL is one of this very machine.
func Loopback(address string) bool {
	u, err := url.Parse(address)
	return err == nil && loopback(u.Hostname())
}

// loopback reports whether host names this very machine. Subdomains of
// localhost are loopback by RFC 6761 §6.3 and in every browser.
func loopback(host string) bool {
	return host == "127.0.0.1" || host == "::1" || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// checkRedirectURI says whether a URI may be registered. It is an allow-list:
// https, http on loopback, and for native applications a private scheme with a
// dot (RFC 8252 §7.1), which leaves no room for "javascript:" and its kin.
func checkRedirectURI(uri string, native bool) error {
	u, err := url.Parse(uri)
	switch {
	case len(uri) > MaxURI:
		return fmt.Errorf("it is longer than %d bytes", MaxURI)
	case err != nil || !text(uri, MaxURI) || strings.ContainsAny(uri, " \\"):
		return errors.New("it is not a URL")
	case u.Fragment != "" || strings.Contains(uri, "#"):
		return errors.New("it must not have a fragment") // RFC 6749 §3.1.2
	case u.User != nil:
		return errors.New("it must not hold a user name")
	case strings.Contains(uri, "*"):
		return errors.New("it must not hold a wildcard") // RFC 9700 §2.1
	case dotted(u.EscapedPath()):
		return errors.New("its path must not hold . or .. segments")
	}
	switch {
	case u.Scheme == "https" && u.Hostname() != "":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return errors.New("plain http is for loopback addresses only")
	case native && strings.Contains(u.Scheme, ".") && u.Host == "" && strings.HasPrefix(u.Path, "/"):
		return nil
	}
	return errors.New("its scheme must be https (or, for native applications, one like com.example.app:/path)")
}

// answerParameters are those that an answer can bring to a client.
var answerParameters = []string{
	"code", "state", "iss", "session_state", "access_token", "token_type", "expires_in", "scope", "id_token", "error", "error_description", "error_uri",
}

// holdsAnswer reports whether a redirect URI brings a parameter of an answer along,
// or a query that readers take apart differently. The client would find two of one
// name, against RFC 6749 §3.1, and nobody knows which it believes.
func holdsAnswer(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil {
		return true
	}
	query, err := url.ParseQuery(u.RawQuery)
	return err != nil || slices.ContainsFunc(answerParameters, query.Has)
}

func dotted(path string) bool {
	for s := range strings.SplitSeq(path, "/") {
		if s, err := url.PathUnescape(s); err != nil || s == "." || s == ".." || strings.ContainsAny(s, "/\\;") {
			return true
		}
	}
	return false
}

// Redirects reports whether an answer may go to an address. It compares as RFC 9700 §2.1 demands: byte for byte. The one
// exception is that of RFC 8252 §7.3: the port of a native application's
// loopback address is free.
func (c *Client) Redirects(sent string) bool {
	for _, r := range c.RedirectURIs {
		if r == sent || c.Native() && matchLoopback(r, sent) {
			return true
		}
	}
	return false
}

// matchLoopback compares two loopback addresses apart from their ports: the
// text sent must be the registered text with another port put in, nothing
// else, so that no parser's leniency can be turned against the comparison.
func matchLoopback(registered, sent string) bool {
	r, err := url.Parse(registered)
	if err != nil || r.Scheme != "http" || !loopback(r.Hostname()) || strings.HasSuffix(r.Hostname(), ".localhost") {
		return false
	}
	s, err := url.Parse(sent)
	if err != nil || s.Port() == "" {
		return false
	}
	if port, err := strconv.ParseUint(s.Port(), 10, 16); err != nil || port == 0 || strconv.FormatUint(port, 10) != s.Port() {
		return false
	}
	r.Host = net.JoinHostPort(r.Hostname(), s.Port())
	return r.String() == sent
}
