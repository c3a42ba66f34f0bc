package api

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/registration"
)

// register is the client registration endpoint, RFC 7591 §3.
func (s *API) register(w http.ResponseWriter, r *http.Request) error {
	call, err := s.registrationCall(r)
	if err != nil {
		return s.refuseRegistration(w, r, err)
	}
	info, err := s.Registrar.Register(r.Context(), call)
	if err != nil {
		return s.refuseRegistration(w, r, err)
	}
	return writeJSON(w, http.StatusCreated, info)
}

// registration is the client configuration endpoint, RFC 7592 §2.
func (s *API) registration(w http.ResponseWriter, r *http.Request) error {
	call, err := s.registrationCall(r)
	if err != nil {
		return s.refuseRegistration(w, r, err)
	}
	var info registration.Information
	switch r.Method {
	case http.MethodPut:
		info, err = s.Registrar.Reregister(r.Context(), call)
	case http.MethodDelete:
		err = s.Registrar.Deregister(r.Context(), call)
	default:
		info, err = s.Registrar.Registered(r.Context(), call)
	}
	switch {
	case err != nil:
		return s.refuseRegistration(w, r, err)
	case r.Method == http.MethodDelete:
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent) // RFC 7592 §2.3
		return nil
	}
	return writeJSON(w, http.StatusOK, info)
}

// registrationCall reads a request to either endpoint. The token comes in the
// header alone (RFC 7591 §3, RFC 7592 §2), the metadata as JSON.
func (s *API) registrationCall(r *http.Request) (registration.Call, error) {
	call := registration.Call{Client: model.ClientID(r.PathValue("client")), Address: s.Address(r)}
	switch headers := r.Header.Values("Authorization"); {
	case len(headers) > 1:
		return call, &oauth.Error{Code: oauth.InvalidRequest, Description: "The Authorization header must come once"}
	case len(headers) == 1:
		scheme, token, ok := strings.Cut(headers[0], " ")
		if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > 512 || strings.ContainsAny(token, " ,") {
			return call, &registration.Error{Code: registration.InvalidToken, Description: "The Authorization header must be: Bearer, a space, the token"}
		}
		call.Token = model.Secret(token)
	}
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		return call, nil
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/json") { // RFC 7591 §3.1
		return call, &registration.Error{Code: registration.InvalidClientMetadata, Description: "The Content-Type must be application/json"}
	}
	var err error
	call.Body, err = io.ReadAll(r.Body)
	return call, err
}

// registrations are the statuses of errors of registration that are not answered with
// 400.
var registrations = map[registration.Code]int{
	registration.InvalidToken:    http.StatusUnauthorized,
	registration.AccessDenied:    http.StatusForbidden,
	registration.TooManyRequests: http.StatusTooManyRequests,
}

// refuseRegistration answers by RFC 7591 §3.2.2 and RFC 7592 §2, which differ
// from the other endpoints in some statuses; what is not about registration is
// refuse's.
func (s *API) refuseRegistration(w http.ResponseWriter, r *http.Request, err error) error {
	var e *registration.Error
	if !errors.As(err, &e) {
		return err
	}
	status := http.StatusBadRequest
	if other, ok := registrations[e.Code]; ok {
		status = other
	}
	switch e.Code {
	case registration.InvalidToken:
		challenge := `Bearer realm="` + s.Authority.Issuer + `"`
		if r.Header.Get("Authorization") != "" { // RFC 6750 §3.1
			challenge += `, error="invalid_token", error_description="` + e.Description + `"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	case registration.TooManyRequests:
		w.Header().Set("Retry-After", strconv.FormatInt(e.RetryAfter, 10))
	}
	s.Logger.LogAttrs(r.Context(), slog.LevelInfo, "refused", slog.String("path", r.URL.Path), slog.Int("status", status),
		slog.Any("error", err), slog.String("request", s.RequestID(r)))
	writeError(w, status, oauth.Code(e.Code), e.Description)
	return nil
}
