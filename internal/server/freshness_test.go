package server_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/language"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// TestDefaultFreshness: what a client is registered with stands in for what its
// request leaves out (OpenID Connect Dynamic Client Registration §2), and gives way
// to what it says.
func TestDefaultFreshness(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	age := int64(60)
	s := front()
	s.DefaultMaxAge, s.RequireAuthTime, s.DefaultACRValues = &age, true, []string{"urn:example:gold"}
	c, secret := h.Client("strict", s)
	p := &party{h: h, c: c, secret: secret, b: h.Browser(), responseType: "code"}
	p.read(t, p.ask(t)) // which looks for auth_time and acr
	for _, row := range []struct {
		wait  time.Duration
		extra []string
		again bool
	}{
		{30 * time.Second, nil, false},
		{61 * time.Second, []string{"max_age", "3600"}, false},
		{0, nil, true},
		{5 * time.Second, []string{"max_age", "1"}, true},
	} {
		h.Clock.Move(row.wait)
		p.read(t, p.ask(t, row.extra...))
		if asked := len(p.pages) > 0; asked != row.again {
			t.Errorf("%v: asked again %t", row, asked)
		}
	}
	h.Clock.Move(2 * time.Minute)
	if v := p.ask(t, "prompt", "none"); v.Get("error") != "login_required" {
		t.Errorf("prompt=none after default_max_age: %v", v)
	}

	below, above := int64(-1), int64(1<<32)
	for setting, change := range map[string]func(*model.ClientSettings){
		"default_max_age":    func(s *model.ClientSettings) { s.DefaultMaxAge = &below },
		"default_max_age ":   func(s *model.ClientSettings) { s.DefaultMaxAge = &above },
		"default_acr_values": func(s *model.ClientSettings) { s.DefaultACRValues = []string{"a b"} },
	} {
		s := web
		change(&s)
		_, _, err := h.Registrar.CreateClient(context.Background(), servertest.Operator, s, "")
		var e *registration.InvalidClientError
		if !errors.As(err, &e) || e.Setting != strings.TrimSpace(setting) {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

// TestCancelledLogin: whoever is asked to sign in again and does not, is where they
// were: no new session, no later auth_time, no grant (attack row O28).
func TestCancelledLogin(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		p := newParty(h, "code", "")
		first := p.read(t, p.ask(t))
		h.Clock.Move(5 * time.Second)
		for _, extra := range [][]string{{"prompt", "login"}, {"max_age", "1"}, {"prompt", "login consent"}} {
			page := p.b.Get(p.path(extra...))
			before := rows(t, h)
			left := page.Submit("cancel").Left
			if left == nil || left.Query().Get("error") != "access_denied" || left.Query().Get("state") != "the-state" {
				t.Fatalf("%v: %v", extra, left)
			}
			sameRows(t, before, rows(t, h))
			// Neither the dispatcher nor the next page takes the old session for the new one.
			for _, step := range []string{"", "/consent"} {
				if back := p.b.Get(strings.TrimSuffix(page.URL.Path, "/login") + step); !strings.HasSuffix(back.URL.Path, "/login") {
					t.Errorf("%v%s: %s %v", extra, step, back.URL, back.Left)
				}
			}
			if page = page.Submit("primary", "login", "olena", "password", "wrong"); page.Left != nil {
				t.Errorf("%v: a wrong password led to %s", extra, page.Left)
			}
		}
		second := p.read(t, p.ask(t, "prompt", "none"))
		if second.number("auth_time") != first.number("auth_time") || second.idToken["sid"] != first.idToken["sid"] {
			t.Errorf("%v then %v", first.idToken, second.idToken)
		}
	})
}

// TestPrompt: which pages come, for a person who is signed in and has consented
// (OpenID Connect Core §3.1.2.1).
func TestPrompt(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	p := newParty(h, "code", "")
	p.ask(t)
	for prompt, pages := range map[string][]string{
		"": nil, "none": nil, "login": {"login"}, "consent": {"consent"}, "login consent": {"login", "consent"}, "consent login": {"login", "consent"},
	} {
		if v := p.ask(t, "prompt", prompt); !v.Has("code") || !slices.Equal(p.pages, pages) {
			t.Errorf("prompt=%s: pages %v, %v", prompt, p.pages, v)
		}
	}
}

// TestHint: an ID token of ours for this client is a good hint, however old;
// nothing else is (OpenID Connect Core §3.1.2.1, §3.1.2.2).
func TestHint(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		h.User("taras", password)
		p := newParty(h, "code", "")
		first := p.read(t, p.ask(t))
		tokens := p.h.Redeem(p.c, p.secret, &url.URL{RawQuery: p.ask(t).Encode()})
		elsewhere := servertest.Start(t)
		elsewhere.User("olena", password)
		q := newParty(elsewhere, "code", "")
		foreign := q.read(t, q.ask(t)).raw
		key, err := jwk.Generate(jwa.RS256)
		if err != nil {
			t.Fatal(err)
		}
		forged, err := jwt.Sign(first.idToken, key, jwt.SignOptions{Type: "JWT"})
		if err != nil {
			t.Fatal(err)
		}
		part := strings.Split(first.raw, ".")
		const none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0" // {"alg":"none","typ":"JWT"}
		for name, hint := range map[string]string{
			"unsigned": none + "." + part[1] + ".", "unsigned, with the signature": none + "." + part[1] + "." + part[2], "without its signature": part[0] + "." + part[1] + ".",
			"another content under the signature": part[0] + "." + strings.Split(foreign, ".")[1] + "." + part[2], "signed by somebody else": forged,
			"of another issuer": foreign, "an access token": tokens.String("access_token"), "a refresh token": tokens.String("refresh_token"), "nothing of the kind": "x.y.z",
		} {
			for _, prompt := range []string{"", "none", "login"} {
				if v := p.ask(t, "id_token_hint", hint, "prompt", prompt); v.Get("error") != "invalid_request" || len(p.pages) != 0 {
					t.Errorf("%s, prompt=%s: %v", name, prompt, v)
				}
			}
		}

		h.Clock.Move(61 * time.Minute) // the ID token has expired, the session has not
		sub, _ := first.idToken["sub"].(string)
		for _, extra := range [][]string{{"id_token_hint", first.raw}, {"claims", `{"id_token":{"sub":{"value":"` + sub + `"}}}`}, {"claims", `{"userinfo":{"sub":{"values":["` + sub + `"]}}}`}} {
			if v := p.ask(t, append(extra, "prompt", "none")...); !v.Has("code") {
				t.Errorf("%s of the person, prompt=none: %v", extra[0], v)
			}
			if v := p.ask(t, append(extra, "prompt", "login")...); !v.Has("code") || !slices.Equal(p.pages, []string{"login"}) {
				t.Errorf("%s of the person, prompt=login: %v", extra[0], v)
			}
			// Somebody else is signed in, or signs in: never an answer about them.
			b := h.Browser()
			b.SignIn(p.path(), "taras", password)
			if left := b.Get(p.path(append(extra, "prompt", "none")...)).Left; left.Query().Get("error") != "login_required" {
				t.Errorf("%s of another person, prompt=none: %v", extra[0], left)
			}
			page := b.Get(p.path(extra...))
			if !strings.HasSuffix(page.URL.Path, "/login") {
				t.Fatalf("%s of another person: %s", extra[0], page.URL)
			}
			if left := page.Submit("primary", "login", "taras", "password", password).Left; left == nil || left.Query().Get("error") != "login_required" {
				t.Errorf("%s, and another person signed in: %v", extra[0], left)
			}
			if left := b.Get(p.path(extra...)).Submit("primary", "login", "olena", "password", password).Left; left == nil || !left.Query().Has("code") {
				t.Errorf("%s, and the person signed in: %v", extra[0], left)
			}
		}
		if left := h.Browser().Get(p.path("id_token_hint", first.raw, "prompt", "none")).Left; left.Query().Get("error") != "login_required" {
			t.Errorf("a hint does not sign anybody in: %v", left)
		}
	})
}

