package server_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
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

// scene is somebody at one application, in one session, of which there are two
// grants: one that ends with it, and one that outlives it.
type scene struct {
	person
	session        model.SessionID
	first, offline servertest.Answer
	code           *url.URL // the one that first came from
	api            model.Client
	apiSecret      model.Secret
}

func newScene(t *testing.T, h *servertest.House, api model.Client, apiSecret model.Secret, change func(*model.ClientSettings)) *scene {
	t.Helper()
	s := &scene{person: newPerson(t, h, change), api: api, apiSecret: apiSecret}
	s.code = s.b.Get(servertest.AuthorizePath(s.c, "scope", "openid")).Left
	s.first = h.Redeem(s.c, s.secret, s.code)
	s.offline = h.Redeem(s.c, s.secret, s.b.Get(servertest.AuthorizePath(s.c, "scope", "openid offline_access")).Left)
	s.session = model.SessionID(s.claim(t, s.first, "id_token", "sid"))
	if s.offline.String("refresh_token") == "" || s.session == "" || s.claim(t, s.offline, "id_token", "sid") != string(s.session) {
		t.Fatalf("%s\n%s", s.first.Text, s.offline.Text)
	}
	return s
}

func (s *scene) claim(t *testing.T, a servertest.Answer, token, name string) string {
	t.Helper()
	text, _ := claimsOf(t, a.String(token))[name].(string)
	return text
}

// written is what a path has to write into the log.
type written struct {
	kind  model.Kind
	value string
	cause model.Cause
	cut   bool // puts out what was issued up to now
	token bool // is remembered as long as the one token lives, not as any might
}

// written reads what the log has about a scene after a sequence.
func (s *scene) written(t *testing.T, after int64) (list []model.Revocation) {
	t.Helper()
	mine := map[string]bool{string(s.session): true, string(s.u.ID): true, string(s.c.ID): true, "": true}
	for _, a := range []servertest.Answer{s.first, s.offline} {
		for _, name := range []string{"grant_id", "jti"} {
			mine[s.claim(t, a, "access_token", name)] = true
		}
	}
	for _, r := range logged(t, s.h, after) {
		if mine[r.Value] {
			list = append(list, r)
		}
	}
	return list
}

// dead wants everything to refuse what came with an answer of the token endpoint.
func (s *scene) dead(t *testing.T, name string, a servertest.Answer, renewal refusedRenewal) {
	t.Helper()
	s.put(t, name, a.String("access_token"))
	if renewal.code == "" {
		return // its refresh token lives: only the access token is meant
	}
	if renewal.code != "invalid_client" && active(s.h, s.c, s.secret, a.String("refresh_token")) { // RFC 7662 §2.2
		t.Errorf("%s: the refresh token is active", name)
	}
	got := renew(s.h, s.c, s.secret, a.String("refresh_token"))
	if got.Status < 400 || got.String("error") != renewal.code || got.String("ostiary_cause") != string(renewal.cause) {
		t.Errorf("%s: renewing: %d %s, want %+v", name, got.Status, got.Text, renewal)
	}
}

// put wants an access token to be out.
func (s *scene) put(t *testing.T, name, token string) {
	t.Helper()
	if a := introspect(t, s.h, s.api, s.apiSecret, token, ""); a.JSON["active"] != false {
		t.Errorf("%s: introspection says %d %s", name, a.Status, a.Text)
	}
	if a := info(t, s.h, token); a.Status != http.StatusUnauthorized || a.String("error") != "invalid_token" { // RFC 6750 §3.1
		t.Errorf("%s: userinfo says %d %s", name, a.Status, a.Text)
	}
}

// alive wants what came with an answer to be as good as before.
func (s *scene) alive(t *testing.T, name string, a servertest.Answer) {
	t.Helper()
	if got := renew(s.h, s.c, s.secret, a.String("refresh_token")); got.Status != http.StatusOK {
		t.Errorf("%s: renewing: %d %s", name, got.Status, got.Text)
	}
	if token := a.String("access_token"); introspect(t, s.h, s.api, s.apiSecret, token, "").JSON["active"] != true || info(t, s.h, token).Status != http.StatusOK {
		t.Errorf("%s: the access token is out", name)
	}
}

type refusedRenewal struct {
	code  string
	cause model.Cause
}

// path is one way in which something ends.
type path struct {
	name    string
	end     func(t *testing.T, s *scene) error
	entries func(t *testing.T, s *scene) []written
	first   *refusedRenewal // of the grant that ends with the session; nil: it lives
	offline *refusedRenewal // of the one that outlives it
	client  func(*model.ClientSettings)
}

