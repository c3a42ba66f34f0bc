package server_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
)

// flowModules are the modules that walk a flow and look at what comes of it.
var flowModules = []module{
	{name: "server", types: registration.ResponseTypes, run: func(t *testing.T, p *party) {
		p.state = strings.Repeat("0123456789abcdef", 8) // 128 characters
		o := p.read(t, p.ask(t))
		at, now := time.Unix(o.number("iat"), 0), p.h.Clock.Now()
		if sub, _ := o.idToken["sub"].(string); sub == "" || len(sub) > 255 || o.idToken["nonce"] != "the-nonce" { // OpenID Connect Core §2
			t.Errorf("%v", o.idToken)
		}
		if at.After(now) || now.Sub(at) > 5*time.Minute {
			t.Errorf("iat %v, now %v", at, now)
		}
	}},
	{name: "idtoken-signature", types: registration.ResponseTypes, run: accepted()}, // verified, RS256 and "kid" included
	{name: "idtoken-rs256", types: registration.ResponseTypes, dynamic: true, also: meta{"id_token_signed_response_alg": "RS256"}, run: accepted()},
	{name: "idtoken-unsigned", types: []string{"code", "code token"}, dynamic: true, run: func(t *testing.T, p *party) {
		notOffered(t, p.h, "id_token_signing_alg_values_supported")
		refused(t, register(t, p.h, p.metadata(meta{"id_token_signed_response_alg": "none"})), 400, "invalid_client_metadata")
	}},
	{name: "userinfo-get", types: accessTypes, run: userInfoBy(http.MethodGet, true)},
	{name: "userinfo-post-header", types: accessTypes, run: userInfoBy(http.MethodPost, true)},
	{name: "userinfo-post-body", types: accessTypes, run: userInfoBy(http.MethodPost, false)},
	{name: "userinfo-rs256", types: accessTypes, dynamic: true, also: meta{"userinfo_signed_response_alg": "RS256"}, run: func(t *testing.T, p *party) {
		o := p.read(t, p.ask(t)) // iss and aud are verified there
		kind := info(t, p.h, o.access).Header.Get("Content-Type")
		if _, told := o.userInfo["nonce"]; told || kind != "application/jwt" {
			t.Errorf("%s: %v", kind, o.userInfo)
		}
		if !slices.Contains(offeredIn(t, p.h, "userinfo_signing_alg_values_supported"), "RS256") {
			t.Error("RS256 is not offered")
		}
	}},
	{name: "scope-profile", types: registration.ResponseTypes, run: scoped("profile")},
	{name: "scope-email", types: registration.ResponseTypes, run: scoped("email")},
	{name: "scope-address", types: registration.ResponseTypes, run: scoped("address")},
	{name: "scope-phone", types: registration.ResponseTypes, run: scoped("phone")},
	{name: "scope-all", types: registration.ResponseTypes, run: scoped("profile", "email", "address", "phone")},
	{name: "codereuse", types: codeTypes, run: reused(0)},
	{name: "codereuse-30seconds", types: codeTypes, run: reused(30 * time.Second)},
	{name: "ensure-registered-redirect-uri", types: registration.ResponseTypes, run: func(t *testing.T, p *party) {
		shown(t, p.b.Get(p.path("redirect_uri", p.c.RedirectURIs[0]+"/other")))
		accepted()(t, p)
	}},
	{name: "server-client-secret-post", types: codeTypes, also: meta{"token_endpoint_auth_method": "client_secret_post"}, run: func(t *testing.T, p *party) {
		p.read(t, p.ask(t))
		p.method = model.AuthBasic
		if a := p.redeem(t, p.ask(t)); a.String("error") != "invalid_client" {
			t.Errorf("by the other method: %d %s", a.Status, a.Text)
		}
	}},
	{name: "refresh-token", types: codeTypes, run: func(t *testing.T, p *party) {
		token := refreshed(t, p)
		other := enrolled(t, p.h, p.responseType, p.mode, nil)
		if a := other.renew(t, token); a.Status != 400 || a.String("error") != "invalid_grant" {
			t.Errorf("another client: %d %s", a.Status, a.Text)
		}
	}},
	{name: "ensure-request-with-valid-pkce-succeeds", types: codeTypes, run: func(t *testing.T, p *party) {
		p.pkce = true
		p.read(t, p.ask(t))
		v := p.ask(t)
		p.pkce = false // RFC 7636 §4.6
		if a := p.redeem(t, v); a.Status != 400 || a.String("error") != "invalid_grant" {
			t.Errorf("without the verifier: %d %s", a.Status, a.Text)
		}
	}},
	{name: "ensure-redirect-uri-in-authorization-request", types: registration.ResponseTypes, dynamic: true,
		also: meta{"redirect_uris": []string{"https://suite.example/a", "https://suite.example/b"}},
		run: func(t *testing.T, p *party) {
			shown(t, p.b.Get(p.path("redirect_uri", "")))
			accepted()(t, p)
		}},
	{name: "redirect-uri-query-OK", types: registration.ResponseTypes, dynamic: true, also: queried, run: accepted()},
	{name: "redirect-uri-query-mismatch", types: registration.ResponseTypes, dynamic: true, also: queried, run: func(t *testing.T, p *party) {
		shown(t, p.b.Get(p.path("redirect_uri", "https://suite.example/callback?bar=foo")))
	}},
	{name: "redirect-uri-query-added", types: registration.ResponseTypes, dynamic: true, run: func(t *testing.T, p *party) {
		shown(t, p.b.Get(p.path("redirect_uri", p.c.RedirectURIs[0]+"?foo=bar")))
		p.enrol(t, queried)
		shown(t, p.b.Get(p.path("redirect_uri", p.c.RedirectURIs[0]+"&bar=foo")))
	}},
	{name: "refresh-token-rp-key-rotation", types: codeTypes, dynamic: true, run: func(t *testing.T, p *party) {
		keys := serveKeys(t, suiteKey())
		p.keyed(t, suiteKey(), meta{"jwks_uri": keys.URL})
		token := refreshed(t, p)
		keys.publish(t, otherKey())
		p.h.Clock.Move(time.Minute)
		p.key = otherKey()
		if a := p.renew(t, token); a.Status != http.StatusOK {
			t.Errorf("the new key: %d %s", a.Status, a.Text)
		}
	}},
	{name: "ensure-client-assertion-with-iss-aud-succeeds", types: codeTypes, dynamic: true, run: func(t *testing.T, p *party) {
		p.keyed(t, suiteKey(), meta{"jwks": published(t, suiteKey())})
		p.read(t, p.ask(t)) // every assertion of the party has the issuer as its audience
	}},
	{name: "unsigned-request-object-supported-correctly-or-rejected-as-unsupported", types: registration.ResponseTypes, run: func(t *testing.T, p *party) {
		p.unsigned(t, func(token string) []string { return []string{"request", token} })
	}},
	{name: "request-uri-unsigned-supported-correctly-or-rejected-as-unsupported", types: registration.ResponseTypes, run: unsignedByReference},
	{name: "request-uri-unsigned", types: registration.ResponseTypes, dynamic: true, run: unsignedByReference},
	{name: "request-uri-signed-rs256", types: registration.ResponseTypes, dynamic: true, run: func(t *testing.T, p *party) {
		var object string
		site := serveObject(t, &object)
		p.enrol(t, meta{"request_uris": []string{site + "#the-hash"}, "jwks": published(t, suiteKey()), "request_object_signing_alg": "RS256"})
		object = sign(t, suiteKey(), jws.SignOptions{Algorithm: jwa.RS256}, p.object())
		p.read(t, p.answer(t, p.b.Get(p.beside("request_uri", site+"#the-hash"))))
		if !slices.Contains(offeredIn(t, p.h, "request_object_signing_alg_values_supported"), "RS256") {
			t.Error("RS256 is not offered")
		}
	}},
	{name: "ensure-request-object-with-redirect-uri", types: registration.ResponseTypes, run: func(t *testing.T, p *party) {
		p.enrol(t, meta{"jwks": published(t, suiteKey())})
		object := sign(t, suiteKey(), jws.SignOptions{Algorithm: jwa.RS256}, p.object())
		p.read(t, p.answer(t, p.b.Get(p.beside("redirect_uri", p.c.RedirectURIs[0]+"/other", "request", object))))
	}},
}

