package server_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/server"
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

// TestChallengeSession: what an auth session stands for after a sign-in (draft
// §5.3.1, A.6, A.7): a cookie's part, for this client alone.
func TestChallengeSession(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		h.User("taras", password)
		a := newApp(h, "app", nil)
		ask := func(session string, extra ...string) servertest.Answer {
			return a.ask(append([]string{"auth_session", session, "username", "", "password", ""}, extra...)...)
		}
		t.Run("no second sign-in while the session lives", func(t *testing.T) {
			one := a.signIn(t)
			two := a.tokens(t, ask(one.String("auth_session"), "scope", "openid email"))
			if claimsOf(t, one.String("access_token"))["sid"] != claimsOf(t, two.String("access_token"))["sid"] {
				t.Error("another session")
			}
			refusedBy(t, "the one before", ask(one.String("auth_session")), 400, "invalid_session")
		})
		t.Run("step-up: the password alone, in the same session (A.7)", func(t *testing.T) {
			before := a.signIn(t, "remember", "true")
			h.Clock.Move(10 * time.Minute)
			session := insufficient(t, ask(before.String("auth_session"), "max_age", "60"))
			session = insufficient(t, a.goOn(session, "password", "wrong"))
			after := a.tokens(t, a.goOn(session, "password", password))
			was, is := claimsOf(t, before.String("access_token")), claimsOf(t, after.String("access_token"))
			if was["sid"] != is["sid"] || was["auth_time"] == is["auth_time"] {
				t.Errorf("before %v, after %v", was, is)
			}
			if s := sessionIn(t, h, after); !s.Remember {
				t.Error("the session is remembered no more")
			}
		})
		t.Run("a session that has ended", func(t *testing.T) {
			tokens := a.signIn(t)
			if err := h.Accounts.SignOut(t.Context(), servertest.Operator, sessionIn(t, h, tokens).ID); err != nil {
				t.Fatal(err)
			}
			session := insufficient(t, ask(tokens.String("auth_session")))
			after := a.tokens(t, a.goOn(session, "password", password)) // who they are is known
			if claimsOf(t, tokens.String("access_token"))["sid"] == claimsOf(t, after.String("access_token"))["sid"] {
				t.Error("an ended session came back")
			}
		})
		t.Run("somebody else signs in", func(t *testing.T) {
			olena := a.signIn(t)
			taras := a.tokens(t, a.ask("auth_session", olena.String("auth_session"), "username", "taras"))
			if claimsOf(t, olena.String("access_token"))["sub"] == claimsOf(t, taras.String("access_token"))["sub"] {
				t.Error("the wrong person")
			}
			if a := renew(h, a.c, a.secret, olena.String("refresh_token")); a.Status != http.StatusOK {
				t.Errorf("what she held: %s", a.Text)
			}
		})
		t.Run("it expires", func(t *testing.T) {
			session := insufficient(t, a.ask("password", ""))
			h.Clock.Move(10*time.Minute + time.Second)
			refusedBy(t, "after ten minutes", a.goOn(session, "username", "olena", "password", password), 400, "invalid_session")
		})
		t.Run("a locked account (A.2)", func(t *testing.T) {
			tokens := a.signIn(t)
			if err := h.Accounts.Lock(t.Context(), servertest.Operator, u.ID); err != nil {
				t.Fatal(err)
			}
			refusedBy(t, "the right password", a.ask(), 400, "access_denied")
			insufficient(t, a.ask("password", "wrong")) // only who knows it is told
			insufficient(t, ask(tokens.String("auth_session")))
			if err := h.Accounts.Delete(t.Context(), servertest.Operator, u.ID); err != nil {
				t.Fatal(err)
			}
			insufficient(t, a.ask())
		})
	})
}

