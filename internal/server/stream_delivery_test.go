package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/credential/credentialtest"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

func waiting(t *testing.T, h *servertest.House, stream map[string]any) int64 {
	t.Helper()
	return view(t, h, func(tx *store.Tx) (int64, error) {
		return tx.CountSignals(model.StreamID(stream["stream_id"].(string)))
	})
}

// TestStreamEvents: what happens to a person is told, in the words of CAEP 1.0 §3
// and RISC 1.0 §2, to those who know them and want to hear it.
func TestStreamEvents(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		r := newReceiver(t, h, "shop", listening())
		stranger := newReceiver(t, h, "stranger", listening())
		pair := listening()
		pair.SubjectType = model.SubjectPairwise
		club := newReceiver(t, h, "club", pair)
		stream, theirs, clubs := r.create(map[string]any{}), stranger.create(map[string]any{}), club.create(map[string]any{})
		for i, row := range []struct {
			name  string
			do    func(u model.User, b *servertest.Browser, sid model.SessionID) error
			kinds []string
			check func(t *testing.T, kind string, event map[string]any)
		}{
			{"the session expires", func(model.User, *servertest.Browser, model.SessionID) error {
				h.Clock.Move(3 * time.Hour)
				r.token, stranger.token, club.token = r.tokenFor("ssf.manage"), stranger.tokenFor("ssf.manage"), club.tokenFor("ssf.manage")
				return nil
			}, []string{"session-revoked"}, func(t *testing.T, _ string, e map[string]any) {
				if e["initiating_entity"] != "policy" {
					t.Errorf("%v", e)
				}
			}},
			{"CAEP 1.0 §3.1: the person signs out", func(_ model.User, b *servertest.Browser, _ model.SessionID) error {
				b.Get("/logout").Submit("primary")
				return nil
			}, []string{"session-revoked"}, func(t *testing.T, _ string, e map[string]any) {
				if e["initiating_entity"] != "user" {
					t.Errorf("%v", e)
				}
			}},
			{"CAEP 1.0 §3.1: an operator ends it", func(_ model.User, _ *servertest.Browser, sid model.SessionID) error {
				return h.Accounts.SignOut(t.Context(), servertest.Operator, sid)
			}, []string{"session-revoked"}, func(t *testing.T, _ string, e map[string]any) {
				if e["initiating_entity"] != "admin" {
					t.Errorf("%v", e)
				}
			}},
			{"RISC 1.0 §2.3: the account is locked", func(u model.User, _ *servertest.Browser, _ model.SessionID) error {
				if err := h.Accounts.Lock(t.Context(), servertest.Operator, u.ID); err != nil {
					return err
				}
				return h.Accounts.Lock(t.Context(), servertest.Operator, u.ID) // twice is once
			}, []string{"account-disabled", "session-revoked"}, nil},
			{"RISC 1.0 §2.4: it is unlocked", func(u model.User, _ *servertest.Browser, _ model.SessionID) error {
				if err := h.Accounts.Lock(t.Context(), servertest.Operator, u.ID); err != nil {
					return err
				}
				return h.Accounts.Unlock(t.Context(), servertest.Operator, u.ID)
			}, []string{"account-disabled", "account-enabled", "session-revoked"}, nil},
			{"RISC 1.0 §2.2: it is deleted", func(u model.User, _ *servertest.Browser, _ model.SessionID) error {
				return h.Accounts.Delete(t.Context(), servertest.Operator, u.ID)
			}, []string{"account-purged", "session-revoked"}, nil},
			{"CAEP 1.0 §3.3: a new password", func(u model.User, _ *servertest.Browser, sid model.SessionID) error {
				return h.Accounts.SetPassword(t.Context(), model.Actor{Kind: model.ActorUser, ID: string(u.ID)}, u.ID, account.NewPassword{Password: "another horse battery", Keep: sid})
			}, []string{"credential-change"}, func(t *testing.T, _ string, e map[string]any) {
				if e["credential_type"] != "password" || e["change_type"] != "update" || e["initiating_entity"] != "user" {
					t.Errorf("%v", e)
				}
			}},
			{"CAEP 1.0 §3.3: a passkey", func(_ model.User, b *servertest.Browser, _ model.SessionID) error {
				b.Get(passkeysPath)
				a := credentialtest.New(t, h.Issuer, credentialtest.ES256)
				p := b.Post(passkeysPath, url.Values{"answer": {string(a.Create(options(t, b, h, passkeysPath)))}})
				if p.Status != 200 {
					return fmt.Errorf("%d at %s: %s", p.Status, p.URL, p.Body)
				}
				return nil
			}, []string{"credential-change"}, func(t *testing.T, _ string, e map[string]any) {
				if e["credential_type"] != "fido2-platform" || e["change_type"] != "create" || e["initiating_entity"] != "user" {
					t.Errorf("%v", e)
				}
			}},
			{"CAEP 1.0 §3.2: the groups change", func(u model.User, _ *servertest.Browser, _ model.SessionID) error {
				u.Profile.Groups = []string{"staff", "board"}
				_, err := h.Accounts.Update(t.Context(), servertest.Operator, u.ID, account.Change{Profile: &u.Profile})
				return err
			}, []string{"token-claims-change"}, func(t *testing.T, _ string, e map[string]any) {
				if c, _ := e["claims"].(map[string]any); !slices.Equal(textsOf(c["groups"]), []string{"staff", "board"}) {
					t.Errorf("%v", e)
				}
			}},
			{"RISC 1.0 §2.5: the address changes", func(u model.User, _ *servertest.Browser, _ model.SessionID) error {
				u.Profile.Email = "new" + u.Profile.Email
				_, err := h.Accounts.Update(t.Context(), servertest.Operator, u.ID, account.Change{Profile: &u.Profile})
				return err
			}, []string{"identifier-changed"}, nil},
			{"the name changes, which is nothing to tell", func(u model.User, _ *servertest.Browser, _ model.SessionID) error {
				u.Profile.Name = "New"
				_, err := h.Accounts.Update(t.Context(), servertest.Operator, u.ID, account.Change{Profile: &u.Profile})
				return err
			}, nil, nil},
		} {
			t.Run(row.name, func(t *testing.T) {
				login := fmt.Sprintf("person%d", i)
				u := h.User(login, password)
				b := h.Browser()
				scope := []string{"scope", "openid email groups"}
				id := unverified(t, h.Redeem(r.client, r.secret, b.SignIn(servertest.AuthorizePath(r.client, scope...), login, password)).String("id_token"))
				pairwise := unverified(t, h.Redeem(club.client, club.secret, b.SignIn(servertest.AuthorizePath(club.client, scope...), login, password)).String("id_token"))["sub"]
				before := h.Clock.Now().Unix()
				if err := row.do(u, b, model.SessionID(id["sid"].(string))); err != nil {
					t.Fatal(err)
				}
				var sets map[string]map[string]any
				eventually(t, "the events", func() bool { sets, _ = r.poll(stream, nil); return len(sets) >= len(row.kinds) })
				if got := kinds(sets); !slices.Equal(got, row.kinds) {
					t.Fatalf("told %v, want %v", got, row.kinds)
				}
				var ack []string
				txns := map[any]bool{}
				for jti, set := range sets {
					ack = append(ack, jti)
					txns[set["txn"]] = true
					kind, event := eventOf(set)
					checkSubject(t, set["sub_id"].(map[string]any), kind, h.Issuer, string(u.ID), id["sid"], u.Profile.Email)
					if strings.Contains(kind, "/caep/") {
						reason, _ := event["reason_admin"].(map[string]any) // CAEP Interoperability Profile §3.1, §3.2
						at, _ := event["event_timestamp"].(json.Number).Int64()
						if reason["en"] == "" || reason["en"] == nil || at < before-1 || at > h.Clock.Now().Unix() {
							t.Errorf("%s: %v", kind, event)
						}
					}
					if row.check != nil {
						row.check(t, kind, event)
					}
				}
				// One cause, one transaction (OpenID Shared Signals Framework §4.1.9): what
				// is done in two steps has two.
				if len(row.kinds) == 2 && len(txns) != 1 {
					t.Errorf("%d transactions", len(txns))
				}
				r.poll(stream, map[string]any{"ack": ack, "returnImmediately": true, "maxEvents": 0})

				// Each receiver has its own names; one that does not know the person hears
				// nothing.
				sets, _ = club.poll(clubs, nil)
				ack = nil
				for jti, set := range sets {
					ack = append(ack, jti)
					if kind, _ := eventOf(set); kind != model.EventIdentifierChanged {
						checkSubject(t, set["sub_id"].(map[string]any), kind, h.Issuer, pairwise.(string), id["sid"], "")
					}
					if text, _ := json.Marshal(set); strings.Contains(string(text), string(u.ID)) {
						t.Errorf("a pairwise client is told the account: %s", text)
					}
				}
				if len(ack) != len(row.kinds) {
					t.Errorf("the other application is told %v", kinds(sets))
				}
				club.poll(clubs, map[string]any{"ack": ack, "maxEvents": 0})
				if sets, _ := stranger.poll(theirs, nil); len(sets) != 0 {
					t.Errorf("a stranger is told %v", kinds(sets))
				}
			})
		}
		if n := waiting(t, h, stream) + waiting(t, h, clubs) + waiting(t, h, theirs); n != 0 {
			t.Errorf("%d events are left", n)
		}
	})
}

