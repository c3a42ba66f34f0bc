package server_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jws"
)

// TestCrossJWT sends every kind of token that the server issues to every place of
// it that takes one (attack J34; RFC 8725 §2.8, §3.11, RFC 9068 §4). Each place
// accepts its own kind, which is the good twin of the others.
func TestCrossJWT(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		x := newCross(t, h)
		up := newUpstream(t, h, nil)
		places := []struct {
			name    string
			accepts []string
			try     func(t *testing.T, token string) bool
		}{
			{"userinfo", []string{"access"}, func(t *testing.T, token string) bool { return info(t, h, token).Status == http.StatusOK }},
			{"introspection", []string{"access", "robot", "refresh"}, func(t *testing.T, token string) bool {
				return active(h, x.p.c, x.p.secret, token) || active(h, x.robot, x.robotSecret, token)
			}},
			{"id_token_hint at authorize", []string{"id"}, func(t *testing.T, token string) bool {
				v, _ := answerOf(t, x.p.b.Get(servertest.AuthorizePath(x.p.c, "prompt", "none", "id_token_hint", token)), x.p.c.RedirectURIs[0])
				if !v.Has("code") && v.Get("error") != "invalid_request" {
					t.Errorf("%v", v)
				}
				return v.Has("code")
			}},
			{"id_token_hint at logout", []string{"id"}, func(t *testing.T, token string) bool {
				return h.Browser().Get("/logout?id_token_hint="+url.QueryEscape(token)).Status == http.StatusOK
			}},
			{"client_assertion", nil, func(t *testing.T, token string) bool { return x.assert(token) }},
			{"code at the token endpoint", []string{"code"}, func(t *testing.T, token string) bool {
				return h.Redeem(x.p.c, x.p.secret, &url.URL{RawQuery: url.Values{"code": {token}}.Encode()}).Status == http.StatusOK
			}},
			{"refresh_token at the token endpoint", []string{"refresh"}, func(t *testing.T, token string) bool {
				a := renew(h, x.p.c, x.p.secret, token)
				if a.Status == http.StatusOK {
					x.tokens["refresh"] = a.String("refresh_token")
				}
				return a.Status == http.StatusOK
			}},
			{"security events of a transmitter", nil, func(_ *testing.T, token string) bool {
				return up.push(token, "Bearer "+up.secret.Reveal()).Status != http.StatusBadRequest
			}},
			{"streams", nil, func(t *testing.T, token string) bool {
				return (&receiver{t: t, h: h, token: token}).ask("GET", h.Issuer+"/ssf/streams", nil).Status == http.StatusOK
			}},
			// The last, because it works.
			{"revocation", []string{"access", "robot", "refresh"}, func(t *testing.T, token string) bool { return x.revoke(t, token) }},
		}
		for _, place := range places {
			kinds := without(x.kinds(), place.accepts) // what must do nothing comes first
			for _, kind := range append(kinds, place.accepts...) {
				t.Run(kind+" to "+place.name, func(t *testing.T) {
					if got, want := place.try(t, x.tokens[kind]), slices.Contains(place.accepts, kind); got != want {
						t.Errorf("accepted: %t, want %t", got, want)
					}
				})
			}
		}
	})
}

func without(list, taken []string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return slices.Contains(taken, s) })
}

// cross is a person with one token of each kind.
type cross struct {
	h           *servertest.House
	p           person
	robot       model.Client
	robotSecret model.Secret
	evil        model.Client // which says that the server's keys are its own
	tokens      map[string]string
}

