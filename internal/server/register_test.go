package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

func policy(r registration.Policy) servertest.Option {
	return func(c *server.Config) {
		if r.PerHour == 0 {
			r.PerHour = 100_000
		}
		c.Registration = r
	}
}

// TestRegisterOff: T18, off by default.
func TestRegisterOff(t *testing.T) {
	h := servertest.Start(t)
	refused(t, register(t, h, suite), 403, "access_denied")
	var d map[string]any
	discover(t, h, &d)
	if d["registration_endpoint"] != nil || d["client_id_metadata_document_supported"] != nil {
		t.Error("discovery offers what is switched off")
	}
	if n := len(view(t, h, func(tx *store.Tx) ([]model.Client, error) { return tx.Clients("", 10) })); n != 0 {
		t.Errorf("%d clients", n)
	}
}

// TestRegisterBadInput: each row breaks one rule of RFC 7591 §2, OpenID Connect
// Dynamic Client Registration §2 or of the policy; its good twin is suite.
func TestRegisterBadInput(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		const metadata, redirect = "invalid_client_metadata", "invalid_redirect_uri"
		uris := func(list ...string) meta { return suite.and("redirect_uris", list) }
		many := slices.Repeat([]string{"https://suite.example/cb"}, 1000)
		_, keys := signer(t)
		// RFC 7517 appendix A.2
		const secret = `{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}]}`
		for _, row := range []struct {
			name string
			body any
			code string
		}{
			{"not JSON", `{"redirect_uris":`, metadata},
			{"an array", `[]`, metadata},
			{"a name twice", `{"redirect_uris":["https://a.example/"],"client_name":"a","client_name":"b"}`, metadata},
			{"nested deep", strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), metadata},
			{"redirect_uris missing", suite.and("redirect_uris", nil), redirect},
			{"redirect_uris null", suite.and("redirect_uris", json.RawMessage("null")), redirect},
			{"redirect_uris empty", uris(), redirect},
			{"redirect_uris a string", suite.and("redirect_uris", "https://suite.example/cb"), redirect},
			{"redirect_uris with a number", suite.and("redirect_uris", []any{1}), redirect},
			{"a thousand redirect_uris (T18)", suite.and("redirect_uris", many), redirect},
			{"javascript: (O6)", uris("javascript:alert(1)"), redirect},
			{"data: (O6)", uris("data:text/html,x"), redirect},
			{"vbscript: (O6)", uris("vbscript:x"), redirect},
			{"file: (O6)", uris("file:///etc/passwd"), redirect},
			{"blob: (O6)", uris("blob:https://suite.example/x"), redirect},
			{"native javascript: (O6)", uris("javascript:alert(1)").and("application_type", "native"), redirect},
			{"plain http", uris("http://suite.example/cb"), redirect},
			{"a wildcard", uris("https://*.suite.example/cb"), redirect},
			{"a user name", uris("https://a@suite.example/cb"), redirect},
			{"dots", uris("https://suite.example/a/../cb"), redirect},
			{"web, implicit, localhost", uris("http://localhost/cb").and("application_type", "web").and("grant_types", []string{"authorization_code", "implicit"}), redirect},
			{"web, implicit, https localhost", uris("https://localhost/cb").and("grant_types", []string{"authorization_code", "implicit"}), redirect},
			{"post_logout_redirect_uris with javascript: (O6)", suite.and("post_logout_redirect_uris", []string{"javascript:alert(1)"}), metadata},
			{"logo_uri with javascript: (O6)", suite.and("logo_uri", "javascript:alert(1)"), metadata},
			{"policy_uri with data: (O6)", suite.and("policy_uri", "data:text/html,x"), metadata},
			{"tos_uri with file: (O6)", suite.and("tos_uri", "file:///etc/passwd"), metadata},
			{"client_uri with javascript: (O6)", suite.and("client_uri", "javascript:alert(1)"), metadata},
			{"initiate_login_uri with a fragment", suite.and("initiate_login_uri", "https://suite.example/#x"), metadata},
			{"client_name a number", suite.and("client_name", 1), metadata},
			{"client_name long (T18)", suite.and("client_name", strings.Repeat("x", 60_000)), metadata},
			{"client_name with a control character", suite.and("client_name", "a\x01b"), metadata},
			{"contacts a string", suite.and("contacts", "a@b.example"), metadata},
			{"scope a list", suite.and("scope", []string{"openid"}), metadata},
			{"scope beyond the policy", suite.and("scope", "admin groups"), metadata},
			{"a grant that nobody knows", suite.and("grant_types", []string{"carrier_pigeon"}), metadata},
			{"client_credentials: nobody stands behind it", suite.and("grant_types", []string{"client_credentials"}), metadata},
			{"a response type without its grant (RFC 7591 §2.1)", suite.and("response_types", []string{"code id_token"}), metadata},
			{"a response type that nobody knows", suite.and("response_types", []string{"token2"}), metadata},
			{"an application type that nobody knows", suite.and("application_type", "fridge"), metadata},
			{"an authentication method that nobody knows", suite.and("token_endpoint_auth_method", "password"), metadata},
			{"private_key_jwt without keys", suite.and("token_endpoint_auth_method", "private_key_jwt"), metadata},
			{"jwks and jwks_uri (RFC 7591 §2)", suite.and("jwks", json.RawMessage(keys)).and("jwks_uri", "https://suite.example/jwks"), metadata},
			{"jwks a string", suite.and("jwks", "{}"), metadata},
			{"private keys", suite.and("jwks", json.RawMessage(secret)), metadata},
			{"jwks_uri over http", suite.and("jwks_uri", "http://suite.example/jwks"), metadata},
			{"an ID token of none", suite.and("id_token_signed_response_alg", "none"), metadata},
			{"default_max_age below zero", suite.and("default_max_age", -1), metadata},
			{"require_auth_time a string", suite.and("require_auth_time", "yes"), metadata},
		} {
			t.Run(row.name, func(t *testing.T) { refused(t, register(t, h, row.body), 400, row.code) })
		}
		t.Run("a body of a megabyte (T18)", func(t *testing.T) {
			refused(t, register(t, h, suite.and("x", strings.Repeat("x", 1<<20))), 413, "invalid_request")
		})
		t.Run("another Content-Type (RFC 7591 §3.1)", func(t *testing.T) {
			a := h.Call("/register", model.Client{}, "", url.Values{"redirect_uris": {"https://suite.example/cb"}})
			refused(t, a, 400, metadata)
		})
		t.Run("GET", func(t *testing.T) { refused(t, send(t, "GET", h.Issuer+"/register", "", nil), 405, "invalid_request") })
		if list := view(t, h, func(tx *store.Tx) ([]model.Client, error) { return tx.Clients("", 10) }); len(list) != 0 {
			t.Errorf("stored: %v", list)
		}
	}, openRegistration)
}

