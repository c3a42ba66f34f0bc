package server_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
)

// machine is a client that acts for itself.
var machine = model.ClientSettings{GrantTypes: []string{"client_credentials"}, Scopes: []string{"orders:read", "orders:write"}, Audiences: []string{"https://api.example"}}

// TestClientCredentials: RFC 6749 §4.4.
func TestClientCredentials(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		c, secret := h.Client("robot", machine)
		a := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}, "scope": {"orders:read"}})
		if a.Status != http.StatusOK || a.String("scope") != "orders:read" || a.String("refresh_token") != "" || a.String("id_token") != "" {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		if !active(h, c, secret, a.String("access_token")) {
			t.Error("the token is not active")
		}
	})
}

// TestTokenBadInput sends what no client should send to the token endpoint:
// JSON errors by RFC 6749 §5.2, no panic, no stack trace. Attack rows T1, T9, T21 and
// T28.
func TestTokenBadInput(t *testing.T) {
	h := servertest.Start(t)
	robot, secret := h.Client("robot", machine)
	post := machine
	post.AuthMethod = model.AuthPost
	_, postSecret := h.Client("poster", post)
	h.Client("spa", spa())
	s, long := secret.Reveal(), strings.Repeat("x", 9000)
	good := "grant_type=client_credentials"
	basic := func(id, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
	}
	for _, row := range []struct {
		name, header, body string
		status             int
		code               string
	}{
		{"good twin", basic("robot", s), good, 200, ""},
		{"client_id repeated in the body, and agreeing", basic("robot", s), good + "&client_id=robot", 200, ""},
		{"client_secret_post", "", good + "&client_id=poster&client_secret=" + postSecret.Reveal(), 200, ""},

		// client authentication, RFC 6749 §2.3, §5.2
		{"no client", "", good, 401, "invalid_client"},
		{"unknown client", basic("nobody", s), good, 401, "invalid_client"},
		{"wrong secret", basic("robot", s+"x"), good, 401, "invalid_client"},
		{"empty secret", basic("robot", ""), good, 401, "invalid_client"},
		{"another client's secret", basic("robot", postSecret.Reveal()), good, 401, "invalid_client"},
		{"no secret", "", good + "&client_id=robot", 401, "invalid_client"},
		{"another method than registered", "", good + "&client_id=robot&client_secret=" + s, 401, "invalid_client"},
		{"two methods", basic("robot", s), good + "&client_id=robot&client_secret=" + s, 400, "invalid_request"},
		{"two clients", basic("robot", s), good + "&client_id=poster", 400, "invalid_request"},
		{"broken header", "Basic !!!", good, 401, "invalid_client"},
		{"another scheme", "Bearer " + s, good, 401, "invalid_client"},
		{"header without a colon", "Basic " + base64.StdEncoding.EncodeToString([]byte("robot")), good, 401, "invalid_client"},
		{"long header", basic("robot", long), good, 401, "invalid_client"},
		{"public client, grant for confidential ones", "", good + "&client_id=spa", 400, "unauthorized_client"},
		{"public client with an empty password (RFC 6749 §2.3.1)", basic("spa", ""), "grant_type=refresh_token&refresh_token=x", 400, "invalid_grant"},
		{"public client with a password", basic("spa", "x"), "grant_type=refresh_token&refresh_token=x", 401, "invalid_client"},
		{"secret in the URL", "", good, 401, "invalid_client"},
		{"assertion of an unknown type", "", good + "&client_assertion_type=x&client_assertion=y", 400, "invalid_request"},
		{"assertion that is none", "", good + "&client_assertion=y&client_assertion_type=" + url.QueryEscape("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), 401, "invalid_client"},

		// grant_type, RFC 6749 §5.2
		{"grant_type missing", basic("robot", s), "x=y", 400, "invalid_request"},
		{"grant_type empty", basic("robot", s), "grant_type=", 400, "invalid_request"},
		{"grant_type twice", basic("robot", s), good + "&" + good, 400, "invalid_request"},
		{"grant_type unknown", basic("robot", s), "grant_type=password", 400, "unsupported_grant_type"},
		{"grant_type not registered", basic("robot", s), "grant_type=authorization_code&code=x", 400, "unauthorized_client"},
		{"scope not registered", basic("robot", s), good + "&scope=admin", 400, "invalid_scope"},
		{"scope of a person", basic("robot", s), good + "&scope=openid", 400, "invalid_scope"},
		{"scope malformed", basic("robot", s), good + "&scope=" + url.QueryEscape(`"`), 400, "invalid_scope"},
		{"code missing", "", "grant_type=authorization_code&client_id=spa", 400, "invalid_request"},
		{"refresh_token missing", "", "grant_type=refresh_token&client_id=spa", 400, "invalid_request"},
		{"a long parameter", "", "grant_type=refresh_token&client_id=spa&refresh_token=" + long, 400, "invalid_request"},
		{"a zero byte", "", "grant_type=refresh_token&client_id=spa&refresh_token=%00", 400, "invalid_request"},
		{"not UTF-8", "", "grant_type=refresh_token&client_id=spa&refresh_token=%ff", 400, "invalid_request"},
		{"broken escaping", basic("robot", s), good + "&x=%zz", 400, "invalid_request"},
		{"a megabyte", basic("robot", s), good + "&x=" + strings.Repeat("x", 1<<20), 413, "invalid_request"},
	} {
		t.Run(row.name, func(t *testing.T) {
			target := h.Issuer + "/token"
			if row.name == "secret in the URL" {
				target += "?client_id=robot&client_secret=" + s
			}
			req, _ := http.NewRequest(http.MethodPost, target, strings.NewReader(row.body))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if row.header != "" {
				req.Header.Set("Authorization", row.header)
			}
			a := servertest.Do(t, req)
			if a.Status != row.status || a.String("error") != row.code {
				t.Fatalf("%d %s, want %d %s", a.Status, a.Text, row.status, row.code)
			}
			if a.Header.Get("Cache-Control") != "no-store" { // RFC 6749 §5.1
				t.Errorf("Cache-Control %q", a.Header.Get("Cache-Control"))
			}
			if (a.Status == 401) != (a.Header.Get("WWW-Authenticate") != "") { // RFC 6749 §5.2
				t.Errorf("WWW-Authenticate %q", a.Header.Get("WWW-Authenticate"))
			}
			if strings.ContainsAny(a.String("error_description"), "\"\\\r\n") {
				t.Errorf("error_description %q", a.String("error_description"))
			}
		})
	}
	for _, row := range []struct {
		name, method, kind string
		status             int
	}{
		{"GET (RFC 6749 §3.2)", http.MethodGet, "application/x-www-form-urlencoded", 405},
		{"JSON", http.MethodPost, "application/json", 400},
		{"multipart", http.MethodPost, "multipart/form-data; boundary=x", 400},
		{"no type", http.MethodPost, "", 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			req, _ := http.NewRequest(row.method, h.Issuer+"/token", strings.NewReader(good))
			req.Header.Set("Content-Type", row.kind)
			req.SetBasicAuth(string(robot.ID), s)
			if a := servertest.Do(t, req); a.Status != row.status || a.String("error") != "invalid_request" {
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
	}
	if log := h.Log.String(); strings.Contains(log, "panic") || strings.Contains(log, s) {
		t.Error("something panicked, or a secret was logged")
	}
}

// TestSecretRotation: two live secrets at once, so that one can be replaced
// without a gap; a removed one is refused at once.
func TestSecretRotation(t *testing.T) {
	h := servertest.Start(t)
	c, old := h.Client("robot", machine)
	ask := func(s model.Secret) int {
		return h.Call("/token", c, s, url.Values{"grant_type": {"client_credentials"}}).Status
	}
	row, fresh, err := h.Registrar.AddSecret(t.Context(), servertest.Operator, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if ask(old) != 200 || ask(fresh) != 200 {
		t.Error("two live secrets must both work")
	}
	if _, _, err := h.Registrar.AddSecret(t.Context(), servertest.Operator, c.ID); err == nil {
		t.Error("a third secret was given out")
	}
	if err := h.Registrar.RemoveSecret(t.Context(), servertest.Operator, c.ID, row.ID); err != nil {
		t.Fatal(err)
	}
	if ask(old) != 200 || ask(fresh) != 401 {
		t.Error("the removed secret works, or the other does not")
	}
}

// TestDisabledClient: P12: a client that is revoked stops working within a second,
// its tokens included, and whoever did it need not be this server.
func TestDisabledClient(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		c, secret := h.Client("robot", machine)
		watcher, watching := h.Client("api", model.ClientSettings{GrantTypes: []string{"client_credentials"}, Resources: []string{"https://api.example"}})
		a := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}})
		if !active(h, watcher, watching, a.String("access_token")) {
			t.Fatal("the API that the token is for cannot introspect it")
		}
		if _, err := h.Registrar.DisableClient(t.Context(), servertest.Operator, c.ID, true); err != nil {
			t.Fatal(err)
		}
		if active(h, watcher, watching, a.String("access_token")) {
			t.Error("a token of a disabled client is active")
		}
		if a := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}}); a.Status != 401 {
			t.Errorf("a disabled client gets tokens: %s", a.Text)
		}
		if _, err := h.Registrar.DisableClient(t.Context(), servertest.Operator, c.ID, false); err != nil {
			t.Fatal(err)
		}
		if a := h.Call("/token", c, secret, url.Values{"grant_type": {"client_credentials"}}); a.Status != 200 {
			t.Errorf("an enabled one does not: %s", a.Text)
		}
	})
}
