package elsewhere

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// OpenID is an OpenID Provider: discovery, the authorization code flow with PKCE,
// userinfo, a key set, and an end of the session that its client is told of by the back
// channel. It signs with ES256.
//
// Who is signed in here is so until they sign out: sent here again, they see no page.
type OpenID struct {
	*house
	key *jwk.Key
	set *jwk.Set
}

// OpenIDScopes are those that the OpenID Provider knows.
var OpenIDScopes = []string{"openid", "profile", "email"}

// idTokenLife is how long an ID token is good.
const idTokenLife = 5 * time.Minute

// NewOpenID checks c and returns an OpenID Provider. It does no I/O.
func NewOpenID(c Config) (*OpenID, error) {
	h, err := newHouse(c)
	if err != nil {
		return nil, err
	}
	h.openid, h.scopes = true, OpenIDScopes
	key, err := jwk.Generate(jwa.ES256)
	if err != nil {
		return nil, err
	}
	o := &OpenID{house: h, key: key}
	public, err := key.Public()
	if err != nil {
		return nil, err
	}
	if o.set, err = jwk.NewSet(public); err != nil {
		return nil, err
	}
	h.idToken, h.notice = o.sign, o.sayOver
	return o, nil
}

// Handler serves the provider; it is its site map.
func (o *OpenID) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", o.metadata)
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, o.set) })
	mux.HandleFunc("GET /authorize", o.authorize)
	mux.HandleFunc("POST /authorize", o.authorize)
	mux.Handle("POST /choice", o.fromHere(o.decide))
	mux.HandleFunc("POST /token", o.token)
	mux.HandleFunc("GET /userinfo", o.userinfo)
	mux.HandleFunc("POST /userinfo", o.userinfo)
	mux.HandleFunc("GET /end-session", o.leave)
	mux.HandleFunc("POST /end-session", o.leave)
	mux.Handle("POST /sign-out", o.fromHere(o.signOut))
	mux.HandleFunc("GET /{$}", o.home)
	mux.Handle("GET /static/", http.FileServerFS(static))
	return o.secured(mux)
}

// metadata is OpenID Connect Discovery §3.
func (o *OpenID) metadata(w http.ResponseWriter, _ *http.Request) {
	at := o.config.URL
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer": at, "authorization_endpoint": at + "/authorize", "token_endpoint": at + "/token", "userinfo_endpoint": at + "/userinfo",
		"jwks_uri": at + "/keys", "end_session_endpoint": at + "/end-session",
		"scopes_supported": OpenIDScopes, "response_types_supported": []string{"code"}, "response_modes_supported": []string{"query"},
		"grant_types_supported": []string{"authorization_code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported":          []jwa.Algorithm{jwa.ES256},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic"},
		"code_challenge_methods_supported":               []string{"S256"},
		"prompt_values_supported":                        []string{"none", "login", "consent", "select_account"},
		"claims_supported":                               []string{"sub", "name", "preferred_username", "email", "email_verified", "auth_time", "sid"},
		"request_parameter_supported":                    false,
		"request_uri_parameter_supported":                false, // which is true unless said
		"authorization_response_iss_parameter_supported": true,
		"backchannel_logout_supported":                   true,
		"backchannel_logout_session_supported":           true,
	})
}

// sign makes the ID token of a code, OpenID Connect Core §2. What is told of the person
// stands in userinfo, §5.4.
func (o *OpenID) sign(c code, access string) (string, error) {
	sum := sha256.Sum256([]byte(access))
	claims := map[string]any{
		"auth_time": c.began.Unix(), "sid": c.session,
		"at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]), // §3.1.3.6
	}
	if c.request.nonce != "" {
		claims["nonce"] = c.request.nonce
	}
	return jwt.Sign(claims, o.key, jwt.SignOptions{
		Issuer: o.config.URL, Subject: c.person, Audience: []string{o.config.Client.ID}, ExpiresIn: idTokenLife, Now: o.config.Now,
	})
}

// userinfo is OpenID Connect Core §5.3.
func (o *OpenID) userinfo(w http.ResponseWriter, r *http.Request) {
	p, t, ok := o.owner(w, r, "openid")
	if !ok {
		return
	}
	claims := map[string]any{"sub": p.ID}
	if slices.Contains(t.scopes, "profile") { // §5.4
		claims["name"], claims["preferred_username"] = p.Name, p.Login
		if given, family, two := strings.Cut(p.Name, " "); two {
			claims["given_name"], claims["family_name"] = given, family
		}
	}
	if slices.Contains(t.scopes, "email") && p.Email != "" {
		claims["email"], claims["email_verified"] = p.Email, p.EmailVerified
	}
	writeJSON(w, http.StatusOK, claims)
}

// session is somebody who is signed in here.
type session struct {
	id     string // "sid"
	person string
	began  time.Time
}

func (h *house) cookie() string {
	if strings.HasPrefix(h.config.URL, "https:") {
		return "__Host-elsewhere"
	}
	return "elsewhere"
}

// session finds who is signed in at a browser. The caller holds the lock.
func (h *house) session(r *http.Request) (session, bool) {
	for _, c := range r.CookiesNamed(h.cookie()) {
		if s := h.sessions.find(c.Value); s != nil {
			return *s, true
		}
	}
	return session{}, false
}

// begin signs somebody in. In a house without sessions that is for this once.
func (h *house) begin(w http.ResponseWriter, r *http.Request, p Person) session {
	s := session{person: p.ID, began: h.config.Now()}
	if !h.openid {
		return s
	}
	h.mu.Lock()
	before, was := h.session(r)
	again := was && before.person == p.ID
	if s.id = rand.Text(); again {
		s.id = before.id
	}
	h.forget(r)
	name := h.sessions.put(s) // a new one each time: nobody can know it beforehand
	h.mu.Unlock()
	if was && !again {
		h.notify(r.Context(), before)
	}
	h.setCookie(w, name, int(sessionLife.Seconds()))
	return s
}

// forget drops the session of a browser. The caller holds the lock.
func (h *house) forget(r *http.Request) {
	for _, c := range r.CookiesNamed(h.cookie()) {
		h.sessions.drop(c.Value)
	}
}

func (h *house) setCookie(w http.ResponseWriter, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: h.cookie(), Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: strings.HasPrefix(h.config.URL, "https:"), SameSite: http.SameSiteLaxMode,
	})
}