// TestConformanceFlows has a subtest for each module that walks a flow.
func TestConformanceFlows(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		runModules(t, h, flowModules)
	}, openRegistration)
}

// queried is registered with a query in the address.
var queried = meta{"redirect_uris": []string{"https://suite.example/callback?foo=bar"}}

// suiteKey and otherKey are RSA keys, which are slow to make.
var (
	suiteKey = sync.OnceValue(func() *jwk.Key { return mustGenerate(jwa.RS256) })
	otherKey = sync.OnceValue(func() *jwk.Key { return mustGenerate(jwa.RS256) })
)

func mustGenerate(alg jwa.Algorithm) *jwk.Key {
	key, err := jwk.Generate(alg)
	if err != nil {
		panic(err)
	}
	return key
}

// keyed registers the party anew, for private_key_jwt.
func (p *party) keyed(t *testing.T, key *jwk.Key, also meta) {
	t.Helper()
	p.key = key
	p.enrol(t, also.and("token_endpoint_auth_method", model.AuthPrivateKey))
}

// offeredIn is a list of the discovery document.
func offeredIn(t *testing.T, h *servertest.House, member string) (list []string) {
	t.Helper()
	var d map[string]any
	discover(t, h, &d)
	for _, v := range d[member].([]any) {
		list = append(list, v.(string))
	}
	return list
}

// notOffered: the suite skips the modules about the algorithm none where it is
// not offered; here it is held to that.
func notOffered(t *testing.T, h *servertest.House, member string) {
	t.Helper()
	if slices.Contains(offeredIn(t, h, member), "none") {
		t.Errorf("%s offers none", member)
	}
}

