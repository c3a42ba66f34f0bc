package guard

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/resource"
)

// The headers that tell an API who calls.
const (
	prefix        = "X-Auth-"
	headerSubject = prefix + "Subject"
	headerClient  = prefix + "Client"
	headerScope   = prefix + "Scope"
	headerSession = prefix + "Session"
	prefixClaim   = prefix + "Claim-"
)

// identity writes who calls into h. Every header is there, empty where there is
// nothing to tell: some proxies take what is missing from the client's own.
func identity(h http.Header, t *resource.AccessToken, told, known []string) error {
	claims := map[string]json.RawMessage{}
	if t == nil {
		t = &resource.AccessToken{}
	} else if err := t.Decode(&claims); err != nil {
		return err
	}
	h.Set(headerSubject, t.Subject)
	h.Set(headerClient, t.ClientID)
	h.Set(headerScope, strings.Join(t.Scope, " "))
	h.Set(headerSession, t.SessionID)
	for _, name := range known {
		h.Set(claimHeader(name), "")
	}
	for _, name := range told {
		h.Set(claimHeader(name), ascii(claims[name]))
	}
	return nil
}

// writable reports whether the claims that identify someone can stand in headers
// as they are. Another text could become somebody else's on its way.
func writable(t *resource.AccessToken) bool {
	for _, s := range append([]string{t.Subject, t.ClientID, t.SessionID}, t.Scope...) {
		if strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
			return false
		}
	}
	return true
}

// ascii writes JSON that may be any text into one line of ASCII.
func ascii(raw json.RawMessage) string {
	var out strings.Builder
	for _, r := range string(raw) {
		switch {
		case r == '\n' || r == '\r' || r == '\t': // between tokens: in strings they are escaped
			out.WriteByte(' ')
		case r > 0xffff: // RFC 8259 §7: as a surrogate pair
			r -= 0x10000
			out.WriteString(unicodeEscape(0xd800 + r>>10))
			out.WriteString(unicodeEscape(0xdc00 + r&0x3ff))
		case r > '~':
			out.WriteString(unicodeEscape(r))
		default:
			out.WriteRune(r)
		}
	}
	return strings.TrimSpace(out.String())
}

func unicodeEscape(r rune) string {
	text := strconv.FormatInt(int64(r), 16)
	return `\u` + strings.Repeat("0", 4-len(text)) + text
}

func claimHeader(name string) string {
	return http.CanonicalHeaderKey(prefixClaim + strings.ReplaceAll(name, "_", "-"))
}

// plain is the name of a header where headers become variables (RFC 3875
// §4.1.18): every separator has become the same one.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
}

// ours: what an API could take for a header that only the guard may send, or for
// one by which some frameworks choose another path than the one that was asked
// for.
func ours(plain string) bool {
	return strings.HasPrefix(plain, "x-auth-") || plain == "x-original-url" || plain == "x-rewrite-url"
}

// forwarding: what tells of the way of a request.
func forwarding(plain string) bool {
	return strings.HasPrefix(plain, "x-forwarded-") || plain == "forwarded" || plain == "x-real-ip"
}

// strip removes headers by their plain names.
func strip(h http.Header, which func(plain string) bool) {
	for name := range h {
		if which(plain(name)) {
			delete(h, name)
		}
	}
}

// overrides are headers that make some frameworks take another method for the one
// that was sent.
var overrides = []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// methods are all methods that an API might take a request to have, the one that
// was sent first.
func methods(r *http.Request) []string {
	all := []string{r.Method}
	for _, name := range overrides {
		for _, value := range r.Header.Values(name) {
			all = append(all, strings.ToUpper(strings.TrimSpace(value)))
		}
	}
	return all
}
