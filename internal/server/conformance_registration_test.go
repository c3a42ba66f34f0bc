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
	"github.com/ostiary/ostiary/internal/registration"
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
	c.Registration = registration.Policy{Mode: registration.ModeOpen, PerHour: 100_000}
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

// registrationModules are the modules that are about what is registered.
var registrationModules = []module{
	{name: "registration-logo-uri", types: registration.ResponseTypes, dynamic: true, run: conformLogo},
	{name: "registration-policy-uri", types: registration.ResponseTypes, dynamic: true, also: meta{"policy_uri": "https://suite.example/policy"}, run: linked("https://suite.example/policy")},
	{name: "registration-tos-uri", types: registration.ResponseTypes, dynamic: true, also: meta{"tos_uri": "https://suite.example/tos"}, run: linked("https://suite.example/tos")},
	{name: "registration-jwks-uri", types: codeTypes, dynamic: true, run: func(t *testing.T, p *party) {
		keys := serveKeys(t, suiteKey())
		p.keyed(t, suiteKey(), meta{"jwks_uri": keys.URL})
		p.read(t, p.ask(t))
		if n := keys.asked.Load(); n != 1 {
			t.Errorf("fetched %d times", n)
		}
		p.key = otherKey()
		if a := p.redeem(t, p.ask(t)); a.Status != 401 || a.String("error") != "invalid_client" {
			t.Errorf("a key that is not there: %d %s", a.Status, a.Text)
		}
	}},
	{name: "redirect-uri-regfrag", types: registration.ResponseTypes, dynamic: true, run: func(t *testing.T, p *party) {
		for _, uri := range []string{"https://suite.example/callback#foobar", "https://suite.example/callback#"} {
			refused(t, register(t, p.h, p.metadata(meta{"redirect_uris": []string{uri}})), 400, "invalid_redirect_uri")
		}
	}},
	{name: "3rd_party-init-login", types: registration.ResponseTypes, dynamic: true, run: func(t *testing.T, p *party) {
		const uri = "https://suite.example/test/a/x/initiate"
		a := p.enrol(t, meta{"initiate_login_uri": uri})
		got := send(t, http.MethodGet, a.String("registration_client_uri"), a.String("registration_access_token"), nil)
		if a.JSON["initiate_login_uri"] != uri || got.Status != http.StatusOK || got.JSON["initiate_login_uri"] != uri {
			t.Errorf("%s, then %d %s", a.Text, got.Status, got.Text)
		}
	}},
	{name: "3rd_party-init-login-nohttps", types: registration.ResponseTypes, dynamic: true, run: func(t *testing.T, p *party) {
		refused(t, register(t, p.h, p.metadata(meta{"initiate_login_uri": "http://suite.example/initiate"})), 400, "invalid_client_metadata")
	}},
}

// TestConformanceRegistration has a subtest for each module about registration,
// and one for what all modules need of it.
func TestConformanceRegistration(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		t.Run("of every module", func(t *testing.T) { conformRegistration(t, h) })
		runModules(t, h, registrationModules)
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

// conformLogo: the sign-in page shows the logo, from here, and the links.
func conformLogo(t *testing.T, p *party) {
	logo := drawn(64)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(logo) }))
	defer site.Close()
	p.enrol(t, meta{
		"logo_uri": site.URL + "/logo.png", "policy_uri": "https://suite.example/policy", "tos_uri": "https://suite.example/tos",
		"client_uri": "https://suite.example/",
	})
	page := pageWithLogo(t, p)
	for _, link := range []string{`href="https://suite.example/policy"`, `href="https://suite.example/tos"`, `href="https://suite.example/"`} {
		if !strings.Contains(page.Body, link) {
			t.Errorf("no %s", link)
		}
	}
	if strings.Contains(page.Body, site.URL) || strings.Count(page.Body, "noopener noreferrer") != 3 {
		t.Error(page.Body)
	}
	_, src, _ := strings.Cut(page.Body, `<img src="`)
	src, _, _ = strings.Cut(src, `"`)
	img := p.b.Get(src)
	if img.Status != 200 || img.Body != string(logo) || img.Header.Get("Content-Type") != "image/png" ||
		img.Header.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || img.Header.Get("X-Content-Type-Options") != "nosniff" ||
		img.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
		t.Errorf("%d %v", img.Status, img.Header)
	}
	if none := p.b.Get("/logo/" + strings.Repeat("A", 43)); none.Status != 404 {
		t.Errorf("an unknown one: %d", none.Status)
	}
	p.read(t, p.answer(t, page))
}

// pageWithLogo waits until the sign-in page of a client shows its logo.
func pageWithLogo(t *testing.T, p *party) *servertest.Page {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		p.h.Clock.Move(2 * time.Second) // past the cache of clients
		page := p.b.Get(p.path())
		if strings.Contains(page.Body, `<img src="/logo/`) {
			return page
		}
		if time.Now().After(deadline) {
			t.Fatalf("no logo: %s\n%s", page.Body, p.h.Log)
		}
	}
}

// linked: the sign-in page links to the address.
func linked(address string) func(*testing.T, *party) {
	return func(t *testing.T, p *party) {
		page := p.b.Get(p.path())
		if !strings.HasSuffix(page.URL.Path, "/login") || !slices.Contains(page.Attributes("a", "href"), address) {
			t.Errorf("%s: %s", page.URL, page.Body)
		}
		p.read(t, p.answer(t, page))
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
