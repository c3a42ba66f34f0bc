package federation

import (
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/upstream"
)

// The whole way, from the button to the session and back.
func TestSignIn(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{SignUp: true})
		h.user("first", "")
		h.there.people["c1"] = person("s1", "ada@example.org")

		out, err := h.visit("corp", "r1", "c1")
		h.ok(err)
		if out.Result != Newcomer || out.Holder != "r1" || out.Connecting {
			t.Fatalf("the outcome is %+v", out)
		}
		s, err := h.Stranger(h.ctx(), "r1")
		h.ok(err)
		if s.Known || s.Mail != "ada@example.org" || s.Login != "ada@example.org" || s.Profile.Name != "Ada Lovelace" {
			t.Fatalf("the stranger is %+v", s)
		}
		h.ok(h.Join(h.ctx(), Joining{Holder: "r1", Login: "ada", Address: "192.0.2.7"}))
		in := h.begin("r1")
		if in.User.Login != "ada" || !in.User.Profile.EmailVerified || in.Session.ACR != account.ACRPassword || in.Session.Factors[0].Upstream != "corp" {
			t.Fatalf("the session is %+v", in)
		}

		// The next time they are known.
		h.clock.advance(time.Minute)
		out, err = h.visit("corp", "r2", "c1")
		h.ok(err)
		if out.Result != SignedIn || out.Linked {
			t.Fatalf("the outcome is %+v", out)
		}
		if again := h.begin("r2"); again.User.ID != in.User.ID {
			t.Fatalf("%s came in, not %s", again.User.ID, in.User.ID)
		}
	})
}

// An answer counts once, in the browser that went, at the provider that was asked.
func TestVisit(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{SignUp: true})
		h.add("other", model.UpstreamSettings{SignUp: true})
		h.user("first", "")
		h.there.people["c1"] = person("s1", "ada@example.org")

		l := h.leave("corp", "r1")
		stolen := l
		stolen.Cookie.Value = model.NewSecret("")
		_, err := h.come(stolen, "corp", "c1")
		h.refuses(err, Stale) // P10: another browser
		_, err = h.come(l, "other", "c1")
		h.refuses(err, Stale) // O27: another provider
		if len(h.there.answers) != 0 {
			t.Fatal("an answer was read that is not the browser's")
		}
		out, err := h.come(l, "corp", "c1")
		h.ok(err)
		if out.Result != Newcomer {
			t.Fatalf("the outcome is %+v", out)
		}
		_, err = h.come(l, "corp", "c1")
		h.refuses(err, Stale) // replayed

		l = h.leave("corp", "r2")
		h.clock.advance(VisitTime + time.Second)
		_, err = h.come(l, "corp", "c1")
		h.refuses(err, Stale) // too late
	})
}

// A POST of another site brings no cookie: its answer waits for the browser.
func TestKeep(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{SignUp: true})
		h.user("first", "")
		h.there.people["c1"] = person("s1", "ada@example.org")
		l := h.leave("corp", "r1")
		posted := Answer{Method: "POST", Values: url.Values{"state": {stateIn(l)}, "code": {"c1"}}, At: "https://id.example/upstream/corp/callback"}
		_, err := h.Keep(h.ctx(), "other", posted)
		h.refuses(err, Stale)
		state, err := h.Keep(h.ctx(), "corp", posted)
		h.ok(err)
		if state != stateIn(l) {
			t.Fatalf("the state is %q", state)
		}
		_, err = h.Keep(h.ctx(), "corp", posted)
		h.refuses(err, Stale)
		out, err := h.come(l, "corp", "something else")
		h.ok(err)
		if got := h.there.answers[0]; out.Result != Newcomer || got.Method != "POST" || got.At != posted.At || got.Values.Get("code") != "c1" {
			t.Fatalf("%+v came of %+v", out, got)
		}
	})
}

