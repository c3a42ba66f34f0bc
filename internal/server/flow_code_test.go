package server_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// web is a confidential web application.
var web = model.ClientSettings{
	Name: "Shop", RedirectURIs: []string{"http://127.0.0.1:1/callback"},
	PostLogoutRedirectURIs: []string{"http://127.0.0.1:1/bye"},
	Scopes:                 []string{"openid", "profile", "email", "address", "phone", "groups", "offline_access", "orders:write"},
	Audiences:              []string{"https://api.example"},
}

// spa is a public client of a browser.
func spa() model.ClientSettings {
	s := web
	s.AuthMethod = model.AuthNone
	return s
}

// keySet fetches the published keys.
func keySet(t *testing.T, h *servertest.House) *jwk.Set {
	t.Helper()
	req, _ := http.NewRequest(http.MethodGet, h.Issuer+"/jwks", nil)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	set, err := jwk.ParseSet(body)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestCodeFlow walks RFC 6749 §4.1 with OpenID Connect from the browser to the
// tokens, and looks at every part of the answer.
func TestCodeFlow(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", "correct horse battery")
		c, secret := h.Client("shop", web)
		at := h.Browser().SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")

		if got := at.Scheme + "://" + at.Host + at.Path; got != c.RedirectURIs[0] {
			t.Fatalf("sent to %s", got)
		}
		if at.Query().Get("state") != "the-state" || at.Query().Get("iss") != h.Issuer {
			t.Errorf("state and iss (RFC 6749 §4.1.2, RFC 9207 §2): %s", at)
		}
		a := h.Redeem(c, secret, at)
		if a.Status != http.StatusOK {
			t.Fatalf("token endpoint: %d %s", a.Status, a.Text)
		}
		if a.Header.Get("Cache-Control") != "no-store" || a.String("token_type") != "Bearer" || a.JSON["expires_in"] != 300.0 {
			t.Errorf("RFC 6749 §5.1: %s %v", a.Text, a.Header)
		}
		checkIDToken(t, h, c, u, a)
		checkAccessToken(t, h, c, u, a)

		req, _ := http.NewRequest(http.MethodGet, h.Issuer+"/userinfo", nil)
		req.Header.Set("Authorization", "Bearer "+a.String("access_token"))
		info := servertest.Do(t, req)
		if info.Status != http.StatusOK || info.String("sub") != string(u.ID) || info.String("email") != "olena@example.com" || info.JSON["email_verified"] != true {
			t.Errorf("userinfo: %d %s", info.Status, info.Text)
		}
		if _, told := info.JSON["phone_number"]; told {
			t.Errorf("userinfo tells what the scope phone would allow: %s", info.Text)
		}
	})
}

type idToken struct {
	jwt.Registered
	Nonce    string   `json:"nonce"`
	AuthTime int64    `json:"auth_time"`
	SID      string   `json:"sid"`
	ACR      string   `json:"acr"`
	AMR      []string `json:"amr"`
	AtHash   string   `json:"at_hash"`
}

func checkIDToken(t *testing.T, h *servertest.House, c model.Client, u model.User, a servertest.Answer) {
	t.Helper()
	tok, err := jwt.Verify[idToken](context.Background(), a.String("id_token"), keySet(t, h), jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.RS256}, Issuers: []string{h.Issuer}, Audiences: []string{string(c.ID)},
	})
	if err != nil {
		t.Fatalf("ID token: %v", err)
	}
	got := tok.Claims
	if got.Subject != string(u.ID) || got.Nonce != "the-nonce" || got.SID == "" || got.AtHash == "" || got.ACR == "" || !slices.Equal(got.AMR, []string{"pwd"}) {
		t.Errorf("ID token, OpenID Connect Core §2: %+v", got)
	}
	if now := time.Now().Unix(); now-got.AuthTime > 30 || got.AuthTime > now {
		t.Errorf("auth_time %d, now %d", got.AuthTime, now)
	}
}

func checkAccessToken(t *testing.T, h *servertest.House, c model.Client, u model.User, a servertest.Answer) {
	t.Helper()
	tok, err := jwt.Verify[map[string]any](context.Background(), a.String("access_token"), keySet(t, h), jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.ES256}, Types: []string{"at+jwt"}, Issuers: []string{h.Issuer}, Audiences: []string{"https://api.example"},
	})
	if err != nil {
		t.Fatalf("access token: %v", err)
	}
	if tok.Claims["sub"] != string(u.ID) || tok.Claims["client_id"] != string(c.ID) {
		t.Errorf("access token: %v", tok.Claims)
	}
	for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "scope", "sid", "auth_time", "grant_id"} { // RFC 9068 §2.2
		if _, ok := tok.Claims[name]; !ok {
			t.Errorf("the access token lacks %s", name)
		}
	}
}

