package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwt"
)

// userInfo asks userinfo with an access token.
func userInfo(t *testing.T, h *servertest.House, token string) map[string]any {
	t.Helper()
	a := get(t, h.Issuer+"/userinfo", "Authorization", "Bearer "+token)
	if a.Status != http.StatusOK {
		t.Fatalf("userinfo: %d %s", a.Status, a.Text)
	}
	return a.JSON
}

// tells holds what is told to a list of claims and values; "" is what must not be
// told.
func tells(t *testing.T, where string, told map[string]any, want map[string]any) {
	t.Helper()
	for name, value := range want {
		if got, ok := told[name]; value == nil && ok || value != nil && got != value {
			t.Errorf("%s: %s is %v, want %v", where, name, got, value)
		}
	}
}

// TestClaims walks a request for claims that its scopes do not tell (OpenID
// Connect Core §5.5): the person sees them and agrees; each is told where it was
// asked for and nowhere else, also after a renewal.
func TestClaims(t *testing.T) {
	const asked = `{
		"userinfo": {"name": null, "phone_number": {"essential": true}, "email": {"value": "somebody@else.example"}, "name#ja": null, "admin": {"essential": true}, "acr": null},
		"id_token": {"birthdate": {}, "email": {"values": ["x@example.com", "olena@example.com"]}, "gender": {"value": "male"}, "auth_time": {"essential": true}, "address": null},
		"unknown": 7
	}`
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		for _, responseType := range []string{"code", "id_token token", "code id_token token"} {
			t.Run(responseType, func(t *testing.T) {
				p := newParty(h, responseType, "")
				page := p.b.Get(p.path("scope", "openid", "claims", asked))
				page = page.Submit("primary", "login", "olena", "password", password)
				if !strings.Contains(page.Body, "Postal address, date of birth, email address, gender, full name, phone number") {
					t.Fatalf("the consent page does not say what is asked for: %s", page.Body)
				}
				v := p.answer(t, page)
				o := p.read(t, v)
				tells(t, "ID token", o.idToken, map[string]any{"birthdate": "1990-02-28", "email": "olena@example.com", "gender": nil, "name": nil, "phone_number": nil, "admin": nil})
				tells(t, "userinfo", o.userInfo, map[string]any{"name": "Olena olena", "phone_number": "+380441234567", "email": nil, "birthdate": nil, "name#ja": nil, "admin": nil, "acr": nil})
				if address, _ := o.idToken["address"].(map[string]any); address["locality"] != "Kyiv" {
					t.Errorf("address %v", o.idToken["address"])
				}
			})
		}
		t.Run("after a renewal", func(t *testing.T) {
			p := newParty(h, "code", "")
			v := p.ask(t, "scope", "openid", "claims", asked)
			first := h.Redeem(p.c, p.secret, &url.URL{RawQuery: v.Encode()})
			second := renew(h, p.c, p.secret, first.String("refresh_token"))
			tok, err := jwt.DecodeUnverified[map[string]any](second.String("id_token"))
			if err != nil {
				t.Fatalf("%v %s", err, second.Text)
			}
			tells(t, "ID token", tok.Claims, map[string]any{"birthdate": "1990-02-28", "name": nil})
			tells(t, "userinfo", userInfo(t, h, second.String("access_token")), map[string]any{"name": "Olena olena", "birthdate": nil})
		})
		t.Run("consent is remembered, and for no more", func(t *testing.T) {
			p := newParty(h, "code", "")
			p.ask(t, "scope", "openid", "claims", `{"userinfo":{"name":null}}`)
			for _, row := range []struct{ scope, claims, want string }{
				{"openid", `{"userinfo":{"name":null}}`, ""},
				{"openid", `{"id_token":{"name":{"essential":true}}}`, ""},
				{"openid", `{"userinfo":{"name":null,"email":null}}`, "consent_required"},
				{"openid profile", "", "consent_required"}, // one claim is not its scope
			} {
				if v := p.ask(t, "scope", row.scope, "claims", row.claims, "prompt", "none"); v.Get("error") != row.want {
					t.Errorf("%v: %v", row, v)
				}
			}
			p.ask(t, "scope", "openid email")
			if v := p.ask(t, "scope", "openid", "claims", `{"userinfo":{"name":null,"email":null}}`, "prompt", "none"); v.Get("error") != "" {
				t.Errorf("a scope that was allowed allows its claims: %v", v)
			}
		})
	})
}

