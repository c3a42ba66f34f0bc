package api

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// register is the client registration endpoint, RFC 7591 §3.
func (s *API) register(w http.ResponseWriter, r *http.Request) error {
	call, err := s.registrationCall(r)
	if err != nil {
		return s.refuseRegistration(w, r, err)
	}
	info, err := s.Authority.Register(r.Context(), call)
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
	var info oauth.Information
	switch r.Method {
	case http.MethodPut:
		info, err = s.Authority.Reregister(r.Context(), call)
	case http.MethodDelete:
		err = s.Authority.Deregister(r.Context(), call)
	default:
		info, err = s.Authority.Registered(r.Context(), call)
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
func (s *API) registrationCall(r *http.Request) (oauth.RegistrationCall, error) {
	call := oauth.RegistrationCall{Client: model.ClientID(r.PathValue("client")), Address: s.Address(r)}
	switch headers := r.Header.Values("Authorization"); {
	case len(headers) > 1:
		return call, &oauth.Error{Code: oauth.InvalidRequest, Description: "The Authorization header must come once"}
	case len(headers) == 1:
		scheme, token, ok := strings.Cut(headers[0], " ")
		if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > 512 || strings.ContainsAny(token, " ,") {
			return call, &oauth.Error{Code: oauth.InvalidToken, Description: "The Authorization header must be: Bearer, a space, the token"}
		}
		call.Token = model.Secret(token)
	}
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		return call, nil
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/json") { // RFC 7591 §3.1
		return call, &oauth.Error{Code: oauth.InvalidClientMetadata, Description: "The Content-Type must be application/json"}
	}
	var err error
	call.Body, err = io.ReadAll(r.Body)
	return call, err
}

// refuseRegistration answers by RFC 7591 §3.2.2 and RFC 7592 §2, which differ
// from the other endpoints in some statuses; the rest is refuse's.
func (s *API) refuseRegistration(w http.ResponseWriter, r *http.Request, err error) error {
	var e *oauth.Error
	if !errors.As(err, &e) {
		return err
	}
	status := 0
	switch e.Code {
	case oauth.InvalidToken:
		status = http.StatusUnauthorized
		challenge := `Bearer realm="` + s.Authority.Issuer + `"`
		if r.Header.Get("Authorization") != "" { // RFC 6750 §3.1
			challenge += `, error="invalid_token", error_description="` + e.Description + `"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	case oauth.AccessDenied:
		status = http.StatusForbidden
	default:
		return err
	}
	s.Logger.LogAttrs(r.Context(), slog.LevelInfo, "refused", slog.String("path", r.URL.Path), slog.Int("status", status),
		slog.Any("error", err), slog.String("request", s.RequestID(r)))
	writeError(w, status, e.Code, e.Description)
	return nil
}
