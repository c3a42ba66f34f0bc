package client_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/client"
)

// app is a web application under test, seen through a browser.
type app struct {
	*httptest.Server
	t       *testing.T
	fake    *fake
	client  *client.Client
	browser *http.Client
}

// seen is what the application's page tells about the session.
type seen struct {
	ID, Subject, Name, Access, Path string
	Groups                          []string
}

func newApp(t *testing.T, change ...func(*client.Config)) *app {
	t.Helper()
	a := &app{t: t, fake: newFake(t)}
	a.Server = httptest.NewUnstartedServer(nil)
	address := "http://" + a.Server.Listener.Addr().String()
	base := func(c *client.Config) {
		c.RedirectURI, c.PostLogoutRedirectURI = address+"/callback", address+"/bye"
		c.SessionKeys = [][]byte{[]byte("0123456789abcdef0123456789abcdef")}
	}
	a.client = newClient(t, a.fake, append([]func(*client.Config){base}, change...)...)
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := client.SessionFrom(r.Context())
		if s == nil {
			writeJSON(w, http.StatusOK, seen{Path: r.URL.RequestURI()})
			return
		}
		access, err := s.AccessToken()
		if err != nil {
			access = "expired"
		}
		out := seen{ID: s.ID, Subject: s.Subject, Name: s.Profile.Name, Access: access, Path: r.URL.RequestURI()}
		s.Profile.Decode(&out)
		writeJSON(w, http.StatusOK, out)
	})
	mux := http.NewServeMux()
	mux.Handle("/login", a.client.Login())
	mux.Handle("/callback", a.client.Callback())
	mux.Handle("/logout", a.client.Logout())
	mux.Handle("/back", a.client.BackChannelLogout())
	mux.Handle("/front", a.client.FrontChannelLogout())
	mux.HandleFunc("/renew", func(w http.ResponseWriter, r *http.Request) {
		s, err := a.client.Renew(w, r)
		if err != nil {
			status := http.StatusBadGateway
			if errors.Is(err, client.ErrNoSession) {
				status = http.StatusUnauthorized
			}
			http.Error(w, err.Error(), status)
			return
		}
		access, err := s.AccessToken()
		if err != nil {
			t.Error(err)
		}
		writeJSON(w, http.StatusOK, seen{ID: s.ID, Subject: s.Subject, Name: s.Profile.Name, Access: access})
	})
	mux.Handle("/private/", a.client.RequireSignIn(page))
	mux.Handle("/", a.client.Attach(page))
	a.Config.Handler = mux
	a.Start()
	t.Cleanup(a.Close)
	a.browser = newBrowser(t)
	return a
}

func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

// get visits a page and follows redirects.
func (a *app) get(path string) (int, seen) {
	a.t.Helper()
	res, err := a.browser.Get(a.Server.URL + path)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.read(res)
}

func (a *app) read(res *http.Response) (int, seen) {
	a.t.Helper()
	defer res.Body.Close()
	var s seen
	body, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, &s); err != nil {
			a.t.Fatalf("%v: %s", err, body)
		}
	}
	return res.StatusCode, s
}

// step visits one address and returns the answer without following it.
func (a *app) step(method, address string) *http.Response {
	a.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = a.Server.URL + address
	}
	req, err := http.NewRequest(method, address, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	one := *a.browser
	one.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := one.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	res.Body.Close()
	return res
}

// approve begins a sign-in at path and stops before the callback.
func (a *app) approve(path string) string {
	a.t.Helper()
	return a.step("GET", a.step("GET", path).Header.Get("Location")).Header.Get("Location")
}

func (a *app) cookies() []*http.Cookie {
	u, _ := url.Parse(a.Server.URL)
	return a.browser.Jar.Cookies(u)
}

func (a *app) session() *http.Cookie {
	for _, c := range a.cookies() {
		if !strings.Contains(c.Name, "-signin-") {
			return c
		}
	}
	return nil
}

func withStore(c *client.Config) {
	c.Store, _ = client.NewMemory(client.MemoryConfig{Sessions: 10, Now: c.Now})
}

