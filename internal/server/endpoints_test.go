package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

func get(t *testing.T, address string, headers ...string) servertest.Answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return servertest.Do(t, req)
}

// TestDiscoveryBelowAPath: RFC 8414 §3.1 puts the well-known part between host
// and path, OpenID Connect Discovery §4 behind both.
func TestDiscoveryBelowAPath(t *testing.T) {
	h := servertest.Start(t, func(c *server.Config) { c.Issuer += "/auth" })
	root := strings.TrimSuffix(h.Issuer, "/auth")
	for _, address := range []string{h.Issuer + "/.well-known/openid-configuration", root + "/.well-known/oauth-authorization-server/auth"} {
		if a := get(t, address); a.String("issuer") != h.Issuer || a.String("token_endpoint") != h.Issuer+"/token" {
			t.Errorf("%s: %d %s", address, a.Status, a.Text)
		}
	}
	h.User("olena", "correct horse battery")
	c, secret := h.Client("shop", web)
	at := h.Browser().SignIn(root+"/auth"+servertest.AuthorizePath(c), "olena", "correct horse battery")
	if a := h.Redeem(c, secret, at); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// TestKeySet: RFC 7517 §5; nothing private is published.
func TestKeySet(t *testing.T) {
	h := servertest.Start(t)
	res, err := http.Get(h.Issuer + "/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var set struct{ Keys []map[string]any }
	if err := json.NewDecoder(res.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	kids := map[any]bool{}
	for _, k := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k", "oth"} {
			if _, ok := k[private]; ok {
				t.Errorf("%s is published", private)
			}
		}
		if k["use"] != "sig" || k["alg"] == nil || k["kid"] == nil || kids[k["kid"]] {
			t.Errorf("key %v", k)
		}
		kids[k["kid"]] = true
	}
	if len(kids) != 4 || res.Header.Get("Content-Type") != "application/jwk-set+json" || !strings.Contains(res.Header.Get("Cache-Control"), "max-age") {
		t.Errorf("%d keys, %v", len(kids), res.Header)
	}
}

// TestRotation: a running server follows a rotation, whoever ordered it, and
// tokens of the old key stay good.
func TestRotation(t *testing.T) {
	h := servertest.Start(t)
	c, secret := h.Client("robot", machine)
	ask := func() servertest.Answer {
		return h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}})
	}
	old := ask()
	if err := h.Keys.Rotate(t.Context(), servertest.Operator, true); err != nil {
		t.Fatal(err)
	}
	fresh := ask()
	kid := func(a servertest.Answer) string {
		head, _, _ := strings.Cut(a.String("access_token"), ".")
		return head
	}
	if kid(old) == kid(fresh) {
		t.Error("the new key does not sign")
	}
	if keySet(t, h).Len() < 8 || !active(h, c, secret, old.String("access_token")) {
		t.Error("the old key is gone too early")
	}
}

