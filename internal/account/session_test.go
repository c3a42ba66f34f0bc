package account

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

func (h house) client() model.ClientID {
	h.t.Helper()
	c := model.Client{ID: model.ClientID(model.NewID())}
	h.ok(h.store.Update(h.ctx(), func(tx *store.Tx) error {
		if err := tx.InsertClient(c); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: admin, Action: "client.create"})
	}))
	return c.ID
}

func (h house) grant(client model.ClientID, s model.Session, offline bool) model.GrantID {
	h.t.Helper()
	g := model.Grant{
		ID: model.GrantID(model.NewID()), UserID: s.UserID, ClientID: client, SessionID: s.ID, Offline: offline,
		CreatedAt: h.unix(), ExpiresAt: h.unix() + 30*24*3600,
	}
	h.ok(h.store.Update(h.ctx(), func(tx *store.Tx) error {
		if err := tx.InsertGrant(g); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: admin, Action: "grant.create"})
	}))
	return g.ID
}

func (h house) standing(id model.GrantID) (live bool) {
	h.t.Helper()
	h.view(func(tx *store.Tx) error {
		g, err := tx.Grant(id)
		live = g.Live(h.unix())
		return err
	})
	return live
}

func TestSignIn(t *testing.T) {
	each(t, func(h house) {
		user := h.user("Ada@Example.org")
		in, err := h.SignIn(h.ctx(), Attempt{
			Login: " ada@example.ORG ", Password: goodPassword,
			UserAgent: "Mozilla\r\n" + strings.Repeat("x", 1000), Address: "192.0.2.7",
		})
		h.ok(err)
		s := in.Session
		if in.User.ID != user.ID || in.User.PasswordHash != "" || s.UserID != user.ID {
			h.t.Errorf("signed in as %+v", in.User)
		}
		if s.ACR != ACRPassword || !slices.Equal(s.AMR, []string{"pwd"}) || s.AuthTime != h.unix() {
			h.t.Errorf("session %+v", s)
		}
		if len(s.UserAgent) != maxUserAgent || strings.ContainsAny(s.UserAgent, "\r\n") || s.Address != "192.0.2.7" {
			h.t.Errorf("session %+v", s)
		}
		if s.CookieHash != in.Cookie.Hash() || strings.Contains(s.CookieHash, in.Cookie.Reveal()) || len(in.Cookie) != len(cookiePrefix)+43 {
			h.t.Error("the cookie is not 256 bits, stored as a hash")
		}
		got := h.used(in.Cookie)
		if got.Session.ID != s.ID || got.User.Login != "ada@example.org" || got.User.PasswordHash != "" || got.Cookie != in.Cookie {
			h.t.Errorf("session %+v", got)
		}
		if want := []string{"user.create", "session.start"}; !slices.Equal(h.actions(), want) {
			h.t.Errorf("events %v, want %v", h.actions(), want)
		}
		for _, cookie := range []model.Secret{"", "x", in.Cookie + "x", model.Secret(s.CookieHash), model.Secret(s.ID), model.Secret(strings.Repeat("x", 1<<20)), "\x00\xff"} {
			if h.alive(cookie) {
				h.t.Error("a cookie that is none opens a session")
			}
		}
	})
}

// A session that was there before the sign-in must not become the one after it,
// and its cookie opens nothing new.
func TestSessionFixation(t *testing.T) {
	each(t, func(h house) {
		ada, mallory := h.user("ada"), h.user("mallory")
		planted := h.signedIn("mallory")
		in, err := h.SignIn(h.ctx(), Attempt{Login: "ada", Password: goodPassword, Browser: []model.Secret{planted.Cookie}})
		h.ok(err)
		if in.Cookie == planted.Cookie || in.Session.ID == planted.Session.ID || !slices.Equal(in.Beside, []model.UserID{mallory.ID}) {
			h.t.Errorf("the session kept its name: %+v", in)
		}
		if h.used(planted.Cookie).User.ID != mallory.ID || h.used(in.Cookie).User.ID != ada.ID {
			h.t.Error("a cookie changed hands")
		}
		// A cookie of an ended session, or of none, is in nobody's way.
		h.ok(h.SignOut(h.ctx(), admin, planted.Session.ID))
		for _, cookie := range []model.Secret{planted.Cookie, "unknown", "", model.Secret(strings.Repeat("x", 1000))} {
			in, err := h.SignIn(h.ctx(), Attempt{Login: "ada", Password: goodPassword, Browser: []model.Secret{cookie}})
			h.ok(err)
			if len(in.Beside) != 0 || in.Session.ID == planted.Session.ID {
				h.t.Errorf("signed in beside %v", in.Beside)
			}
		}
		// A failed sign-in ends nothing.
		_, err = h.SignIn(h.ctx(), Attempt{Login: "ada", Password: "not the right one", Browser: []model.Secret{in.Cookie}})
		h.is(err, ErrCredentials)
		if !h.alive(in.Cookie) {
			h.t.Error("a failed sign-in ended a session")
		}
	})
}

