package resource

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The codes of refusals.
const (
	// The token comes twice, in two ways or malformed.
	CodeInvalidRequest = "invalid_request" // RFC 6750 §3.1
	// The token is not good, or not any more: the client renews it.
	CodeInvalidToken = "invalid_token" // RFC 6750 §3.1
	// The token lacks a scope.
	CodeInsufficientScope = "insufficient_scope" // RFC 6750 §3.1
	// The sign-in is too old or too weak: the person signs in again.
	CodeInsufficientSignIn = "insufficient_user_authentication" // RFC 9470 §3
	// The keys or the revocation feed cannot be had; it is not about the token. Retry-After says when to try again.
	CodeTemporarilyUnavailable = "temporarily_unavailable" // RFC 6749 §4.1.2.1
)

// Refusal is why a request was not let through. 401 means that a new token could
// cure it, 403 that no token of this person would, 503 that it is not about the
// token at all.
type Refusal struct {
	Status      int
	Code        string        // "" when there were no credentials, RFC 6750 §3.1
	Description string        // ASCII, without quotes, backslashes and secrets
	Scope       []string      // wanted, with CodeInsufficientScope
	ACR         []string      // wanted, with CodeInsufficientSignIn
	MaxAge      time.Duration // wanted, with CodeInsufficientSignIn; 0: any
	RetryAfter  time.Duration // with 503

	problem *Problem // said by the API itself: no challenge
	cause   error    // for the log
}

func (r *Refusal) Error() string {
	if r.cause == nil {
		return fmt.Sprintf("resource: %d %s: %s", r.Status, r.Code, r.Description)
	}
	return fmt.Sprintf("resource: %d %s: %s: %v", r.Status, r.Code, r.Description, r.cause)
}

// Unwrap returns the cause, such as an error of package jwt.
func (r *Refusal) Unwrap() error { return r.cause }

func noCredentials() *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Description: "An access token is needed"}
}

func badRequest(description string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Code: CodeInvalidRequest, Description: description}
}

func badToken(description string, cause error) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Code: CodeInvalidToken, Description: description, cause: cause}
}

// Problem is a refusal in the API's own words, RFC 9457 §3.
type Problem struct {
	Type   string // URI of the kind of problem; empty: "about:blank"
	Title  string // default: the status in words
	Detail string // for people
}

// Forbid answers 403 in the API's own words: the token is good, and what was
// asked is not for this person. No challenge is sent, because no other token
// would help.
func Forbid(w http.ResponseWriter, p Problem) {
	write(w, "", &Refusal{Status: http.StatusForbidden, problem: &p})
}

// Refuse answers a request with what Verify or Check returned. Any other error
// becomes a 500 that says nothing more.
func (g *Guard) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		refusal = &Refusal{Status: http.StatusInternalServerError, Code: "server_error", cause: err}
	}
	level := g.log.DebugContext
	if refusal.Status >= 500 {
		level = g.log.WarnContext
	}
	level(r.Context(), "request refused", "method", r.Method, "path", r.URL.Path, "error", refusal)
	write(w, g.challenge, refusal)
}

// write is the one place where a refusal becomes an answer. prefix is what every
// challenge of the guard begins with.
func write(w http.ResponseWriter, prefix string, r *Refusal) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	// Scripts of other origins, where the API lets them in, may read why.
	h.Add("Access-Control-Expose-Headers", "WWW-Authenticate")
	if r.challenged() {
		h.Set("WWW-Authenticate", prefix+r.parameters())
	}
	if r.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((r.RetryAfter+time.Second-1)/time.Second)))
	}
	body := struct {
		Type   string `json:"type,omitempty"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail,omitempty"`
		Error  string `json:"error,omitempty"`
		Scope  string `json:"scope,omitempty"`
		ACR    string `json:"acr_values,omitempty"`
		MaxAge int64  `json:"max_age,omitempty"`
	}{
		Title: http.StatusText(r.Status), Status: r.Status, Detail: r.Description, Error: r.Code,
		Scope: strings.Join(r.Scope, " "), ACR: strings.Join(r.ACR, " "), MaxAge: seconds(r.MaxAge),
	}
	if p := r.problem; p != nil {
		body.Type, body.Detail = p.Type, p.Detail
		if p.Title != "" {
			body.Title = p.Title
		}
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(r.Status)
	json.NewEncoder(w).Encode(body) // the status is out: nothing to do on failure
}

// challenged: RFC 6750 §3, where a token was missing or did not do.
func (r *Refusal) challenged() bool { return r.problem == nil && r.Status < 500 }

// parameters returns the part of the challenge that tells the cause, RFC 6750 §3
// and RFC 9470 §3. Every value is of our own making or was checked in New and
// Require to hold nothing that ends a quoted string.
func (r *Refusal) parameters() string {
	if r.Code == "" {
		return ""
	}
	out := fmt.Sprintf(`, error="%s", error_description="%s"`, r.Code, r.Description)
	if len(r.Scope) > 0 {
		out += fmt.Sprintf(`, scope="%s"`, strings.Join(r.Scope, " "))
	}
	if len(r.ACR) > 0 {
		out += fmt.Sprintf(`, acr_values="%s"`, strings.Join(r.ACR, " "))
	}
	if r.MaxAge > 0 {
		out += fmt.Sprintf(`, max_age="%d"`, seconds(r.MaxAge))
	}
	return out
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
