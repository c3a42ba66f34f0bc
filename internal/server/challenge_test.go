package server_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// firstParty may ask people for their password itself; it is a public client, as
// native applications are.
func firstParty() model.ClientSettings {
	s := spa()
	s.ApplicationType = "native"
	s.GrantTypes = []string{"authorization_code", "refresh_token"}
	s.FirstParty, s.Challenge = true, true
	return s
}

// app is an application that signs people in itself.
type app struct {
	h      *servertest.House
	c      model.Client
	secret model.Secret
}

func newApp(h *servertest.House, id string, change func(*model.ClientSettings)) app {
	s := firstParty()
	if change != nil {
		change(&s)
	}
	c, secret := h.Client(id, s)
	return app{h, c, secret}
}

// confidential makes it one with a server of its own.
func confidential(s *model.ClientSettings) {
	s.ApplicationType, s.AuthMethod = "web", model.AuthBasic
}

// ask sends a whole request; further parameters replace or add (an empty value
// removes).
func (a app) ask(extra ...string) servertest.Answer {
	form := url.Values{
		"response_type": {"code"}, "scope": {"openid profile"}, "code_challenge": {servertest.Challenge}, "code_challenge_method": {"S256"},
		"username": {"olena"}, "password": {password},
	}
	return a.call(formWith(form, extra...))
}

// goOn sends a further step.
func (a app) goOn(session string, extra ...string) servertest.Answer {
	return a.call(formWith(url.Values{"auth_session": {session}}, extra...))
}

func (a app) call(form url.Values) servertest.Answer {
	return a.h.Call("/challenge", a.c, a.secret, form)
}

func formWith(form url.Values, extra ...string) url.Values {
	for i := 0; i < len(extra); i += 2 {
		form.Set(extra[i], extra[i+1])
		if extra[i+1] == "" {
			form.Del(extra[i])
		}
	}
	return form
}

// redeem exchanges a code; there is no redirect_uri (draft §6).
func (a app) redeem(answer servertest.Answer, extra ...string) servertest.Answer {
	return a.h.Call("/token", a.c, a.secret, formWith(url.Values{
		"grant_type": {"authorization_code"}, "code": {answer.String("authorization_code")}, "code_verifier": {servertest.Verifier},
	}, extra...))
}

// signIn is the way that works.
func (a app) signIn(t *testing.T, extra ...string) servertest.Answer {
	t.Helper()
	return a.tokens(t, a.ask(extra...))
}

func (a app) tokens(t *testing.T, answer servertest.Answer) servertest.Answer {
	t.Helper()
	coded(t, answer)
	tokens := a.redeem(answer)
	if tokens.Status != http.StatusOK || !strings.HasPrefix(tokens.String("auth_session"), "ost_as_") {
		t.Fatalf("%d %s", tokens.Status, tokens.Text)
	}
	return tokens
}

// coded wants a code, draft §5.2.1.
func coded(t *testing.T, a servertest.Answer) {
	t.Helper()
	if a.Status != http.StatusOK || !strings.HasPrefix(a.String("authorization_code"), "ost_ac_") || len(a.JSON) != 1 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/json" || a.Header.Get("Set-Cookie") != "" {
		t.Errorf("%v", a.Header)
	}
}

// insufficient wants to be asked for more, and returns the auth session.
func insufficient(t *testing.T, a servertest.Answer) string {
	t.Helper()
	session := a.String("auth_session")
	if a.Status != http.StatusForbidden || a.String("error") != "insufficient_authorization" || a.JSON["password_required"] != true ||
		!strings.HasPrefix(session, "ost_as_") || len(session) != len("ost_as_")+43 || a.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	return session
}

// refusedBy wants an error and no auth session.
func refusedBy(t *testing.T, name string, a servertest.Answer, status int, code string) {
	t.Helper()
	if a.Status != status || a.String("error") != code || a.JSON["auth_session"] != nil || a.JSON["authorization_code"] != nil {
		t.Errorf("%s: %d %s, want %d %s", name, a.Status, a.Text, status, code)
	}
}