// TestUserInfo: OpenID Connect Core §5.3, RFC 6750 §2 and §3. Attack rows T20, and T21
// for its refusals.
func TestUserInfo(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	c, secret := h.Client("shop", web)
	b := h.Browser()
	all := b.SignIn(servertest.AuthorizePath(c, "scope", "openid profile email address phone groups"), "olena", "correct horse battery")
	token := h.Redeem(c, secret, all).String("access_token")
	plain := b.SignIn(servertest.AuthorizePath(c, "scope", "orders:write"), "olena", "correct horse battery")
	other := h.Redeem(c, secret, plain).String("access_token")

	send := func(method, query, body string, headers ...string) servertest.Answer {
		req, _ := http.NewRequest(method, h.Issuer+"/userinfo"+query, strings.NewReader(body))
		if body != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for _, v := range headers {
			req.Header.Add("Authorization", v)
		}
		return servertest.Do(t, req)
	}
	for _, row := range []struct {
		name, method, query, body string
		headers                   []string
		status                    int
		code                      string
	}{
		{"GET with the header", "GET", "", "", []string{"Bearer " + token}, 200, ""},
		{"the scheme in another case (RFC 9110 §11.1)", "GET", "", "", []string{"bearer " + token}, 200, ""},
		{"POST with the header", "POST", "", "", []string{"Bearer " + token}, 200, ""},
		{"POST with the body", "POST", "", "access_token=" + token, nil, 200, ""},
		{"nothing (RFC 6750 §3.1)", "GET", "", "", nil, 401, ""},
		{"the query (RFC 9700 §4.3.2)", "GET", "?access_token=" + token, "", nil, 400, "invalid_request"},
		{"two ways (RFC 6750 §2)", "POST", "", "access_token=" + token, []string{"Bearer " + token}, 400, "invalid_request"},
		{"two headers", "GET", "", "", []string{"Bearer " + token, "Bearer " + token}, 400, "invalid_request"},
		{"another scheme", "GET", "", "", []string{"Basic " + token}, 400, "invalid_request"},
		{"garbage", "GET", "", "", []string{"Bearer x.y.z"}, 401, "invalid_token"},
		{"many dots", "GET", "", "", []string{"Bearer " + strings.Repeat(".", 30000)}, 401, "invalid_token"},
		{"without openid (OpenID Connect Core §5.3.1)", "GET", "", "", []string{"Bearer " + other}, 401, "invalid_token"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := send(row.method, row.query, row.body, row.headers...)
			challenge := a.Header.Get("WWW-Authenticate")
			if a.Status != row.status || row.code != "" && !strings.Contains(challenge, `error="`+row.code+`"`) {
				t.Fatalf("%d %s %s", a.Status, challenge, a.Text)
			}
			if row.status == 401 && row.code == "" && strings.Contains(challenge, "error=") {
				t.Errorf("an error without credentials: %s", challenge)
			}
			if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("headers %v", a.Header)
			}
		})
	}
	a := send("GET", "", "", "Bearer "+token)
	for name, want := range map[string]any{ // OpenID Connect Core §5.1: the JSON types
		"name": "Olena olena", "given_name": "Olena", "family_name": "olena", "middle_name": "M.", "nickname": "olena",
		"preferred_username": "olena", "gender": "female", "birthdate": "1990-02-28", "zoneinfo": "Europe/Kyiv", "locale": "en-GB",
		"email": "olena@example.com", "email_verified": true, "phone_number": "+380441234567", "phone_number_verified": false,
	} {
		if a.JSON[name] != want {
			t.Errorf("%s is %v, want %v", name, a.JSON[name], want)
		}
	}
	if _, ok := a.JSON["updated_at"].(float64); !ok {
		t.Errorf("updated_at is %T", a.JSON["updated_at"])
	}
	if address, ok := a.JSON["address"].(map[string]any); !ok || address["locality"] != "Kyiv" {
		t.Errorf("address is %v", a.JSON["address"])
	}
	h.Clock.Move(6 * time.Minute)
	if a := send("GET", "", "", "Bearer "+token); a.Status != 401 {
		t.Errorf("an expired token: %d", a.Status)
	}
}

// TestSetup: a new installation offers its first account to whoever holds the
// one-time link, once.
func TestSetup(t *testing.T) {
	h := servertest.Start(t)
	link, err := h.Accounts.SetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := h.Browser()
	if p := b.Get("/setup?token=wrong"); p.Status != http.StatusBadRequest {
		t.Errorf("a wrong link: %d", p.Status)
	}
	p := b.Get("/setup?token=" + link.Reveal())
	if p.Status != 200 {
		t.Fatalf("%d %s", p.Status, p.Body)
	}
	if q := p.Submit("primary", "login", "root", "password", "short", "name", "Root", "email", "root@example.com"); q.Status != http.StatusUnprocessableEntity {
		t.Errorf("a short password: %d", q.Status)
	}
	if q := p.Submit("primary", "login", "root", "password", "correct horse battery", "name", "Root", "email", "root@example.com"); q.Status != 200 {
		t.Fatalf("%d %s", q.Status, q.Body)
	}
	if q := p.Submit("primary", "login", "two", "password", "correct horse battery", "name", "Two", "email", "two@example.com"); q.Status != http.StatusBadRequest {
		t.Errorf("the link worked twice: %d", q.Status)
	}
	if u, err := h.Accounts.ByLogin(t.Context(), "root"); err != nil || !u.Admin {
		t.Errorf("%+v %v", u, err)
	}
	if _, err := h.Accounts.SetupLink(t.Context()); err == nil {
		t.Error("a second link was offered")
	}
}