// eachStore runs a test with sessions in cookies and in a store.
func eachStore(t *testing.T, test func(t *testing.T, a *app)) {
	t.Run("cookie", func(t *testing.T) { test(t, newApp(t)) })
	t.Run("store", func(t *testing.T) { test(t, newApp(t, withStore)) })
}

func TestSignInAndOut(t *testing.T) {
	eachStore(t, func(t *testing.T, a *app) {
		status, s := a.get("/private/page?a=b")
		if status != http.StatusOK || s.Subject != fakePerson || s.Name != "Ada Lovelace" || s.Path != "/private/page?a=b" {
			t.Fatalf("%d %+v", status, s)
		}
		if cookies := a.cookies(); len(cookies) != 1 {
			t.Errorf("cookies left: %v", cookies)
		}
		if _, s := a.get("/"); s.Subject != fakePerson {
			t.Errorf("not signed in on another page: %+v", s)
		}
		stolen := a.session()

		if res := a.step("GET", "/logout"); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET /logout is %d", res.StatusCode)
		}
		if _, s := a.get("/"); s.Subject != fakePerson {
			t.Error("signed out by GET")
		}
		res, err := a.browser.PostForm(a.Server.URL+"/logout", nil)
		if err != nil {
			t.Fatal(err)
		}
		// OpenID Connect RP-Initiated Logout §2: there and back.
		if status, s := a.read(res); status != http.StatusOK || s.Path != "/bye" || s.Subject != "" {
			t.Errorf("%d %+v", status, s)
		}
		if q := a.fake.last; q.Get("id_token_hint") == "" || q.Get("client_id") != fakeID || q.Get("post_logout_redirect_uri") != a.Server.URL+"/bye" {
			t.Errorf("sign-out request is %v", q)
		}
		for _, family := range a.fake.families {
			if !family.ended {
				t.Error("the refresh token lives on")
			}
		}
		// A copy of the cookie is worth nothing.
		req, _ := http.NewRequest("GET", a.Server.URL+"/", nil)
		req.AddCookie(stolen)
		res, err = http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, s := a.read(res); s.Subject != "" {
			t.Error("a copied cookie still works")
		}
	})
}

func TestCookies(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f, func(c *client.Config) { c.RedirectURI = "https://app.example/callback" })
	w := httptest.NewRecorder()
	if err := c.Begin(w, httptest.NewRequest("GET", "https://app.example/login", nil), client.AuthOptions{}); err != nil {
		t.Fatal(err)
	}
	back := visit(t, w.Header().Get("Location"))
	attempt := w.Result().Cookies()[0]
	r := httptest.NewRequest("GET", "https://app.example/callback?"+back.Encode(), nil)
	r.AddCookie(attempt)
	w = httptest.NewRecorder()
	c.Callback().ServeHTTP(w, r)
	cookies := append([]*http.Cookie{attempt}, w.Result().Cookies()...)
	if len(cookies) != 3 {
		t.Fatalf("%d %v", w.Code, cookies)
	}
	for _, cookie := range cookies {
		if !strings.HasPrefix(cookie.Name, "__Host-") || !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Domain != "" {
			t.Errorf("RFC 6265bis §4.1.3.2: cookie is %v", cookie)
		}
	}
	if cookies[0].MaxAge != 600 || cookies[1].MaxAge != -1 || cookies[2].MaxAge != 12*3600 {
		t.Errorf("ages are %d, %d, %d", cookies[0].MaxAge, cookies[1].MaxAge, cookies[2].MaxAge)
	}
	h := w.Header()
	if w.Code != http.StatusSeeOther || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%d %v", w.Code, h)
	}
	for token := range f.families {
		if strings.Contains(cookies[2].Value, token) {
			t.Error("the refresh token can be read in the cookie")
		}
	}
}