func grantEnds(cause model.Cause) *refusedRenewal { return &refusedRenewal{"invalid_grant", cause} }

func ofSession(cause model.Cause) func(*testing.T, *scene) []written {
	return func(_ *testing.T, s *scene) []written {
		return []written{{kind: model.KindSession, value: string(s.session), cause: cause}}
	}
}

func ofPerson(cause model.Cause) func(*testing.T, *scene) []written {
	return func(_ *testing.T, s *scene) []written {
		return []written{{kind: model.KindSubject, value: string(s.u.ID), cause: cause, cut: true}}
	}
}

func ofClient(cause model.Cause) func(*testing.T, *scene) []written {
	return func(_ *testing.T, s *scene) []written {
		return []written{{kind: model.KindClient, value: string(s.c.ID), cause: cause, cut: true}}
	}
}

func ofGrant(cause model.Cause, which func(*scene) servertest.Answer) func(*testing.T, *scene) []written {
	return func(t *testing.T, s *scene) []written {
		return []written{{kind: model.KindGrant, value: s.claim(t, which(s), "access_token", "grant_id"), cause: cause}}
	}
}

func theFirst(s *scene) servertest.Answer   { return s.first }
func theOffline(s *scene) servertest.Answer { return s.offline }

// update changes the settings of the scene's client.
func (s *scene) update(t *testing.T, change func(*model.ClientSettings)) error {
	settings := s.c.ClientSettings
	change(&settings)
	_, err := s.h.Registrar.UpdateClient(t.Context(), servertest.Operator, s.c.ID, settings)
	return err
}

func (s *scene) call(path string, form url.Values) error {
	if a := s.h.Call(path, s.c, s.secret, form); a.Status != http.StatusOK {
		return errors.New(a.Text)
	}
	return nil
}

