package api

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// refuse is the one place where an error becomes an answer for a program, RFC
// 6749 §5.2.
func (s *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	code, description := oauth.ServerError, "The server could not do this now; it has been logged"
	status := http.StatusBadRequest
	var ended model.Cause
	var e *oauth.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		status, code, description = http.StatusRequestEntityTooLarge, oauth.InvalidRequest, "The body is larger than "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes"
	case errors.Is(err, errBody):
		code, description = oauth.InvalidRequest, "The body must be one application/x-www-form-urlencoded form, and the Authorization header must come once"
	case errors.As(err, &e):
		code, description, ended = e.Code, e.Description, e.Ended
	}
	level := slog.LevelInfo
	switch code {
	case oauth.ServerError:
		status, level = http.StatusInternalServerError, slog.LevelError
	case oauth.TooManyRequests:
		if status = http.StatusTooManyRequests; e.Busy {
			status = http.StatusServiceUnavailable
		}
		w.Header().Set("Retry-After", strconv.FormatInt(e.RetryAfter, 10))
	case oauth.InvalidClient:
		// RFC 6749 §5.2: 401, and the scheme in which the client tried.
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Basic realm="`+s.Authority.Issuer+`", charset="UTF-8"`)
	}
	s.Logger.Log(r.Context(), level, "refused", "path", r.URL.Path, "status", status, "error", err, "request", s.RequestID(r))
	writeRefusal(w, status, refusal{code, description, ended})
}

// refusal is an error answer, RFC 6749 §5.2.
type refusal struct {
	Error       oauth.Code `json:"error"`
	Description string     `json:"error_description,omitempty"`

	// Cause is a member of our own, and so has our name (RFC 6749 §8.2): what a
	// program switches on where the code alone does not tell what to do.
	Cause model.Cause `json:"ostiary_cause,omitempty"`
}

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
