package server_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

const introspectionJWT = "application/token-introspection+jwt"

// introspect asks about a token, for an answer of a kind.
func introspect(t *testing.T, h *servertest.House, c model.Client, secret model.Secret, token, accept string) servertest.Answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, h.Issuer+"/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(string(c.ID)), url.QueryEscape(secret.Reveal()))
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	return servertest.Do(t, req)
}

// readIntrospection holds a signed answer to RFC 9701 §5 and returns what it tells
// about the token.
func readIntrospection(t *testing.T, h *servertest.House, c model.Client, alg, token string) map[string]any {
	t.Helper()
	type claims struct {
		Issuer   string         `json:"iss"`
		Audience string         `json:"aud"`
		IssuedAt int64          `json:"iat"`
		Told     map[string]any `json:"token_introspection"`
	}
	tok, err := jwt.Verify[claims](t.Context(), token, keySet(t, h), jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.Algorithm(alg)}, Types: []string{"token-introspection+jwt"}, Issuers: []string{h.Issuer}, Audiences: []string{string(c.ID)},
		AllowMissingExpiration: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if age := h.Clock.Now().Unix() - tok.Claims.IssuedAt; age < 0 || age > 60 {
		t.Errorf("iat %d", tok.Claims.IssuedAt)
	}
	if all := claimsOf(t, token); len(all) != 4 { // §5: neither "sub" nor "exp", by which it could pass for an access token
		t.Errorf("claims %v", all)
	}
	var told map[string]any // with the numbers of every JSON answer
	text, err := json.Marshal(tok.Claims.Told)
	if err == nil {
		err = json.Unmarshal(text, &told)
	}
	if err != nil {
		t.Fatal(err)
	}
	return told
}

// TestIntrospectionJWT: RFC 9701. An answer that can be shown to others, and what is
// told in it is what RFC 7662 tells.
func TestIntrospectionJWT(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		key := generate(t, jwa.ECDHES)
		c, secret := h.Client("shop", web)
		robot, robotSecret := h.Client("robot", machine)
		api, apiSecret := h.Client("api", model.ClientSettings{Resources: machine.Audiences})
		other, otherSecret := h.Client("other", model.ClientSettings{Resources: []string{"https://other.example"}})
		sealed, sealedSecret := h.Client("sealed", model.ClientSettings{Resources: machine.Audiences, JWKS: setOf(t, key),
			IntrospectionAlgorithm: "ES256", IntrospectionEncryption: "ECDH-ES"})
		person := h.Redeem(c, secret, h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password))
		machines := h.Call("/token", robot, robotSecret, url.Values{"grant_type": {"client_credentials"}})

		for _, row := range []struct {
			name   string
			c      model.Client
			secret model.Secret
			token  string
			active bool
		}{
			{"the client's own access token", c, secret, person.String("access_token"), true},
			{"its refresh token", c, secret, person.String("refresh_token"), true},
			{"an API's", api, apiSecret, machines.String("access_token"), true},
			{"none of that API's (§5: active is false, and nothing else is told)", other, otherSecret, person.String("access_token"), false},
			{"an ID token", c, secret, person.String("id_token"), false},
			{"nonsense", c, secret, "nonsense", false},
		} {
			a := introspect(t, h, row.c, row.secret, row.token, introspectionJWT)
			if a.Status != http.StatusOK || a.Header.Get("Content-Type") != introspectionJWT || a.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%s: %d %v %s", row.name, a.Status, a.Header, a.Text)
			}
			told := readIntrospection(t, h, row.c, "RS256", a.Text)
			plain := introspect(t, h, row.c, row.secret, row.token, "").JSON
			if told["active"] != row.active || !reflect.DeepEqual(told, plain) || !row.active && len(told) != 1 {
				t.Errorf("%s: %v, and in JSON %v", row.name, told, plain)
			}
		}
		t.Run("encrypted", func(t *testing.T) {
			a := introspect(t, h, sealed, sealedSecret, machines.String("access_token"), introspectionJWT)
			m := open(t, a.Text, key, jwa.ECDHES, jwa.A128CBCHS256)
			if m.Header.ContentType != "JWT" { // RFC 7519 §5.2
				t.Errorf("header %+v", m.Header)
			}
			if told := readIntrospection(t, h, sealed, "ES256", string(m.Plaintext)); told["active"] != true || told["client_id"] != "robot" {
				t.Errorf("%v", told)
			}
		})
		t.Run("it passes for nothing else (RFC 9701 §8.1)", func(t *testing.T) {
			token := introspect(t, h, c, secret, person.String("access_token"), introspectionJWT).Text
			if active(h, c, secret, token) || info(t, h, token).Status != http.StatusUnauthorized {
				t.Error("it is an access token")
			}
			if p := h.Browser().Get(servertest.AuthorizePath(c, "id_token_hint", token)); answer(p) != "invalid_request" {
				t.Errorf("as a hint: %v", p.Left)
			}
		})
		t.Run("who asks for what (§4, RFC 9110 §12.5.1)", func(t *testing.T) {
			for accept, want := range map[string]string{
				"": "application/json", "*/*": "application/json", "application/json": "application/json", "application/jwt": "application/json", "nonsense, ;q": "application/json",
				introspectionJWT: introspectionJWT, "Application/Token-Introspection+JWT": introspectionJWT, introspectionJWT + ", */*;q=0.1": introspectionJWT,
				introspectionJWT + ", application/json":       introspectionJWT,
				introspectionJWT + ";q=0.5, application/json": "application/json",
				introspectionJWT + ";q=0":                     "application/json", introspectionJWT + ";q=x": "application/json",
			} {
				if a := introspect(t, h, c, secret, person.String("access_token"), accept); a.Status != http.StatusOK || a.Header.Get("Content-Type") != want {
					t.Errorf("%q: %d %s", accept, a.Status, a.Header.Get("Content-Type"))
				}
			}
		})
		t.Run("errors are JSON", func(t *testing.T) {
			refused(t, introspect(t, h, c, secret+"x", "x", introspectionJWT), http.StatusUnauthorized, "invalid_client")
			refused(t, introspect(t, h, c, secret, "", introspectionJWT), http.StatusBadRequest, "invalid_request")
		})
	})
}

// TestIntrospectionOfIdleSession: a session that is over by itself is over for its
// tokens in that moment, before anybody has noticed it and written it down.
func TestIntrospectionOfIdleSession(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		c, secret := h.Client("shop", web)
		for scope, lives := range map[string]bool{"openid": false, "openid offline_access": true} {
			a := h.Redeem(c, secret, h.Browser().SignIn(servertest.AuthorizePath(c, "scope", scope), "olena", password))
			h.Clock.Move(3 * time.Minute)
			for _, kind := range []string{"access_token", "refresh_token"} {
				if active(h, c, secret, a.String(kind)) != lives {
					t.Errorf("%s: the %s is active: %t", scope, kind, !lives)
				}
			}
			if got := info(t, h, a.String("access_token")).Status == http.StatusOK; got != lives {
				t.Errorf("%s: userinfo answers: %t", scope, got)
			}
		}
	}, func(c *server.Config) { c.SessionIdle = 2 * time.Minute })
}
