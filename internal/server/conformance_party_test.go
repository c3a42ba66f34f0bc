package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jws"
	"github.com/ostiary/ostiary/jwt"
)

const password = "correct horse battery"

// module is one of the OpenID Foundation's suite, by its name without "oidcc-".
type module struct {
	name    string
	types   []string // the response types of the plans that it is in
	dynamic bool     // in the Dynamic plan alone, which asks for no form_post
	also    meta     // what its client registers further
	run     func(*testing.T, *party)
}

// runModules runs modules for each of their response types, in its default mode
// and by form, each with a client of its own that registers over HTTP.
func runModules(t *testing.T, h *servertest.House, modules []module) {
	for _, m := range modules {
		t.Run(m.name, func(t *testing.T) {
			for _, responseType := range m.types {
				for _, mode := range []string{"", "form_post"} {
					if mode == "" || !m.dynamic {
						t.Run(responseType+" "+mode, func(t *testing.T) { m.run(t, enrolled(t, h, responseType, mode, m.also)) })
					}
				}
			}
		})
	}
}

// party is a relying party as the conformance suite plays it: it sends a browser
// with a request, lets the person answer whatever page comes by its public
// contract, and reads the answer where the response mode puts it.
type party struct {
	h            *servertest.House
	c            model.Client
	secret       model.Secret
	method       string   // of authentication; empty: client_secret_basic
	key          *jwk.Key // of private_key_jwt
	b            *servertest.Browser
	responseType string
	mode         string // empty: the default
	state        string
	pkce         bool
	pages        []string // that the last request led to
}

// newParty registers a client of its own, which has to ask for consent, and
// opens a browser in which nobody is signed in.
func newParty(h *servertest.House, responseType, mode string) *party {
	s := front()
	s.FirstParty = false
	c, secret := h.Client("", s)
	return &party{h: h, c: c, secret: secret, b: h.Browser(), responseType: responseType, mode: mode, state: "the-state", pkce: true}
}

// enrolled is newParty with a client that registers over HTTP, for its response
// type alone and without PKCE, as the suite's does.
func enrolled(t *testing.T, h *servertest.House, responseType, mode string, also meta) *party {
	t.Helper()
	p := &party{h: h, b: h.Browser(), responseType: responseType, mode: mode, state: "the-state"}
	p.enrol(t, also)
	return p
}

// enrol registers the client, holds the answer to RFC 7591 §3.2.1 and RFC 7592 §3,
// and has the test take the client away again as the suite does.
func (p *party) enrol(t *testing.T, also meta) servertest.Answer {
	t.Helper()
	var a servertest.Answer
	p.c, p.secret, a = registered(t, p.h, p.metadata(also))
	p.method = a.String("token_endpoint_auth_method")
	_, expires := a.JSON["client_secret_expires_at"].(float64)
	at, token := a.String("registration_client_uri"), a.String("registration_access_token")
	if a.JSON == nil || p.c.ID == "" || expires != (p.secret != "") || !strings.HasPrefix(at, p.h.Issuer) || token == "" {
		t.Fatalf("%v %s", a.Header, a.Text)
	}
	t.Cleanup(func() {
		if gone := send(t, http.MethodDelete, at, token, nil); gone.Status != http.StatusNoContent { // RFC 7592 §2.3
			t.Errorf("taking the client away: %d %s", gone.Status, gone.Text)
		}
	})
	return a
}

// metadata is what the party registers: conformance.md §2.2.
func (p *party) metadata(also meta) meta {
	var grants []string // OpenID Connect Dynamic Client Registration §2
	if p.has("code") {
		grants = append(grants, model.GrantAuthorizationCode, model.GrantRefreshToken)
	}
	if p.responseType != "code" {
		grants = append(grants, model.GrantImplicit)
	}
	m := suite.and("response_types", []string{p.responseType}).and("grant_types", grants)
	for name, value := range also {
		m = m.and(name, value)
	}
	return m
}

// has reports whether a word is in the response type.
func (p *party) has(word string) bool { return slices.Contains(strings.Fields(p.responseType), word) }

func (p *party) path(extra ...string) string {
	all := []string{"response_type", p.responseType, "response_mode", p.mode, "state", p.state}
	if !p.pkce {
		all = append(all, "code_challenge", "", "code_challenge_method", "")
	}
	return servertest.AuthorizePath(p.c, append(all, extra...)...)
}

