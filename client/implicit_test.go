package client_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/client"
)

// postTokens answers a sign-in of the implicit flow: its body is the form that a
// browser would post, OAuth 2.0 Form Post Response Mode §2.
func (f *fake) postTokens(w http.ResponseWriter, q url.Values) {
	if q.Get("response_type") != "id_token token" || q.Get("client_id") != fakeID || len(q.Get("nonce")) < 22 || len(q.Get("state")) < 22 {
		f.t.Errorf("OpenID Connect Core §3.2.2.1: authorization request is %v", q)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = q
	answer := f.withIdentity(&fakeFamily{request: q, began: f.clock.Now()}, map[string]any{})
	f.access[answer["access_token"].(string)] = f.subject
	response := url.Values{
		"access_token": {answer["access_token"].(string)}, "id_token": {answer["id_token"].(string)}, "token_type": {"bearer"},
		"expires_in": {"300"}, "scope": {"openid"}, "state": {q.Get("state")}, "iss": {f.URL},
	}
	if f.response != nil {
		f.response(response)
	}
	w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
	fmt.Fprint(w, response.Encode())
}

// posted follows an authorization request to the form that answers it.
func posted(t *testing.T, address string) url.Values {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		t.Fatal(err)
	}
	return form
}

// OpenID Connect Core §3.2.2.8 to §3.2.2.11: what is checked of a response.
func TestTokensInBrowser(t *testing.T) {
	response := func(change func(url.Values)) func(*fake) {
		return func(f *fake) { f.response = change }
	}
	claims := func(change func(map[string]any)) func(*fake) {
		return func(f *fake) { f.claims = change }
	}
	for _, row := range []struct {
		name string
		lie  func(*fake)
		want error
	}{
		{"§3.2.2.5: good", func(*fake) {}, nil},
		{"§3.2.2.5: no expires_in", response(func(v url.Values) { v.Del("expires_in") }), nil},
		{"RFC 6749 §4.2.2: unknown parameters are ignored", response(func(v url.Values) { v.Set("code", "x"); v.Set("refresh_token", "planted") }), nil},
		{"§3.2.2.5: no access_token", response(func(v url.Values) { v.Del("access_token") }), client.ErrResponse},
		{"§3.2.2.5: no id_token", response(func(v url.Values) { v.Del("id_token") }), client.ErrResponse},
		{"§3.2.2.5: no token_type", response(func(v url.Values) { v.Del("token_type") }), client.ErrResponse},
		{"§3.2.2.5: another token_type", response(func(v url.Values) { v.Set("token_type", "mac") }), client.ErrResponse},
		{"§3.2.2.5: a code alone", response(func(v url.Values) { v.Del("access_token"); v.Del("id_token"); v.Set("code", "x") }), client.ErrResponse},
		{"RFC 6749 §4.2.2: expires_in is no number", response(func(v url.Values) { v.Set("expires_in", "soon") }), client.ErrResponse},
		{"RFC 6749 §3.1: two access tokens", response(func(v url.Values) { v.Add("access_token", "other") }), client.ErrResponse},
		{"RFC 6749 §3.1: two ID tokens", response(func(v url.Values) { v.Add("id_token", "other") }), client.ErrResponse},
		{"RFC 6749 §10.12: another state", response(func(v url.Values) { v.Set("state", strings.Repeat("x", 43)) }), client.ErrAttempt},
		{"RFC 9207 §2.4: another iss", response(func(v url.Values) { v.Set("iss", "https://evil.example") }), client.ErrIssuer},
		{"§3.2.2.9: the access token was swapped", response(func(v url.Values) { v.Set("access_token", "another") }), client.ErrIdentity},
		{"§3.2.2.10: no at_hash", claims(func(c map[string]any) { delete(c, "at_hash") }), client.ErrIdentity},
		{"§3.2.2.11: no nonce", claims(func(c map[string]any) { delete(c, "nonce") }), client.ErrIdentity},
		{"§3.2.2.11: the nonce of another sign-in", claims(func(c map[string]any) { c["nonce"] = strings.Repeat("x", 43) }), client.ErrIdentity},
		{"§3.1.3.7: the ID token of another client", claims(func(c map[string]any) { c["aud"] = "other" }), client.ErrIdentity},
		{"§3.1.3.7: expired", claims(func(c map[string]any) { c["exp"] = 1 }), client.ErrIdentity},
		{"§3.1.3.7: the signature is missing", func(f *fake) { f.token = func(s string) string { return s[:strings.LastIndex(s, ".")+1] } }, client.ErrIdentity},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFake(t)
			row.lie(f)
			c := newClient(t, f)
			address, attempt, err := c.AuthCodeURL(t.Context(), client.AuthOptions{ResponseType: client.ResponseTokens})
			if err != nil {
				t.Fatal(err)
			}
			tokens, id, err := c.Exchange(t.Context(), attempt, posted(t, address))
			if !errors.Is(err, row.want) {
				t.Fatalf("error is %v, want %v", err, row.want)
			}
			if err != nil {
				if tokens.Access != "" || id.Subject != "" {
					t.Error("something came back beside the error")
				}
				return
			}
			if id.Subject != fakePerson || tokens.Access == "" || tokens.Refresh != "" || len(tokens.Scope) != 1 {
				t.Errorf("%+v, refresh token: %t", id, tokens.Refresh != "")
			}
			if f.count("authorization_code") != 0 {
				t.Error("the token endpoint was asked")
			}
		})
	}
}

