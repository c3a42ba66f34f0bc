package account

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// The time that an answer takes must not tell whether somebody has an account.
// Counted is the work of hashing, which is nearly all of it. Attack row T23.
func TestSameWorkForUnknownUser(t *testing.T) {
	h := open(t, storetest.SQLite(t))
	h.user("ada")
	locked := h.user("locked")
	h.ok(h.Lock(h.ctx(), admin, locked.ID))
	_, err := h.Create(h.ctx(), admin, NewUser{Login: "no-password"})
	h.ok(err)

	var done []string
	h.passwords.Work = func(cost string) { done = append(done, cost) }
	for _, row := range []struct{ name, login string }{
		{"wrong password", "ada"},
		{"unknown login", "nobody"},
		{"login that cannot be", "no body\x00"},
		{"empty login", ""},
		{"login of 1 MB", strings.Repeat("a", 1<<20)},
		{"person without a password", "no-password"},
		{"locked account", "locked"},
	} {
		done = nil
		_, err := h.SignIn(h.ctx(), Attempt{Login: row.login, Password: "not the right one"})
		if err != ErrCredentials {
			t.Errorf("%s: error is %v", row.name, err)
		}
		if !slices.Equal(done, []string{cheap.String()}) {
			t.Errorf("%s: hashed %v", row.name, done)
		}
	}
}

func TestRehash(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		stored := func() (u model.User) {
			h.view(func(tx *store.Tx) (err error) {
				u, err = tx.User(user.ID)
				return err
			})
			return u
		}
		before := stored()
		h.passwords.Params.Time = 2
		h.clock.advance(time.Hour)
		if _, err := h.SignIn(h.ctx(), Attempt{Login: "ada", Password: "not the right one"}); !errors.Is(err, ErrCredentials) {
			h.t.Fatal(err)
		}
		if !reflect.DeepEqual(stored(), before) {
			h.t.Error("a wrong password changed the account")
		}
		h.signedIn("ada")
		after := stored()
		if !strings.Contains(after.PasswordHash, "t=2,") || after.PasswordAt != before.PasswordAt {
			h.t.Errorf("hash %s, set at %d, before %d", after.PasswordHash, after.PasswordAt, before.PasswordAt)
		}
		h.signedIn("ada")
		if stored().PasswordHash != after.PasswordHash {
			h.t.Error("hashed anew without need")
		}
	})
}

// Two sign-ins that both find an old hash: the second one to write sees
// another hash than it compared with, and must not be refused for it.
func TestRehashTwiceAtOnce(t *testing.T) {
	each(t, func(h house) {
		h.user("ada")
		h.passwords.Params.Time = 2
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				if _, err := h.SignIn(h.ctx(), Attempt{Login: "ada", Password: goodPassword}); err != nil {
					h.t.Error(err)
				}
			})
		}
		group.Wait()
	})
}

func TestSetPassword(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		h.user("bob")
		keep, gone, bobs := h.signedIn("ada"), h.signedIn("ada"), h.signedIn("bob")
		client := h.client()
		kept := h.grant(client, keep.Session, false)
		ended := h.grant(client, gone.Session, false)
		offline := h.grant(client, gone.Session, true)
		h.clock.advance(time.Second)

		err := h.SetPassword(h.ctx(), admin, user.ID, NewPassword{Password: "short"})
		var invalid ErrInvalid
		if !errors.As(err, &invalid) {
			h.t.Errorf("short: %v", err)
		}
		h.is(h.SetPassword(h.ctx(), admin, "nobody", NewPassword{Password: goodPassword}), ErrNoUser)
		if !h.alive(gone.Cookie) {
			h.t.Error("a refused change ended a session")
		}

		h.ok(h.SetPassword(h.ctx(), admin, user.ID, NewPassword{Password: "another password", Keep: keep.Session.ID}))
		if !h.alive(keep.Cookie) || h.alive(gone.Cookie) || !h.alive(bobs.Cookie) {
			h.t.Error("not all sessions but the kept one are over")
		}
		if !h.standing(kept) || h.standing(ended) || h.standing(offline) {
			h.t.Error("not all grants but those of the kept session are over")
		}
		for _, r := range h.revocations() {
			if r.Cause != model.CauseCredentialChange || r.DropAt != r.At+6*60 || r.Kind == model.KindSubject {
				h.t.Errorf("revocation %+v", r)
			}
		}
		_, err = h.SignIn(h.ctx(), Attempt{Login: "ada", Password: goodPassword})
		h.is(err, ErrCredentials)

		// Somebody else's session cannot be kept in place of one's own.
		h.ok(h.SetPassword(h.ctx(), admin, user.ID, NewPassword{Password: goodPassword, Keep: bobs.Session.ID}))
		if h.alive(keep.Cookie) || !h.alive(bobs.Cookie) || h.standing(kept) {
			h.t.Error("with another's session to keep, one's own lives on")
		}
		last := h.revocations()[len(h.revocations())-1]
		if last.Kind != model.KindSubject || last.Value != string(user.ID) || last.CutOff != h.unix() {
			h.t.Errorf("revocation %+v", last)
		}
		if !slices.Contains(h.actions(), "password.set") {
			h.t.Error("no event")
		}
	})
}