// Whoever signs in again in the same browser keeps the session and what hangs
// on it; only the cookie is new, because somebody might have had the old one.
func TestSessionRenewed(t *testing.T) {
	each(t, func(h house) {
		h.user("ada")
		first := h.signedIn("ada")
		grant := h.grant(h.client(), first.Session, false)
		h.clock.advance(time.Minute)
		in, err := h.SignIn(h.ctx(), Attempt{Login: "ada", Password: goodPassword, Browser: []model.Secret{first.Cookie}, Remember: true})
		h.ok(err)
		if in.Session.ID != first.Session.ID || in.Session.AuthTime != first.Session.AuthTime+60 || !in.Session.Remember {
			h.t.Errorf("session %+v after %+v", in.Session, first.Session)
		}
		if in.Cookie == first.Cookie || h.alive(first.Cookie) || !h.alive(in.Cookie) || !h.standing(grant) {
			h.t.Error("the old cookie lives, or the grant does not")
		}
		if log := h.revocations(); len(log) != 0 {
			h.t.Errorf("revocations %+v", log)
		}
		if want := []string{"user.create", "session.start", "client.create", "grant.create", "session.renew"}; !slices.Equal(h.actions(), want) {
			h.t.Errorf("events %v, want %v", h.actions(), want)
		}
	})
}

func TestSessionLife(t *testing.T) {
	for _, row := range []struct {
		name           string
		remember       bool
		idle, absolute time.Duration
	}{
		{"plain", false, DefaultIdle, DefaultAbsolute},
		{"remembered", true, DefaultRememberIdle, DefaultRememberAbsolute},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := open(t, storetest.SQLite(t))
			h.user("ada")
			enter := func() model.Secret {
				in, err := h.SignIn(h.ctx(), Attempt{Login: "ada", Password: goodPassword, Remember: row.remember})
				h.ok(err)
				return in.Cookie
			}
			idle := enter()
			h.clock.advance(row.idle - time.Second)
			used := enter()
			if !h.alive(idle) {
				t.Error("over before its idle time")
			}
			h.clock.advance(row.idle)
			if h.alive(idle) || h.alive(used) {
				t.Error("alive after its idle time")
			}
			busy, began := enter(), h.clock.now()
			for h.clock.now().Sub(began) < row.absolute-row.idle/2 {
				h.clock.advance(row.idle / 2)
				if h.clock.now().Sub(began) < row.absolute && !h.alive(busy) {
					t.Fatalf("over after %v of use", h.clock.now().Sub(began))
				}
			}
			h.clock.advance(row.absolute - h.clock.now().Sub(began) - time.Second)
			if !h.alive(busy) {
				t.Error("over before its absolute time")
			}
			h.clock.advance(time.Second)
			if h.alive(busy) {
				t.Error("alive after its absolute time")
			}
		})
	}
}

func TestTouchOnceAMinute(t *testing.T) {
	each(t, func(h house) {
		h.user("ada")
		in := h.signedIn("ada")
		seen := func() (at int64) {
			h.view(func(tx *store.Tx) error {
				s, err := tx.Session(in.Session.ID)
				at = s.SeenAt
				return err
			})
			return at
		}
		h.clock.advance(59 * time.Second)
		h.alive(in.Cookie)
		if seen() != in.Session.SeenAt {
			h.t.Error("written after 59 seconds")
		}
		h.clock.advance(time.Second)
		s := h.used(in.Cookie).Session
		if seen() != h.unix() || s.SeenAt != h.unix() || s.IdleAt != h.unix()+int64(DefaultIdle/time.Second) {
			h.t.Errorf("not written after a minute: %+v", s)
		}
		h.clock.advance(-time.Hour) // a clock that was set back writes nothing
		h.alive(in.Cookie)
		if seen() != s.SeenAt {
			h.t.Error("written by a clock that was set back")
		}
	})
}

