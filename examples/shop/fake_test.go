package shop_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
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
	key, alien      *jwk.Key
	sh              *shop.Shop

	mu      sync.Mutex
	front   http.Handler // of the shop
	now     time.Time
	person  string
	name    string
	scope   string // empty: what was asked
	apiDown bool
	codes   map[string]url.Values
	issued  string // the last access token

	published *jwk.Key
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

// Making an RSA key is slow; all tests share two.
var signingKeys = sync.OnceValue(func() (keys [2]*jwk.Key) {
	for i := range keys {
		key, err := jwk.Generate(jwa.RS256)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

func newStreet(t *testing.T) *street {
	t.Helper()
	key, alien := signingKeys()[0], signingKeys()[1]
	s := &street{t: t, key: key, alien: alien, published: key, now: time.Now(), person: "person-1", name: "Ada Lovelace", codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		write(w, map[string]any{
			"issuer": s.auth.URL, "authorization_endpoint": s.auth.URL + "/authorize", "token_endpoint": s.auth.URL + "/token",
			"jwks_uri": s.auth.URL + "/jwks", "end_session_endpoint": s.auth.URL + "/end",
		})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		s.set(func() { write(w, map[string]any{"keys": []*jwk.Key{s.published}}) })
	})
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
	s.shop = s.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		front := s.front
		s.mu.Unlock()
		front.ServeHTTP(w, r)
	}))
	s.sh, err = shop.New(shop.Config{
		Issuer: s.auth.URL, ClientID: "shop", BaseURL: s.shop.URL, APIURL: s.api.URL, CartKey: cartKey, Now: s.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.front = s.sh.Handler()
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
	if q.Get("response_mode") == "form_post" {
		s.mu.Lock()
		defer s.mu.Unlock()
		access := s.accessToken(s.person, q.Get("scope"))
		sum := sha256.Sum256([]byte(access))
		fmt.Fprint(w, url.Values{
			"access_token": {access}, "token_type": {"Bearer"}, "expires_in": {"300"}, "state": {q.Get("state")},
			"id_token": {s.sign("JWT", map[string]any{
				"aud": "shop", "sub": s.person, "name": s.name, "nonce": q.Get("nonce"), "at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
			})},
		}.Encode())
		return
	}
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
	s.issued = s.sign("at+jwt", map[string]any{"aud": audience, "sub": person, "client_id": "shop", "jti": rand.Text(), "scope": scope})
	return s.issued
}

func (s *street) lastToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issued
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

// quote returns the newest comment.
func (p page) quote() string {
	m := regexp.MustCompile(`<blockquote>([^<]*)</blockquote>`).FindStringSubmatch(p.text)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// noRedirect sends a request and follows nothing.
func (c *customer) noRedirect(method, path string) (*http.Response, error) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.shop.URL+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	one := *c.browser
	one.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return one.Do(req)
}

// signInByForm begins a sign-in, and posts the form that answers it, as the page of
// another site.
func (c *customer) signInByForm(path string) page {
	c.t.Helper()
	form, err := url.ParseQuery(c.get(path).text)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequest("POST", c.shop.URL+"/callback", strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	return c.see(c.browser.Do(req))
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
