package resource_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
	"github.com/ostiary/ostiary/resource"
)

const (
	issuer   = "https://id.example"
	audience = "https://api.example/v1"
	// What every challenge of the tests begins with.
	challenge = `Bearer realm="api", resource_metadata="https://api.example/.well-known/oauth-protected-resource/v1"`
)

var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

func generate(t testing.TB, alg jwa.Algorithm) *jwk.Key {
	t.Helper()
	k, err := jwk.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newGuard(t testing.TB, keys jwk.Source, change ...func(*resource.Config)) *resource.Guard {
	t.Helper()
	c := resource.Config{Issuer: issuer, Audience: audience, Keys: keys, Realm: "api", Now: clock}
	for _, f := range change {
		f(&c)
	}
	g, err := resource.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// claims returns those of a good access token, changed.
func claims(change ...func(map[string]any)) map[string]any {
	c := map[string]any{
		"iss": issuer, "sub": "person-1", "aud": audience, "client_id": "app", "jti": "token-1", "sid": "session-1",
		"grant_id": "grant-1", "scope": "openid orders:read orders:write", "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"auth_time": now.Add(-time.Hour).Unix(), "acr": "1", "amr": []string{"pwd"}, "tenant": "t1",
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func with(name string, value any) func(map[string]any) {
	return func(c map[string]any) {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
}

func sign(t *testing.T, key *jwk.Key, typ string, c map[string]any) string {
	t.Helper()
	token, err := jwt.Sign(c, key, jwt.SignOptions{Type: typ, NoTimestamp: c["iat"] == nil, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// byHand makes a token with any header.
func byHand(t *testing.T, key *jwk.Key, header string, c map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	if key == nil {
		return input + "."
	}
	signature, err := key.AppendSignature(nil, "", []byte(input))
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// served is an answer of a guarded API.
type served struct {
	status    int
	challenge string
	body      map[string]any
	header    http.Header
}

func serve(t *testing.T, h http.Handler, r *http.Request) served {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	s := served{status: w.Code, challenge: w.Header().Get("WWW-Authenticate"), header: w.Header()}
	if w.Code >= 400 {
		if err := json.Unmarshal(w.Body.Bytes(), &s.body); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		if s.header.Get("Cache-Control") != "no-store" || s.header.Get("Content-Type") != "application/problem+json" ||
			s.header.Get("Access-Control-Expose-Headers") != "WWW-Authenticate" || s.body["status"] != float64(w.Code) {
			t.Errorf("%v %s", s.header, w.Body)
		}
	}
	return s
}

func bearer(token string) *http.Request {
	r := httptest.NewRequest("GET", "/orders", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func fine(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }

func TestToken(t *testing.T) {
	key := generate(t, jwa.ES256)
	var got *resource.AccessToken
	h := newGuard(t, key).RequireFunc(func(_ http.ResponseWriter, r *http.Request) { got = resource.Token(r.Context()) }, "orders:read", "orders:write")
	if s := serve(t, h, bearer(sign(t, key, "at+jwt", claims()))); s.status != http.StatusOK {
		t.Fatalf("%+v", s)
	}
	if got.Issuer != issuer || got.Subject != "person-1" || got.ClientID != "app" || got.SessionID != "session-1" || got.GrantID != "grant-1" ||
		got.ID != "token-1" || len(got.Audience) != 1 || len(got.Scope) != 3 || got.ACR != "1" || len(got.AMR) != 1 ||
		!got.AuthTime.Equal(now.Add(-time.Hour)) || !got.IssuedAt.Equal(now) || !got.ExpiresAt.Equal(now.Add(5*time.Minute)) {
		t.Errorf("token is %+v", got)
	}
	var own struct{ Tenant string }
	if err := got.Decode(&own); err != nil || own.Tenant != "t1" {
		t.Errorf("Decode: %v %+v", err, own)
	}
	if resource.Token(context.Background()) != nil {
		t.Error("a request that passed no guard has a token")
	}
}

// Where a token may stand in a request, and where not.
func TestCredentials(t *testing.T) {
	key := generate(t, jwa.ES256)
	token := sign(t, key, "at+jwt", claims())
	h := newGuard(t, key).RequireFunc(fine, "orders:read")
	header := func(values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header["Authorization"] = values }
	}
	const bad = http.StatusBadRequest
	for _, row := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"RFC 6750 §2.1: good", header("Bearer " + token), http.StatusNoContent},
		{"RFC 9110 §11.1: the scheme in small letters", header("bearer " + token), http.StatusNoContent},
		{"RFC 9110 §11.1: the scheme in capitals", header("BEARER " + token), http.StatusNoContent},
		{"RFC 9110 §11.4: several spaces", header("Bearer   " + token), http.StatusNoContent},
		{"RFC 6750 §3.1: none", func(*http.Request) {}, http.StatusUnauthorized},
		{"RFC 6750 §3.1: another scheme", header("Basic YTpi"), http.StatusUnauthorized},
		{"RFC 6750 §3.1: a scheme that begins alike", header("Bearers " + token), http.StatusUnauthorized},
		{"RFC 6750 §3.1: twice", header("Bearer "+token, "Bearer "+token), bad},
		{"RFC 6750 §3.1: two schemes", header("Basic YTpi", "Bearer "+token), bad},
		{"RFC 6750 §3.1: two tokens in one", header("Bearer " + token + ", Bearer " + token), bad},
		{"RFC 6750 §3.1: in the query, too", func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+token)
			r.URL.RawQuery = "access_token=" + token
		}, bad},
		{"RFC 9700 §4.3.2: in the query", func(r *http.Request) { r.URL.RawQuery = "x=y&access_token=" + token }, bad},
		{"RFC 9700 §4.3.2: in the query, encoded", func(r *http.Request) { r.URL.RawQuery = "%61ccess_token=" + token }, bad},
		{"a query that looks alike", func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+token)
			r.URL.RawQuery = "my_access_token=1&%zz"
		}, http.StatusNoContent},
		{"no token after the scheme", header("Bearer"), bad},
		{"no token after the space", header("Bearer "), bad},
		{"an empty header", header(""), bad},
		{"a space in front", header(" Bearer " + token), bad},
		{"a control character", header("Bearer a\x00b"), bad},
		{"a tab", header("Bearer\t" + token), bad},
		{"not ASCII", header("Bearer ü"), bad},
		{"a quote", header(`Bearer "a"`), bad},
		{"9 KiB", header("Bearer " + strings.Repeat("a", 9<<10)), bad},
		{"a megabyte of dots (attack J30)", header("Bearer " + strings.Repeat(".", 1<<20)), bad},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := bearer("")
			row.change(r)
			s := serve(t, h, r)
			if s.status != row.status {
				t.Fatalf("%+v", s)
			}
			switch row.status {
			case http.StatusUnauthorized:
				if s.challenge != challenge || s.body["error"] != nil {
					t.Errorf("RFC 6750 §3.1: %s, %v", s.challenge, s.body)
				}
			case bad:
				if !strings.HasPrefix(s.challenge, challenge+`, error="invalid_request", error_description="`) || s.body["error"] != "invalid_request" {
					t.Errorf("RFC 6750 §3.1: %s, %v", s.challenge, s.body)
				}
			}
		})
	}
}

func TestVerify(t *testing.T) {
	key, alien := generate(t, jwa.ES256), generate(t, jwa.ES256)
	good := func(change ...func(map[string]any)) string { return sign(t, key, "at+jwt", claims(change...)) }
	kid := key.ID()
	public, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := jwk.New(public, jwk.Params{ID: kid, Algorithm: jwa.HS256})
	if err != nil {
		t.Fatal(err)
	}
	h := newGuard(t, key).RequireFunc(fine)
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for _, row := range []struct {
		name, token, want string // want: the description; "": accepted
	}{
		{"RFC 9068 §2: good", good(), ""},
		{"RFC 9068 §2.1: typ with its prefix", sign(t, key, "application/at+jwt", claims()), ""},
		{"RFC 9068 §4: an ID token", sign(t, key, "JWT", claims()), "The token is not an access token"},
		{"RFC 9068 §4: a logout token", sign(t, key, "logout+jwt", claims()), "The token is not an access token"},
		{"RFC 9068 §4: no typ", byHand(t, key, `{"alg":"ES256","kid":"`+kid+`"}`, claims()), "The token is not an access token"},
		{"RFC 9068 §4: iss is another", good(with("iss", "https://evil.example")), "The access token is of another issuer"},
		{"RFC 9068 §4: iss with a slash more", good(with("iss", issuer+"/")), "The access token is of another issuer"},
		{"RFC 9068 §4: no iss", good(with("iss", nil)), "The access token is of another issuer"},
		{"RFC 9068 §4: aud is another", good(with("aud", "https://api.example")), "The access token is for another audience"},
		{"RFC 9068 §4: aud has us", good(with("aud", []string{"x", audience})), ""},
		{"RFC 9068 §4: no aud", good(with("aud", nil)), "The access token is for another audience"},
		{"RFC 9068 §4: expired", good(with("exp", at(-11*time.Second))), "The access token expired"},
		{"RFC 9068 §4: expired within the leeway", good(with("exp", at(-9*time.Second))), ""},
		{"RFC 9068 §2.2: no exp", good(with("exp", nil)), "The access token has no exp"},
		{"RFC 7519 §4.1.4: exp is text", byHand(t, key, `{"alg":"ES256","typ":"at+jwt","kid":"`+kid+`"}`, claims(with("exp", "1"))), "A claim of the access token is of the wrong type"},
		{"RFC 7519 §4.1.5: nbf in the future", good(with("nbf", at(11*time.Second))), "The access token is not valid yet"},
		{"RFC 9068 §2.2: no sub", good(with("sub", nil)), "The access token has no sub"},
		{"RFC 9068 §2.2: no client_id", good(with("client_id", nil)), "The access token has no client_id"},
		{"RFC 9068 §2.2: no jti", good(with("jti", nil)), "The access token has no jti"},
		{"RFC 9068 §2.2: no iat", good(with("iat", nil)), "The access token has no iat"},
		{"RFC 8693 §4.2: scope is a list", good(with("scope", []string{"orders:read"})), "A claim of the access token is of the wrong type"},
		{"RFC 8725 §2.6: a claim that differs in case", good(with("sub", nil), with("SUB", "admin")), "The access token has no sub"},
		{"RFC 9449 §7.2: bound to a key", good(with("cnf", map[string]string{"jkt": "x"})), "The access token is bound to a key and is no bearer token"},
		{"RFC 8725 §3.1: alg none", byHand(t, nil, `{"alg":"none","typ":"at+jwt"}`, claims()), "The signature of the access token is not valid"},
		{"RFC 8725 §3.1: alg none and a signature", byHand(t, key, `{"alg":"none","typ":"at+jwt"}`, claims()), "The algorithm of the access token is not accepted"},
		{"RFC 8725 §2.1: HS256 with the public key", byHand(t, secret, `{"alg":"HS256","typ":"at+jwt","kid":"`+kid+`"}`, claims()), "The algorithm of the access token is not accepted"},
		{"RFC 8725 §3.1: the header says another algorithm", byHand(t, key, `{"alg":"ES384","typ":"at+jwt","kid":"`+kid+`"}`, claims()), "The algorithm of the access token is not accepted"},
		{"signed by another key of the same name", byHand(t, alien, `{"alg":"ES256","typ":"at+jwt","kid":"`+kid+`"}`, claims()), "The signature of the access token is not valid"},
		{"signed by an unknown key", sign(t, alien, "at+jwt", claims()), "The key of the access token is not known"},
		{"RFC 7515 §4.1.11: crit", byHand(t, key, `{"alg":"ES256","typ":"at+jwt","kid":"`+kid+`","crit":["x"],"x":1}`, claims()), "The access token has a critical header that is not understood"},
		{"expired and badly signed is badly signed", byHand(t, alien, `{"alg":"ES256","typ":"at+jwt","kid":"`+kid+`"}`, claims(with("exp", 1))), "The signature of the access token is not valid"},
		{"not a token", "abc", "The access token is malformed"},
		{"many dots", strings.Repeat(".", 8000), "The access token is malformed"},
		{"five parts, a JWE", "a.b.c.d.e", "The access token is malformed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := serve(t, h, bearer(row.token))
			if row.want == "" {
				if s.status != http.StatusNoContent {
					t.Errorf("%+v", s)
				}
				return
			}
			if want := challenge + `, error="invalid_token", error_description="` + row.want + `"`; s.status != http.StatusUnauthorized || s.challenge != want {
				t.Errorf("%d %s, want %s", s.status, s.challenge, want)
			}
			if s.body["error"] != "invalid_token" || s.body["detail"] != row.want {
				t.Errorf("body is %v", s.body)
			}
		})
	}
}

func TestScope(t *testing.T) {
	key := generate(t, jwa.ES256)
	g := newGuard(t, key)
	token := sign(t, key, "at+jwt", claims())
	for _, row := range []struct {
		name   string
		scopes []string
		status int
	}{
		{"one that is there", []string{"orders:read"}, http.StatusNoContent},
		{"two that are there", []string{"orders:read", "orders:write"}, http.StatusNoContent},
		{"RFC 6750 §3.1: one missing", []string{"orders:read", "admin"}, http.StatusForbidden},
		{"a part of one", []string{"orders"}, http.StatusForbidden},
		{"another case", []string{"Orders:read"}, http.StatusForbidden},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := serve(t, g.RequireFunc(fine, row.scopes...), bearer(token))
			if s.status != row.status {
				t.Fatalf("%+v", s)
			}
			scope := strings.Join(row.scopes, " ")
			if want := challenge + `, error="insufficient_scope", error_description="The access token lacks a scope", scope="` + scope + `"`; s.status == http.StatusForbidden &&
				(s.challenge != want || s.body["error"] != "insufficient_scope" || s.body["scope"] != scope) {
				t.Errorf("%s %v", s.challenge, s.body)
			}
		})
	}
	if s := serve(t, g.RequireFunc(fine, "x"), bearer(sign(t, key, "at+jwt", claims(with("scope", nil))))); s.status != http.StatusForbidden {
		t.Errorf("a token without scope: %+v", s)
	}
	for _, scope := range []string{"", "a b", `a"b`, "é", "a\n"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q is no scope and was accepted", scope)
				}
			}()
			g.Require(scope)
		}()
	}
}