// link_by_mail connects who has proven one address at both sides, and nobody else.
func TestLinkByMail(t *testing.T) {
	for _, row := range []struct {
		name    string
		person  upstream.Person
		prepare func(h house, s *model.UpstreamSettings) // what is otherwise
		want    Result
		code    Code
	}{
		{"both sides have made sure of it", person("s1", "ada@example.org"), nil, SignedIn, ""},
		{"in another case", person("s1", "Ada@Example.ORG"), nil, SignedIn, ""},
		{"the provider has not made sure of it", unverified(person("s1", "ada@example.org")), nil, Newcomer, ""},
		{"the provider does not say", silent(person("s1", "ada@example.org")), nil, Newcomer, ""},
		{"the provider does not say, and its word is taken", silent(person("s1", "ada@example.org")), func(_ house, s *model.UpstreamSettings) { s.TrustMail = true }, SignedIn, ""},
		{"the provider says no, and its word is taken", unverified(person("s1", "ada@example.org")), func(_ house, s *model.UpstreamSettings) { s.TrustMail = true }, Newcomer, ""},
		{"the operator does not want it", person("s1", "ada@example.org"), func(_ house, s *model.UpstreamSettings) { s.LinkByMail = false }, Known, ""},
		{"there is no address", person("s1", ""), nil, Newcomer, ""},
		{"another address", person("s1", "eve@example.org"), nil, Newcomer, ""},
		{"another address, and no accounts are made", person("s1", "eve@example.org"), func(_ house, s *model.UpstreamSettings) { s.SignUp = false }, 0, NoAccount},
		{"not confirmed here: whoever typed it into a form does not get them", person("s1", "grace@example.org"), func(h house, _ *model.UpstreamSettings) {
			h.unconfirmed("grace", "grace@example.org")
		}, Newcomer, ""},
		{"several have it", person("s1", "ada@example.org"), func(h house, _ *model.UpstreamSettings) {
			// As they could when nobody looked who else has it.
			u := h.unconfirmed("ada2", "ada@example.org")
			u.Profile.EmailVerified = true
			h.ok(h.Store.Upkeep(h.ctx(), func(tx *store.Tx) error { return tx.UpdateUser(u) }))
		}, 0, NoAccount},
		{"an administrator", person("s1", "root@example.org"), func(h house, _ *model.UpstreamSettings) {
			u, yes := h.user("root", "root@example.org"), true
			_, err := h.Accounts.Update(h.ctx(), operator, u.ID, account.Change{Admin: &yes})
			h.ok(err)
		}, Known, ""},
		{"the account is locked", person("s1", "ada@example.org"), func(h house, _ *model.UpstreamSettings) {
			u, err := h.Accounts.ByLogin(h.ctx(), "ada")
			h.ok(err)
			h.ok(h.Accounts.Lock(h.ctx(), operator, u.ID))
		}, 0, Locked},
	} {
		t.Run(row.name, func(t *testing.T) {
			each(t, func(h house) {
				ada := h.user("ada", "ada@example.org")
				s := model.UpstreamSettings{SignUp: true, LinkByMail: true}
				if row.prepare != nil {
					row.prepare(h, &s)
				}
				h.add("corp", s)
				h.there.people["c"] = row.person
				out, err := h.visit("corp", "r", "c")
				if row.code != "" {
					h.refuses(err, row.code)
				} else {
					h.ok(err)
				}
				if out.Result != row.want || out.Linked != (row.want == SignedIn) {
					t.Fatalf("the outcome is %+v", out)
				}
				linked := h.identities(ada)
				if (len(linked) == 1) != (row.want == SignedIn) || len(h.events("identity.link")) != len(linked) {
					t.Errorf("linked: %+v, written down: %+v", linked, h.events("identity"))
				}
				if row.want == SignedIn {
					if in := h.begin("r"); in.User.ID != ada.ID {
						t.Errorf("%s came in", in.User.Login)
					}
				}
				if letters := len(h.letters()); letters != len(linked) {
					t.Errorf("%d letters went out", letters)
				}
			})
		})
	}
}

func unverified(p upstream.Person) upstream.Person {
	p.Claims["email_verified"] = false
	return p
}

func silent(p upstream.Person) upstream.Person {
	delete(p.Claims, "email_verified")
	return p
}

