package sso_test

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/examples/elsewhere"
	"github.com/ostiary/ostiary/examples/sso"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// street is an application whose people are signed in by a stand-in.
type street struct {
	t           *testing.T
	app, issuer string
	browser     *http.Client
	status      int
	at          *url.URL
	text        string
}

// serve starts a site whose handler is made once its address is known.
func serve(t *testing.T, handler *http.Handler) string {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*handler).ServeHTTP(w, r) }))
	t.Cleanup(site.Close)
	return site.URL
}

func newStreet(t *testing.T, frontChannel bool) *street {
	t.Helper()
	var app, issuer http.Handler
	s := &street{t: t, app: serve(t, &app), issuer: serve(t, &issuer)}
	house, err := elsewhere.NewOpenID(elsewhere.Config{
		URL: s.issuer, Name: "Harbour", People: []elsewhere.Person{{ID: "1", Login: "mina", Name: "Mina <Murray>"}},
		Client: elsewhere.Client{
			ID: "almanac", Secret: "a secret", Name: "Almanac", RedirectURI: s.app + sso.CallbackPath,
			PostLogoutRedirectURI: s.app + sso.SignedOutPath, BackchannelURI: s.app + sso.BackChannelPath,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	issuer = house.Handler()
	one, err := sso.New(sso.Config{
		Trade: sso.Almanac, Issuer: s.issuer, ClientID: "almanac", ClientSecret: "a secret", IDTokenAlgorithm: jwa.ES256, BaseURL: s.app, APIURL: s.issuer,
		OtherURL: "http://app2.localhost", OtherAPIURL: s.issuer, Ways: []sso.Way{{ID: "harbour", Name: "Harbour"}}, FrontChannel: frontChannel,
	})
	if err != nil {
		t.Fatal(err)
	}
	app = one.Handler()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.browser = &http.Client{Jar: jar}
	return s
}

func (s *street) saw(res *http.Response, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	s.status, s.at, s.text = res.StatusCode, res.Request.URL, html.UnescapeString(string(body))
}

func (s *street) get(path string) { s.t.Helper(); s.saw(s.browser.Get(s.app + path)) }

var hidden = regexp.MustCompile(`name="request" value="([^"]+)"`)

func (s *street) signIn() {
	s.t.Helper()
	s.get("/login")
	m := hidden.FindStringSubmatch(s.text)
	if m == nil {
		s.t.Fatalf("%s asks nobody: %s", s.at, s.text)
	}
	s.saw(s.browser.PostForm(s.issuer+"/choice", url.Values{"request": {m[1]}, "person": {"1"}}))
	if s.at.Path != "/" || !strings.Contains(s.text, "Good day, Mina <Murray>") {
		s.t.Fatalf("signing in ends at %s: %s", s.at, s.text)
	}
}

func TestSilently(t *testing.T) {
	s := newStreet(t, false)
	for range 3 { // each time it comes to an end
		if s.get("/"); s.at.Path != "/welcome" || !strings.Contains(s.text, "login_required") {
			t.Fatalf("without a session one gets to %s: %s", s.at, s.text)
		}
	}
	s.signIn()
	if !strings.Contains(s.text, "server’s sign-in page") {
		t.Errorf("the page does not tell of the way in: %s", s.text)
	}
	u, err := url.Parse(s.app)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.browser.Jar.Cookies(u) { // the application forgets, the server does not
		if c.Name != "elsewhere" { // the server's: cookies do not know ports
			s.browser.Jar.SetCookies(u, []*http.Cookie{{Name: c.Name, Path: "/", MaxAge: -1}})
		}
	}
	if s.get("/"); s.at.Path != "/" || !strings.Contains(s.text, "without a screen") {
		t.Errorf("with a session at the server one gets to %s: %s", s.at, s.text)
	}
	if s.get("/welcome"); s.at.Path != "/" {
		t.Errorf("the welcome is shown to who is signed in: %s", s.at)
	}
}

func TestHear(t *testing.T) {
	s := newStreet(t, false)
	s.signIn()
	if s.get("/session"); s.status != http.StatusNoContent {
		t.Errorf("the session is %d", s.status)
	}
	s.saw(s.browser.PostForm(s.issuer+"/sign-out", nil))
	if s.get("/session"); s.status != http.StatusUnauthorized {
		t.Errorf("after the notice it is %d", s.status)
	}
	if s.get("/welcome?said=elsewhere"); !strings.Contains(s.text, "back channel, ") {
		t.Errorf("what was heard is not told: %s", s.text)
	}
	s.saw(s.browser.PostForm(s.app+sso.BackChannelPath, url.Values{"logout_token": {"x"}}))
	if s.status != http.StatusBadRequest {
		t.Errorf("a notice of nobody: %d", s.status)
	}
	if s.get("/welcome"); strings.Count(s.text, "back channel, ") != 1 {
		t.Errorf("a notice of nobody counts: %s", s.text)
	}
	if s.get(sso.FrontChannelPath + "?iss=x&sid=y"); s.status != http.StatusNotFound {
		t.Errorf("the channel that is not registered: %d", s.status)
	}
}

func TestHearByFrame(t *testing.T) {
	s := newStreet(t, true)
	if s.get(sso.FrontChannelPath + "?iss=" + url.QueryEscape(s.issuer)); s.status != http.StatusBadRequest {
		t.Errorf("a frame that names no session: %d", s.status)
	}
	if s.get(sso.FrontChannelPath + "?sid=y&iss=" + url.QueryEscape(s.issuer)); s.status != http.StatusOK {
		t.Errorf("a frame: %d", s.status)
	}
	if s.get("/welcome"); strings.Count(s.text, "front channel, ") != 1 {
		t.Errorf("what was heard is not told: %s", s.text)
	}
	s.saw(s.browser.PostForm(s.app+sso.BackChannelPath, url.Values{"logout_token": {"x"}}))
	if s.status != http.StatusNotFound && s.status != http.StatusMethodNotAllowed {
		t.Errorf("the channel that is not registered: %d", s.status)
	}
}

func TestWays(t *testing.T) {
	s := newStreet(t, false)
	s.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := s.browser.Get(s.app + "/login?with=harbour")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	to, err := res.Location()
	if err != nil || to.Query().Get("idp_hint") != "harbour" {
		t.Errorf("one is sent to %s (%v)", to, err)
	}
	if s.get("/login?with=other"); s.status != http.StatusBadRequest {
		t.Errorf("a way that there is not: %d", s.status)
	}
	for said, want := range map[string]string{"consent_required": "consent_required", "access_denied": "said no", "<script>": "Sign in here", "signed_out": "of Ledger"} {
		if s.get("/welcome?said=" + url.QueryEscape(said)); !strings.Contains(s.text, want) || strings.Contains(s.text, "<script>") {
			t.Errorf("%s: %s", said, s.text)
		}
	}
	if s.get("/nowhere"); s.status != http.StatusNotFound {
		t.Errorf("a page that there is not: %d", s.status)
	}
}

func TestAPI(t *testing.T) {
	const issuer, audience = "https://login.example.com", "https://almanac.example"
	key, err := jwk.Generate(jwa.ES256)
	if err != nil {
		t.Fatal(err)
	}
	api, err := sso.NewAPI(sso.APIConfig{Trade: sso.Almanac, Issuer: issuer, Audience: audience, Keys: key})
	if err != nil {
		t.Fatal(err)
	}
	token := func(audience, scope string) string {
		text, err := jwt.Sign(map[string]any{"client_id": "almanac", "scope": scope}, key, jwt.SignOptions{
			Type: "at+jwt", Issuer: issuer, Subject: "1", Audience: []string{audience}, ID: "t-1", ExpiresIn: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, row := range []struct {
		name, token string
		status      int
	}{
		{"good", token(audience, "almanac:read"), http.StatusOK},
		{"RFC 9068 §4: another audience", token("https://ledger.example", "almanac:read"), http.StatusUnauthorized},
		{"RFC 6750 §3.1: the scope of the other one", token(audience, "ledger:read"), http.StatusForbidden},
		{"RFC 6750 §3: no token", "", http.StatusUnauthorized},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/entries", nil)
			if row.token != "" {
				r.Header.Set("Authorization", "Bearer "+row.token)
			}
			w := httptest.NewRecorder()
			api.Handler().ServeHTTP(w, r)
			if w.Code != row.status {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			var said struct {
				For, Client string
				Entries     []sso.Entry
			}
			if row.status == http.StatusOK && (json.Unmarshal(w.Body.Bytes(), &said) != nil || said.For != "1" || said.Client != "almanac" || len(said.Entries) == 0) {
				t.Errorf("it says %s", w.Body)
			}
		})
	}
}

func TestNew(t *testing.T) {
	good := sso.Config{
		Trade: sso.Ledger, Issuer: "http://localhost:1", ClientID: "ledger", BaseURL: "http://app2.localhost:2", APIURL: "http://localhost:3",
		OtherURL: "http://app1.localhost:4", OtherAPIURL: "http://localhost:5",
	}
	if _, err := sso.New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*sso.Config){
		"a trade that there is not": func(c *sso.Config) { c.Trade = "bakery" },
		"no issuer":                 func(c *sso.Config) { c.Issuer = "" },
		"no client":                 func(c *sso.Config) { c.ClientID = "" },
		"no address":                func(c *sso.Config) { c.BaseURL = "app2" },
		"no API":                    func(c *sso.Config) { c.APIURL = "" },
		"a way without a name":      func(c *sso.Config) { c.Ways = []sso.Way{{ID: "harbour"}} },
		"a short session key":       func(c *sso.Config) { c.SessionKey = []byte("short") },
	} {
		c := good
		change(&c)
		if _, err := sso.New(c); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	if _, err := sso.NewAPI(sso.APIConfig{Trade: "bakery", Issuer: "http://localhost:1", Audience: "http://localhost:3"}); err == nil {
		t.Error("an API of a trade that there is not is taken")
	}
}
