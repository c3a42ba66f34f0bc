package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// upstreamRoutes are the endpoints about identity providers and who came by them.
func (s *API) upstreamRoutes(base string) []Route {
	return []Route{
		{base + "/api/upstreams", forAdmins, s.admin(oauth.ScopeUpstreams, s.upstreams, "GET", "POST")},
		{base + "/api/upstreams/{id}", forAdmins, s.admin(oauth.ScopeUpstreams, s.upstream, "GET", "PATCH", "DELETE")},
		{base + "/api/upstreams/{id}/test", forAdmins, s.admin(oauth.ScopeUpstreams, s.testUpstream, "POST")},
		{base + "/api/users/{id}/identities", forAdmins, s.admin(oauth.ScopeUsers, s.identities, "GET", "POST")},
		{base + "/api/users/{id}/identities/{identity}", forAdmins, s.admin(oauth.ScopeUsers, s.disconnect, "DELETE")},
		{base + "/api/users/{id}/identities/{identity}/tokens", forAdmins, s.admin(oauth.ScopeUpstreams, s.identityTokens, "GET")},
		// OpenID Connect Back-Channel Logout §2.5: another provider tells us.
		{base + "/upstream/{id}/backchannel", forProviders, s.private(s.upstreamEnded, "POST")},
	}
}

// upstreamBody is what a program says of an identity provider; what is absent is left as
// it is.
type upstreamBody struct {
	ID       model.UpstreamID  `json:"id"`
	Disabled bool              `json:"disabled"`
	Secrets  map[string]string `json:"secrets"` // those that are set anew; "" takes one away
	model.UpstreamSettings
}

// toldUpstream is what a program is told: of the secrets, their names.
type toldUpstream struct {
	model.Upstream
	Status  string   `json:"status"`
	Secrets []string `json:"secrets"`
	federation.Addresses
}

func (s *API) tellUpstream(r *http.Request, u model.Upstream) (toldUpstream, error) {
	out := toldUpstream{Upstream: u, Status: s.Federation.Status(r.Context(), u), Addresses: s.Federation.Addresses(u.ID)}
	names, err := s.Federation.SecretsOf(u)
	out.Secrets = append([]string{}, names...)
	return out, err
}

// errUpstreamBody says that a body does not say what a provider is like.
var errUpstreamBody = errors.New("the body must be one JSON object with the members that the endpoint takes")

func readBody(r *http.Request, into any) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields() // a misspelt member must not be left out of a change
	if err := d.Decode(into); err != nil {
		return nil, fmt.Errorf("%w: %v", errUpstreamBody, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errUpstreamBody
	}
	return body, nil
}

// upstreams lists the identity providers, or adds one.
func (s *API) upstreams(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	if r.Method == http.MethodPost {
		return s.upstreamAnswer(w, s.changeUpstream(w, r, by, nil))
	}
	list, err := s.Federation.Upstreams(r.Context())
	if err != nil {
		return err
	}
	out := struct {
		Upstreams []toldUpstream `json:"upstreams"`
	}{Upstreams: []toldUpstream{}}
	for _, u := range list {
		one, err := s.tellUpstream(r, u)
		if err != nil {
			return err
		}
		out.Upstreams = append(out.Upstreams, one)
	}
	return writeJSON(w, http.StatusOK, out)
}

