package client_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// TestTenants: a server with an issuer for each tenant, and one set of keys for all of
// them. The first row is the good twin.
func TestTenants(t *testing.T) {
	const tenant, other = "72f988bf-86f1", "9188040d-6c67"
	for _, row := range []struct {
		name     string
		tid      any
		issuer   string // %s is the server's address
		key      string // whose tokens the key signs; "" for anybody's
		response string // "iss" of the authorization response
		good     bool
	}{
		{"a tenant", tenant, "%s/" + tenant + "/v2.0", "", "", true},
		{"a tenant, and a key for all", tenant, "%s/" + tenant + "/v2.0", "%s/{tenantid}/v2.0", "%s/{tenantid}/v2.0", true},
		{"a tenant, and its key", tenant, "%s/" + tenant + "/v2.0", "%s/" + tenant + "/v2.0", "%s/" + tenant + "/v2.0", true},
		{"a key of another tenant", tenant, "%s/" + tenant + "/v2.0", "%s/" + other + "/v2.0", "", false},
		{"a tenant that is not welcome", other, "%s/" + other + "/v2.0", "", "", false},
		{"an issuer of another tenant", tenant, "%s/" + other + "/v2.0", "", "", false},
		{"no tenant", nil, "%s/" + tenant + "/v2.0", "", "", false},
		{"a tenant that is no text", 7, "%s/7/v2.0", "", "", false},
		{"a tenant that is a path", "..", "%s/../v2.0", "", "", false},
		{"the place of a tenant", "{tenantid}", "%s/{tenantid}/v2.0", "", "", false},
		{"another server", tenant, "https://evil.example/" + tenant + "/v2.0", "", "", false},
		{"another server's response", tenant, "%s/" + tenant + "/v2.0", "", "https://evil.example/" + tenant + "/v2.0", false},
	} {
		f := newFake(t)
		here := func(s string) string { return strings.Replace(s, "%s", f.URL, 1) }
		f.metadata = func(m map[string]any) {
			m["issuer"] = f.URL + "/{tenantid}/v2.0"
			m["authorization_response_iss_parameter_supported"] = row.response != ""
		}
		f.response = func(v url.Values) {
			if v.Del("iss"); row.response != "" {
				v.Set("iss", here(row.response))
			}
		}
		f.claims = func(c map[string]any) { c["iss"], c["tid"] = here(row.issuer), row.tid }
		f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/jwks" || row.key == "" {
				return false
			}
			text, err := json.Marshal(f.key)
			if err != nil {
				t.Error(err)
			}
			writeJSON(w, 200, json.RawMessage(`{"keys":[`+strings.TrimSuffix(string(text), "}")+`,"issuer":"`+here(row.key)+`"}]}`))
			return true
		}
		c := newClient(t, f, func(c *client.Config) {
			c.Issuer, c.Discovery = f.URL+"/{tenantid}/v2.0", f.URL+"/.well-known/openid-configuration"
			c.Tenants = func(named string) bool { return named == tenant }
		})
		_, id, err := signIn(t, c, client.AuthOptions{})
		if row.good != (err == nil) || row.good && id.Issuer != here(row.issuer) || !row.good && id.Subject != "" {
			t.Errorf("%s: %+v, %v", row.name, id, err)
		}
	}
}