// checkSubject: RFC 9493 §3.2.3; CAEP 1.0 §3.1 with the session; RISC 1.0 §2.5.
func checkSubject(t *testing.T, id map[string]any, kind, issuer, sub string, sid any, email string) {
	t.Helper()
	user := id
	switch kind {
	case model.EventIdentifierChanged:
		if id["format"] != "email" || id["email"] != email {
			t.Errorf("%s is about %v", kind, id)
		}
		return
	case model.EventSessionRevoked:
		user, _ = id["user"].(map[string]any)
		session, _ := id["session"].(map[string]any)
		if id["format"] != "complex" || session["format"] != "opaque" || session["id"] != sid {
			t.Errorf("%s is about %v", kind, id)
		}
	}
	if user["format"] != "iss_sub" || user["iss"] != issuer || user["sub"] != sub {
		t.Errorf("%s is about %v, want %s", kind, user, sub)
	}
}

// TestStreamGranted: a receiver is told of groups and addresses only where the
// person let it know them, OpenID Shared Signals Framework §10.2 and §10.3.
func TestStreamGranted(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		r := newReceiver(t, h, "shop", listening())
		stream := r.create(map[string]any{})
		u := h.User("olena", password)
		h.Browser().SignIn(servertest.AuthorizePath(r.client, "scope", "openid"), "olena", password)
		u.Profile.Groups, u.Profile.Email = []string{"board"}, "new@example.com"
		update(t, h, u)
		if sets, _ := r.poll(stream, nil); len(sets) != 0 {
			t.Errorf("told %v", kinds(sets))
		}
		h.Browser().SignIn(servertest.AuthorizePath(r.client, "scope", "openid email groups"), "olena", password)
		u.Profile.EmailVerified = false
		update(t, h, u) // unproven from now on, and the same
		u.Profile.Groups, u.Profile.Email = nil, "third@example.com"
		update(t, h, u)
		sets, _ := r.poll(stream, nil)
		if got := kinds(sets); !slices.Equal(got, []string{"token-claims-change"}) { // the unproven address is nobody's name
			t.Errorf("told %v", got)
		}
		for _, set := range sets {
			if _, e := eventOf(set); fmt.Sprint(e["claims"]) != "map[groups:[]]" {
				t.Errorf("%v", e)
			}
		}
	})
}

