package account

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// cookiesOf are the cookies that a browser holds.
func cookiesOf(list []Entry) (cookies []model.Secret) {
	for _, in := range list {
		cookies = append(cookies, in.Cookie)
	}
	return cookies
}

// A browser holds MaxAccounts people; one more ends the session that was unused
// for the longest time, and what hangs on it.
func TestManyAccounts(t *testing.T) {
	each(t, func(h house) {
		var in []Entry
		join := func(login string) Entry {
			h.t.Helper()
			h.clock.advance(time.Minute)
			next, err := h.SignIn(h.ctx(), Attempt{Login: login, Password: goodPassword, Browser: cookiesOf(in)})
			h.ok(err)
			in = append(in, next)
			return next
		}
		for i := range MaxAccounts + 1 {
			h.user(fmt.Sprintf("user%d", i))
		}
		for i := range MaxAccounts {
			if got := join(fmt.Sprintf("user%d", i)); len(got.Beside) != i {
				h.t.Errorf("%d are signed in beside number %d", len(got.Beside), i)
			}
		}
		h.clock.advance(time.Minute)
		h.used(in[0].Cookie) // so number 1 is the one
		grant := h.grant(h.client(), in[1].Session, false)
		ninth := join(fmt.Sprintf("user%d", MaxAccounts))
		held, err := h.Held(h.ctx(), cookiesOf(in))
		h.ok(err)
		if len(held) != MaxAccounts || h.alive(in[1].Cookie) || !h.alive(in[0].Cookie) || h.standing(grant) {
			h.t.Errorf("%d are signed in", len(held))
		}
		if len(ninth.Beside) != MaxAccounts-1 || slices.Contains(ninth.Beside, in[1].User.ID) {
			h.t.Errorf("signed in beside %v", ninth.Beside)
		}
		log := h.revocations()
		if len(log) != 1 || log[0].Value != string(in[1].Session.ID) || log[0].Cause != model.CausePolicy {
			h.t.Errorf("revocations %+v", log)
		}
		// To sign in again takes no further place.
		again := join("user5")
		if again.Session.ID != in[5].Session.ID || len(again.Beside) != MaxAccounts-1 || h.alive(in[5].Cookie) {
			h.t.Errorf("signed in again: %+v", again)
		}
	})
}

// What a browser sends as cookies may be anything, and much of it.
func TestHeldBounds(t *testing.T) {
	each(t, func(h house) {
		h.user("ada")
		in := h.signedIn("ada")
		var cookies []model.Secret
		for i := range maxHeld - 1 {
			cookies = append(cookies, model.Secret(fmt.Sprint("rubbish", i)))
		}
		held, err := h.Held(h.ctx(), append(cookies, in.Cookie))
		h.ok(err)
		if len(held) != 1 {
			h.t.Errorf("%d found among rubbish, want 1", len(held))
		}
		held, err = h.Held(h.ctx(), append(cookies, "one more", in.Cookie))
		h.ok(err)
		if len(held) != 0 {
			h.t.Errorf("%d cookies were looked up", maxHeld+1)
		}
		held, err = h.Held(h.ctx(), []model.Secret{in.Cookie, in.Cookie})
		h.ok(err)
		if len(held) != 1 {
			h.t.Errorf("one cookie sent twice is %d sessions", len(held))
		}
	})
}

// Only the session that is used lives on.
func TestIdleBeside(t *testing.T) {
	each(t, func(h house) {
		h.user("ada")
		h.user("bob")
		ada, bob := h.signedIn("ada"), h.signedIn("bob")
		for range 3 {
			h.clock.advance(DefaultIdle / 2)
			held, err := h.Held(h.ctx(), []model.Secret{ada.Cookie, bob.Cookie})
			h.ok(err)
			_, err = h.Touch(h.ctx(), held[0].Session)
			h.ok(err)
		}
		if !h.alive(ada.Cookie) || h.alive(bob.Cookie) {
			h.t.Error("an unused session outlived its idle time")
		}
		h.ok(h.SignOut(h.ctx(), admin, ada.Session.ID))
		h.clock.advance(time.Minute)
		_, err := h.Touch(h.ctx(), ada.Session)
		h.is(err, ErrNoSession)
	})
}

// The same person may be signed in twice at one browser after a double click:
// the next sign-in is at home in one of them and leaves the other alone.
func TestSettleTwice(t *testing.T) {
	each(t, func(h house) {
		h.user("ada")
		one, two := h.signedIn("ada"), h.signedIn("ada")
		in, err := h.SignIn(h.ctx(), Attempt{Login: "ada", Password: goodPassword, Browser: []model.Secret{one.Cookie, two.Cookie}})
		h.ok(err)
		if in.Session.ID != one.Session.ID || !h.alive(in.Cookie) || h.alive(one.Cookie) || !h.alive(two.Cookie) {
			h.t.Errorf("%+v", in)
		}
		var live []model.Session
		h.view(func(tx *store.Tx) (err error) { live, err = tx.SessionsOf(in.User.ID); return err })
		if len(live) != 2 {
			h.t.Errorf("%d sessions", len(live))
		}
	})
}

func TestCalled(t *testing.T) {
	person := func(login, email string) model.User {
		return model.User{Login: login, Profile: model.Profile{Email: email}}
	}
	people := []model.User{person("ada", "ada@example.com"), person("bob@example.com", "Both@example.com"), person("eve", "both@example.com"), person("nomail", "")}
	for name, want := range map[string]int{
		"ada": 0, " ADA ": 0, "ada@example.com": 0, "Ada@Example.com ": 0, "bob@example.com": 1, "BOB@example.com": 1,
		"both@example.com": -1, "eve": 2, "nobody": -1, "": -1, " ": -1, "a@b@c": -1, "\x00": -1,
	} {
		if got := Called(name, people); got != want {
			t.Errorf("Called(%q) = %d, want %d", name, got, want)
		}
	}
}