// TestNothingSecretAtRest looks for every secret of a sign-in in the database
// file and in the log (attack row O21).
func TestNothingSecretAtRest(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	c, secret := h.Client("shop", web)
	b := h.Browser()
	at := b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
	a := h.Redeem(c, secret, at)
	renewed := renew(h, c, secret, a.String("refresh_token"))
	home, _ := url.Parse(h.Issuer)
	secrets := map[string]string{
		"password": "correct horse battery", "client secret": secret.Reveal(), "code": at.Query().Get("code"),
		"access token": a.String("access_token"), "ID token": a.String("id_token"),
		"refresh token": a.String("refresh_token"), "next refresh token": renewed.String("refresh_token"), "private key": `"d":`,
	}
	for _, k := range b.HTTP().Jar.Cookies(home) {
		if k.Name != "ostiary_account" { // which says who is the current one, by the ID that is known to all
			secrets["cookie "+k.Name] = k.Value
		}
	}
	if len(secrets) < 9 {
		t.Fatalf("the browser has no session cookie: %v", b.HTTP().Jar.Cookies(home))
	}
	places := map[string]string{"the log": h.Log.String()}
	files, err := filepath.Glob(filepath.Join(h.Config.Data, "ostiary.db*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		places[filepath.Base(f)] = string(data)
	}
	for place, text := range places {
		for name, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("the %s stands in %s", name, place)
			}
		}
	}
}

// TestLockedAccount: P12: an account that is locked is out at once, everywhere.
func TestLockedAccount(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", "correct horse battery")
		c, secret := h.Client("shop", web)
		b := h.Browser()
		a := h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery"))
		pending := b.Get(servertest.AuthorizePath(c)).Left
		if err := h.Accounts.Lock(t.Context(), servertest.Operator, u.ID); err != nil {
			t.Fatal(err)
		}
		if active(h, c, secret, a.String("access_token")) {
			t.Error("the access token is active")
		}
		if got := get(t, h.Issuer+"/userinfo", "Authorization", "Bearer "+a.String("access_token")); got.Status != 401 {
			t.Errorf("userinfo: %d", got.Status)
		}
		if got := h.Redeem(c, secret, pending); got.String("error") != "invalid_grant" {
			t.Errorf("a code from before: %s", got.Text)
		}
		p := b.Get(servertest.AuthorizePath(c))
		if p.Left != nil {
			t.Fatal("the session lives")
		}
		if q := p.Submit("primary", "login", "olena", "password", "correct horse battery"); q.Status != http.StatusForbidden {
			t.Errorf("signing in: %d", q.Status)
		}
		if err := h.Accounts.Unlock(t.Context(), servertest.Operator, u.ID); err != nil {
			t.Fatal(err)
		}
		again := h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery"))
		if !active(h, c, secret, again.String("access_token")) {
			t.Errorf("the next sign-in does not work: %s", again.Text)
		}
	})
}

// TestPasswordChange puts out whoever signed in with the old one.
func TestPasswordChange(t *testing.T) {
	h := servertest.Start(t)
	u := h.User("olena", "correct horse battery")
	c, secret := h.Client("shop", web)
	b := h.Browser()
	a := h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery"))
	if err := h.Accounts.SetPassword(t.Context(), servertest.Operator, u.ID, account.NewPassword{Password: "another horse battery"}); err != nil {
		t.Fatal(err)
	}
	if active(h, c, secret, a.String("access_token")) || renew(h, c, secret, a.String("refresh_token")).Status == 200 {
		t.Error("tokens of the old password live")
	}
	p := b.Get(servertest.AuthorizePath(c))
	if p.Left != nil || p.Submit("primary", "login", "olena", "password", "correct horse battery").Left != nil {
		t.Error("the old session or the old password works")
	}
}

