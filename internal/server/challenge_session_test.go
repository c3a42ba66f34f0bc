package server_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

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
