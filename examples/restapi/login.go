package restapi

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/ostiary/ostiary/client"
)

// roles are what somebody can sign in as: who only reads asks for less, and a token
// that is stolen from them does less.
var roles = map[string][]string{
	"":       {ScopeRead, ScopeWrite},
	"editor": {ScopeRead, ScopeWrite},
	"reader": {ScopeRead},
}

// grant is what a program gets for a password or a refresh token.
type grant struct {
	AccessToken  string   `json:"access_token"`
	ExpiresIn    int      `json:"expires_in"` // seconds
	RefreshToken string   `json:"refresh_token"`
	AuthSession  string   `json:"auth_session,omitempty"` // for the next login, and to log out
	Scope        []string `json:"scope"`
}

func (a *API) granted(w http.ResponseWriter, t client.Tokens) {
	now := time.Now
	if a.config.Now != nil {
		now = a.config.Now
	}
	answer(w, http.StatusOK, grant{
		AccessToken: t.Access, ExpiresIn: int(t.ExpiresAt.Sub(now()).Round(time.Second) / time.Second),
		RefreshToken: t.Refresh, AuthSession: t.AuthSession, Scope: t.Scope,
	})
}

// login takes a password. Nothing is kept here: it goes to the authorization server,
// which compares it, slows down who guesses, and begins a session that its person and
// its operator can see and end.
func (a *API) login(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Login       string `json:"login"`
		Password    string `json:"password"`
		Remember    bool   `json:"remember"`     // stays signed in for months, not for hours
		Role        string `json:"role"`         // "reader" or "editor"
		AuthSession string `json:"auth_session"` // of the login before; the same session goes on
		MaxAge      int    `json:"max_age"`      // seconds; as an API asked for it
	}
	if !read(w, r, &asked) {
		return
	}
	scopes, ok := roles[asked.Role]
	if !ok || asked.MaxAge < 0 || asked.MaxAge > 24*3600 {
		problem(w, http.StatusBadRequest, "invalid_request", "The role must be reader or editor, and max_age a number of seconds")
		return
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = ""
	}
	t, _, err := a.signIn.Challenge(r.Context(), client.ChallengeOptions{
		Username: asked.Login, Password: asked.Password, Remember: asked.Remember, AuthSession: asked.AuthSession,
		Scopes: slices.Clone(scopes), MaxAge: time.Duration(asked.MaxAge) * time.Second,
		Extra:       url.Values{"resource": {a.config.Audience}}, // for nobody but this API
		UserAddress: host, UserAgent: r.UserAgent(),
	})
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	a.granted(w, t)
}

// renew exchanges a refresh token. Each is good once; the answer has the next one.
func (a *API) renew(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		RefreshToken string `json:"refresh_token"`
	}
	if !read(w, r, &asked) {
		return
	}
	if asked.RefreshToken == "" {
		problem(w, http.StatusBadRequest, "invalid_request", "The member refresh_token is missing")
		return
	}
	t, err := a.signIn.Refresh(r.Context(), client.Tokens{Refresh: asked.RefreshToken})
	if e, ok := errors.AsType[*client.Error](err); ok && e.Code == "insufficient_authorization" {
		err = &client.Error{Code: "invalid_grant"} // the sign-in is too old: it comes to the same
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	a.granted(w, t)
}

// logout ends the session. Every token of it is refused from then on, here and at
// every other API that follows the feed.
func (a *API) logout(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		AuthSession  string `json:"auth_session"`
		RefreshToken string `json:"refresh_token"` // where there is no auth_session: ends what came with it
	}
	if !read(w, r, &asked) {
		return
	}
	token, kind := asked.AuthSession, "auth_session"
	if token == "" {
		token, kind = asked.RefreshToken, "refresh_token"
	}
	if token == "" {
		problem(w, http.StatusBadRequest, "invalid_request", "One of auth_session and refresh_token is needed")
		return
	}
	if err := a.signIn.Revoke(r.Context(), token, kind); err != nil {
		a.refuse(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// refuse says in the API's own words what the authorization server did not do. Only
// codes decide, never its prose.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e, named := errors.AsType[*client.Error](err)
	switch {
	case named && e.Status == http.StatusTooManyRequests:
		later(w, http.StatusTooManyRequests, e.RetryAfter, "Too many wrong passwords: wait a while")
	case errors.Is(err, client.ErrUnavailable):
		var wait time.Duration
		if named {
			wait = e.RetryAfter
		}
		later(w, http.StatusServiceUnavailable, wait, "Nobody can sign in or renew for a moment")
	case !named:
		a.config.Logger.ErrorContext(r.Context(), "the authorization server answered oddly", "error", err)
		problem(w, http.StatusBadGateway, "server_error", "The authorization server is not understood")
	case e.Code == "insufficient_authorization", e.Code == "invalid_session":
		problem(w, http.StatusBadRequest, "invalid_credentials", "The login or the password is wrong, or one of them is missing")
	case e.Code == "invalid_grant":
		problem(w, http.StatusBadRequest, "invalid_grant", "The refresh token is used up, too old, or of a session that has ended: sign in again")
	case e.Code == "access_denied":
		problem(w, http.StatusForbidden, "account_disabled", "The account is locked. To sign in again does not help")
	case e.Code == "redirect_to_web":
		problem(w, http.StatusForbidden, "redirect_to_web", "This account must sign in with a browser")
	default:
		a.config.Logger.ErrorContext(r.Context(), "the authorization server refuses this API", "error", err)
		problem(w, http.StatusBadGateway, "server_error", "The authorization server refuses this API; its log says why")
	}
}
