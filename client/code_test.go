package client_test

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

const callback = "http://127.0.0.1:9/callback"

func newClient(t *testing.T, f *fake, change ...func(*client.Config)) *client.Client {
	t.Helper()
	config := client.Config{
		Issuer: f.URL, ClientID: fakeID, ClientSecret: fakeSecret, RedirectURI: callback,
		Scopes: []string{"openid", "profile"}, Now: f.clock.Now,
	}
	for _, c := range change {
		c(&config)
	}
	c, err := client.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// visit is a browser that follows an authorization request to its response.
func visit(t *testing.T, address string) url.Values {
	t.Helper()
	browser := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := browser.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	back, err := res.Location()
	if err != nil {
		t.Fatal(err)
	}
	return back.Query()
}

// signIn goes through one sign-in without a session.
func signIn(t *testing.T, c *client.Client, o client.AuthOptions) (client.Tokens, client.Identity, error) {
	t.Helper()
	address, attempt, err := c.AuthCodeURL(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c.Exchange(t.Context(), attempt, visit(t, address))
}

func mustSignIn(t *testing.T, c *client.Client) client.Tokens {
	t.Helper()
	tokens, _, err := signIn(t, c, client.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestExchange(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f)
	tokens, id, err := signIn(t, c, client.AuthOptions{MaxAge: time.Hour, LoginHint: "ada", Extra: url.Values{"client_id": {"evil"}, "kc_idp_hint": {"x"}}})
	if err != nil {
		t.Fatal(err)
	}
	if id.Subject != fakePerson || id.SessionID != "session-1" || id.ACR != "1" || id.Issuer != f.URL || id.AuthTime.IsZero() {
		t.Errorf("identity is %+v", id)
	}
	if tokens.Access == "" || tokens.Refresh == "" || !tokens.ExpiresAt.Equal(f.clock.Now().Add(5*time.Minute)) {
		t.Error("tokens are not those of the answer")
	}
	if got := f.last; got.Get("max_age") != "3600" || got.Get("login_hint") != "ada" || got.Get("kc_idp_hint") != "x" || got.Get("scope") != "openid profile" {
		t.Errorf("authorization request was %v", got)
	}
	var custom struct {
		SID string `json:"sid"`
	}
	if err := id.Decode(&custom); err != nil || custom.SID != "session-1" {
		t.Errorf("Decode: %v, %+v", err, custom)
	}
	p, err := c.Userinfo(t.Context(), tokens, id.Subject)
	if err != nil || p.Name != "Ada Lovelace" {
		t.Errorf("Userinfo: %+v, %v", p, err)
	}
	var groups struct{ Groups []string }
	if err := p.Decode(&groups); err != nil || len(groups.Groups) != 1 {
		t.Errorf("Decode: %v, %+v", err, groups)
	}
}

func TestTokensAreNotPrinted(t *testing.T) {
	f := newFake(t)
	tokens := mustSignIn(t, newClient(t, f))
	if text := tokens.String() + tokens.GoString() + tokens.LogValue().String(); strings.Contains(text, tokens.Access) {
		t.Error("tokens print their content")
	}
}

func TestClientAuthentication(t *testing.T) {
	for name, change := range map[string]func(*client.Config){
		"RFC 6749 §2.3.1: basic": func(*client.Config) {},
		"RFC 6749 §2.3.1: body":  func(c *client.Config) { c.AuthMethod = client.AuthPost },
		"RFC 6749 §2.1: public":  func(c *client.Config) { c.ClientSecret = "" },
		"RFC 7523 §2.2: private_key_jwt": func(c *client.Config) {
			c.ClientSecret, c.Key = "", rsaKeys()[1]
		},
	} {
		t.Run(name, func(t *testing.T) {
			mustSignIn(t, newClient(t, newFake(t), change))
		})
	}
	t.Run("RFC 6749 §5.2: a wrong secret", func(t *testing.T) {
		c := newClient(t, newFake(t), func(c *client.Config) { c.ClientSecret = "wrong" })
		_, _, err := signIn(t, c, client.AuthOptions{})
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Code != "invalid_client" || e.Status != http.StatusUnauthorized {
			t.Errorf("error is %v", err)
		}
	})
}

func TestAuthorizationResponse(t *testing.T) {
	cases := []struct {
		name string
		lie  func(f *fake)
		want error // nil: accepted
	}{
		{"RFC 6749 §4.1.2: good", func(*fake) {}, nil},
		{"RFC 6749 §10.12: another state", func(f *fake) { f.response = func(v url.Values) { v.Set("state", strings.Repeat("x", 43)) } }, client.ErrAttempt},
		{"RFC 6749 §10.12: no state", func(f *fake) { f.response = func(v url.Values) { v.Del("state") } }, client.ErrAttempt},
		{"RFC 6749 §10.12: an empty state", func(f *fake) { f.response = func(v url.Values) { v.Set("state", "") } }, client.ErrAttempt},
		{"RFC 6749 §3.1: two codes", func(f *fake) { f.response = func(v url.Values) { v.Add("code", "evil") } }, client.ErrResponse},
		{"RFC 6749 §3.1: two states", func(f *fake) { f.response = func(v url.Values) { v.Add("state", "evil") } }, client.ErrResponse},
		{"RFC 6749 §4.1.2: no code", func(f *fake) { f.response = func(v url.Values) { v.Del("code") } }, client.ErrResponse},
		{"RFC 9207 §2.4: the iss of another server (mix-up)", func(f *fake) { f.response = func(v url.Values) { v.Set("iss", "https://evil.example") } }, client.ErrIssuer},
		{"RFC 9207 §2.4: iss with a slash more", func(f *fake) { f.response = func(v url.Values) { v.Set("iss", f.URL+"/") } }, client.ErrIssuer},
		{"RFC 9207 §2.4: iss promised and missing", func(f *fake) { f.response = func(v url.Values) { v.Del("iss") } }, client.ErrIssuer},
		{"RFC 9207 §2.4: iss neither promised nor there", func(f *fake) {
			f.response = func(v url.Values) { v.Del("iss") }
			f.metadata = func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }
		}, nil},
		{"RFC 9207 §2.4: iss not promised and wrong", func(f *fake) {
			f.response = func(v url.Values) { v.Set("iss", "https://evil.example") }
			f.metadata = func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }
		}, client.ErrIssuer},
		{"RFC 6749 §4.1.2.1: an error of another server", func(f *fake) {
			f.response = func(v url.Values) { v.Set("error", "access_denied"); v.Set("iss", "https://evil.example") }
		}, client.ErrIssuer},
		{"RFC 6749 §5.1: token_type is not Bearer", func(f *fake) { f.answer = func(a map[string]any) { a["token_type"] = "mac" } }, client.ErrResponse},
		{"RFC 6749 §5.1: no token_type", func(f *fake) { f.answer = func(a map[string]any) { delete(a, "token_type") } }, client.ErrResponse},
		{"RFC 6749 §5.1: no access_token", func(f *fake) { f.answer = func(a map[string]any) { delete(a, "access_token") } }, client.ErrResponse},
		{"RFC 6749 §5.1: expires_in is not a number", func(f *fake) { f.answer = func(a map[string]any) { a["expires_in"] = 1.5 } }, client.ErrResponse},
		{"RFC 6749 §5.1: expires_in is negative", func(f *fake) { f.answer = func(a map[string]any) { a["expires_in"] = -1 } }, client.ErrResponse},
		{"an answer of a megabyte", func(f *fake) { f.answer = func(a map[string]any) { a["x"] = strings.Repeat("x", 1<<20) } }, client.ErrResponse},
		{"OpenID Connect Core §3.1.3.3: no id_token", func(f *fake) { f.answer = func(a map[string]any) { delete(a, "id_token") } }, client.ErrResponse},
		{"the key set cannot be had", func(f *fake) {
			f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/jwks" {
					http.Error(w, "down", http.StatusServiceUnavailable)
				}
				return r.URL.Path == "/jwks"
			}
		}, client.ErrUnavailable},
	}
	for _, row := range cases {
		t.Run(row.name, func(t *testing.T) {
			f := newFake(t)
			row.lie(f)
			tokens, id, err := signIn(t, newClient(t, f), client.AuthOptions{})
			if row.want == nil && err != nil || !errors.Is(err, row.want) {
				t.Fatalf("error is %v, want %v", err, row.want)
			}
			if err != nil && (tokens.Access != "" || id.Subject != "") {
				t.Error("something came back beside the error")
			}
		})
	}
}