// TestCodeOnce holds codes to RFC 6749 §4.1.2: once, for the client that asked,
// with the same redirect URI, soon, and with the right verifier. Every row has
// its good twin in TestCodeFlow. Attack rows O14, O16, O17, O18 and O19.
func TestCodeOnce(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", "correct horse battery")
		c, secret := h.Client("shop", web)
		other, otherSecret := h.Client("other", web)
		b := h.Browser()
		code := func() *url.URL { return b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery") }
		form := func(at *url.URL, change ...string) url.Values {
			f := url.Values{"grant_type": {"authorization_code"}, "code": {at.Query().Get("code")}, "redirect_uri": {c.RedirectURIs[0]}, "code_verifier": {servertest.Verifier}}
			for i := 0; i < len(change); i += 2 {
				f.Set(change[i], change[i+1])
				if change[i+1] == "" {
					f.Del(change[i])
				}
			}
			return f
		}
		for _, row := range []struct {
			name   string
			client model.Client
			secret model.Secret
			change []string
		}{
			{"another client's (RFC 6749 §4.1.3)", other, otherSecret, nil},
			{"another redirect_uri (RFC 6749 §4.1.3)", c, secret, []string{"redirect_uri", "http://127.0.0.1:1/other"}},
			{"no redirect_uri (RFC 6749 §4.1.3)", c, secret, []string{"redirect_uri", ""}},
			{"no verifier (RFC 7636 §4.6)", c, secret, []string{"code_verifier", ""}},
			{"wrong verifier (RFC 7636 §4.6)", c, secret, []string{"code_verifier", strings.Repeat("a", 43)}},
			{"short verifier (RFC 7636 §4.1)", c, secret, []string{"code_verifier", "a"}},
			{"unknown code", c, secret, []string{"code", "ost_ac_nothing"}},
			{"unknown code, cut within a letter", c, secret, []string{"code", "ost_ac_" + strings.Repeat("€", 43)}},
			{"unknown code, nothing of it", c, secret, []string{"code", "ost_ac_"}},
		} {
			t.Run(row.name, func(t *testing.T) {
				at := code()
				a := h.Call("/token", row.client, row.secret, form(at, row.change...))
				if a.Status != http.StatusBadRequest || a.String("error") != "invalid_grant" {
					t.Fatalf("%d %s", a.Status, a.Text)
				}
				if strings.HasPrefix(row.name, "unknown code") {
					return
				}
				// One wrong guess uses the code up (RFC 9700 §4.5).
				if a := h.Redeem(c, secret, at); a.Status != http.StatusBadRequest {
					t.Errorf("the code survived: %d %s", a.Status, a.Text)
				}
			})
		}
		t.Run("after 61 seconds (RFC 6749 §4.1.2)", func(t *testing.T) {
			at := code()
			h.Clock.Move(61 * time.Second)
			if a := h.Redeem(c, secret, at); a.String("error") != "invalid_grant" {
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
	})
}

// TestCodeReplay: "the authorization server MUST deny the request and SHOULD
// revoke all tokens previously issued based on that code" (RFC 6749 §4.1.2),
// at once and after 30 seconds.
func TestCodeReplay(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", "correct horse battery")
		c, secret := h.Client("shop", web)
		b := h.Browser()
		for _, wait := range []time.Duration{0, 30 * time.Second, 3 * time.Minute} {
			at := b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
			first := h.Redeem(c, secret, at)
			if !active(h, c, secret, first.String("access_token")) || !active(h, c, secret, first.String("refresh_token")) {
				t.Fatalf("fresh tokens are not active: %s", first.Text)
			}
			h.Clock.Move(wait)
			if a := h.Redeem(c, secret, at); a.Status != http.StatusBadRequest || a.String("error") != "invalid_grant" {
				t.Errorf("replay after %s: %d %s", wait, a.Status, a.Text)
			}
			if active(h, c, secret, first.String("access_token")) {
				t.Errorf("after a replay %s later the access token lives", wait)
			}
			if a := renew(h, c, secret, first.String("refresh_token")); a.String("error") != "invalid_grant" {
				t.Errorf("after a replay %s later the refresh token lives: %s", wait, a.Text)
			}
		}
	})
}

// TestCodeRace redeems one code fifty times at once: exactly one wins (attack row
// O17).
func TestCodeRace(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", "correct horse battery")
		c, secret := h.Client("shop", web)
		at := h.Browser().SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
		answers := make(chan int)
		for range 50 {
			go func() { answers <- h.Redeem(c, secret, at).Status }()
		}
		won := 0
		for range 50 {
			if <-answers == http.StatusOK {
				won++
			}
		}
		if won != 1 {
			t.Errorf("%d redemptions of one code succeeded, want 1", won)
		}
	})
}

func active(h *servertest.House, c model.Client, secret model.Secret, token string) bool {
	a := h.Call("/introspect", c, secret, url.Values{"token": {token}})
	return a.JSON["active"] == true
}

