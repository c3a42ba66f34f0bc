package server_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// by returns the settings of machine with a method of authentication.
func by(method string) model.ClientSettings {
	s := machine
	s.AuthMethod = method
	return s
}

func basicHeader(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// published is the JWK set of the public halves of keys.
func published(t testing.TB, keys ...*jwk.Key) json.RawMessage {
	t.Helper()
	set, err := jwk.NewSet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newKey(t testing.TB, alg jwa.Algorithm) *jwk.Key {
	t.Helper()
	key, err := jwk.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// secretKey is a client's secret as the key that it is, OpenID Connect Core §10.1.
func secretKey(t testing.TB, s model.Secret) *jwk.Key {
	t.Helper()
	key, err := jwk.New([]byte(s.Reveal()), jwk.Params{InsecureSize: true})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign signs claims, be they good or bad.
func sign(t testing.TB, key *jwk.Key, o jws.SignOptions, claims map[string]any) string {
	t.Helper()
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.Sign(text, key, o)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// proof is the claims of a good assertion, RFC 7523 §3, after changes (a nil
// value removes).
func proof(h *servertest.House, client string, change map[string]any) map[string]any {
	claims := map[string]any{"iss": client, "sub": client, "aud": h.Issuer, "exp": h.Clock.Now().Unix() + 60, "jti": model.NewID()}
	for name, v := range change {
		claims[name] = v
		if v == nil {
			delete(claims, name)
		}
	}
	return claims
}

// prove calls an endpoint with an assertion.
func prove(h *servertest.House, path, token string) servertest.Answer {
	return h.Call(path, model.Client{}, "", url.Values{
		"grant_type": {"client_credentials"}, "token": {"x"}, "client_assertion_type": {assertionType}, "client_assertion": {token},
	})
}

// TestClientAuthentication sends to each endpoint what proves nothing: RFC 6749
// §2.3 and §5.2. The first rows are the good twins, one for each method. Attack rows
// T1, T7 (nobody introspects unauthenticated) and T23 (an unknown client).
func TestClientAuthentication(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		key := newKey(t, jwa.ES256)
		_, basic := h.Client("basic", by(model.AuthBasic))
		_, post := h.Client("post", by(model.AuthPost))
		_, shared := h.Client("shared", by(model.AuthSecretJWT))
		private := by(model.AuthPrivateKey)
		private.JWKS = published(t, key)
		h.Client("private", private)
		h.Client("public", spa())

		signed := func(key *jwk.Key, client string) func() string {
			return func() string {
				return "client_assertion_type=" + url.QueryEscape(assertionType) + "&client_assertion=" + sign(t, key, jws.SignOptions{}, proof(h, client, nil))
			}
		}
		text := func(s string) func() string { return func() string { return s } }
		b, p := basic.Reveal(), post.Reveal()
		for _, row := range []struct {
			name, header string
			body         func() string
			status       int
		}{
			{"client_secret_basic", basicHeader("basic", b), text(""), 200},
			{"client_secret_post", "", text("client_id=post&client_secret=" + p), 200},
			{"client_secret_jwt", "", signed(secretKey(t, shared), "shared"), 200},
			{"private_key_jwt", "", signed(key, "private"), 200},

			{"1. no client", "", text(""), 401},
			{"2. no secret", "", text("client_id=basic"), 401},
			{"3. an empty secret", basicHeader("basic", ""), text(""), 401},
			{"4. a wrong secret", basicHeader("basic", b+"x"), text(""), 401},
			{"5. another client's secret", basicHeader("basic", p), text(""), 401},
			{"6. another method than registered", "", text("client_id=basic&client_secret=" + b), 401},
			{"7. the same the other way round", basicHeader("post", p), text(""), 401},
			{"8. two methods", basicHeader("basic", b), text("client_id=basic&client_secret=" + b), 400},
			{"9. a client_id that differs", basicHeader("basic", b), text("client_id=post"), 400},
			{"10. what is stored of the secret", basicHeader("basic", basic.Hash()), text(""), 401},
			{"11. no proof where a signature is due", "", text("client_id=private"), 401},
			{"12. an unknown client", basicHeader("nobody", b), text(""), 401},
			{"the secret of a client that signs with it", basicHeader("shared", shared.Reveal()), text(""), 401},
			{"the same in the body", "", text("client_id=shared&client_secret=" + shared.Reveal()), 401},
			{"a secret as a signature, registered for the secret itself", "", signed(secretKey(t, basic), "basic"), 401},
			{"a signature, registered as public", "", signed(key, "public"), 401},
			{"a signature and a secret", basicHeader("basic", b), signed(key, "private"), 400},
			{"a signature with another client_id", "", func() string { return signed(key, "private")() + "&client_id=basic" }, 400},
			{"a signature without its type", "", text("client_assertion=x.y.z"), 400},
		} {
			for _, path := range []string{"/token", "/introspect", "/revoke"} {
				t.Run(row.name+" "+path, func(t *testing.T) {
					req, _ := http.NewRequest(http.MethodPost, h.Issuer+path, strings.NewReader("grant_type=client_credentials&token=x&"+row.body()))
					req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					if row.header != "" {
						req.Header.Set("Authorization", row.header)
					}
					a := servertest.Do(t, req)
					code := map[int]string{200: "", 400: "invalid_request", 401: "invalid_client"}[row.status]
					if a.Status != row.status || a.String("error") != code {
						t.Fatalf("%d %s, want %d %s", a.Status, a.Text, row.status, code)
					}
					challenge := a.Header.Get("WWW-Authenticate")
					if a.Status == 401 && !strings.HasPrefix(challenge, "Basic ") || a.Status != 401 && challenge != "" { // RFC 6749 §5.2
						t.Errorf("WWW-Authenticate %q", challenge)
					}
				})
			}
		}
		if log := h.Log.String(); strings.Contains(log, b) || strings.Contains(log, p) || strings.Contains(log, shared.Reveal()) {
			t.Error("a secret was logged")
		}
	})
}

// TestPublicClientAuthentication: a public client proves nothing, and so gets
// nothing that needs proof (RFC 6749 §4.4, RFC 7662 §2.1).
func TestPublicClientAuthentication(t *testing.T) {
	h := servertest.Start(t)
	c, _ := h.Client("public", spa())
	for path, want := range map[string]int{"/token": 400, "/introspect": 401, "/revoke": 200} {
		if a := h.Call(path, c, "", url.Values{"grant_type": {"client_credentials"}, "token": {"x"}}); a.Status != want {
			t.Errorf("%s: %d %s", path, a.Status, a.Text)
		}
	}
}

// TestRegisterAuthentication: what a client can be registered for, and what is
// told where it cannot.
func TestRegisterAuthentication(t *testing.T) {
	h := servertest.Start(t)
	keys := published(t, newKey(t, jwa.ES256))
	for _, row := range []struct {
		name   string
		change func(*model.ClientSettings)
		want   string // a part of the reason; empty: registered
	}{
		{"client_secret_jwt", func(s *model.ClientSettings) { s.AuthMethod, s.AuthAlgorithm = model.AuthSecretJWT, "HS512" }, ""},
		{"private_key_jwt", func(s *model.ClientSettings) {
			s.AuthMethod, s.AuthAlgorithm, s.JWKS = model.AuthPrivateKey, "ES256", keys
		}, ""},
		{"an algorithm beside a plain secret", func(s *model.ClientSettings) { s.AuthAlgorithm = "RS256" }, ""},
		{"issuer alone", func(s *model.ClientSettings) { s.AssertionAudience = model.AudienceIssuer }, ""},
		{"tls_client_auth", func(s *model.ClientSettings) { s.AuthMethod = model.AuthTLS }, "does not see the certificates"},
		{"unknown method", func(s *model.ClientSettings) { s.AuthMethod = "password" }, "token_endpoint_auth_method: it must be one of"},
		{"private_key_jwt without keys", func(s *model.ClientSettings) { s.AuthMethod = model.AuthPrivateKey }, "needs jwks or jwks_uri"},
		{"a public key's algorithm with a secret", func(s *model.ClientSettings) { s.AuthMethod, s.AuthAlgorithm = model.AuthSecretJWT, "RS256" }, "token_endpoint_auth_signing_alg"},
		{"a secret's algorithm with a public key", func(s *model.ClientSettings) {
			s.AuthMethod, s.AuthAlgorithm, s.JWKS = model.AuthPrivateKey, "HS256", keys
		}, "token_endpoint_auth_signing_alg"},
		{"none", func(s *model.ClientSettings) { s.AuthAlgorithm = "none" }, "token_endpoint_auth_signing_alg"},
		{"an unknown policy", func(s *model.ClientSettings) { s.AssertionAudience = "anybody" }, "assertion_audience"},
	} {
		s := machine
		row.change(&s)
		_, _, err := h.Registrar.CreateClient(t.Context(), servertest.Operator, s, "")
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	a := get(t, h.Issuer+"/.well-known/openid-configuration")
	methods, algorithms := a.JSON["token_endpoint_auth_methods_supported"].([]any), a.JSON["token_endpoint_auth_signing_alg_values_supported"].([]any)
	if len(methods) != len(registration.AuthMethods) || !strings.Contains(a.Text, model.AuthSecretJWT) || strings.Contains(a.Text, model.AuthTLS) || len(algorithms) != 13 {
		t.Errorf("advertised: %v, %v", methods, algorithms)
	}
}

// TestStrangersLockNobodyOut: however often somebody fails in a client's name,
// the client gets in, and nothing is stored.
func TestStrangersLockNobodyOut(t *testing.T) {
	h := servertest.Start(t)
	key, foreign := newKey(t, jwa.ES256), newKey(t, jwa.ES256)
	c, secret := h.Client("robot", machine)
	private := by(model.AuthPrivateKey)
	private.JWKS = published(t, key)
	h.Client("signer", private)
	jti := model.NewID()
	for range 200 {
		if a := h.Call("/token", c, "wrong", url.Values{"grant_type": {"client_credentials"}}); a.Status != 401 {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		if a := prove(h, "/token", sign(t, foreign, jws.SignOptions{}, proof(h, "signer", map[string]any{"jti": jti}))); a.Status != 401 {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
	}
	if n := rows(t, h)["assertions"]; n != 0 {
		t.Errorf("strangers left %d rows", n)
	}
	if a := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}}); a.Status != 200 {
		t.Errorf("the client itself: %d %s", a.Status, a.Text)
	}
	// Not even an identifier that somebody else named first is used up.
	if a := prove(h, "/token", sign(t, key, jws.SignOptions{}, proof(h, "signer", map[string]any{"jti": jti}))); a.Status != 200 {
		t.Errorf("the signer itself: %d %s", a.Status, a.Text)
	}
	if n := rows(t, h)["assertions"]; n != 1 {
		t.Errorf("%d rows, want the signer's", n)
	}
	h.Clock.Move(2 * time.Hour)
	if _, err := h.Store.Sweep(t.Context(), h.Clock.Now().Unix(), 100); err != nil || rows(t, h)["assertions"] != 0 {
		t.Errorf("after it expired: %d rows, %v", rows(t, h)["assertions"], err)
	}
}
