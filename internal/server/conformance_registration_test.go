package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// meta is client metadata, as a client sends it.
type meta map[string]any

// and returns a copy with further members; nil takes one out.
func (m meta) and(name string, value any) meta {
	m = maps.Clone(m)
	m[name] = value
	if value == nil {
		delete(m, name)
	}
	return m
}

// suite is what the conformance suite registers: conformance.md §2.2.
var suite = meta{
	"redirect_uris":              []string{"https://suite.example/test/a/x/callback"},
	"contacts":                   []string{"certification@oidf.example"},
	"grant_types":                []string{"authorization_code", "refresh_token"},
	"response_types":             []string{"code"},
	"client_name":                "x 9UeKcGqg",
	"subject_type":               "public",
	"token_endpoint_auth_method": "client_secret_basic",
}

// open lets everybody register.
func openRegistration(c *server.Config) {
	c.Registration = oauth.Registration{Mode: oauth.RegistrationOpen, PerHour: 100_000}
}

// send sends JSON to an endpoint of registration.
func send(t *testing.T, method, address, token string, body any) servertest.Answer {
	t.Helper()
	text, ok := body.(string)
	if !ok && body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		text = string(data)
	}
	req, err := http.NewRequest(method, address, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return servertest.Do(t, req)
}

func register(t *testing.T, h *servertest.House, m any) servertest.Answer {
	t.Helper()
	return send(t, http.MethodPost, h.Issuer+"/register", "", m)
}

// registered registers a client that has to be accepted.
func registered(t *testing.T, h *servertest.House, m meta) (model.Client, model.Secret, servertest.Answer) {
	t.Helper()
	a := register(t, h, m)
	if a.Status != http.StatusCreated {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	c := model.Client{ID: model.ClientID(a.String("client_id"))}
	for _, uri := range a.JSON["redirect_uris"].([]any) {
		c.RedirectURIs = append(c.RedirectURIs, uri.(string))
	}
	return c, model.Secret(a.String("client_secret")), a
}

func refused(t *testing.T, a servertest.Answer, status int, code string) {
	t.Helper()
	if a.Status != status || a.String("error") != code {
		t.Errorf("%d %s, want %d %s", a.Status, a.Text, status, code)
	}
	for _, c := range a.String("error_description") { // RFC 6749 §5.2
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			t.Errorf("error_description holds %q", c)
		}
	}
}

// TestConformanceRegistration has the modules of the conformance suite that are
// about registration, by their names there.
func TestConformanceRegistration(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		t.Run("server", func(t *testing.T) { conformRegistration(t, h) })
		t.Run("registration-jwks-uri", func(t *testing.T) { conformKeys(t, h) })
		t.Run("registration-logo-uri", func(t *testing.T) { conformLogo(t, h) })
		t.Run("3rd-party-init-login", func(t *testing.T) {
			m := suite.and("initiate_login_uri", "https://suite.example/test/a/x/initiate")
			_, _, a := registered(t, h, m)
			got := send(t, http.MethodGet, a.String("registration_client_uri"), a.String("registration_access_token"), nil)
			if got.Status != http.StatusOK || got.JSON["initiate_login_uri"] != m["initiate_login_uri"] {
				t.Errorf("%d %s", got.Status, got.Text)
			}
		})
		t.Run("3rd-party-init-login-nohttps", func(t *testing.T) {
			refused(t, register(t, h, suite.and("initiate_login_uri", "http://suite.example/initiate")), 400, "invalid_client_metadata")
		})
		t.Run("redirect-uri-regfrag", func(t *testing.T) {
			for _, uri := range []string{"https://suite.example/callback#foobar", "https://suite.example/callback#"} {
				refused(t, register(t, h, suite.and("redirect_uris", []string{uri})), 400, "invalid_redirect_uri")
			}
		})
		conformRedirect(t, h)
	}, openRegistration)
}