// TestRegisterMassAssignment: P16. What an operator alone decides cannot be set, nor a
// secret of one's own (J5).
func TestRegisterMassAssignment(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		c, secret, a := registered(t, h, suite.and("first_party", true).and("audiences", []string{"https://api.example"}).
			and("resources", []string{"https://api.example"}).and("scopes", []string{"admin"}).and("access_token_life", 3600).
			and("refresh_token_life", 1e9).and("refresh_token_idle", 1e9).and("client_id", "chosen").and("client_secret", "chosen").
			and("disabled", true).and("origin", "").and("client_secret_expires_at", 1).and("scope", "openid admin"))
		got := view(t, h, func(tx *store.Tx) (model.Client, error) { return tx.Client(c.ID) })
		if c.ID == "chosen" || secret == "chosen" || got.FirstParty || got.Audiences != nil || got.Resources != nil || got.AccessTokenLife != 0 ||
			got.RefreshLife != 0 || got.RefreshIdle != 0 || got.Disabled || got.Origin != model.OriginRegistered || !slices.Equal(got.Scopes, []string{"openid"}) {
			t.Errorf("%+v", got)
		}
		if a.JSON["scope"] != "openid" || a.JSON["client_secret_expires_at"] != 0.0 { // RFC 7591 §3.2.1: what was made of it
			t.Error(a.Text)
		}
		// The same through the other door.
		b := send(t, "PUT", a.String("registration_client_uri"), a.String("registration_access_token"), suite.and("client_id", c.ID).and("first_party", true).and("audiences", []string{"x"}))
		got = view(t, h, func(tx *store.Tx) (model.Client, error) { return tx.Client(c.ID) })
		if b.Status != 200 || got.FirstParty || got.Audiences != nil {
			t.Errorf("%d %+v", b.Status, got)
		}
	}, openRegistration)
}

