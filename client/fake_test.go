package client_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Making an RSA key is slow; all tests share two.
var rsaKeys = sync.OnceValue(func() [2]*jwk.Key {
	var keys [2]*jwk.Key
	for i := range keys {
		material, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		// Not bound to one algorithm: it is for the client to insist on one.
		if keys[i], err = jwk.New(material, jwk.Params{ID: fmt.Sprint("key-", i)}); err != nil {
			panic(err)
		}
	}
	return keys
})

const (
	fakeID     = "shop:1" // must be form-encoded in Basic, RFC 6749 §2.3.1
	fakeSecret = "s/cret+with&odd=signs%"
	fakePerson = "person-1"
)

// fake is a strict authorization server, written by hand: it refuses whatever
// does not follow the specifications to the letter, and it can be told to lie.
type fake struct {
	*httptest.Server
	t     *testing.T
	clock *clock
	key   *jwk.Key // signs; published
	alien *jwk.Key // not published

	mu       sync.Mutex
	codes    map[string]*fakeCode
	families map[string]*fakeFamily // by refresh token, live or used
	access   map[string]string      // access token to subject
	asked    map[string]int         // requests by "grant_type" or path
	last     url.Values             // the last authorization request

	// Lies.
	down      bool
	subject   string
	metadata  func(map[string]any)
	response  func(url.Values)                              // the authorization response
	claims    func(map[string]any)                          // of ID tokens
	options   func(*jwt.SignOptions)                        // of ID tokens
	token     func(idToken string) string                   // replaces ID tokens
	answer    func(map[string]any)                          // the token response
	userinfo  func(map[string]any)                          //
	intercept func(http.ResponseWriter, *http.Request) bool // answers instead
	pause     time.Duration                                 // before the token endpoint answers
}

type fakeCode struct {
	request url.Values
	used    bool
}

type fakeFamily struct {
	live    string // the one good refresh token
	ended   bool
	request url.Values
	began   time.Time
}

func newFake(t *testing.T) *fake {
	t.Helper()
	keys := rsaKeys()
	f := &fake{
		t: t, clock: newClock(), key: keys[0], alien: keys[1], subject: fakePerson,
		codes: map[string]*fakeCode{}, families: map[string]*fakeFamily{}, access: map[string]string{}, asked: map[string]int{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", f.serveMetadata)
	mux.HandleFunc("GET /jwks", f.serveKeys)
	mux.HandleFunc("GET /authorize", f.serveAuthorize)
	mux.HandleFunc("POST /token", f.serveToken)
	mux.HandleFunc("GET /userinfo", f.serveUserinfo)
	mux.HandleFunc("POST /revoke", f.serveRevoke)
	mux.HandleFunc("GET /end", f.serveEnd)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.asked[r.URL.Path]++
		down, intercept := f.down, f.intercept
		f.mu.Unlock()
		if intercept != nil && intercept(w, r) {
			return
		}
		if down {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) count(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[what]
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, code, why string) {
	writeJSON(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": why})
}

func (f *fake) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"issuer": f.URL, "authorization_endpoint": f.URL + "/authorize?tenant=1", "token_endpoint": f.URL + "/token",
		"jwks_uri": f.URL + "/jwks", "userinfo_endpoint": f.URL + "/userinfo", "revocation_endpoint": f.URL + "/revoke",
		"end_session_endpoint": f.URL + "/end", "authorization_response_iss_parameter_supported": true,
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.metadata != nil {
		f.metadata(m)
	}
	writeJSON(w, http.StatusOK, m)
}

func (f *fake) serveKeys(w http.ResponseWriter, _ *http.Request) {
	set, err := jwk.NewSet(f.key)
	if err != nil {
		f.t.Error(err)
	}
	writeJSON(w, http.StatusOK, set)
}

// serveAuthorize is a person who is signed in and agrees to everything.
func (f *fake) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("response_mode") == "form_post" {
		f.postTokens(w, q)
		return
	}
	for name, want := range map[string]string{
		"response_type": "code", "client_id": fakeID, "code_challenge_method": "S256", "tenant": "1",
	} {
		if got := q[name]; len(got) != 1 || got[0] != want {
			f.t.Errorf("authorization request: %s is %q, want %q once", name, got, want)
		}
	}
	// RFC 7636 §4.2: the SHA-256 in base64url is 43 characters.
	if len(q.Get("code_challenge")) != 43 || len(q.Get("state")) < 22 || len(q.Get("nonce")) < 22 {
		f.t.Errorf("authorization request: challenge, state or nonce is too short: %v", q)
	}
	code := rand.Text()
	response := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {f.URL}}
	f.mu.Lock()
	f.codes[code] = &fakeCode{request: q}
	f.last = q
	if f.response != nil {
		f.response(response)
	}
	f.mu.Unlock()
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+response.Encode(), http.StatusSeeOther)
}

