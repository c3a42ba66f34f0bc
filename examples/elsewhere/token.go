package elsewhere

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// access is what an access token stands for.
type access struct {
	person string
	scopes []string
}

// verifiers are what RFC 7636 §4.1 lets them be.
var verifiers = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`) })

// token exchanges a code, RFC 6749 §4.1.3.
func (h *house) token(w http.ResponseWriter, r *http.Request) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
		h.deny(w, r, http.StatusBadRequest, fault{"invalid_request", "the request is not a form"})
		return
	}
	p, err := parameters(r)
	if err != nil {
		h.deny(w, r, http.StatusBadRequest, fault{"invalid_request", err.Error()})
		return
	}
	if !h.proven(r) || p["client_secret"] != "" || p["client_id"] != "" && p["client_id"] != h.config.Client.ID {
		// RFC 6749 §5.2
		w.Header().Set("WWW-Authenticate", `Basic realm="`+h.config.URL+`"`)
		h.deny(w, r, http.StatusUnauthorized, fault{"invalid_client", "a client proves itself with its secret by HTTP Basic here"})
		return
	}
	if p["grant_type"] != "authorization_code" {
		h.deny(w, r, http.StatusBadRequest, fault{"unsupported_grant_type", "grant_type is authorization_code here"})
		return
	}
	c, name, no := h.redeem(p)
	if no != nil {
		h.deny(w, r, http.StatusBadRequest, *no)
		return
	}
	// RFC 6749 §5.1
	body := map[string]any{"access_token": name, "token_type": "Bearer", "expires_in": int(tokenLife.Seconds()), "scope": strings.Join(h.granted(c), " ")}
	if h.idToken != nil {
		if body["id_token"], err = h.idToken(c, name); err != nil {
			h.config.Logger.ErrorContext(r.Context(), "no ID token was made", "error", err)
			h.deny(w, r, http.StatusInternalServerError, fault{"server_error", "something went wrong"})
			return
		}
	}
	writeJSON(w, http.StatusOK, body)
}

// proven reports whether a request has the client's secret, RFC 6749 §2.3.1: both
// halves were form-encoded first.
func (h *house) proven(r *http.Request) bool {
	id, secret, ok := r.BasicAuth()
	if !ok {
		return false
	}
	id, err := url.QueryUnescape(id)
	if err != nil {
		return false
	}
	secret, err = url.QueryUnescape(secret)
	return err == nil && same(id, h.config.Client.ID) && same(secret, h.config.Client.Secret)
}

// redeem uses a code up and returns the access token that it becomes.
func (h *house) redeem(p map[string]string) (code, string, *fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.codes.find(p["code"])
	switch {
	case p["code"] == "" || p["redirect_uri"] == "" || p["code_verifier"] == "":
		return code{}, "", &fault{"invalid_request", "code, redirect_uri or code_verifier is missing"}
	case c == nil || h.config.Now().Sub(c.issued) > codeLife:
		return code{}, "", &fault{"invalid_grant", "the code is unknown or has expired"}
	case c.access != "":
		// RFC 6749 §4.1.2: what was issued from it is revoked.
		h.tokens.drop(c.access)
		h.codes.drop(p["code"])
		return code{}, "", &fault{"invalid_grant", "the code was used already"}
	}
	sum := sha256.Sum256([]byte(p["code_verifier"]))
	if p["redirect_uri"] != h.config.Client.RedirectURI || // RFC 6749 §4.1.3
		!verifiers().MatchString(p["code_verifier"]) || !same(base64.RawURLEncoding.EncodeToString(sum[:]), c.request.challenge) { // RFC 7636 §4.6
		h.codes.drop(p["code"]) // one guess
		return code{}, "", &fault{"invalid_grant", "redirect_uri or code_verifier is another than that of the request"}
	}
	c.access = h.tokens.put(access{c.person, h.granted(*c)})
	return *c, c.access, nil
}

// granted are the scopes that mean something here (OpenID Connect Core §3.1.2.1: others
// are ignored).
func (h *house) granted(c code) []string {
	scopes := []string{}
	for _, s := range c.request.scopes {
		if slices.Contains(h.scopes, s) && !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	return scopes
}

// owner lets only requests through that carry an access token with a scope, and returns
// whose it is. Otherwise it answers, RFC 6750 §3.
func (h *house) owner(w http.ResponseWriter, r *http.Request, scope string) (Person, access, bool) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	h.mu.Lock()
	t := h.tokens.find(text)
	var found access
	if t != nil {
		found = *t
	}
	h.mu.Unlock()
	challenge := `Bearer realm="` + h.config.URL + `"`
	switch {
	case r.Header.Get("Authorization") == "":
		w.Header().Set("WWW-Authenticate", challenge)
		writeJSON(w, http.StatusUnauthorized, map[string]string{"message": "Requires authentication"})
		return Person{}, access{}, false
	case !strings.EqualFold(scheme, "Bearer") || t == nil:
		w.Header().Set("WWW-Authenticate", challenge+`, error="invalid_token"`)
		writeJSON(w, http.StatusUnauthorized, map[string]string{"message": "Bad credentials"})
		return Person{}, access{}, false
	case scope != "" && !slices.Contains(found.scopes, scope):
		w.Header().Set("WWW-Authenticate", challenge+`, error="insufficient_scope", scope="`+scope+`"`)
		writeJSON(w, http.StatusForbidden, map[string]string{"message": "The token lacks the scope " + scope})
		return Person{}, access{}, false
	}
	p, ok := h.person(found.person)
	return p, found, ok
}

func (h *house) deny(w http.ResponseWriter, r *http.Request, status int, f fault) {
	h.config.Logger.WarnContext(r.Context(), "a token request is refused", "house", h.config.Name, "error", f.code, "description", f.description)
	writeJSON(w, status, map[string]string{"error": f.code, "error_description": f.description})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Pragma", "no-cache") // RFC 6749 §5.1
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // the status is out: nothing to do on failure
}