// An address that comes to somebody else over there, because it is given out anew or
// its domain was sold, does not bring the account: a subject that changes is another
// person (OpenID Connect Core §5.7).
func TestChangedSubject(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{SignUp: true, LinkByMail: true})
		ada := h.user("ada", "ada@example.org")
		h.there.people["c1"], h.there.people["c2"] = person("s1", "ada@example.org"), person("s2", "ada@example.org")
		_, err := h.visit("corp", "r1", "c1")
		h.ok(err)
		out, err := h.visit("corp", "r2", "c2")
		h.ok(err)
		if out.Result != Known || len(h.identities(ada)) != 1 {
			t.Fatalf("the outcome is %+v", out)
		}
		// The same subject of another issuer is somebody else as well.
		p := person("s1", "eve@example.org")
		p.Issuer = "https://changed.example"
		h.there.people["c3"] = p
		if out, err = h.visit("corp", "r3", "c3"); err != nil || out.Result != Newcomer {
			t.Fatalf("%+v %v", out, err)
		}
		// And so is the same subject at another provider.
		h.add("other", model.UpstreamSettings{})
		if out, err = h.visit("other", "r4", "c1"); err != nil || out.Result != Known {
			t.Fatalf("%+v %v", out, err)
		}
	})
}

// Whoever has an account with the address signs in to it, in the same interaction.
func TestSettle(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{SignUp: true})
		ada, eve := h.user("ada", "ada@example.org"), h.user("eve", "eve@example.org")
		h.there.people["c"] = person("s1", "ada@example.org")

		wait := func(holder string) {
			t.Helper()
			out, err := h.visit("corp", holder, "c")
			h.ok(err)
			if s, err := h.Stranger(h.ctx(), holder); err != nil || out.Result != Known || !s.Known || s.Mail != "ada@example.org" {
				t.Fatalf("%+v %+v %v", out, s, err)
			}
		}
		// They cannot get an account of their own with that address.
		wait("r1")
		h.refuses(h.Join(h.ctx(), Joining{Holder: "r1", Login: "other"}), NoAccount)

		// Somebody else who signs in under the same request gets nothing.
		h.ok(h.Accounts.Password(h.ctx(), "r1", account.Attempt{Login: "eve", Password: goodPassword}))
		if _, linked, err := h.Settle(h.ctx(), "r1", h.begin("r1").Session); err != nil || linked || len(h.identities(eve)) != 0 {
			t.Fatalf("linked: %v, %v", linked, err)
		}
		if _, linked, _ := h.Settle(h.ctx(), "r1", h.session(ada)); linked {
			t.Fatal("who waited for somebody else is still there")
		}

		// What was proven in another request does not count.
		wait("r2")
		if _, linked, _ := h.Settle(h.ctx(), "another", h.session(ada)); linked {
			t.Fatal("linked")
		}
		// A session that is over does not count.
		over := h.session(ada)
		h.ok(h.Accounts.SignOut(h.ctx(), operator, over.ID))
		if _, linked, _ := h.Settle(h.ctx(), "r2", over); linked {
			t.Fatal("linked")
		}

		h.clock.advance(time.Second)
		h.ok(h.Accounts.Password(h.ctx(), "r2", account.Attempt{Login: "ada", Password: goodPassword}))
		at, linked, err := h.Settle(h.ctx(), "r2", h.begin("r2").Session)
		if err != nil || !linked || at.ID != "corp" || len(h.identities(ada)) != 1 || len(h.letters()) != 1 {
			t.Fatalf("%+v %v %v %+v", at, linked, err, h.identities(ada))
		}
		if out, err := h.visit("corp", "r3", "c"); err != nil || out.Result != SignedIn {
			t.Fatalf("%+v %v", out, err)
		}

		// And whose address has changed meanwhile is not who was meant.
		h.there.people["c"] = person("s9", "eve@example.org")
		out, err := h.visit("corp", "r4", "c")
		h.ok(err)
		profile := eve.Profile
		profile.Email = "moved@example.org"
		_, err = h.Accounts.Update(h.ctx(), operator, eve.ID, account.Change{Profile: &profile})
		h.ok(err)
		h.ok(h.Accounts.Password(h.ctx(), "r4", account.Attempt{Login: "eve", Password: goodPassword}))
		if _, linked, err := h.Settle(h.ctx(), "r4", h.begin("r4").Session); out.Result != Known || linked || err != nil {
			t.Fatalf("%+v %v %v", out, linked, err)
		}
	})
}

