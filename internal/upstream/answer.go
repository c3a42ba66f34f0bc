package upstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/strictjson"
)

// Bounds on what a provider's programs answer.
const (
	maxAnswer = 1 << 20 // bytes
	maxDepth  = 8       // of what is told of a person
	maxReason = 500     // characters
)

// question is a request for something about a person, by GET.
type question struct {
	address string
	access  string // token
	header  http.Header
}

// ask sends a question and reads the JSON that answers it.
func (c Config) ask(ctx context.Context, q question) (any, error) {
	a, err := fetch.Send(ctx, c.Client, fetch.Message{
		Method: http.MethodGet, URL: q.address, Header: q.header, Most: maxAnswer,
		Accept: cmp.Or(q.header.Get("Accept"), "application/json"), Authorization: "Bearer " + q.access, // RFC 6750 §2.1
	})
	switch {
	case err != nil:
		return nil, caused(Unavailable, host(q.address)+": "+err.Error(), err)
	case a.Cut:
		return nil, failed(Unavailable, host(q.address)+" answers more than 1 MiB")
	case a.Status >= 500 || a.Status == http.StatusTooManyRequests:
		return nil, failed(Unavailable, fmt.Sprintf("%s answers %d", host(q.address), a.Status))
	case a.Status != http.StatusOK:
		return nil, failed(Misconfigured, fmt.Sprintf("%s answers %d", host(q.address), a.Status))
	}
	v, err := readJSON(a.Body)
	if err != nil {
		return nil, caused(Unavailable, host(q.address)+": "+err.Error(), err)
	}
	return v, nil
}

// readJSON reads one value: no name twice, bounded in depth, numbers as json.Number, for
// there are subjects beyond 2^53.
func readJSON(text []byte) (any, error) {
	if _, err := strictjson.Parse(string(text)); err != nil {
		return nil, err
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if !shallow(v, maxDepth) {
		return nil, fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	return v, nil
}

func shallow(v any, most int) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			if most == 0 || !shallow(inner, most-1) {
				return false
			}
		}
		return most > 0
	case []any:
		for _, inner := range v {
			if most == 0 || !shallow(inner, most-1) {
				return false
			}
		}
		return most > 0
	}
	return true
}

// checkAnswer looks at what the browser brought before any of it is used. Whatever is
// wrong here says nothing of the provider: anybody can send a browser with anything.
func checkAnswer(a Answer) error {
	// RFC 6749 §3.1: parameters must not be sent more than once.
	for name, values := range a.Values {
		if len(values) > 1 {
			return failed(Untrusted, "the answer has "+printable(name, 40)+" twice")
		}
	}
	if a.Values.Get("code") == "" && a.Values.Get("error") == "" {
		return failed(Untrusted, "the answer has neither code nor error")
	}
	return nil
}

// What error codes of OAuth 2.0 and OpenID Connect mean for the person; all others say
// that we asked for something that we may not ask for.
var meanings = map[string]Code{
	"access_denied":            Denied, // RFC 6749 §4.1.2.1
	"user_cancelled_authorize": Denied, // Apple's
	"server_error":             Unavailable,
	"temporarily_unavailable":  Unavailable,

	// OpenID Connect Core §3.1.2.6.
	"login_required":             Asks,
	"interaction_required":       Asks,
	"consent_required":           Asks,
	"account_selection_required": Asks,

	// RFC 6749 §5.2: a code that is not good here was not given to us, or came before.
	"invalid_grant":         Untrusted,
	"bad_verification_code": Untrusted, // GitHub's
}

// told makes an *Error of what package client says.
func told(err error) error {
	if _, done := errors.AsType[*Error](err); done || err == nil {
		return err
	}
	reason := printable(strings.TrimPrefix(err.Error(), "client: "), maxReason)
	if e, named := errors.AsType[*client.Error](err); named {
		code := cmp.Or(meanings[e.Code], Misconfigured)
		if e.Status != 0 && errors.Is(err, client.ErrUnavailable) {
			code = Unavailable
		}
		return &Error{Code: code, Reason: reason, Hearsay: e.Status == 0, cause: err}
	}
	for _, untrusted := range []error{client.ErrIssuer, client.ErrIdentity, client.ErrAttempt, client.ErrNotice} {
		if errors.Is(err, untrusted) {
			return caused(Untrusted, reason, err)
		}
	}
	return caused(Unavailable, reason, err)
}

// host is as much of an address as a log is told.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address"
	}
	return u.Host
}

// printable shortens s and leaves out what could confuse a log.
func printable(s string, most int) string {
	out := make([]byte, 0, min(len(s), most))
	for i := 0; i < len(s) && len(out) < most; i++ {
		if c := s[i]; c >= 0x20 && c < 0x7f {
			out = append(out, c)
		}
	}
	return string(out)
}
