package server_test

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwe"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
)

// jar is the typ of a request object of RFC 9101.
const jar = "oauth-authz-req+jwt"

const elsewhere = "http://127.0.0.1:1/elsewhere"

// requestSigner registers a client with two addresses that signs its requests.
func requestSigner(t testing.TB, h *servertest.House, id string, key *jwk.Key, change func(*model.ClientSettings)) model.Client {
	t.Helper()
	s := web
	s.FirstParty, s.RedirectURIs, s.JWKS = true, []string{web.RedirectURIs[0], elsewhere}, published(t, key)
	if change != nil {
		change(&s)
	}
	c, _ := h.Client(id, s)
	return c
}

// asked is the content of a good request object, after changes (a nil value
// removes). With prompt=none and nobody signed in, it is answered login_required.
func asked(h *servertest.House, c model.Client, change map[string]any) map[string]any {
	claims := map[string]any{
		"iss": string(c.ID), "aud": h.Issuer, "client_id": string(c.ID), "response_type": "code", "redirect_uri": c.RedirectURIs[0],
		"scope": "openid", "state": "inside", "nonce": "inside", "prompt": "none", "exp": h.Clock.Now().Unix() + 60,
	}
	for name, v := range change {
		claims[name] = v
		if v == nil {
			delete(claims, name)
		}
	}
	return claims
}

// beside is an authorization request that repeats outside what OpenID Connect Core
// §6.1 demands, with further parameters.
func beside(c model.Client, extra ...string) string {
	return servertest.AuthorizePath(c, append([]string{"scope", "openid", "state", "outside", "nonce", "", "code_challenge", "", "code_challenge_method", ""}, extra...)...)
}

// answer is what became of a request: "page" or the error at the client.
func answer(p *servertest.Page) string {
	if p.Left == nil {
		return "page"
	}
	return p.Left.Query().Get("error")
}