// RFC 9470 §3 and §6.2.
func TestRequireAuthentication(t *testing.T) {
	key := generate(t, jwa.ES256)
	g := newGuard(t, key)
	for _, row := range []struct {
		name   string
		want   resource.Authentication
		change func(map[string]any)
		says   string // "": accepted
	}{
		{"young enough", resource.Authentication{MaxAge: time.Hour}, with("acr", "0"), ""},
		{"too old", resource.Authentication{MaxAge: 5 * time.Minute}, with("x", 1), `error_description="A more recent authentication is required", max_age="300"`},
		{"age not told", resource.Authentication{MaxAge: time.Hour}, with("auth_time", nil), `error_description="A more recent authentication is required", max_age="3600"`},
		{"strong enough", resource.Authentication{ACR: []string{"2", "1"}}, with("x", 1), ""},
		{"too weak", resource.Authentication{ACR: []string{"2", "3"}}, with("x", 1), `error_description="A stronger authentication is required", acr_values="2 3"`},
		{"strength not told", resource.Authentication{ACR: []string{"2"}}, with("acr", nil), `error_description="A stronger authentication is required", acr_values="2"`},
		{"both wanted", resource.Authentication{ACR: []string{"2"}, MaxAge: time.Hour}, with("x", 1), `error_description="A stronger authentication is required", acr_values="2", max_age="3600"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := sign(t, key, "at+jwt", claims(row.change))
			s := serve(t, g.Require("orders:read")(g.RequireAuthentication(row.want)(http.HandlerFunc(fine))), bearer(token))
			if row.says == "" {
				if s.status != http.StatusNoContent {
					t.Errorf("%+v", s)
				}
				return
			}
			if want := challenge + `, error="insufficient_user_authentication", ` + row.says; s.status != http.StatusUnauthorized || s.challenge != want {
				t.Errorf("%d %s, want %s", s.status, s.challenge, want)
			}
		})
	}
}

// A guard inside another one is satisfied by its own verification only.
func TestGuardsInOneAnother(t *testing.T) {
	key := generate(t, jwa.ES256)
	outer := newGuard(t, key)
	inner := newGuard(t, key, func(c *resource.Config) { c.Audience = "https://other.example" })
	h := outer.Require()(inner.RequireFunc(fine))
	if s := serve(t, h, bearer(sign(t, key, "at+jwt", claims()))); s.status != http.StatusUnauthorized {
		t.Errorf("%+v", s)
	}
	if s := serve(t, h, bearer(sign(t, key, "at+jwt", claims(with("aud", []string{audience, "https://other.example"}))))); s.status != http.StatusNoContent {
		t.Errorf("%+v", s)
	}
}

func TestOtherIssuers(t *testing.T) {
	ours, theirs := generate(t, jwa.ES256), generate(t, jwa.EdDSA)
	g := newGuard(t, ours, func(c *resource.Config) { c.Others = []resource.Issuer{{URL: "https://other.example", Keys: theirs}} })
	h := g.RequireFunc(fine)
	for _, row := range []struct {
		name   string
		key    *jwk.Key
		iss    string
		status int
	}{
		{"ours", ours, issuer, http.StatusNoContent},
		{"theirs", theirs, "https://other.example", http.StatusNoContent},
		{"RFC 8725 §3.8: theirs in our name", theirs, issuer, http.StatusUnauthorized},
		{"RFC 8725 §3.8: ours in their name", ours, "https://other.example", http.StatusUnauthorized},
		{"somebody's", ours, "https://evil.example", http.StatusUnauthorized},
	} {
		t.Run(row.name, func(t *testing.T) {
			if s := serve(t, h, bearer(sign(t, row.key, "at+jwt", claims(with("iss", row.iss))))); s.status != row.status {
				t.Errorf("%+v", s)
			}
		})
	}
	if s := serve(t, h, bearer("a.b.c")); s.status != http.StatusUnauthorized {
		t.Errorf("not a token: %+v", s)
	}
}

func TestForbid(t *testing.T) {
	key := generate(t, jwa.ES256)
	h := newGuard(t, key).RequireFunc(func(w http.ResponseWriter, _ *http.Request) {
		resource.Forbid(w, resource.Problem{Type: "https://api.example/problems/limit", Title: "Too much", Detail: "Not \"today\"."})
	})
	s := serve(t, h, bearer(sign(t, key, "at+jwt", claims())))
	if s.status != http.StatusForbidden || s.challenge != "" || s.body["type"] != "https://api.example/problems/limit" ||
		s.body["title"] != "Too much" || s.body["detail"] != `Not "today".` || s.body["error"] != nil {
		t.Errorf("RFC 9457 §3: %+v", s)
	}
}

func TestRefuseUnknown(t *testing.T) {
	w := httptest.NewRecorder()
	newGuard(t, generate(t, jwa.ES256)).Refuse(w, bearer(""), errors.New("password is hunter2"))
	body, _ := io.ReadAll(w.Body)
	if w.Code != http.StatusInternalServerError || strings.Contains(string(body), "hunter2") || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("%d %s", w.Code, body)
	}
}

func TestConfig(t *testing.T) {
	key := generate(t, jwa.ES256)
	for name, change := range map[string]func(*resource.Config){
		"no issuer":            func(c *resource.Config) { c.Issuer = "" },
		"http issuer":          func(c *resource.Config) { c.Issuer = "http://id.example" },
		"issuer with a query":  func(c *resource.Config) { c.Issuer += "?x" },
		"no audience":          func(c *resource.Config) { c.Audience = "" },
		"a quote in the realm": func(c *resource.Config) { c.Realm = `a"b` },
		"a line in the realm":  func(c *resource.Config) { c.Realm = "a\r\nX: y" },
		"alg none":             func(c *resource.Config) { c.Algorithms = []jwa.Algorithm{"none"} },
		"a shared secret":      func(c *resource.Config) { c.Algorithms = []jwa.Algorithm{"HS256"} },
		"an issuer twice":      func(c *resource.Config) { c.Others = []resource.Issuer{{URL: issuer, Keys: key}} },
		"http resource":        func(c *resource.Config) { c.Metadata.Resource = "http://api.example" },
		"resource with query":  func(c *resource.Config) { c.Metadata.Resource = "https://api.example?x" },
	} {
		t.Run(name, func(t *testing.T) {
			c := resource.Config{Issuer: issuer, Audience: audience, Keys: key}
			change(&c)
			if _, err := resource.New(c); err == nil {
				t.Error("accepted")
			}
		})
	}
}