// changeUpstream adds a provider, or changes of one what is said.
func (s *API) changeUpstream(w http.ResponseWriter, r *http.Request, by model.Actor, before *model.Upstream) error {
	var b upstreamBody
	if before != nil {
		b = upstreamBody{ID: before.ID, Disabled: before.Disabled, UpstreamSettings: before.UpstreamSettings}
		// A decoder writes into the arrays that are there: these are what was read
		// before, which is compared with what is stored.
		b.Connection, b.Domains, b.TrustACR = slices.Clone(b.Connection), slices.Clone(b.Domains), slices.Clone(b.TrustACR)
		// A list that is said takes the place of the other as a whole.
		b.Mapping = nil
	}
	body, err := readBody(r, &b)
	if err != nil {
		return err
	}
	var said map[string]json.RawMessage
	if err := json.Unmarshal(body, &said); err != nil {
		return errUpstreamBody
	}
	if before != nil && said["mapping"] == nil {
		b.Mapping = before.Mapping
	}
	if before != nil && b.ID != before.ID {
		return fmt.Errorf("%w: the id never changes", errUpstreamBody)
	}
	c := federation.Change{ID: b.ID, Before: before, After: &model.Upstream{Disabled: b.Disabled, UpstreamSettings: b.UpstreamSettings}, Secrets: map[string]model.Secret{}}
	for name, secret := range b.Secrets {
		c.Secrets[name] = model.Secret(secret)
	}
	u, err := s.Federation.Change(r.Context(), by, c)
	if err != nil {
		return err
	}
	out, err := s.tellUpstream(r, u)
	if err != nil {
		return err
	}
	return writeJSON(w, map[bool]int{true: http.StatusCreated, false: http.StatusOK}[before == nil], out)
}

// upstream shows, changes or removes an identity provider.
func (s *API) upstream(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	u, err := s.Federation.Upstream(r.Context(), model.UpstreamID(r.PathValue("id")))
	if err != nil {
		return s.upstreamAnswer(w, err)
	}
	switch r.Method {
	case http.MethodPatch:
		return s.upstreamAnswer(w, s.changeUpstream(w, r, by, &u))
	case http.MethodDelete:
		_, err := s.Federation.Change(r.Context(), by, federation.Change{ID: u.ID, Before: &u})
		return s.upstreamAnswer(w, done(w, err))
	}
	people, alone, err := s.Federation.People(r.Context(), u.ID)
	if err != nil {
		return err
	}
	one, err := s.tellUpstream(r, u)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		toldUpstream
		People int64 `json:"people"`
		Alone  int64 `json:"without_another_way"`
	}{one, people, alone})
}

