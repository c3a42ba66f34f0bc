package api

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/roster"
)

// The pages of a listing, in rows.
const (
	defaultPage = 100
	longestPage = 1000
)

// adminRoutes are the endpoints by which programs administer this server. Each is
// one rule of account, behind a scope.
func (s *API) adminRoutes(base string) []Route {
	// A pattern with a method leaves the other methods of a path to the
	// catch-all, so each path has one handler, which knows its methods.
	return []Route{
		{base + "/api/users", forAdmins, s.admin(oauth.ScopeUsers, s.users, "GET", "POST")},
		{base + "/api/users/{id}", forAdmins, s.admin(oauth.ScopeUsers, s.user, "GET", "PATCH", "DELETE")},
		{base + pathImport, forAdmins, s.admin(oauth.ScopeUsers, s.importUsers, "POST")},
		{base + "/api/export/users", forAdmins, s.admin(oauth.ScopeUsers, s.exportUsers, "GET")},
		{base + "/api/users/{id}/reset", forAdmins, s.admin(oauth.ScopeUsers, s.resetUser, "POST")},
		{base + "/api/groups", forAdmins, s.admin(oauth.ScopeUsers, s.groups, "GET")},
		{base + "/api/users/{id}/reset-factors", forAdmins, s.admin(oauth.ScopeUsers, s.resetFactors, "POST")},
		{base + "/api/users/{id}/passkeys", forAdmins, s.admin(oauth.ScopeUsers, s.passkeys, "GET")},
		{base + "/api/users/{id}/passkeys/{passkey}", forAdmins, s.admin(oauth.ScopeUsers, s.removePasskey, "DELETE")},
		{base + "/api/users/{id}/lock", forAdmins, s.admin(oauth.ScopeUsers, s.lockUser, "POST")},
		{base + "/api/users/{id}/unlock", forAdmins, s.admin(oauth.ScopeUsers, s.unlockUser, "POST")},
		{base + "/api/users/{id}/sign-out", forAdmins, s.admin(oauth.ScopeUsers, s.signOutUser, "POST")},
		{base + "/api/sessions", forAdmins, s.admin(oauth.ScopeSessions, s.sessions, "GET")},
		{base + "/api/sessions/{id}", forAdmins, s.admin(oauth.ScopeSessions, s.session, "GET", "DELETE")},
		{base + "/api/sessions/end-all", forAdmins, s.admin(oauth.ScopeRevoke, s.endAll, "POST")},
	}
}

// administration is an endpoint that knows who calls.
type administration func(w http.ResponseWriter, r *http.Request, by model.Actor) error

// admin lets those through who may: RFC 6750 §3 says how the others are refused. No
// script of another site reads the answers.
func (s *API) admin(scope string, next administration, methods ...string) Endpoint {
	return s.private(func(w http.ResponseWriter, r *http.Request) error {
		token, e := headerToken(r)
		if e != nil {
			s.challenge(w, r, e)
			return nil
		}
		permit, err := s.Authority.PermitAdministrator(r.Context(), token, scope)
		if err == nil {
			err = s.Authority.AdmitPermit(permit, s.Address(r))
		}
		if err != nil {
			return s.notPermitted(w, r, err)
		}
		return s.administered(w, next(w, r, permit.Actor(s.Address(r))))
	}, methods...).behind(scope)
}

