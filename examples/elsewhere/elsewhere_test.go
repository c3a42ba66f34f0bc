package elsewhere_test

import (
	"context"
	"encoding/json"
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

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/examples/elsewhere"
	"github.com/ostiary/ostiary/jwa"
)

const (
	callback = "http://localhost:1/callback"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	hash     = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

var people = []elsewhere.Person{
	{ID: "1", Login: "mina", Name: "Mina Murray", Email: "mina@harbour.example", EmailVerified: true},
	{ID: "2", Login: "lucy", Name: "Lucy Westenra"},
}

// place is a house, and what it tells its client by the back channel.
type place struct {
	t       *testing.T
	url     string
	ahead   time.Duration
	notices []string
	mu      sync.Mutex
}

func (p *place) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Add(p.ahead)
}

func (p *place) move(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ahead += d
}

// told is how often the client was told that a session is over.
func (p *place) told() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.notices)
}

// open builds a house, an OpenID Provider or a plain OAuth 2.0 server.
func open(t *testing.T, openID bool) *place {
	t.Helper()
	p := &place{t: t}
	var handler http.Handler
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(site.Close)
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.notices = append(p.notices, r.PostFormValue("logout_token"))
	}))
	t.Cleanup(back.Close)
	p.url = site.URL
	config := elsewhere.Config{URL: p.url, Name: "Harbour", People: people, Now: p.now, Client: elsewhere.Client{
		ID: "app", Secret: "a secret: of %", Name: "The application", RedirectURI: callback,
		PostLogoutRedirectURI: "http://localhost:1/bye", BackchannelURI: back.URL,
	}}
	if openID {
		o, err := elsewhere.NewOpenID(config)
		if err != nil {
			t.Fatal(err)
		}
		handler = o.Handler()
		return p
	}
	o, err := elsewhere.NewOAuth(config)
	if err != nil {
		t.Fatal(err)
	}
	handler = o.Handler()
	return p
}

// visitor is a browser that stops where it would leave the house.
type visitor struct {
	*place
	http *http.Client
	back url.Values // of the redirect to the client; nil: there was none
	body string
	code int
}