var paths = []path{
	{name: "the person signs out", end: func(t *testing.T, s *scene) error {
		s.b.Get("/logout").Submit("primary")
		return nil
	}, entries: ofSession(model.CauseSignedOut), first: grantEnds(model.CauseSignedOut)},

	{name: "an application signs them out (OpenID Connect RP-Initiated Logout §2)", end: func(t *testing.T, s *scene) error {
		s.b.Get("/logout?id_token_hint=" + s.first.String("id_token"))
		return nil
	}, entries: ofSession(model.CauseSignedOut), first: grantEnds(model.CauseSignedOut)},

	{name: "an administrator ends the session", end: func(t *testing.T, s *scene) error {
		return s.h.Accounts.SignOut(t.Context(), servertest.Operator, s.session)
	}, entries: ofSession(model.CauseAdmin), first: grantEnds(model.CauseAdmin)},

	{name: "the person sets a new password elsewhere", end: func(t *testing.T, s *scene) error {
		elsewhere, err := sessionOf(t.Context(), s.h.Accounts, s.u.Login, password)
		if err != nil {
			return err
		}
		self := model.Actor{Kind: model.ActorUser, ID: string(s.u.ID)}
		return s.h.Accounts.SetPassword(t.Context(), self, s.u.ID, account.NewPassword{Password: "another horse battery", Keep: elsewhere.Session.ID})
	}, entries: func(t *testing.T, s *scene) []written {
		return append(ofSession(model.CauseCredentialChange)(t, s), ofGrant(model.CauseCredentialChange, theOffline)(t, s)...)
	}, first: grantEnds(model.CauseCredentialChange), offline: grantEnds(model.CauseCredentialChange)},

	{name: "an operator sets a new password", end: func(t *testing.T, s *scene) error {
		return s.h.Accounts.SetPassword(t.Context(), servertest.Operator, s.u.ID, account.NewPassword{Password: "another horse battery"})
	}, entries: ofPerson(model.CauseCredentialChange), first: grantEnds(model.CauseCredentialChange), offline: grantEnds(model.CauseCredentialChange)},

	{name: "an operator signs the person out everywhere", end: func(t *testing.T, s *scene) error {
		return s.h.Accounts.SignOutEverywhere(t.Context(), servertest.Operator, s.u.ID)
	}, entries: ofPerson(model.CauseAdmin), first: grantEnds(model.CauseAdmin), offline: grantEnds(model.CauseAdmin)},

	{name: "the person signs out everywhere", end: func(t *testing.T, s *scene) error {
		return s.h.Accounts.SignOutEverywhere(t.Context(), model.Actor{Kind: model.ActorUser, ID: string(s.u.ID)}, s.u.ID)
	}, entries: ofPerson(model.CauseSignedOut), first: grantEnds(model.CauseSignedOut), offline: grantEnds(model.CauseSignedOut)},

	{name: "the account is locked", end: func(t *testing.T, s *scene) error {
		return s.h.Accounts.Lock(t.Context(), servertest.Operator, s.u.ID)
	}, entries: ofPerson(model.CauseAccountDisabled), first: grantEnds(model.CauseAccountDisabled), offline: grantEnds(model.CauseAccountDisabled)},

	{name: "the account is locked and unlocked", end: func(t *testing.T, s *scene) error {
		return errors.Join(s.h.Accounts.Lock(t.Context(), servertest.Operator, s.u.ID), s.h.Accounts.Unlock(t.Context(), servertest.Operator, s.u.ID))
	}, entries: func(t *testing.T, s *scene) []written {
		return append(ofPerson(model.CauseAccountDisabled)(t, s), ofPerson(model.CauseAdmin)(t, s)...)
	}, first: grantEnds(model.CauseAdmin), offline: grantEnds(model.CauseAdmin)},

	{name: "the account is deleted", end: func(t *testing.T, s *scene) error {
		return s.h.Accounts.Delete(t.Context(), servertest.Operator, s.u.ID)
	}, entries: ofPerson(model.CauseAccountDisabled), first: grantEnds(""), offline: grantEnds("")},

	{name: "the client is disabled", end: func(t *testing.T, s *scene) error {
		_, err := s.h.Registrar.DisableClient(t.Context(), servertest.Operator, s.c.ID, true)
		return err
	}, entries: ofClient(model.CauseAdmin), first: &refusedRenewal{code: "invalid_client"}, offline: &refusedRenewal{code: "invalid_client"}},

	{name: "the client is deleted", end: func(t *testing.T, s *scene) error {
		return s.h.Registrar.DeleteClient(t.Context(), servertest.Operator, s.c.ID)
	}, entries: ofClient(model.CauseAdmin), first: &refusedRenewal{code: "invalid_client"}, offline: &refusedRenewal{code: "invalid_client"}},

	{name: "the client is to know people by other names (OpenID Connect Core §8)", end: func(t *testing.T, s *scene) error {
		return s.update(t, func(c *model.ClientSettings) { c.SubjectType = model.SubjectPairwise })
	}, entries: ofClient(model.CauseAdmin), first: grantEnds(model.CauseAdmin), offline: grantEnds(model.CauseAdmin),
		client: func(c *model.ClientSettings) { c.RedirectURIs = []string{"https://shop.example/callback"} }},

	{name: "a refresh token is used again (RFC 9700 §4.14.2)", end: func(t *testing.T, s *scene) error {
		next := renew(s.h, s.c, s.secret, s.first.String("refresh_token"))
		renew(s.h, s.c, s.secret, next.String("refresh_token"))
		if a := renew(s.h, s.c, s.secret, s.first.String("refresh_token")); a.Status == http.StatusOK {
			return errors.New(a.Text)
		}
		s.put(t, "the access token of the successor", next.String("access_token"))
		return nil
	}, entries: ofGrant(model.CauseReuseDetected, theFirst), first: grantEnds(model.CauseReuseDetected)},

	{name: "a code is used again (RFC 6749 §4.1.2)", end: func(t *testing.T, s *scene) error {
		if a := s.h.Redeem(s.c, s.secret, s.code); a.Status == http.StatusOK {
			return errors.New(a.Text)
		}
		return nil
	}, entries: ofGrant(model.CauseReuseDetected, theFirst), first: grantEnds(model.CauseReuseDetected)},

	{name: "the client revokes an access token (RFC 7009 §2.1)", end: func(t *testing.T, s *scene) error {
		return s.call("/revoke", url.Values{"token": {s.first.String("access_token")}})
	}, entries: func(t *testing.T, s *scene) []written {
		return []written{{kind: model.KindToken, value: s.claim(t, s.first, "access_token", "jti"), cause: model.CauseRevoked, token: true}}
	}, first: &refusedRenewal{}},

	{name: "the client revokes a refresh token (RFC 7009 §2.1)", end: func(t *testing.T, s *scene) error {
		return s.call("/revoke", url.Values{"token": {s.offline.String("refresh_token")}})
	}, entries: ofGrant(model.CauseRevoked, theOffline), offline: grantEnds(model.CauseRevoked)},

	{name: "the session is idle for too long", end: func(t *testing.T, s *scene) error {
		s.h.Clock.Move(11 * time.Minute)
		s.dead(t, "before anybody has noticed", s.first, *grantEnds(model.CauseExpired))
		eventually(t, "the end of the session", func() bool { return len(s.written(t, 0)) > 0 })
		return nil
	}, entries: ofSession(model.CauseExpired), first: grantEnds(model.CauseExpired)},

	{name: "the session is too old", end: func(t *testing.T, s *scene) error {
		for range 4 { // in use all the time
			s.h.Clock.Move(8 * time.Minute)
			s.b.Get("/")
		}
		eventually(t, "the end of the session", func() bool { return len(s.written(t, 0)) > 0 })
		return nil
	}, entries: ofSession(model.CauseExpired), first: grantEnds(model.CauseExpired)},

	{name: "too many people sign in at one browser", end: func(t *testing.T, s *scene) error {
		for i := range account.MaxAccounts {
			s.h.Clock.Move(time.Second)
			login := fmt.Sprintf("%s%d", s.u.Login, i)
			s.h.User(login, password)
			s.b.SignIn(servertest.AuthorizePath(s.c, "prompt", "login"), login, password)
		}
		return nil
	}, entries: ofSession(model.CausePolicy), first: grantEnds(model.CausePolicy)},

	{name: "offline access is taken from the client", end: func(t *testing.T, s *scene) error {
		err := errors.Join(
			s.update(t, func(c *model.ClientSettings) { c.OfflinePolicy = model.OfflineEnds }),
			s.h.Accounts.SignOut(t.Context(), servertest.Operator, s.session))
		s.dead(t, "when the policy is looked at", servertest.Answer{JSON: map[string]any{"refresh_token": s.offline.String("refresh_token"), "access_token": "x"}}, *grantEnds(model.CausePolicy))
		return err
	}, entries: func(t *testing.T, s *scene) []written {
		return append(ofSession(model.CauseAdmin)(t, s), ofGrant(model.CausePolicy, theOffline)(t, s)...)
	}, first: grantEnds(model.CauseAdmin), offline: grantEnds(model.CausePolicy)},

	{name: "everything ends", end: func(t *testing.T, s *scene) error {
		return s.h.Accounts.SignOutEverybody(t.Context(), servertest.Operator)
	},
		entries: func(*testing.T, *scene) []written {
			return []written{{kind: model.KindAll, cause: model.CauseAdmin, cut: true}}
		},
		first: grantEnds(model.CauseAdmin), offline: grantEnds(model.CauseAdmin)},
}