// TestRequestObject (attack row O29): OpenID Connect Core §6.1 and RFC 9101, by value. What passes
// is answered login_required, at the address and with the state that count.
func TestRequestObject(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		key, foreign := newKey(t, jwa.ES256), newKey(t, jwa.ES256)
		c := requestSigner(t, h, "shop", key, nil)
		requestSigner(t, h, "other", foreign, nil)
		now := h.Clock.Now().Unix()
		home := c.RedirectURIs[0]
		const good = "login_required"
		type change = map[string]any
		for _, row := range []struct {
			name   string
			typ    string
			change change
			extra  []string // outside
			want   string   // page, or the error at the client
			at     string   // the address
			state  string
		}{
			{"everything inside and outside", "", nil, nil, good, home, "inside"},
			{"typ JWT", "JWT", nil, nil, good, home, "inside"},
			{"typ of RFC 9101", jar, nil, nil, good, home, "inside"},
			{"typ of RFC 9101 in full", "application/" + jar, nil, nil, good, home, "inside"},
			{"redirect_uri inside wins", "", change{"redirect_uri": elsewhere}, nil, good, elsewhere, "inside"},
			{"redirect_uri inside wins over an evil one", "", nil, []string{"redirect_uri", "https://evil.example/"}, good, home, "inside"},
			{"redirect_uri outside fills the gap", "", change{"redirect_uri": nil}, []string{"redirect_uri", elsewhere}, good, elsewhere, "inside"},
			{"state outside fills the gap", "", change{"state": nil}, nil, good, home, "outside"},
			{"state outside does not count in RFC 9101 §6.3", jar, change{"state": nil}, nil, good, home, ""},
			{"nothing outside but client_id (RFC 9101 §5)", jar, nil, []string{"response_type", "", "redirect_uri", "", "scope", "", "state", ""}, good, home, "inside"},
			{"nothing outside, without typ", "", nil, []string{"response_type", "", "redirect_uri", "", "scope", "", "state", ""}, good, home, "inside"},
			{"scope outside does not count", "", nil, []string{"scope", "admin"}, good, home, "inside"},
			{"no iss, aud, exp, client_id (OpenID Connect Core §6.1)", "", change{"iss": nil, "aud": nil, "exp": nil, "client_id": nil}, nil, good, home, "inside"},
			{"one audience of several", "", change{"aud": []string{"https://other.example", h.Issuer}}, nil, good, home, "inside"},
			{"nbf 8 seconds ahead", "", change{"nbf": now + 8}, nil, good, home, "inside"},
			{"max_age is a number, claims an object", "", change{"max_age": 10, "claims": map[string]any{"userinfo": map[string]any{"name": nil}}}, nil, good, home, "inside"},
			{"resource is a list", "", change{"resource": []string{"https://api.example"}}, nil, good, home, "inside"},
			{"unknown claims", "", change{"jti": "1", "iat": now, "extra": []any{1, true, nil}}, nil, good, home, "inside"},
			{"response_type with its words in another order", "", change{"response_type": "code "}, nil, good, home, "inside"},

			{"redirect_uri inside that is not registered", "", change{"redirect_uri": "https://evil.example/"}, nil, "page", "", ""},
			{"redirect_uri missing everywhere", "", change{"redirect_uri": nil}, []string{"redirect_uri", ""}, "page", "", ""},
			{"redirect_uri outside does not count in RFC 9101 §6.3", jar, change{"redirect_uri": nil}, nil, "page", "", ""},
			{"scope inside that is not registered", "", change{"scope": "openid admin"}, nil, "invalid_scope", home, "inside"},
			{"scope outside does not count in RFC 9101 §6.3", jar, change{"scope": nil}, nil, "invalid_scope", home, "inside"},
			{"response_type differs (OpenID Connect Core §6.1)", "", change{"response_type": "id_token"}, nil, "invalid_request_object", home, "outside"},
			{"client_id differs (RFC 9101 §6.3)", "", change{"client_id": "other"}, nil, "invalid_request_object", home, "outside"},
			{"client_id is missing (RFC 9101 §6.3)", jar, change{"client_id": nil}, nil, "invalid_request_object", home, "outside"},
			{"iss of another", "", change{"iss": "other"}, nil, "invalid_request_object", home, "outside"},
			{"another audience", "", change{"aud": "https://other.example"}, nil, "invalid_request_object", home, "outside"},
			{"an empty audience", "", change{"aud": []string{}}, nil, "invalid_request_object", home, "outside"},
			{"audience a number", "", change{"aud": 7}, nil, "invalid_request_object", home, "outside"},
			{"expired", "", change{"exp": now - 60}, nil, "invalid_request_object", home, "outside"},
			{"exp as text", "", change{"exp": "9999999999"}, nil, "invalid_request_object", home, "outside"},
			{"nbf a minute ahead", "", change{"nbf": now + 70}, nil, "invalid_request_object", home, "outside"},
			{"request inside", "", change{"request": "x.y.z"}, nil, "invalid_request_object", home, "outside"},
			{"request_uri inside", "", change{"request_uri": "https://x.example/"}, nil, "invalid_request_object", home, "outside"},
			{"sub of the client (RFC 9101 §10.8)", "", change{"sub": "shop"}, nil, "invalid_request_object", home, "outside"},
			{"max_age as text", "", change{"max_age": "10"}, nil, "invalid_request_object", home, "outside"},
			{"max_age with a fraction", "", change{"max_age": 1.5}, nil, "invalid_request", home, "inside"},
			{"max_age negative", "", change{"max_age": -1}, nil, "invalid_request", home, "inside"},
			{"scope as a list", "", change{"scope": []string{"openid"}}, nil, "invalid_request_object", home, "outside"},
			{"state null", "", change{"state": nil, "nonce": []any{}}, nil, "invalid_request_object", home, "outside"},
			{"nonce long", "", change{"nonce": strings.Repeat("x", 5000)}, nil, "invalid_request", home, "inside"},
			{"a control character", "", change{"login_hint": "a\x00b"}, nil, "invalid_request", home, "inside"},
			{"registration inside", "", change{"registration": map[string]any{}}, nil, "registration_not_supported", home, "inside"},
			{"an ID token's kind is JWT, but others are not", "at+jwt", nil, nil, "invalid_request_object", home, "outside"},
			{"a DPoP proof", "dpop+jwt", nil, nil, "invalid_request_object", home, "outside"},
			{"a logout token", "logout+jwt", nil, nil, "invalid_request_object", home, "outside"},
			{"an assertion of the client", "client-authentication+jwt", nil, nil, "invalid_request_object", home, "outside"},
			{"a repeated parameter outside", "", nil, nil, "invalid_request", home, "inside"},
			{"a fault, and no good address outside", "", change{"exp": now - 60}, []string{"redirect_uri", "https://evil.example/"}, "page", "", ""},
		} {
			t.Run(row.name, func(t *testing.T) {
				path := beside(c, append(row.extra, "request", sign(t, key, jws.SignOptions{Type: row.typ}, asked(h, c, row.change)))...)
				if row.name == "a repeated parameter outside" {
					path += "&scope=openid"
				}
				p := h.Browser().Get(path)
				if answer(p) != row.want {
					t.Fatalf("want %s, got %d %v %s", row.want, p.Status, p.Left, p.Body)
				}
				if row.want == "page" {
					return
				}
				q := p.Left.Query()
				if !strings.HasPrefix(p.Left.String(), row.at+"?") || q.Get("state") != row.state || strings.ContainsAny(q.Get("error_description"), "\"\\\r\n") {
					t.Errorf("want %s with the state %q, got %s", row.at, row.state, p.Left)
				}
			})
		}
		if n := rowsOf(t, h); n != 0 {
			t.Errorf("%d requests were stored", n)
		}
	})
}