func TestJoin(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{SignUp: true})
		h.there.people["c1"] = person("s1", "ada@example.org")
		// The first account is the administrator's, by the setup link.
		_, err := h.visit("corp", "r0", "c1")
		h.refuses(err, NoAccount)

		h.user("first", "")
		h.unconfirmed("grace@example.org", "grace@example.org")
		_, err = h.visit("corp", "r1", "c1")
		h.ok(err)
		for _, row := range []struct {
			name, login string
			want        error
		}{
			{"a login that is taken", "First", account.ErrLoginTaken},
			{"no login", "", account.ErrInvalid{Field: "login", Reason: account.Missing}},
			{"somebody else's address as a login", "grace2@example.org", ErrNotYours},
		} {
			if err := h.Join(h.ctx(), Joining{Holder: "r1", Login: row.login}); !errors.Is(err, row.want) {
				t.Errorf("%s: %v", row.name, err)
			}
		}
		h.ok(h.Join(h.ctx(), Joining{Holder: "r1", Login: "Ada", Name: "Countess"}))
		in := h.begin("r1")
		if p := in.User.Profile; in.User.Login != "ada" || p.Name != "Countess" || p.Email != "ada@example.org" || !p.EmailVerified {
			t.Errorf("made: %+v", in.User)
		}
		h.refuses(h.Join(h.ctx(), Joining{Holder: "r1", Login: "again"}), Stale)

		// An address that nobody has made sure of is not theirs, nor is one by which
		// somebody else signs in.
		h.there.people["c2"] = unverified(person("s2", "eve@example.org"))
		h.there.people["c3"] = person("s3", "grace@example.org")
		for i, code := range []string{"c2", "c3"} {
			holder := "q" + code
			_, err = h.visit("corp", holder, code)
			h.ok(err)
			h.clock.advance(time.Hour + time.Second) // of sign-ups
			_, err = h.visit("corp", holder, code)
			h.ok(err)
			h.ok(h.Join(h.ctx(), Joining{Holder: holder, Login: code}))
			if p := h.begin(holder).User.Profile; p.Email != "" || p.EmailVerified {
				t.Errorf("%d: %+v", i, p)
			}
		}
		// The account has no password, and the way in is not the last one's.
		u, err := h.Accounts.ByLogin(h.ctx(), "c2")
		h.ok(err)
		err = h.Disconnect(h.ctx(), account.Themselves(u.ID, ""), Disconnecting{u.ID, h.identities(u)[0].ID})
		if !errors.Is(err, account.ErrLastMethod) || len(h.identities(u)) != 1 {
			t.Errorf("the last way in went away: %v", err)
		}
	})
}

func TestJoinLimit(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{SignUp: true})
		h.user("first", "")
		for i := range 6 {
			code := fmt.Sprint("c", i)
			h.there.people[code] = person(code, "")
			_, err := h.visit("corp", code, code)
			h.ok(err)
			err = h.Join(h.ctx(), Joining{Holder: code, Login: "user" + code, Address: "192.0.2.7"})
			if want := map[bool]error{true: account.ErrSignUpLimit}[i == 5]; !errors.Is(err, want) {
				t.Errorf("sign-up %d: %v", i, err)
			}
		}
	})
}