// TestRegistrationManagement: RFC 7592 §2, and T19.
func TestRegistrationManagement(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		h.Client("made-by-operator", web)
		c, secret, a := registered(t, h, suite)
		at, token := a.String("registration_client_uri"), a.String("registration_access_token")
		_, _, foreign := registered(t, h, suite)
		with := suite.and("client_id", c.ID)

		t.Run("another token", func(t *testing.T) {
			var answers []string
			for _, row := range []struct{ at, token string }{
				{at, ""}, {at, "ost_rat_x"}, {at, foreign.String("registration_access_token")}, {at, secret.Reveal()},
				{h.Issuer + "/register/nobody", token}, {h.Issuer + "/register/made-by-operator", token}, {h.Issuer + "/register/made-by-operator", ""},
			} {
				for _, method := range []string{"GET", "PUT", "DELETE"} {
					var body any
					if method == "PUT" {
						body = with
					}
					got := send(t, method, row.at, row.token, body)
					refused(t, got, 401, "invalid_token")
					answers = append(answers, got.Text)
				}
			}
			if slices.Sort(answers); answers[0] != answers[len(answers)-1] {
				t.Errorf("the answers differ: %q", slices.Compact(answers))
			}
		})
		t.Run("read", func(t *testing.T) {
			got := send(t, "GET", at, token, nil)
			if got.Status != 200 || got.String("client_name") != "x 9UeKcGqg" || got.String("registration_access_token") != token || got.JSON["client_secret"] != nil || got.JSON["client_secret_expires_at"] != nil {
				t.Errorf("%d %s", got.Status, got.Text)
			}
		})
		t.Run("bad updates", func(t *testing.T) {
			for name, m := range map[string]meta{
				"no client_id": suite, "another client_id": suite.and("client_id", foreign.String("client_id")),
				"registration_access_token": with.and("registration_access_token", token), "registration_client_uri": with.and("registration_client_uri", at),
				"client_secret_expires_at": with.and("client_secret_expires_at", 0), "client_id_issued_at": with.and("client_id_issued_at", 1),
				"a secret of its own (J5)": with.and("client_secret", "chosen"), "bad metadata": with.and("client_name", 1),
			} {
				t.Run(name, func(t *testing.T) { refused(t, send(t, "PUT", at, token, m), 400, "invalid_client_metadata") })
			}
			refused(t, send(t, "PUT", at, token, with.and("redirect_uris", []string{"http://evil.example"})), 400, "invalid_redirect_uri")
		})
		t.Run("update replaces, and rotates the token", func(t *testing.T) {
			got := send(t, "PUT", at, token, with.and("client_secret", secret.Reveal()).and("client_name", "Renamed").and("contacts", nil))
			if got.Status != 200 || got.String("client_name") != "Renamed" || got.JSON["contacts"] != nil || got.JSON["client_secret"] != nil {
				t.Fatalf("%d %s", got.Status, got.Text)
			}
			refused(t, send(t, "GET", at, token, nil), 401, "invalid_token")
			if token = got.String("registration_access_token"); send(t, "GET", at, token, nil).Status != 200 {
				t.Error("the new token does not work")
			}
		})
		consents := func() int {
			return len(view(t, h, func(tx *store.Tx) ([]model.Consent, error) {
				u, err := tx.UserByLogin("olena")
				if err != nil {
					return nil, err
				}
				return tx.ConsentsOf(u.ID)
			}))
		}
		t.Run("a change of what people agreed to asks them again", func(t *testing.T) {
			tokens := h.Redeem(c, secret, h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password))
			if tokens.Status != 200 || consents() != 1 {
				t.Fatalf("%d %s", tokens.Status, tokens.Text)
			}
			got := send(t, "PUT", at, token, with.and("client_name", "Renamed").and("contacts", []string{"x@suite.example"}))
			if token = got.String("registration_access_token"); consents() != 1 {
				t.Error("a harmless change took the consent")
			}
			got = send(t, "PUT", at, token, with.and("client_name", "Renamed").and("redirect_uris", append([]string{"https://other.example/"}, c.RedirectURIs...)))
			if token = got.String("registration_access_token"); got.Status != 200 || consents() != 0 {
				t.Errorf("%d %s, %d consents", got.Status, got.Text, consents())
			}
			// Another way to prove itself ends what was issued to the old one.
			got = send(t, "PUT", at, token, with.and("token_endpoint_auth_method", "none"))
			token = got.String("registration_access_token")
			h.Clock.Move(2 * time.Second)
			renewed := h.Call("/token", c, "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.String("refresh_token")}})
			refused(t, renewed, 400, "invalid_grant")
			// And back: a new secret, told once.
			got = send(t, "PUT", at, token, with)
			if token = got.String("registration_access_token"); got.Status != 200 || got.String("client_secret") == "" || got.String("client_secret") == secret.Reveal() {
				t.Errorf("%d %s", got.Status, got.Text)
			}
		})
		t.Run("what an operator alone decides stays", func(t *testing.T) {
			said := view(t, h, func(tx *store.Tx) (model.Client, error) { return tx.Client(c.ID) }).ClientSettings
			said.RequiredACR, said.SignInMethods, said.AccessTokenLife, said.OfflinePolicy = model.ACRMulti, []string{string(model.MethodPasskey)}, 60, model.OfflineEnds
			said.Scopes, said.FirstParty = append(said.Scopes, "ostiary:feed"), true
			if _, err := h.Registrar.UpdateClient(t.Context(), servertest.Operator, c.ID, said); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"Renamed", "Anew"} {
				got := send(t, "PUT", at, token, suite.and("client_id", c.ID).and("client_name", name))
				token = got.String("registration_access_token")
				is := view(t, h, func(tx *store.Tx) (model.Client, error) { return tx.Client(c.ID) }).ClientSettings
				// But for the trust in one that calls itself by another name.
				said.Name, said.FirstParty = name, name == said.Name
				if diff := cmp.Diff(said, is); got.Status != 200 || diff != "" {
					t.Errorf("%d %s: %s", got.Status, got.Text, diff)
				}
			}
		})
		t.Run("delete", func(t *testing.T) {
			if got := send(t, "DELETE", at, token, nil); got.Status != 204 {
				t.Errorf("%d %s", got.Status, got.Text)
			}
			for _, method := range []string{"GET", "DELETE"} {
				refused(t, send(t, method, at, token, nil), 401, "invalid_token")
			}
			var actions []string
			for _, e := range events(t, h, c.ID) {
				if actions = append(actions, e.Action); e.Action == "client.register" && (e.Actor.Kind != model.ActorNobody || e.Actor.Address != "127.0.0.1") {
					t.Errorf("%+v", e)
				}
			}
			if actions[0] != "client.register" || actions[len(actions)-1] != "client.delete" {
				t.Error(actions)
			}
		})
		t.Run("shut out by an operator", func(t *testing.T) {
			id := model.ClientID(foreign.String("client_id"))
			if _, err := h.Registrar.DisableClient(t.Context(), servertest.Operator, id, true); err != nil {
				t.Fatal(err)
			}
			refused(t, send(t, "DELETE", foreign.String("registration_client_uri"), foreign.String("registration_access_token"), nil), 403, "access_denied")
		})
	}, openRegistration)
}

