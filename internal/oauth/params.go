package oauth

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/ostiary/ostiary/internal/registration"
)

// limits bounds each parameter that is stored or compared, in bytes. What is
// not named here may be as long as the request itself may be (64 KiB).
var limits = map[string]int{
	"client_id":             registration.MaxClientID,
	"redirect_uri":          registration.MaxURI,
	"response_type":         64,
	"response_mode":         64,
	"scope":                 2048,
	"nonce":                 2048,
	"code_challenge":        128,
	"code_challenge_method": 16,
	"code_verifier":         256,
	"prompt":                128,
	"max_age":               16,
	"login_hint":            320,
	"logout_hint":           320,
	"acr_values":            1024,
	"claims":                8192,
	"display":               16,
	"ui_locales":            256,
	"claims_locales":        256,
	"idp_hint":              64,
	"resource":              2048,
	"code":                  256,
	"device_code":           256,
	"user_code":             64,
	"refresh_token":         512,
	"grant_type":            128,
	"client_secret":         512,
	"client_assertion":      8192,
	"client_assertion_type": 128,
	"token_type_hint":       64,
	"request_uri":           registration.MaxRequestURI,
	"request":               49152,
	"state":                 16384,
	"id_token_hint":         16384,
	"token":                 16384,

	"post_logout_redirect_uri": registration.MaxURI,

	"auth_session": 256,
	"username":     800,
	"password":     1024,
	"remember":     5,
	"user_address": 64,
	"user_agent":   512,
}

// repeatable names the parameters that may come more than once.
var repeatable = map[string]bool{"resource": true} // RFC 8707 §2

// params are the parameters of one request, each of which is known to come
// once at most, to be well-formed, and to keep its limit, or is not there. The
// values of a repeatable one stand in one text, each on a line of its own.
type params map[string]string

func (p params) get(name string) string { return p[name] }

func (p params) has(name string) bool { _, ok := p[name]; return ok }

// list splits a space-separated parameter, dropping what comes twice.
func (p params) list(name string) []string { return unique(strings.Fields(p[name])) }

// all returns the values of a repeatable parameter, each once.
func (p params) all(name string) []string {
	return unique(strings.FieldsFunc(p[name], func(c rune) bool { return c == '\n' })) // no value holds one
}

// parse takes what is sound from a form and returns the first fault found, by
// the order of names, so that the answer does not depend on map order.
//
// RFC 6749 §3.1, §3.2: "Parameters sent without a value MUST be treated as if
// they were omitted"; "Request and response parameters MUST NOT be included
// more than once." A parameter that we do not know is ignored as the same
// clause demands, but not when it is repeated.
func parse(form url.Values) (params, *Error) {
	p := make(params, len(form))
	var fault *Error
	var at string
	for name, values := range form {
		e := p.take(name, values)
		if e != nil && (fault == nil || name < at) {
			fault, at = e, name
		}
	}
	return p, fault
}

func (p params) take(name string, values []string) *Error {
	if repeatable[name] {
		return p.takeAll(name, values)
	}
	if len(values) > 1 {
		return fail(InvalidRequest, "The parameter %s comes more than once", plain(name))
	}
	if len(values) == 0 || values[0] == "" {
		return nil
	}
	if e := sound(name, values[0]); e != nil {
		return e
	}
	p[name] = values[0]
	return nil
}

// takeAll takes a repeatable parameter.
func (p params) takeAll(name string, values []string) *Error {
	if len(values) > maxRepeated {
		return fail(InvalidRequest, "The parameter %s comes more than %d times", name, maxRepeated)
	}
	for _, value := range values {
		if e := sound(name, value); e != nil {
			return e
		}
	}
	if all := strings.Trim(strings.Join(values, "\n"), "\n"); all != "" {
		p[name] = all
	}
	return nil
}

func sound(name, value string) *Error {
	if limit, ok := limits[name]; ok && len(value) > limit {
		return fail(InvalidRequest, "The parameter %s is longer than %d bytes", name, limit)
	}
	if name == "claims" {
		value = blanks.Replace(value) // JSON may be written in several lines
	}
	if !clean(value) {
		return fail(InvalidRequest, "The parameter %s is not plain UTF-8 text", plain(name))
	}
	return nil
}

var blanks = strings.NewReplacer("\t", " ", "\n", " ", "\r", " ")

// clean reports whether s is UTF-8 without control characters.
func clean(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, c := range []byte(s) {
		if c < 0x20 || c == 0x7f {
			return false
		}
	}
	return true
}

func unique(in []string) []string {
	var out []string
	seen := make(map[string]bool, len(in))
	for _, s := range in {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
