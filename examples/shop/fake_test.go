package shop_test

import (
	"crypto/rand"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/examples/shop"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

const audience = "https://api.shop.example"

var cartKey = []byte("a cart key of thirty-two bytes!!")

// street is a shop, its API and an authorization server that signs in whoever
// stands before it, all on this machine.
type street struct {
	t               *testing.T
	shop, api, auth *httptest.Server
	key             *jwk.Key

	mu      sync.Mutex
	now     time.Time
	person  string
	name    string
	scope   string // empty: what was asked
	apiDown bool
	codes   map[string]url.Values
}

func (s *street) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *street) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func newStreet(t *testing.T) *street {
	t.Helper()
	key, err := jwk.Generate(jwa.RS256)
	if err != nil {
		t.Fatal(err)
	}
	s := &street{t: t, key: key, now: time.Now(), person: "person-1", name: "Ada Lovelace", codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		write(w, map[string]any{
			"issuer": s.auth.URL, "authorization_endpoint": s.auth.URL + "/authorize", "token_endpoint": s.auth.URL + "/token",
			"jwks_uri": s.auth.URL + "/jwks", "end_session_endpoint": s.auth.URL + "/end",
		})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) { write(w, map[string]any{"keys": []*jwk.Key{key}}) })
	mux.HandleFunc("GET /authorize", s.authorize)
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("GET /end", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("post_logout_redirect_uri"), http.StatusSeeOther)
	})
	s.auth = s.serve(mux)
	api, err := shop.NewAPI(shop.APIConfig{Issuer: s.auth.URL, Audience: audience, Now: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	handler := api.Handler()
	s.api = s.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		down := s.apiDown
		s.mu.Unlock()
		if down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	var front http.Handler
	s.shop = s.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { front.ServeHTTP(w, r) }))
	sh, err := shop.New(shop.Config{
		Issuer: s.auth.URL, ClientID: "shop", BaseURL: s.shop.URL, APIURL: s.api.URL, CartKey: cartKey, Now: s.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	front = sh.Handler()
	return s
}

func (s *street) serve(h http.Handler) *httptest.Server {
	server := httptest.NewServer(h)
	s.t.Cleanup(server.Close)
	return server
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func (s *street) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	code := rand.Text()
	s.set(func() { s.codes[code] = q })
	http.Redirect(w, r, q.Get("redirect_uri")+"?code="+code+"&state="+q.Get("state"), http.StatusSeeOther)
}

func (s *street) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	request := s.codes[r.PostFormValue("code")]
	scope := s.scope
	if scope == "" {
		scope = request.Get("scope")
	}
	write(w, map[string]any{
		"token_type": "Bearer", "expires_in": 300, "access_token": s.accessToken(s.person, scope),
		"id_token": s.sign("JWT", map[string]any{"aud": "shop", "sub": s.person, "name": s.name, "nonce": request.Get("nonce")}),
	})
}

func (s *street) accessToken(person, scope string) string {
	return s.sign("at+jwt", map[string]any{"aud": audience, "sub": person, "client_id": "shop", "jti": rand.Text(), "scope": scope})
}

func (s *street) sign(typ string, claims map[string]any) string {
	token, err := jwt.Sign(claims, s.key, jwt.SignOptions{
		Type: typ, Issuer: s.auth.URL, ExpiresIn: 5 * time.Minute, Now: func() time.Time { return s.now },
	})
	if err != nil {
		s.t.Error(err)
	}
	return token
}

// customer is a browser at the shop.
type customer struct {
	*street
	browser *http.Client
}

// page is what the customer sees.
type page struct {
	status int
	text   string
	header http.Header
}

func (s *street) customer() *customer {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &customer{s, &http.Client{Jar: jar}}
}

func (c *customer) see(res *http.Response, err error) page {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return page{res.StatusCode, string(body), res.Header}
}

func (c *customer) get(path string) page {
	c.t.Helper()
	return c.see(c.browser.Get(c.shop.URL + path))
}

func (c *customer) post(path string, form ...string) page {
	c.t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Add(form[i], form[i+1])
	}
	return c.see(c.browser.PostForm(c.shop.URL+path, values))
}

// element returns the text of the element with an id; empty if there is none.
func (p page) element(id string) string {
	m := regexp.MustCompile(`id="` + id + `"[^>]*>([^<]*)<`).FindStringSubmatch(p.text)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

func (p page) has(id string) bool { return strings.Contains(p.text, `id="`+id+`"`) }

func (c *customer) cookie(name string) string {
	u, _ := url.Parse(c.shop.URL)
	for _, cookie := range c.browser.Jar.Cookies(u) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

func (c *customer) setCookie(name, value string) {
	u, _ := url.Parse(c.shop.URL)
	c.browser.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}