// TestStreamPoll: RFC 8936 §2.
func TestStreamPoll(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		r := newReceiver(t, h, "shop", listening())
		stream := r.create(map[string]any{"events_requested": []string{model.EventSessionRevoked}})
		silent := r.create(map[string]any{"events_requested": []string{}})
		h.User("olena", password)
		end := func() {
			t.Helper()
			b := h.Browser()
			b.SignIn(servertest.AuthorizePath(r.client), "olena", password)
			b.Get("/logout").Submit("primary")
		}
		for range 3 {
			end()
		}
		// §2.2: maxEvents; §2.3: moreAvailable, and what is not acknowledged comes again.
		first, a := r.poll(stream, map[string]any{"maxEvents": 1})
		again, _ := r.poll(stream, map[string]any{"maxEvents": 1})
		if len(first) != 1 || a.JSON["moreAvailable"] != true || fmt.Sprint(first) != fmt.Sprint(again) {
			t.Errorf("%v, more %v, again %v", kinds(first), a.JSON["moreAvailable"], kinds(again))
		}
		ids := func(sets map[string]map[string]any) (list []string) {
			for jti := range sets {
				list = append(list, jti)
			}
			return list
		}
		// §2.4.2: acknowledge and ask for nothing.
		if none, _ := r.poll(stream, map[string]any{"maxEvents": 0, "ack": append(ids(first), "unknown")}); len(none) != 0 {
			t.Errorf("asked for none, got %v", kinds(none))
		}
		rest, a := r.poll(stream, map[string]any{})
		if len(rest) != 2 || rest[ids(first)[0]] != nil || a.JSON["moreAvailable"] == true {
			t.Errorf("%d left, more %v", len(rest), a.JSON["moreAvailable"])
		}
		// §2.4.4: what is refused does not come again, and the operators learn of it.
		errs := map[string]any{}
		for i, id := range ids(rest) {
			errs[id] = map[string]any{"err": []string{"invalid_audience", "a\nb"}[i], "description": "x"}
		}
		if none, _ := r.poll(stream, map[string]any{"setErrs": errs, "returnImmediately": true}); len(none) != 0 || waiting(t, h, stream) != 0 {
			t.Errorf("refused, got %v", kinds(none))
		}
		var refusals []string
		for _, e := range view(t, h, func(tx *store.Tx) ([]model.Event, error) { return tx.Events(0, 0) }) {
			if e.Action == "signal.refused" {
				refusals = append(refusals, e.Detail)
			}
		}
		if text := strings.Join(refusals, ";"); len(refusals) != 2 || !strings.Contains(text, "invalid_audience") || strings.Contains(text, "\n") {
			t.Errorf("%q", refusals)
		}
		// §2.5: it waits until there is something.
		h.Browser().SignIn(servertest.AuthorizePath(r.client), "olena", password)
		go func() {
			time.Sleep(300 * time.Millisecond)
			if err := h.Accounts.Lock(t.Context(), servertest.Operator, mustUser(h, "olena")); err != nil {
				t.Error(err)
			}
		}()
		begun := time.Now()
		woken, _ := r.poll(stream, map[string]any{"maxEvents": 10})
		if took := time.Since(begun); len(woken) != 1 || took < 100*time.Millisecond || took > 5*time.Second {
			t.Errorf("%d events after %v", len(woken), took)
		}
		if sets, _ := r.poll(silent, nil); len(sets) != 0 {
			t.Errorf("nothing was asked for, told %v", kinds(sets))
		}
		// A server that stops lets whoever waits go.
		done := make(chan error, 1)
		go func() {
			req, _ := http.NewRequest("POST", silent["delivery"].(map[string]any)["endpoint_url"].(string), strings.NewReader(`{}`))
			req.Header.Set("Authorization", "Bearer "+r.token)
			res, err := http.DefaultClient.Do(req)
			if err == nil {
				defer res.Body.Close()
				if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 || !strings.Contains(string(body), `"sets":{}`) {
					err = fmt.Errorf("%d %s", res.StatusCode, body)
				}
			}
			done <- err
		}()
		time.Sleep(300 * time.Millisecond)
		begun = time.Now()
		h.Restart()
		if err := <-done; err != nil || time.Since(begun) > 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if again, _ := r.poll(stream, nil); fmt.Sprint(ids(again)) != fmt.Sprint(ids(woken)) {
			t.Error("what waited is gone with the server")
		}
	})
}

func mustUser(h *servertest.House, login string) model.UserID {
	u, err := h.Accounts.ByLogin(context.Background(), login)
	if err != nil {
		panic(err)
	}
	return u.ID
}