func renew(h *servertest.House, c model.Client, secret model.Secret, token string) servertest.Answer {
	return h.Call("/token", c, secret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// TestSingleSignOn: a second client needs no second sign-in, consent is
// remembered, and prompt=none then succeeds without a page (OpenID Connect Core
// §3.1.2.1).
func TestSingleSignOn(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	c, _ := h.Client("one", web)
	first := web
	first.FirstParty = true
	two, _ := h.Client("two", first)
	b := h.Browser()

	if p := b.Get(servertest.AuthorizePath(c, "prompt", "none")); p.Left == nil || p.Left.Query().Get("error") != string(oauth.LoginRequired) {
		t.Errorf("prompt=none without a session: %+v", p.Left)
	}
	b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
	if p := b.Get(servertest.AuthorizePath(c, "prompt", "none")); p.Left == nil || p.Left.Query().Get("code") == "" {
		t.Errorf("prompt=none with session and consent: %d %v", p.Status, p.Left)
	}
	if p := b.Get(servertest.AuthorizePath(two)); p.Left == nil || p.Left.Query().Get("code") == "" {
		t.Errorf("a first-party client asked for something: %d %s", p.Status, p.URL)
	}
	if p := b.Get(servertest.AuthorizePath(c, "scope", "openid phone", "prompt", "none")); p.Left == nil || p.Left.Query().Get("error") != string(oauth.ConsentRequired) {
		t.Errorf("a scope not consented to: %d %v", p.Status, p.Left)
	}
	if p := b.Get(servertest.AuthorizePath(c, "prompt", "consent")); !strings.HasSuffix(p.URL.Path, "/consent") {
		t.Errorf("prompt=consent: %s", p.URL)
	}
}

// TestReauthentication: prompt=login and max_age ask again and move auth_time,
// max_age=10000 does neither (OpenID Connect Core §3.1.2.1).
func TestReauthentication(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	c, secret := h.Client("shop", web)
	b := h.Browser()
	authTime := func(path string) (int64, bool) {
		p := b.Get(path)
		asked := p.Left == nil
		at := p.Left
		if asked {
			at = p.Submit("primary", "login", "olena", "password", "correct horse battery").Left
			if at == nil {
				at = b.SignIn(path, "olena", "correct horse battery")
			}
		}
		tok, err := jwt.DecodeUnverified[idToken](h.Redeem(c, secret, at).String("id_token"))
		if err != nil {
			t.Fatal(err)
		}
		return tok.Claims.AuthTime, asked
	}
	b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
	before, _ := authTime(servertest.AuthorizePath(c))
	h.Clock.Move(5 * time.Second)
	for _, row := range []struct {
		extra []string
		again bool
	}{
		{[]string{"max_age", "10000"}, false},
		{[]string{"max_age", "1"}, true},
		{[]string{"max_age", "0"}, true},
		{[]string{"prompt", "login"}, true},
	} {
		after, asked := authTime(servertest.AuthorizePath(c, row.extra...))
		if asked != row.again || after > before != row.again {
			t.Errorf("%v: asked again %t, auth_time moved %t; want %t", row.extra, asked, after > before, row.again)
		}
		before = after
		h.Clock.Move(5 * time.Second)
	}
}

// TestTabs: several sign-ins in one browser finish in any order.
func TestTabs(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	first := web
	first.FirstParty = true
	c, secret := h.Client("shop", first)
	b := h.Browser()
	var tabs []*servertest.Page
	for i := range 5 {
		tabs = append(tabs, b.Get(servertest.AuthorizePath(c, "state", string(rune('a'+i)))))
	}
	for _, i := range []int{3, 0, 4, 2, 1} {
		p := tabs[i].Submit("primary", "login", "olena", "password", "correct horse battery")
		if p.Left == nil || p.Left.Query().Get("state") != string(rune('a'+i)) {
			t.Fatalf("tab %d: %d %v", i, p.Status, p.Left)
		}
		if a := h.Redeem(c, secret, p.Left); a.Status != http.StatusOK {
			t.Errorf("tab %d: %s", i, a.Text)
		}
	}
}

// TestAnotherBrowser: a sign-in belongs to the browser that began it (attack row O26).
func TestAnotherBrowser(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	c, _ := h.Client("shop", web)
	mine := h.Browser()
	p := mine.Get(servertest.AuthorizePath(c))
	stolen := h.Browser().Get(p.URL.String())
	if stolen.Status != http.StatusBadRequest || !strings.Contains(stolen.Body, "This request is not valid") {
		t.Errorf("another browser got %d %s", stolen.Status, stolen.Body)
	}
	if p := mine.Get(p.URL.String()); p.Status != http.StatusOK {
		t.Errorf("the browser that began it got %d", p.Status)
	}
}