// TestRegistrationToken: RFC 7591 §3, an initial access token.
func TestRegistrationToken(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		make := func(n registration.NewToken) (string, string) {
			row, secret, err := h.Registrar.CreateToken(t.Context(), servertest.Operator, n)
			if err != nil {
				t.Fatal(err)
			}
			return row.ID, secret.Reveal()
		}
		with := func(token string) servertest.Answer { return send(t, "POST", h.Issuer+"/register", token, suite) }
		a := register(t, h, suite)
		refused(t, a, 401, "invalid_token")
		if got := a.Header.Get("WWW-Authenticate"); got != `Bearer realm="`+h.Issuer+`"` {
			t.Error(got)
		}
		refused(t, with("ost_iat_guess"), 401, "invalid_token")

		_, twice := make(registration.NewToken{Uses: 2})
		refused(t, send(t, "POST", h.Issuer+"/register", twice, suite.and("client_name", 1)), 400, "invalid_client_metadata") // uses nothing up
		if a, b := with(twice), with(twice); a.Status != 201 || b.Status != 201 {
			t.Errorf("%d %d", a.Status, b.Status)
		}
		refused(t, with(twice), 401, "invalid_token")

		_, brief := make(registration.NewToken{Life: 60})
		h.Clock.Move(61 * time.Second)
		refused(t, with(brief), 401, "invalid_token")

		id, revoked := make(registration.NewToken{})
		if with(revoked).Status != 201 {
			t.Error("a good one was refused")
		}
		if err := h.Registrar.RevokeToken(t.Context(), servertest.Operator, id); err != nil {
			t.Fatal(err)
		}
		refused(t, with(revoked), 401, "invalid_token")

		// Of many at once, as many succeed as it is good for.
		_, raced := make(registration.NewToken{Uses: 3})
		if n := atOnce(12, func() bool { return with(raced).Status == 201 }); n != 3 {
			t.Errorf("%d registrations", n)
		}
	}, policy(registration.Policy{Mode: registration.ModeToken}))
}