func TestSignOut(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		self := model.Actor{Kind: model.ActorUser, ID: string(user.ID)}
		for _, row := range []struct {
			name  string
			actor model.Actor
			cause model.Cause
		}{
			{"by the person", self, model.CauseSignedOut},
			{"by a program", model.Actor{Kind: model.ActorClient, ID: "c"}, model.CauseAdmin},
			{"by another person", admin, model.CauseAdmin},
			{"by the operator", model.Actor{Kind: model.ActorShell}, model.CauseAdmin},
		} {
			in, other := h.signedIn("ada"), h.signedIn("ada")
			h.ok(h.SignOut(h.ctx(), row.actor, in.Session.ID))
			if h.alive(in.Cookie) || !h.alive(other.Cookie) {
				h.t.Errorf("%s: the wrong session ended", row.name)
			}
			log := h.revocations()
			last := log[len(log)-1]
			if last.Value != string(in.Session.ID) || last.Cause != row.cause || last.DropAt != h.unix()+6*60 {
				h.t.Errorf("%s: revocation %+v", row.name, last)
			}
			h.is(h.SignOut(h.ctx(), row.actor, in.Session.ID), ErrNoSession)
			if len(h.revocations()) != len(log) {
				h.t.Errorf("%s: ended twice", row.name)
			}
		}
		h.is(h.SignOut(h.ctx(), self, "nothing"), ErrNoSession)
		theirs := h.signedIn("ada")
		h.is(h.SignOutOf(h.ctx(), self, "somebody else", theirs.Session.ID), ErrNoSession)
		if !h.alive(theirs.Cookie) {
			h.t.Error("somebody else has ended a session")
		}
		h.ok(h.SignOutOf(h.ctx(), self, theirs.User.ID, theirs.Session.ID))
		list, err := h.Sessions(h.ctx(), user.ID)
		h.ok(err)
		if len(list) != 4 {
			h.t.Errorf("%d sessions are left, want 4", len(list))
		}
	})
}

func TestLock(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		in := h.signedIn("ada")
		offline := h.grant(h.client(), in.Session, true)
		h.clock.advance(time.Second)
		h.ok(h.Lock(h.ctx(), admin, user.ID))
		if h.alive(in.Cookie) || h.standing(offline) {
			h.t.Error("something lives on")
		}
		log := h.revocations()
		last := log[len(log)-1]
		if last.Kind != model.KindSubject || last.Value != string(user.ID) || last.Cause != model.CauseAccountDisabled ||
			last.CutOff != h.unix() || last.DropAt != h.unix()+6*60 {
			h.t.Errorf("revocation %+v", last)
		}
		_, err := h.SignIn(h.ctx(), Attempt{Login: "ada", Password: goodPassword})
		h.is(err, ErrLocked)
		_, err = h.SignIn(h.ctx(), Attempt{Login: "ada", Password: "not the right one"})
		h.is(err, ErrCredentials)
		if errors.Is(err, ErrLocked) {
			h.t.Error("a wrong password is told that the account is locked")
		}
		h.ok(h.Lock(h.ctx(), admin, user.ID)) // to be sure
		h.ok(h.Unlock(h.ctx(), admin, user.ID))
		if h.alive(in.Cookie) {
			h.t.Error("unlocking brought a session back")
		}
		log = h.revocations()
		if last := log[len(log)-1]; last.Kind != model.KindSubject || last.Value != string(user.ID) || last.Cause != model.CauseAdmin || last.CutOff != h.unix() {
			h.t.Errorf("unlocking: revocation %+v", last)
		}
		h.ok(h.Unlock(h.ctx(), admin, user.ID))
		if again := h.revocations(); len(again) != len(log) {
			h.t.Errorf("unlocking who is not locked: revocation %+v", again[len(again)-1])
		}
		if !h.alive(h.signedIn("ada").Cookie) {
			h.t.Error("after unlocking nobody gets in")
		}
		h.is(h.Lock(h.ctx(), admin, "nobody"), ErrNoUser)
		h.is(h.Unlock(h.ctx(), admin, "nobody"), ErrNoUser)
		for _, action := range []string{"user.lock", "user.unlock"} {
			if !slices.Contains(h.actions(), action) {
				h.t.Errorf("no event %s", action)
			}
		}
	})
}

// The status alone keeps a person out, whatever became of their sessions.
func TestSessionOfLockedUser(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		in := h.signedIn("ada")
		user.Status = model.UserLocked
		h.ok(h.store.Upkeep(h.ctx(), func(tx *store.Tx) error { return tx.UpdateUser(user) }))
		if h.alive(in.Cookie) {
			h.t.Error("a locked person has a session")
		}
	})
}

// Locked while the password is being compared: the session must not begin.
func TestLockDuringSignIn(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		h.passwords.Work = func(string) { h.ok(h.Lock(h.ctx(), admin, user.ID)) }
		_, err := h.SignIn(h.ctx(), Attempt{Login: "ada", Password: goodPassword})
		h.is(err, ErrLocked)
		h.ok(h.Unlock(h.ctx(), admin, user.ID))
		h.passwords.Work = func(string) {
			h.passwords.Work = func(string) {}
			h.ok(h.SetPassword(h.ctx(), admin, user.ID, NewPassword{Password: "another password"}))
		}
		_, err = h.SignIn(h.ctx(), Attempt{Login: "ada", Password: goodPassword})
		h.is(err, ErrCredentials)
	})
}
