package account

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// openHouse lets strangers in.
func openHouse(t *testing.T, s *store.Store, limit int) house {
	h := open(t, s)
	h.signUp, h.signUpLimit = true, limit
	return h
}

func TestSignUp(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := openHouse(t, s, 10)
		h.user("admin")
		admin := h.signedIn("admin")
		in, err := h.SignUp(h.ctx(), " Ada Lovelace ", Attempt{
			Login: " Ada@Example.org", Password: goodPassword, Address: "192.0.2.7", Browser: []model.Secret{admin.Cookie},
		})
		h.ok(err)
		u := in.User
		if u.Login != "ada@example.org" || u.Profile.Name != "Ada Lovelace" || u.Profile.Email != "ada@example.org" || u.Profile.EmailVerified ||
			u.Admin || u.PasswordHash != "" || u.Status != model.UserActive || u.PasswordAt != h.unix() {
			t.Errorf("%+v", u)
		}
		if h.used(in.Cookie).User.ID != u.ID || !h.alive(admin.Cookie) || !slices.Equal(in.Beside, []model.UserID{admin.User.ID}) {
			t.Error("not signed in, or somebody else no more")
		}
		var last []model.Event
		h.view(func(tx *store.Tx) (err error) { last, err = tx.Events(0, 100); return err })
		last = last[len(last)-2:]
		if last[0].Action != "user.create" || last[0].Actor != (model.Actor{Kind: model.ActorNobody, Address: "192.0.2.7"}) || last[0].UserID != u.ID || last[1].Action != "session.start" {
			t.Errorf("events %+v", last)
		}
		if again := h.signedIn("ada@example.org"); again.User.ID != u.ID {
			t.Error("the password does not sign in")
		}
		in, err = h.SignUp(h.ctx(), "", Attempt{Login: "plain", Password: goodPassword})
		h.ok(err)
		if in.User.Profile.Email != "" || in.User.Profile.Name != "" {
			t.Errorf("%+v", in.User)
		}
	})
}

func TestSignUpRefuses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := openHouse(t, s, 100)
		hashed := 0
		h.passwords.Work = func(string) { hashed++ }
		try := func(login, name string, password model.Secret) error {
			_, err := h.SignUp(h.ctx(), name, Attempt{Login: login, Password: password, Address: "192.0.2.7"})
			return err
		}
		// The first account is the administrator's.
		h.is(try("mallory", "", goodPassword), ErrSignUpOff)
		h.user("ada")
		hashed = 0
		h.is(try(" ADA ", "", goodPassword), ErrLoginTaken)
		for _, row := range []struct {
			login, name string
			password    model.Secret
			field       string
		}{
			{"", "", goodPassword, "login"}, {"a b", "", goodPassword, "login"}, {"a@b@c", "", goodPassword, "login"}, {strings.Repeat("x", 1<<20), "", goodPassword, "login"},
			{"a@" + strings.Repeat("x", 150) + "..example", "", goodPassword, "email"},
			{"eve", "E\nve", goodPassword, "name"}, {"eve", strings.Repeat("x", maxName+1), goodPassword, "name"}, {"eve", "\xff", goodPassword, "name"},
			{"eve", "", "", "password"}, {"eve", "", "short", "password"}, {"eve", "", model.Secret(strings.Repeat("x", 1<<20)), "password"},
			{"ada", "", "short", "password"}, // not told that it is taken: such a try is not counted
		} {
			var wrong ErrInvalid
			if err := try(row.login, row.name, row.password); !errors.As(err, &wrong) || wrong.Field != row.field {
				t.Errorf("%.20q %.20q: %v, want something about the %s", row.login, row.name, err, row.field)
			}
		}
		if hashed != 0 {
			t.Errorf("%d passwords were hashed for nothing", hashed)
		}
		h.signUp = false
		h.is(try("eve", "", goodPassword), ErrSignUpOff)
		h.signUp = true
		h.ok(try("eve", "", goodPassword))
	})
}

// One address tries so often in an hour, on all nodes together; who is next door
// is not in the way.
func TestSignUpLimit(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		one := openHouse(t, storetest.Open(t, url), 3)
		two := openHouse(t, storetest.Open(t, url), 3)
		two.Accounts.now = one.clock.now
		one.user("ada")
		n := 0
		try := func(h house, address string) error {
			n++
			_, err := h.SignUp(h.ctx(), "", Attempt{Login: fmt.Sprint("user", n), Password: goodPassword, Address: address})
			return err
		}
		one.ok(try(one, "192.0.2.7"))
		one.ok(try(two, "192.0.2.7"))
		_, err := one.SignUp(one.ctx(), "", Attempt{Login: "ada", Password: goodPassword, Address: "::ffff:192.0.2.7"})
		one.is(err, ErrLoginTaken) // that costs a try as well
		one.is(try(one, "192.0.2.7"), ErrSignUpLimit)
		one.is(try(two, "192.0.2.7"), ErrSignUpLimit)
		one.ok(try(one, "192.0.2.8"))

		for i := range 3 {
			one.ok(try(one, fmt.Sprintf("2001:db8::%d", i)))
		}
		one.is(try(one, "2001:db8::ffff"), ErrSignUpLimit)
		one.ok(try(one, "2001:db8:0:1::"))

		one.clock.advance(signUpWindow)
		one.ok(try(one, "192.0.2.7"))
	})
}

// Of many who ask for one login at once, one gets it.
func TestSignUpRace(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		houses := []house{openHouse(t, storetest.Open(t, url), 100), openHouse(t, storetest.Open(t, url), 100)}
		houses[0].user("admin")
		answers := make(chan error)
		for i := range 10 {
			go func() {
				for {
					_, err := houses[i%2].SignUp(t.Context(), "", Attempt{Login: "ada", Password: goodPassword})
					if !errors.Is(err, ErrBusy) {
						answers <- err
						return
					}
				}
			}()
		}
		won := 0
		for range 10 {
			err := <-answers
			switch {
			case err == nil:
				won++
			case !errors.Is(err, ErrLoginTaken):
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%d got the login", won)
		}
	})
}