// ask sends a request and returns its answer.
func (p *party) ask(t *testing.T, extra ...string) url.Values {
	t.Helper()
	return p.answer(t, p.b.Get(p.path(extra...)))
}

// answer walks from a page to the answer.
func (p *party) answer(t *testing.T, page *servertest.Page) url.Values {
	t.Helper()
	p.pages = nil
	for range 5 {
		step := page.URL.Path[strings.LastIndex(page.URL.Path, "/")+1:]
		switch {
		case page.Left == nil && step == "login":
			page = page.Submit("primary", "login", "olena", "password", password)
		case page.Left == nil && step == "consent":
			page = page.Submit("primary")
		default:
			return expected{p.h.Issuer, p.c.RedirectURIs[0], p.where(), p.state}.read(t, page)
		}
		p.pages = append(p.pages, step)
	}
	t.Fatalf("no answer after %v", p.pages)
	return nil
}

func (p *party) where() string {
	switch {
	case p.mode != "":
		return p.mode
	case p.responseType == "code":
		return "query"
	}
	return "fragment"
}

// expected is what is known of an authorization response before it comes.
type expected struct{ issuer, uri, where, state string }

var (
	answerMembers = []string{"code", "access_token", "token_type", "expires_in", "scope", "id_token", "state", "session_state", "iss"}
	errorMembers  = []string{"error", "error_description", "error_uri", "state", "session_state", "iss"}
)

// read reads an authorization response and holds it to what the suite looks at in
// all of its modules: the place, the state as it was, the issuer (RFC 9207 §2), no
// parameter that nobody expects, and a description in the characters of RFC 6749
// §4.1.2.1.
func (e expected) read(t *testing.T, page *servertest.Page) url.Values {
	t.Helper()
	v, where := answerOf(t, page, e.uri)
	if where != e.where {
		t.Fatalf("the answer came in the %s, want the %s: %v", where, e.where, page.Left)
	}
	if page.Left != nil {
		rest, ok := strings.CutPrefix(page.Left.String(), e.uri)
		if !ok || rest == "" || !strings.ContainsAny(rest[:1], "?&#") {
			t.Fatalf("the answer went to %s, want %s", page.Left, e.uri)
		}
	}
	if own, err := url.Parse(e.uri); err == nil && where == "query" {
		for name := range own.Query() {
			v.Del(name) // it was registered: the prefix above
		}
	}
	members := answerMembers
	if v.Has("error") {
		members = errorMembers
		if !described(v.Get("error_description")) {
			t.Errorf("error_description: %q", v.Get("error_description"))
		}
		if u, err := url.Parse(v.Get("error_uri")); v.Has("error_uri") && (err != nil || !u.IsAbs()) {
			t.Errorf("error_uri: %q", v.Get("error_uri"))
		}
	}
	for name, values := range v {
		if !slices.Contains(members, name) || len(values) != 1 {
			t.Errorf("unexpected: %s=%q", name, values)
		}
	}
	if v.Get("state") != e.state || v.Get("iss") != e.issuer {
		t.Fatalf("state and iss: %v", v)
	}
	return v
}

// shown: an error page at the endpoint's own address, and no way to the client.
func shown(t *testing.T, page *servertest.Page) {
	t.Helper()
	if page.Left != nil || page.Status != http.StatusBadRequest || page.URL.Path != "/authorize" || slices.ContainsFunc(page.Attributes("form", "action"), func(to string) bool { return to != "/language" }) ||
		!strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") || !strings.Contains(page.Body, "This request is not valid") {
		t.Errorf("%s: %d %v %s", page.URL, page.Status, page.Left, page.Body)
	}
}

// redeem exchanges the code of an answer.
func (p *party) redeem(t *testing.T, v url.Values) servertest.Answer {
	t.Helper()
	form := url.Values{"grant_type": {model.GrantAuthorizationCode}, "code": {v.Get("code")}, "redirect_uri": {p.c.RedirectURIs[0]}}
	if p.pkce {
		form.Set("code_verifier", servertest.Verifier)
	}
	return p.token(t, form)
}

func (p *party) renew(t *testing.T, token string) servertest.Answer {
	t.Helper()
	return p.token(t, url.Values{"grant_type": {model.GrantRefreshToken}, "refresh_token": {token}})
}