// TestClaimsAllowed: nobody gets a claim that the client may not have, that the
// person refused, or that nobody asked them about (OpenID Connect Core §5.5.1,
// §5.4). Attack row O33.
func TestClaimsAllowed(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	const phone = `{"userinfo":{"phone_number":{"essential":true},"name":null},"id_token":{"phone_number":null}}`

	t.Run("a client that is not registered for the scope of the claim", func(t *testing.T) {
		p := newParty(h, "code", "")
		s := p.c.ClientSettings
		s.Scopes = []string{"openid", "profile"}
		p.c, p.secret = h.Client("narrow", s)
		page := p.b.Get(p.path("scope", "openid", "claims", phone)).Submit("primary", "login", "olena", "password", password)
		if strings.Contains(page.Body, "hone number") || !strings.Contains(page.Body, "ull name") {
			t.Errorf("the consent page: %s", page.Body)
		}
		o := p.read(t, p.answer(t, page))
		tells(t, "userinfo", o.userInfo, map[string]any{"phone_number": nil, "name": "Olena olena"})
		tells(t, "ID token", o.idToken, map[string]any{"phone_number": nil})
	})
	t.Run("refused", func(t *testing.T) {
		p := newParty(h, "code", "")
		before := rows(t, h)
		page := p.b.Get(p.path("scope", "openid", "claims", phone)).Submit("primary", "login", "olena", "password", password).Submit("cancel")
		if page.Left == nil || page.Left.Query().Get("error") != "access_denied" {
			t.Fatalf("%d %v", page.Status, page.Left)
		}
		if after := rows(t, h); after["consents"] != before["consents"] || after["grants"] != before["grants"] {
			t.Errorf("before %v, after %v", before, after)
		}
	})
	t.Run("a first-party client is not asked about", func(t *testing.T) {
		c, secret := h.Client("first", front())
		p := &party{h: h, c: c, secret: secret, b: h.Browser(), responseType: "code"}
		o := p.read(t, p.ask(t, "scope", "openid", "claims", phone))
		if len(p.pages) != 1 {
			t.Errorf("pages %v", p.pages)
		}
		tells(t, "userinfo", o.userInfo, map[string]any{"phone_number": "+380441234567"})
	})
	t.Run("without openid there is nothing to tell with", func(t *testing.T) {
		p := newParty(h, "code", "")
		page := p.b.Get(p.path("scope", "orders:write", "claims", phone)).Submit("primary", "login", "olena", "password", password)
		if strings.Contains(page.Body, "ull name") {
			t.Errorf("%s", page.Body)
		}
	})
	t.Run("what the server says of itself cannot be asked away", func(t *testing.T) {
		p := newParty(h, "id_token", "")
		o := p.read(t, p.ask(t, "scope", "openid", "claims", `{"id_token":{"iss":{"value":"https://evil.example"},"aud":{"value":"x"},"exp":{"value":1},"amr":null}}`))
		if o.idToken["iss"] != h.Issuer {
			t.Errorf("%v", o.idToken)
		}
	})
}

