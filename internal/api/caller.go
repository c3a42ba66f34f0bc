package api

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/signal"
)

// asked is a request of a client to an endpoint that takes access tokens of ours.
type asked func(w http.ResponseWriter, r *http.Request, c model.Client) error

// method is what a client may do at such an endpoint, and the scopes of which it
// needs one; the first is the one that is named to whoever has none.
type method struct {
	name   string
	scopes []string
	do     asked
}

// forClients serves clients by access tokens of their own, RFC 6750. No script of
// another site reads the answers: these are programs on servers.
func (s *API) forClients(methods ...method) Endpoint {
	var names []string
	for _, m := range methods {
		names = append(names, m.name)
	}
	e := s.private(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "no-store")
		for _, m := range methods {
			if m.name != r.Method && !(m.name == http.MethodGet && r.Method == http.MethodHead) {
				continue
			}
			token, e := headerToken(r)
			if e != nil {
				s.challenge(w, r, e)
				return nil
			}
			permit, err := s.Authority.PermitClient(r.Context(), token, m.scopes...)
			if err == nil {
				err = s.Authority.AdmitPermit(permit, s.Address(r))
			}
			if err != nil {
				return s.notPermitted(w, r, err)
			}
			err = m.do(w, r, permit.Client)
			if err != nil && r.Context().Err() != nil {
				return nil // whoever asked has gone
			}
			return s.refuseStream(w, r, err)
		}
		return nil
	}, names...)
	for i, m := range methods {
		e.Methods[i].Scopes = m.scopes
	}
	return e
}

// headerToken takes the access token from the header alone, RFC 6750 §2.1: the body
// is for what is asked, whatever its media type says.
func headerToken(r *http.Request) (string, *oauth.Error) {
	bare := *r
	bare.Method, bare.Body = http.MethodGet, nil
	return bearer(&bare)
}

// notPermitted refuses as RFC 6750 §3 says, and leaves the rest to refuse.
func (s *API) notPermitted(w http.ResponseWriter, r *http.Request, err error) error {
	var e *oauth.Error
	if !errors.As(err, &e) || e.Code == oauth.ServerError || e.Code == oauth.TooManyRequests {
		return err
	}
	s.challenge(w, r, e)
	return nil
}

func (s *API) refused(r *http.Request, status int, err error) {
	s.Logger.LogAttrs(r.Context(), slog.LevelInfo, "refused", slog.String("path", r.URL.Path), slog.Int("status", status),
		slog.Any("error", err), slog.String("request", s.RequestID(r)))
}

// refuseStream answers what the rules about streams say no to, OpenID Shared
// Signals Framework §8.1; the rest is refuse's.
func (s *API) refuseStream(w http.ResponseWriter, r *http.Request, err error) error {
	var invalid signal.ErrInvalid
	status, code := 0, oauth.InvalidRequest
	switch {
	case errors.As(err, &invalid):
		status = http.StatusBadRequest
	case errors.Is(err, signal.ErrNoStream):
		status = http.StatusNotFound
	case errors.Is(err, signal.ErrManyStreams):
		status = http.StatusConflict
	case errors.Is(err, signal.ErrTooSoon):
		status, code = http.StatusTooManyRequests, oauth.TooManyRequests
		w.Header().Set("Retry-After", strconv.Itoa(signal.VerifyInterval))
	default:
		return err
	}
	s.refused(r, status, err)
	writeError(w, status, code, err.Error())
	return nil
}

// clientActor is the client that does something.
func (s *API) clientActor(r *http.Request, c model.Client) model.Actor {
	return model.Actor{Kind: model.ActorClient, ID: string(c.ID), Address: s.Address(r)}
}

// readObject reads a body that is one JSON object. Its media type is not asked for:
// the examples of OpenID Shared Signals Framework §8.1 have none.
func readObject(r *http.Request, into any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return signal.ErrInvalid{Reason: "The body must be a JSON object of the members that the endpoint takes"}
	}
	return nil
}
