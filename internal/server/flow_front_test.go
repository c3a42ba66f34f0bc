package server_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

// front is a client that is registered for every response type.
func front() model.ClientSettings {
	s := web
	s.ResponseTypes = registration.ResponseTypes
	s.GrantTypes = registration.GrantTypes
	s.FirstParty = true
	return s
}

// answerOf reads what the browser carries to the client, from wherever the
// response mode puts it, and says where that was.
func answerOf(t *testing.T, p *servertest.Page, redirectURI string) (url.Values, string) {
	t.Helper()
	if p.Left == nil {
		f := p.Form()
		if f.Action != redirectURI || p.Status != http.StatusOK {
			t.Fatalf("no answer at all: %d %s", p.Status, p.Body)
		}
		return f.Values, "form_post"
	}
	if p.Left.Fragment != "" {
		v, err := url.ParseQuery(p.Left.EscapedFragment())
		if err != nil {
			t.Fatal(err)
		}
		return v, "fragment"
	}
	return p.Left.Query(), "query"
}

type frontToken struct {
	idToken
	CHash string `json:"c_hash"`
	Email string `json:"email"`
}

// TestFrontChannel walks every response type in every mode: what comes, where it
// comes, by whom (attack row O12), and how the parts are tied to each other (attack row
// O20; OpenID Connect Core §3.2.2.5
// and §3.3.2.5, OAuth 2.0 Multiple Response Types §5, Form Post Response Mode
// §2).
func TestFrontChannel(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", "correct horse battery")
		c, secret := h.Client("front", front())
		b := h.Browser()
		b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
		for _, responseType := range registration.ResponseTypes {
			for _, mode := range []string{"", "query", "fragment", "form_post"} {
				tokens := responseType != "code"
				want := mode
				switch {
				case mode == "" && tokens:
					want = "fragment"
				case mode == "":
					want = "query"
				case mode == "query" && tokens:
					continue // refused, below
				}
				t.Run(responseType+" by "+want, func(t *testing.T) {
					p := b.Get(servertest.AuthorizePath(c, "response_type", responseType, "response_mode", mode))
					v, where := answerOf(t, p, c.RedirectURIs[0])
					if where != want || v.Get("state") != "the-state" || v.Get("iss") != h.Issuer {
						t.Fatalf("in the %s, want the %s: %v", where, want, v)
					}
					checkFront(t, h, c, secret, responseType, v)
				})
			}
		}
	})
}

func checkFront(t *testing.T, h *servertest.House, c model.Client, secret model.Secret, responseType string, v url.Values) {
	t.Helper()
	has := func(word string) bool { return strings.Contains(" "+responseType+" ", " "+word+" ") }
	for name, word := range map[string]string{"code": "code", "access_token": "token", "id_token": "id_token", "token_type": "token", "expires_in": "token"} {
		if v.Has(name) != has(word) {
			t.Errorf("%s is there: %t", name, v.Has(name))
		}
	}
	if v.Has("refresh_token") { // RFC 6749 §4.2.2
		t.Error("a refresh token in the front channel")
	}
	if has("token") && !active(h, c, secret, v.Get("access_token")) {
		t.Error("the access token is not active")
	}
	var subject string
	if has("id_token") {
		tok, err := jwt.Verify[frontToken](context.Background(), v.Get("id_token"), keySet(t, h), jwt.VerifyOptions{
			Algorithms: []jwa.Algorithm{jwa.RS256}, Issuers: []string{h.Issuer}, Audiences: []string{string(c.ID)}, Nonce: "the-nonce",
		})
		if err != nil {
			t.Fatal(err)
		}
		subject = tok.Claims.Subject
		if (tok.Claims.AtHash != "") != has("token") || (tok.Claims.CHash != "") != has("code") {
			t.Errorf("at_hash %q, c_hash %q", tok.Claims.AtHash, tok.Claims.CHash)
		}
		if (tok.Claims.Email != "") != (responseType == "id_token") { // OpenID Connect Core §5.4
			t.Errorf("the ID token tells the address %q", tok.Claims.Email)
		}
	}
	if has("code") {
		at := &url.URL{RawQuery: v.Encode()}
		a := h.Redeem(c, secret, at)
		tok, err := jwt.DecodeUnverified[frontToken](a.String("id_token"))
		if a.Status != http.StatusOK || err != nil || tok.Claims.Nonce != "the-nonce" {
			t.Fatalf("the code: %d %s %v", a.Status, a.Text, err)
		}
		if subject != "" && tok.Claims.Subject != subject { // OpenID Connect Core §3.3.3.6
			t.Errorf("two subjects: %s and %s", subject, tok.Claims.Subject)
		}
	}
}