// TestClaimsMalformed: what is not the JSON of OpenID Connect Core §5.5 is
// invalid_request, and leaves nothing behind.
func TestClaimsMalformed(t *testing.T) {
	h := servertest.Start(t)
	p := newParty(h, "code", "")
	many := strings.Repeat(`"a",`, 100) + `"a"`
	var names []string
	for i := range 101 {
		names = append(names, `"`+strings.Repeat("x", i+1)+`":null`)
	}
	before := rows(t, h)
	for name, claims := range map[string]string{
		"no JSON": `name`, "an array": `[]`, "text": `"userinfo"`, "nothing": `null`, "unfinished": `{"userinfo":{"name":null}`, "more behind it": `{} {}`,
		"a member twice": `{"userinfo":{},"userinfo":{}}`, "a claim twice": `{"userinfo":{"name":null,"name":null}}`,
		"a claim twice, written otherwise": `{"userinfo":{"name":null,"\u006eame":null}}`, "essential twice": `{"userinfo":{"name":{"essential":true,"essential":false}}}`,
		"userinfo no object": `{"userinfo":[]}`, "id_token null": `{"id_token":null}`, "id_token text": `{"id_token":"name"}`,
		"a claim of text": `{"userinfo":{"name":"yes"}}`, "a claim of true": `{"userinfo":{"name":true}}`, "essential of text": `{"id_token":{"name":{"essential":"true"}}}`,
		"values no array": `{"id_token":{"name":{"values":"x"}}}`, "no values": `{"id_token":{"name":{"values":[]}}}`, "value and values": `{"id_token":{"name":{"value":1,"values":[1]}}}`,
		"too many values": `{"id_token":{"name":{"values":[` + many + `]}}}`, "too many claims": `{"id_token":{` + strings.Join(names, ",") + `}}`,
		"too deep": `{"id_token":{"name":{"value":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}}}`, "a lone surrogate": `{"userinfo":{"\ud800":null}}`,
		"huge": `{"userinfo":{"name":{"value":"` + strings.Repeat("x", 9000) + `"}}}`, "sub of no text": `{"id_token":{"sub":{"value":7}}}`,
		"sub of two": `{"id_token":{"sub":{"values":["a","b"]}}}`, "two subs": `{"id_token":{"sub":{"value":"a"}},"userinfo":{"sub":{"value":"b"}}}`,
		"sub of nothing": `{"id_token":{"sub":{"value":""}}}`, "a long sub": `{"id_token":{"sub":{"value":"` + strings.Repeat("x", 256) + `"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if v := p.ask(t, "claims", claims); v.Get("error") != "invalid_request" || !described(v.Get("error_description")) {
				t.Errorf("%v", v)
			}
		})
	}
	t.Run("userinfo without an access token (OpenID Connect Core §5.5)", func(t *testing.T) {
		p := newParty(h, "id_token", "")
		before["clients"]++
		if v := p.ask(t, "claims", `{"userinfo":{"name":null}}`); v.Get("error") != "invalid_request" {
			t.Errorf("%v", v)
		}
	})
	sameRows(t, before, rows(t, h))
}

// TestClaimACR holds to OpenID Connect Core §5.5.1.1: an essential "acr" that
// cannot be reached is a failed sign-in, a voluntary one never is.
func TestClaimACR(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	p := newParty(h, "code", "")
	acr := func(request string) string { return `{"id_token":{"acr":` + request + `}}` }
	before := rows(t, h)
	for _, claims := range []string{acr(`{"essential":true,"values":["urn:example:gold","x"]}`), acr(`{"essential":true,"value":"urn:example:gold"}`), acr(`{"essential":true,"values":[1]}`)} {
		for _, prompt := range []string{"", "none", "login"} {
			if v := p.ask(t, "claims", claims, "prompt", prompt); v.Get("error") != "unmet_authentication_requirements" || len(p.pages) != 0 {
				t.Errorf("%s %s: %v", claims, prompt, v)
			}
		}
	}
	sameRows(t, before, rows(t, h))
	for _, claims := range []string{
		acr(`{"essential":true,"values":["urn:example:gold","` + account.ACRPassword + `"]}`), acr(`{"essential":true,"value":"` + account.ACRPassword + `"}`),
		acr(`{"values":["urn:example:gold"]}`), acr(`{"essential":false,"value":"urn:example:gold"}`), acr(`{"essential":true}`), acr(`null`),
		`{"userinfo":{"acr":{"essential":true,"value":"urn:example:gold"}},"id_token":{}}`,
	} {
		p.read(t, p.ask(t, "claims", claims)) // which looks for acr
	}
}
