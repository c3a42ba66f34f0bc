package server_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/servertest"
)

// accepted is a module that sends a parameter and wants the flow to go on.
func accepted(extra ...string) func(*testing.T, *party) {
	return func(t *testing.T, p *party) { p.read(t, p.ask(t, extra...)) }
}

// What the types of the plans that a module is in have in common.
var (
	codeTypes    = []string{"code", "code id_token", "code token", "code id_token token"}
	accessTypes  = []string{"code", "id_token token", "code id_token", "code token", "code id_token token"} // there is an access token
	frontIDTypes = []string{"id_token", "id_token token", "code id_token", "code id_token token"}           // an ID token comes by the front channel
)

// parameterModules are the modules that are about the parameters of an
// authorization request.
var parameterModules = []module{
	{name: "response-type-missing", types: registration.ResponseTypes, run: func(t *testing.T, p *party) {
		to := expected{p.h.Issuer, p.c.RedirectURIs[0], "query", p.state}
		if p.mode != "" {
			to.where = p.mode
		}
		if v := to.read(t, p.b.Get(p.path("response_type", ""))); v.Get("error") != "invalid_request" {
			t.Errorf("%v", v)
		}
	}},
	{name: "ensure-request-without-nonce-succeeds-for-code-flow", types: []string{"code", "code token"}, run: accepted("nonce", "")},
	{name: "ensure-request-without-nonce-fails", types: frontIDTypes, run: func(t *testing.T, p *party) {
		if v := p.ask(t, "nonce", ""); v.Get("error") != "invalid_request" {
			t.Errorf("%v", v)
		}
	}},
	{name: "claims-essential", types: registration.ResponseTypes, run: func(t *testing.T, p *party) {
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
	{name: "alternate-happy-flow", types: registration.ResponseTypes, run: func(t *testing.T, p *party) {
		u, _ := url.Parse(p.path())
		pairs := strings.Split(strings.ReplaceAll(u.RawQuery, "openid+profile+email", "email+openid+profile"), "&")
		slices.Reverse(pairs)
		words := strings.Fields(p.responseType)
		slices.Reverse(words)
		query := strings.ReplaceAll(strings.Join(pairs, "&"), url.Values{"response_type": {p.responseType}}.Encode(), url.Values{"response_type": {strings.Join(words, " ")}}.Encode())
		p.read(t, p.answer(t, p.b.Get("/authorize?"+query)))
	}},
	{name: "display-page", types: registration.ResponseTypes, run: accepted("display", "page")},
	{name: "display-popup", types: registration.ResponseTypes, run: accepted("display", "popup")},
	{name: "display-touch", types: registration.ResponseTypes, run: accepted("display", "touch")},
	{name: "display-wap", types: registration.ResponseTypes, run: accepted("display", "wap")},
	{name: "ui-locales", types: registration.ResponseTypes, run: accepted("ui_locales", "se")},
	{name: "claims-locales", types: registration.ResponseTypes, run: accepted("claims_locales", "se")},
	{name: "login-hint", types: registration.ResponseTypes, run: accepted("login_hint", "buffy@example.com")},
	{name: "ensure-request-with-acr-values-succeeds", types: registration.ResponseTypes, run: accepted("acr_values", "urn:mace:incommon:iap:silver "+account.ACRPassword)},
	{name: "ensure-request-with-unknown-parameter-succeeds", types: registration.ResponseTypes, run: accepted("extra", "foobar")},
	{name: "prompt-login", types: registration.ResponseTypes, run: func(t *testing.T, p *party) { again(t, p, "prompt", "login") }},
	{name: "max-age-1", types: registration.ResponseTypes, run: func(t *testing.T, p *party) { again(t, p, "max_age", "1") }},
	{name: "max-age-10000", types: registration.ResponseTypes, run: func(t *testing.T, p *party) {
		first := p.read(t, p.ask(t))
		p.h.Clock.Move(2 * time.Second)
		second := p.read(t, p.ask(t, "max_age", "10000"))
		if len(p.pages) != 0 || second.number("auth_time") != first.number("auth_time") {
			t.Errorf("pages %v, auth_time %v then %v", p.pages, first.idToken, second.idToken)
		}
	}},
	{name: "prompt-none-not-logged-in", types: registration.ResponseTypes, run: func(t *testing.T, p *party) {
		if v := p.ask(t, "prompt", "none"); v.Get("error") != "login_required" || len(p.pages) != 0 {
			t.Errorf("pages %v: %v", p.pages, v)
		}
	}},
	{name: "prompt-none-logged-in", types: registration.ResponseTypes, run: func(t *testing.T, p *party) { silent(t, p, func(told) []string { return nil }) }},
	{name: "id-token-hint", types: registration.ResponseTypes, run: func(t *testing.T, p *party) {
		silent(t, p, func(first told) []string { return []string{"id_token_hint", first.raw} })
	}},
	{name: "ensure-post-request-succeeds", types: registration.ResponseTypes, run: func(t *testing.T, p *party) {
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

// TestConformanceParameters has a subtest for each module about parameters.
func TestConformanceParameters(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		runModules(t, h, parameterModules)
	}, openRegistration)
}