// TestFrontChannelErrors: the error of a front-channel request goes where its
// answer would have gone, in its mode (OAuth 2.0 Multiple Response Types §5), and
// only to a client that is registered for the type. Attack rows O10, O11 and O20.
func TestFrontChannelErrors(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	c, _ := h.Client("front", front())
	only, _ := h.Client("shop", web)
	b := h.Browser()
	for _, row := range []struct {
		name  string
		c     model.Client
		extra []string
		where string
		code  string
	}{
		{"not registered for it (RFC 9700 §2.1.2)", only, []string{"response_type", "code id_token"}, "fragment", "unauthorized_client"},
		{"not registered for it, by form", only, []string{"response_type", "id_token", "response_mode", "form_post"}, "form_post", "unauthorized_client"},
		{"an access token alone", c, []string{"response_type", "token"}, "fragment", "unsupported_response_type"},
		{"tokens in the query", c, []string{"response_type", "id_token token", "response_mode", "query"}, "fragment", "invalid_request"},
		{"words in another order are fine", c, []string{"response_type", "token id_token", "prompt", "none"}, "fragment", "login_required"},
		{"nonce missing, id_token (OpenID Connect Core §3.2.2.1)", c, []string{"response_type", "id_token", "nonce", ""}, "fragment", "invalid_request"},
		{"nonce missing, code id_token (OpenID Connect Core §3.3.2.11)", c, []string{"response_type", "code id_token", "nonce", ""}, "fragment", "invalid_request"},
		{"openid missing (OpenID Connect Core §3.2.2.1)", c, []string{"response_type", "id_token token", "scope", "orders:write"}, "fragment", "invalid_scope"},
		{"prompt=none", c, []string{"response_type", "id_token", "response_mode", "form_post", "prompt", "none"}, "form_post", "login_required"},
		{"code by fragment", c, []string{"response_mode", "fragment", "prompt", "none"}, "fragment", "login_required"},
		{"code by form", c, []string{"response_mode", "form_post", "prompt", "none"}, "form_post", "login_required"},
	} {
		t.Run(row.name, func(t *testing.T) {
			v, where := answerOf(t, b.Get(servertest.AuthorizePath(row.c, row.extra...)), row.c.RedirectURIs[0])
			if where != row.where || v.Get("error") != row.code || v.Get("state") != "the-state" || v.Get("iss") != h.Issuer {
				t.Errorf("in the %s: %v", where, v)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		p := b.Get(servertest.AuthorizePath(c, "response_type", "code id_token", "response_mode", "form_post"))
		if v, where := answerOf(t, p.Submit("cancel"), c.RedirectURIs[0]); where != "form_post" || v.Get("error") != "access_denied" {
			t.Errorf("in the %s: %v", where, v)
		}
	})
	t.Run("nonce is optional where no ID token comes (OpenID Connect Core §3.3.2.11)", func(t *testing.T) {
		b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
		v, _ := answerOf(t, b.Get(servertest.AuthorizePath(c, "response_type", "code token", "nonce", "")), c.RedirectURIs[0])
		if !v.Has("code") || !v.Has("access_token") {
			t.Errorf("%v", v)
		}
	})
}

// TestFormPostPage: the one page with a script allows that script and no other,
// and does not keep the form from its address.
func TestFormPostPage(t *testing.T) {
	h := servertest.Start(t)
	c, _ := h.Client("front", front())
	p := h.Browser().Get(servertest.AuthorizePath(c, "response_mode", "form_post", "prompt", "none", "state", `"><script>alert(1)</script>`))
	policy := p.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "form-action") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	if strings.Count(p.Body, "<script") != 1 || !strings.Contains(p.Body, `<button class="primary"`) || p.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("page %s", p.Body)
	}
	if p.Form().Values.Get("state") != `"><script>alert(1)</script>` {
		t.Error("the state did not arrive as it was")
	}
}

// TestFrontGrantEnds: what came by the front channel dies with its session, and
// a code that nobody redeems leaves a grant that ends by itself.
func TestFrontGrantEnds(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", "correct horse battery")
	c, secret := h.Client("front", front())
	b := h.Browser()
	b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
	v, _ := answerOf(t, b.Get(servertest.AuthorizePath(c, "response_type", "code id_token token")), c.RedirectURIs[0])
	h.Clock.Move(2 * time.Minute)
	if !active(h, c, secret, v.Get("access_token")) {
		t.Error("the access token died with its code")
	}
	b.Get("/logout?id_token_hint=" + v.Get("id_token"))
	if active(h, c, secret, v.Get("access_token")) {
		t.Error("the access token outlives its session")
	}
}