func sessionsOf(t *testing.T, h *servertest.House, u model.User) []model.Session {
	t.Helper()
	list, err := h.Accounts.Sessions(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// sessionIn is the session that an access token names.
func sessionIn(t *testing.T, h *servertest.House, tokens servertest.Answer) model.Session {
	t.Helper()
	sid, _ := claimsOf(t, tokens.String("access_token"))["sid"].(string)
	return view(t, h, func(tx *store.Tx) (model.Session, error) { return tx.Session(model.SessionID(sid)) })
}

// TestChallenge: signing in without a browser, draft-ietf-oauth-first-party-apps-04.
func TestChallenge(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		a := newApp(h, "app", nil)
		t.Run("a code, and tokens of an ordinary session (§5.2.1, §6.1)", func(t *testing.T) {
			tokens := a.signIn(t)
			session := sessionsOf(t, h, u)[0]
			access := claimsOf(t, tokens.String("access_token"))
			id := claimsOf(t, tokens.String("id_token"))
			if access["sid"] != string(session.ID) || id["sid"] != string(session.ID) || access["sub"] != string(u.ID) {
				t.Errorf("access token %v, ID token %v, session %s", access, id, session.ID)
			}
			if session.UserAgent != "Go-http-client/1.1" || session.Address == "" || session.ACR != "urn:ostiary:acr:password" || session.Remember {
				t.Errorf("%+v", session)
			}
			if a := info(t, h, tokens.String("access_token")); a.String("name") != "Olena olena" {
				t.Errorf("%s", a.Text)
			}
			// Ended by the same means as any.
			if err := h.Accounts.SignOut(t.Context(), servertest.Operator, session.ID); err != nil {
				t.Fatal(err)
			}
			refusedBy(t, "renewal", renew(h, a.c, a.secret, tokens.String("refresh_token")), 400, "invalid_grant")
			api, apiSecret := h.Client("", model.ClientSettings{GrantTypes: []string{"client_credentials"}, Resources: []string{"https://api.example"}})
			if a := h.Call("/introspect", api, apiSecret, url.Values{"token": {tokens.String("access_token")}}); a.JSON["active"] != false {
				t.Errorf("introspection: %s", a.Text)
			}
		})
		t.Run("step by step (§5.3)", func(t *testing.T) {
			first := insufficient(t, a.ask("username", "", "password", ""))
			second := insufficient(t, a.goOn(first, "client_id", "app", "username", "olena", "password", "wrong"))
			if first == second {
				t.Error("the auth session was not replaced")
			}
			refusedBy(t, "a replaced auth session", a.goOn(first, "username", "olena", "password", password), 400, "invalid_session")
			// §5.1: client_id may be left out.
			last := h.Call("/challenge", model.Client{}, "", url.Values{"auth_session": {second}, "username": {"olena"}, "password": {password}})
			tokens := a.tokens(t, last)
			if claimsOf(t, tokens.String("access_token"))["scope"] != "openid profile" {
				t.Errorf("the request was forgotten: %s", tokens.Text)
			}
			refusedBy(t, "an auth session that has served", a.goOn(second, "username", "olena", "password", password), 400, "invalid_session")
		})
		t.Run("remember", func(t *testing.T) {
			if s := sessionIn(t, h, a.signIn(t, "remember", "true")); !s.Remember || s.ExpiresAt-s.CreatedAt != 90*24*3600 {
				t.Errorf("%+v", s)
			}
		})
		t.Run("what is stored", func(t *testing.T) { challengeStored(t, h, a) })
	})
}

// challengeStored: neither auth session nor code stand in the database.
func challengeStored(t *testing.T, h *servertest.House, a app) {
	secret := insufficient(t, a.ask("password", "wrong"))
	s := view(t, h, func(tx *store.Tx) (model.AuthSession, error) {
		return tx.AuthSession(model.Secret(secret).Hash(), h.Clock.Now().Unix())
	})
	if s.Hash == secret || s.ClientID != "app" || s.UserID != "" || s.Asked == nil || s.Asked.CodeChallenge != servertest.Challenge ||
		s.ExpiresAt > h.Clock.Now().Unix()+600 {
		t.Errorf("%+v", s)
	}
	if log := h.Log.String(); strings.Contains(log, secret) || strings.Contains(log, password) || strings.Contains(log, "ost_as_") {
		t.Error("a secret is in the log")
	}
}