// TestPaths: one row for each path that ends something. It writes exactly that into
// the revocation log, and from then on nothing of it is good anywhere.
func TestPaths(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		api, apiSecret := h.Client("api", model.ClientSettings{Resources: web.Audiences})
		for _, row := range paths {
			t.Run(row.name, func(t *testing.T) {
				s := newScene(t, h, api, apiSecret, row.client)
				var after int64
				if log := logged(t, h, 0); len(log) > 0 {
					after = log[len(log)-1].Sequence
				}
				before := h.Clock.Now().Unix()
				if err := row.end(t, s); err != nil {
					t.Fatal(err)
				}
				got, want := s.written(t, after), row.entries(t, s)
				if len(got) != len(want) {
					t.Fatalf("the log has %+v, want %+v", got, want)
				}
				for i, r := range got {
					s.compare(t, r, want[i], before)
				}
				for name, held := range map[string]struct {
					answer  servertest.Answer
					renewal *refusedRenewal
				}{"first": {s.first, row.first}, "offline": {s.offline, row.offline}} {
					if held.renewal == nil {
						s.alive(t, name, held.answer)
					} else {
						s.dead(t, name, held.answer, *held.renewal)
					}
				}
				if again := s.written(t, after); len(again) != len(got) {
					t.Errorf("asking wrote %+v", again[len(got):])
				}
			})
		}
	}, func(c *server.Config) {
		c.AccessLife, c.SessionIdle, c.SessionLife = time.Hour, 10*time.Minute, 30*time.Minute
	})
}