// TestRegisterCount: T18, a bound on how many come from one address, also when
// they come at once and to several nodes. The hour is any, and not one of the clock.
func TestRegisterCount(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		now := h.Clock.Now()
		h.Clock.Move(now.Truncate(time.Hour).Add(time.Hour - 10*time.Second).Sub(now))
		if n := atOnce(20, func() bool { return register(t, h, suite).Status == 201 }); n != 5 {
			t.Errorf("%d registrations", n)
		}
		a := register(t, h, suite)
		refused(t, a, 429, "temporarily_unavailable")
		if wait := a.Header.Get("Retry-After"); wait != "3600" {
			t.Errorf("Retry-After %q", wait)
		}
		h.Clock.Move(20 * time.Second)
		a = register(t, h, suite)
		refused(t, a, 429, "temporarily_unavailable")
		if wait := a.Header.Get("Retry-After"); wait != "3580" {
			t.Errorf("Retry-After %q after 20 s", wait)
		}
		h.Clock.Move(time.Hour - 20*time.Second)
		if a := register(t, h, suite); a.Status != 201 {
			t.Errorf("an hour later: %d %s", a.Status, a.Text)
		}
	}, policy(registration.Policy{Mode: registration.ModeOpen, PerHour: 5}))
}

// TestRegisterPolicy: what an operator can narrow.
func TestRegisterPolicy(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		good := suite.and("token_endpoint_auth_method", "client_secret_post").and("redirect_uris", []string{"https://a.suite.example/cb", "com.suite.app:/cb"}).and("application_type", "native")
		c, secret, a := registered(t, h, good)
		if got := view(t, h, func(tx *store.Tx) (model.Client, error) { return tx.Client(c.ID) }); !slices.Equal(got.Audiences, []string{"https://mcp.example.com/"}) {
			t.Errorf("%+v", got)
		}
		if a.JSON["scope"] != "openid mcp:tools" || a.JSON["client_secret_expires_at"].(float64) < float64(h.Clock.Now().Unix()+3500) {
			t.Error(a.Text)
		}
		for _, uri := range []string{"https://suite.example/cb", "https://evil.example/cb", "https://a.suite.example.evil.example/cb", "https://asuite.example/cb", "http://127.0.0.1/cb", "com.evil.app:/cb"} {
			refused(t, register(t, h, good.and("redirect_uris", []string{uri})), 400, "invalid_redirect_uri")
		}
		refused(t, register(t, h, good.and("post_logout_redirect_uris", []string{"https://evil.example/"})), 400, "invalid_client_metadata")
		refused(t, register(t, h, suite.and("redirect_uris", []string{"https://a.suite.example/cb"})), 400, "invalid_client_metadata") // client_secret_basic

		// A secret that has expired proves nothing; an update brings a new one.
		redeem := func(secret string) servertest.Answer {
			at := h.Browser().SignIn(servertest.AuthorizePath(c, "scope", "openid"), "olena", password)
			return h.Call("/token", model.Client{}, "", url.Values{"client_id": {string(c.ID)}, "client_secret": {secret}, "grant_type": {"authorization_code"},
				"code": {at.Query().Get("code")}, "redirect_uri": {c.RedirectURIs[0]}, "code_verifier": {servertest.Verifier}})
		}
		if got := redeem(secret.Reveal()); got.Status != 200 {
			t.Errorf("%d %s", got.Status, got.Text)
		}
		h.Clock.Move(time.Hour + time.Minute)
		refused(t, redeem(secret.Reveal()), 401, "invalid_client")
		got := send(t, "PUT", a.String("registration_client_uri"), a.String("registration_access_token"), good.and("client_id", c.ID))
		h.Clock.Move(2 * time.Second)
		if again := redeem(got.String("client_secret")); again.Status != 200 {
			t.Errorf("%d %s", again.Status, again.Text)
		}
	}, policy(registration.Policy{
		Mode: registration.ModeOpen, Scopes: []string{"openid", "mcp:tools"}, AuthMethods: []string{"client_secret_post", "none"}, Audiences: []string{"https://mcp.example.com/"},
		RedirectHosts: []string{"*.suite.example", "com.suite.app:"}, SecretLife: time.Hour,
	}))
}