// TestDisplayAndLanguage: the pages look as was asked for, and are in the language
// that was asked for, all the way.
func TestDisplayAndLanguage(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	p := newParty(h, "code", "")
	for display, class := range map[string]string{"": "<body>", "page": "<body>", "popup": `<body class="popup">`, "touch": `<body class="touch">`, "wap": "<body>", "POPUP": "<body>", "hologram": "<body>"} {
		page := h.Browser().Get(p.path("display", display, "ui_locales", "fr-CA uk ja"))
		for range 3 {
			if !strings.Contains(page.Body, class) || !strings.Contains(page.Body, `<html lang="uk"`) {
				t.Errorf("display=%s, %s: %.200s", display, page.URL.Path, page.Body)
			}
			pw := password
			if !strings.HasSuffix(page.URL.Path, "/login") {
				break
			}
			if !strings.Contains(page.Body, "alert") {
				pw = "wrong"
			}
			page = page.Submit("primary", "login", "olena", "password", pw)
		}
		if !strings.HasSuffix(page.URL.Path, "/consent") {
			t.Errorf("display=%s ended at %s", display, page.URL)
		}
	}
	m := get(t, h.Issuer+"/.well-known/openid-configuration")
	for name, want := range map[string]string{"acr_values_supported": strings.Join(account.ACRs(), " "), "display_values_supported": "page popup touch", "ui_locales_supported": strings.Join(language.Tags(), " ")} {
		var got []string
		list, _ := m.JSON[name].([]any)
		for _, v := range list {
			got = append(got, v.(string))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s is %v", name, got)
		}
	}
	if m.JSON["claims_parameter_supported"] != true {
		t.Error("claims_parameter_supported")
	}
}