func TestAuthorizationError(t *testing.T) {
	f := newFake(t)
	f.response = func(v url.Values) {
		v.Del("code")
		v.Set("error", "access_denied")
		v.Set("error_description", "no\r\n\x00<b>")
	}
	_, _, err := signIn(t, newClient(t, f), client.AuthOptions{})
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Code != "access_denied" || e.Description != "no<b>" || e.Status != 0 {
		t.Errorf("error is %#v", err)
	}
}

func TestAttempt(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f)
	begin := func() (url.Values, client.Attempt) {
		address, a, err := c.AuthCodeURL(t.Context(), client.AuthOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return visit(t, address), a
	}
	t.Run("RFC 7636 §4.6: the verifier of another attempt", func(t *testing.T) {
		response, a := begin()
		_, other := begin()
		a.Verifier = other.Verifier
		_, _, err := c.Exchange(t.Context(), a, response)
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Code != "invalid_grant" {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("RFC 9700 §4.4.2: begun at another issuer", func(t *testing.T) {
		response, a := begin()
		a.Issuer = "https://evil.example"
		if _, _, err := c.Exchange(t.Context(), a, response); !errors.Is(err, client.ErrAttempt) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("too old", func(t *testing.T) {
		response, a := begin()
		f.clock.advance(10 * time.Minute)
		if _, _, err := c.Exchange(t.Context(), a, response); !errors.Is(err, client.ErrAttempt) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("the zero attempt", func(t *testing.T) {
		response, _ := begin()
		response.Del("state")
		if _, _, err := c.Exchange(t.Context(), client.Attempt{}, response); !errors.Is(err, client.ErrAttempt) {
			t.Errorf("error is %v", err)
		}
	})
}

// sign makes an ID token by hand, for what no honest signer would make.
func sign(t *testing.T, header, token string, key *jwk.Key) string {
	t.Helper()
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + payload
	if key == nil {
		return input + "."
	}
	signature, err := key.AppendSignature(nil, "", []byte(input))
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func claim(name string, value any) func(*fake) {
	return func(f *fake) { f.claims = func(c map[string]any) { c[name] = value } }
}

// OpenID Connect Core §3.1.3.7, rule by rule.
func TestIDToken(t *testing.T) {
	at := func(f *fake, d time.Duration) int64 { return f.clock.Now().Add(d).Unix() }
	symmetric := func(f *fake) *jwk.Key {
		public, err := json.Marshal(f.key) // what an attacker has: the public key
		if err != nil {
			t.Fatal(err)
		}
		k, err := jwk.New(public, jwk.Params{Algorithm: jwa.HS256})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	cases := []struct {
		name string
		lie  func(f *fake)
		good bool
	}{
		{"good", func(*fake) {}, true},
		{"rule 2: iss is another", claim("iss", "https://evil.example"), false},
		{"rule 2: no iss", claim("iss", nil), false},
		{"rule 3: aud is another client", claim("aud", "other"), false},
		{"rule 3: aud is a list of us", claim("aud", []string{fakeID}), true},
		{"rule 3: aud has an untrusted party", claim("aud", []string{fakeID, "other"}), false},
		{"rule 3: no aud", claim("aud", nil), false},
		{"rule 3: aud is an empty list", claim("aud", []string{}), false},
		{"rule 4: aud has a trusted party and no azp", claim("aud", []string{fakeID, "trusted"}), false},
		{"rule 4: aud has a trusted party and azp", func(f *fake) {
			f.claims = func(c map[string]any) { c["aud"], c["azp"] = []string{fakeID, "trusted"}, fakeID }
		}, true},
		{"rule 5: azp is another client", claim("azp", "other"), false},
		{"rule 6: signed by another key", func(f *fake) {
			f.token = func(s string) string { return sign(t, `{"alg":"RS256"}`, s, f.alien) }
		}, false},
		{"rule 6: signature cut off", func(f *fake) { f.token = func(s string) string { return s[:strings.LastIndex(s, ".")+1] } }, false},
		{"rule 7: alg none", func(f *fake) { f.token = func(s string) string { return sign(t, `{"alg":"none"}`, s, nil) } }, false},
		{"rule 7: another alg than registered", func(f *fake) { f.options = func(o *jwt.SignOptions) { o.Algorithm = jwa.PS256 } }, false},
		{"rule 7: HS256 with the public key", func(f *fake) {
			f.token = func(s string) string { return sign(t, `{"alg":"HS256"}`, s, symmetric(f)) }
		}, false},
		{"rule 9: expired", func(f *fake) { f.claims = func(c map[string]any) { c["exp"] = at(f, -31*time.Second) } }, false},
		{"rule 9: expired within the leeway", func(f *fake) { f.claims = func(c map[string]any) { c["exp"] = at(f, -29*time.Second) } }, true},
		{"rule 9: no exp", claim("exp", nil), false},
		{"rule 10: iat in the future", func(f *fake) { f.claims = func(c map[string]any) { c["iat"] = at(f, 31*time.Second) } }, false},
		{"rule 10: no iat", claim("iat", nil), false},
		{"rule 11: another nonce", claim("nonce", "other"), false},
		{"rule 11: no nonce", claim("nonce", nil), false},
		{"§2: no sub", claim("sub", nil), false},
		{"§2: an empty sub", claim("sub", ""), false},
		{"§2: sub of more than 255 characters", claim("sub", strings.Repeat("x", 256)), false},
		{"§3.1.3.8: at_hash of another token", func(f *fake) {
			sum := sha256.Sum256([]byte("another"))
			claim("at_hash", base64.RawURLEncoding.EncodeToString(sum[:16]))(f)
		}, false},
		{"§3.1.3.8: no at_hash", claim("at_hash", nil), true},
		{"RFC 8725 §3.11: an access token", func(f *fake) { f.options = func(o *jwt.SignOptions) { o.Type = "at+jwt" } }, false},
		{"RFC 8725 §3.11: a logout token", func(f *fake) { f.options = func(o *jwt.SignOptions) { o.Type = "logout+jwt" } }, false},
		{"RFC 7515 §4.1.9: no typ", func(f *fake) {
			f.token = func(s string) string { return sign(t, `{"alg":"RS256"}`, s, f.key) }
		}, true},
		{"not a token", func(f *fake) { f.token = func(string) string { return "a.b.c" } }, false},
		{"fifty thousand dots", func(f *fake) { f.token = func(string) string { return strings.Repeat(".", 50_000) } }, false},
	}
	for _, row := range cases {
		t.Run(row.name, func(t *testing.T) {
			f := newFake(t)
			row.lie(f)
			c := newClient(t, f, func(c *client.Config) { c.TrustedAudiences = []string{"trusted"} })
			_, id, err := signIn(t, c, client.AuthOptions{})
			if row.good != (err == nil) {
				t.Fatalf("error is %v", err)
			}
			if !row.good && (!errors.Is(err, client.ErrIdentity) || id.Subject != "") {
				t.Errorf("error is %v, identity %+v", err, id)
			}
		})
	}
}

// OpenID Connect Core §3.1.3.7 rule 13.
func TestMaxAge(t *testing.T) {
	for _, row := range []struct {
		name string
		ago  time.Duration // negative: not told
		max  time.Duration
		good bool
	}{
		{"young enough", 59 * time.Minute, time.Hour, true},
		{"too old", 61 * time.Minute, time.Hour, false},
		{"not told", -1, time.Hour, false},
		{"now was asked", time.Minute, -1, false},
		{"now was asked and done", 0, -1, true},
		{"not asked", 24 * time.Hour, 0, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFake(t)
			f.claims = func(c map[string]any) {
				if c["auth_time"] = any(f.clock.Now().Add(-row.ago).Unix()); row.ago < 0 {
					c["auth_time"] = nil
				}
			}
			_, _, err := signIn(t, newClient(t, f), client.AuthOptions{MaxAge: row.max})
			if row.good != (err == nil) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// An Ed25519 signature has no hash in its name; at_hash is made with SHA-512.
func TestAccessHashOfEdDSA(t *testing.T) {
	for _, row := range []struct {
		name string
		hash func(access string) []byte
		good bool
	}{
		{"SHA-512", func(a string) []byte { s := sha512.Sum512([]byte(a)); return s[:32] }, true},
		{"SHA-256", func(a string) []byte { s := sha256.Sum256([]byte(a)); return s[:16] }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFake(t)
			key, err := jwk.Generate(jwa.EdDSA)
			if err != nil {
				t.Fatal(err)
			}
			f.key = key
			f.answer = func(a map[string]any) {
				f.answer = nil
				f.claims = func(c map[string]any) {
					c["at_hash"] = base64.RawURLEncoding.EncodeToString(row.hash(a["access_token"].(string)))
				}
				a["id_token"] = f.idToken(&fakeFamily{request: f.last, began: f.clock.Now()}, a["access_token"].(string))
			}
			_, _, err = signIn(t, newClient(t, f, func(c *client.Config) { c.IDTokenAlgorithm = jwa.EdDSA }), client.AuthOptions{})
			if row.good != (err == nil) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestUserinfo(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f)
	tokens := mustSignIn(t, c)
	for _, row := range []struct {
		name string
		lie  func()
		want error
	}{
		{"OpenID Connect Core §5.3.2: sub of another person", func() { f.userinfo = func(c map[string]any) { c["sub"] = "other" } }, client.ErrIdentity},
		{"OpenID Connect Core §5.3.2: no sub", func() { f.userinfo = func(c map[string]any) { delete(c, "sub") } }, client.ErrIdentity},
		{"a claim of another type", func() { f.userinfo = func(c map[string]any) { c["name"] = 1 } }, client.ErrResponse},
		{"more than fits", func() { f.userinfo = func(c map[string]any) { c["x"] = strings.Repeat("x", 1<<20) } }, client.ErrResponse},
	} {
		t.Run(row.name, func(t *testing.T) {
			f.set(row.lie)
			if p, err := c.Userinfo(t.Context(), tokens, fakePerson); !errors.Is(err, row.want) || p.Subject != "" {
				t.Errorf("error is %v, profile %+v", err, p)
			}
		})
	}
	f.set(func() { f.userinfo = nil })
	_, err := c.Userinfo(t.Context(), client.Tokens{Access: "dead"}, fakePerson)
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Code != "invalid_token" {
		t.Errorf("RFC 6750 §3.1: error is %v", err)
	}
}

func TestCredentials(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f, func(c *client.Config) { c.RedirectURI, c.Scopes = "", nil })
	source := c.Credentials(url.Values{"resource": {"https://api.example"}}, "orders:read")
	token := func() string {
		t.Helper()
		s, err := source.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := token()
	if token() != first || f.count("client_credentials") != 1 {
		t.Error("a token that lives was asked for again")
	}
	f.clock.advance(5*time.Minute - 29*time.Second)
	if token() == first {
		t.Error("a token in its last moments was handed out")
	}
	f.set(func() { f.down = true })
	f.clock.advance(5 * time.Minute)
	if s, err := source.Token(t.Context()); !errors.Is(err, client.ErrUnavailable) || s != "" {
		t.Errorf("error is %v", err)
	}
}

func TestContextEnds(t *testing.T) {
	f := newFake(t)
	f.pause = 200 * time.Millisecond
	c := newClient(t, f)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Credentials(nil).Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
}