// TestChallengeChecks: what a request must satisfy, by the draft's clauses.
func TestChallengeChecks(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		a := newApp(h, "app", nil)
		for _, row := range []struct {
			name  string
			extra []string
			code  string
		}{
			{"§5.1 response_type: REQUIRED", []string{"response_type", ""}, "invalid_request"},
			{"§5.1 response_type: MUST contain the value of code", []string{"response_type", "code id_token"}, "unsupported_response_type"},
			{"§5.1 response_type: unknown", []string{"response_type", "cookie"}, "unsupported_response_type"},
			{"§5.1 scope: unknown to the client", []string{"scope", "openid admin"}, "invalid_scope"},
			{"§5.2.2.1.1 code_challenge: with one", []string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
			{"§5.1 code_challenge_method: S256", []string{"code_challenge_method", "plain"}, "invalid_request"},
			{"§5.1 code_challenge: RFC 7636 §4.2", []string{"code_challenge", "short"}, "invalid_request"},
			{"§4.1 resource: RFC 8707 §2", []string{"resource", "https://other.example"}, "invalid_target"},
			{"§4.1 prompt: OpenID Connect Core §3.1.2.1", []string{"prompt", "none login"}, "invalid_request"},
			{"§4.1 prompt none, and nobody is there", []string{"prompt", "none", "password", ""}, "login_required"},
			{"§4.1 max_age: not a number", []string{"max_age", "soon"}, "invalid_request"},
			{"§4.1 claims: not JSON", []string{"claims", "{"}, "invalid_request"},
			{"§4.1 an essential acr that cannot be had", []string{"claims", `{"id_token":{"acr":{"essential":true,"value":"mfa"}}}`}, "unmet_authentication_requirements"},
			{"§4.1 id_token_hint: a foreign one", []string{"id_token_hint", "x.y.z"}, "invalid_request"},
			{"§4.1 a sub that is somebody else", []string{"claims", `{"id_token":{"sub":{"value":"somebody"}}}`}, "login_required"},
			{"§4.1 request: unsigned", []string{"request", "x"}, "invalid_request_object"},
			{"§6 redirect_uri: one that is not registered", []string{"redirect_uri", "https://evil.example/"}, "invalid_request"},
			{"§5.3.1 auth_session: unknown", []string{"auth_session", "ost_as_" + strings.Repeat("x", 43)}, "invalid_session"},
			{"§5.3.1 auth_session: something else", []string{"auth_session", "ost_rt_x"}, "invalid_session"},
			{"a parameter beyond its bound", []string{"password", strings.Repeat("x", 1025)}, "invalid_request"},
		} {
			t.Run(row.name, func(t *testing.T) { refusedBy(t, row.name, a.ask(row.extra...), 400, row.code) })
		}
		twice := url.Values{"password": {"one", "two"}}
		refusedBy(t, "RFC 6749 §3.1: twice", a.call(twice), 400, "invalid_request")
		if list := sessionsOf(t, h, view(t, h, func(tx *store.Tx) (model.User, error) { return tx.UserByLogin("olena") })); len(list) != 0 {
			t.Errorf("somebody was signed in all the same: %+v", list)
		}
		t.Run("§4.1: parameters of a way through a browser mean nothing", func(t *testing.T) {
			coded(t, a.ask("response_mode", "query", "state", "x", "display", "wap"))
		})
		t.Run("§6: a redirect_uri that was sent is repeated", func(t *testing.T) {
			uri := a.c.RedirectURIs[0]
			refusedBy(t, "left out", a.redeem(a.ask("redirect_uri", uri)), 400, "invalid_grant")
			refusedBy(t, "added", a.redeem(a.ask(), "redirect_uri", uri), 400, "invalid_grant")
			if tokens := a.redeem(a.ask("redirect_uri", uri), "redirect_uri", uri); tokens.Status != http.StatusOK {
				t.Errorf("%s", tokens.Text)
			}
		})
		t.Run("the code is bound to its challenge, and good once", func(t *testing.T) {
			refusedBy(t, "another verifier", a.redeem(a.ask(), "code_verifier", strings.Repeat("v", 43)), 400, "invalid_grant")
			refusedBy(t, "no verifier", a.redeem(a.ask(), "code_verifier", ""), 400, "invalid_grant")
			answer := a.ask()
			tokens := a.tokens(t, answer)
			refusedBy(t, "replay", a.redeem(answer), 400, "invalid_grant")
			refusedBy(t, "what a replayed code brought", renew(h, a.c, a.secret, tokens.String("refresh_token")), 400, "invalid_grant")
		})
		t.Run("§4.1: POST, a form, and no script of a page (§9.8)", func(t *testing.T) {
			if a := get(t, h.Issuer+"/challenge"); a.Status != http.StatusMethodNotAllowed || a.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%d %v", a.Status, a.Header)
			}
			req := must(http.NewRequest(http.MethodPost, h.Issuer+"/challenge?client_id=app&response_type=code&username=olena&password="+url.QueryEscape(password), strings.NewReader("{}")))
			req.Header.Set("Content-Type", "application/json")
			if a := servertest.Do(t, req); a.Status != 400 || a.String("error") != "invalid_request" {
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
	})
}

// TestChallengeClients: draft §4.1, §5 and §9.1. Only who is marked, and proves it.
func TestChallengeClients(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		t.Run("not marked", func(t *testing.T) {
			a := newApp(h, "unmarked", func(s *model.ClientSettings) { s.Challenge = false })
			refusedBy(t, "first-party alone", a.ask(), 400, "unauthorized_client")
		})
		t.Run("a confidential client authenticates (§4.1)", func(t *testing.T) {
			a := newApp(h, "backend", confidential)
			a.signIn(t)
			refusedBy(t, "no secret", app{h, a.c, ""}.ask(), 401, "invalid_client")
			refusedBy(t, "a wrong one", app{h, a.c, "ost_cs_wrong"}.ask(), 401, "invalid_client")
			session := insufficient(t, a.ask("password", "wrong"))
			refusedBy(t, "an auth session alone", h.Call("/challenge", model.Client{}, "", url.Values{"auth_session": {session}, "username": {"olena"}, "password": {password}}), 401, "invalid_client")
			coded(t, a.goOn(session, "username", "olena", "password", password))
		})
		t.Run("an auth session is its client's (§5.1)", func(t *testing.T) {
			one, other := newApp(h, "one", nil), newApp(h, "other", nil)
			session := insufficient(t, one.ask("password", ""))
			refusedBy(t, "another client's", other.goOn(session, "username", "olena", "password", password), 400, "invalid_session")
			refusedBy(t, "two clients", app{h, newApp(h, "third", confidential).c, "x"}.goOn(session, "client_id", "one"), 400, "invalid_request")
			coded(t, one.goOn(session, "username", "olena", "password", password))
		})
		t.Run("nobody marks themselves", func(t *testing.T) {
			h.Restart(openRegistration)
			c, secret, answer := registered(t, h, meta{"redirect_uris": []string{"https://a.example/cb"}, "challenge": true, "first_party": true})
			if c.Challenge || answer.JSON["challenge"] != nil {
				t.Fatalf("%+v", c)
			}
			// Not even an operator's mark makes a stranger one of us.
			s := c.ClientSettings
			s.Challenge, s.Scopes = true, []string{"openid", "profile"}
			c, err := h.Registrar.UpdateClient(t.Context(), servertest.Operator, c.ID, s)
			if err != nil {
				t.Fatal(err)
			}
			refusedBy(t, "registered by itself", app{h, c, secret}.ask(), 400, "unauthorized_client")
		})
		t.Run("the mark needs the grant", func(t *testing.T) {
			s := model.ClientSettings{GrantTypes: []string{"client_credentials"}, Challenge: true}
			if _, _, err := h.Registrar.CreateClient(t.Context(), servertest.Operator, s, ""); err == nil || !strings.Contains(err.Error(), "challenge") {
				t.Errorf("%v", err)
			}
		})
		if list := sessionsOf(t, h, u); len(list) != 3 {
			t.Errorf("%d sessions", len(list))
		}
	})
}