// rowsOf counts the stored requests where that can be done: in a file.
func rowsOf(t *testing.T, h *servertest.House) int {
	if h.Config.Database != "" {
		return 0
	}
	return requests(t, h)
}

// TestRequestObjectSignature: only the client's signature counts, in an algorithm
// that it is registered for (RFC 9101 §6.2, attacks J1, J2, J8, J20, J34).
func TestRequestObjectSignature(t *testing.T) { servertest.Each(t, testRequestObjectSignature) }

func testRequestObjectSignature(t *testing.T, h *servertest.House) {
	h.User("olena", "correct horse battery")
	key, foreign := newKey(t, jwa.ES256), newKey(t, jwa.ES256)
	c := requestSigner(t, h, "shop", key, nil)
	bound := requestSigner(t, h, "bound", key, func(s *model.ClientSettings) { s.RequestObjectAlgorithm = "PS256" })
	keyless, secret := h.Client("keyless", web)
	shared, sharedSecret := h.Client("shared", func() model.ClientSettings { s := web; s.AuthMethod = model.AuthSecretJWT; return s }())

	tokens := h.Redeem(keyless, secret, h.Browser().SignIn(servertest.AuthorizePath(keyless), "olena", "correct horse battery"))
	good := sign(t, key, jws.SignOptions{}, asked(h, c, nil))
	none, err := jwt.InsecureSignNone(asked(h, c, nil), jwt.SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := jwe.Encrypt([]byte(good), newKey(t, jwa.RSAOAEP256), jwe.EncryptOptions{ContentType: "JWT"})
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		name, token string
		client      model.Client
		ok          bool
	}
	table := []row{
		{"good twin", good, c, true},
		{"another client's key", sign(t, foreign, jws.SignOptions{}, asked(h, c, nil)), c, false},
		{"ES256 where PS256 is registered", sign(t, key, jws.SignOptions{}, asked(h, bound, nil)), bound, false},
		{"a client without keys", sign(t, key, jws.SignOptions{}, asked(h, keyless, nil)), keyless, false},
		{"a secret in place of a key", sign(t, secretKey(t, sharedSecret), jws.SignOptions{Algorithm: jwa.HS256}, asked(h, shared, nil)), shared, false},
		{"none", none, c, false},
		{"signature cut off", good[:strings.LastIndexByte(good, '.')+1], c, false},
		{"another payload", swapPayload(good, none), c, false},
		{"a key in the header", withHeader(t, foreign, asked(h, c, nil)), c, false},
		{"encrypted", sealed, c, false},
		{"an ID token of ours", tokens.String("id_token"), c, false},
		{"an access token of ours", tokens.String("access_token"), c, false},
		{"JSON", `{"payload":"e30","signatures":[]}`, c, false},
		{"dots", strings.Repeat(".", 5000), c, false},
		{"nothing of the kind", "hello", c, false},
	}
	for name, material := range publicTexts(t, key) {
		guess, err := jwk.New(material, jwk.Params{InsecureSize: true})
		if err != nil {
			t.Fatal(err)
		}
		table = append(table, row{"HS256 with " + name, sign(t, guess, jws.SignOptions{Algorithm: jwa.HS256}, asked(h, c, nil)), c, false})
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			p := h.Browser().Get(beside(row.client, "request", row.token))
			if want := map[bool]string{true: "login_required", false: "invalid_request_object"}[row.ok]; answer(p) != want {
				t.Errorf("want %s, got %d %v", want, p.Status, p.Left)
			}
		})
	}
	if p := h.Browser().Get(beside(c, "request", good, "request_uri", "https://x.example/")); answer(p) != "invalid_request" {
		t.Errorf("request and request_uri: %d %v", p.Status, p.Left)
	}
}