// testUpstream asks whether a provider can be spoken to, or with claims what its mapping
// makes of them.
func (s *API) testUpstream(w http.ResponseWriter, r *http.Request, _ model.Actor) error {
	var b struct {
		Claims json.RawMessage `json:"claims"`
	}
	if r.ContentLength != 0 {
		if _, err := readBody(r, &b); err != nil {
			return s.upstreamAnswer(w, err)
		}
	}
	u, err := s.Federation.Upstream(r.Context(), model.UpstreamID(r.PathValue("id")))
	if err != nil {
		return s.upstreamAnswer(w, err)
	}
	out := struct {
		ID    model.UpstreamID  `json:"id"`
		Good  bool              `json:"good"`
		Code  federation.Code   `json:"code,omitempty"`
		Why   string            `json:"reason,omitempty"`
		Trial *federation.Trial `json:"trial,omitempty"`
	}{ID: u.ID, Good: true}
	var no *federation.Refusal
	if b.Claims != nil {
		t, err := federation.Try(u.UpstreamSettings, b.Claims)
		if err != nil {
			return s.upstreamAnswer(w, err)
		}
		out.Trial = &t
	} else if err := s.Federation.Probe(r.Context(), u.ID); errors.As(err, &no) {
		out.Good, out.Code, out.Why = false, no.Code, no.Reason
	} else if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// identities lists the accounts that a person has elsewhere, or connects one that the
// operator knows to be theirs.
func (s *API) identities(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	user, err := s.Accounts.User(r.Context(), model.UserID(r.PathValue("id")))
	if err != nil {
		return err
	}
	if r.Method == http.MethodPost {
		var b struct {
			Upstream model.UpstreamID `json:"upstream"`
			Issuer   string           `json:"issuer"`
			Subject  string           `json:"subject"`
		}
		if _, err := readBody(r, &b); err != nil {
			return s.upstreamAnswer(w, err)
		}
		id, err := s.Federation.Assign(r.Context(), by, federation.Assigning{User: user.ID, Upstream: b.Upstream, Issuer: b.Issuer, Subject: b.Subject})
		if err != nil {
			return s.upstreamAnswer(w, err)
		}
		return writeJSON(w, http.StatusCreated, id)
	}
	list, err := s.Federation.Identities(r.Context(), user.ID)
	if err != nil {
		return err
	}
	out := struct {
		Identities []model.Identity `json:"identities"`
	}{Identities: []model.Identity{}}
	for _, i := range list {
		out.Identities = append(out.Identities, i.Identity)
	}
	return writeJSON(w, http.StatusOK, out)
}

func disconnecting(r *http.Request) federation.Disconnecting {
	return federation.Disconnecting{User: model.UserID(r.PathValue("id")), ID: model.IdentityID(r.PathValue("identity"))}
}

func (s *API) disconnect(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	return s.upstreamAnswer(w, done(w, s.Federation.Disconnect(r.Context(), by, disconnecting(r))))
}

// identityTokens gives the tokens of a provider to a program that may call its APIs for
// the person. That it did is in the audit log.
func (s *API) identityTokens(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	t, err := s.Federation.Tokens(r.Context(), by, disconnecting(r))
	if err != nil {
		return s.upstreamAnswer(w, err)
	}
	return writeJSON(w, http.StatusOK, struct {
		Access    string `json:"access_token"`
		Refresh   string `json:"refresh_token,omitempty"`
		Type      string `json:"token_type,omitempty"`
		Scope     string `json:"scope,omitempty"`
		ExpiresAt int64  `json:"expires_at,omitempty"`
	}{t.Access, t.Refresh, t.Type, t.Scope, t.ExpiresAt})
}

// upstreamEnded hears from another provider that a session over there is over. OpenID
// Connect Back-Channel Logout §2.8.
func (s *API) upstreamEnded(w http.ResponseWriter, r *http.Request) error {
	c, err := s.call(r)
	if err != nil {
		return err
	}
	a := federation.Answer{Method: r.Method, Values: c.Form, At: s.Authority.Issuer + "/upstream/" + r.PathValue("id") + "/backchannel"}
	_, err = s.Federation.Ended(r.Context(), model.UpstreamID(r.PathValue("id")), a, c.Address)
	var no *federation.Refusal
	if errors.As(err, &no) {
		s.Logger.WarnContext(r.Context(), "a sign-out of an identity provider was refused", "upstream", r.PathValue("id"), "code", no.Code, "reason", no.Reason, "request", s.RequestID(r))
		writeError(w, http.StatusBadRequest, oauth.InvalidRequest, "The logout token is not accepted: "+string(no.Code))
		return nil
	}
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return nil
}

// upstreamAnswer answers for what the rules of federation say no to.
func (s *API) upstreamAnswer(w http.ResponseWriter, err error) error {
	var wrong federation.ErrInvalid
	var no *federation.Refusal
	switch {
	case errors.Is(err, federation.ErrNoUpstream):
		writeError(w, http.StatusNotFound, oauth.NotFound, "There is no such identity provider")
	case errors.Is(err, federation.ErrNoIdentity):
		writeError(w, http.StatusNotFound, oauth.NotFound, "There is no such identity, or none with tokens")
	case errors.Is(err, federation.ErrUpstreamTaken), errors.Is(err, federation.ErrChanged):
		writeError(w, http.StatusConflict, oauth.InvalidRequest, upper(err.Error()))
	case errors.Is(err, account.ErrLastMethod):
		writeError(w, http.StatusConflict, oauth.AccessDenied, "It is the last way in which the person can sign in")
	case errors.As(err, &wrong):
		writeError(w, http.StatusBadRequest, oauth.InvalidRequest, wrong.Error())
	case errors.As(err, &no):
		writeError(w, http.StatusConflict, oauth.InvalidRequest, upper(no.Reason))
	case errors.Is(err, errUpstreamBody):
		writeError(w, http.StatusBadRequest, oauth.InvalidRequest, upper(err.Error()))
	default:
		return err
	}
	return nil
}

// upper makes a reason the beginning of a sentence.
func upper(s string) string {
	if s == "" {
		return s
	}
	return string(bytes.ToUpper([]byte(s[:1]))) + s[1:]
}
