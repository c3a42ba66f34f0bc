package upstream_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/upstream"
)

const forge = `"authorization_endpoint":"https://forge.example/oauth/authorize?tenant=1","token_endpoint":"https://forge.example/oauth/token",
	"userinfo_endpoint":"https://forge.example/api/me?v=2","client_id":"client:1/ä"`

// TestOAuth2: a provider of which everything is said: RFC 6749 §4.1, RFC 7636, RFC 9207.
func TestOAuth2(t *testing.T) {
	w := newWorld(t)
	v := w.open("oauth2", `{`+forge+`,"subject":"user.uuid","scopes":["account","email"],"parameters":{"audience":"a b","prompt":"consent"},
		"headers":{"x-api-version":"7"},"requests":[{"name":"mails","url":"https://forge.example/api/mails?pagelen=50"}],
		"claims":{"email":"mails.values[is_primary=true][is_confirmed=true].email","email_verified":"mails.values[is_primary=true].is_confirmed",
		"name":"user.display","groups":"user.teams","first":"user.teams.0","none":"user.nothing.here"}}`, map[string]model.Secret{"client_secret": someKey})
	u, _ := begin(t, v, upstream.Wish{LoginHint: "ada", Prompt: []string{"login"}})
	if u.Host+u.Path != "forge.example/oauth/authorize" {
		t.Errorf("the browser goes to %s", u)
	}
	parameters(t, "authorization request", u.Query(), request{
		"tenant": "1", "response_type": "code", "client_id": someID, "redirect_uri": callback, "scope": "account email", "state": oneState,
		"code_challenge": "*", "code_challenge_method": "S256", "audience": "a b", "prompt": "consent",
	})
	check := func(r *http.Request, form url.Values) {
		parameters(t, "token request", form, request{"grant_type": "authorization_code", "code": "the-code", "redirect_uri": callback, "code_verifier": "*"})
		// RFC 6749 §2.3.1 and appendix B.
		if id, secret, ok := r.BasicAuth(); !ok || id != url.QueryEscape(someID) || secret != url.QueryEscape(someKey) {
			t.Errorf("Basic %q %q", id, secret)
		}
	}
	const granted = `{"access_token":"at","token_type":"BEARER","refresh_token":"rt"}`
	header := map[string]string{"Authorization": "Bearer at", "X-Api-Version": "7"}
	w.api("forge.example/api/me", "v=2", header, 200, `{"user":{"uuid":9007199254740993,"display":"Ada","teams":["a","b"]},"iss":"https://evil.example","sub":"boss","acr":"9","email_verified":true}`)
	w.api("forge.example/api/mails", "pagelen=50", header, 200, `{"values":[{"email":"old@a.example","is_primary":false,"is_confirmed":true},{"email":"ada@a.example","is_primary":true,"is_confirmed":true}]}`)
	p, err := w.granted(v, "forge.example/oauth/token", granted, check)
	if err != nil {
		t.Fatal(err)
	}
	// 2^53 + 1: a number that a float would change into its neighbour's.
	if p.Subject != "9007199254740993" || p.Issuer != "https://forge.example" || p.ACR != "" || p.Tokens.Refresh != "rt" || p.Tokens.Scope != "account email" {
		t.Errorf("%+v", p)
	}
	delete(p.Claims, "mails")
	delete(p.Claims, "user")
	want := map[string]any{
		"iss": "https://forge.example", "sub": "9007199254740993", "name": "Ada", "groups": []any{"a", "b"}, "first": "a",
		"email": "ada@a.example", "email_verified": true,
	}
	if d := cmp.Diff(want, p.Claims); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	w.api("forge.example/api/mails", "pagelen=50", header, 200, `{"values":[{"email":"ada@a.example","is_primary":true,"is_confirmed":false}]}`)
	if p, err = w.granted(v, "forge.example/oauth/token", granted, check); err != nil || p.Claims["email"] != nil || p.Claims["email_verified"] != nil {
		t.Errorf("an address that is not confirmed: %v %v", p.Claims, err)
	}
	w.api("forge.example/api/mails", "pagelen=50", header, 500, `oh`)
	_, err = w.granted(v, "forge.example/oauth/token", granted, check)
	refused(t, "half of the answers", err, upstream.Unavailable, "answers 500")
	for name, answer := range map[string]string{
		"no JSON": `uuid=1`, "a member twice": `{"user":{"uuid":"a"},"user":{"uuid":"b"}}`, "nested": `{"user":{"uuid":"a"},"x":` + nested(8) + `}`, "a list": `[{"uuid":1}]`,
		"cut off": `{"user":{"uuid":"a"`, "two": `{"user":{"uuid":"a"}}{}`,
	} {
		w.api("forge.example/api/me", "v=2", header, 200, answer)
		_, err = w.granted(v, "forge.example/oauth/token", granted, check)
		refused(t, name, err, upstream.Unavailable, "forge.example")
	}
	w.api("forge.example/api/me", "v=2", header, 200, `{"user":{"uuid":"a"},"more":"`+strings.Repeat("x", 65<<10)+`"}`)
	w.api("forge.example/api/mails", "pagelen=50", header, 200, `{}`)
	_, err = w.granted(v, "forge.example/oauth/token", granted, check)
	refused(t, "more than 64 KiB of one person", err, upstream.Untrusted, "64 KiB") // which is no reason to shut the provider out
	for name, answer := range map[string]string{
		"no access token": `{"token_type":"bearer"}`, "a token of another type": `{"access_token":"at","token_type":"DPoP"}`, "no type": `{"access_token":"at"}`, "no JSON": `access_token=at&token_type=bearer`,
	} {
		_, err = w.granted(v, "forge.example/oauth/token", answer, check)
		refused(t, name, err, upstream.Unavailable, "")
	}
}