// swapPayload puts the payload of one token into another.
func swapPayload(token, from string) string {
	parts := strings.Split(token, ".")
	parts[1] = strings.Split(from, ".")[1]
	return strings.Join(parts, ".")
}

// TestRequestObjectRequired: RFC 9101 §10.5. A client that must sign its requests
// gets nothing for one that it did not sign, and nothing beside the object counts.
func TestRequestObjectRequired(t *testing.T) { servertest.Each(t, testRequestObjectRequired) }

func testRequestObjectRequired(t *testing.T, h *servertest.House) {
	key := newKey(t, jwa.ES256)
	c := requestSigner(t, h, "strict", key, func(s *model.ClientSettings) { s.RequireRequestObject = true })
	object := func(change map[string]any) string { return sign(t, key, jws.SignOptions{}, asked(h, c, change)) }
	for name, row := range map[string]struct{ path, want, state string }{
		"signed":                       {beside(c, "request", object(nil)), "login_required", "inside"},
		"not signed":                   {beside(c, "prompt", "none"), "invalid_request", "outside"},
		"state outside alone":          {beside(c, "request", object(map[string]any{"state": nil})), "login_required", ""},
		"scope outside alone":          {beside(c, "request", object(map[string]any{"scope": nil})), "invalid_scope", "inside"},
		"response_type outside alone":  {beside(c, "request", object(map[string]any{"response_type": nil})), "invalid_request", "inside"},
		"response_type differs":        {beside(c, "response_type", "id_token", "request", object(nil)), "login_required", "inside"},
		"code_challenge outside alone": {beside(c, "code_challenge", "x", "code_challenge_method", "plain", "request", object(nil)), "login_required", "inside"},
	} {
		if p := h.Browser().Get(row.path); answer(p) != row.want || p.Left.Query().Get("state") != row.state {
			t.Errorf("%s: want %s, got %d %v", name, row.want, p.Status, p.Left)
		}
	}
}

// TestRequestObjectFlow walks the whole way: what was signed is what is granted.
func TestRequestObjectFlow(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", "correct horse battery")
		key := newKey(t, jwa.PS256)
		s := web
		s.FirstParty, s.JWKS, s.RedirectURIs = true, published(t, key), []string{web.RedirectURIs[0], elsewhere}
		c, secret := h.Client("shop", s)
		object := sign(t, key, jws.SignOptions{}, asked(h, c, map[string]any{
			"prompt": "login", "redirect_uri": elsewhere, "scope": "openid email", "max_age": 3600,
			"code_challenge": servertest.Challenge, "code_challenge_method": "S256",
		}))
		path := beside(c, "scope", "openid profile", "redirect_uri", "https://evil.example/", "request", object)
		at := h.Browser().SignIn(path, "olena", "correct horse battery")
		if !strings.HasPrefix(at.String(), elsewhere+"?") || at.Query().Get("state") != "inside" {
			t.Fatalf("the answer went to %s", at)
		}
		a := h.Call("/token", c, secret, url.Values{
			"grant_type": {"authorization_code"}, "code": {at.Query().Get("code")}, "redirect_uri": {elsewhere}, "code_verifier": {servertest.Verifier},
		})
		id, err := jwt.DecodeUnverified[map[string]any](a.String("id_token"))
		if err != nil || a.String("scope") != "openid email" || id.Claims["nonce"] != "inside" {
			t.Errorf("%s %v %v", a.Text, id.Claims, err)
		}
		// By POST it is the same.
		u, _ := url.Parse(beside(c, "request", sign(t, key, jws.SignOptions{}, asked(h, c, nil))))
		if p := h.Browser().Post("/authorize", u.Query()); answer(p) != "login_required" {
			t.Errorf("by POST: %d %v", p.Status, p.Left)
		}
	})
}