// Several tabs sign in at once and finish in any order, each where it began.
func TestTabs(t *testing.T) {
	a := newApp(t)
	var pending []string
	for _, tab := range []string{"1", "2", "3"} {
		pending = append(pending, a.approve("/private/"+tab))
	}
	for _, i := range []int{1, 2, 0} {
		res := a.step("GET", pending[i])
		if want := "/private/" + string(rune('1'+i)); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != want {
			t.Errorf("tab %d: %d %s", i+1, res.StatusCode, res.Header.Get("Location"))
		}
	}
	if _, s := a.get("/"); s.Subject != fakePerson {
		t.Error("not signed in")
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	a := newApp(t)
	first := a.approve("/login")
	var last string
	for range 8 {
		a.fake.clock.advance(time.Second)
		last = a.approve("/login?return_to=/x")
	}
	if n := len(a.cookies()); n != 5 {
		t.Errorf("%d attempts are kept, want 5", n)
	}
	if res := a.step("GET", first); res.StatusCode != http.StatusBadRequest {
		t.Errorf("the oldest attempt: %d", res.StatusCode)
	}
	if res := a.step("GET", last); res.StatusCode != http.StatusSeeOther {
		t.Errorf("the youngest attempt: %d", res.StatusCode)
	}
}

// Attack rows O12 and O13, at the client.
func TestCallbackAttacks(t *testing.T) {
	t.Run("RFC 6749 §10.12: a response in another browser", func(t *testing.T) {
		a := newApp(t)
		response := a.approve("/login")
		a.browser = newBrowser(t)
		if res := a.step("GET", response); res.StatusCode != http.StatusBadRequest || a.session() != nil {
			t.Errorf("%d", res.StatusCode)
		}
	})
	t.Run("RFC 6749 §10.12: the code of another attempt", func(t *testing.T) {
		a := newApp(t)
		mine, other := a.approve("/login"), a.approve("/login")
		u, _ := url.Parse(mine)
		v, _ := url.Parse(other)
		q := u.Query()
		q.Set("code", v.Query().Get("code"))
		u.RawQuery = q.Encode()
		if res := a.step("GET", u.String()); res.StatusCode != http.StatusBadRequest || a.session() != nil {
			t.Errorf("%d", res.StatusCode)
		}
	})
	t.Run("a response twice", func(t *testing.T) {
		a := newApp(t)
		response := a.approve("/login")
		cookies := a.cookies()
		a.step("GET", response)
		if res := a.step("GET", response); res.StatusCode != http.StatusBadRequest {
			t.Errorf("without its cookie: %d", res.StatusCode)
		}
		u, _ := url.Parse(a.Server.URL)
		a.browser.Jar.SetCookies(u, cookies)
		if res := a.step("GET", response); res.StatusCode != http.StatusBadRequest {
			t.Errorf("with its cookie: %d", res.StatusCode)
		}
		if n := a.fake.count("authorization_code"); n != 1 {
			t.Errorf("the code was sent %d times", n)
		}
		if _, s := a.get("/"); s.Subject != fakePerson {
			t.Error("the replay ended the session")
		}
	})
	t.Run("a cookie of another purpose", func(t *testing.T) {
		a := newApp(t)
		a.approve("/login")
		attempt := a.cookies()[0]
		a.get("/private/")
		u, _ := url.Parse(a.Server.URL)
		a.browser.Jar.SetCookies(u, []*http.Cookie{{Name: a.session().Name, Value: attempt.Value}})
		if _, s := a.get("/"); s.Subject != "" {
			t.Error("an attempt passed for a session")
		}
	})
	t.Run("PUT", func(t *testing.T) {
		a := newApp(t)
		if res := a.step("PUT", "/callback"); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%d", res.StatusCode)
		}
	})
	t.Run("session fixation", func(t *testing.T) {
		eachStore(t, func(t *testing.T, a *app) {
			a.get("/private/")
			before := a.session().Value
			_, s := a.get("/")
			a.get("/login")
			_, again := a.get("/")
			if a.session().Value == before || s.ID == again.ID {
				t.Error("the session is the same after a new sign-in")
			}
		})
	})
	t.Run("a page of another site frames nothing and learns nothing", func(t *testing.T) {
		a := newApp(t)
		res, err := a.browser.Get(a.Server.URL + "/callback?error=x&error_description=<script>")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		if strings.Contains(string(body), "script") || !strings.Contains(res.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%v %s", res.Header, body)
		}
	})
}