// conformRegistration: conformance.md §2.2.
func conformRegistration(t *testing.T, h *servertest.House) {
	var d struct {
		Endpoint string `json:"registration_endpoint"`
	}
	discover(t, h, &d)
	c, secret, a := registered(t, h, suite.and("unknown_member", meta{"a": 1}).and("client_name#ja", "クライアント").and("tos_uri", nil).and("policy_uri", json.RawMessage("null")))
	if d.Endpoint != h.Issuer+"/register" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v", d.Endpoint, a.Header)
	}
	for name, want := range map[string]any{
		"client_secret_expires_at": 0.0, "token_endpoint_auth_method": "client_secret_basic", "application_type": "web",
		"client_name": "x 9UeKcGqg", "id_token_signed_response_alg": "RS256", "subject_type": "public",
		"scope": "openid profile email address phone offline_access", "unknown_member": nil, "client_name#ja": nil,
		"registration_client_uri": h.Issuer + "/register/" + string(c.ID),
	} {
		if a.JSON[name] != want {
			t.Errorf("%s: %v, want %v", name, a.JSON[name], want)
		}
	}
	if at, _ := a.JSON["client_id_issued_at"].(float64); time.Since(time.Unix(int64(at), 0)).Abs() > time.Minute {
		t.Errorf("client_id_issued_at %v", a.JSON["client_id_issued_at"])
	}
	if !strings.HasPrefix(secret.Reveal(), "ost_cs_") || !strings.HasPrefix(a.String("registration_access_token"), "ost_rat_") {
		t.Error(a.Text)
	}
	// The client works, and is issued refresh tokens as it asked.
	at := h.Browser().SignIn(servertest.AuthorizePath(c, "scope", "openid profile offline_access", "prompt", "consent"), "olena", password)
	tokens := h.Redeem(c, secret, at)
	if tokens.Status != http.StatusOK || tokens.String("refresh_token") == "" || tokens.String("id_token") == "" {
		t.Fatalf("%d %s", tokens.Status, tokens.Text)
	}
	other, otherSecret, _ := registered(t, h, suite)
	foreign := h.Call("/token", other, otherSecret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.String("refresh_token")}})
	refused(t, foreign, 400, "invalid_grant")

	// The suite deletes its client afterwards.
	gone := send(t, http.MethodDelete, a.String("registration_client_uri"), a.String("registration_access_token"), nil)
	if gone.Status != http.StatusNoContent || gone.Text != "" {
		t.Errorf("%d %s", gone.Status, gone.Text)
	}
	if p := h.Browser().Get(servertest.AuthorizePath(c)); p.Status != 400 || p.Left != nil {
		t.Errorf("%d %v", p.Status, p.Left)
	}
}

func discover(t *testing.T, h *servertest.House, into any) {
	t.Helper()
	req, _ := http.NewRequest(http.MethodGet, h.Issuer+"/.well-known/openid-configuration", nil)
	if err := json.Unmarshal([]byte(servertest.Do(t, req).Text), into); err != nil {
		t.Fatal(err)
	}
}

// signer is a key pair of a client with a document of its public half.
func signer(t *testing.T) (*jwk.Key, []byte) {
	t.Helper()
	key, err := jwk.Generate(jwa.ES256)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	set, err := jwk.NewSet(public)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return key, data
}

func conformKeys(t *testing.T, h *servertest.House) {
	key, set := signer(t)
	fetched := 0
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched++
		w.Write(set)
	}))
	defer keys.Close()
	c, _, _ := registered(t, h, suite.and("token_endpoint_auth_method", "private_key_jwt").and("jwks_uri", keys.URL))
	at := h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password)
	if a := h.Redeem(c, "", at); a.Status != 401 {
		t.Errorf("without an assertion: %d %s", a.Status, a.Text)
	}
	at = h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password)
	a := h.Call("/token", c, "", redeemSigned(t, h, c, key, at))
	if a.Status != http.StatusOK || fetched != 1 {
		t.Errorf("%d %s after %d fetches", a.Status, a.Text, fetched)
	}
}