func newCross(t *testing.T, h *servertest.House) *cross {
	t.Helper()
	key := generate(t, jwa.ECDHES)
	x := &cross{h: h, p: newPerson(t, h, func(s *model.ClientSettings) { s.IDTokenAlgorithm = "ES256" }), tokens: map[string]string{}}
	x.robot, x.robotSecret = h.Client("robot", machine)
	evil := machine
	evil.AuthMethod, evil.JWKSURI = model.AuthPrivateKey, h.Issuer+"/jwks"
	x.evil, _ = h.Client("evil", evil)

	a := x.p.code(t)
	x.tokens["access"], x.tokens["id"], x.tokens["refresh"] = a.String("access_token"), a.String("id_token"), a.String("refresh_token")
	x.tokens["code"] = x.p.b.Get(servertest.AuthorizePath(x.p.c)).Left.Query().Get("code")
	x.tokens["robot"] = h.Call("/token", x.robot, x.robotSecret, url.Values{"grant_type": {"client_credentials"}}).String("access_token")

	// The same person's tokens in their other forms, by a client of its own.
	s := front()
	s.JWKS = setOf(t, key)
	form := func(change func(*model.ClientSettings)) servertest.Answer {
		change(&s)
		c, secret := h.Client(model.NewID(), s)
		a := h.Redeem(c, secret, x.p.b.Get(servertest.AuthorizePath(c)).Left)
		if a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		return a
	}
	x.tokens["signed userinfo"] = info(t, h, form(func(s *model.ClientSettings) { s.UserInfoAlgorithm = "ES256" }).String("access_token")).Text
	nested := form(func(s *model.ClientSettings) { s.UserInfoEncryption, s.IDTokenEncryption = "ECDH-ES", "ECDH-ES" })
	x.tokens["encrypted ID token"] = nested.String("id_token")
	x.tokens["signed and encrypted userinfo"] = info(t, h, nested.String("access_token")).Text
	x.tokens["encrypted userinfo"] = info(t, h, form(func(s *model.ClientSettings) { s.UserInfoAlgorithm = "" }).String("access_token")).Text

	// A logout token as OpenID Connect Back-Channel Logout §2.4 has it, with all
	// that the checks of another kind could ask for.
	now := h.Clock.Now().Unix()
	logout, err := h.Keys.Sign(jwa.ES256, "logout+jwt", map[string]any{
		"iss": h.Issuer, "aud": []string{string(x.p.c.ID)}, "sub": string(x.p.u.ID), "iat": now, "exp": now + 60, "jti": model.NewID(),
		"client_id": string(x.p.c.ID), "scope": "openid", "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	x.tokens["logout token"] = logout
	// A security event token, likewise (RFC 8417 §4.5 to §4.7).
	event, err := h.Keys.Sign(jwa.ES256, "secevent+jwt", map[string]any{
		"iss": h.Issuer, "aud": []string{string(x.p.c.ID), h.Issuer}, "sub": string(x.p.u.ID), "iat": now, "exp": now + 60, "jti": model.NewID(),
		"client_id": string(x.p.c.ID), "scope": "openid", "events": map[string]any{model.EventSessionRevoked: map[string]any{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	x.tokens["security event"] = event
	for kind, token := range x.tokens {
		if len(token) < 20 {
			t.Fatalf("there is no %s: %q", kind, token)
		}
	}
	return x
}

func (x *cross) kinds() (list []string) {
	for kind := range x.tokens {
		list = append(list, kind)
	}
	slices.Sort(list)
	return list
}

// assert tries a token as the proof of the client that has the server's keys, with
// and without saying who that client is.
func (x *cross) assert(token string) bool {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_assertion": {token},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
	if x.h.Call("/token", model.Client{}, "", form).Status == http.StatusOK {
		return true
	}
	form.Set("client_id", string(x.evil.ID))
	return x.h.Call("/token", model.Client{}, "", form).Status == http.StatusOK
}

// revoke reports whether anything of the person or the robot ends by it.
func (x *cross) revoke(t *testing.T, token string) bool {
	t.Helper()
	live := func() (n int) {
		for _, kind := range []string{"access", "refresh"} {
			if active(x.h, x.p.c, x.p.secret, x.tokens[kind]) {
				n++
			}
		}
		if active(x.h, x.robot, x.robotSecret, x.tokens["robot"]) {
			n++
		}
		return n
	}
	before := live()
	for _, row := range []struct {
		c      model.Client
		secret model.Secret
	}{{x.p.c, x.p.secret}, {x.robot, x.robotSecret}} {
		if a := x.h.Call("/revoke", row.c, row.secret, url.Values{"token": {token}}); a.Status != http.StatusOK && a.String("error") != "invalid_grant" { // RFC 7009 §2.2, §2.1
			t.Errorf("%d %s", a.Status, a.Text)
		}
	}
	return live() < before
}

// TestAssertionOfServer: the good twin of the column "client_assertion": a client
// that has keys proves itself with them.
func TestAssertionOfServer(t *testing.T) {
	h := servertest.Start(t)
	key := generate(t, jwa.ES256)
	s := machine
	s.AuthMethod, s.JWKS = model.AuthPrivateKey, setOf(t, key)
	c, _ := h.Client("signer", s)
	now := h.Clock.Now().Unix()
	claims := map[string]any{"iss": string(c.ID), "sub": string(c.ID), "aud": h.Issuer, "exp": now + 60, "jti": model.NewID()}
	x := &cross{h: h}
	if !x.assert(sign(t, key, jws.SignOptions{}, claims)) {
		t.Error("refused")
	}
	if _, err := h.Authority.UserInfo(context.Background(), sign(t, key, jws.SignOptions{}, claims), "127.0.0.1"); err == nil {
		t.Error("an assertion is an access token")
	}
}