// userInfoBy asks userinfo in one of the ways of RFC 6750 §2.
func userInfoBy(method string, header bool) func(*testing.T, *party) {
	return func(t *testing.T, p *party) {
		o := p.read(t, p.ask(t))
		body := ""
		if !header {
			body = url.Values{"access_token": {o.access}}.Encode()
		}
		req, err := http.NewRequest(method, p.h.Issuer+"/userinfo", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if header {
			req.Header.Set("Authorization", "Bearer "+o.access)
		} else {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if got := p.info(t, servertest.Do(t, req)); got["sub"] != o.idToken["sub"] { // OpenID Connect Core §5.3.2
			t.Errorf("sub %q is not that of the ID token", got["sub"])
		}
	}
}

// scoped: the claims come from userinfo, or in the ID token where there is no
// access token to ask with (OpenID Connect Core §5.4).
func scoped(scopes ...string) func(*testing.T, *party) {
	return func(t *testing.T, p *party) {
		o := p.read(t, p.ask(t, "scope", "openid "+strings.Join(scopes, " ")))
		if p.responseType == "id_token" {
			checkStandard(t, "the ID token alone", claimsOf(t, o.raw), scopes)
			return
		}
		checkStandard(t, "userinfo", o.userInfo, scopes)
		checkStandard(t, "the ID token", claimsOf(t, o.raw), nil)
	}
}

// reused: the second use of a code is refused, and ends what the first one was
// given (RFC 6749 §4.1.2).
func reused(wait time.Duration) func(*testing.T, *party) {
	return func(t *testing.T, p *party) {
		v := p.ask(t)
		first := p.redeem(t, v)
		if first.Status != http.StatusOK || !active(p.h, p.c, p.secret, first.String("access_token")) {
			t.Fatalf("%d %s", first.Status, first.Text)
		}
		p.h.Clock.Move(wait)
		if a := p.redeem(t, v); a.Status != 400 || a.String("error") != "invalid_grant" {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		if a := info(t, p.h, first.String("access_token")); a.Status != 401 {
			t.Errorf("the access token lives: %d %s", a.Status, a.Text)
		}
	}
}

// refreshed walks to a refresh token, uses it, holds the new ID token to OpenID
// Connect Core §12.2, and returns the next refresh token.
func refreshed(t *testing.T, p *party) string {
	t.Helper()
	v := p.ask(t, "scope", "openid offline_access", "prompt", "consent")
	first := p.redeem(t, v)
	p.h.Clock.Move(2 * time.Second)
	second := p.renew(t, first.String("refresh_token"))
	if second.Status != http.StatusOK || second.String("refresh_token") == "" {
		t.Fatalf("%s, then %d %s", first.Text, second.Status, second.Text)
	}
	old, fresh := p.verify(t, first.String("id_token")), p.verify(t, second.String("id_token"))
	for _, name := range []string{"iss", "sub", "aud", "auth_time"} {
		if fmt.Sprint(fresh[name]) != fmt.Sprint(old[name]) {
			t.Errorf("%s: %v, then %v", name, old[name], fresh[name])
		}
	}
	if nonce, told := fresh["nonce"]; told && nonce != old["nonce"] {
		t.Errorf("nonce %v", nonce)
	}
	if fmt.Sprint(fresh["iat"]) <= fmt.Sprint(old["iat"]) {
		t.Errorf("iat %v, then %v", old["iat"], fresh["iat"])
	}
	if a := info(t, p.h, second.String("access_token")); a.String("sub") != old["sub"] {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	return second.String("refresh_token")
}

// object is the content of a request object with all that a request would say.
func (p *party) object() map[string]any {
	u, err := url.Parse(p.path())
	if err != nil {
		panic(err)
	}
	claims := map[string]any{"iss": string(p.c.ID), "aud": p.h.Issuer}
	for name, v := range u.Query() {
		claims[name] = v[0]
	}
	return claims
}

// beside is a request whose parameters are in a request object, but for those
// that OpenID Connect Core §6.1 wants outside.
func (p *party) beside(extra ...string) string {
	return p.path(append([]string{"state", "", "nonce", "", "scope", "openid", "response_mode", ""}, extra...)...)
}

// unsigned sends an unsigned request object. None is offered, so it is refused,
// with what stands outside.
func (p *party) unsigned(t *testing.T, send func(token string) []string) {
	t.Helper()
	notOffered(t, p.h, "request_object_signing_alg_values_supported")
	token, err := jwt.InsecureSignNone(p.object(), jwt.SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if v := p.ask(t, send(token)...); v.Get("error") != "invalid_request_object" {
		t.Errorf("%v", v)
	}
}

func unsignedByReference(t *testing.T, p *party) {
	var object string
	site := serveObject(t, &object)
	p.enrol(t, meta{"request_uris": []string{site + "#the-hash"}, "jwks": published(t, suiteKey())})
	p.unsigned(t, func(token string) []string {
		object = token
		return []string{"request_uri", site + "#the-hash"}
	})
}

// serveObject serves a request object that is not written yet.
func serveObject(t *testing.T, object *string) string {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/jwt")
		io.WriteString(w, *object)
	}))
	t.Cleanup(site.Close)
	return site.URL + "/object.jwt"
}