// redeemSigned is a token request with private_key_jwt.
func redeemSigned(t *testing.T, h *servertest.House, c model.Client, key *jwk.Key, at *url.URL) url.Values {
	t.Helper()
	assertion, err := jwt.Sign(jwt.Registered{
		Issuer: string(c.ID), Subject: string(c.ID), Audience: jwt.Audience{h.Issuer}, ID: model.NewID(),
		ExpiresAt: jwt.At(h.Clock.Now().Add(time.Minute)),
	}, key, jwt.SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {at.Query().Get("code")}, "redirect_uri": {c.RedirectURIs[0]},
		"code_verifier": {servertest.Verifier}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
}

// drawn is a PNG of one colour.
func drawn(side int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	for i := range side * side {
		img.Set(i%side, i/side, color.RGBA{200, 60, uint8(i), 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// conformLogo has registration-policy-uri and -tos-uri, too: they are links on
// the same page.
func conformLogo(t *testing.T, h *servertest.House) {
	logo := drawn(64)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(logo) }))
	defer site.Close()
	c, _, _ := registered(t, h, suite.and("logo_uri", site.URL+"/logo.png").
		and("policy_uri", "https://suite.example/policy").and("tos_uri", "https://suite.example/tos").and("client_uri", "https://suite.example/"))
	p := pageWithLogo(t, h, c)
	for _, link := range []string{`href="https://suite.example/policy"`, `href="https://suite.example/tos"`, `href="https://suite.example/"`} {
		if !strings.Contains(p.Body, link) {
			t.Errorf("no %s", link)
		}
	}
	if strings.Contains(p.Body, site.URL) || strings.Count(p.Body, "noopener noreferrer") != 3 {
		t.Error(p.Body)
	}
	_, src, _ := strings.Cut(p.Body, `<img src="`)
	src, _, _ = strings.Cut(src, `"`)
	img := h.Browser().Get(src)
	if img.Status != 200 || img.Body != string(logo) || img.Header.Get("Content-Type") != "image/png" ||
		img.Header.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || img.Header.Get("X-Content-Type-Options") != "nosniff" ||
		img.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
		t.Errorf("%d %v", img.Status, img.Header)
	}
	if p := h.Browser().Get("/logo/" + strings.Repeat("A", 43)); p.Status != 404 {
		t.Errorf("an unknown one: %d", p.Status)
	}
}

// pageWithLogo waits until the sign-in page of a client shows its logo.
func pageWithLogo(t *testing.T, h *servertest.House, c model.Client) *servertest.Page {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		h.Clock.Move(2 * time.Second) // past the cache of clients
		p := h.Browser().Get(servertest.AuthorizePath(c))
		if strings.Contains(p.Body, `<img src="/logo/`) {
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("no logo: %s\n%s", p.Body, h.Log)
		}
	}
}

func conformRedirect(t *testing.T, h *servertest.House) {
	t.Run("ensure-redirect-uri-in-authorization-request", func(t *testing.T) {
		c, _, _ := registered(t, h, suite.and("redirect_uris", []string{"https://suite.example/a", "https://suite.example/b"}))
		if p := h.Browser().Get(servertest.AuthorizePath(c, "redirect_uri", "")); p.Status != 400 || p.Left != nil {
			t.Errorf("%d %v", p.Status, p.Left)
		}
	})
	const uri = "https://suite.example/callback?foo=bar"
	c, _, _ := registered(t, h, suite.and("redirect_uris", []string{uri}))
	t.Run("redirect-uri-query-OK", func(t *testing.T) {
		at := h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password)
		if at.Query().Get("foo") != "bar" || at.Query().Get("code") == "" {
			t.Error(at)
		}
	})
	for name, sent := range map[string]string{
		"redirect-uri-query-mismatch": "https://suite.example/callback?bar=foo",
		"redirect-uri-query-added":    uri + "&bar=foo",
	} {
		t.Run(name, func(t *testing.T) {
			if p := h.Browser().Get(servertest.AuthorizePath(c, "redirect_uri", sent)); p.Status != 400 || p.Left != nil {
				t.Errorf("%d %v", p.Status, p.Left)
			}
		})
	}
}

// view reads what is stored.
func view[T any](t *testing.T, h *servertest.House, fn func(*store.Tx) (T, error)) (out T) {
	t.Helper()
	err := h.Store.View(context.Background(), func(tx *store.Tx) (err error) { out, err = fn(tx); return err })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// events lists the actions that are recorded about a client.
func events(t *testing.T, h *servertest.House, id model.ClientID) []model.Event {
	all := view(t, h, func(tx *store.Tx) ([]model.Event, error) { return tx.Events(0, 1000) })
	return slices.DeleteFunc(all, func(e model.Event) bool { return e.ClientID != id })
}
