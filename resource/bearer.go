package resource

import (
	"net/http"
	"net/url"
	"strings"
)

// maxHeader bounds the Authorization header, in bytes: common servers and
// proxies stop at 8 KiB, so nothing longer arrives by honest means.
const maxHeader = 8 << 10

// credentials finds the access token of a request, RFC 6750 §2. Only the header
// counts: a token in a query ends up in logs and histories (RFC 9700 §4.3.2),
// and one in a body cannot be found without reading what belongs to the API.
func credentials(r *http.Request) (string, *Refusal) {
	if inQuery(r.URL.RawQuery) {
		return "", badRequest("The access token must be sent in the Authorization header and nowhere else")
	}
	lines := r.Header["Authorization"]
	if len(lines) == 0 {
		return "", noCredentials()
	}
	if len(lines) > 1 { // RFC 6750 §3.1: more than one method
		return "", badRequest("The Authorization header was sent twice")
	}
	line := lines[0]
	if len(line) > maxHeader {
		return "", badRequest("The Authorization header is too long")
	}
	scheme, token, _ := strings.Cut(line, " ")
	// RFC 9110 §11.1: the scheme is case-insensitive.
	if !strings.EqualFold(scheme, "Bearer") {
		if strings.ContainsFunc(scheme, func(r rune) bool { return r <= ' ' || r > '~' }) || scheme == "" {
			return "", badRequest("The Authorization header is malformed")
		}
		return "", noCredentials() // another scheme: ours was not used
	}
	token = strings.TrimLeft(token, " ") // RFC 9110 §11.4: 1*SP
	if !isToken68(token) {
		return "", badRequest("The Authorization header does not hold one bearer token")
	}
	return token, nil
}

func inQuery(raw string) bool {
	if !strings.Contains(raw, "access") && !strings.Contains(raw, "%") {
		return false
	}
	// What does not parse is left out of the values, and is no token then.
	q, _ := url.ParseQuery(raw)
	return q.Has("access_token")
}

// isToken68: b64token, RFC 6750 §2.1.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && !strings.ContainsRune("-._~+/", rune(c)) {
			return false
		}
	}
	return s != ""
}