// TestChallengeElsewhere: what only a browser can do, draft §5.2.2.1.1. Nothing has
// begun by then.
func TestChallengeElsewhere(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		a := newApp(h, "app", func(s *model.ClientSettings) { s.FirstParty = false })
		elsewhere := func(name string, extra ...string) {
			t.Helper()
			refusedBy(t, name, a.ask(extra...), 403, "redirect_to_web")
		}
		elsewhere("consent, never given")
		keys := newApp(h, "keys", func(s *model.ClientSettings) { s.SignInMethods = []string{"passkey"} })
		refusedBy(t, "a password, where the client takes passkeys alone", keys.ask(), 403, "redirect_to_web")
		refusedBy(t, "sign-up is closed", a.ask("prompt", "create"), 400, "invalid_request")
		if list := sessionsOf(t, h, u); len(list) != 0 {
			t.Fatalf("a session has begun: %+v", list)
		}
		// In the browser the person agrees; after that no browser is needed.
		at := h.Browser().SignIn(servertest.AuthorizePath(a.c, "scope", "openid profile"), "olena", password)
		if at.Query().Get("code") == "" {
			t.Fatal(at)
		}
		tokens := a.signIn(t)
		elsewhere("consent, asked for again", "prompt", "consent")
		elsewhere("consent to more", "scope", "openid profile email")
		refusedBy(t, "a choice", a.goOn(tokens.String("auth_session"), "response_type", "code", "scope", "openid", "code_challenge", servertest.Challenge,
			"code_challenge_method", "S256", "prompt", "select_account"), 403, "redirect_to_web")
		h.Restart(signUpOpen)
		elsewhere("a new account", "prompt", "create")
	})
}