// administered answers for what the rules of account say no to.
func (s *API) administered(w http.ResponseWriter, err error) error {
	var wrong account.ErrInvalid
	switch {
	case errors.Is(err, account.ErrNoUser):
		writeError(w, http.StatusNotFound, oauth.NotFound, "There is no such user")
	case errors.Is(err, account.ErrPasskeyUnknown):
		writeError(w, http.StatusNotFound, oauth.NotFound, "This user has no such passkey")
	case errors.Is(err, account.ErrNoSession):
		writeError(w, http.StatusNotFound, oauth.NotFound, "There is no such session, or it is over")
	case errors.Is(err, account.ErrLoginTaken):
		writeError(w, http.StatusConflict, oauth.InvalidRequest, "There is a user with that login already")
	case errors.Is(err, account.ErrAddressTaken):
		writeError(w, http.StatusConflict, oauth.InvalidRequest, "There is a user with that address already")
	case errors.Is(err, account.ErrInvitesOff):
		writeError(w, http.StatusForbidden, oauth.AccessDenied, "Invitations are off on this server")
	case errors.As(err, &wrong):
		writeError(w, http.StatusBadRequest, oauth.InvalidRequest, "The "+err.Error())
	case errors.Is(err, errUserBody), errors.Is(err, errQuery), errors.Is(err, account.ErrExisting), errors.Is(err, roster.ErrList):
		writeError(w, http.StatusBadRequest, oauth.InvalidRequest, sentence(err))
	case errors.Is(err, account.ErrLastAdmin):
		writeError(w, http.StatusConflict, oauth.AccessDenied, "There is no other administrator: make one first")
	default:
		return err
	}
	return nil
}

// sentence is what an error says, as one.
func sentence(err error) string {
	first, size := utf8.DecodeRuneInString(err.Error())
	return string(unicode.ToUpper(first)) + err.Error()[size:]
}

func (s *API) lockUser(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	return done(w, s.Accounts.Lock(r.Context(), by, model.UserID(r.PathValue("id"))))
}

func (s *API) unlockUser(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	return done(w, s.Accounts.Unlock(r.Context(), by, model.UserID(r.PathValue("id"))))
}

func (s *API) signOutUser(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	return done(w, s.Accounts.SignOutEverywhere(r.Context(), by, model.UserID(r.PathValue("id"))))
}

// sessions lists live sessions by their ID.
func (s *API) sessions(w http.ResponseWriter, r *http.Request, _ model.Actor) error {
	q, limit, ok := listing(w, r, "after", "limit", "user", "client")
	if !ok {
		return nil
	}
	list, err := s.Accounts.AllSessions(r.Context(), account.SessionFilter{
		User: model.UserID(q["user"]), Client: model.ClientID(q["client"]), After: model.SessionID(q["after"]), Limit: limit,
	})
	if err != nil {
		return err
	}
	out := struct {
		Sessions []model.Session `json:"sessions"`
		Next     model.SessionID `json:"next,omitempty"`
	}{Sessions: append([]model.Session{}, list...)}
	if len(list) == limit {
		out.Next = list[limit-1].ID
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *API) session(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	id := model.SessionID(r.PathValue("id"))
	if r.Method == http.MethodDelete {
		return done(w, s.Accounts.SignOut(r.Context(), by, id))
	}
	one, clients, err := s.Accounts.Session(r.Context(), id)
	if err != nil {
		return err
	}
	out := struct {
		model.Session
		Clients []model.ClientID `json:"clients,omitempty"` // that have a part in it
	}{Session: one}
	for _, c := range clients {
		out.Clients = append(out.Clients, c.ID)
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *API) endAll(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	return done(w, s.Accounts.SignOutEverybody(r.Context(), by))
}

// done answers for what has nothing to tell.
func done(w http.ResponseWriter, err error) error {
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// listing reads the query of a listing: the parameters that it knows, each once,
// and how many rows a page has. Otherwise it answers.
func listing(w http.ResponseWriter, r *http.Request, known ...string) (q map[string]string, limit int, ok bool) {
	refuse := func(why string) (map[string]string, int, bool) {
		writeError(w, http.StatusBadRequest, oauth.InvalidRequest, why)
		return nil, 0, false
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil { // what is left of such a query would be less narrow, or no dry run
		return refuse("The query is malformed")
	}
	q = map[string]string{}
	for _, name := range known {
		if len(values[name]) > 1 {
			return refuse("The parameter " + name + " must come once")
		}
		q[name] = values.Get(name)
		delete(values, name)
	}
	if len(values) > 0 {
		// A misspelt filter must not list everything.
		return refuse("The parameters are " + strings.Join(known, ", "))
	}
	limit = defaultPage
	if q["limit"] != "" {
		if limit, err = strconv.Atoi(q["limit"]); err != nil || limit < 1 || limit > longestPage {
			return refuse("The limit must be a number from 1 to " + strconv.Itoa(longestPage))
		}
	}
	return q, limit, true
}
