package api

import (
	"net/http"
	"strings"

	"github.com/ostiary/ostiary/internal/oauth"
)

// errNoToken says that a request carries no credentials at all.
var errNoToken = &oauth.Error{Description: "An access token is required"}

// bearer takes the access token from the header (RFC 6750 §2.1) or the body
// (§2.2), never from the query (§2.3, which RFC 9700 §4.3.2 forbids).
func bearer(r *http.Request) (string, *oauth.Error) {
	malformed := func(why string) (string, *oauth.Error) {
		return "", &oauth.Error{Code: oauth.InvalidRequest, Description: why}
	}
	if r.URL.Query().Has("access_token") {
		return malformed("The access token must not be in the URL")
	}
	headers := r.Header.Values("Authorization")
	var body []string
	if r.Method == http.MethodPost && r.Header.Get("Content-Type") != "" {
		if err := r.ParseForm(); err != nil {
			return malformed("The body is not a form")
		}
		body = r.PostForm["access_token"]
	}
	switch {
	case len(headers)+len(body) > 1:
		return malformed("The access token must come once, in one way") // RFC 6750 §2
	case len(body) == 1:
		return body[0], nil
	case len(headers) == 0:
		return "", errNoToken
	}
	scheme, token, ok := strings.Cut(headers[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || strings.ContainsAny(token, " ,") {
		return malformed("The Authorization header must be: Bearer, a space, the token")
	}
	return token, nil
}

// challenges are the statuses of refusals that RFC 6750 §3.1 gives one, 401 but for
// these.
var challenges = map[oauth.Code]int{
	oauth.InvalidToken:      http.StatusUnauthorized,
	oauth.InvalidRequest:    http.StatusBadRequest,
	oauth.InsufficientScope: http.StatusForbidden,
}

// challenge refuses as RFC 6750 §3 and §3.1 say: without an error where there
// were no credentials. What is not about the token is no challenge: a 401 would make
// clients throw a good token away.
func (s *API) challenge(w http.ResponseWriter, r *http.Request, e *oauth.Error) {
	if e.Code == oauth.ServerError || e.Code == oauth.TooManyRequests {
		s.refuse(w, r, e)
		return
	}
	status, header := http.StatusUnauthorized, `Bearer realm="`+s.Authority.Issuer+`"`
	if other, ok := challenges[e.Code]; ok {
		status = other
	}
	if e != errNoToken {
		header += `, error="` + string(e.Code) + `", error_description="` + e.Description + `"`
	}
	if e.Scope != "" {
		header += `, scope="` + e.Scope + `"`
	}
	s.Logger.InfoContext(r.Context(), "refused", "path", r.URL.Path, "status", status, "error", e, "request", s.RequestID(r))
	w.Header().Set("WWW-Authenticate", header)
	code := e.Code
	if e == errNoToken {
		code = oauth.InvalidToken
	}
	writeError(w, status, code, e.Description)
}