// TestUsedWhileEnded: a visit that has seen a session just before it went idle does not
// make it live on, when a new password, or putting the others out, came between.
func TestUsedWhileEnded(t *testing.T) {
	for name, end := range map[string]func(h house, id model.UserID, keep model.SessionID) error{
		"new password": func(h house, id model.UserID, keep model.SessionID) error {
			return h.SetPassword(h.ctx(), admin, id, NewPassword{Password: "another password", Keep: keep})
		},
		"sign-out of the others": func(h house, id model.UserID, keep model.SessionID) error {
			return h.SignOutOthers(h.ctx(), myself(id), id, keep)
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(h house) {
				user := h.user("ada")
				late := h.signedIn("ada")
				h.clock.advance(time.Minute)
				keep := h.signedIn("ada")
				h.ok(h.store.Upkeep(h.ctx(), func(tx *store.Tx) error {
					return tx.TouchSession(late.Session.ID, 1, time.Now().Unix()-1) // by the clock of the store, too
				}))
				h.ok(end(h, user.ID, keep.Session.ID))
				_, err := h.Touch(h.ctx(), late.Session)
				h.is(err, ErrNoSession)
				if h.alive(late.Cookie) || !h.alive(keep.Cookie) {
					h.t.Error("the session lives on")
				}
			})
		})
	}
}

// TestEndsBeyondOnePage: a new password and a report end what they have to, however much
// there is beside it that stays: the store lists a page at once.
func TestEndsBeyondOnePage(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		client := h.client()
		gone := h.signedIn("ada")
		offline := h.grant(client, gone.Session, true)
		event := h.unix()
		h.clock.advance(time.Minute)
		keep := h.signedIn("ada")
		kept := h.grant(client, keep.Session, false)
		older := model.Grant{
			ID: "older", UserID: user.ID, ClientID: client, SessionID: gone.Session.ID, Offline: true, AuthTime: h.unix(),
			CreatedAt: event, ExpiresAt: h.unix() + 24*3600,
		}
		h.ok(h.store.Upkeep(h.ctx(), func(tx *store.Tx) error {
			if err := tx.InsertGrant(older); err != nil {
				return err
			}
			for range 1000 {
				g := older
				g.ID, g.SessionID, g.Offline, g.CreatedAt = model.GrantID(model.NewID()), keep.Session.ID, false, h.unix()
				if err := tx.InsertGrant(g); err != nil {
					return err
				}
			}
			return nil
		}))
		h.ok(h.store.Update(h.ctx(), func(tx *store.Tx) error {
			if err := tx.Record(model.Event{Actor: admin, Action: "signal.heed"}); err != nil {
				return err
			}
			return h.endBegun(tx, user.ID, event, model.CauseSignal)
		}))
		if h.standing(offline) || h.alive(gone.Cookie) || !h.standing(kept) || !h.alive(keep.Cookie) {
			h.t.Errorf("after a report, the grant from before stands: %t", h.standing(offline))
		}
		h.ok(h.SetPassword(h.ctx(), admin, user.ID, NewPassword{Password: "another password", Keep: keep.Session.ID}))
		if h.standing(older.ID) || !h.standing(kept) || !h.alive(keep.Cookie) {
			h.t.Errorf("after a new password, the grant that outlives its session stands: %t", h.standing(older.ID))
		}
	})
}

// Whoever sits at a session that somebody left open guesses the password there no
// faster than at the sign-in page, and from one count with it.
func TestChangePasswordGuesses(t *testing.T) {
	each(t, func(h house) {
		u := h.user("ada")
		h.passwords.Work = func(string) {}
		self := model.Actor{Kind: model.ActorUser, ID: string(u.ID), Address: "192.0.2.1"}
		change := func(current model.Secret) error {
			return h.ChangePassword(h.ctx(), self, u.ID, NewPassword{Current: current, Password: "quietly blue mangroves"})
		}
		tried := 0
		for range 40 {
			if err := change("wrong password"); errors.Is(err, ErrCredentials) {
				tried++
			} else if !errors.As(err, &ErrTooSoon{}) {
				h.t.Fatal(err)
			}
		}
		if tried != freeTries+1 {
			h.t.Errorf("%d were looked at", tried)
		}
		if err := change(goodPassword); !errors.As(err, &ErrTooSoon{}) {
			h.t.Errorf("the right one: %v", err)
		}
		if err := h.Password(h.ctx(), model.NewID(), from("192.0.2.1", "ada", goodPassword)); !errors.As(err, &ErrTooSoon{}) {
			h.t.Errorf("at the sign-in page: %v", err)
		}
		if n := times(h.actions(), "password.fail"); n == 0 || n > 3 {
			h.t.Errorf("%d events", n)
		}
		// A flaw of the new one is no guess at the old one.
		h.clock.advance(tryWindow + maxPause*time.Second)
		for range 2 * freeTries {
			var wrong ErrInvalid
			if err := h.ChangePassword(h.ctx(), self, u.ID, NewPassword{Current: goodPassword, Password: "short"}); !errors.As(err, &wrong) {
				h.t.Fatal(err)
			}
		}
		h.ok(change(goodPassword))
	})
}

func times(actions []string, one string) (n int) {
	for _, action := range actions {
		if action == one {
			n++
		}
	}
	return n
}