// TestOAuth2Issuer: RFC 9207 §2.4. A provider that names itself must be the one that was
// asked, and one that always does must do it.
func TestOAuth2Issuer(t *testing.T) {
	w := newWorld(t)
	w.api("forge.example/api/me", "v=2", nil, 200, `{"id":"1"}`)
	for _, row := range []struct {
		name, sends string
		iss         []string
		ok          bool
	}{
		{"named", "true", []string{"https://forge.example"}, true},
		{"not named, and never is", "false", nil, true},
		{"named, though it need not", "false", []string{"https://forge.example"}, true},
		{"another one", "true", []string{"https://evil.example"}, false},
		{"another one, where it need not", "false", []string{"https://evil.example"}, false},
		{"not named, where it must", "true", nil, false},
		{"empty", "true", []string{""}, false},
		{"twice", "true", []string{"https://forge.example", "https://forge.example"}, false},
	} {
		v := w.open("oauth2", `{`+forge+`,"subject":"id","issuer":"https://forge.example","authorization_response_iss_parameter_supported":`+row.sends+`}`, nil)
		before := w.count("POST forge.example/oauth/token")
		_, kept := begin(t, v, upstream.Wish{})
		w.on("POST forge.example/oauth/token", func(rw http.ResponseWriter, r *http.Request) {
			write(rw, 200, `{"access_token":"at","token_type":"bearer"}`)
		})
		a := back("GET", "code", "the-code", "state", oneState)
		if row.iss != nil {
			a.Values["iss"] = row.iss
		}
		_, err := v.Finish(t.Context(), kept, a)
		if row.ok {
			if err != nil {
				t.Errorf("%s: %v", row.name, err)
			}
			continue
		}
		refused(t, row.name, err, upstream.Untrusted, "")
		// The code of a mix-up is shown to nobody.
		if w.count("POST forge.example/oauth/token") != before {
			t.Errorf("%s: the code was sent", row.name)
		}
	}
}