func (p *place) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return &visitor{place: p, http: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (v *visitor) saw(res *http.Response, err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	v.back, v.body, v.code = nil, string(body), res.StatusCode
	if to := res.Header.Get("Location"); to != "" {
		u, err := url.Parse(to)
		if err != nil || !strings.HasPrefix(to, "http://localhost:1/") {
			v.t.Fatalf("one is sent to %s", to)
		}
		v.back = u.Query()
	}
}

// request is an authorization request that is good, with changes: a value that is empty
// is left out.
func request(changes ...string) url.Values {
	q := url.Values{
		"client_id": {"app"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid profile email"}, "state": {"s-1"}, "nonce": {"n-1"},
		"code_challenge": {hash}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(changes); i += 2 {
		if q.Set(changes[i], changes[i+1]); changes[i+1] == "" {
			q.Del(changes[i])
		}
	}
	return q
}

func (v *visitor) ask(path string, q url.Values) {
	v.t.Helper()
	v.saw(v.http.Get(v.url + path + "?" + q.Encode()))
}

var hidden = regexp.MustCompile(`name="request" value="([^"]+)"`)

// choose presses the button of a person on the page.
func (v *visitor) choose(person string) {
	v.t.Helper()
	m := hidden.FindStringSubmatch(v.body)
	if m == nil {
		v.t.Fatalf("%d: there is nobody to choose: %v %s", v.code, v.back, v.body)
	}
	v.saw(v.http.PostForm(v.url+"/choice", url.Values{"request": {m[1]}, "person": {person}}))
}

func TestAuthorize(t *testing.T) {
	house := open(t, true)
	for _, row := range []struct {
		name   string
		change []string
		err    string // empty: nobody is sent anywhere
	}{
		{"RFC 6749 §4.1.2.1: an unknown client is not redirected", []string{"client_id", "other"}, ""},
		{"RFC 6749 §4.1.2.1: nor to an address that is not registered", []string{"redirect_uri", callback + "/"}, ""},
		{"RFC 6749 §3.1.2.3: nor without one", []string{"redirect_uri", ""}, ""},
		{"RFC 6749 §3.1.1: response_type is missing", []string{"response_type", ""}, "invalid_request"},
		{"RFC 6749 §4.1.2.1: another response_type", []string{"response_type", "token"}, "unsupported_response_type"},
		{"another response_mode", []string{"response_mode", "fragment"}, "invalid_request"},
		{"OpenID Connect Core §3.1.2.1: scope without openid", []string{"scope", "profile"}, "invalid_scope"},
		{"RFC 7636 §4.4.1: code_challenge is missing", []string{"code_challenge", ""}, "invalid_request"},
		{"RFC 7636 §4.3: the method is plain unless said", []string{"code_challenge_method", ""}, "invalid_request"},
		{"RFC 7636 §4.2: not a hash", []string{"code_challenge", "short"}, "invalid_request"},
		{"OpenID Connect Core §3.1.2.1: none beside others", []string{"prompt", "none login"}, "invalid_request"},
		{"OpenID Connect Core §3.1.2.6: nobody is signed in", []string{"prompt", "none"}, "login_required"},
		{"OpenID Connect Core §3.1.2.1: max_age is a number", []string{"max_age", "-1"}, "invalid_request"},
		{"OpenID Connect Core §6.1", []string{"request", "eyJ"}, "request_not_supported"},
		{"OpenID Connect Core §6.2", []string{"request_uri", "https://app.example/r"}, "request_uri_not_supported"},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := house.visitor()
			v.ask("/authorize", request(row.change...))
			if v.back.Get("error") != row.err || (row.err == "") != (v.code == http.StatusBadRequest) {
				t.Errorf("%d %v", v.code, v.back)
			}
			if row.err != "" && (v.back.Get("state") != "s-1" || v.back.Get("iss") != house.url) {
				t.Errorf("the answer is %v", v.back) // RFC 6749 §4.1.2.1, RFC 9207 §2
			}
		})
	}
	v := house.visitor()
	v.ask("/authorize", url.Values{"client_id": {"app", "app"}, "redirect_uri": {callback}})
	if v.code != http.StatusBadRequest || v.back != nil { // RFC 6749 §3.1
		t.Errorf("a parameter that is there twice: %d %v", v.code, v.back)
	}
}

func TestChoice(t *testing.T) {
	house := open(t, true)
	v := house.visitor()
	v.ask("/authorize", request())
	page := v.body
	if v.choose(""); v.back.Get("error") != "access_denied" {
		t.Errorf("saying no: %v", v.back)
	}
	v.body = page
	if v.choose("1"); v.code != http.StatusBadRequest || v.back != nil {
		t.Errorf("a page that was used: %d %v", v.code, v.back)
	}
	v.ask("/authorize", request())
	req, err := http.NewRequest(http.MethodPost, house.url+"/choice", strings.NewReader(url.Values{"request": {hidden.FindStringSubmatch(v.body)[1]}, "person": {"1"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if v.saw(v.http.Do(req)); v.code != http.StatusForbidden || v.back != nil {
		t.Errorf("a form of another site: %d %v", v.code, v.back)
	}
	v.ask("/authorize", request())
	if v.choose("1"); v.back.Get("code") == "" || v.back.Get("state") != "s-1" || v.back.Get("iss") != house.url {
		t.Fatalf("the answer is %v", v.back)
	}
	for _, row := range []struct {
		name   string
		change []string
		page   bool
	}{
		{"who is signed in sees no page", nil, false},
		{"OpenID Connect Core §3.1.2.1: none", []string{"prompt", "none"}, false},
		{"login", []string{"prompt", "login"}, true},
		{"select_account", []string{"prompt", "select_account"}, true},
		{"a sign-in that is young enough", []string{"max_age", "60"}, false},
	} {
		if v.ask("/authorize", request(row.change...)); (v.back == nil) != row.page {
			t.Errorf("%s: %d %v", row.name, v.code, v.back)
		}
	}
	house.move(2 * time.Minute)
	if v.ask("/authorize", request("max_age", "60")); v.back != nil {
		t.Errorf("a sign-in that is too old: %v", v.back)
	}
	if v.ask("/authorize", request("max_age", "60", "prompt", "none")); v.back.Get("error") != "login_required" {
		t.Errorf("a sign-in that is too old, without a page: %v", v.back)
	}
}

// redeem sends a token request that is good, with changes.
func (p *place) redeem(path, code, id, secret string, changes ...string) (int, map[string]any) {
	p.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	req, err := http.NewRequest(http.MethodPost, p.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) // RFC 6749 §2.3.1
	return p.answer(req)
}

func (p *place) answer(req *http.Request) (int, map[string]any) {
	p.t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	var body any
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		p.t.Fatal(err)
	}
	if list, ok := body.([]any); ok {
		return res.StatusCode, map[string]any{"list": list}
	}
	return res.StatusCode, body.(map[string]any)
}

func TestToken(t *testing.T) {
	house := open(t, true)
	v := house.visitor()
	v.ask("/authorize", request())
	v.choose("1")
	fresh := func() string {
		v.ask("/authorize", request())
		return v.back.Get("code")
	}
	const secret = "a secret: of %"
	for _, row := range []struct {
		name, id, secret string
		change           []string
		status           int
		err              string
	}{
		{"RFC 6749 §5.2: a wrong secret", "app", "guessed", nil, 401, "invalid_client"},
		{"RFC 6749 §5.2: another client", "other", secret, nil, 401, "invalid_client"},
		{"RFC 6749 §2.3: two ways to prove it", "app", secret, []string{"client_secret", secret}, 401, "invalid_client"},
		{"RFC 6749 §5.2: another grant", "app", secret, []string{"grant_type", "password"}, 400, "unsupported_grant_type"},
		{"RFC 6749 §5.2: an unknown code", "app", secret, []string{"code", "x"}, 400, "invalid_grant"},
		{"RFC 6749 §4.1.3: another redirect_uri", "app", secret, []string{"redirect_uri", callback + "/"}, 400, "invalid_grant"},
		{"RFC 7636 §4.6: another verifier", "app", secret, []string{"code_verifier", strings.Repeat("a", 43)}, 400, "invalid_grant"},
		{"RFC 7636 §4.5: no verifier", "app", secret, []string{"code_verifier", ""}, 400, "invalid_request"},
		{"good", "app", secret, nil, 200, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			status, body := house.redeem("/token", fresh(), row.id, row.secret, row.change...)
			if err, _ := body["error"].(string); status != row.status || err != row.err {
				t.Errorf("%d %v", status, body)
			}
		})
	}
	code := fresh()
	_, first := house.redeem("/token", code, "app", secret)
	if house.userinfo(first["access_token"].(string)) != http.StatusOK {
		t.Fatal("the token is not taken")
	}
	if status, body := house.redeem("/token", code, "app", secret); status != 400 || body["error"] != "invalid_grant" {
		t.Errorf("a code comes twice: %d %v", status, body)
	}
	if house.userinfo(first["access_token"].(string)) != http.StatusUnauthorized { // RFC 6749 §4.1.2
		t.Error("what a code was used twice for is still good")
	}
	code = fresh()
	house.move(2 * time.Minute)
	if status, body := house.redeem("/token", code, "app", secret); status != 400 || body["error"] != "invalid_grant" {
		t.Errorf("a code that is too old: %d %v", status, body)
	}
}

func (p *place) userinfo(token string) int {
	status, _ := p.read("/userinfo", token)
	return status
}

func (p *place) read(path, token string) (int, map[string]any) {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return p.answer(req)
}

// TestOpenID is a relying party of ours at the provider, from the sign-in to the notice
// that it is over.
func TestOpenID(t *testing.T) {
	house := open(t, true)
	app, err := client.New(client.Config{
		Issuer: house.url, ClientID: "app", ClientSecret: "a secret: of %", RedirectURI: callback, PostLogoutRedirectURI: "http://localhost:1/bye",
		Scopes: elsewhere.OpenIDScopes, IDTokenAlgorithm: jwa.ES256, Now: house.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	v := house.visitor()
	signIn := func(person string, o client.AuthOptions) (client.Tokens, client.Identity) {
		t.Helper()
		address, attempt, err := app.AuthCodeURL(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		v.saw(v.http.Get(address))
		if v.back == nil {
			v.choose(person)
		}
		tokens, id, err := app.Exchange(ctx, attempt, v.back)
		if err != nil {
			t.Fatal(err)
		}
		return tokens, id
	}
	tokens, id := signIn("1", client.AuthOptions{MaxAge: time.Hour})
	if id.Subject != "1" || id.SessionID == "" || id.AuthTime.IsZero() {
		t.Errorf("the ID token says %+v", id)
	}
	profile, err := app.Userinfo(ctx, tokens, id.Subject)
	if err != nil || profile.Name != "Mina Murray" || profile.Email != "mina@harbour.example" || !profile.EmailVerified || profile.PreferredUsername != "mina" {
		t.Errorf("userinfo says %+v (%v)", profile, err)
	}
	// Another person at the same browser: the session of the first one is over.
	_, other := signIn("2", client.AuthOptions{Prompt: []string{"select_account"}})
	if other.Subject != "2" || other.SessionID == id.SessionID {
		t.Errorf("the second one is %+v", other)
	}
	house.ended(app, "1", id.SessionID)
	tokens, again := signIn("2", client.AuthOptions{Prompt: []string{"login"}})
	if again.SessionID != other.SessionID {
		t.Error("the same person has another session")
	}

	// OpenID Connect RP-Initiated Logout §2: not asked with a hint of this session, also
	// when it has expired.
	house.move(time.Hour)
	address, err := app.LogoutURL(ctx, tokens.ID, "st")
	if err != nil {
		t.Fatal(err)
	}
	if v.saw(v.http.Get(address)); v.back.Get("state") != "st" {
		t.Errorf("signing out: %d %v %s", v.code, v.back, v.body)
	}
	house.ended(app, "2", again.SessionID)
	if v.ask("/authorize", request("prompt", "none")); v.back.Get("error") != "login_required" {
		t.Errorf("after it: %v", v.back)
	}
}

// ended verifies the latest notice as the application does.
func (p *place) ended(app *client.Client, subject, session string) {
	p.t.Helper()
	p.mu.Lock()
	list := p.notices
	p.notices = nil
	p.mu.Unlock()
	if len(list) != 1 {
		p.t.Fatalf("%d notices have come", len(list))
	}
	n, err := app.Notice(context.Background(), list[0])
	if err != nil || n.Subject != subject || n.SessionID != session {
		p.t.Errorf("the notice says %+v (%v)", n, err)
	}
}

func TestLeave(t *testing.T) {
	house := open(t, true)
	v := house.visitor()
	v.ask("/authorize", request())
	v.choose("1")
	for _, row := range []struct {
		name string
		q    url.Values
		code int
	}{
		{"§2: a hint that is no token of ours", url.Values{"id_token_hint": {"x"}}, http.StatusBadRequest},
		{"§2: another client", url.Values{"client_id": {"other"}}, http.StatusBadRequest},
		{"§2: without a hint the person is asked", url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {"http://localhost:1/bye"}}, http.StatusOK},
	} {
		if v.ask("/end-session", row.q); v.code != row.code || v.back != nil || house.told() != 0 {
			t.Errorf("%s: %d %v", row.name, v.code, v.back)
		}
	}
	form := url.Values{"request": {hidden.FindStringSubmatch(v.body)[1]}}
	if v.saw(v.http.PostForm(house.url+"/sign-out", form)); v.code != http.StatusSeeOther || house.told() != 1 {
		t.Errorf("confirmed: %d, %d notices", v.code, house.told())
	}
	// §3: what is not registered is not followed.
	if v.ask("/end-session", url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {"http://localhost:1/other"}}); v.code != http.StatusOK || v.back != nil {
		t.Errorf("an address that is not registered: %d %v", v.code, v.back)
	}
}

func TestOAuth(t *testing.T) {
	house := open(t, false)
	v := house.visitor()
	if v.ask("/oauth/authorize", request()); v.back.Get("error") != "invalid_scope" {
		t.Errorf("asked for an ID token: %v", v.back)
	}
	for _, scope := range []string{"", elsewhere.ScopeEmail} {
		if v.ask("/oauth/authorize", request("scope", scope)); v.back != nil {
			t.Fatalf("it does not ask who one is: %v", v.back)
		}
		v.choose("1")
		status, body := house.redeem("/oauth/token", v.back.Get("code"), "app", "a secret: of %")
		if status != http.StatusOK || body["scope"] != scope || body["id_token"] != nil {
			t.Fatalf("%d %v", status, body)
		}
		token := body["access_token"].(string)
		if status, user := house.read("/api/user", token); status != http.StatusOK || user["id"] != 1.0 || user["login"] != "mina" || user["email"] != nil {
			t.Errorf("the user is %d %v", status, user)
		}
		want := http.StatusForbidden // RFC 6750 §3.1
		if scope != "" {
			want = http.StatusOK
		}
		if status, mails := house.read("/api/user/emails", token); status != want {
			t.Errorf("addresses with %q: %d %v", scope, status, mails)
		}
		house.move(61 * time.Minute)
		if status, _ := house.read("/api/user", token); status != http.StatusUnauthorized {
			t.Errorf("a token that has expired: %d", status)
		}
	}
	if status, _ := house.read("/api/user", ""); status != http.StatusUnauthorized {
		t.Errorf("no token: %d", status)
	}
}

func TestNew(t *testing.T) {
	good := elsewhere.Config{URL: "http://127.0.0.1:1", Name: "Harbour", People: people, Client: elsewhere.Client{ID: "app", Secret: "secret", RedirectURI: callback}}
	if _, err := elsewhere.NewOAuth(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*elsewhere.Config){
		"URL with a path":            func(c *elsewhere.Config) { c.URL += "/x" },
		"no name":                    func(c *elsewhere.Config) { c.Name = "" },
		"no secret":                  func(c *elsewhere.Config) { c.Client.Secret = "" },
		"a relative redirect URI":    func(c *elsewhere.Config) { c.Client.RedirectURI = "/callback" },
		"nobody":                     func(c *elsewhere.Config) { c.People = nil },
		"two of one ID":              func(c *elsewhere.Config) { c.People = []elsewhere.Person{people[0], people[0]} },
		"an ID that is not a number": func(c *elsewhere.Config) { c.People = []elsewhere.Person{{ID: "x", Login: "x", Name: "X"}} },
	} {
		c := good
		change(&c)
		if _, err := elsewhere.NewOAuth(c); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}
