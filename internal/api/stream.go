package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/signal"
)

// What a receiver needs: CAEP Interoperability Profile §2.7.2. Whoever manages
// streams may read them.
var (
	toRead   = []string{oauth.ScopeSSFRead, oauth.ScopeSSF}
	toManage = []string{oauth.ScopeSSF}
)

// streamRoutes are the endpoints of the OpenID Shared Signals Framework.
func (s *API) streamRoutes() ([]Route, error) {
	text, err := json.Marshal(s.Streams.Metadata(s.Authority.Endpoint(oauth.PathKeys)))
	if err != nil {
		return nil, err
	}
	about := newDocument(text)
	metadata := s.published(func(w http.ResponseWriter, r *http.Request) error {
		about.write(w, r, "application/json")
		return nil
	}, "GET")
	base := s.Authority.BasePath()
	routes := []Route{
		{signal.PathConfiguration + base, forAll, metadata}, // §7.2
		{base + signal.PathStreams, forSelf, s.forClients(
			method{"GET", toRead, s.readStream}, method{"POST", toManage, s.createStream},
			method{"PATCH", toManage, s.changeStream}, method{"PUT", toManage, s.changeStream}, method{"DELETE", toManage, s.deleteStream},
		)},
		{base + signal.PathStatus, forSelf, s.forClients(method{"GET", toRead, s.readStatus}, method{"POST", toManage, s.setStatus})},
		{base + signal.PathAddSubject, forSelf, s.forClients(method{"POST", toManage, s.addSubject})},
		{base + signal.PathRemoveSubject, forSelf, s.forClients(method{"POST", toManage, s.removeSubject})},
		{base + signal.PathVerify, forSelf, s.forClients(method{"POST", toManage, s.verifyStream})},
		{base + signal.PathPoll + "{stream}", forSelf, s.forClients(method{"POST", toRead, s.pollStream})},
		{base + signal.PathEvents + "{transmitter}", forSenders, s.private(s.receiveEvent, "POST")},
	}
	if base != "" {
		routes = append(routes, Route{base + signal.PathConfiguration, forAll, metadata}) // some append it
	}
	return routes, nil
}

func (s *API) caller(r *http.Request, c model.Client) signal.Caller {
	return signal.Caller{Client: c, Actor: s.clientActor(r, c)}
}

// streamID is the parameter by which a stream is named, OpenID Shared Signals
// Framework §8.1.1.2.
func streamID(r *http.Request) (model.StreamID, bool, error) {
	ids, ok := r.URL.Query()["stream_id"]
	if !ok {
		return "", false, nil
	}
	if len(ids) != 1 {
		return "", false, signal.ErrInvalid{Reason: "The parameter stream_id must come once"}
	}
	return model.StreamID(ids[0]), true, nil
}

// createStream is OpenID Shared Signals Framework §8.1.1.1.
func (s *API) createStream(w http.ResponseWriter, r *http.Request, c model.Client) error {
	var request signal.StreamRequest
	if err := readObject(r, &request); err != nil {
		return err
	}
	made, err := s.Streams.Create(r.Context(), s.caller(r, c), request)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, made)
}

// readStream is OpenID Shared Signals Framework §8.1.1.2: one, or a list of all.
func (s *API) readStream(w http.ResponseWriter, r *http.Request, c model.Client) error {
	id, one, err := streamID(r)
	if err != nil {
		return err
	}
	if !one {
		list, err := s.Streams.List(r.Context(), c.ID)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, list)
	}
	stream, err := s.Streams.Stream(r.Context(), c.ID, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, stream)
}

// changeStream is OpenID Shared Signals Framework §8.1.1.3 and §8.1.1.4.
func (s *API) changeStream(w http.ResponseWriter, r *http.Request, c model.Client) error {
	var request signal.StreamRequest
	if err := readObject(r, &request); err != nil {
		return err
	}
	changed, err := s.Streams.Change(r.Context(), s.caller(r, c), request, r.Method == http.MethodPut)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, changed)
}