// token asks the token endpoint, and proves who asks as it is registered.
func (p *party) token(t *testing.T, form url.Values) servertest.Answer {
	t.Helper()
	secret := p.secret
	switch p.method {
	case model.AuthPost:
		form.Set("client_id", string(p.c.ID))
		form.Set("client_secret", secret.Reveal())
		secret = ""
	case model.AuthPrivateKey:
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", sign(t, p.key, jws.SignOptions{}, proof(p.h, string(p.c.ID), nil)))
	}
	return tokens(t, p.h.Call("/token", p.c, secret, form))
}

// tokens holds an answer of the token endpoint to what the suite looks at in all
// of its modules: RFC 6749 §5.1 and §5.2.
func tokens(t *testing.T, a servertest.Answer) servertest.Answer {
	t.Helper()
	if a.JSON == nil || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", a.Status, a.Header, a.Text)
	}
	if a.Status != http.StatusOK {
		if a.Status != http.StatusBadRequest && a.Status != http.StatusUnauthorized || a.String("error") == "" || !described(a.String("error_description")) {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		for name := range a.JSON {
			if !slices.Contains([]string{"error", "error_description", "error_uri"}, name) {
				t.Errorf("unexpected: %s", name)
			}
		}
		return a
	}
	if life, ok := a.JSON["expires_in"].(float64); !ok || life <= 0 || a.String("token_type") != "Bearer" || a.String("access_token") == "" {
		t.Errorf("%s", a.Text)
	}
	if scope, told := a.JSON["scope"]; told && (scope != strings.Join(strings.Fields(a.String("scope")), " ") || !described(a.String("scope"))) { // RFC 6749 §3.3
		t.Errorf("scope %q", scope)
	}
	return a
}

// told is what a successful answer tells of the person.
type told struct {
	idToken  map[string]any
	userInfo map[string]any // nil: no access token came
	raw      string         // the ID token
	access   string         // the access token
}

// number is a claim of the ID token that is a number.
func (o told) number(name string) int64 {
	n, _ := o.idToken[name].(json.Number)
	i, _ := n.Int64()
	return i
}

// read redeems the answer and asks userinfo.
func (p *party) read(t *testing.T, v url.Values) (o told) {
	t.Helper()
	if v.Get("error") != "" {
		t.Fatalf("refused: %v", v)
	}
	o.raw, o.access = v.Get("id_token"), v.Get("access_token")
	if v.Has("code") {
		a := p.redeem(t, v)
		if a.Status != http.StatusOK {
			t.Fatalf("the code: %d %s", a.Status, a.Text)
		}
		if o.access = a.String("access_token"); o.raw == "" {
			o.raw = a.String("id_token")
		}
		if again := claimsOf(t, a.String("id_token")); again["sub"] != claimsOf(t, o.raw)["sub"] { // OpenID Connect Core §3.3.3.6
			t.Errorf("two subjects: %v", again)
		}
	}
	o.idToken = p.verify(t, o.raw)
	if o.idToken["acr"] != account.ACRPassword || o.number("auth_time") == 0 || o.number("exp") == 0 {
		t.Errorf("acr, auth_time and exp are always told: %v", o.idToken)
	}
	if o.access != "" {
		o.userInfo = p.info(t, get(t, p.h.Issuer+"/userinfo", "Authorization", "Bearer "+o.access))
		if o.userInfo["sub"] != o.idToken["sub"] { // OpenID Connect Core §5.3.2
			t.Fatalf("userinfo: %v", o.userInfo)
		}
	}
	return o
}

// verify verifies what the server signed for the client.
func (p *party) verify(t *testing.T, token string) map[string]any {
	t.Helper()
	tok, err := jwt.Verify[map[string]any](context.Background(), token, keySet(t, p.h), jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.RS256}, Issuers: []string{p.h.Issuer}, Audiences: []string{string(p.c.ID)}, Now: p.h.Clock.Now,
		AllowMissingExpiration: true,
	})
	if err != nil || tok.Header.KeyID == "" {
		t.Fatalf("%q: %+v %v", token, tok.Header, err)
	}
	return tok.Claims
}

// info reads an answer of userinfo, OpenID Connect Core §5.3.2.
func (p *party) info(t *testing.T, a servertest.Answer) map[string]any {
	t.Helper()
	kind := a.Header.Get("Content-Type")
	if a.Status != http.StatusOK || kind != "application/json" && kind != "application/jwt" {
		t.Fatalf("userinfo: %d %s %s", a.Status, kind, a.Text)
	}
	if kind == "application/json" {
		return a.JSON
	}
	return p.verify(t, a.Text)
}