// TestRequestURI: OpenID Connect Core §6.2, RFC 9101 §5.2.
func TestRequestURI(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		key := newKey(t, jwa.RS256)
		var c model.Client
		var body atomic.Value
		mux := http.NewServeMux()
		serve := func(path, kind string, status int) {
			mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", kind)
				w.WriteHeader(status)
				fmt.Fprint(w, body.Load())
			})
		}
		serve("/jar", "application/oauth-authz-req+jwt", 200)
		serve("/jwt", "application/jwt; charset=utf-8", 200)
		serve("/jose", "application/jose", 200)
		serve("/html", "text/html", 200)
		serve("/gone", "application/jwt", 404)
		site := httptest.NewServer(mux)
		t.Cleanup(site.Close)
		long := site.URL + "/jwt?" + strings.Repeat("x", 600)
		c = requestSigner(t, h, "shop", key, func(s *model.ClientSettings) {
			for _, path := range []string{"/jar", "/jwt", "/jose#hash-of-then", "/html", "/gone", "/unsigned", "/expired"} {
				s.RequestURIs = append(s.RequestURIs, site.URL+path)
			}
		})
		other := requestSigner(t, h, "other", newKey(t, jwa.RS256), nil)
		body.Store(sign(t, key, jws.SignOptions{}, asked(h, c, nil)) + "\n")
		none, _ := jwt.InsecureSignNone(asked(h, c, nil), jwt.SignOptions{})
		for path, text := range map[string]string{"/unsigned": none, "/expired": sign(t, key, jws.SignOptions{}, asked(h, c, map[string]any{"exp": 1}))} {
			mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/jwt")
				fmt.Fprint(w, text)
			})
		}
		for _, row := range []struct {
			name   string
			client model.Client
			uri    string
			want   string
		}{
			{"its own media type", c, site.URL + "/jar", "login_required"},
			{"application/jwt", c, site.URL + "/jwt", "login_required"},
			{"application/jose", c, site.URL + "/jose", "login_required"},
			{"the fragment has changed", c, site.URL + "/jose#hash-of-now", "login_required"},
			{"another fragment where none is registered", c, site.URL + "/jwt#xyz", "login_required"},
			{"another media type", c, site.URL + "/html", "invalid_request_uri"},
			{"not found", c, site.URL + "/gone", "invalid_request_uri"},
			{"not registered", c, site.URL + "/other", "invalid_request_uri"},
			{"a query added", c, site.URL + "/jwt?x", "invalid_request_uri"},
			{"another client's", other, site.URL + "/jwt", "invalid_request_uri"},
			{"a urn", c, "urn:ietf:params:oauth:request_uri:x", "invalid_request_uri"},
			{"too long", c, long, "invalid_request"},
			{"unsigned", c, site.URL + "/unsigned", "invalid_request_object"},
			{"expired", c, site.URL + "/expired", "invalid_request_object"},
		} {
			t.Run(row.name, func(t *testing.T) {
				p := h.Browser().Get(beside(row.client, "request_uri", row.uri))
				if answer(p) != row.want {
					t.Fatalf("want %s, got %d %v", row.want, p.Status, p.Left)
				}
				if want := map[bool]string{true: "inside", false: "outside"}[row.want == "login_required"]; p.Left.Query().Get("state") != want {
					t.Errorf("the answer is %s", p.Left)
				}
			})
		}
		// What has changed at the address counts at once.
		body.Store(sign(t, key, jws.SignOptions{}, asked(h, c, map[string]any{"state": "changed"})))
		if p := h.Browser().Get(beside(c, "request_uri", site.URL+"/jwt")); p.Left == nil || p.Left.Query().Get("state") != "changed" {
			t.Errorf("after a change: %d %v", p.Status, p.Left)
		}
	})
}