func TestReturnTo(t *testing.T) {
	for path, want := range map[string]string{
		"/cart?x=1":                    "/cart?x=1",
		"/a/b":                         "/a/b",
		"":                             "/",
		"//evil.example":               "/",
		`/\evil.example`:               "/",
		`/a\..\evil`:                   "/",
		"/\t/evil.example":             "/",
		"/\n/evil.example":             "/",
		"https://evil.example":         "/",
		"https:evil.example":           "/",
		"javascript:alert(1)":          "/",
		"evil":                         "/",
		"/é":                           "/",
		"/" + strings.Repeat("a", 600): "/",
	} {
		t.Run(path, func(t *testing.T) {
			a := newApp(t)
			res := a.step("GET", a.approve("/login?return_to="+url.QueryEscape(path)))
			if got := res.Header.Get("Location"); got != want {
				t.Errorf("sent to %q, want %q", got, want)
			}
		})
	}
}

func TestSignInFails(t *testing.T) {
	for _, row := range []struct {
		name   string
		lie    func(f *fake)
		status int
	}{
		{"cancelled", func(f *fake) {
			f.response = func(v url.Values) { v.Del("code"); v.Set("error", "access_denied") }
		}, http.StatusForbidden},
		{"server_error", func(f *fake) {
			f.response = func(v url.Values) { v.Del("code"); v.Set("error", "server_error") }
		}, http.StatusServiceUnavailable},
		{"mix-up", func(f *fake) { f.response = func(v url.Values) { v.Set("iss", "https://evil.example") } }, http.StatusBadRequest},
		{"forged ID token", func(f *fake) { f.token = func(s string) string { return s + "A" } }, http.StatusBadRequest},
		{"userinfo of another person", func(f *fake) { f.userinfo = func(c map[string]any) { c["sub"] = "other" } }, http.StatusBadRequest},
		{"userinfo is down", func(f *fake) {
			f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/userinfo" {
					w.WriteHeader(http.StatusBadGateway)
				}
				return r.URL.Path == "/userinfo"
			}
		}, http.StatusOK},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newApp(t)
			row.lie(a.fake)
			status, s := a.get("/private/")
			if status != row.status || (s.Subject != "") != (status == http.StatusOK) || (a.session() != nil) != (status == http.StatusOK) {
				t.Errorf("%d %+v", status, s)
			}
		})
	}
	t.Run("the server is down", func(t *testing.T) {
		a := newApp(t)
		a.fake.down = true
		res := a.step("GET", "/private/")
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
	})
}

// Only a page that is navigated to begins a sign-in.
func TestRequireSignIn(t *testing.T) {
	a := newApp(t)
	for _, row := range []struct {
		method, mode string
		status       int
	}{
		{"GET", "", http.StatusSeeOther},
		{"GET", "navigate", http.StatusSeeOther},
		{"GET", "cors", http.StatusUnauthorized},
		{"GET", "no-cors", http.StatusUnauthorized},
		{"POST", "navigate", http.StatusUnauthorized},
		{"HEAD", "", http.StatusUnauthorized},
	} {
		req, _ := http.NewRequest(row.method, a.Server.URL+"/private/", nil)
		req.Header.Set("Sec-Fetch-Mode", row.mode)
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != row.status {
			t.Errorf("%s %s: %d, want %d", row.method, row.mode, res.StatusCode, row.status)
		}
	}
}

func TestLogoutFromAnotherSite(t *testing.T) {
	a := newApp(t)
	a.get("/private/")
	req, _ := http.NewRequest("POST", a.Server.URL+"/logout", nil)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	res, err := a.browser.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if _, s := a.get("/"); res.StatusCode != http.StatusForbidden || s.Subject == "" {
		t.Errorf("%d %+v", res.StatusCode, s)
	}
}

func TestLogoutWhileServerIsDown(t *testing.T) {
	a := newApp(t)
	a.get("/private/")
	a.fake.set(func() { a.fake.down = true })
	res := a.step("POST", "/logout")
	if res.StatusCode != http.StatusSeeOther || a.session() != nil {
		t.Errorf("%d, session %v", res.StatusCode, a.session())
	}
}
