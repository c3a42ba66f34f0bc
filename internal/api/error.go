package api

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// statuses are those of errors that are not answered with 400, RFC 6749 §5.2.
var statuses = map[oauth.Code]int{
	oauth.ServerError:               http.StatusInternalServerError,
	oauth.TooManyRequests:           http.StatusTooManyRequests, // 503 of a busy server
	oauth.InvalidClient:             http.StatusUnauthorized,
	oauth.InsufficientAuthorization: http.StatusForbidden, // draft-ietf-oauth-first-party-apps-04 §5.2.2.1
	oauth.RedirectToWeb:             http.StatusForbidden, // draft-ietf-oauth-first-party-apps-04 §5.2.2.1
}

// refuse is the one place where an error becomes an answer for a program, RFC
// 6749 §5.2.
func (s *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var code oauth.Code
	var description string
	status := http.StatusBadRequest
	var ended model.Cause
	var e *oauth.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		status, code, description = http.StatusRequestEntityTooLarge, oauth.InvalidRequest, "The body is larger than "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes"
	case errors.Is(err, errBody):
		code, description = oauth.InvalidRequest, "The body must be one application/x-www-form-urlencoded form, and the Authorization header must come once"
	case errors.Is(err, account.ErrBusy):
		e = &oauth.Error{RetryAfter: busyFor, Busy: true}
		code, description = oauth.TooManyRequests, "Too many sign-ins at once: try again in a few seconds"
	default:
		e = oauth.Unforeseen(err)
		code, description, ended = e.Code, e.Description, e.Ended
	}
	level := slog.LevelInfo
	if special, ok := statuses[code]; ok {
		status = special
	}
	switch code {
	case oauth.ServerError:
		level = slog.LevelError
	case oauth.TooManyRequests:
		if e.Busy {
			status = http.StatusServiceUnavailable
		}
		w.Header().Set("Retry-After", strconv.FormatInt(e.RetryAfter, 10))
	case oauth.InvalidClient:
		// RFC 6749 §5.2: the scheme in which the client tried.
		w.Header().Set("WWW-Authenticate", `Basic realm="`+s.Authority.Issuer+`", charset="UTF-8"`)
	}
	s.Logger.Log(r.Context(), level, "refused", "path", r.URL.Path, "status", status, "error", err, "request", s.RequestID(r))
	if s.Refused != nil && r.URL.Path == s.Authority.BasePath()+oauth.PathToken {
		s.Refused(r.PostForm.Get("grant_type"), string(code))
	}
	body := refusal{Error: code, Description: description, Cause: ended}
	if code == oauth.InsufficientAuthorization {
		body.AuthSession, body.PasswordRequired = e.AuthSession.Reveal(), true
	}
	writeRefusal(w, status, body)
}

// refusal is an error answer, RFC 6749 §5.2.
type refusal struct {
	Error       oauth.Code `json:"error"`
	Description string     `json:"error_description,omitempty"`

	// Cause is a member of our own, and so has our name (RFC 6749 §8.2): what a
	// program switches on where the code alone does not tell what to do.
	Cause model.Cause `json:"ostiary_cause,omitempty"`

	// More is asked for, draft-ietf-oauth-first-party-apps-04 §5.2.2 and §6.2: the
	// last member says what, and is this server's own.
	AuthSession      string `json:"auth_session,omitempty"`
	PasswordRequired bool   `json:"password_required,omitempty"`
}

// busyFor is when a sign-in is tried again for which there was no place, in seconds.
const busyFor = 5

func writeError(w http.ResponseWriter, status int, code oauth.Code, description string) {
	writeRefusal(w, status, refusal{Error: code, Description: description})
}

func writeRefusal(w http.ResponseWriter, status int, body refusal) {
	if err := writeJSON(w, status, body); err != nil {
		http.Error(w, `{"error":"server_error"}`, http.StatusInternalServerError)
	}
}

// problem is an error without a code of OAuth, RFC 9457 §3.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

func writeProblem(w http.ResponseWriter, p problem) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	w.Write(append(body, '\n')) // a peer that has gone cannot be told
	return nil
}