func TestConnect(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{})
		ada, eve := h.user("ada", "ada@example.org"), h.user("eve", "")
		// Whatever address they have there: they are signed in at both sides.
		h.there.people["c"] = unverified(person("s1", "other@example.org"))
		out, err := h.connectAs(ada, "corp", "c")
		h.ok(err)
		if out.Result != Connected || !out.Linked || !out.Connecting || len(h.identities(ada)) != 1 || len(h.letters()) != 1 {
			t.Fatalf("%+v", out)
		}
		if out, err = h.connectAs(ada, "corp", "c"); err != nil || out.Result != Connected || out.Linked {
			t.Fatalf("again: %+v %v", out, err)
		}
		out, err = h.connectAs(eve, "corp", "c")
		h.refuses(err, Taken)
		if !out.Connecting || len(h.identities(eve)) != 0 {
			t.Fatalf("%+v", out)
		}
		if refused := h.events("identity.refuse"); len(refused) != 1 || refused[0].Detail != "upstream=corp cause=taken" {
			t.Errorf("%+v", refused)
		}

		// The session in which it began must still be there.
		s := h.session(eve)
		h.there.people["c2"] = person("s2", "")
		l, err := h.Begin(h.ctx(), Departing{Upstream: "corp", Holder: "own", Connect: s.ID})
		h.ok(err)
		h.ok(h.Accounts.SignOut(h.ctx(), operator, s.ID))
		_, err = h.come(l, "corp", "c2")
		h.refuses(err, Stale)
		if _, err = h.Begin(h.ctx(), Departing{Upstream: "corp", Holder: "own", Connect: s.ID}); !errors.Is(err, account.ErrNoSession) {
			t.Errorf("begun without a session: %v", err)
		}

		// It signs in to whom it was connected with, and to nobody after it was taken away.
		if out, err = h.visit("corp", "r1", "c"); err != nil || h.begin("r1").User.ID != ada.ID {
			t.Fatalf("%+v %v", out, err)
		}
		id := h.identities(ada)[0].ID
		if err := h.Disconnect(h.ctx(), operator, Disconnecting{eve.ID, id}); !errors.Is(err, ErrNoIdentity) {
			t.Errorf("somebody else's: %v", err)
		}
		h.ok(h.Disconnect(h.ctx(), account.Themselves(ada.ID, ""), Disconnecting{ada.ID, id}))
		_, err = h.visit("corp", "r2", "c")
		h.refuses(err, NoAccount)
		if len(h.letters()) != 2 || len(h.events("identity.unlink")) != 1 {
			t.Errorf("%d letters, %+v", len(h.letters()), h.events("identity"))
		}
	})
}

func TestTooManyIdentities(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{})
		ada := h.user("ada", "")
		for i := range maxIdentities + 1 {
			code := fmt.Sprint("c", i)
			h.there.people[code] = person(code, "")
			_, err := h.connectAs(ada, "corp", code)
			if i < maxIdentities {
				h.ok(err)
			} else {
				h.refuses(err, TooMany)
			}
		}
	})
}

// Of many who would connect one account elsewhere, one does; and of many answers of the
// same newcomer, one makes an account.
func TestRace(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{SignUp: true, LinkByMail: true})
		h.there.people["c"] = person("s1", "")
		const n = 6
		var leaving []Leaving
		for i := range n {
			s := h.session(h.user(fmt.Sprint("user", i), ""))
			l, err := h.Begin(h.ctx(), Departing{Upstream: "corp", Holder: fmt.Sprint("own", i), Connect: s.ID})
			h.ok(err)
			leaving = append(leaving, l)
		}
		won := h.together(n, func(i int) bool {
			out, err := h.come(leaving[i], "corp", "c")
			if err != nil {
				h.refuses(err, Taken)
			}
			return out.Linked
		})
		if won != 1 || len(h.events("identity.link")) != 1 {
			t.Errorf("%d have it", won)
		}

		// The same letter box, from many browsers at once.
		ada := h.user("ada", "ada@example.org")
		h.there.people["m"] = person("m", "ada@example.org")
		leaving = nil
		for i := range n {
			leaving = append(leaving, h.leave("corp", fmt.Sprint("m", i)))
		}
		won = h.together(n, func(i int) bool {
			out, err := h.come(leaving[i], "corp", "m")
			h.ok(err)
			return out.Linked
		})
		if won != 1 || len(h.identities(ada)) != 1 {
			t.Errorf("%d linked %+v", won, h.identities(ada))
		}

		// The same newcomer in many browsers.
		h.there.people["j"] = person("j", "")
		for i := range n {
			_, err := h.visit("corp", fmt.Sprint("j", i), "j")
			h.ok(err)
		}
		won = h.together(n, func(i int) bool {
			err := h.Join(h.ctx(), Joining{Holder: fmt.Sprint("j", i), Login: fmt.Sprint("joined", i), Address: fmt.Sprint("192.0.2.", i)})
			if err != nil {
				h.refuses(err, Stale)
			}
			return err == nil
		})
		if won != 1 {
			t.Errorf("%d accounts were made", won)
		}

		// One answer, brought many times.
		l := h.leave("corp", "r")
		won = h.together(n, func(i int) bool {
			_, err := h.come(l, "corp", "c")
			if err != nil {
				h.refuses(err, Stale)
			}
			return err == nil
		})
		if won != 1 {
			t.Errorf("an answer counted %d times", won)
		}
	})
}
