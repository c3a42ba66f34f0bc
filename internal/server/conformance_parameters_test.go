package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

const password = "correct horse battery"

// party is a relying party as the conformance suite plays it: it sends a browser
// with a request, lets the person answer whatever page comes by its public
// contract, and reads the answer where the response mode puts it.
type party struct {
	h            *servertest.House
	c            model.Client
	secret       model.Secret
	b            *servertest.Browser
	responseType string
	mode         string   // empty: the default
	pages        []string // that the last request led to
}

// newParty registers a client of its own, which has to ask for consent, and
// opens a browser in which nobody is signed in.
func newParty(h *servertest.House, responseType, mode string) *party {
	s := front()
	s.FirstParty = false
	c, secret := h.Client("", s)
	return &party{h: h, c: c, secret: secret, b: h.Browser(), responseType: responseType, mode: mode}
}

func (p *party) path(extra ...string) string {
	return servertest.AuthorizePath(p.c, append([]string{"response_type", p.responseType, "response_mode", p.mode}, extra...)...)
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
			v, where := answerOf(t, page, p.c.RedirectURIs[0])
			if where != p.where() {
				t.Fatalf("the answer came in the %s, want the %s", where, p.where())
			}
			if v.Get("state") != "the-state" || v.Get("iss") != p.h.Issuer {
				t.Fatalf("state and iss: %v", v)
			}
			return v
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

// told is what a successful answer tells of the person.
type told struct {
	idToken  map[string]any
	userInfo map[string]any // nil: no access token came
	raw      string         // the ID token
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
	o.raw = v.Get("id_token")
	access := v.Get("access_token")
	if v.Has("code") {
		a := p.h.Redeem(p.c, p.secret, &url.URL{RawQuery: v.Encode()})
		if a.Status != http.StatusOK {
			t.Fatalf("the code: %d %s", a.Status, a.Text)
		}
		if access = a.String("access_token"); o.raw == "" {
			o.raw = a.String("id_token")
		}
	}
	tok, err := jwt.Verify[map[string]any](context.Background(), o.raw, keySet(t, p.h), jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.RS256}, Issuers: []string{p.h.Issuer}, Audiences: []string{string(p.c.ID)}, Now: p.h.Clock.Now,
	})
	if err != nil {
		t.Fatalf("the ID token: %v", err)
	}
	o.idToken = tok.Claims
	if o.idToken["acr"] != account.ACRPassword || o.number("auth_time") == 0 {
		t.Errorf("acr and auth_time are always told: %v", o.idToken)
	}
	if access != "" {
		info := get(t, p.h.Issuer+"/userinfo", "Authorization", "Bearer "+access)
		if info.Status != http.StatusOK || info.JSON["sub"] != o.idToken["sub"] {
			t.Fatalf("userinfo: %d %s", info.Status, info.Text)
		}
		o.userInfo = info.JSON
	}
	return o
}

// accepted is a module that sends a parameter and wants the flow to go on.
func accepted(extra ...string) func(*testing.T, *party) {
	return func(t *testing.T, p *party) { p.read(t, p.ask(t, extra...)) }
}