func TestResponseTypes(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f)
	for _, row := range []struct {
		name string
		ask  client.AuthOptions
		ok   bool
	}{
		{"code", client.AuthOptions{ResponseType: client.ResponseCode}, true},
		{"tokens", client.AuthOptions{ResponseType: client.ResponseTokens}, true},
		{"tokens without an ID token", client.AuthOptions{ResponseType: client.ResponseTokens, Scopes: []string{"orders"}}, false},
		{"RFC 9700 §2.1.2: an access token alone", client.AuthOptions{ResponseType: "token"}, false},
	} {
		address, _, err := c.AuthCodeURL(t.Context(), row.ask)
		if (err == nil) != row.ok {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		u, _ := url.Parse(address)
		if want := row.ask.ResponseType; row.ok && (u.Query().Get("response_type") != want || u.Query().Has("response_mode") != (want != "code")) {
			t.Errorf("%s: the request is %v", row.name, u.Query())
		}
	}
}

// begin begins a sign-in by tokens in a browser, and returns the form that answers it.
func (a *app) begin() url.Values {
	a.t.Helper()
	w := httptest.NewRecorder()
	if err := a.client.Begin(w, httptest.NewRequest("GET", a.Server.URL+"/login", nil), client.AuthOptions{ResponseType: client.ResponseTokens, ReturnTo: "/private/page"}); err != nil {
		a.t.Fatal(err)
	}
	u, _ := url.Parse(a.Server.URL)
	for _, cookie := range w.Result().Cookies() {
		// draft-ietf-httpbis-rfc6265bis §5.6.7.2: no other cookie comes with another site's form.
		if cookie.SameSite != http.SameSiteNoneMode || !cookie.Secure || !cookie.HttpOnly {
			a.t.Errorf("the cookie of the attempt is %v", cookie)
		}
	}
	a.browser.Jar.SetCookies(u, w.Result().Cookies())
	return posted(a.t, w.Header().Get("Location"))
}

func TestFormPost(t *testing.T) {
	eachStore(t, func(t *testing.T, a *app) {
		form := a.begin()
		res, err := a.browser.PostForm(a.Server.URL+"/callback", form)
		if err != nil {
			t.Fatal(err)
		}
		if status, s := a.read(res); status != http.StatusOK || s.Subject != fakePerson || s.Name != "Ada Lovelace" || s.Path != "/private/page" {
			t.Fatalf("%d %+v", status, s)
		}
		if cookies := a.cookies(); len(cookies) != 1 {
			t.Errorf("cookies left: %v", cookies)
		}
		res, err = a.browser.PostForm(a.Server.URL+"/callback", form)
		if err != nil {
			t.Fatal(err)
		}
		if status, _ := a.read(res); status != http.StatusBadRequest {
			t.Errorf("a response twice: %d", status)
		}
		// Nothing renews it: the session outlives its access token.
		a.fake.clock.advance(6 * time.Minute)
		if _, s := a.get("/"); s.Subject != fakePerson || s.Access != "expired" {
			t.Errorf("after six minutes: %+v", s)
		}
	})
}

func TestFormPostAttacks(t *testing.T) {
	post := func(a *app, kind string, body string) int {
		t.Helper()
		res, err := a.browser.Post(a.Server.URL+"/callback", kind, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if a.session() != nil {
			t.Error("somebody is signed in")
		}
		return res.StatusCode
	}
	const form = "application/x-www-form-urlencoded"
	t.Run("RFC 6749 §10.12: a response in another browser", func(t *testing.T) {
		a := newApp(t)
		response := a.begin()
		a.browser = newBrowser(t)
		if got := post(a, form, response.Encode()); got != http.StatusBadRequest {
			t.Errorf("%d", got)
		}
	})
	t.Run("Form Post Response Mode §2: tokens in an address", func(t *testing.T) {
		a := newApp(t)
		if res := a.step("GET", "/callback?"+a.begin().Encode()); res.StatusCode != http.StatusBadRequest || a.session() != nil {
			t.Errorf("%d", res.StatusCode)
		}
	})
	t.Run("Form Post Response Mode §2: a code in a form that was not asked for", func(t *testing.T) {
		a := newApp(t)
		back, _ := url.Parse(a.approve("/login"))
		if got := post(a, form, back.RawQuery); got != http.StatusBadRequest {
			t.Errorf("%d", got)
		}
	})
	for name, row := range map[string][2]string{
		"not a form":         {"text/plain", "state=x"},
		"an unreadable form": {form, "state=%zz"},
		"an empty form":      {form, ""},
		"a megabyte":         {form, "state=" + strings.Repeat("x", 1<<20)},
		"noise":              {form, "state=" + rand.Text()},
	} {
		t.Run(name, func(t *testing.T) {
			if got := post(newApp(t), row[0], row[1]); got != http.StatusBadRequest {
				t.Errorf("%d", got)
			}
		})
	}
}