// TestChallengeNoPasswordGrant: RFC 9700 §2.4. The token endpoint takes no password,
// also of a client that may ask for it.
func TestChallengeNoPasswordGrant(t *testing.T) {
	h := servertest.Start(t)
	h.User("olena", password)
	a := newApp(h, "app", nil)
	answer := h.Call("/token", a.c, a.secret, url.Values{"grant_type": {"password"}, "username": {"olena"}, "password": {password}})
	refusedBy(t, "the password grant", answer, 400, "unsupported_grant_type")
	if slices.Contains(registration.GrantTypes, "password") {
		t.Error("it can be registered")
	}
}

func exerciseChallenge(t *testing.T, w *tour) {
	c, secret := w.client(t, func(s *model.ClientSettings) { s.Challenge = true })
	form := url.Values{
		"response_type": {"code"}, "scope": {"openid"}, "code_challenge": {servertest.Challenge}, "code_challenge_method": {"S256"},
	}
	path := w.path(t, "authorization_challenge_endpoint")
	session := insufficient(t, w.h.Call(path, c, secret, maps.Clone(form)))
	answer := w.h.Call(path, c, secret, url.Values{"auth_session": {session}, "username": {"olena"}, "password": {password}})
	coded(t, answer)
	tokens := app{w.h, c, secret}.tokens(t, answer)
	if sub := w.userInfo(t, tokens.String("access_token")).String("sub"); sub == "" || claimsOf(t, tokens.String("id_token"))["sub"] != sub {
		t.Errorf("%s", tokens.Text)
	}
	plain, secret := w.client(t, func(*model.ClientSettings) {})
	refusedBy(t, "a client that is not marked", w.h.Call(path, plain, secret, form), 400, "unauthorized_client")
}