// TestChallengeRefresh: draft §3.2, §6.2, B.4. A renewal can be answered with a
// request for more.
func TestChallengeRefresh(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		hour := int64(3600)
		for _, scope := range []string{"openid", "openid offline_access"} {
			t.Run(scope, func(t *testing.T) {
				a := newApp(h, "", func(s *model.ClientSettings) { s.DefaultMaxAge = &hour })
				before := rows(t, h)["auth_sessions"]
				tokens := a.signIn(t, "scope", scope)
				next := renew(h, a.c, a.secret, tokens.String("refresh_token"))
				if next.Status != http.StatusOK || next.JSON["auth_session"] != nil {
					t.Fatalf("%d %s", next.Status, next.Text)
				}
				h.Clock.Move(time.Hour)
				insufficient(t, renew(h, a.c, a.secret, next.String("refresh_token")))
				session := insufficient(t, renew(h, a.c, a.secret, next.String("refresh_token"))) // not used up
				if n := rows(t, h)["auth_sessions"] - before; n != 2 {
					t.Errorf("%d auth sessions, want that of the sign-in and one of the grant", n)
				}
				after := a.tokens(t, a.ask("auth_session", session, "username", "", "scope", scope))
				if after := renew(h, a.c, a.secret, after.String("refresh_token")); after.Status != http.StatusOK {
					t.Errorf("%s", after.Text)
				}
			})
		}
		t.Run("other clients renew as ever", func(t *testing.T) {
			a := newApp(h, "", func(s *model.ClientSettings) { s.DefaultMaxAge, s.Challenge = &hour, false })
			at := h.Browser().SignIn(servertest.AuthorizePath(a.c), "olena", password)
			tokens := h.Redeem(a.c, a.secret, at)
			h.Clock.Move(time.Hour)
			if next := renew(h, a.c, a.secret, tokens.String("refresh_token")); next.Status != http.StatusOK {
				t.Errorf("%d %s", next.Status, next.Text)
			}
		})
	})
}

// TestChallengeSignOut: RFC 7009 §4.1.2. An application without a browser ends the
// session that it began.
func TestChallengeSignOut(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		a, other := newApp(h, "app", nil), newApp(h, "other", nil)
		tokens := a.signIn(t)
		sid := sessionsOf(t, h, u)[0].ID
		revoke := func(a app, token string) {
			t.Helper()
			if answer := h.Call("/revoke", a.c, a.secret, url.Values{"token": {token}, "token_type_hint": {"auth_session"}}); answer.Status != http.StatusOK {
				t.Fatalf("%d %s", answer.Status, answer.Text)
			}
		}
		revoke(other, tokens.String("auth_session")) // RFC 7009 §2.1: not issued to it
		revoke(a, "ost_as_unknown")
		if next := renew(h, a.c, a.secret, tokens.String("refresh_token")); next.Status != http.StatusOK {
			t.Fatalf("%s", next.Text)
		}
		revoke(a, tokens.String("auth_session"))
		revoke(a, tokens.String("auth_session"))
		if s := view(t, h, func(tx *store.Tx) (model.Session, error) { return tx.Session(sid) }); s.EndedAt == 0 {
			t.Error("the session lives")
		}
		log := view(t, h, func(tx *store.Tx) ([]model.Revocation, error) { return tx.Revocations(0, 100) })
		if !slices.ContainsFunc(log, func(r model.Revocation) bool {
			return r.Kind == model.KindSession && r.Value == string(sid) && r.Cause == model.CauseSignedOut
		}) {
			t.Errorf("no API is told: %+v", log)
		}
		refusedBy(t, "after it", a.goOn(tokens.String("auth_session")), 400, "invalid_session")
		pending := insufficient(t, a.ask("password", "wrong"))
		revoke(a, pending)
		refusedBy(t, "one that nobody signed in under", a.goOn(pending), 400, "invalid_session")
	})
}

// TestChallengeThrottle: draft §9.3. Wrong passwords are slowed down where they come
// from; nobody is locked out by somebody else.
func TestChallengeThrottle(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := h.User("olena", password)
		a := newApp(h, "backend", confidential)
		from := func(address, login, password string) servertest.Answer {
			return a.ask("user_address", address, "user_agent", "Notes/1.0", "username", login, "password", password)
		}
		waits := func(answer servertest.Answer) int {
			t.Helper()
			refusedBy(t, "too soon", answer, 429, "temporarily_unavailable")
			n, err := strconv.Atoi(answer.Header.Get("Retry-After"))
			if err != nil {
				t.Error(err)
			}
			return n
		}
		for _, login := range []string{"olena", "nobody"} { // who has an account is not told
			for range 5 {
				insufficient(t, from("192.0.2.1", login, "wrong"))
			}
			for _, pause := range []time.Duration{1, 2, 4, 8, 16} {
				insufficient(t, from("192.0.2.1", login, "wrong"))
				if pause == 16 { // the clock runs; the short ones may be over
					if wait := waits(from("192.0.2.1", login, password)); wait < 10 || wait > 16 {
						t.Errorf("%s: Retry-After %d", login, wait)
					}
					coded(t, from("198.51.100.7", "olena", password)) // from elsewhere
				}
				h.Clock.Move(pause * time.Second)
			}
		}
		coded(t, from("192.0.2.1", "olena", password)) // after the wait
		insufficient(t, from("192.0.2.1", "olena", "wrong"))
		insufficient(t, from("192.0.2.1", "olena", "wrong")) // begun anew
		all := view(t, h, func(tx *store.Tx) ([]model.Event, error) { return tx.Events(0, 1000) })
		held := slices.DeleteFunc(all, func(e model.Event) bool { return e.Action != "password.throttle" })
		if len(held) != 2 || held[0].UserID != u.ID || held[0].Actor.Address != "192.0.2.1" || held[1].UserID != "" {
			t.Errorf("%+v", held)
		}
		list := sessionsOf(t, h, u)
		if !slices.ContainsFunc(list, func(s model.Session) bool { return s.UserAgent == "Notes/1.0" && s.Address == "192.0.2.1" }) {
			t.Errorf("%+v", list)
		}
	})
}

