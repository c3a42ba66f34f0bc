package account

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ostiary/ostiary/internal/model"
)

func TestCreate(t *testing.T) {
	each(t, func(h house) {
		profile := model.Profile{Name: "Ada", Email: "ada@example.org", Address: &model.Address{Country: "UK"}, Groups: []string{"a", "b"}}
		made, err := h.Create(h.ctx(), admin, NewUser{Login: "Ada", Password: goodPassword, Profile: profile})
		h.ok(err)
		want := model.User{
			ID: made.ID, Login: "ada", Status: model.UserActive, Profile: profile,
			CreatedAt: h.unix(), UpdatedAt: h.unix(), PasswordAt: h.unix(),
		}
		for name, read := range map[string]func() (model.User, error){
			"Create":  func() (model.User, error) { return made, nil },
			"User":    func() (model.User, error) { return h.User(h.ctx(), made.ID) },
			"ByLogin": func() (model.User, error) { return h.ByLogin(h.ctx(), " ADA ") },
		} {
			got, err := read()
			h.ok(err)
			if diff := cmp.Diff(want, got); diff != "" {
				h.t.Errorf("%s: %s", name, diff)
			}
		}
		_, err = h.Create(h.ctx(), admin, NewUser{Login: "ADA", Password: goodPassword})
		h.is(err, ErrLoginTaken)
		for field, n := range map[string]NewUser{
			"login":    {Login: "", Password: goodPassword},
			"password": {Login: "bob", Password: "short"},
			"email":    {Login: "bob", Password: goodPassword, Profile: model.Profile{Email: "x"}},
		} {
			_, err := h.Create(h.ctx(), admin, n)
			var invalid ErrInvalid
			if !errors.As(err, &invalid) || invalid.Field != field {
				h.t.Errorf("%s: %v", field, err)
			}
		}
		_, err = h.User(h.ctx(), "nobody")
		h.is(err, ErrNoUser)
		_, err = h.ByLogin(h.ctx(), "bob")
		h.is(err, ErrNoUser)
		_, err = h.ByLogin(h.ctx(), "\xff")
		h.is(err, ErrNoUser)
		if want := []string{"user.create"}; !slices.Equal(h.actions(), want) {
			h.t.Errorf("events %v, want %v", h.actions(), want)
		}
	})
}

func TestList(t *testing.T) {
	each(t, func(h house) {
		for _, login := range []string{"a", "b", "c"} {
			_, err := h.Create(h.ctx(), admin, NewUser{Login: login})
			h.ok(err)
		}
		var seen []string
		var after model.UserID
		for {
			page, err := h.List(h.ctx(), UserFilter{After: after, Limit: 2})
			h.ok(err)
			if len(page) == 0 {
				break
			}
			for _, u := range page {
				seen, after = append(seen, u.Login), u.ID
			}
		}
		slices.Sort(seen)
		if !slices.Equal(seen, []string{"a", "b", "c"}) {
			h.t.Errorf("listed %v", seen)
		}
	})
}

func TestUpdate(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		bob := h.user("bob")
		in := h.signedIn("ada")
		h.clock.advance(time.Minute)

		got, err := h.Update(h.ctx(), admin, user.ID, Change{Login: new("Lovelace"), Admin: new(true), Profile: &model.Profile{Name: "Ada"}})
		h.ok(err)
		want := user
		want.Login, want.Admin, want.Profile.Name, want.UpdatedAt = "lovelace", true, "Ada", h.unix()
		if diff := cmp.Diff(want, got); diff != "" {
			h.t.Error(diff)
		}
		if !h.alive(in.Cookie) {
			h.t.Error("an update ended a session")
		}
		h.signedIn("lovelace")

		got, err = h.Update(h.ctx(), admin, user.ID, Change{})
		h.ok(err)
		if diff := cmp.Diff(want, got); diff != "" {
			h.t.Errorf("an empty change changed something: %s", diff)
		}
		_, err = h.Update(h.ctx(), admin, user.ID, Change{Login: new("BOB")})
		h.is(err, ErrLoginTaken)
		_, err = h.Update(h.ctx(), admin, "nobody", Change{Login: new("x")})
		h.is(err, ErrNoUser)
		hers := model.Profile{Email: "bob@example.org", EmailVerified: true}
		_, err = h.Update(h.ctx(), admin, bob.ID, Change{Profile: &hers})
		h.ok(err)
		_, err = h.Update(h.ctx(), admin, bob.ID, Change{Profile: &hers, Admin: new(false)})
		h.ok(err)
		hers.Email = "Bob@Example.org"
		_, err = h.Update(h.ctx(), admin, user.ID, Change{Profile: &hers})
		h.is(err, ErrAddressTaken)
		_, err = h.Create(h.ctx(), admin, NewUser{Login: "eve", Profile: hers})
		h.is(err, ErrAddressTaken)
		hers.EmailVerified = false
		_, err = h.Create(h.ctx(), admin, NewUser{Login: "eve", Profile: hers})
		h.ok(err)
		var invalid ErrInvalid
		_, err = h.Update(h.ctx(), admin, user.ID, Change{Login: new("a b")})
		if !errors.As(err, &invalid) {
			h.t.Error(err)
		}
		_, err = h.Update(h.ctx(), admin, user.ID, Change{Profile: &model.Profile{Page: "javascript:x"}})
		if !errors.As(err, &invalid) {
			h.t.Error(err)
		}
	})
}

func TestDelete(t *testing.T) {
	each(t, func(h house) {
		user := h.user("ada")
		in := h.signedIn("ada")
		h.grant(h.client(), in.Session, true)
		h.clock.advance(time.Second)
		h.ok(h.Delete(h.ctx(), admin, user.ID))
		if h.alive(in.Cookie) {
			h.t.Error("the session lives on")
		}
		log := h.revocations()
		if len(log) != 1 || log[0].Kind != model.KindSubject || log[0].Value != string(user.ID) ||
			log[0].CutOff != h.unix() || log[0].Cause != model.CauseAccountDisabled {
			h.t.Errorf("revocations %+v", log)
		}
		_, err := h.SignIn(h.ctx(), Attempt{Login: "ada", Password: goodPassword})
		h.is(err, ErrCredentials)
		h.is(h.Delete(h.ctx(), admin, user.ID), ErrNoUser)
		again := h.user("ada")
		if again.ID == user.ID {
			h.t.Error("an identifier was used again")
		}
		if !slices.Contains(h.actions(), "user.delete") {
			h.t.Error("no event")
		}
	})
}