func (s *scene) compare(t *testing.T, got model.Revocation, want written, since int64) {
	t.Helper()
	now := s.h.Clock.Now().Unix()
	drop := got.At + 3600 + 10 // the longest life of a token, and how far clocks may differ
	if want.token {
		exp, _ := claimsOf(t, s.first.String("access_token"))["exp"].(float64)
		drop = int64(exp) + 10
	}
	cut := int64(0)
	if want.cut {
		cut = got.At
	}
	if got.Kind != want.kind || got.Value != want.value || got.Cause != want.cause || got.CutOff != cut || got.DropAt != drop || got.At < since || got.At > now {
		t.Errorf("the log has %+v, want %+v with the cut-off %d, dropped at %d, between %d and %d", got, want, cut, drop, since, now)
	}
}

// TestRegistrationPaths: the same, where it is the application that goes.
func TestRegistrationPaths(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		h.User("olena", password)
		for name, row := range map[string]struct {
			cause model.Cause
			end   func(t *testing.T, a servertest.Answer)
		}{
			"it goes (RFC 7592 §2.3)": {model.CauseRevoked, func(t *testing.T, a servertest.Answer) {
				if got := send(t, http.MethodDelete, a.String("registration_client_uri"), a.String("registration_access_token"), nil); got.Status != http.StatusNoContent {
					t.Fatalf("%d %s", got.Status, got.Text)
				}
			}},
			"it proves itself in another way": {model.CausePolicy, func(t *testing.T, a servertest.Answer) {
				m := suite.and("client_id", a.String("client_id")).and("token_endpoint_auth_method", "client_secret_post")
				if got := send(t, http.MethodPut, a.String("registration_client_uri"), a.String("registration_access_token"), m); got.Status != http.StatusOK {
					t.Fatalf("%d %s", got.Status, got.Text)
				}
			}},
		} {
			t.Run(name, func(t *testing.T) {
				c, secret, a := registered(t, h, suite)
				at := h.Browser().SignIn(servertest.AuthorizePath(c, "scope", "openid offline_access"), "olena", password)
				tokens := h.Redeem(c, secret, at)
				row.end(t, a)
				clientEnded(t, h, c.ID, row.cause)
				if a := info(t, h, tokens.String("access_token")); a.Status != http.StatusUnauthorized {
					t.Errorf("userinfo says %d %s", a.Status, a.Text)
				}
				form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.String("refresh_token")}, "client_id": {string(c.ID)}, "client_secret": {secret.Reveal()}}
				if a := h.Call("/token", model.Client{}, "", form); a.Status < 400 || !strings.HasPrefix(a.String("error"), "invalid_") {
					t.Errorf("renewing: %d %s", a.Status, a.Text)
				}
			})
		}
		t.Run("nobody uses it", func(t *testing.T) {
			c, _, _ := registered(t, h, suite)
			h.Clock.Move(2 * time.Hour)
			if n, err := h.Registrar.SweepClients(t.Context()); n < 1 || err != nil {
				t.Fatal(n, err)
			}
			clientEnded(t, h, c.ID, model.CausePolicy)
		})
	}, func(c *server.Config) {
		c.Registration = registration.Policy{Mode: registration.ModeOpen, PerHour: 100_000, Unused: time.Hour}
	})
}

// clientEnded wants the log to say so, once.
func clientEnded(t *testing.T, h *servertest.House, id model.ClientID, cause model.Cause) {
	t.Helper()
	var got []model.Revocation
	for _, r := range logged(t, h, 0) {
		if r.Value == string(id) {
			got = append(got, r)
		}
	}
	if len(got) != 1 || got[0].Kind != model.KindClient || got[0].Cause != cause || got[0].CutOff != got[0].At || got[0].DropAt != got[0].At+3610 {
		t.Errorf("the log has %+v", got)
	}
}

// logged reads the log after a sequence. An ending of a client, or of everything, whose
// commit came in a later second has a second entry as of then, which stands for both.
func logged(t *testing.T, h *servertest.House, after int64) (list []model.Revocation) {
	t.Helper()
	err := h.Store.View(t.Context(), func(tx *store.Tx) (err error) { list, err = tx.Revocations(after, 0); return err })
	if err != nil {
		t.Fatal(err)
	}
	var whole []model.Revocation
	for i, r := range list {
		deeper := i+1 < len(list) && (r.Kind == model.KindClient || r.Kind == model.KindAll) &&
			list[i+1].Kind == r.Kind && list[i+1].Value == r.Value && list[i+1].Cause == r.Cause && list[i+1].CutOff > r.CutOff
		if !deeper {
			whole = append(whole, r)
		}
	}
	return whole
}
