package account

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

func from(address, login string, password model.Secret) Attempt {
	return Attempt{Login: login, Password: password, Address: address}
}

// Nothing begins by a proof alone, and what changed since is seen.
func TestProof(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		p, err := h.Prove(h.ctx(), from("192.0.2.1", "ada", goodPassword))
		h.ok(err)
		list, err := h.Sessions(h.ctx(), user.ID)
		h.ok(err)
		if len(list) != 0 || p.Session.UserID != user.ID || !p.Session.Live(h.unix()) {
			h.t.Fatalf("%+v, %+v", list, p.Session)
		}
		in, err := h.Enter(h.ctx(), p)
		h.ok(err)
		if in.Session.ID != p.Session.ID || in.User.PasswordHash != "" {
			h.t.Errorf("%+v", in)
		}

		// The same person, known there: the session is begun anew, not another one.
		again := from("192.0.2.1", "", goodPassword)
		again.User, again.Session = user.ID, in.Session.ID
		p, err = h.Prove(h.ctx(), again)
		h.ok(err)
		renewed, err := h.Enter(h.ctx(), p)
		h.ok(err)
		if renewed.Session.ID != in.Session.ID {
			h.t.Errorf("%s, want %s", renewed.Session.ID, in.Session.ID)
		}

		p, err = h.Prove(h.ctx(), from("192.0.2.1", "ada", goodPassword))
		h.ok(err)
		h.ok(h.SetPassword(h.ctx(), admin, user.ID, NewPassword{Password: "another good one"}))
		if _, err := h.Enter(h.ctx(), p); !errors.Is(err, ErrCredentials) {
			h.t.Errorf("a password that was changed since: %v", err)
		}
		p, err = h.Prove(h.ctx(), from("192.0.2.1", "ada", "another good one"))
		h.ok(err)
		h.ok(h.Lock(h.ctx(), admin, user.ID))
		if _, err := h.Enter(h.ctx(), p); !errors.Is(err, ErrLocked) {
			h.t.Errorf("an account that was locked since: %v", err)
		}
		if _, err := h.Prove(h.ctx(), from("192.0.2.1", "ada", "another good one")); !errors.Is(err, ErrLocked) {
			h.t.Errorf("a locked account: %v", err)
		}
		if _, err := h.Prove(h.ctx(), from("192.0.2.1", "ada", "wrong password")); !errors.Is(err, ErrCredentials) {
			h.t.Errorf("who does not know the password is told: %v", err)
		}
	})
}

// An unknown login costs the work of a known one, and is held up like it.
func TestThrottle(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		work := 0
		h.passwords.Work = func(string) { work++ }
		for _, login := range []string{"ada", "nobody", "not a login"} {
			work = 0
			for i := range 7 {
				_, err := h.Prove(h.ctx(), from("192.0.2.1", login, "wrong password"))
				var soon ErrTooSoon
				switch {
				case i < 6 && !errors.Is(err, ErrCredentials), i == 6 && !errors.As(err, &soon):
					h.t.Fatalf("%s, %d: %v", login, i, err)
				}
			}
			if work != 6 {
				h.t.Errorf("%s: %d hashes, want 6", login, work)
			}
		}
		// A pause doubles, and has an end.
		c := count{free: freeTries, pause: maxPause}
		var pauses []int64
		for n := int64(freeTries) + 1; len(pauses) < 12; n++ {
			pauses = append(pauses, c.after(n))
		}
		if pauses[0] != 1 || pauses[1] != 2 || pauses[9] != 512 || pauses[10] != 900 || pauses[11] != 900 {
			h.t.Errorf("%v", pauses)
		}
		// IPv6: a customer's network counts as one address.
		for i := range 6 {
			_, err := h.Prove(h.ctx(), from("2001:db8::"+strconv.Itoa(i), "ada", "wrong password"))
			if !errors.Is(err, ErrCredentials) {
				h.t.Fatal(err)
			}
		}
		if _, err := h.Prove(h.ctx(), from("2001:db8::ffff", "ada", goodPassword)); !errors.As(err, &ErrTooSoon{}) {
			h.t.Errorf("the same /64: %v", err)
		}
		// Nobody else is held up, and after the window it is as before.
		if _, err := h.Prove(h.ctx(), from("198.51.100.1", "ada", goodPassword)); err != nil {
			h.t.Errorf("from elsewhere: %v", err)
		}
		h.clock.advance(tryWindow)
		if _, err := h.Prove(h.ctx(), from("192.0.2.1", "ada", goodPassword)); err != nil {
			h.t.Errorf("an hour later: %v", err)
		}
		throttled := 0
		h.view(func(tx *store.Tx) error {
			throttled = 0
			all, err := tx.Events(0, 1000)
			for _, e := range all {
				if e.Action == "password.throttle" && (e.UserID == user.ID || e.UserID == "") && e.Detail != "" {
					throttled++
				}
			}
			return err
		})
		if throttled != 4 { // two networks of hers, and the two others
			h.t.Errorf("%d events, want 4", throttled)
		}
	})
}

// TestThrottleEverywhere: P13: many networks together cannot guess on, and cannot lock out who is known.
func TestThrottleEverywhere(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		h.passwords.Work = func(string) {}
		for i := range freeOfPerson {
			if _, err := h.Prove(h.ctx(), from("198.51.100."+strconv.Itoa(i), "ada", "wrong password")); !errors.Is(err, ErrCredentials) {
				h.t.Fatal(err)
			}
		}
		if _, err := h.Prove(h.ctx(), from("192.0.2.1", "ada", goodPassword)); !errors.Is(err, ErrElsewhere) {
			h.t.Errorf("a stranger: %v", err)
		}
		if _, err := h.Prove(h.ctx(), Attempt{User: user.ID, Password: goodPassword, Address: "192.0.2.1"}); err != nil {
			h.t.Errorf("who is known there: %v", err)
		}
		if _, err := h.SignIn(h.ctx(), from("192.0.2.1", "ada", goodPassword)); err != nil {
			h.t.Errorf("in a browser: %v", err)
		}
	})
}

// One network may be many people: a success is not counted, and the pauses are short.
func TestThrottleNetwork(t *testing.T) {
	each(t, func(h house) {
		h.user("ada")
		for range 3 {
			_, err := h.Prove(h.ctx(), from("192.0.2.1", "ada", goodPassword))
			h.ok(err)
		}
		for i := range freeOfNetwork {
			if _, err := h.Prove(h.ctx(), from("192.0.2.1", "nobody"+strconv.Itoa(i), "wrong password")); !errors.Is(err, ErrCredentials) {
				h.t.Fatal(i, err)
			}
		}
		for range 6 {
			_, err := h.Prove(h.ctx(), from("192.0.2.1", "ada", goodPassword))
			h.ok(err)
			var soon ErrTooSoon
			if _, err := h.Prove(h.ctx(), from("192.0.2.1", "nobody", "wrong password")); !errors.As(err, &soon) || soon.Wait > maxPauseOf {
				h.t.Fatal(err)
			}
			h.clock.advance(time.Duration(soon.Wait) * time.Second)
		}
	})
}