// TestGivenMetadata: a server that publishes nothing is asked for nothing.
func TestGivenMetadata(t *testing.T) {
	f := newFake(t)
	given := client.Metadata{AuthorizationEndpoint: f.URL + "/authorize?tenant=1", TokenEndpoint: f.URL + "/token", JWKSURI: f.URL + "/jwks", UserinfoEndpoint: f.URL + "/userinfo"}
	c := newClient(t, f, func(c *client.Config) { c.Metadata = &given })
	if _, id, err := signIn(t, c, client.AuthOptions{State: "a-state-of-somebody-who-keeps-it"}); err != nil || id.Subject != fakePerson {
		t.Errorf("%+v, %v", id, err)
	}
	if f.last.Get("state") != "a-state-of-somebody-who-keeps-it" || f.count("/.well-known/openid-configuration") != 0 {
		t.Errorf("asked with %v", f.last)
	}
	if err := c.Probe(t.Context()); err != nil {
		t.Errorf("probe: %v", err)
	}
	keyless := given
	keyless.JWKSURI = ""
	c = newClient(t, f, func(c *client.Config) { c.Metadata, c.Scopes = &keyless, nil })
	if err := c.Probe(t.Context()); err != nil {
		t.Errorf("probe without keys: %v", err)
	}
	if _, err := c.Notice(t.Context(), "a.b.c"); !errors.Is(err, client.ErrNotice) {
		t.Errorf("a notice without keys: %v", err)
	}
	f.set(func() { f.down = true })
	if err := c.Probe(t.Context()); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("a probe of a server that is down: %v", err)
	}
	for name, bad := range map[string]client.Metadata{
		"no keys for ID tokens": keyless, "no token_endpoint": {AuthorizationEndpoint: f.URL, JWKSURI: f.URL}, "another issuer": {Issuer: "https://evil.example"},
		"http elsewhere": {AuthorizationEndpoint: f.URL, TokenEndpoint: "http://evil.example", JWKSURI: f.URL},
	} {
		if _, err := client.New(client.Config{Issuer: f.URL, ClientID: "a", RedirectURI: callback, Scopes: []string{"openid"}, Metadata: &bad}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestSecrets: a secret that is made for each request, and one that signs (OpenID Connect
// Core §9, RFC 7518 §3.2).
func TestSecrets(t *testing.T) {
	f := newFake(t)
	var posted []url.Values
	f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/token" {
			r.ParseForm()
			posted = append(posted, r.PostForm)
		}
		return false
	}
	made := 0
	fresh := newClient(t, f, func(c *client.Config) {
		c.ClientSecret, c.AuthMethod, c.NewSecret = "", client.AuthPost, func() (string, error) { made++; return fakeSecret, nil }
	})
	mustSignIn(t, fresh)
	mustSignIn(t, fresh)
	if made != 2 || posted[1].Get("client_secret") != fakeSecret {
		t.Errorf("%d secrets were made", made)
	}
	broken := newClient(t, f, func(c *client.Config) {
		c.ClientSecret, c.NewSecret = "", func() (string, error) { return "", errors.New("no key") }
	})
	if _, _, err := signIn(t, broken, client.AuthOptions{}); err == nil || len(posted) != 2 {
		t.Errorf("without a secret: %v, %d requests", err, len(posted))
	}
	long := strings.Repeat("0123456789abcdef", 2)
	for _, audience := range []string{"", f.URL + "/token"} {
		signs := newClient(t, f, func(c *client.Config) {
			c.ClientSecret, c.AuthMethod, c.AssertionAudience = long, client.AuthSecretJWT, audience
		})
		signIn(t, signs, client.AuthOptions{}) // which this server does not know
		key, err := jwk.New([]byte(long), jwk.Params{Algorithm: "HS256"})
		if err != nil {
			t.Fatal(err)
		}
		form := posted[len(posted)-1]
		want := audience
		if want == "" {
			want = f.URL
		}
		_, err = jwt.Verify[map[string]any](t.Context(), form.Get("client_assertion"), key, jwt.VerifyOptions{
			Issuers: []string{fakeID}, Subject: fakeID, Audiences: []string{want}, Required: []string{"jti", "iat"}, Now: f.clock.Now,
		})
		if err != nil || form.Has("client_secret") || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			t.Errorf("%v: %v", form, err)
		}
	}
}

// TestSignedUserinfo: OpenID Connect Core §5.3.2.
func TestSignedUserinfo(t *testing.T) {
	f := newFake(t)
	signed := newClient(t, f, func(c *client.Config) { c.UserinfoAlgorithm = "PS256" })
	tokens := mustSignIn(t, signed)
	for _, row := range []struct {
		name, kind string
		claims     map[string]any
		o          jwt.SignOptions
		want       error
	}{
		{"signed", "application/jwt", map[string]any{"iss": f.URL, "aud": fakeID, "sub": fakePerson}, jwt.SignOptions{Algorithm: "PS256"}, nil},
		{"by another algorithm", "application/jwt", map[string]any{"iss": f.URL, "aud": fakeID, "sub": fakePerson}, jwt.SignOptions{Algorithm: "RS256"}, client.ErrIdentity},
		{"for another", "application/jwt", map[string]any{"iss": f.URL, "aud": "other", "sub": fakePerson}, jwt.SignOptions{Algorithm: "PS256"}, client.ErrIdentity},
		{"by another", "application/jwt", map[string]any{"iss": "https://evil.example", "aud": fakeID, "sub": fakePerson}, jwt.SignOptions{Algorithm: "PS256"}, client.ErrIdentity},
		{"of another", "application/jwt", map[string]any{"iss": f.URL, "aud": fakeID, "sub": "other"}, jwt.SignOptions{Algorithm: "PS256"}, client.ErrIdentity},
		{"not signed", "application/json", nil, jwt.SignOptions{}, client.ErrIdentity},
	} {
		f.set(func() {
			f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/userinfo" {
					return false
				}
				w.Header().Set("Content-Type", row.kind)
				if row.claims == nil {
					w.Write([]byte(`{"sub":"` + fakePerson + `"}`))
					return true
				}
				token, err := jwt.Sign(row.claims, f.key, row.o)
				if err != nil {
					t.Error(err)
				}
				w.Write([]byte(token))
				return true
			}
		})
		p, err := signed.Userinfo(t.Context(), tokens, fakePerson)
		if !errors.Is(err, row.want) || (row.want == nil) != (p.Subject == fakePerson) {
			t.Errorf("%s: %+v, %v", row.name, p, err)
		}
	}
}

// TestVerifiedAsText: some servers write it so, and none of them means anything else by
// another text.
func TestVerifiedAsText(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f)
	tokens := mustSignIn(t, c)
	for _, row := range []struct {
		value      any
		want, good bool
	}{{true, true, true}, {"true", true, true}, {false, false, true}, {"false", false, true}, {nil, false, true}, {"yes", false, false}, {1, false, false}} {
		f.set(func() { f.userinfo = func(c map[string]any) { c["email_verified"] = row.value } })
		if p, err := c.Userinfo(t.Context(), tokens, fakePerson); p.EmailVerified != row.want || row.good != (err == nil) {
			t.Errorf("%v: %v, %v", row.value, p.EmailVerified, err)
		}
	}
}