// TestRegisterNative: a program that does not say what it is, as those of the
// Model Context Protocol, gets the free port of RFC 8252 §7.3.
func TestRegisterNative(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		c, _, a := registered(t, h, meta{"redirect_uris": []string{"http://localhost/callback"}, "token_endpoint_auth_method": "none"})
		if a.JSON["application_type"] != "native" || a.JSON["client_secret"] != nil || a.JSON["client_secret_expires_at"] != nil {
			t.Error(a.Text)
		}
		c.RedirectURIs = []string{"http://localhost:54212/callback"}
		got := h.Redeem(c, "", h.Browser().SignIn(servertest.AuthorizePath(c), "olena", password))
		if got.Status != 200 || got.JSON["refresh_token"] != nil { // RFC 7591 §2: authorization_code alone, unless asked for
			t.Errorf("%d %s", got.Status, got.Text)
		}
	}, openRegistration)
}

// TestSweepClients: registrations that nobody uses go; those in use, those of the
// operator, and those that were shut out stay.
func TestSweepClients(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		h.Client("made-by-operator", web)
		unused, _, a := registered(t, h, suite)
		used, secret, _ := registered(t, h, suite)
		shut, _, _ := registered(t, h, suite)
		if _, err := h.Registrar.DisableClient(t.Context(), servertest.Operator, shut.ID, true); err != nil {
			t.Fatal(err)
		}
		h.Clock.Move(29 * 24 * time.Hour)
		if got := h.Redeem(used, secret, h.Browser().SignIn(servertest.AuthorizePath(used), "olena", password)); got.Status != 200 {
			t.Fatalf("%d %s", got.Status, got.Text)
		}
		h.Clock.Move(2 * 24 * time.Hour)
		n, err := h.Registrar.SweepClients(t.Context())
		if err != nil || n != 1 {
			t.Errorf("%d %v", n, err)
		}
		left := view(t, h, func(tx *store.Tx) ([]model.Client, error) { return tx.Clients("", 10) })
		if len(left) != 3 || slices.ContainsFunc(left, func(c model.Client) bool { return c.ID == unused.ID }) {
			t.Errorf("%v", left)
		}
		refused(t, send(t, "GET", a.String("registration_client_uri"), a.String("registration_access_token"), nil), 401, "invalid_token")
		err = h.Store.Upkeep(t.Context(), func(tx *store.Tx) (err error) {
			for i := 0; err == nil && i < 201; i++ { // more than are listed at once
				id := model.ClientID(fmt.Sprint("many-", i))
				if err = tx.InsertClient(model.Client{ID: id, Origin: model.OriginRegistered}); err == nil {
					err = tx.InsertRegistration(model.Registration{ClientID: id, UsedAt: 1})
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := h.Registrar.SweepClients(t.Context()); err != nil || n != 201 {
			t.Errorf("%d %v", n, err)
		}
		if all := events(t, h, unused.ID); all[len(all)-1].Action != "client.expire" || all[len(all)-1].Actor.Kind != model.ActorSystem {
			t.Errorf("%+v", all)
		}
	}, openRegistration)
}

// TestRegisteredPages: what a stranger says of itself is shown as text (O34), with
// a mark that nobody here knows it (T18), and its logo only if it is a picture.
func TestRegisteredPages(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		const evil = `"><img src=x onerror=alert(1)>`
		site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/svg":
				w.Header().Set("Content-Type", "image/png")
				w.Write([]byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`))
			case "/large":
				w.Write(drawn(4000))
			case "/long":
				w.Write(append(drawn(8), make([]byte, 300<<10)...))
			}
		}))
		defer site.Close()
		for _, path := range []string{"/svg", "/large", "/long", "/none"} {
			c, _, _ := registered(t, h, suite.and("client_name", evil).and("logo_uri", site.URL+path).and("policy_uri", "https://suite.example/"+evil))
			b := h.Browser()
			login := b.Get(servertest.AuthorizePath(c))
			consent := login.Submit("primary", "login", "olena", "password", password)
			for _, p := range []*servertest.Page{login, consent} {
				if p.Status != 200 || strings.Contains(p.Body, "<img") || strings.Contains(p.Body, "onerror=alert(1)>") {
					t.Errorf("%s: %d %s", path, p.Status, p.Body)
				}
			}
			if !strings.Contains(consent.Body, "Not verified by Ostiary") {
				t.Error(consent.Body)
			}
		}
		for deadline := time.Now().Add(10 * time.Second); strings.Count(h.Log.String(), "a logo is not shown") < 4 && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
		if n := strings.Count(h.Log.String(), "a logo is not shown"); n != 4 {
			t.Errorf("%d logos were refused\n%s", n, h.Log)
		}
		// The good twin: a client that an operator registered has no such mark.
		known, _ := h.Client("known", web)
		p := h.Browser().Get(servertest.AuthorizePath(known)).Submit("primary", "login", "olena", "password", password)
		if p.Status != 200 || strings.Contains(p.Body, "Not verified") {
			t.Error(p.Body)
		}
	}, openRegistration)
}

// TestRegistrationSSRF: O30. No address that a client names is fetched inside the
// network; there is nothing to tell an open port from a closed one.
func TestRegistrationSSRF(t *testing.T) {
	inner := 0
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inner++ }))
	defer inside.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(inside.URL, "http://"), ":")
	h := servertest.Start(t, openRegistration, func(c *server.Config) { c.Issuer = "https://login.example.com" }) // not on loopback: no exception
	h.Issuer = "http://" + h.Addr().String()
	for i, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"} {
		registered(t, h, suite.and("client_name", fmt.Sprint(i)).and("logo_uri", "http://"+host+":"+port+"/logo.png"))
	}
	for deadline := time.Now().Add(10 * time.Second); strings.Count(h.Log.String(), "a logo is not shown") < 4 && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	if n := strings.Count(h.Log.String(), "a logo is not shown"); n != 4 || inner != 0 {
		t.Errorf("%d refused, %d reached\n%s", n, inner, h.Log)
	}
}