func (f *fake) serveToken(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		refuse(w, "invalid_request", "not a form")
		return
	}
	for name, values := range r.PostForm {
		if len(values) != 1 {
			refuse(w, "invalid_request", name+" is repeated")
			return
		}
	}
	if !f.authenticated(r) {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	grant := r.PostForm.Get("grant_type")
	f.mu.Lock()
	f.asked[grant]++
	pause := f.pause
	f.mu.Unlock()
	time.Sleep(pause)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch grant {
	case "authorization_code":
		f.redeem(w, r.PostForm)
	case "refresh_token":
		f.rotate(w, r.PostForm.Get("refresh_token"))
	case "client_credentials":
		f.grant(w, map[string]any{"scope": r.PostForm.Get("scope")}, "client")
	default:
		refuse(w, "unsupported_grant_type", grant)
	}
}

// authenticated: RFC 6749 §2.3.1 and RFC 7523 §3.
func (f *fake) authenticated(r *http.Request) bool {
	if assertion := r.PostForm.Get("client_assertion"); assertion != "" {
		_, err := jwt.Verify[map[string]any](r.Context(), assertion, f.alien, jwt.VerifyOptions{
			Issuers: []string{fakeID}, Subject: fakeID, Audiences: []string{f.URL}, Now: f.clock.Now,
		})
		return err == nil && r.PostForm.Get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	}
	id, secret, basic := r.BasicAuth()
	if !basic {
		return r.PostForm.Get("client_id") == fakeID && (r.PostForm.Get("client_secret") == fakeSecret || !r.PostForm.Has("client_secret"))
	}
	id, err1 := url.QueryUnescape(id)
	secret, err2 := url.QueryUnescape(secret)
	return err1 == nil && err2 == nil && id == fakeID && secret == fakeSecret && !r.PostForm.Has("client_secret")
}

func (f *fake) redeem(w http.ResponseWriter, form url.Values) {
	code, ok := f.codes[form.Get("code")]
	if !ok || code.used || form.Get("redirect_uri") != code.request.Get("redirect_uri") {
		if ok { // RFC 6749 §4.1.2: all that was issued from it ends
			for _, family := range f.families {
				family.ended = true
			}
		}
		refuse(w, "invalid_grant", "the code is not good")
		return
	}
	code.used = true
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	if base64.RawURLEncoding.EncodeToString(sum[:]) != code.request.Get("code_challenge") {
		refuse(w, "invalid_grant", "the verifier is not good")
		return
	}
	family := &fakeFamily{request: code.request, live: rand.Text(), began: f.clock.Now()}
	f.families[family.live] = family
	f.grant(w, f.withIdentity(family, map[string]any{"refresh_token": family.live}), f.subject)
}

// rotate knows no window: a refresh token that comes twice ends its family.
func (f *fake) rotate(w http.ResponseWriter, token string) {
	family, ok := f.families[token]
	if !ok || family.ended || family.live != token {
		if ok {
			family.ended = true
		}
		refuse(w, "invalid_grant", "the refresh token is not good")
		return
	}
	family.live = rand.Text()
	f.families[family.live] = family
	f.grant(w, f.withIdentity(family, map[string]any{"refresh_token": family.live}), f.subject)
}

func (f *fake) withIdentity(family *fakeFamily, answer map[string]any) map[string]any {
	answer["access_token"] = rand.Text()
	answer["id_token"] = f.idToken(family, answer["access_token"].(string))
	return answer
}

func (f *fake) grant(w http.ResponseWriter, answer map[string]any, subject string) {
	if answer["access_token"] == nil {
		answer["access_token"] = rand.Text()
	}
	answer["token_type"], answer["expires_in"] = "bearer", 300
	f.access[answer["access_token"].(string)] = subject
	if f.answer != nil {
		f.answer(answer)
	}
	writeJSON(w, http.StatusOK, answer)
}

func (f *fake) idToken(family *fakeFamily, access string) string {
	sum := sha256.Sum256([]byte(access))
	claims := map[string]any{
		"iss": f.URL, "sub": f.subject, "aud": fakeID, "exp": f.clock.Now().Add(5 * time.Minute).Unix(),
		"iat": f.clock.Now().Unix(), "auth_time": family.began.Unix(), "sid": "session-1", "acr": "1", "amr": []string{"pwd"},
		"nonce": family.request.Get("nonce"), "at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	}
	if f.claims != nil {
		f.claims(claims)
	}
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	o := jwt.SignOptions{NoTimestamp: claims["iat"] == nil, Now: f.clock.Now}
	if f.options != nil {
		f.options(&o)
	}
	token, err := jwt.Sign(claims, f.key, o)
	if err != nil {
		f.t.Errorf("ID token: %v", err)
	}
	if f.token != nil {
		token = f.token(token)
	}
	return token
}

func (f *fake) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	subject, ok := f.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if !ok {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	}
	claims := map[string]any{"sub": subject, "name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true, "groups": []string{"engines"}}
	if f.userinfo != nil {
		f.userinfo(claims)
	}
	writeJSON(w, http.StatusOK, claims)
}

func (f *fake) serveRevoke(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if family, ok := f.families[r.PostFormValue("token")]; ok {
		family.ended = true
	}
	w.WriteHeader(http.StatusOK)
}

func (f *fake) serveEnd(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.last = r.URL.Query()
	f.mu.Unlock()
	http.Redirect(w, r, r.URL.Query().Get("post_logout_redirect_uri"), http.StatusSeeOther)
}