// TestRegisterRequestObjects: OpenID Connect Dynamic Client Registration §2, RFC
// 9101 §10.5; and what discovery says of it.
func TestRegisterRequestObjects(t *testing.T) {
	h := servertest.Start(t)
	keys := published(t, newKey(t, jwa.ES256))
	for _, row := range []struct {
		name   string
		change func(*model.ClientSettings)
		ok     bool
	}{
		{"https", func(s *model.ClientSettings) { s.RequestURIs = []string{"https://app.example/r.jwt#hash"} }, true},
		{"http on loopback", func(s *model.ClientSettings) { s.RequestURIs = []string{"http://localhost:8081/r"} }, true},
		{"required, with keys", func(s *model.ClientSettings) { s.RequireRequestObject, s.JWKS = true, keys }, true},
		{"an algorithm", func(s *model.ClientSettings) { s.RequestObjectAlgorithm = "RS256" }, true},
		{"http", func(s *model.ClientSettings) { s.RequestURIs = []string{"http://app.example/r"} }, false},
		{"a urn", func(s *model.ClientSettings) { s.RequestURIs = []string{"urn:x:y"} }, false},
		{"a user name", func(s *model.ClientSettings) { s.RequestURIs = []string{"https://trusted@evil.example/"} }, false},
		{"a backslash", func(s *model.ClientSettings) { s.RequestURIs = []string{`https://a.example\@evil.example/`} }, false},
		{"no host", func(s *model.ClientSettings) { s.RequestURIs = []string{"https:///r"} }, false},
		{"too long", func(s *model.ClientSettings) {
			s.RequestURIs = []string{"https://a.example/" + strings.Repeat("x", 512)}
		}, false},
		{"required, without keys", func(s *model.ClientSettings) { s.RequireRequestObject = true }, false},
		{"none", func(s *model.ClientSettings) { s.RequestObjectAlgorithm = "none" }, false},
		{"a secret's algorithm", func(s *model.ClientSettings) { s.RequestObjectAlgorithm = "HS256" }, false},
	} {
		s := web
		row.change(&s)
		if _, _, err := h.Registrar.CreateClient(t.Context(), servertest.Operator, s, ""); (err == nil) != row.ok {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	a := get(t, h.Issuer+"/.well-known/openid-configuration")
	for _, name := range []string{"request_parameter_supported", "request_uri_parameter_supported", "require_request_uri_registration"} {
		if a.JSON[name] != true {
			t.Errorf("%s is %v", name, a.JSON[name])
		}
	}
	// What is advertised works.
	list, _ := a.JSON["request_object_signing_alg_values_supported"].([]any)
	if len(list) != 10 {
		t.Errorf("algorithms: %v", list)
	}
	for i, alg := range list {
		name := jwa.Algorithm(alg.(string))
		key := newKey(t, name)
		c := requestSigner(t, h, fmt.Sprintf("c%d", i), key, func(s *model.ClientSettings) { s.RequestObjectAlgorithm = string(name) })
		if p := h.Browser().Get(beside(c, "request", sign(t, key, jws.SignOptions{}, asked(h, c, nil)))); answer(p) != "login_required" {
			t.Errorf("%s: %d %v", name, p.Status, p.Left)
		}
	}
}

// trap is an internal server that must not be reached.
type trap struct {
	*httptest.Server
	reached atomic.Int32
}

func newTrap(t *testing.T, text func() string) *trap {
	t.Helper()
	s := &trap{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/jwt")
		fmt.Fprint(w, text())
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.reached.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// TestOutgoingInternal: attack O30. A server on the public Internet does not go to
// an internal address that a client has registered, by whatever name; its twin,
// which is allowed to, does.
func TestOutgoingInternal(t *testing.T) {
	key := newKey(t, jwa.ES256)
	object := ""
	inner := newTrap(t, func() string { return object })
	_, port, _ := net.SplitHostPort(inner.Listener.Addr().String())
	roots := x509.NewCertPool()
	roots.AddCert(inner.Certificate())
	addresses := []string{
		inner.URL, "https://localhost:" + port, "https://[::ffff:127.0.0.1]:" + port, "https://x.localhost:" + port, "https://[::1]:" + port,
		"https://169.254.169.254", "https://10.0.0.1", "https://0.0.0.0:" + port,
	}
	ask := func(t *testing.T, h *servertest.House, path string) string {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, "http://"+h.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(req) // follows nothing
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		to, err := url.Parse(res.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		return to.Query().Get("error") + " " + to.Query().Get("error_description")
	}
	public := func(c *server.Config) { c.Issuer, c.OutgoingRoots = "https://login.example.com", roots }
	t.Run("refused", func(t *testing.T) {
		h := servertest.Start(t, public)
		c := requestSigner(t, h, "shop", key, func(s *model.ClientSettings) { s.RequestURIs = addresses })
		object = sign(t, key, jws.SignOptions{}, asked(h, c, nil))
		seen := map[string]bool{}
		for i, address := range addresses {
			got := ask(t, h, beside(c, "request_uri", address))
			if !strings.HasPrefix(got, "invalid_request_uri ") {
				t.Errorf("request_uri %s: %s", address, got)
			}
			seen[got] = true
			s := by(model.AuthPrivateKey)
			s.JWKSURI = address
			id := fmt.Sprintf("robot%d", i)
			h.Client(id, s)
			there := *h
			there.Issuer = "http://" + h.Addr().String()
			if a := prove(&there, "/token", sign(t, key, jws.SignOptions{}, proof(h, id, nil))); a.Status != 401 {
				t.Errorf("jwks_uri %s: %d %s", address, a.Status, a.Text)
			}
		}
		if len(seen) != 1 {
			t.Errorf("the answers tell the addresses apart: %v", seen)
		}
		if n := inner.reached.Load(); n != 0 {
			t.Errorf("the internal server was reached %d times", n)
		}
	})
	t.Run("allowed", func(t *testing.T) {
		h := servertest.Start(t, public, func(c *server.Config) { c.OutgoingAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
		c := requestSigner(t, h, "shop", key, func(s *model.ClientSettings) { s.RequestURIs = []string{inner.URL} })
		object = sign(t, key, jws.SignOptions{}, asked(h, c, nil))
		if got := ask(t, h, beside(c, "request_uri", inner.URL)); !strings.HasPrefix(got, "login_required ") {
			t.Errorf("%s", got)
		}
	})
}

// TestOutgoingHostile: attack O30. A server that a client names redirects to another
// one, sends without end, or hardly sends at all.
func TestOutgoingHostile(t *testing.T) {
	h := servertest.Start(t)
	key := newKey(t, jwa.ES256)
	inner := newTrap(t, func() string { return "" })
	mux := http.NewServeMux()
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	paths := []string{"/redirect", "/loop", "/huge", "/slow", "/good", "/inside"}
	c := requestSigner(t, h, "shop", key, func(s *model.ClientSettings) {
		for _, path := range paths {
			s.RequestURIs = append(s.RequestURIs, site.URL+path)
		}
	})
	object := sign(t, key, jws.SignOptions{}, asked(h, c, nil))
	jwks := string(published(t, key))
	body := func(r *http.Request) string { // the same site serves both kinds
		if strings.Contains(r.Header.Get("Accept"), "jwk-set") {
			return jwks
		}
		return object
	}
	mux.Handle("/redirect", http.RedirectHandler(inner.URL, http.StatusFound))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.Handle("/inside", http.RedirectHandler("/good", http.StatusFound))
	mux.HandleFunc("/good", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/jwt")
		fmt.Fprint(w, body(r))
	})
	mux.HandleFunc("/huge", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/jwt")
		chunk := []byte(strings.Repeat("x", 1<<20))
		for range 1 << 10 { // a gigabyte, if somebody reads it
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/jwt")
		for {
			if _, err := w.Write([]byte("x")); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			ok := path == "/good" || path == "/inside"
			start := time.Now()
			p := h.Browser().Get(beside(c, "request_uri", site.URL+path))
			if want := map[bool]string{true: "login_required", false: "invalid_request_uri"}[ok]; answer(p) != want {
				t.Errorf("want %s, got %d %v", want, p.Status, p.Left)
			}
			s := by(model.AuthPrivateKey)
			s.JWKSURI = site.URL + path
			h.Client("robot"+path[1:], s)
			a := prove(h, "/token", sign(t, key, jws.SignOptions{}, proof(h, "robot"+path[1:], nil)))
			if (a.Status == 200) != ok || !ok && a.Status != 401 {
				t.Errorf("as jwks_uri: %d %s", a.Status, a.Text)
			}
			if took := time.Since(start); took > 15*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	t.Cleanup(func() {
		if n := inner.reached.Load(); n != 0 {
			t.Errorf("the internal server was reached %d times", n)
		}
	})
}