// TestChallengeTogether: one auth session at the same time from several sides. Each is
// answered properly, and what is given is good.
func TestChallengeTogether(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		a := newApp(h, "app", nil)
		session := insufficient(t, a.ask("password", ""))
		const n = 5 // as many tries as are free
		answers := make(chan servertest.Answer)
		for range n {
			go func() { answers <- a.goOn(session, "username", "olena", "password", password) }()
		}
		given := 0
		for range n {
			answer := <-answers
			if answer.Status != http.StatusOK {
				refusedBy(t, "one too late", answer, 400, "invalid_session")
				continue
			}
			given++
			a.tokens(t, answer)
		}
		if given == 0 {
			t.Error("nobody was signed in")
		}
		if rest := rows(t, h)["auth_sessions"]; rest != given {
			t.Errorf("%d auth sessions of %d sign-ins", rest, given)
		}
	})
}

// TestChallengeAddress: of a public client nothing is believed.
func TestChallengeAddress(t *testing.T) {
	h := servertest.Start(t)
	u := h.User("olena", password)
	newApp(h, "app", nil).signIn(t, "user_address", "192.0.2.1", "user_agent", "Forged/1.0")
	if s := sessionsOf(t, h, u)[0]; s.Address == "192.0.2.1" || s.UserAgent == "Forged/1.0" {
		t.Errorf("%+v", s)
	}
}

// TestChallengeBounds: draft §9.3, and what strangers can fill.
func TestChallengeBounds(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		a := newApp(h, "app", nil)
		t.Run("tries of one auth session", func(t *testing.T) {
			session := insufficient(t, a.ask("password", ""))
			for range 19 {
				session = insufficient(t, a.goOn(session))
			}
			refusedBy(t, "the twentieth", a.goOn(session), 400, "invalid_session")
			refusedBy(t, "after it", a.goOn(session, "username", "olena", "password", password), 400, "invalid_session")
		})
		t.Run("requests that wait", func(t *testing.T) {
			h.Restart(func(c *server.Config) { c.Waiting = 3 })
			full := 0
			for range 200 {
				if a := a.ask("password", ""); a.Status == http.StatusTooManyRequests {
					full++
				}
			}
			if full < 100 {
				t.Errorf("%d of 200 were refused", full)
			}
			coded(t, a.ask()) // who needs no second step is not kept out
		})
	})
}

// TestChallengeBusy: when there is no place to compare a password, it is told when
// to try again, and nothing is counted.
func TestChallengeBusy(t *testing.T) {
	h := servertest.Start(t, func(c *server.Config) {
		c.Password, c.Hashes = account.Params{Memory: 64 << 10, Time: 16, Threads: 1}, 1
	})
	h.User("olena", password)
	a := newApp(h, "app", nil)
	answers := make(chan servertest.Answer)
	for i := range 8 {
		go func() { answers <- a.ask("username", "nobody"+strconv.Itoa(i)) }()
	}
	counts := map[int]int{}
	for range 8 {
		answer := <-answers
		counts[answer.Status]++
		if answer.Status == http.StatusServiceUnavailable && (answer.Header.Get("Retry-After") != "5" || answer.String("error") != "temporarily_unavailable") {
			t.Errorf("%v %s", answer.Header, answer.Text)
		}
	}
	if counts[403] == 0 || counts[503] == 0 || counts[403]+counts[503] != 8 {
		t.Errorf("%v", counts)
	}
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