// deleteStream is OpenID Shared Signals Framework §8.1.1.5.
func (s *API) deleteStream(w http.ResponseWriter, r *http.Request, c model.Client) error {
	id, one, err := streamID(r)
	if err != nil {
		return err
	}
	if !one {
		return signal.ErrInvalid{Reason: "The parameter stream_id is missing"}
	}
	if err := s.Streams.Delete(r.Context(), s.caller(r, c), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readStatus is OpenID Shared Signals Framework §8.1.2.1.
func (s *API) readStatus(w http.ResponseWriter, r *http.Request, c model.Client) error {
	id, one, err := streamID(r)
	if err != nil {
		return err
	}
	if !one {
		return signal.ErrInvalid{Reason: "The parameter stream_id is missing"}
	}
	state, err := s.Streams.State(r.Context(), c.ID, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, state)
}

// setStatus is OpenID Shared Signals Framework §8.1.2.2.
func (s *API) setStatus(w http.ResponseWriter, r *http.Request, c model.Client) error {
	var request signal.StreamRequest
	if err := readObject(r, &request); err != nil {
		return err
	}
	state, err := s.Streams.SetState(r.Context(), s.caller(r, c), request)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, state)
}

// addSubject is OpenID Shared Signals Framework §8.1.3.2.
func (s *API) addSubject(w http.ResponseWriter, r *http.Request, c model.Client) error {
	var request signal.StreamRequest
	if err := readObject(r, &request); err != nil {
		return err
	}
	if err := s.Streams.AddSubject(r.Context(), s.caller(r, c), request); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK) // "an empty 200 OK response"
	return nil
}

// removeSubject is OpenID Shared Signals Framework §8.1.3.3.
func (s *API) removeSubject(w http.ResponseWriter, r *http.Request, c model.Client) error {
	var request signal.StreamRequest
	if err := readObject(r, &request); err != nil {
		return err
	}
	if err := s.Streams.RemoveSubject(r.Context(), s.caller(r, c), request); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// verifyStream is OpenID Shared Signals Framework §8.1.4.2.
func (s *API) verifyStream(w http.ResponseWriter, r *http.Request, c model.Client) error {
	var request signal.StreamRequest
	if err := readObject(r, &request); err != nil {
		return err
	}
	if err := s.Streams.Verify(r.Context(), c.ID, request); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// pollStream is RFC 8936 §2.
func (s *API) pollStream(w http.ResponseWriter, r *http.Request, c model.Client) error {
	var poll signal.Poll
	if err := readObject(r, &poll); err != nil {
		return err
	}
	answer, err := s.Streams.Poll(r.Context(), c, model.StreamID(r.PathValue("stream")), poll)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// receiveEvent takes what a transmitter pushes, RFC 8935 §2.
func (s *API) receiveEvent(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	headers := r.Header.Values("Authorization")
	refusal := &signal.RefusedError{Code: "invalid_request"}
	switch {
	case !strings.EqualFold(strings.TrimSpace(kind), "application/secevent+jwt"): // RFC 8935 §2.1
		refusal.Description = "The Content-Type must be application/secevent+jwt"
	case len(headers) > 1:
		refusal.Description = "The Authorization header must come once"
	default:
		token, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		headers = append(headers, "")
		err = s.Receiver.Push(r.Context(), model.TransmitterID(r.PathValue("transmitter")), headers[0], string(token))
		if err == nil {
			w.WriteHeader(http.StatusAccepted) // RFC 8935 §2.2
			return nil
		}
		if !errors.As(err, &refusal) {
			return err
		}
	}
	s.refused(r, http.StatusBadRequest, refusal)
	w.Header().Set("Content-Language", "en") // RFC 8935 §2.3
	return writeJSON(w, http.StatusBadRequest, signal.SetError{Code: refusal.Code, Description: refusal.Description})
}