// TestHealth: alive and ready are two questions.
func TestHealth(t *testing.T) {
	h := servertest.Start(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		if a := get(t, h.Issuer+path); a.Status != 200 || a.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
	for _, path := range []string{"/nothing", "/token/", "//token", "/interaction", "/static/../x"} {
		if a := get(t, h.Issuer+path); a.Status != http.StatusNotFound && a.Status != http.StatusMethodNotAllowed && a.Status != http.StatusBadRequest {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
}

// TestCORS: scripts of any site may read discovery, keys, token, userinfo and
// revocation, never with cookies; nothing of the pages, of introspection and of the feed. Attack row
// T22.
func TestCORS(t *testing.T) {
	h := servertest.Start(t)
	for path, allowed := range map[string]bool{
		"/.well-known/openid-configuration": true, "/jwks": true, "/token": true, "/userinfo": true, "/revoke": true,
		"/introspect": false, "/revocations": false, "/authorize": false, "/logout": false, "/": false,
	} {
		for _, origin := range []string{"https://app.example", "null"} {
			req, _ := http.NewRequest(http.MethodOptions, h.Issuer+path, nil)
			req.Header.Set("Origin", origin)
			req.Header.Set("Access-Control-Request-Method", "POST")
			req.Header.Set("Access-Control-Request-Headers", "authorization")
			a := servertest.Do(t, req)
			got := a.Header.Get("Access-Control-Allow-Origin")
			if (got == "*") != allowed || !allowed && got != "" || a.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s from %s: %d %q", path, origin, a.Status, got)
			}
			if allowed && a.Status != http.StatusNoContent {
				t.Errorf("%s: preflight %d", path, a.Status)
			}
		}
	}
}

// TestHostHeader: the issuer comes from the configuration alone. Whatever a
// request says about hosts changes nothing. Attack row P5.
func TestHostHeader(t *testing.T) {
	h := servertest.Start(t)
	c, _ := h.Client("shop", web)
	for _, path := range []string{"/.well-known/openid-configuration", servertest.AuthorizePath(c), servertest.AuthorizePath(c, "prompt", "none")} {
		req, _ := http.NewRequest(http.MethodGet, h.Issuer+path, nil)
		req.Host = "evil.example"
		for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-URL"} {
			req.Header.Set(name, "evil.example")
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || strings.Contains(string(body), "evil.example") || strings.Contains(res.Header.Get("Location"), "evil.example") {
			t.Errorf("%s: %s %s %v", path, res.Header.Get("Location"), body, err)
		}
	}
}

// TestTwoNodes: a second server on the same database knows what the first one
// does: codes, sessions, keys and revocations.
func TestTwoNodes(t *testing.T) {
	database := storetest.PostgresURL(t)
	master := model.NewSecret("")
	node := func(issuer string) *servertest.House {
		return servertest.Start(t, func(c *server.Config) {
			c.Database, c.MasterKey = database, master
			if issuer != "" {
				c.Issuer = issuer
			}
		})
	}
	one := node("")
	two := node(one.Issuer)
	address := "http://" + two.Addr().String()
	one.User("olena", "correct horse battery")
	c, secret := one.Client("shop", web)
	at := one.Browser().SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
	there := *two
	there.Issuer = address
	a := there.Redeem(c, secret, at)
	if a.Status != http.StatusOK || !active(one, c, secret, a.String("access_token")) {
		t.Fatalf("redeemed on the other node: %d %s", a.Status, a.Text)
	}
	if again := one.Redeem(c, secret, at); again.String("error") != "invalid_grant" {
		t.Errorf("redeemed on both: %s", again.Text)
	}
	if active(&there, c, secret, a.String("access_token")) {
		t.Error("what one node revoked is active on the other")
	}
	if err := one.Keys.Rotate(t.Context(), servertest.Operator, true); err != nil {
		t.Fatal(err)
	}
	robot, robotSecret := one.Client("robot", machine)
	fresh := one.Call("/token", robot, robotSecret, url.Values{"grant_type": {"client_credentials"}})
	if !active(&there, robot, robotSecret, fresh.String("access_token")) {
		t.Error("the other node does not know the new key")
	}
}