// parameterModules are the modules of the OpenID Foundation's suite that are about
// the parameters of an authorization request, by their names without "oidcc-".
var parameterModules = []struct {
	name string
	run  func(*testing.T, *party)
}{
	{"response-type-missing", func(t *testing.T, p *party) {
		v, where := answerOf(t, p.b.Get(p.path("response_type", "", "response_mode", "")), p.c.RedirectURIs[0])
		if v.Get("error") != "invalid_request" || where != "query" {
			t.Errorf("in the %s: %v", where, v)
		}
	}},
	{"ensure-request-without-nonce", func(t *testing.T, p *party) {
		v := p.ask(t, "nonce", "")
		if front := strings.Contains(p.responseType, "id_token"); front != (v.Get("error") == "invalid_request") {
			t.Errorf("%v", v)
		}
	}},
	{"claims-essential", func(t *testing.T, p *party) {
		member := "userinfo"
		if p.responseType == "id_token" {
			member = "id_token"
		}
		o := p.read(t, p.ask(t, "scope", "openid", "claims", `{"`+member+`":{"name":{"essential":true}}}`))
		if p.responseType == "id_token" {
			o.userInfo = o.idToken
		}
		if o.userInfo["name"] != "Olena olena" {
			t.Errorf("%v", o)
		}
	}},
	{"alternate-happy-flow", func(t *testing.T, p *party) {
		u, _ := url.Parse(p.path())
		pairs := strings.Split(strings.ReplaceAll(u.RawQuery, "openid+profile+email", "email+openid+profile"), "&")
		slices.Reverse(pairs)
		words := strings.Fields(p.responseType)
		slices.Reverse(words)
		query := strings.ReplaceAll(strings.Join(pairs, "&"), url.Values{"response_type": {p.responseType}}.Encode(), url.Values{"response_type": {strings.Join(words, " ")}}.Encode())
		p.read(t, p.answer(t, p.b.Get("/authorize?"+query)))
	}},
	{"display-page", accepted("display", "page")},
	{"display-popup", accepted("display", "popup")},
	{"display-touch", accepted("display", "touch")},
	{"display-wap", accepted("display", "wap")},
	{"ui-locales", accepted("ui_locales", "se")},
	{"claims-locales", accepted("claims_locales", "se")},
	{"login-hint", accepted("login_hint", "buffy@example.com")},
	{"ensure-request-with-acr-values-succeeds", accepted("acr_values", "urn:mace:incommon:iap:silver "+account.ACRPassword)},
	{"ensure-request-with-unknown-parameter-succeeds", accepted("extra", "foobar")},
	{"prompt-login", func(t *testing.T, p *party) { again(t, p, "prompt", "login") }},
	{"max-age-1", func(t *testing.T, p *party) { again(t, p, "max_age", "1") }},
	{"max-age-10000", func(t *testing.T, p *party) {
		first := p.read(t, p.ask(t))
		p.h.Clock.Move(2 * time.Second)
		second := p.read(t, p.ask(t, "max_age", "10000"))
		if len(p.pages) != 0 || second.number("auth_time") != first.number("auth_time") {
			t.Errorf("pages %v, auth_time %v then %v", p.pages, first.idToken, second.idToken)
		}
	}},
	{"prompt-none-not-logged-in", func(t *testing.T, p *party) {
		if v := p.ask(t, "prompt", "none"); v.Get("error") != "login_required" || len(p.pages) != 0 {
			t.Errorf("pages %v: %v", p.pages, v)
		}
	}},
	{"prompt-none-logged-in", func(t *testing.T, p *party) { silent(t, p, func(told) []string { return nil }) }},
	{"id-token-hint", func(t *testing.T, p *party) {
		silent(t, p, func(first told) []string { return []string{"id_token_hint", first.raw} })
	}},
	{"ensure-post-request-succeeds", func(t *testing.T, p *party) {
		u, _ := url.Parse(p.path())
		p.read(t, p.answer(t, p.b.Post("/authorize", u.Query())))
	}},
}

// again: a second request with the parameters leads to the sign-in page although
// somebody is signed in, and auth_time is later than before.
func again(t *testing.T, p *party, extra ...string) {
	t.Helper()
	first := p.read(t, p.ask(t))
	p.h.Clock.Move(2 * time.Second)
	second := p.read(t, p.ask(t, extra...))
	if !slices.Equal(p.pages, []string{"login"}) || second.number("auth_time") <= first.number("auth_time") || second.idToken["sub"] != first.idToken["sub"] {
		t.Errorf("pages %v: %v then %v", p.pages, first.idToken, second.idToken)
	}
}

// silent: a second request with prompt=none succeeds without a page, about the
// same sign-in of the same person.
func silent(t *testing.T, p *party, extra func(told) []string) {
	t.Helper()
	first := p.read(t, p.ask(t))
	p.h.Clock.Move(2 * time.Second)
	second := p.read(t, p.ask(t, append(extra(first), "prompt", "none")...))
	if len(p.pages) != 0 || second.number("auth_time") != first.number("auth_time") || second.idToken["sub"] != first.idToken["sub"] {
		t.Errorf("pages %v: %v then %v", p.pages, first.idToken, second.idToken)
	}
}

// TestConformanceParameters runs each module for each response type, in its
// default mode and by form.
func TestConformanceParameters(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		for _, responseType := range oauth.ResponseTypes {
			for _, mode := range []string{"", "form_post"} {
				for _, m := range parameterModules {
					t.Run(m.name+" "+responseType+" "+mode, func(t *testing.T) { m.run(t, newParty(h, responseType, mode)) })
				}
			}
		}
	})
}