// TestConnections: each fault beside the connection without it.
func TestConnections(t *testing.T) {
	w := newWorld(t)
	secret := map[string]model.Secret{"client_secret": someKey}
	key := map[string]model.Secret{"private_key": pemOf(t, ecKey(t, "k"))}
	both := map[string]model.Secret{"client_secret": someKey, "private_key": key["private_key"]}
	const oidc, apple = `"issuer":"https://op.example","client_id":"a"`, `"client_id":"a","team_id":"TEAM123456","key_id":"ABC123DEFG"`
	for _, row := range []struct {
		kind, connection string
		secrets          map[string]model.Secret
		fault            string // the member; "" for none
	}{
		{"oidc", `{` + oidc + `}`, secret, ""},
		{"oidc", `{` + oidc + `}`, nil, ""},
		{"oidc", `{` + oidc + `}`, key, ""},
		{"oidc", `{` + oidc + `,"token_endpoint_auth_method":"client_secret_jwt"}`, secret, ""},
		{"oidc", `{` + oidc + `,"token_endpoint_auth_method":"client_secret_jwt"}`, map[string]model.Secret{"client_secret": "short"}, "connection"},
		{"oidc", `{` + oidc + `,"token_endpoint_auth_method":"client_secret_post"}`, nil, "client_secret"},
		{"oidc", `{` + oidc + `,"token_endpoint_auth_method":"private_key_jwt"}`, secret, "private_key"},
		{"oidc", `{` + oidc + `,"token_endpoint_auth_method":"none"}`, secret, "connection"},
		{"oidc", `{` + oidc + `,"token_endpoint_auth_method":"tls_client_auth"}`, secret, "connection"},
		{"oidc", `{` + oidc + `}`, both, "private_key"},
		{"oidc", `{` + oidc + `}`, map[string]model.Secret{"private_key": "-----BEGIN PRIVATE KEY-----\nMII"}, "private_key"},
		{"oidc", `{` + oidc + `,"response_mode":"form_post"}`, secret, ""},
		{"oidc", `{` + oidc + `,"response_mode":"fragment"}`, secret, "response_mode"},
		{"oidc", `{` + oidc + `,"scopes":["openid"]}`, secret, ""},
		{"oidc", `{` + oidc + `,"scopes":["profile"]}`, secret, "scopes"},
		{"oidc", `{` + oidc + `,"id_token_signed_response_alg":"ES256"}`, secret, ""},
		{"oidc", `{` + oidc + `,"id_token_signed_response_alg":"none"}`, secret, "connection"},
		{"oidc", `{` + oidc + `,"id_token_signed_response_alg":"HS256"}`, secret, "connection"},
		{"oidc", `{` + oidc + `,"userinfo_signed_response_alg":"HS256"}`, secret, "connection"},
		{"oidc", `{` + oidc + `,"parameters":{"resource":"x"}}`, secret, ""},
		{"oidc", `{` + oidc + `,"parameters":{"response_type":"token"}}`, secret, "parameters"},
		{"oidc", `{` + oidc + `,"parameters":{"nonce":"1"}}`, secret, "parameters"},
		{"oidc", `{` + oidc + `,"parameters":{"prompt":"none"}}`, secret, "parameters"},
		{"oidc", `{` + oidc + `,"isuer":"https://op.example"}`, secret, "connection"},
		{"oidc", `{"issuer":"http://op.example","client_id":"a"}`, secret, "connection"},
		{"oidc", `{"issuer":"https://op.example/?a=1","client_id":"a"}`, secret, "connection"},
		{"oidc", `{"issuer":"https://op.example/{tenantid}","client_id":"a"}`, secret, "connection"},
		{"oidc", `{"issuer":"https://op.example"}`, secret, "client_id"},
		{"oidc", `{"client_id":"a"}`, secret, "issuer"},
		{"oidc", `[]`, secret, "connection"},

		{"oauth2", `{` + forge + `,"subject":"id"}`, secret, ""},
		{"oauth2", `{` + forge + `}`, secret, "subject"},
		{"oauth2", `{` + forge + `,"subject":"a..b"}`, secret, "subject"},
		{"oauth2", `{` + forge + `,"subject":"a[b].c"}`, secret, "subject"},
		{"oauth2", `{` + forge + `,"subject":"a[b=c]d"}`, secret, "subject"},
		{"oauth2", `{` + forge + `,"subject":"a[b=c"}`, secret, "subject"},
		{"oauth2", `{` + forge + `,"subject":"id","scopes":["openid"]}`, secret, "scopes"},
		{"oauth2", `{` + forge + `,"subject":"id","claims":{"sub":"x"}}`, secret, "claims"},
		{"oauth2", `{` + forge + `,"subject":"id","claims":{"a":""}}`, secret, "claims"},
		{"oauth2", `{` + forge + `,"subject":"id","headers":{"authorization":"x"}}`, secret, "headers"},
		{"oauth2", `{` + forge + `,"subject":"id","headers":{"X-A":"x\r\nHost: b"}}`, secret, "headers"},
		{"oauth2", `{` + forge + `,"subject":"id","requests":[{"name":"a.b","url":"https://forge.example/"}]}`, secret, "requests"},
		{"oauth2", `{` + forge + `,"subject":"id","requests":[{"name":"sub","url":"https://forge.example/"}]}`, secret, "requests"},
		{"oauth2", `{` + forge + `,"subject":"id","requests":[{"name":"a","url":"http://forge.example/"}]}`, secret, "requests"},
		{"oauth2", strings.Replace(`{`+forge+`,"subject":"id"}`, "https://forge.example/api", "http://forge.example/api", 1), secret, "userinfo_endpoint"},
		{"oauth2", strings.Replace(`{`+forge+`,"subject":"id"}`, "https://forge.example/oauth/token", "http://forge.example/oauth/token", 1), secret, "connection"},

		{"google", `{"client_id":"a"}`, secret, ""},
		{"google", `{"client_id":"a"}`, nil, "client_secret"},
		{"github", `{"client_id":"a"}`, secret, ""},
		{"github", `{"client_id":"a","server":"https://git.example/path"}`, secret, "server"},
		{"github", `{"client_id":"a"}`, nil, "client_secret"},
		{"microsoft", `{"client_id":"a","tenant":"common"}`, secret, ""},
		{"microsoft", `{"client_id":"a"}`, secret, "tenant"},
		{"microsoft", `{"client_id":"a","tenant":"contoso.onmicrosoft.com"}`, secret, "tenant"},
		{"microsoft", `{"client_id":"a","tenant":"common","tenants":["contoso"]}`, secret, "tenants"},
		{"microsoft", `{"client_id":"a","tenant":"` + tenant + `","tenants":["` + tenant + `"]}`, secret, "tenants"},
		{"apple", `{` + apple + `}`, key, ""},
		{"apple", `{` + apple + `}`, secret, "private_key"},
		{"apple", `{"client_id":"a","team_id":"x","key_id":"ABC123DEFG"}`, key, "team_id"},
		{"apple", `{` + apple + `}`, map[string]model.Secret{"private_key": pemOf(t, rsaKeys()[0])}, "private_key"},
		{"facebook", `{"client_id":"a"}`, secret, ""},
		{"facebook", `{"client_id":"a"}`, nil, "client_secret"},
		{"microsoft", `{"client_id":"a","tenant":"common"}`, nil, "client_secret"},
		{"x", `{"client_id":"a"}`, nil, ""},
		{"myspace", `{}`, nil, "kind"},
	} {
		_, err := upstream.Open(w.config(row.kind, row.connection, row.secrets))
		invalid, _ := err.(upstream.ErrInvalid)
		if invalid.Member != row.fault || (err == nil) != (row.fault == "") {
			t.Errorf("%s %s: %v; want a fault of %q", row.kind, row.connection, err, row.fault)
		}
		if err != nil && (strings.Contains(err.Error(), someKey) || strings.Contains(err.Error(), "MII")) {
			t.Errorf("%s: the error tells a secret: %v", row.kind, err)
		}
	}
	for _, kind := range []string{"oidc", "oauth2", "google", "github", "microsoft", "apple", "facebook", "x"} {
		if len(upstream.Secrets(kind)) == 0 {
			t.Errorf("%s has no secrets", kind)
		}
	}
}
